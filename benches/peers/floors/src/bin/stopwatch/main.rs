//! The stopwatch: starts what a plan says, in turns, and prints nanoseconds. Small, so that its own share of a start is.
//!
//! `stopwatch spawn ROUNDS PLAN`, `stopwatch herd COUNT ROUNDS BASE PLAN`, `stopwatch death ROUNDS MEGABYTES BASE CRATES
//! GATEWAY`, and `stopwatch wait FILE`, which `death` starts.

mod death;
mod herd;
mod plan;
mod spawn;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().expect("a number");
    match args[..] {
        ["spawn", rounds, plan] => spawn::measure(number(rounds), &plan::read(plan)),
        ["herd", count, rounds, base, plan] => {
            herd::measure(number(count), number(rounds), base, &plan::read(plan))
        }
        ["death", rounds, megabytes, base, crates, gateway] => {
            death::measure(number(rounds), megabytes, base.as_ref(), crates.as_ref(), gateway);
        }
        ["wait", file] => death::wait(file.as_ref()),
        _ => {
            eprintln!("usage: stopwatch spawn|herd|death|wait, as its source says");
            std::process::exit(64)
        }
    }
}
