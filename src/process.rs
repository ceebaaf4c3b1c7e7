//! A process: what the kernel says about it, and how it is ended when nothing else helps.
//!
//! A pid is only a number, and the next process may have it. Who is meant is therefore said by a [`ProcessHandle`], which stays with one
//! process, or by `start_ticks` beside the pid, within one boot. What is told here is for people and for the post-mortem: it is not proof of
//! life, which only a pong and the instance lock give. Facts that the system keeps to itself are missing, and no failure.
//!
//! The platforms' side is `platform::process`; ending the owner of a lock, with all its conditions, is in [`force`].

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::platform;

mod force;

pub(crate) use force::{Forced, LockOwner, force_end};
pub(crate) use platform::process::ProcessHandle;

/// What the kernel says about a process.
///
/// # Platform
/// Linux: read from `/proc` (`proc(5)`). macOS and FreeBSD: what the crate `sysinfo` finds. Windows: what a handle of it tells, which is
/// not its command line, nor whether it is suspended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Process {
    /// Its number now. Another process may have it later.
    pub pid: u32,
    /// The name that the kernel keeps: at most 15 bytes on Linux, any bytes (those that aren't UTF-8 are replaced). Empty if it is not told.
    pub name: String,
    /// The command line; at most 64 KiB of it. Empty if it is not told, and for kernel threads and processes stuck in the kernel.
    pub command: Vec<OsString>,
    /// The program's file, as it was called when it was started. None if it is not told, mostly for another user's process.
    pub executable: Option<PathBuf>,
    /// The effective user. Windows: a number that this process has given it, which means nothing to others; 0 is the system.
    pub uid: Option<u32>,
    /// When it began, for people: the answer moves when the clock is set. Never compare it.
    pub started_at: Option<SystemTime>,
    /// When it began, for comparing: with the pid and the boot id it says whether this is the same process. Linux: clock ticks since the
    /// boot; Windows: 100 ns since 1601; elsewhere seconds since 1970, which the system may shift with the clock.
    pub start_ticks: Option<u64>,
    /// Whether it can run at all.
    pub state: ProcessState,
}

/// Whether a process can run, and if not, why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProcessState {
    /// It runs or waits for something; also when nothing is known.
    Running,
    /// Stopped by a signal (Ctrl-Z, `SIGSTOP`); goes on after `SIGCONT`.
    Stopped,
    /// Stopped by its debugger.
    Traced,
    /// Its control group is frozen (`docker pause`, `systemctl freeze`). Only told after [`Process::check_frozen`].
    Frozen,
    /// Dead or about to be: a zombie, or one that the kernel is taking apart.
    Ending,
}

impl Process {
    /// Asks about the process that has this pid now; none if there is none.
    ///
    /// Takes some 20 µs on Linux; up to 20 ms if the process is stuck in the kernel.
    ///
    /// # Errors
    /// Only if this process has no descriptor or no memory left; whatever else can't be read is missing in the answer.
    pub fn of(pid: u32) -> io::Result<Option<Self>> {
        platform::process::look(pid)
    }

    /// Asks about this process.
    #[must_use]
    pub fn this() -> Self {
        let pid = std::process::id();
        let mut this = Self::of(pid).ok().flatten().unwrap_or_else(|| Self::unknown(pid));
        if this.command.is_empty() {
            this.command = std::env::args_os().collect();
        }
        this.executable = this.executable.or_else(|| std::env::current_exe().ok());
        this
    }

    /// Looks whether its control group is frozen, and says so in `state` too. A few more files: for a process that doesn't answer.
    ///
    /// # Platform
    /// Linux only, both versions of control groups; elsewhere always false.
    pub fn check_frozen(&mut self) -> bool {
        let is_frozen = self.state != ProcessState::Ending && platform::process::is_frozen(self.pid);
        if is_frozen {
            self.state = ProcessState::Frozen;
        }
        is_frozen
    }

    /// A process of which nothing can be said but that it is there.
    pub(crate) fn unknown(pid: u32) -> Self {
        Self {
            pid,
            name: String::new(),
            command: Vec::new(),
            executable: None,
            uid: None,
            started_at: None,
            start_ticks: None,
            state: ProcessState::Running,
        }
    }
}

/// The command line of this process, without asking the system for it; at most 64 KiB of it.
pub(crate) fn own_command() -> Vec<OsString> {
    let mut left = 64 * 1024_usize;
    let fits = |word: &OsString| {
        let rest = left.checked_sub(word.len() + 1);
        left = rest.unwrap_or(0);
        rest.is_some()
    };
    let command: Vec<OsString> = std::env::args_os().take_while(fits).collect();
    // Not every C library tells them to a library in somebody else's program.
    if command.is_empty() { Process::this().command } else { command }
}

/// What a [`ProcessHandle`] can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Go on after a stop (`SIGCONT`).
    Continue,
    /// End, if you will (`SIGTERM`).
    Terminate,
    /// Be ended (`SIGKILL`).
    Kill,
    /// The one of this number.
    Number(i32),
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use super::*;
    use crate::platform::{effective_user, testing::Subject};
    use std::time::{Duration, Instant};

    #[test]
    fn this_process_knows_itself() {
        let this = Process::this();
        assert_eq!(this.pid, std::process::id());
        assert_eq!(this.state, ProcessState::Running);
        assert_eq!(this.executable, std::env::current_exe().ok());
        assert_eq!(this.command, std::env::args_os().collect::<Vec<_>>());
        assert_eq!(this.uid, Some(effective_user()));
        let age = this.started_at.unwrap().elapsed().unwrap_or_default();
        assert!(age < Duration::from_secs(3600), "{age:?}");
        assert_eq!(Process::of(this.pid).unwrap().unwrap().start_ticks, this.start_ticks);
    }

    #[test]
    fn a_killed_process_is_ending_and_then_none() {
        let mut process = Subject::idle();
        let state = |process: &Subject| Process::of(process.pid()).unwrap().map(|process| process.state);
        assert!(state(&process).is_some());
        let handle = ProcessHandle::open(process.pid()).unwrap().unwrap();
        process.kill();
        assert!(handle.wait_ended(Instant::now() + Duration::from_secs(20)));
        // Not every system still tells anything about one that is not reaped.
        assert!(matches!(state(&process), None | Some(ProcessState::Ending)));
        process.reap();
        assert_eq!(state(&process), None);
    }

    #[test]
    fn numbers_that_nobody_has_are_no_process() {
        for pid in [0, u32::MAX, i32::MAX as u32] {
            assert_eq!(Process::of(pid).unwrap(), None);
        }
    }
}
