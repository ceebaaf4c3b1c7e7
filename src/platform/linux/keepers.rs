//! Who keeps a `flock`: every process that has a descriptor of the open file description that was locked.
//!
//! `/proc/PID/fdinfo` shows the lock at each such descriptor (`proc_pid_fdinfo(5)`), whoever took it, so that a process
//! which only reads the file is none of them. What is not visible from here is not found: another user's process
//! (unless this is root), one in a pid namespace that is not below ours, a descriptor on its way through a socket.
//!
//! The text is read first and the file looked at only when there is a lock: a look at a descriptor whose server is dead
//! may last for ever, and the text never does.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::RawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::pidfd::ProcessHandle;
use super::system::proc_is_ours;
use crate::platform::unix::files::FileId;
use crate::process::Signal;

/// The locks stand behind four short lines, a `flock` before all others (`fs/proc/fd.c`, `fs/locks.c`).
const ENOUGH: usize = 1024;

/// The processes that keep a `flock` on this file, as far as they are visible; one look over all of them.
pub(crate) fn flock_keepers(id: FileId) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    if proc_is_ours() { pids.filter(|&pid| keeps(pid, id)).collect() } else { Vec::new() }
}

/// Whether the process that has this pid now keeps a `flock` on this file.
pub(crate) fn keeps_flock(pid: u32, id: FileId) -> bool {
    proc_is_ours() && keeps(pid, id)
}

fn keeps(pid: u32, id: FileId) -> bool {
    let shows = |dir: &Path| with_flock(dir, id).next().is_some();
    // Threads share one table of descriptors. But the first may have left before the others, or one may have got its own (`unshare(2)`).
    let threads = || fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    shows(Path::new(&format!("/proc/{pid}"))) || threads().any(|thread| shows(&thread.path()))
}

/// The descriptors of this process that keep a `flock` on this file.
pub(crate) fn inherited_with_flock(id: FileId) -> Vec<RawFd> {
    with_flock(Path::new("/proc/self"), id).collect()
}

/// Sends a signal to a process. Those that it started are found and signalled each on their own.
pub(crate) fn signal_with_group(handle: &ProcessHandle, signal: Signal) -> io::Result<()> {
    handle.signal(signal)
}

/// `dir` is that of a process or of a thread. Descriptors that vanish meanwhile keep nothing.
fn with_flock(dir: &Path, id: FileId) -> impl Iterator<Item = RawFd> {
    let descriptors = fs::read_dir(dir.join("fdinfo")).into_iter().flatten().flatten();
    let fd: PathBuf = dir.join("fd");
    descriptors.filter_map(move |descriptor| {
        let is_it = shows_flock(&descriptor.path())
            && fs::metadata(fd.join(descriptor.file_name()))
                .is_ok_and(|meta| (FileId { dev: meta.dev(), ino: meta.ino() }) == id);
        if is_it { descriptor.file_name().to_str()?.parse().ok() } else { None }
    })
}

fn shows_flock(fdinfo: &Path) -> bool {
    let mut text = [0; ENOUGH];
    let read = File::open(fdinfo).and_then(|mut file| file.read(&mut text));
    read.is_ok_and(|length| text[..length].split(|&byte| byte == b'\n').any(is_flock))
}

/// Whether a line is one of these: `lock:\t1: FLOCK  ADVISORY  READ  4242 fe:00:5678 0 EOF`. The pid is of who took it, 0 if that one has ended.
fn is_flock(line: &[u8]) -> bool {
    let mut fields = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    fields.next() == Some(b"lock:") && fields.nth(1) == Some(b"FLOCK")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use super::*;
    use crate::platform::unix::files::id_of;
    use crate::platform::unix::flock::try_flock;
    use std::process::{Command, Stdio};

    #[test]
    fn only_a_flock_that_is_held_counts() {
        assert!(is_flock(b"lock:\t1: FLOCK  ADVISORY  READ  0 fe:00:5678 0 EOF"));
        assert!(is_flock(b"lock:\t2: FLOCK  ADVISORY  WRITE 4242 00:1f:5678 0 EOF"));
        for other in [
            &b"lock:\t1: POSIX  ADVISORY  WRITE 1234 00:1f:5678 0 EOF"[..],
            b"lock:\t1: OFDLCK ADVISORY  READ -1 00:1f:5678 0 EOF",
            b"lock:\t1:",
            b"flags:\t02100002",
            b"lock: FLOCK",
            b"",
            b"\xff\xfe",
        ] {
            assert!(!is_flock(other), "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    fn who_has_the_locked_descriptor_keeps_the_lock_and_who_reads_the_file_does_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let id = id_of(file.as_file()).unwrap();
        let locked = File::options().write(true).open(file.path()).unwrap();
        assert!(try_flock(&locked).unwrap());
        let start = |stdout: File| Command::new("cat").stdin(Stdio::piped()).stdout(stdout).spawn().unwrap();
        let mut keeper = start(locked.try_clone().unwrap());
        let mut reader = start(File::options().write(true).open(file.path()).unwrap());
        let own = std::process::id();
        let mut found = flock_keepers(id);
        found.sort_unstable();
        let mut expected = [own, keeper.id()];
        expected.sort_unstable();
        assert_eq!(found, expected);
        assert!(!keeps_flock(reader.id(), id) && inherited_with_flock(id).len() == 1);
        drop(locked);
        assert_eq!(flock_keepers(id), [keeper.id()], "whoever took it");
        for child in [&mut keeper, &mut reader] {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert!(flock_keepers(id).is_empty());
    }
}
