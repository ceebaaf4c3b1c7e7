//! Which locks a process has, as the kernel shows them under `/proc/PID/fdinfo` (`proc_pid_fdinfo(5)`, since Linux 4.1).
//!
//! The second witness before a process is ended by force: `F_GETLK` named it, and its own descriptor shows the lock. A `lock:` line names
//! the file by the device and inode of the file system itself, and those of `stat` differ from them on btrfs and overlayfs. So the
//! descriptor itself is asked what it is (`stat` through `/proc/PID/fd`), which is the same question that the caller asked of its own.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::system::proc_is_ours;

/// Whether the kernel shows that `pid` itself has an exclusive POSIX lock on byte `offset` of the file that `stat` calls `dev`, `ino`.
///
/// `Some(false)` also where it isn't shown: another user's process, no `/proc` or one of another pid namespace. Never none on Linux.
#[allow(clippy::unnecessary_wraps)] // The same on every system.
pub(crate) fn shows_posix_lock(pid: u32, dev: u64, ino: u64, offset: u64) -> Option<bool> {
    let shows = |dir: &Path| any_descriptor_shows(dir, dev, ino, offset);
    // Threads share one table of descriptors. But the first may have left before the others, or one may have got its own (`unshare(2)`).
    let threads = || fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let process = format!("/proc/{pid}");
    Some(proc_is_ours() && (shows(Path::new(&process)) || threads().any(|thread| shows(&thread.path()))))
}

/// `dir` is that of a process or of a thread. Descriptors that vanish meanwhile are those of no lock.
fn any_descriptor_shows(dir: &Path, dev: u64, ino: u64, offset: u64) -> bool {
    let Ok(descriptors) = fs::read_dir(dir.join("fdinfo")) else {
        return false;
    };
    descriptors.flatten().any(|descriptor| {
        let locked = fs::read(descriptor.path())
            .is_ok_and(|text| text.split(|&byte| byte == b'\n').any(|line| is_lock_of(line, offset)));
        let is_file = || {
            fs::metadata(dir.join("fd").join(descriptor.file_name()))
                .is_ok_and(|meta| meta.dev() == dev && meta.ino() == ino)
        };
        locked && is_file()
    })
}

/// Whether an fdinfo line is an exclusive POSIX lock that covers the byte:
/// `lock:\t1: POSIX  ADVISORY  WRITE 4242 00:1f:5678 1073741824 1073741824`, the last number `EOF` for a lock without end.
fn is_lock_of(line: &[u8], offset: u64) -> bool {
    let Ok(line) = std::str::from_utf8(line) else {
        return false;
    };
    let mut fields = line.split_ascii_whitespace();
    let mut next = || fields.next().unwrap_or_default();
    if next() != "lock:" || next().is_empty() || next() != "POSIX" {
        return false;
    }
    let (_advisory, kind, _pid, _file, first, last) = (next(), next(), next(), next(), next(), next());
    let begins = first.parse().is_ok_and(|first: u64| first <= offset);
    let ends = last == "EOF" || last.parse().is_ok_and(|last: u64| last >= offset);
    kind == "WRITE" && begins && ends
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use super::*;
    use nix::fcntl::{FcntlArg, fcntl};
    use proptest::prelude::*;
    use std::fs::File;
    use std::process::{Command, Stdio};

    const GIB: u64 = 1 << 30;

    #[test]
    fn only_an_exclusive_posix_lock_on_that_byte_counts() {
        let lock = |line: &str| is_lock_of(line.as_bytes(), GIB);
        assert!(lock("lock:\t1: POSIX  ADVISORY  WRITE 1234 00:1f:5678 1073741824 1073741824"));
        assert!(lock("lock:\t2: POSIX  ADVISORY  WRITE 1234 fe:01:5678 0 EOF"));
        assert!(lock("lock:\t1: POSIX  MANDATORY WRITE 0 00:1f:5678 1073741824 1073741825"));
        for other in [
            "lock:\t1: POSIX  ADVISORY  READ  1234 00:1f:5678 1073741824 1073741824",
            "lock:\t1: POSIX  ADVISORY  WRITE 1234 00:1f:5678 1073741825 1073741825",
            "lock:\t1: POSIX  ADVISORY  WRITE 1234 00:1f:5678 0 1073741823",
            "lock:\t1: FLOCK  ADVISORY  WRITE 1234 00:1f:5678 0 EOF",
            "lock:\t1: OFDLCK ADVISORY  WRITE -1 00:1f:5678 1073741824 1073741824",
            "lock:\t1: LEASE  ACTIVE    WRITE 1234 00:1f:5678 0 EOF",
            "lock:\t1: POSIX  ADVISORY  WRITE 1234 00:1f:5678 -1 x",
            "lock:\t1: POSIX  ADVISORY  WRITE",
            "lock:",
            "flags:\t02100002",
            "",
        ] {
            assert!(!lock(other), "{other}");
        }
    }

    #[test]
    fn the_owner_of_a_lock_shows_it_and_who_inherits_the_descriptor_does_not() {
        let file = tempfile::tempfile().unwrap();
        let meta = file.metadata().unwrap();
        let (dev, ino) = (meta.dev(), meta.ino());
        let own = std::process::id();
        assert_eq!(shows_posix_lock(own, dev, ino, GIB), Some(false));
        lock(&file, i64::try_from(GIB).unwrap());
        assert_eq!(shows_posix_lock(own, dev, ino, GIB), Some(true));
        assert_eq!(shows_posix_lock(own, dev, ino, GIB + 1), Some(false));
        assert_eq!(shows_posix_lock(own, dev, ino + 1, GIB), Some(false));

        let mut child =
            Command::new("cat").stdin(Stdio::piped()).stdout(file.try_clone().unwrap()).spawn().unwrap();
        assert_eq!(shows_posix_lock(child.id(), dev, ino, GIB), Some(false));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(shows_posix_lock(child.id(), dev, ino, GIB), Some(false));
    }

    /// `F_SETLK` on one byte.
    fn lock(file: &File, offset: i64) {
        let range = nix::libc::flock {
            l_type: nix::libc::F_WRLCK.try_into().unwrap(),
            l_whence: nix::libc::SEEK_SET.try_into().unwrap(),
            l_start: offset,
            l_len: 1,
            l_pid: 0,
        };
        fcntl(file, FcntlArg::F_SETLK(&range)).unwrap();
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, offset: u64) {
            is_lock_of(&bytes, offset);
        }
    }
}
