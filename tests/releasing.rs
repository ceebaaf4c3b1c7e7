//! A release: the instance is free when it returns, nothing is unlinked, and what was said before it is heard.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails so.

#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;

use std::{ffi::OsString, fs, path::Path, time::Duration};

use incumbent::{Error, Found, Incumbent, StopOptions, Stopped};
use program::{instance, lost, won};

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
        let holder = won(instance(dir.path()).claim_timeout(Duration::ZERO).claim_blocking());
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
