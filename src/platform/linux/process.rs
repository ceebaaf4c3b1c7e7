//! Facts about a process from `/proc` (`proc(5)`).
//!
//! A few calls per process, because `status` waits for them: the directory is opened once, and everything else is read through it, so that
//! all facts are about the same process even if its pid finds a new owner midway. `/proc` may be missing, hide others' processes
//! (`hidepid`) or be that of another pid namespace: then only existence is told, by `kill(2)` with signal 0.
//!
//! It hardly waits for a process that is stuck in the kernel: reading the command may wait for that one's memory (`ps` is known to hang
//! there), so then it's read on a thread, and given up soon.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, Mode, OFlags, fstat, openat, readlinkat};
use rustix::io::Errno;

use super::stat::Stat;
use super::system::{boot_time, proc_is_ours};
use crate::platform::unix::{exists, is_exhaustion, to_pid};
use crate::process::Process;

pub(crate) use super::cgroup::{is_frozen, unit_of};
pub(crate) use super::descendants::{children, descendants_of};
pub(crate) use super::keepers::{flock_keepers, inherited_with_flock, keeps_flock, signal_with_group};
pub(crate) use super::lock::shows_posix_lock;
pub(crate) use super::pidfd::ProcessHandle;
pub(crate) use crate::platform::unix::may_signal;

/// Enough of a command line for anybody; the kernel allows megabytes.
const COMMAND_LIMIT: u64 = 64 * 1024;

/// How long to wait for the command of a process that is stuck.
const STUCK_WAIT: Duration = Duration::from_millis(20);

/// What is known about the process with this pid; none if there is none.
///
/// A number that is a thread's gets the facts of that thread: identity is a matter of `start_ticks`, not of the pid.
///
/// # Errors
/// Only if this process has no descriptor or no memory left. Whatever else can't be read is missing in the answer.
pub(crate) fn look(pid: u32) -> io::Result<Option<Process>> {
    if to_pid(pid).is_none() {
        return Ok(None);
    }
    match read(pid) {
        Ok(process) => Ok(Some(process)),
        Err(error) if is_exhaustion(&error) => Err(error),
        // ESRCH: it ended after its directory was opened. The others: never there, or hidden.
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(None),
        Err(_) => Ok(exists(pid).then(|| Process::unknown(pid))),
    }
}

fn read(pid: u32) -> io::Result<Process> {
    if !proc_is_ours() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = openat(CWD, format!("/proc/{pid}"), flags, Mode::empty())?;
    let stat = stat_in(open(&dir, "stat")?)?;

    let state = stat.state(|| all_threads_end(pid));
    Ok(Process {
        pid,
        executable: executable(&dir, "exe"),
        // Of the directory: it always belongs to the effective user, its files to root if the process is not dumpable (fs/proc/base.c).
        uid: fstat(&dir).ok().map(|stat| stat.st_uid),
        started_at: started_at(stat.start_ticks),
        start_ticks: Some(stat.start_ticks),
        state,
        name: stat.name,
        // Last, because it may take the directory along.
        command: if stat.letter == b'D' { command_of_stuck(dir) } else { command(&dir).unwrap_or_default() },
    })
}

/// The name and the start of the process that has this pid now, and nothing else: one file, so that both are of one process.
pub(crate) fn name_and_start(pid: u32) -> Option<(String, Option<u64>)> {
    let stat = proc_is_ours().then(|| File::open(format!("/proc/{pid}/stat")).and_then(stat_in))?.ok()?;
    Some((stat.name, Some(stat.start_ticks)))
}

/// The start of this process: of itself `/proc` speaks in every pid namespace.
pub(crate) fn own_start() -> Option<u64> {
    File::open("/proc/self/stat").and_then(stat_in).ok().map(|stat| stat.start_ticks)
}

/// The program's file of this process.
pub(crate) fn own_executable() -> Option<PathBuf> {
    executable(CWD, "/proc/self/exe")
}

fn stat_in(mut file: File) -> io::Result<Stat> {
    // Longest known: 64 bytes of name and 50 numbers of up to 20 digits.
    let mut line = [0; 2048];
    let length = file.read(&mut line)?;
    Ok(Stat::parse(&line[..length]).ok_or(io::ErrorKind::InvalidData)?)
}

fn open(dir: &OwnedFd, file: &str) -> io::Result<File> {
    Ok(openat(dir.as_fd(), file, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?.into())
}

/// `cmdline`: the arguments, each with a zero byte behind it, unless the process wrote something else over them.
fn command(dir: &OwnedFd) -> io::Result<Vec<OsString>> {
    let mut bytes = Vec::with_capacity(1024);
    open(dir, "cmdline")?.take(COMMAND_LIMIT).read_to_end(&mut bytes)?;
    Ok(split_command(&bytes))
}

/// The command of a process in an uninterruptible wait. Mostly for its disk, and the answer comes at once; if not, the thread stays until that
/// process moves or this one ends.
fn command_of_stuck(dir: OwnedFd) -> Vec<OsString> {
    let (sender, receiver) = mpsc::channel();
    let read = move || {
        let _ = sender.send(command(&dir).unwrap_or_default());
    };
    let started = thread::Builder::new().name("incumbent-look".into()).spawn(read);
    started.ok().and_then(|_| receiver.recv_timeout(STUCK_WAIT).ok()).unwrap_or_default()
}

fn split_command(bytes: &[u8]) -> Vec<OsString> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    bytes.split(|&byte| byte == 0).map(|word| OsStr::from_bytes(word).to_owned()).collect()
}

/// `exe`, without the mark of a file that was replaced or removed since (an update does that).
fn executable(dir: impl AsFd, exe: &str) -> Option<PathBuf> {
    let mut path = readlinkat(dir, exe, Vec::new()).ok()?.into_bytes();
    if path.ends_with(b" (deleted)") {
        path.truncate(path.len() - b" (deleted)".len());
    }
    Some(PathBuf::from(OsString::from_vec(path)))
}

/// Ticks since the boot as a time of day. Moves with the clock: for people, not for comparing.
fn started_at(ticks: u64) -> Option<SystemTime> {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let nanoseconds = u32::try_from((ticks % per_second) * 1_000_000_000 / per_second).ok()?;
    boot_time()?.checked_add(Duration::new(ticks / per_second, nanoseconds))
}

/// Only asked about a process whose first thread has left while others were counted.
fn all_threads_end(pid: u32) -> bool {
    let Ok(mut threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    threads.all(|thread| {
        let line = thread.and_then(|thread| fs::read(thread.path().join("stat")));
        match line {
            Ok(line) => Stat::parse(&line).is_some_and(|stat| stat.task_ends()),
            // ENOENT, ESRCH: it vanished meanwhile, so it has ended. Anything else says nothing.
            Err(error) => {
                matches!(error.raw_os_error().map(Errno::from_raw_os_error), Some(Errno::NOENT | Errno::SRCH))
            }
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use super::*;

    #[test]
    fn a_command_keeps_its_empty_arguments() {
        let split = |bytes: &[u8]| split_command(bytes);
        assert_eq!(split(b""), Vec::<OsString>::new());
        assert_eq!(split(b"cat\0"), ["cat"]);
        assert_eq!(split(b"cat\0\0-\0"), ["cat", "", "-"]);
        assert_eq!(split(b"nginx: master process"), ["nginx: master process"]);
        assert_eq!(split(b"\xff\0"), [OsStr::from_bytes(b"\xff")]);
    }
}
