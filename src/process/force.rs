//! Ends the process that the kernel says owns a lock; the last resort of a takeover with `--force`.
//!
//! Signals have hit strangers in every program that sent them to a remembered pid. Here the number comes from the kernel, at this moment,
//! and each step narrows who it can be:
//! 1. Ask who owns the lock. Nobody: gone. A pid of 0 or below, one in another pid namespace, ourselves: refused.
//! 2. Open its handle. From here on it can't be mistaken for a later process of the same number.
//! 3. Is it another user's? Refused, unless we are root.
//! 4. Ask again. It must be the same pid, so the handle's process owned the lock after the handle was opened.
//! 5. The process itself must show the lock (Linux: `/proc/PID/fdinfo`).
//! 6. Terminate, and continue it if it is stopped; in this order, so that it does no more work of its own. Wait up to the grace.
//!    On Windows there is nothing that it could be told so: no grace, then.
//! 7. Still there: ask again. It has let go of the lock: it may live. Else kill, and wait again, for its end or for the lock: the end of one
//!    that is traced may be kept back by its debugger. Even that may be in vain, as long as it is frozen or in the kernel.
//!
//! It doesn't find out whether the file system is remote (then the lock's owner may be a number on another machine); its caller must.
//! The tests below end, spare and refuse real processes.

use std::io;
use std::time::{Duration, Instant};

use super::{Process, ProcessHandle, Signal};
use crate::platform::{self, process::may_signal};

/// After a kill it is asked so often whether the lock is still owned.
const LOOK: Duration = Duration::from_millis(100);

/// Who has a lock, as the kernel answers (`F_GETLK`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockOwner {
    /// Nobody: it is free.
    None,
    /// The process with this pid.
    Pid(u32),
    /// A process without a pid here: it is in another pid namespace (Linux says 0), or the system does not name it (Windows).
    ElsewhereNamespace,
}

/// What became of the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "only `Ended` and `Gone` leave the lock free"]
pub(crate) enum Forced {
    /// It has ended: by itself, or by force.
    Ended,
    /// Nobody owns the lock any more; a process that let go of it may live on.
    Gone,
    /// Nothing was done, or nothing more: the reason, as a clause about the owner.
    Refused(String),
    /// It was killed and has not gone: frozen, or in the kernel.
    KilledNotGone,
}

/// Ends the owner of a lock: politely, and after `grace` by force, which gets `kill_wait`.
///
/// Blocks for at most the two together. `owner` asks the kernel who has the lock; `holds_lock` whether the process with
/// this pid shows it, once.
///
/// # Errors
/// What `owner` fails with; a process that can't be looked at or signalled for a reason of this process (no descriptor left, a sandbox).
pub(crate) fn force_end(
    owner: impl Fn() -> io::Result<LockOwner>,
    holds_lock: impl Fn(u32) -> bool,
    grace: Duration,
    kill_wait: Duration,
) -> io::Result<Forced> {
    // 1.
    let pid = match owner()? {
        LockOwner::None => return Ok(Forced::Gone),
        LockOwner::ElsewhereNamespace => {
            return Ok(refused(format!("it is {}", platform::UNNAMED_PROCESS)));
        }
        LockOwner::Pid(pid) => pid,
    };
    if pid == 0 || i32::try_from(pid).is_err() {
        return Ok(refused(format!("{pid} is not the pid of a process")));
    }
    if pid == std::process::id() {
        return Ok(refused("it is this very process"));
    }
    // 2.
    let handle = ProcessHandle::open(pid)?;
    // 3. Judged below: one that vanished meanwhile is no stranger.
    let uid = Process::of(pid)?.and_then(|process| process.uid);
    // 4.
    match owner()? {
        LockOwner::None => return Ok(Forced::Gone),
        LockOwner::Pid(again) if again == pid => {}
        _ => {
            return Ok(refused(format!("pid {pid} passed the lock on while it was being looked at")));
        }
    }
    let Some(handle) = handle else {
        return Ok(refused(format!("no process has its pid, {pid}, here")));
    };
    if handle.has_ended() {
        return Ok(Forced::Ended);
    }
    if !may_signal(uid) {
        return Ok(refused(format!("pid {pid} belongs to another user")));
    }
    // 5.
    if !holds_lock(pid) {
        return Ok(refused(format!("pid {pid} does not show that it has the lock")));
    }
    // 6.
    let mut can_be_told = true;
    for signal in [Signal::Terminate, Signal::Continue] {
        match send(&handle, signal) {
            Ok(None) => {}
            Ok(Some(outcome)) => return Ok(outcome),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => can_be_told = false,
            Err(error) => return Err(error),
        }
    }
    if can_be_told && handle.wait_ended(after(grace)) {
        return Ok(Forced::Ended);
    }
    // 7.
    match owner()? {
        LockOwner::None => return Ok(Forced::Gone),
        LockOwner::Pid(again) if again == pid => {}
        _ => {
            return Ok(refused(format!("pid {pid} passed the lock on when it was asked to end")));
        }
    }
    if let Some(outcome) = send(&handle, Signal::Kill)? {
        return Ok(outcome);
    }
    let deadline = after(kill_wait);
    loop {
        if handle.wait_ended(deadline.min(after(LOOK))) {
            return Ok(Forced::Ended);
        }
        // A debugger may keep what is left of it for as long as it likes: the lock has gone all the same.
        if owner()? == LockOwner::None {
            return Ok(Forced::Gone);
        }
        if Instant::now() >= deadline {
            return Ok(Forced::KilledNotGone);
        }
    }
}

fn refused(why: impl Into<String>) -> Forced {
    Forced::Refused(why.into())
}

/// Sends a signal; an outcome if there is nothing more to do.
fn send(handle: &ProcessHandle, signal: Signal) -> io::Result<Option<Forced>> {
    match handle.signal(signal) {
        Ok(()) => Ok(None),
        // ESRCH, or whatever else a system says of one that has just ended.
        Err(_) if handle.has_ended() => Ok(Some(Forced::Ended)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Ok(Some(Forced::Refused("the system does not let us signal it".into())))
        }
        Err(error) => Err(error),
    }
}

/// The deadline of a wait that begins now; a day for a time that the clock can't express.
fn after(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now + Duration::from_secs(86_400))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests;
