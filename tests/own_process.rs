//! What the holder's own program does to itself: forks, opens and closes the pid file, closes every descriptor, blocks
//! its loop, claims twice. None of it may lose the instance for longer than a tick, and nothing of the program's may be
//! touched.
#![cfg(unix)] // what is done here is fork, close and dup
#![allow(clippy::cast_possible_truncation, clippy::unwrap_used, clippy::panic, clippy::cast_possible_wrap)] // A test fails so.

#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;

use std::{
    fs::File,
    io::{Read as _, Seek as _, Write as _},
    os::fd::AsRawFd,
    path::Path,
    time::Duration,
};

use incumbent::{Claim, Found, State};
use program::{Program, eventually, instance, lock_owner, lost, orders, tell, won};

#[test]
fn role() {
    let Some((name, dir)) = program::role() else { return };
    match name.as_str() {
        "forker" => forker(&dir),
        "holder" => program::holder(&dir),
        "closer" => closer(&dir),
        "blocked" => blocked(&dir),
        other => panic!("no role {other}"),
    }
}

/// Holds, and forks a child that does not exec, which outlives it.
fn forker(dir: &Path) {
    let held = won(instance(dir).claim_blocking());
    let (mut out, child_in) = std::os::unix::net::UnixStream::pair().unwrap();
    // SAFETY: the child uses what a forked child of a threaded program may: system calls, and our own drop.
    match unsafe { nix::unistd::fork() }.unwrap() {
        nix::unistd::ForkResult::Parent { child } => {
            drop(child_in);
            let mut byte = [0];
            out.read_exact(&mut byte).unwrap();
            tell(format!("forked {child}"));
            for order in orders() {
                tell(format!("{order}: done"));
            }
            drop(held);
        }
        nix::unistd::ForkResult::Child => {
            // The shell of a holder: dropping it must not take anything from the parent.
            drop(held);
            (&child_in).write_all(b"x").unwrap();
            loop {
                nix::unistd::pause();
            }
        }
    }
}

/// Holds, closes everything above 2 (as daemonizing programs do), and opens files of its own under the same numbers.
fn closer(dir: &Path) {
    let held = won(instance(dir).claim_blocking());
    tell("holding");
    let mut orders = orders();
    assert_eq!(orders.next().as_deref(), Some("close"));
    for fd in 3..256 {
        let _ = nix::unistd::close(fd);
    }
    let own = dir.parent().unwrap();
    let mut files: Vec<File> = (0..60)
        .map(|n| {
            File::options()
                .create(true)
                .truncate(true)
                .read(true)
                .write(true)
                .open(own.join(format!("own{n}")))
                .unwrap()
        })
        .collect();
    let numbers: Vec<i32> = files.iter().map(AsRawFd::as_raw_fd).collect();
    for (n, file) in files.iter_mut().enumerate() {
        write!(file, "mine {n}").unwrap();
    }
    tell("close: done");
    let intact = |files: &mut Vec<File>| {
        for (n, file) in files.iter_mut().enumerate() {
            let mut text = String::new();
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            assert_eq!(text, format!("mine {n}"), "descriptor {}", numbers[n]);
        }
    };
    assert_eq!(orders.next().as_deref(), Some("check"));
    intact(&mut files);
    assert!(held.is_holding());
    tell("check: done");
    assert_eq!(orders.next().as_deref(), Some("release"));
    held.release_blocking().unwrap();
    intact(&mut files);
    tell("release: done");
    let _ = orders.next();
    intact(&mut files);
    tell("last: done");
}

/// Holds, with an event loop that is blocked while it reads its orders.
fn blocked(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let Claim::Won(held) = instance(dir).claim().await.unwrap() else { panic!("lost") };
        held.watch_loop(tokio::runtime::Handle::current());
        held.ready("");
        tell("holding");
        assert_eq!(orders().next().as_deref(), Some("unblock")); // blocks the loop
        tell("unblock: done");
        held.stop_requested().await;
    });
}

