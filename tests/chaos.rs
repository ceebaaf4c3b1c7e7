//! Random chaos, with a witness. Several instances at once are started, replaced, stopped, killed, suspended, robbed of
//! their files, of their disk, of the time and of the processor; afterwards a checker reads what the witnesses wrote.
//!
//! By default it lasts a minute. `CHAOS_SECONDS` makes it longer, `STRESS` so many times as long, and `CHAOS_SEED`
//! repeats one: the same deeds in the same order, as far as processes run alike. It prints what it did; everything with
//! its time stands in a journal, whose path it says. What may not be is in `support/chaos/checker.rs`, and that the
//! checker can fail in `checker_tests.rs`.
#![cfg(target_os = "linux")] // the file systems, namespaces, clocks and cgroups are Linux's
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, unreachable_pub)] // a test fails so
#![allow(clippy::cast_precision_loss)] // seconds for people
#![allow(clippy::exit, clippy::zombie_processes)] // the witness ends so, and who is left behind is meant to be

#[path = "support/os/mod.rs"]
mod os;

#[path = "support/chaos"]
mod chaos {
    pub mod arena;
    pub mod asking;
    pub mod checker;
    mod checker_tests;
    pub mod deeds;
    pub mod dice;
    pub mod harm;
    pub mod places;
    pub mod start;
    pub mod verdict;
    pub mod witness;
}

use std::{path::Path, sync::Arc, time::Duration};

use chaos::{
    arena::{Arena, Lot, Shared},
    asking::{self, Ender},
    checker,
    deeds::{self, Tools},
    dice::Dice,
    places::{self, Disk, Starving},
    verdict, witness,
};

#[test]
fn role() {
    if std::env::var("INCUMBENT_TEST_ROLE").is_ok_and(|role| role == "witness") {
        witness::play();
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(default)
}

/// How late the machine wakes who sleeps: nobody can be expected to hold meanwhile.
const LATE: u64 = checker::SECOND / 2;

fn arenas(shared: &Arc<Shared>, aside: &Path, disks: &mut Vec<Disk>) -> Vec<Arc<Arena>> {
    let together = aside.join("together");
    std::fs::create_dir(&together).unwrap();
    let mut all = vec![
        ("clock", together.clone(), Lot::Clock),
        ("deleted", together, Lot::Deleted),
        ("starved", aside.join("alone"), Lot::Starved),
    ];
    for (name, disk, lot) in [
        ("full", Disk::small(&aside.join("small")), Lot::Full),
        ("frozen", Disk::freezable(&aside.join("frozen")), Lot::Frozen),
    ] {
        if let Some(disk) = disk {
            all.push((name, disk.at().join("place"), lot));
            disks.push(disk);
        }
    }
    let mut arenas: Vec<Arena> =
        all.into_iter().map(|(name, dir, lot)| Arena::new(name, dir, aside, lot, shared)).collect();
    arenas[0].clock_library = places::clock_library(aside);
    arenas.into_iter().map(Arc::new).collect()
}

#[test]
fn whatever_is_done_to_them_there_is_one_holder_soon_another_and_a_history_of_all() {
    let seed = number("CHAOS_SEED", witness::now());
    let seconds = number("CHAOS_SECONDS", 60) * u64::try_from(os::rounds(1)).unwrap();
    println!("chaos: CHAOS_SEED={seed} CHAOS_SECONDS={seconds}");
    // Orphans become children of this process, and none outlives it.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    rustix::process::setrlimit(
        rustix::process::Resource::Nofile,
        rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum },
    )
    .unwrap();

    let aside = tempfile::tempdir().unwrap();
    let shared = Shared::new();
    let mut disks = Vec::new();
    let arenas = arenas(&shared, aside.path(), &mut disks);
    let _ender = Ender(arenas.clone());
    let tools = Arc::new(Tools { wrappers: places::wrappers(), starving: Starving::new().map(Arc::new) });
    for arena in &arenas {
        places::set_clock(&arena.clock(), 0);
    }
    let began = witness::now();
    for (part, arena) in arenas.iter().enumerate() {
        for supervisor in 0..2 {
            let (arena, dice) = (arena.clone(), Dice::of_part(seed, 100 * (supervisor + 1) + part));
            shared.spawn(move || deeds::supervise(&arena, dice));
        }
        let (arena, tools, dice) = (arena.clone(), tools.clone(), Dice::of_part(seed, part));
        shared.spawn(move || deeds::disturb(&arena, dice, &tools));
    }
    watch_the_machine(&shared, &arenas, Duration::from_secs(seconds));

    let over = witness::now();
    shared.over.declare();
    for arena in &arenas {
        asking::stop_all(arena);
    }
    shared.join_undoing();
    arenas.iter().for_each(deeds::sweep);
    shared.join();
    let until = witness::now();
    let mut findings = Vec::new();
    for arena in &arenas {
        asking::harvest(arena);
        let finding = checker::check(&verdict::case(arena, (began, over), until));
        finding.faults.iter().for_each(|fault| shared.fault(fault.clone()));
        verdict::leftovers(arena);
        findings.push((arena.name.clone(), finding));
    }
    report(&shared, &arenas, &findings, seed);
    let faults = shared.faults.lock().unwrap();
    assert!(faults.is_empty(), "{} faults with CHAOS_SEED={seed}:\n{}", faults.len(), faults.join("\n"));
}

/// Waits until it is over; looks at the histories, and notes when the machine itself was late.
fn watch_the_machine(shared: &Shared, arenas: &[Arc<Arena>], time: Duration) {
    let step = Duration::from_millis(100);
    let steps = time.as_millis() / step.as_millis();
    for number in 0..steps {
        let before = witness::now();
        if number % 100 == 99 {
            for arena in arenas {
                asking::harvest(arena);
            }
        } else {
            shared.over.pause(step);
            let after = witness::now();
            if after - before > u64::try_from(step.as_nanos()).unwrap() + LATE {
                shared.count("times that the machine was late");
                for arena in arenas {
                    arena.hindered.lock().unwrap().push(chaos::arena::Hindrance {
                        from: before,
                        to: Some(after),
                        why: "the machine was late",
                    });
                }
            }
        }
    }
}

fn report(shared: &Shared, arenas: &[Arc<Arena>], findings: &[(String, checker::Finding)], seed: u64) {
    let journal = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}.journal"));
    let mut lines = shared.journal.lock().unwrap().clone();
    lines.sort();
    std::fs::write(&journal, lines.into_iter().map(|(_, line)| line + "\n").collect::<String>()).unwrap();
    for (what, count) in &*shared.counts.lock().unwrap() {
        println!("chaos: {count:6} {what}");
    }
    let seconds = |time: u64| time as f64 / checker::SECOND as f64;
    for ((name, finding), arena) in findings.iter().zip(arenas) {
        let starts = arena.starts();
        let held = starts.iter().filter(|start| start.state().held.is_some());
        let takeovers = held.clone().filter(|start| start.order.has("--replace")).count();
        println!(
            "chaos: `{name}`: {} starts, {} held ({takeovers} by takeover), {} witnesses; nobody held for {:.2} s at the \
             longest, unhindered {:.2} s, before a slow one {:.2} s; PROGRAM began after {:.2} s at the latest; {} not \
             told in the history, with reason",
            starts.len(),
            held.count(),
            finding.witnesses,
            seconds(finding.longest_free),
            seconds(finding.longest_gap),
            seconds(finding.longest_slow),
            seconds(finding.longest_beginning),
            finding.untold,
        );
    }
    println!("chaos: the journal is {}", journal.display());
}
