//! Herds: so many `gateway run` started at once, until all but the winner are refused, beside as many `/bin/false` started
//! and awaited in the same loop.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{processes, table::Ended};

const TARGET: f64 = 1.6;

pub(crate) fn measure() {
    println!("Herds, from the first spawn until all but the winner have been refused with 75");
    println!("  {:>6} {:>14} {:>14} {:>7}  target", "", "/bin/false ms", "gateway ms", "ratio");
    for (herd, rounds) in [(500, 5), (2000, 1)] {
        let (mut floor, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            floor.push(started(herd, || Command::new("/bin/false"), |_| 1).0);
            let dir = tempfile::tempdir().unwrap();
            let (time, winner) = started(herd, || processes::run(dir.path()), |_| 75);
            assert!(winner.is_some(), "somebody won");
            ours.push(time);
        }
        floor.sort_unstable();
        ours.sort_unstable();
        let (floor, ours) = (floor[rounds / 2], ours[rounds / 2]);
        let ratio = ours.as_secs_f64() / floor.as_secs_f64();
        let missed = if ratio <= TARGET { "" } else { "  MISSED" };
        println!(
            "  {herd:>6} {:>14.0} {:>14.0} {ratio:>7.2}  ≤ {TARGET}{missed}",
            floor.as_secs_f64() * 1e3,
            ours.as_secs_f64() * 1e3
        );
    }
    println!();
}

/// Starts them all and waits for all but one at most; the time, and the one that stayed.
fn started(
    herd: usize,
    command: impl Fn() -> Command,
    code: impl Fn(&Child) -> i32,
) -> (Duration, Option<Ended>) {
    let began = Instant::now();
    let mut started: Vec<Ended> = (0..herd)
        .map(|_| {
            let mut command = command();
            Ended(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
        })
        .collect();
    // All but one end; which one stays is known when it is the last one left.
    while started.len() > 1 {
        let mut left = Vec::new();
        for mut process in started {
            match process.0.try_wait().unwrap() {
                Some(ended) => assert_eq!(ended.code(), Some(code(&process.0))),
                None => left.push(process),
            }
        }
        started = left;
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut last = started.pop();
    if last.as_mut().is_some_and(|last| last.0.try_wait().unwrap().is_some()) {
        last = None;
    }
    (began.elapsed(), last)
}
