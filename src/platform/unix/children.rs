//! What a program that runs another needs of the system: groups, orphans, ends, and the terminal's job control.
//!
//! It is here because it takes `unsafe` or `cfg`; what to do is decided in `gateway`. Nothing here blocks.

use std::{io, os::unix::process::ExitStatusExt as _, process::ExitStatus, time::Instant};

use nix::{
    libc,
    sys::signal::{Signal, kill, raise},
    unistd::Pid,
};
use rustix::process::{WaitOptions, waitpid};

use crate::{
    platform::process::{self as system, ProcessHandle, descendants_of},
    process::{self, Process},
};

/// Makes this process the parent of every orphan among its descendants, from now on.
///
/// # Platform
/// Linux (`PR_SET_CHILD_SUBREAPER(2const)`): not inherited by children. Elsewhere nothing is done, and `false`.
#[must_use]
pub fn adopt_orphans() -> bool {
    #[cfg(target_os = "linux")]
    {
        let this = rustix::process::getpid();
        rustix::process::set_child_subreaper(Some(this)).is_ok()
    }
    #[cfg(not(target_os = "linux"))]
    false
}

/// How a child ended, which stays unreaped: its number, and its group's, are its own until [`reap`].
///
/// # Errors
/// As `waitid(2)`: `ECHILD` if it is no child of this process, or was reaped by somebody else.
pub fn end_of(pid: u32) -> io::Result<Option<ExitStatus>> {
    Ok(ended_child(libc::P_PID, pid)?.map(|(_, status)| status))
}

/// Reaps a child that has ended.
pub fn reap(pid: u32) {
    let _ = waitpid(super::to_pid(pid), WaitOptions::NOHANG);
}

/// Reaps every child that has ended, but this one. `false`: there is no child left.
#[must_use]
pub fn reap_others(but: Option<u32>) -> bool {
    loop {
        match ended_child(libc::P_ALL, 0) {
            Ok(Some((pid, _))) if Some(pid) != but => reap(pid),
            Ok(_) => return true, // those behind the one that is kept are reaped when it was
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

/// A child that has ended, which stays unreaped.
fn ended_child(which: libc::idtype_t, id: u32) -> io::Result<Option<(u32, ExitStatus)>> {
    // SAFETY: all zeroes is a valid `siginfo_t`; its pid stays zero if no child has ended (waitid(2)).
    let mut about: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    #[allow(clippy::useless_conversion)] // FreeBSD's are longer
    let id: libc::id_t = id.into();
    // SAFETY: the pointer is to a struct that outlives the call.
    if unsafe { libc::waitid(which, id, &raw mut about, options) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: of a child that has ended both fields are set.
    let (pid, status) = unsafe { (about.si_pid(), about.si_status()) };
    let Ok(pid @ 1..) = u32::try_from(pid) else { return Ok(None) };
    // As wait(2) has it: the code above the signal.
    let raw = if about.si_code == libc::CLD_EXITED { (status & 0xff) << 8 } else { status & 0x7f };
    Ok(Some((pid, ExitStatus::from_raw(raw))))
}

/// A process that this one started, directly or not, held so that its number cannot be mistaken for another's.
#[derive(Debug)]
pub struct Descendant {
    /// What the system says about it.
    pub process: Process,
    handle: ProcessHandle,
}

impl Descendant {
    /// Sends it a signal.
    ///
    /// # Errors
    /// As `kill(2)`.
    pub fn signal(&self, number: i32) -> io::Result<()> {
        self.handle.signal(process::Signal::Number(number))
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.handle.wait_ended(Instant::now())
    }
}

/// Every living process that this one started, directly or not, without these and what they started. Reads `/proc`
/// once, some microseconds a process; each is looked at again after its handle was opened.
///
/// # Platform
/// Linux; nothing elsewhere.
#[must_use]
pub fn descendants(but: &[u32]) -> Vec<Descendant> {
    let own = std::process::id();
    let found = descendants_of(own, but);
    let held: Vec<(u32, ProcessHandle)> = found
        .into_iter()
        .filter_map(|pid| ProcessHandle::open(pid).ok().flatten().map(|handle| (pid, handle)))
        .collect();
    let still = descendants_of(own, but);
    held.into_iter()
        .filter(|(pid, handle)| still.contains(pid) && !handle.wait_ended(Instant::now()))
        .filter_map(|(pid, handle)| Some(Descendant { process: Process::of(pid).ok()??, handle }))
        .collect()
}

/// Whether that process started this one, directly or not, and adopts orphans: what it ends with its own child may end with
/// it what this one was started by.
///
/// # Platform
/// Linux; elsewhere nothing is known, and it is said to be none.
#[must_use]
pub fn descends_from(ancestor: u32) -> bool {
    descendants_of(ancestor, &[]).contains(&std::process::id())
}

/// Kills the children of this process, without these: in some microseconds, so that one that is to start the next and end
/// is hit before it does. Call it where nobody else reaps them meanwhile, so that their numbers are their own.
///
/// # Platform
/// Linux; nothing elsewhere.
pub fn kill_children(but: &[u32]) {
    for pid in system::children().into_iter().filter(|pid| !but.contains(pid)) {
        let _ = super::for_gateway::signal_child(pid, libc::SIGKILL);
    }
}

/// Lets live on what is left when this process ends: nothing is to be done.
pub fn leave_the_rest() {}

/// Sends a signal to the process group of a child that was not reaped yet, so that the number is the group's.
///
/// # Errors
/// As `kill(2)`.
pub fn signal_group(leader: u32, signal: i32) -> io::Result<()> {
    let group = i32::try_from(leader).ok().filter(|&pid| pid > 1).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(kill(Pid::from_raw(-group), Signal::try_from(signal)?)?)
}

/// Stops this process, as Ctrl-Z does; returns when it goes on.
pub fn stop_oneself() {
    let _ = raise(Signal::SIGSTOP);
}

/// Whether the standard input is the terminal that this process's session is controlled from: then its job control is a
/// matter of this process's group.
#[must_use]
pub fn is_at_its_terminal() -> bool {
    let stdin = io::stdin();
    let is = |session: rustix::process::Pid, own| u32::try_from(session.as_raw_nonzero().get()) == Ok(own);
    super::session()
        .is_some_and(|own| rustix::termios::tcgetsid(&stdin).is_ok_and(|session| is(session, own)))
}

/// The number of a signal, by its name in any case, with or without `SIG`, or by its number.
#[must_use]
pub fn signal_number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return Signal::try_from(number).ok().map(|signal| signal as i32);
    }
    let name = text.to_ascii_uppercase();
    let name = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    name.parse::<Signal>().ok().map(|signal| signal as i32)
}
