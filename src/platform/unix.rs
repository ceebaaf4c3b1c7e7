//! What every Unix does alike.
//!
//! Small pieces for `process` and `system`, which re-export them: there is one way to a name, and it's theirs. The choice between several
//! places (which variable, which directory) is made by functions of their arguments alone, so that the tests need not touch the environment.

pub(crate) mod children;
pub(crate) mod datagrams;
pub mod detached;
pub(crate) mod files;
pub(crate) mod flock;
pub mod for_gateway;
pub mod hints;
#[cfg(feature = "cli")]
pub(crate) mod inbox;
pub(crate) mod listening;
pub(crate) mod locks;
pub(crate) mod owned;
pub(crate) mod passing;
pub(crate) mod plain_files;
pub(crate) mod served;
#[cfg(feature = "cli")]
pub mod signals;
pub(crate) mod socket;
#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test fails so
pub(crate) mod testing;
pub(crate) mod words;

use std::ffi::{CStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::{Uid, User};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use rustix::time::{ClockId, clock_gettime};

use crate::process::Signal;

/// A number that can be a process id, as the kernel takes it: neither 0 nor negative.
pub(crate) fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// A signal as the kernel takes it.
///
/// # Errors
/// `EINVAL`: there is none of this number.
pub(crate) fn to_signal(signal: Signal) -> io::Result<rustix::process::Signal> {
    use rustix::process::Signal as Kernel;
    match signal {
        Signal::Continue => Ok(Kernel::CONT),
        Signal::Terminate => Ok(Kernel::TERM),
        Signal::Kill => Ok(Kernel::KILL),
        Signal::Number(number) => {
            #[cfg(target_os = "linux")]
            if (nix::libc::SIGRTMIN()..=nix::libc::SIGRTMAX()).contains(&number) {
                // SAFETY: a number that the C library leaves to programs.
                return Ok(unsafe { Kernel::from_raw_unchecked(number) });
            }
            Kernel::from_named_raw(number).ok_or_else(|| Errno::INVAL.into())
        }
    }
}

/// Whether a process has this pid, an unreaped one included; nothing is sent (kill(2), signal 0).
pub(crate) fn exists(pid: u32) -> bool {
    to_pid(pid).is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

/// Whether a process of this user is one that we end: our own user's, or anybody's if we are root. Not if it isn't told whose it is.
pub(crate) fn may_signal(uid: Option<u32>) -> bool {
    let own = effective_user();
    own == 0 || uid == Some(own)
}

/// Waits until `fd` is readable or the deadline has passed; false then, and on an error, which says nothing about the descriptor.
pub(crate) fn wait_readable(fd: impl AsFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        // None waits for ever: only for what no Timespec can express, 292 billion years.
        let left = Timespec::try_from(left).ok();
        let mut fds = [PollFd::new(&fd, PollFlags::IN)];
        match poll(&mut fds, left.as_ref()) {
            Ok(ready) => return ready > 0 && fds[0].revents().contains(PollFlags::IN),
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

/// The host's name now; empty if it cannot be told (rustix's takes uname(2) for one that never fails). For people: it
/// changes with the network.
pub(crate) fn host_name() -> String {
    // SAFETY: the struct is arrays of bytes, for which all zeros is a value: texts that are empty.
    let mut names: nix::libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a struct that outlives the call.
    if unsafe { nix::libc::uname(&raw mut names) } < 0 {
        return String::new();
    }
    // SAFETY: the system has written a text, and what ends it, into the array.
    let name = unsafe { CStr::from_ptr(names.nodename.as_ptr()) };
    name.to_string_lossy().into_owned()
}

/// The name of a user. Reads the user database, which may be on a server: not for paths that must be fast.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
}

/// `$HOME` if it is an absolute path, else what the user database says.
pub(crate) fn home_dir() -> Option<PathBuf> {
    absolute(std::env::var_os("HOME"))
        .or_else(|| User::from_uid(Uid::effective()).ok().flatten().map(|user| user.dir))
        .filter(|home| home.is_absolute())
}

/// A variable's value if it is an absolute path; a relative one would name another place after every `cd` (XDG Base Directory: ignore it).
pub(crate) fn absolute(value: Option<OsString>) -> Option<PathBuf> {
    value.map(PathBuf::from).filter(|path| path.is_absolute())
}

/// Whether `path` is a directory, not a link to one, that belongs to `uid`.
pub(crate) fn is_own_dir(path: &Path, uid: u32) -> bool {
    path.symlink_metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == uid)
}

/// User and system time of this process (`clock_gettime(2)`, `CLOCK_PROCESS_CPUTIME_ID`: no file is opened).
pub(crate) fn cpu_time() -> Option<Duration> {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).ok()
}

/// An error of a call that was interrupted by lack of something, which says nothing about what was asked for.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}

/// The user on whose behalf this process acts.
pub(crate) fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The process that started this one, or was given it when that one ended; none: it is outside of this pid namespace.
pub(crate) fn parent() -> Option<u32> {
    rustix::process::getppid().and_then(|pid| pid.as_raw_nonzero().get().try_into().ok())
}

/// The session of this process, by the process that began it; none: that one is outside of this pid namespace.
pub(crate) fn session() -> Option<u32> {
    // getsid(2) answers 0 for it, which rustix would take for a pid.
    let session = nix::unistd::getsid(None).ok()?.as_raw();
    u32::try_from(session).ok().filter(|&session| session > 0)
}

/// How many descriptors this process may have at once; none: as many as it likes, or it cannot be told (getrlimit(2),
/// `RLIMIT_NOFILE`; rustix's panics where that is forbidden).
pub(crate) fn most_descriptors() -> Option<usize> {
    let mut limit = nix::libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a struct that outlives the call.
    let told = unsafe { nix::libc::getrlimit(nix::libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
    let most = Some(limit.rlim_cur).filter(|&most| told && most != nix::libc::RLIM_INFINITY);
    most.map(|most| usize::try_from(most).unwrap_or(usize::MAX))
}

/// Ends this process at once, with this code: nothing is run, flushed or waited for (`_exit(2)`).
pub(crate) fn exit_at_once(code: i32) -> ! {
    // SAFETY: it touches no memory of this process and does not return.
    unsafe { nix::libc::_exit(code) }
}

/// Leaves every signal to the program's own threads.
pub(crate) fn block_signals_here() {
    let _ = nix::sys::signal::SigSet::all().thread_block();
}

/// An argument or a path as it goes over the wire: on Unix its bytes, whatever they are.
pub(crate) fn to_bytes(text: impl AsRef<std::ffi::OsStr>) -> Vec<u8> {
    std::os::unix::ffi::OsStrExt::as_bytes(text.as_ref()).to_vec()
}

/// An argument or a path as it came over the wire.
pub(crate) fn from_bytes(bytes: Vec<u8>) -> std::ffi::OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use super::*;

    #[test]
    fn this_process_exists_and_numbers_that_are_no_pid_do_not() {
        assert!(exists(std::process::id()));
        assert!(!exists(0));
        assert!(!exists(u32::MAX));
        assert!(!exists(i32::MAX as u32));
    }

    #[test]
    fn only_root_may_signal_strangers() {
        let own = effective_user();
        assert!(may_signal(Some(own)));
        assert_eq!(may_signal(Some(own + 1)), own == 0);
        assert_eq!(may_signal(None), own == 0);
    }

    #[test]
    fn relative_and_empty_variables_are_ignored() {
        assert_eq!(absolute(Some("relative/dir".into())), None);
        assert_eq!(absolute(Some("".into())), None);
        assert_eq!(absolute(Some("/a/b".into())), Some(PathBuf::from("/a/b")));
    }

    #[test]
    fn a_link_to_a_directory_is_no_directory_of_ours() {
        let dir = tempfile::tempdir().unwrap();
        let uid = dir.path().metadata().unwrap().uid();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(is_own_dir(dir.path(), uid));
        assert!(!is_own_dir(dir.path(), uid.wrapping_add(1)));
        assert!(!is_own_dir(&link, uid));
    }

    #[test]
    fn cpu_time_never_runs_backwards() {
        let before = cpu_time().unwrap();
        assert!(cpu_time().unwrap() >= before);
    }

    #[test]
    fn the_wait_for_something_silent_ends_at_the_deadline() {
        let (_writer, reader) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(!wait_readable(&reader, Instant::now()));
    }
}
