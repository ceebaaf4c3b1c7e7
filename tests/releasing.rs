//! A release: the instance is free when it returns, nothing is unlinked, and what was said before it is heard.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails so.

#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;

use std::{ffi::OsString, fs, path::Path, time::Duration};

use incumbent::{Error, Found, Incumbent, StopOptions, Stopped};
use program::{Program, instance, lost, won};

#[test]
fn role() {
    let Some((name, dir)) = program::role() else { return };
    match name.as_str() {
        "holder" => program::holder(&dir),
        other => panic!("no role {other}"),
    }
}

fn incumbent(dir: &Path) -> Incumbent {
    match instance(dir).find_blocking(program::WATCHDOG).unwrap() {
        Found::Incumbent(incumbent) => incumbent,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_released_instance_is_free_at_once_and_its_files_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = 0;
    #[cfg(unix)]
    let mut inode = None;
    for _ in 0..os::rounds(200) {
        let patience = Duration::from_secs(u64::from(cfg!(windows))); // pipes are closed when they were seen to be done
        let holder = won(instance(dir.path()).claim_timeout(patience).claim_blocking());
        assert!(holder.generation() > last);
        last = holder.generation();
        holder.release_blocking().unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("a.pid")).unwrap(), "", "empty after a release");
        #[cfg(unix)]
        {
            let facts = std::os::unix::fs::MetadataExt::ino(&fs::metadata(dir.path().join("a.pid")).unwrap());
            assert_eq!(*inode.get_or_insert(facts), facts, "the pid file is created once");
            assert!(dir.path().join("a.sock").exists());
        }
    }
}

#[test]
fn an_answer_that_was_given_before_the_release_reaches_its_sender() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..os::rounds(50) {
        let holder = won(instance(dir.path()).claim_blocking());
        let mut messages = holder.messages();
        let sender = incumbent(dir.path());
        let sent = std::thread::spawn(move || {
            sender.send_blocking(&[OsString::from("hello")], Path::new("/"), vec![0; 10_000])
        });
        let message = messages.next_blocking().unwrap();
        assert_eq!(message.body().len(), 10_000);
        message.answer(7, format!("round {round}"));
        holder.release_blocking().unwrap();
        let answer = sent.join().unwrap().unwrap();
        assert_eq!((answer.code, answer.body), (7, format!("round {round}").into_bytes()));
    }
}

#[test]
fn a_message_without_an_answer_is_an_error_and_never_silence() {
    let dir = tempfile::tempdir().unwrap();
    let holder = won(instance(dir.path()).claim_blocking());
    let mut messages = holder.messages();
    for released in [false, true] {
        let sender = incumbent(dir.path());
        let sent = std::thread::spawn(move || sender.send_blocking(&[], Path::new("/"), Vec::new()));
        let message = messages.next_blocking().unwrap();
        if released {
            holder.release_blocking().unwrap();
            assert!(matches!(sent.join().unwrap(), Err(Error::Disconnected { .. })));
            drop(message);
            return;
        }
        drop(message);
        assert!(matches!(sent.join().unwrap(), Err(Error::Refused { .. })));
    }
}

#[test]
fn a_stop_is_told_to_the_program_and_returns_when_the_lock_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let holder = won(instance(dir.path()).claim_blocking());
    let incumbent = lost(instance(dir.path()).claim_blocking());
    let work = holder.work().unwrap();
    let busy = incumbent.stop_blocking(&StopOptions::default().if_idle(true), |_| {}).unwrap();
    assert_eq!(busy, Stopped::Busy(1));
    assert!(holder.stop().is_none(), "a stop that was not granted is not told");

    let asker = incumbent.clone();
    let stopped = std::thread::spawn(move || {
        asker.stop_blocking(&StopOptions::default().grace(Duration::from_secs(30)), |_| {})
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let stop = holder.stop_requested().await;
        assert!(stop.grace() <= Duration::from_secs(30) && !stop.is_replace());
        assert_eq!(stop.pid(), Some(std::process::id()));
        assert!(holder.work().is_none(), "no work is begun while it stops");
        drop(work);
        holder.drained().await;
        holder.release().await.unwrap();
    });
    assert_eq!(stopped.join().unwrap().unwrap(), Stopped::Gone);
    drop(won(instance(dir.path()).claim_timeout(Duration::ZERO).claim_blocking()));
}

/// Everything of an instance as it is now; it is this process's.
fn files(dir: &Path) -> Vec<(OsString, Vec<i64>, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let bytes =
                if entry.file_type().unwrap().is_file() { os::silent_read(&entry.path()) } else { vec![] };
            (entry.file_name(), os::file_facts(&entry.path()), bytes)
        })
        .collect();
    all.sort();
    all
}

#[test]
fn the_end_of_an_old_holder_takes_nothing_from_the_new_one() {
    for how in [
        "released, and ends later",
        "released, and is killed later",
        "deposed, and lets go later",
        "deposed, and ends later",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut old = Program::role("holder", dir.path());
        let generation: u64 = old.wait_line("holding ").parse().unwrap();
        if how.starts_with("deposed") {
            let record = fs::read_to_string(dir.path().join("a.json")).unwrap();
            let (mine, higher) =
                (format!("\"generation\": {generation}"), format!("\"generation\": {}", generation + 1));
            fs::write(dir.path().join("a.json"), record.replace(&mine, &higher)).unwrap();
            old.ask("wait-deposed");
        } else {
            old.ask("release");
        }
        let new = won(instance(dir.path()).claim_blocking());
        let before = files(dir.path());
        match how.rsplit_once(", and ").unwrap().1 {
            "lets go later" => drop(old.ask("release")),
            "is killed later" => drop(old.kill_9()),
            _ => {}
        }
        // Its standard input ends, and with it its orders.
        old.dismiss();
        old.wait();
        assert_eq!(files(dir.path()), before, "{how}");
        assert!(new.is_holding(), "{how}");
        assert_eq!(incumbent(dir.path()).instance_id(), new.instance_id(), "{how}");
    }
}

#[test]
fn no_work_is_in_flight_when_an_idle_stop_was_granted() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..os::rounds(50) {
        let holder = won(instance(dir.path()).claim_blocking());
        let asker = incumbent(dir.path());
        let stopped = std::thread::spawn(move || {
            let if_idle = StopOptions::default().if_idle(true).grace(program::WATCHDOG);
            while asker.stop_blocking(&if_idle, |_| {}).unwrap() != Stopped::Gone {}
        });
        // Work begins and ends all the time; none can begin once the stop was granted.
        while let Some(work) = holder.work() {
            assert!(holder.stop().is_none(), "it was granted beside work in flight");
            drop(work);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(holder.stop_requested());
        holder.release_blocking().unwrap();
        stopped.join().unwrap();
    }
}
