//! A holder that lost its lock: somebody in its process closed a descriptor of the pid file. It gets the lock back with
//! the next tick; until then its answer, or at least its life, keeps others out; and only a successor deposes it.
#![allow(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_wrap,
    unreachable_pub
)] // A test fails so.

#[path = "support/program.rs"]
mod program;

use std::{fs::File, path::Path, time::Duration};

use incumbent::{Error, State};
use nix::{
    fcntl::{FcntlArg, fcntl},
    libc,
    sys::signal::Signal,
};
use program::{Program, eventually, instance, lock_owner, lost, orders, tell, won};

#[test]
fn role() {
    let Some((name, dir)) = program::role() else { return };
    match name.as_str() {
        "holder" => program::holder(&dir),
        "thief" => thief(&dir),
        other => panic!("no role {other}"),
    }
}

/// Takes both locks as a contender does, and lets go of them when it is told: it only looks.
fn thief(dir: &Path) {
    let file = File::options().read(true).write(true).open(dir.join("a.pid")).unwrap();
    for order in orders() {
        let kind = match order.as_str() {
            "take" => libc::F_WRLCK,
            "let-go" => libc::F_UNLCK,
            other => panic!("no order {other}"),
        };
        for offset in [(1 << 30) + 1, 1 << 30] {
            let mut range =
                libc::flock { l_type: kind as i16, l_whence: 0, l_start: offset, l_len: 1, l_pid: 0 };
            // The holder's tick may be quicker for once.
            while fcntl(&file, FcntlArg::F_SETLK(&range)).is_err() {
                range.l_pid = 0;
            }
        }
        tell(format!("{order}: done"));
    }
}

#[test]
fn a_robbed_holder_that_is_stopped_is_not_succeeded() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Program::role("holder", dir.path());
    holder.wait_line("holding");
    holder.say("rob-and-stop");
    let pid = nix::unistd::Pid::from_raw(holder.pid() as i32);
    nix::sys::wait::waitpid(pid, Some(nix::sys::wait::WaitPidFlag::WUNTRACED)).unwrap();
    assert_eq!(lock_owner(dir.path()), None, "the lock is free");

    let quick = instance(dir.path()).claim_timeout(Duration::from_millis(300));
    match quick.claim_blocking() {
        Err(Error::Unresponsive(seen)) => {
            assert_eq!(seen.state(), State::Unknown);
            assert!(seen.sentence().contains(&format!("pid {pid}")), "{}", seen.sentence());
            assert!(seen.sentence().contains("stopped"), "{}", seen.sentence());
        }
        other => panic!("{other:?}"),
    }
    holder.signal(Signal::SIGCONT);
    holder.wait_line("rob-and-stop:");
    assert_eq!(lost(instance(dir.path()).claim_blocking()).pid(), Some(holder.pid()));
    eventually("it has its lock again", || lock_owner(dir.path()) == Some(holder.pid() as i32));
}

#[test]
fn a_contender_that_only_looks_while_the_lock_is_robbed_deposes_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Program::role("holder", dir.path());
    holder.wait_line("holding");
    let mut thief = Program::role("thief", dir.path());
    // The thief waits for the locks in a loop, so that it has them before the next tick.
    thief.say("take");
    holder.ask("rob");
    thief.wait_line("take:");
    assert_eq!(lock_owner(dir.path()), Some(thief.pid() as i32));
    // Long enough for two ticks, which are seen from outside as nothing: pings go on all the time.
    let incumbent = lost(instance(dir.path()).claim_blocking());
    let until = std::time::Instant::now() + Duration::from_millis(2500);
    while std::time::Instant::now() < until {
        incumbent.ping_blocking(program::WATCHDOG).unwrap();
    }
    holder.ask("holding?");
    thief.ask("let-go");
    eventually("it has its lock again", || lock_owner(dir.path()) == Some(holder.pid() as i32));
    holder.ask("holding?");
}

#[test]
fn a_higher_generation_in_the_record_deposes() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Program::role("holder", dir.path());
    let generation: u64 = holder.wait_line("holding ").parse().unwrap();
    let record = std::fs::read_to_string(dir.path().join("a.json")).unwrap();
    let higher = record
        .replace(&format!("\"generation\": {generation}"), &format!("\"generation\": {}", generation + 1));
    assert_ne!(record, higher);
    std::fs::write(dir.path().join("a.json"), &higher).unwrap();
    holder.ask("wait-deposed");
    eventually("it lets go", || lock_owner(dir.path()).is_none());
    assert_eq!(std::fs::read_to_string(dir.path().join("a.json")).unwrap(), higher, "and wrote nothing more");
    let next = won(instance(dir.path()).claim_blocking());
    assert!(next.generation() > generation + 1);
}
