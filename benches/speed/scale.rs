//! What grows with the number of instances: one process that holds many, many processes that hold one each, and what it
//! costs to ask them all. `cargo bench --bench speed -- scale`.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use incumbent::{Claim, Holder, Incumbent, Instance};
use rustix::{
    process::{Pid, Resource, Rlimit, getrlimit, setrlimit},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

use crate::{
    herds, ping, processes, senders,
    table::{self, Ended, Times},
};

const MANY: usize = 1000;
const WATCHED: Duration = Duration::from_secs(5);
const LOOKS: usize = 5;
const PINGS: usize = 2000;

/// Each instance takes three descriptors, and each process that is watched a pipe: as many as may be had.
fn allow_descriptors() {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
}

fn instance(dir: &Path, number: usize) -> Instance {
    Instance::new(&format!("i{number:04}")).unwrap().in_dir(dir).unwrap()
}

/// A program that holds so many instances, by the library.
pub(crate) fn hold(dir: &Path, count: usize) {
    allow_descriptors();
    let holders: Vec<Holder> = (0..count)
        .map(|number| match instance(dir, number).claim_blocking().unwrap() {
            Claim::Won(holder) => holder,
            Claim::Lost(_) => panic!("{number} is held"),
        })
        .collect();
    for holder in &holders {
        holder.ready("");
    }
    eprintln!("ready");
    loop {
        std::thread::park();
    }
}

pub(crate) fn measure() {
    allow_descriptors();
    println!("What an instance costs while nobody asks, over {} s", WATCHED.as_secs());
    println!(
        "  {:<36} {:>9} {:>8} {:>11} {:>7} {:>10} {:>8} {:>7} {:>9} {:>8} {:>8}",
        "",
        "start ms",
        "RSS MB",
        "private MB",
        "files",
        "threads",
        "wakes/s",
        "cpu ‰",
        "written",
        "all ms",
        "1st ms"
    );
    let mut pings = Vec::new();
    for count in [1, 10, 100, MANY] {
        let dir = tempfile::tempdir().unwrap();
        let began = Instant::now();
        let mut role = ping::role("many", dir.path());
        let holders = [table::start_until(role.arg(count.to_string()), "ready")];
        row(&format!("{count} in one process, by the library"), &holders, dir.path(), count, began.elapsed());
        pings.push((count, pinged(dir.path(), &holders[0])));
    }
    let dir = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let mut run = processes::run(dir.path());
    run.args(["--name", "i0000"]);
    for number in 1..MANY {
        run.args(["--also", &format!("i{number:04}")]);
    }
    let holders = [table::start_until(&mut run, "holding ")];
    row(&format!("{MANY} by one gateway run --also …"), &holders, dir.path(), MANY, began.elapsed());
    drop(holders);
    for count in [1, 10, 100, MANY] {
        let dir = tempfile::tempdir().unwrap();
        let began = Instant::now();
        let holders: Vec<Ended> = (0..count)
            .map(|number| {
                let mut run = processes::run(dir.path());
                table::start_until(run.args(["--name", &format!("i{number:04}")]), "holding ")
            })
            .collect();
        row(&format!("{count} × gateway run"), &holders, dir.path(), count, began.elapsed());
    }
    println!();
    let rows = pings.into_iter().map(|(_, times)| (times, None)).collect();
    table::show(
        "One ping over a kept connection to a process with 1, 10, 100, 1000 instances, both ends on one core",
        rows,
    );
    senders::measure();
    herds::measure();
}

/// What they all have together: kB, kB, descriptors, threads, wake-ups, nanoseconds, bytes.
fn used(holders: &[Ended]) -> [u64; 7] {
    let mut sums = [0; 7];
    for pid in holders.iter().map(|holder| holder.0.id()) {
        let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let kib = |name: &str| -> u64 {
            let lines = memory.lines().filter_map(|line| line.strip_prefix(name));
            lines.map(|line| line.trim_end_matches(" kB").trim().parse::<u64>().unwrap()).sum()
        };
        let tasks: Vec<_> = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten().collect();
        let mut cpu = 0;
        let mut wakes = 0;
        for task in tasks.iter().map(|task| task.path().display().to_string()) {
            let spent = fs::read_to_string(format!("{task}/schedstat")).unwrap();
            cpu += spent.split(' ').next().unwrap().parse::<u64>().unwrap();
            wakes += table::field(&format!("{task}/status"), "voluntary_ctxt_switches:");
        }
        let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64;
        let written = table::field(&format!("/proc/{pid}/io"), "write_bytes:");
        let private = kib("Private_Clean:") + kib("Private_Dirty:");
        let of_this = [kib("Rss:"), private, files, tasks.len() as u64, wakes, cpu, written];
        sums.iter_mut().zip(of_this).for_each(|(sum, one)| *sum += one);
    }
    sums
}

#[allow(clippy::cast_precision_loss)]
fn row(what: &str, holders: &[Ended], dir: &Path, count: usize, start: Duration) {
    std::thread::sleep(Duration::from_secs(1)); // what belongs to the start is over
    let before = used(holders);
    std::thread::sleep(WATCHED);
    let after = used(holders);
    let in_a_second = |at: usize| (after[at] - before[at]) as f64 / WATCHED.as_secs_f64();
    let (all, first) = looked_at(dir, count);
    println!(
        "  {what:<36} {:>9.0} {:>8.1} {:>11.1} {:>7} {:>10} {:>8.1} {:>7.2} {:>9} {all:>8.1} {first:>8.1}",
        start.as_secs_f64() * 1e3,
        after[0] as f64 / 1024.0,
        after[1] as f64 / 1024.0,
        after[2],
        after[3],
        in_a_second(4),
        in_a_second(5) / 1e6,
        after[6] - before[6],
    );
}

/// `status --all`: milliseconds until it has ended, and until its first line.
fn looked_at(dir: &Path, count: usize) -> (f64, f64) {
    let (mut all, mut first) = (Times::of("all"), Times::of("first"));
    for _ in 0..LOOKS {
        let began = Instant::now();
        let mut status = processes::gateway(dir);
        status.args(["status", "--all"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut status = Ended(status.spawn().unwrap());
        let mut lines = BufReader::new(status.0.stdout.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        first.add(began.elapsed());
        assert!(line.starts_with("i0000 "), "{line}");
        assert_eq!(lines.map_while(Result::ok).filter(|line| line.contains(" ready ")).count(), count - 1);
        assert!(status.0.wait().unwrap().success());
        all.add(began.elapsed());
    }
    (all.at(0.5) / 1e3, first.at(0.5) / 1e3)
}

/// All on one core: see `ping.rs`.
fn pinged(dir: &Path, holder: &Ended) -> Times {
    let before = sched_getaffinity(None).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|cpu| before.is_set(*cpu)).unwrap());
    sched_setaffinity(None, &one).unwrap();
    for task in fs::read_dir(format!("/proc/{}/task", holder.0.id())).unwrap().flatten() {
        let task = task.file_name().to_str().unwrap().parse().unwrap();
        sched_setaffinity(Pid::from_raw(task), &one).unwrap();
    }
    let mut times = Times::of("a ping");
    let incumbent: Incumbent = match instance(dir, 0).claim_blocking().unwrap() {
        Claim::Lost(incumbent) => incumbent,
        Claim::Won(_) => panic!("nobody holds"),
    };
    for _ in 0..PINGS {
        times.add(incumbent.ping_blocking(Duration::from_secs(5)).unwrap());
    }
    sched_setaffinity(None, &before).unwrap();
    times
}
