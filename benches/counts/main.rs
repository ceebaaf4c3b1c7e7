//! How many instructions it takes: counted under valgrind, by gungraun. `ci/counts.sh` runs it, and holds it against
//! `benches/counts/baseline.json`.

#![allow(clippy::unwrap_used, clippy::panic, clippy::exit, missing_docs)] // a measurement fails so, and gungraun

#[cfg(target_os = "linux")]
mod counted;
#[cfg(target_os = "linux")]
#[path = "../inside/library.rs"]
mod library;
#[cfg(target_os = "linux")]
#[path = "../inside/samples.rs"]
mod samples;
#[cfg(target_os = "linux")]
#[path = "../inside/ways.rs"]
mod ways;

#[cfg(target_os = "linux")]
use counted::{claims, decisions, messages, records};
#[cfg(target_os = "linux")]
#[allow(clippy::wildcard_imports)]
use library::*; // what the modules of the library find at the root of their crate

#[cfg(target_os = "linux")]
gungraun::main!(
    config = gungraun::LibraryBenchmarkConfig::default().tool(gungraun::Callgrind::with_args([
        "--cache-sim=no",      // instructions only
        "--trace-children=no", // a holder in another process is not what is counted
    ]));
    library_benchmark_groups = messages, records, decisions, claims
);

#[cfg(not(target_os = "linux"))]
fn main() {}
