//! A process that can be waited for: a kqueue with `EVFILT_PROC`, `NOTE_EXIT` (`kqueue(2)`).
//!
//! The filter is bound to the process, not to its number, and the queue becomes readable when it ends. The event is never taken out, so it
//! stays readable. There is no signal through it: one goes by number, just after the queue said that the process is still there. Between the
//! two it would have to end, be reaped *and* its number be given to another; neither system has anything better.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::time::Instant;

use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent, kqueue};
use rustix::io::{Errno, FdFlags, fcntl_setfd};
use rustix::process::kill_process;

use crate::platform::unix::{to_pid, to_signal, wait_readable};
use crate::process::Signal;

/// A process, alive or ended, and never another one in its place.
#[derive(Debug)]
pub(crate) struct ProcessHandle {
    queue: OwnedFd,
    pid: u32,
}

impl ProcessHandle {
    /// Opens the process that has this pid now; none if there is none. macOS: none also for one that is ending or not reaped,
    /// and its locks may last a moment longer (`proc_prepareexit` in xnu). FreeBSD: none also for one that it hides from us.
    ///
    /// # Errors
    /// No free descriptor; no memory in the kernel.
    pub(crate) fn open(pid: u32) -> io::Result<Option<Self>> {
        let Some(raw) = to_pid(pid) else {
            return Ok(None);
        };
        let queue = kqueue()?;
        fcntl_setfd(&queue, FdFlags::CLOEXEC)?;
        let filter = EventFilter::Proc { pid: raw, flags: ProcessEvents::EXIT };
        let change = Event::new(filter, EventFlags::ADD, ptr::null_mut());
        // SAFETY: the event names a process and no descriptor that would have to outlive the queue.
        match unsafe { kevent(&queue, &[change], &mut [] as &mut [Event], None) } {
            Ok(_) => Ok(Some(Self { queue, pid })),
            Err(Errno::SRCH) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Its pid.
    #[allow(clippy::unnecessary_wraps)] // On Linux it may be unknown.
    pub(crate) fn pid(&self) -> Option<u32> {
        Some(self.pid)
    }

    /// Whether it has ended; an unreaped process has.
    pub(crate) fn has_ended(&self) -> bool {
        self.wait_ended(Instant::now())
    }

    /// Blocks until it has ended (true) or the deadline has passed (false).
    pub(crate) fn wait_ended(&self, deadline: Instant) -> bool {
        wait_readable(&self.queue, deadline)
    }

    /// Sends a signal to it, unless it has ended.
    ///
    /// # Errors
    /// `ESRCH`: it has ended. `EPERM`: it belongs to another user.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let signal = to_signal(signal)?;
        match to_pid(self.pid) {
            Some(pid) if !self.has_ended() => Ok(kill_process(pid, signal)?),
            _ => Err(Errno::SRCH.into()),
        }
    }
}

/// Readable once the process has ended: for an event loop.
impl AsFd for ProcessHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}
