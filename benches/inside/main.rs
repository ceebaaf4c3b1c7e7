//! What happens inside one process: times, by divan. `cargo bench --bench inside`, with `-- claim` those of that name.
//!
//! Everything runs on one core, holders in other processes too, so that a round trip means the same in every run. For what
//! cannot cost less see `benches/speed`; for what must not cost more, `benches/counts`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, missing_docs)] // a measurement fails so, and says what it found

#[cfg(target_os = "linux")]
mod claims;
#[cfg(target_os = "linux")]
mod library;
#[cfg(target_os = "linux")]
mod pure;
#[cfg(target_os = "linux")]
mod samples;
#[cfg(target_os = "linux")]
mod ways;

#[cfg(target_os = "linux")]
#[allow(clippy::wildcard_imports)]
use library::*; // what the modules of the library find at the root of their crate

#[cfg(target_os = "linux")]
fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [role, dir] = args.get(1..).unwrap_or_default() {
        if role == "holder" {
            return claims::hold(dir.as_ref());
        }
    }
    claims::stay_on_one_core();
    divan::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("the figures are of Linux");
}
