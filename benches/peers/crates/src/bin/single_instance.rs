//! single-instance: an abstract socket.

fn main() {
    let (mode, _, name) = crates::place();
    let instance = single_instance::SingleInstance::new(&name).expect("a socket");
    if !instance.is_single() {
        crates::refused();
    }
    crates::held(&mode);
}
