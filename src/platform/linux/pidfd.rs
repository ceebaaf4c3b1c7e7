//! A process that stays the same one: a pidfd (`pidfd_open(2)`, Linux 5.3).
//!
//! A pid is a number that the next process may have; a pidfd is the process itself, and readable once it has ended (all of its threads,
//! reaped or not). Signals go through it (`pidfd_send_signal(2)`), so they can't meet a stranger. The descriptor is close-on-exec.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::io::Errno;
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};

use crate::platform::unix::{to_pid, to_signal, wait_readable};
use crate::process::Signal;

/// A process, alive or ended, and never another one in its place.
#[derive(Debug)]
pub(crate) struct ProcessHandle {
    pidfd: OwnedFd,
    pid: Option<u32>,
}

impl ProcessHandle {
    /// Opens the process that has this pid now; none if there is none, or only a thread of that number.
    ///
    /// # Errors
    /// No free descriptor; `ENOSYS` or `EPERM` where a kernel before 5.3 or a sandbox has no `pidfd_open`.
    pub(crate) fn open(pid: u32) -> io::Result<Option<Self>> {
        let Some(raw) = to_pid(pid) else {
            return Ok(None);
        };
        match pidfd_open(raw, PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Some(Self { pidfd, pid: Some(pid) })),
            // ESRCH: nobody. EINVAL (since 6.15 ENOENT): a thread that is not the first of its process.
            Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a pidfd that the kernel gave for something else than a number (`SO_PEERPIDFD`, Linux 6.5: the peer of a socket).
    ///
    /// Its number is read from the pidfd only when it is not known already.
    pub(crate) fn from_pidfd(pidfd: OwnedFd, pid: Option<u32>) -> Self {
        let pid = pid.or_else(|| pid_of(&pidfd));
        Self { pidfd, pid }
    }

    /// The pid as seen from here. None for one from elsewhere that is in another pid namespace, or was already reaped.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Whether all of it has ended; an unreaped process has.
    pub(crate) fn has_ended(&self) -> bool {
        self.wait_ended(Instant::now())
    }

    /// Blocks until it has ended (true) or the deadline has passed (false).
    pub(crate) fn wait_ended(&self, deadline: Instant) -> bool {
        wait_readable(&self.pidfd, deadline)
    }

    /// Sends a signal to this very process.
    ///
    /// # Errors
    /// `ESRCH`: it has ended and was reaped. `EPERM`: it belongs to another user.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let signal = to_signal(signal)?;
        Ok(pidfd_send_signal(&self.pidfd, signal)?)
    }
}

/// Readable once the process has ended: for an event loop.
impl AsFd for ProcessHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// The `Pid:` line of the descriptor's fdinfo (`proc_pid_fdinfo(5)`): 0 in another pid namespace, -1 once reaped.
fn pid_of(pidfd: &OwnedFd) -> Option<u32> {
    if !super::system::proc_is_ours() {
        return None;
    }
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    parse_pid(&text)
}

fn parse_pid(fdinfo: &str) -> Option<u32> {
    let value = fdinfo.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    value.trim().parse().ok().filter(|&pid| pid > 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_pid_elsewhere_or_gone_is_none() {
        assert_eq!(parse_pid("pos:\t0\nflags:\t02000002\nPid:\t4242\nNSpid:\t4242\n"), Some(4242));
        assert_eq!(parse_pid("pos:\t0\nPid:\t0\n"), None);
        assert_eq!(parse_pid("pos:\t0\nPid:\t-1\n"), None);
        assert_eq!(parse_pid("pos:\t0\nNSpid:\t7\n"), None);
    }

    #[test]
    fn a_killed_process_has_ended_before_it_is_reaped() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let handle = ProcessHandle::open(child.id()).unwrap().unwrap();
        assert!(!handle.has_ended());
        handle.signal(Signal::Kill).unwrap();
        assert!(handle.wait_ended(Instant::now() + std::time::Duration::from_secs(20)));
        assert!(ProcessHandle::open(child.id()).unwrap().unwrap().has_ended());
        child.wait().unwrap();
        assert!(handle.has_ended());
        assert_eq!(
            handle.signal(Signal::Terminate).unwrap_err().raw_os_error(),
            Some(Errno::SRCH.raw_os_error())
        );
    }

    #[test]
    fn a_pidfd_from_elsewhere_knows_its_pid() {
        let own = ProcessHandle::open(std::process::id()).unwrap().unwrap();
        let copy = ProcessHandle::from_pidfd(own.as_fd().try_clone_to_owned().unwrap(), None);
        assert_eq!(copy.pid(), Some(std::process::id()));
    }

    #[test]
    fn threads_and_numbers_that_nobody_has_are_no_process() {
        assert!(ProcessHandle::open(0).unwrap().is_none());
        assert!(ProcessHandle::open(u32::MAX).unwrap().is_none());
        let thread = std::thread::spawn(|| {
            let tid = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
            ProcessHandle::open(tid).unwrap().is_none()
        });
        assert!(thread.join().unwrap());
    }
}
