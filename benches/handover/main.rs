//! A server in Rust and one in Python, each under 2,000 requests a second on new connections, replaced again and again: how
//! many requests failed, and how long nobody was answered. `cargo bench --bench handover` runs it; `ROUNDS` (100) says how
//! often each is replaced, `RATE` (2000) how often they are asked.
//!
//! Each table row is of one run, beside the same server that nobody replaces. Each wait counts from the moment at which the
//! request was due, so that a client that stands in line hides nothing. No test depends on a figure.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, missing_docs)] // a measurement fails so, and says what it found

#[cfg(unix)]
mod load;
#[cfg(unix)]
mod server;
#[cfg(unix)]
mod takeovers;

#[cfg(unix)]
fn main() {
    let args: Vec<String> = std::env::args().collect();
    match args.get(1..).unwrap_or_default() {
        [role, version] if role == "serve" => server::serve(version),
        _ => takeovers::measure(),
    }
}

#[cfg(not(unix))]
fn main() {
    println!("the figures are of Unix");
}
