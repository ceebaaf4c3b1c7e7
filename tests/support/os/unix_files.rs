//! Files: what the system says of them, and record locks.

use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};

/// Which directory it is: what a pong says.
pub fn dir_id(dir: &Path) -> (u64, u64) {
    let at = dir.metadata().expect("it is there");
    (at.dev(), at.ino())
}

/// A directory as the program shows it.
pub fn shown(dir: &Path) -> String {
    dir.canonicalize().expect("it is there").display().to_string()
}

/// What the system says of a file: which it is, its mode, and all of its times.
pub fn file_facts(path: &Path) -> Vec<i64> {
    let meta = path.symlink_metadata().expect("it is there");
    let mut numbers = vec![meta.ino().try_into().expect("it fits"), meta.mode().into()];
    numbers.extend([meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()]);
    if meta.is_file() {
        numbers.extend([meta.atime(), meta.atime_nsec()]);
    }
    numbers
}

/// Reads a file, and leaves no trace of that where the system can.
pub fn silent_read(path: &Path) -> Vec<u8> {
    #[cfg(target_os = "linux")]
    let flags = libc::O_NOATIME;
    #[cfg(not(target_os = "linux"))]
    let flags = 0;
    let mut bytes = Vec::new();
    let mut file = File::options().read(true).custom_flags(flags).open(path).expect("it can be read");
    file.read_to_end(&mut bytes).expect("it can be read");
    bytes
}

/// The kinds are numbers of another width on each system.
fn range(kind: impl Into<i64>, byte: u64) -> libc::flock {
    // SAFETY: it is plain numbers; some systems have more of them than are named here.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = kind.into().try_into().expect("a small number");
    range.l_start = byte.try_into().expect("it fits");
    range.l_len = 1;
    range
}

/// A lock on one byte of a file, kept until it is dropped.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it, or says that somebody has it.
    pub fn take(path: &Path, byte: u64) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        fcntl(&file, FcntlArg::F_SETLK(&range(libc::F_WRLCK, byte)))?;
        Ok(Self { _file: file })
    }
}

/// Takes a lock on an open file, or lets go of it.
pub fn set_lock(file: &File, byte: u64, take: bool) -> io::Result<()> {
    let kind = if take { libc::F_WRLCK } else { libc::F_UNLCK };
    fcntl(file, FcntlArg::F_SETLK(&range(kind, byte))).map(drop).map_err(Errno::into)
}

/// Who owns the lock on this byte, as the kernel tells.
pub fn lock_owner_at(path: &Path, byte: u64) -> Option<i32> {
    let file = File::open(path).ok()?;
    let mut range = range(libc::F_WRLCK, byte);
    fcntl(&file, FcntlArg::F_GETLK(&mut range)).expect("locks can be asked for");
    (i64::from(range.l_type) != i64::from(libc::F_UNLCK)).then_some(range.l_pid)
}

pub fn is_locked(path: &Path, byte: u64) -> bool {
    lock_owner_at(path, byte).is_some()
}

pub fn is_locked_by(path: &Path, byte: u64, pid: u32) -> bool {
    lock_owner_at(path, byte).is_some_and(|owner| u32::try_from(owner) == Ok(pid))
}
