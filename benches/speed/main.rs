//! What `gateway` costs, beside what cannot cost less: medians, and their ratios, of one run. `cargo bench` runs it;
//! `-- scale` what grows with the number of instances (`scale.rs`).
//!
//! Everything that is compared is measured in turns, so that a noisy minute meets all alike; compare ratios of one table
//! only. No test depends on a figure. Every process that is started is ended with this one.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, missing_docs)] // a measurement fails so, and says what it found

#[cfg(target_os = "linux")]
mod claim;
#[cfg(target_os = "linux")]
mod herds;
#[cfg(target_os = "linux")]
mod idle;
#[cfg(target_os = "linux")]
mod ping;
#[cfg(target_os = "linux")]
mod processes;
#[cfg(target_os = "linux")]
mod scale;
#[cfg(target_os = "linux")]
mod senders;
#[cfg(target_os = "linux")]
mod table;
#[cfg(target_os = "linux")]
mod takeover;

/// What is measured; `cargo bench --bench speed -- claim ping` measures these two.
#[cfg(target_os = "linux")]
const PARTS: [(&str, fn()); 6] = [
    ("processes", processes::measure),
    ("takeover", takeover::measure),
    ("claim", claim::measure),
    ("ping", ping::measure),
    ("idle", idle::measure),
    ("scale", scale::measure),
];

#[cfg(target_os = "linux")]
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.as_slice() {
        [role, dir] if role == "floor" => ping::serve_floor(dir.as_ref()),
        [role, dir] if role == "holder" => ping::hold(dir.as_ref()),
        [role, dir] if role == "raw-claimer" => claim::raw(dir.as_ref()),
        [role, dir] if role == "claimer" => claim::claim(dir.as_ref()),
        [role, dir, count] if role == "many" => scale::hold(dir.as_ref(), count.parse().unwrap()),
        [role, dir] if role == "taker" => senders::take(dir.as_ref()),
        [role, dir] if role == "sender" => senders::send(dir.as_ref()),
        [role] if role == "child" => takeover::child(),
        // `cargo bench` adds a word of its own.
        words => {
            let wanted = |part: &str| {
                let mut words = words.iter().filter(|word| !word.starts_with('-')).peekable();
                words.peek().is_none() || words.any(|word| word == part)
            };
            println!("{}\n", table::machine());
            for (part, measure) in PARTS {
                if wanted(part) {
                    measure();
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("the figures are of Linux");
}
