//! What differs between systems, under one name each: how a process is ended, asked to stop and suspended, who has a
//! lock, and the endpoint as a stream of bytes. The tests above it say the same on every system; what a system has not
//! got is left out aloud, with [`left_out`].

#![allow(dead_code, unreachable_pub)] // every test file uses its own part of it

#[cfg_attr(unix, path = "unix.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;
pub use system::*;

#[cfg_attr(unix, path = "unix_files.rs")]
#[cfg_attr(windows, path = "windows_files.rs")]
mod files;
#[allow(unused_imports, reason = "not every test looks at files")]
pub use files::*;

#[cfg_attr(unix, path = "unix_streams.rs")]
#[cfg_attr(windows, path = "windows_pipes.rs")]
mod streams;
#[allow(unused_imports, reason = "not every test speaks bytes")]
pub use streams::*;

use std::{
    collections::BTreeSet,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command},
    sync::Mutex,
};

/// The byte of the pid file that the holder keeps locked.
pub const INSTANCE: u64 = 1 << 30;
/// The byte of the pid file that who claims keeps locked.
pub const CLAIM: u64 = INSTANCE + 1;

/// Says once what a test did not do, and why; past the harness, so that it is read although the test passes.
pub fn left_out(what_and_why: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if SAID.lock().is_ok_and(|mut said| said.insert(what_and_why.to_owned())) {
        // A line of its own, and in one piece: others write there, too.
        let _ = std::io::stderr().write_all(format!("\nleft out: {what_and_why}\n").as_bytes());
    }
}

/// Starts it. Wine (8.0) once in some thousand times ends a new process before its first instruction, and says so with
/// `ERROR_INTERNAL_ERROR`: nothing of it has run, and it is started again.
#[track_caller]
pub fn spawn(command: &mut Command) -> Child {
    const INTERNAL_ERROR: i32 = 1359;
    let mut tries = 0..3;
    loop {
        match command.spawn() {
            Ok(child) => return child,
            Err(error)
                if is_wine() && error.raw_os_error() == Some(INTERNAL_ERROR) && tries.next().is_some() =>
            {
                left_out("the first try of a process that Wine ended before it ran (error 1359)");
            }
            Err(error) => panic!("cannot start {command:?}: {error}"),
        }
    }
}

/// As often as a race is tried: fewer times under Wine, where a start takes long, and as often as `STRESS` says.
pub fn rounds(count: usize) -> usize {
    let times = std::env::var("STRESS").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    if is_wine() {
        left_out("three of four rounds of each race: a process starts slowly under Wine");
        return times * count.div_ceil(4);
    }
    times * count
}

/// Whether the instance lock is this process's, as far as the system tells.
pub fn has_instance(dir: &Path, pid: u32) -> bool {
    is_locked_by(&pid_file(dir), INSTANCE, pid)
}

/// Whether nobody has the instance lock.
pub fn is_free(dir: &Path) -> bool {
    !is_locked(&pid_file(dir), INSTANCE)
}

/// Whether the claim lock is this process's, as far as the system tells.
pub fn has_claim(dir: &Path, pid: u32) -> bool {
    is_locked_by(&pid_file(dir), CLAIM, pid)
}

/// Whether somebody has the claim lock.
pub fn is_claimed(dir: &Path) -> bool {
    is_locked(&pid_file(dir), CLAIM)
}

/// Of the instance `a`.
fn pid_file(dir: &Path) -> PathBuf {
    dir.join("a.pid")
}
