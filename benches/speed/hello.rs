//! The floor of every program: what a Rust program costs that only says hello. `rustc -O` builds it, not cargo.

fn main() {
    println!("hello");
}
