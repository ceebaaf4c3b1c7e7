//! POSIX record locks on one byte, tried and never waited for.
//!
//! They belong to the process and not to the descriptor, so that a forked child does not inherit them and the kernel
//! frees them at death. Sources: fcntl(2) "Advisory record locking" and "Open file description locks"; POSIX.1-2024
//! `fcntl`. What is decided on top of them is in `pid_file.rs`.

use std::{fs::File, io, os::fd::AsFd};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};

use crate::process::LockOwner;

/// As fcntl's constants are typed: `c_int` on Linux, `c_short` on macOS and FreeBSD.
#[cfg(target_os = "linux")]
type Kind = libc::c_int;
#[cfg(not(target_os = "linux"))]
type Kind = libc::c_short;

/// Whether the kernel tells who owns a lock. (Where it does, one that is not in this pid namespace is told without a number.)
pub(crate) const NAMES_OWNERS: bool = true;

/// Who has a file open: not asked, because the lock's owner is named.
pub(crate) fn who_has_open(_: &std::path::Path) -> Vec<u32> {
    Vec::new()
}

fn byte(kind: Kind, offset: i64) -> libc::flock {
    // SAFETY: `flock` is a struct of integers (on FreeBSD with `l_sysid`), for which all zeros is a value.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    #[allow(clippy::cast_possible_truncation)]
    // the constants are small; the field's type differs between systems
    {
        range.l_type = kind as _;
        range.l_whence = libc::SEEK_SET as _;
    }
    range.l_start = offset;
    range.l_len = 1;
    range
}

/// Tries to lock the byte for writing; `false`: another process has it. Does not block.
///
/// POSIX allows `EACCES` as well as `EAGAIN` for a lock that another process has.
pub(crate) fn try_lock(file: &File, offset: i64) -> io::Result<bool> {
    let mut tried = try_once(file, libc::F_WRLCK, offset);
    if tried == Err(Errno::EINTR) {
        tried = try_once(file, libc::F_WRLCK, offset); // a remote file, and a signal
    }
    match tried {
        Ok(()) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Lets go of the byte; nothing happens when it was not held.
pub(crate) fn unlock(file: &File, offset: i64) -> io::Result<()> {
    Ok(try_once(file, libc::F_UNLCK, offset)?)
}

fn try_once(file: &File, kind: Kind, offset: i64) -> Result<(), Errno> {
    fcntl(file.as_fd(), FcntlArg::F_SETLK(&byte(kind, offset))).map(drop)
}

/// Asks the kernel who owns the byte, without taking it; a read-only descriptor will do.
///
/// Where it can be, it is asked as an open file description, because that also names a lock of this process: one that
/// another copy of the library in it took. FreeBSD cannot.
pub(crate) fn owner(file: &File, offset: i64) -> io::Result<LockOwner> {
    let mut range = byte(libc::F_WRLCK, offset);
    let asked = ask(file, &mut range);
    asked?;
    #[allow(clippy::cast_lossless, clippy::unnecessary_cast)] // the types differ between systems
    let free = range.l_type as i32 == libc::F_UNLCK as i32;
    if free {
        return Ok(LockOwner::None);
    }
    Ok(match u32::try_from(range.l_pid) {
        Ok(pid) if pid > 0 => LockOwner::Pid(pid),
        _ => LockOwner::ElsewhereNamespace,
    })
}

/// `F_OFD_GETLK`, since 3.15.
#[cfg(target_os = "linux")]
fn ask(file: &File, range: &mut libc::flock) -> nix::Result<libc::c_int> {
    fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(range))
}

/// `F_OFD_GETLK`, which names the owner of a record lock as on Linux, and -1 for locks that have none (`lf_getlock` in xnu's
/// `bsd/kern/kern_lockf.c`); a macOS that does not know it says `EINVAL`.
#[cfg(target_os = "macos")]
fn ask(file: &File, range: &mut libc::flock) -> nix::Result<libc::c_int> {
    use std::os::fd::AsRawFd as _;
    // SAFETY: the descriptor is open, and the kernel reads and writes one `flock`.
    match Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut *range) }) {
        Err(Errno::EINVAL) => fcntl(file.as_fd(), FcntlArg::F_GETLK(range)),
        asked => asked,
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn ask(file: &File, range: &mut libc::flock) -> nix::Result<libc::c_int> {
    fcntl(file.as_fd(), FcntlArg::F_GETLK(range))
}

/// Tells whether an error means that this file system has no record locks.
pub(crate) fn means_no_locks(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::ENOLCK | Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL)
    )
}
