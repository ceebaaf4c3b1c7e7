//! A holder that nobody talks to: how often it wakes, what it writes, and what it keeps in memory.

use std::{fs, time::Duration};

use crate::{ping, processes, table};

const WATCHED: Duration = Duration::from_secs(10);

pub(crate) fn measure() {
    let dir = tempfile::tempdir().unwrap();
    let holders = [
        ("gateway run", table::start_until(&mut processes::run(&dir.path().join("gateway")), "holding ")),
        (
            "a program that holds by the library",
            table::start_until(&mut ping::role("holder", &dir.path().join("library")), "ready"),
        ),
    ];
    std::thread::sleep(Duration::from_secs(1)); // what belongs to the start is over
    let before = holders.each_ref().map(|(_, holder)| (wakes(holder.0.id()), written(holder.0.id())));
    std::thread::sleep(WATCHED);
    println!("An idle holder, for {} s", WATCHED.as_secs());
    println!("  {:<44} {:>12} {:>14} {:>12}  target", "", "wake-ups/s", "bytes written", "resident MB");
    for ((what, holder), (wakes_before, written_before)) in holders.iter().zip(before) {
        let pid = holder.0.id();
        #[allow(clippy::cast_precision_loss)]
        let (woke, resident) = (
            (wakes(pid) - wakes_before) as f64 / WATCHED.as_secs_f64(),
            table::field(&format!("/proc/{pid}/status"), "VmRSS:") as f64 / 1024.0,
        );
        let written = written(pid) - written_before;
        let missed = if woke <= 2.0 && resident <= 6.0 && written == 0 { "" } else { "  MISSED" };
        println!(
            "  {what:<44} {woke:>12.1} {written:>14} {resident:>12.1}  ≤ 2 wake-ups/s, ≤ 6 MB, 0 bytes{missed}"
        );
    }
    println!();
}

/// How often its threads went to sleep by themselves, all in all: as often as they woke.
fn wakes(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .map(|task| {
            table::field(&format!("{}/status", task.unwrap().path().display()), "voluntary_ctxt_switches:")
        })
        .sum()
}

fn written(pid: u32) -> u64 {
    table::field(&format!("/proc/{pid}/io"), "write_bytes:")
}
