//! After `kill -9` of the holder the next claim is won at once: with the dead one unreaped, with another process keeping
//! all its descriptors, with the pid file naming a living stranger. Nothing is deleted by hand, and no time-out is
//! waited for: the claims here have none.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)] // A test fails so.

#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;
#[cfg(target_os = "linux")]
#[path = "support/users.rs"]
mod users;

use std::{path::Path, time::Duration};

use incumbent::{End, Error, Instance, State};
use program::{Program, lost, won};

#[test]
fn role() {
    let Some((name, dir)) = program::role() else { return };
    match name.as_str() {
        "holder" => program::holder(&dir),
        #[cfg(target_os = "linux")]
        "keeper" => keeper::keeper(),
        other => panic!("no role {other}"),
    }
}

/// Without any patience: what is not decided at once is not won. Only Windows may take a moment to free a dead one's locks
/// (<https://learn.microsoft.com/windows/win32/api/fileapi/nf-fileapi-lockfileex>).
fn impatient(dir: &Path) -> Instance {
    program::instance(dir).claim_timeout(Duration::from_secs(u64::from(cfg!(windows))))
}

#[test]
fn killed_holder_never_blocks_the_next() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..os::rounds(200) {
        let mut holder = Program::role("holder", dir.path());
        holder.wait_line("holding");
        os::kill_unreaped(holder.pid());
        let seen = impatient(dir.path()).inspect_blocking(program::WATCHDOG).unwrap();
        assert_eq!(seen.state(), State::Crashed, "round {round}");
        let previous = seen.status().previous.unwrap();
        assert_eq!((previous.pid, previous.end), (holder.pid(), Some(End::Crashed)), "round {round}");
        drop(won(impatient(dir.path()).claim_blocking()));
    }
}

#[test]
fn a_pid_file_that_names_a_living_stranger_stops_nobody() {
    let dir = tempfile::tempdir().unwrap();
    for stranger in [std::process::id(), os::FIRST_PROCESS] {
        let mut holder = Program::role("holder", dir.path());
        holder.wait_line("holding");
        os::kill_unreaped(holder.pid());
        std::fs::write(dir.path().join("a.pid"), format!("{stranger}\n")).unwrap();
        let record = std::fs::read_to_string(dir.path().join("a.json")).unwrap();
        let forged = record.replace(&format!("\"pid\": {}", holder.pid()), &format!("\"pid\": {stranger}"));
        std::fs::write(dir.path().join("a.json"), forged).unwrap();
        drop(won(impatient(dir.path()).claim_blocking()));
    }
}

#[test]
fn a_stopped_holder_is_unresponsive_and_never_succeeded() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Program::role("holder", dir.path());
    holder.wait_line("holding");
    holder.stop();
    let seen = program::instance(dir.path()).inspect_blocking(Duration::from_millis(200)).unwrap();
    assert_eq!(seen.state(), State::Unresponsive);
    assert_eq!(seen.status().holder.unwrap().pid, Some(holder.pid()));
    let words = seen.sentence();
    assert!(words.contains(&format!("pid {}", holder.pid())) && words.contains(os::SUSPENDED), "{words}");
    match program::instance(dir.path()).claim_timeout(Duration::from_millis(200)).claim_blocking() {
        Err(Error::Unresponsive(seen)) => assert!(seen.sentence().contains(os::SUSPENDED)),
        other => panic!("{other:?}"),
    }
    holder.resume();
    assert_eq!(lost(program::instance(dir.path()).claim_blocking()).pid(), Some(holder.pid()));
    assert!(os::has_instance(dir.path(), holder.pid()));
}

/// What is kept of a dead holder, and a queue that is full: as Linux has them.
#[cfg(target_os = "linux")]
mod keeper {
    use std::{
        os::{fd::OwnedFd, unix::net::UnixListener},
        time::{Duration, Instant},
    };

    use incumbent::State;
    use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

