//! Looking changes nothing: no byte, no time, no mode, no lock, no name; whatever there is to see. What it asks of the
//! system is watched with strace(1), where that is.
#![cfg(unix)] // locks, inodes and calls are looked at
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, unreachable_pub)] // A test fails so.

#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;
#[path = "support/teller.rs"]
mod teller;
#[path = "support/traces.rs"]
mod traces;

use std::{fs, path::Path, process::Command};

use program::{Program, eventually, tell};

#[test]
fn role() {
    let Some((name, dir)) = program::role() else { return };
    match name.as_str() {
        "holder" => program::holder(&dir),
        "teller" => teller::teller(&dir),
        "claimer" => claimer(&dir),
        other => panic!("no role {other}"),
    }
}

/// Keeps the two locks and does not answer: as a holder does that is starting.
fn claimer(dir: &Path) {
    let _locks = [os::CLAIM, os::INSTANCE].map(|byte| os::Lock::take(&dir.join("a.pid"), byte).unwrap());
    tell("holding");
    program::orders().for_each(drop);
}

fn looker(wrapper: &[&str], dir: &Path) -> Program {
    let mut looker = Program::role_under(wrapper, "teller", dir);
    looker.wait_line("ready");
    looker
}

/// Everything there is to see: each prepares a directory, says what is to be seen, and may keep a program alive.
type Scene = (&'static str, fn(&Path) -> Option<Program>);

const SCENES: [Scene; 10] = [
    ("absent", |_| None),
    ("absent", |dir| {
        fs::create_dir(dir).unwrap();
        None
    }),
    ("absent", |dir| {
        let mut holder = holder(dir);
        holder.ask("release");
        None
    }),
    ("crashed", |dir| {
        holder(dir).kill_9();
        None
    }),
    ("starting", |dir| Some(holder(dir))),
    ("starting", |dir| {
        fs::create_dir(dir).unwrap();
        let mut claimer = Program::role("claimer", dir);
        claimer.wait_line("holding");
        Some(claimer)
    }),
    ("unresponsive", |dir| {
        let holder = holder(dir);
        holder.stop();
        Some(holder)
    }),
    ("unknown", |dir| {
        let mut holder = holder(dir);
        holder.say("rob-and-stop");
        let pid = holder.pid();
        let stat = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        eventually("it is stopped", || stat().contains(") T "));
        Some(holder)
    }),
    ("absent", |dir| {
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("a.json"), "{ broken").unwrap();
        fs::write(dir.join("a.pid"), "no number").unwrap();
        fs::write(dir.join("a.history"), "\0\0\0").unwrap();
        None
    }),
    ("absent", |dir| {
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("a.sock"), "no socket").unwrap();
        fs::create_dir(dir.join("a.json")).unwrap();
        std::os::unix::fs::symlink("a.sock", dir.join("a.history")).unwrap();
        None
    }),
];

fn holder(dir: &Path) -> Program {
    let mut holder = Program::role("holder", dir);
    holder.wait_line("holding");
    holder
}

#[test]
fn looking_changes_nothing_whatever_there_is_to_see() {
    for (number, (state, prepare)) in SCENES.into_iter().enumerate() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().canonicalize().unwrap().join("place");
        let living = prepare(&dir);
        let mut looker = looker(&["env"], &dir);
        let before = traces::before(&dir);
        let seen = looker.ask("inspect");
        let after = traces::after(&dir);
        assert!(seen.starts_with(&format!("{state} ")), "scene {number}: {seen}");
        assert_eq!(before, after, "scene {number}");
        drop(living);
    }
}

#[test]
fn the_kernel_is_asked_for_nothing_that_could_change_something() {
    if !Command::new("strace").args(["-f", "true"]).output().is_ok_and(|output| output.status.success()) {
        eprintln!("left out: strace does not work here");
        return;
    }
    for (number, (state, prepare)) in SCENES.into_iter().enumerate() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().canonicalize().unwrap().join("place");
        let _living = prepare(&dir);
        let log = outer.path().join("calls");
        let calls = "trace=%file,%desc,%signal,bind,pidfd_send_signal";
        let wrapper = ["strace", "-f", "-y", "-s", "300", "-e", calls, "-o", log.to_str().unwrap()];
        let mut looker = looker(&wrapper, &dir);
        let seen = looker.ask("inspect");
        assert!(seen.starts_with(&format!("{state} ")), "scene {number}: {seen}");
        drop(looker);
        let log = fs::read_to_string(&log).unwrap();
        let here = dir.to_str().unwrap();
        assert!(log.lines().any(|call| call.contains(here)), "the calls were seen");
        for call in log.lines() {
            assert!(!changes_something(call, here), "scene {number}: {call}");
        }
    }
}

/// Tells whether a line of strace's is a call that makes, changes or removes a name in the directory, takes a lock, or
/// sends a signal.
fn changes_something(call: &str, dir: &str) -> bool {
    let name = call.split_once(' ').map_or("", |(_, call)| call.trim_start()).split('(').next().unwrap_or("");
    let anywhere = match name {
        "fcntl" => ["F_SETLK", "F_OFD_SETLK", "F_SETLEASE"].iter().any(|lock| call.contains(lock)),
        "flock" | "bind" | "kill" | "tkill" | "tgkill" | "pidfd_send_signal" => true,
        _ => false,
    };
    let changing =
        ["unlink", "rename", "mkdir", "rmdir", "chmod", "chown", "utim", "truncate", "link", "mknod"];
    let opens = ["O_CREAT", "O_WRONLY", "O_RDWR", "O_TRUNC", "O_APPEND"];
    let is_read = name.starts_with("readlink");
    let there = changing.iter().any(|change| name.contains(change)) && !is_read
        || name.starts_with("open") && opens.iter().any(|flag| call.contains(flag));
    // What is written may name the directory; here it is where it is written to.
    let writes = matches!(name, "write" | "pwrite64" | "writev" | "fallocate")
        && call.split(',').next().is_some_and(|descriptor| descriptor.contains(dir));
    anywhere || writes || there && call.contains(dir)
}

#[test]
fn the_watch_for_changing_calls_knows_them() {
    for call in [
        r#"12 openat(AT_FDCWD, "/d/a.pid", O_RDWR|O_CREAT|O_CLOEXEC, 0644) = 3"#,
        r#"12 unlink("/d/a.sock") = 0"#,
        r"12 fcntl(3</d/a.pid>, F_SETLK, {l_type=F_WRLCK}) = 0",
        r"12 kill(1, SIGTERM) = 0",
        r#"12 pwrite64(3</d/a.pid>, "1", 1, 0) = 1"#,
    ] {
        assert!(changes_something(call, "/d"), "{call}");
    }
    for call in [
        r#"12 openat(AT_FDCWD, "/d/a.pid", O_RDONLY|O_NOFOLLOW|O_NOATIME) = 3"#,
        r"12 fcntl(3</d/a.pid>, F_OFD_GETLK, {l_type=F_WRLCK}) = 0",
        r#"12 readlink("/d/a.sock", 0x7ffd, 4096) = -1"#,
        r#"12 openat(AT_FDCWD, "/elsewhere", O_RDWR) = 3"#,
    ] {
        assert!(!changes_something(call, "/d"), "{call}");
    }
}