#[test]
fn forked_child_that_outlives_the_holder_blocks_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Program::role("forker", dir.path());
    let child: i32 = holder.wait_line("forked ").parse().unwrap();
    let child = KillOnDrop(child);
    let before = lost(instance(dir.path()).claim_blocking());
    assert_eq!(before.pid(), Some(holder.pid()), "the child's drop took nothing from its parent");
    holder.kill_9();
    assert_eq!(instance(dir.path()).inspect_blocking(program::WATCHDOG).unwrap().state(), State::Crashed);
    let next = won(instance(dir.path()).claim_blocking());
    assert!(child.lives());
    drop(next);
}

struct KillOnDrop(i32);

impl KillOnDrop {
    fn lives(&self) -> bool {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0), None).is_ok()
    }
}

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.0), nix::sys::signal::Signal::SIGKILL);
    }
}

#[test]
fn opening_and_closing_the_pid_file_loses_nothing_while_it_answers() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Program::role("holder", dir.path());
    holder.wait_line("holding");
    for _ in 0..3 {
        holder.ask("rob");
        assert_eq!(lost(instance(dir.path()).claim_blocking()).pid(), Some(holder.pid()));
        eventually("the tick takes the lock again", || lock_owner(dir.path()) == Some(holder.pid() as i32));
    }
    holder.ask("holding?");
}

#[test]
fn claiming_and_looking_in_the_holders_own_process_keep_the_lock() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Program::role("holder", dir.path());
    holder.wait_line("holding");
    for order in ["claim", "inspect", "claim", "inspect"] {
        holder.ask(order);
        assert_eq!(lock_owner(dir.path()), Some(holder.pid() as i32), "after {order}");
    }
    holder.ask("release");
    assert_eq!(lock_owner(dir.path()), None);
    drop(won(instance(dir.path()).claim_blocking()));
}

#[test]
fn a_program_that_closes_every_descriptor_loses_nothing_of_its_own_and_holds_again() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("place");
    let mut holder = Program::role("closer", &place);
    holder.wait_line("holding");
    holder.ask("close");
    eventually("it holds and answers again", || {
        lock_owner(&place) == Some(holder.pid() as i32)
            && matches!(instance(&place).find_blocking(Duration::from_millis(100)), Ok(Found::Incumbent(_)))
    });
    holder.ask("check");
    assert_eq!(lost(instance(&place).claim_blocking()).pid(), Some(holder.pid()));
    holder.ask("release");
    drop(won(instance(&place).claim_blocking()));
    holder.say("last");
    holder.wait_line("last:");
    assert!(holder.wait().success());
}

#[test]
fn a_blocked_event_loop_answers_pings_and_its_lag_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Program::role("blocked", dir.path());
    holder.wait_line("holding");
    let incumbent = lost(instance(dir.path()).claim_blocking());
    let lag = || incumbent.status_blocking(program::WATCHDOG).unwrap().holder.unwrap().lag_us;
    eventually("the lag grows beyond a second", || lag().is_some_and(|us| us > 1_000_000));
    incumbent.ping_blocking(Duration::from_secs(5)).unwrap();
    holder.ask("unblock");
    eventually("the lag is small again", || lag().is_some_and(|us| us < 500_000));
}

#[test]
fn one_process_holds_several_instances_and_releases_each_on_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let named = |name: &str| incumbent::Instance::new(name).unwrap().in_dir(dir.path()).unwrap();
    let claim = |name: &str| won(named(name).claim_blocking());
    let (one, two, token) = (
        claim("one"),
        claim("two"),
        won(incumbent::Instance::scoped("token", "s3cret")
            .unwrap()
            .in_dir(dir.path())
            .unwrap()
            .claim_blocking()),
    );
    for name in ["one", "two"] {
        assert_eq!(lost(named(name).claim_blocking()).pid(), Some(std::process::id()));
    }
    drop(one);
    assert_eq!(named("one").inspect_blocking(program::WATCHDOG).unwrap().state(), State::Absent);
    assert_eq!(lost(named("two").claim_blocking()).instance_id(), two.instance_id());
    drop(claim("one"));
    assert!(two.is_holding() && token.is_holding());
}