    use super::{
        impatient, os,
        program::{self, Program, eventually, lost, orders, tell, won},
        users::{abstract_address, abstract_name_of},
    };

    /// Keeps duplicates of every descriptor of the process that it is told, above 2.
    pub(super) fn keeper() {
        let mut kept: Vec<OwnedFd> = Vec::new();
        for order in orders() {
            let pid: i32 = order.strip_prefix("keep ").unwrap().parse().unwrap();
            let process = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
            for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
                let number: i32 = entry.unwrap().file_name().to_string_lossy().parse().unwrap();
                if number > 2 {
                    kept.extend(pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok());
                }
            }
            tell(format!("keep: {}", kept.len()));
        }
    }

    #[test]
    fn a_process_that_keeps_all_descriptors_of_the_dead_one_blocks_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let mut keeper = Program::role("keeper", dir.path());
        for round in 0..os::rounds(200) {
            let mut holder = Program::role("holder", dir.path());
            holder.wait_line("holding");
            let kept = keeper.ask(&format!("keep {}", holder.pid()));
            assert!(kept.parse::<usize>().unwrap() > round, "it keeps them");
            os::kill_unreaped(holder.pid());
            let next = won(impatient(dir.path()).claim_blocking());
            let status = lost(program::instance(dir.path()).claim_blocking())
                .status_blocking(program::WATCHDOG)
                .unwrap();
            assert!(status.problem.unwrap().contains("abstract socket"), "it says what it goes without");
            drop(next);
        }
    }

    #[test]
    fn the_abstract_name_is_taken_again_when_its_keeper_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut keeper = Program::role("keeper", dir.path());
        let mut holder = Program::role("holder", dir.path());
        holder.wait_line("holding");
        keeper.ask(&format!("keep {}", holder.pid()));
        os::kill_unreaped(holder.pid());
        let next = won(impatient(dir.path()).claim_blocking());
        keeper.kill_9();
        let incumbent = lost(program::instance(dir.path()).claim_blocking());
        eventually("it has it", || incumbent.status_blocking(program::WATCHDOG).unwrap().problem.is_none());
        drop(next);
    }

    /// Else who comes in between would hold without it, and the files alone would guard that one.
    #[test]
    fn whoever_finds_the_lock_of_one_that_leaves_free_finds_its_abstract_name_free() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..os::rounds(20) {
            let mut holder = Program::role("holder", dir.path());
            holder.wait_line("holding");
            let name = abstract_name_of(holder.pid()).expect("it has an abstract name");
            holder.say("release");
            let began = Instant::now();
            while !os::is_free(dir.path()) {
                assert!(began.elapsed() < program::WATCHDOG, "it leaves");
            }
            UnixListener::bind_addr(&abstract_address(&name)).expect("it is free");
            holder.wait_line("release:");
        }
    }

    #[test]
    fn a_stopped_holder_with_a_full_backlog_is_unresponsive_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut holder = Program::role("holder", dir.path());
        holder.wait_line("holding");
        holder.stop();
        let path = dir.path().join("a.sock");
        let mut crowd: Vec<OwnedFd> = Vec::new();
        loop {
            use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
            let socket =
                socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None).unwrap();
            match connect(&socket, &SocketAddrUnix::new(&path).unwrap()) {
                Ok(()) => crowd.push(socket),
                Err(rustix::io::Errno::AGAIN) => break,
                Err(error) => panic!("{error} after {}", crowd.len()),
            }
        }
        let seen = program::instance(dir.path()).inspect_blocking(Duration::from_millis(200)).unwrap();
        assert_eq!(seen.state(), State::Unresponsive, "with {} waiting", crowd.len());
        assert_eq!(seen.status().holder.unwrap().pid, Some(holder.pid()));
        drop(crowd);
        holder.resume();
        assert_eq!(lost(program::instance(dir.path()).claim_blocking()).pid(), Some(holder.pid()));
    }
}
