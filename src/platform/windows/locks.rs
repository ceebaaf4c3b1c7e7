//! Locks on one byte of a file (`LockFileEx`), tried and never waited for; and who has them.
//!
//! A lock belongs to a process and a handle. Windows frees it when that process closes the handle or ends, "depending upon
//! available system resources" (`LockFileEx`, `UnlockFile`, Microsoft Learn): the next one may have to try again for a
//! moment, which a claim does until its deadline. A lock that is held already is busy for its own handle, too, so that
//! what is held here is remembered.
//!
//! Windows tells nobody who has a lock. So the owner says it, in a way that ends with it: a semaphore, named after the
//! file and the byte, whose count is the owner's pid. It is opened to be read (`SEMAPHORE_QUERY_STATE`), which takes
//! nothing, also while its owner is suspended; the system removes it with the owner's last handle. Made after the lock,
//! closed before it. Where it is missing, a read of the byte tells that somebody has the lock, if the locks of this
//! system are mandatory (Wine's are not): with `ERROR_LOCK_VIOLATION`. Nothing is concluded from a read that succeeds.

use std::{
    collections::HashMap,
    fs::File,
    io,
    os::windows::{
        fs::FileExt as _,
        io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle},
    },
    ptr,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use windows_sys::Win32::{
    Foundation::{ERROR_IO_PENDING, ERROR_LOCK_VIOLATION, ERROR_NOT_SUPPORTED, HANDLE},
    Storage::FileSystem::{LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, UnlockFileEx},
    System::{
        IO::OVERLAPPED,
        Threading::{CreateSemaphoreW, OpenSemaphoreW},
    },
};

use super::{
    files::{FileId, id_of},
    process::ProcessHandle,
    users::{Private, effective_user},
    wide::{code_of, succeeded, wide},
};
use crate::process::LockOwner;

/// Whether the system tells who owns a lock: only what the owner says of itself.
pub(crate) const NAMES_OWNERS: bool = false;

/// To read a semaphore's count ("Synchronization Object Security and Access Rights", Microsoft Learn).
const SEMAPHORE_QUERY_STATE: u32 = 1;

#[repr(C)]
struct SemaphoreBasicInformation {
    current_count: i32,
    maximum_count: i32,
}

#[link(name = "ntdll", kind = "raw-dylib")]
unsafe extern "system" {
    /// In every Windows since NT 3.1, and in Wine; on no page of Microsoft's. `what` 0 is the struct above.
    fn NtQuerySemaphore(
        semaphore: HANDLE,
        what: i32,
        into: *mut SemaphoreBasicInformation,
        length: u32,
        returned: *mut u32,
    ) -> i32;
}

type Held = HashMap<(usize, i64), Option<OwnedHandle>>;

/// The locks that this process has, by handle and byte, each with what names their owner.
fn held() -> MutexGuard<'static, Held> {
    static HELD: OnceLock<Mutex<Held>> = OnceLock::new();
    HELD.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(file: &File, offset: i64) -> (usize, i64) {
    (file.as_raw_handle() as usize, offset)
}

fn range(offset: i64) -> OVERLAPPED {
    let mut range = OVERLAPPED::default();
    let offset = u64::try_from(offset).unwrap_or_default();
    #[allow(clippy::cast_possible_truncation)] // the two halves
    let (low, high) = (offset as u32, (offset >> 32) as u32);
    range.Anonymous.Anonymous.Offset = low;
    range.Anonymous.Anonymous.OffsetHigh = high;
    range
}

/// Tries to lock the byte; `false`: another process has it. Does not block.
pub(crate) fn try_lock(file: &File, offset: i64) -> io::Result<bool> {
    let flags = LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY;
    let mut range = range(offset);
    let mut held = held();
    // SAFETY: the handle is open, and made for calls that end before they return.
    match succeeded(unsafe { LockFileEx(file.as_raw_handle(), flags, 0, 1, 0, &raw mut range) }) {
        Ok(()) => {
            held.insert(key(file, offset), id_of(file).and_then(|id| name_owner(id, offset)).ok());
            Ok(true)
        }
        Err(error) if matches!(code_of(&error), Some(ERROR_LOCK_VIOLATION | ERROR_IO_PENDING)) => {
            Ok(held.contains_key(&key(file, offset)))
        }
        Err(error) => Err(error),
    }
}

/// Lets go of the byte; nothing happens when it was not held.
pub(crate) fn unlock(file: &File, offset: i64) -> io::Result<()> {
    let mut held = held();
    if held.remove(&key(file, offset)).is_none() {
        return Ok(());
    }
    let mut range = range(offset);
    // SAFETY: as above.
    succeeded(unsafe { UnlockFileEx(file.as_raw_handle(), 0, 1, 0, &raw mut range) })
}

/// Who owns the byte, as far as Windows tells. Takes nothing.
pub(crate) fn owner(file: &File, offset: i64) -> io::Result<LockOwner> {
    if held().contains_key(&key(file, offset)) {
        return Ok(LockOwner::Pid(std::process::id()));
    }
    if let Some(pid) = named_owner(id_of(file)?, offset)? {
        return Ok(LockOwner::Pid(pid));
    }
    match file.seek_read(&mut [0], u64::try_from(offset).unwrap_or_default()) {
        Err(error) if code_of(&error) == Some(ERROR_LOCK_VIOLATION) => Ok(LockOwner::ElsewhereNamespace),
        _ => Ok(LockOwner::None),
    }
}

fn owner_name(id: FileId, offset: i64) -> Vec<u16> {
    // Global: the same in every session, be it a service's or a person's.
    wide(format!("Global\\incumbent-lock-{:x}-{:x}-{offset:x}", id.dev, id.ino))
}

fn name_owner(id: FileId, offset: i64) -> io::Result<OwnedHandle> {
    let private = Private::new(effective_user(), false)?;
    let (attributes, name) = (private.attributes(), owner_name(id, offset));
    let pid = i32::try_from(std::process::id()).map_err(io::Error::other)?;
    // SAFETY: the name ends with a zero; the attributes live as long as `private`; the handle is owned from here on.
    unsafe {
        let made = CreateSemaphoreW(&raw const attributes, pid, i32::MAX, name.as_ptr());
        if made.is_null() { Err(io::Error::last_os_error()) } else { Ok(OwnedHandle::from_raw_handle(made)) }
    }
}

/// The process that says it has the lock, if it lives.
fn named_owner(id: FileId, offset: i64) -> io::Result<Option<u32>> {
    let name = owner_name(id, offset);
    // SAFETY: the name ends with a zero; the handle is owned from here on.
    let semaphore = unsafe {
        let opened = OpenSemaphoreW(SEMAPHORE_QUERY_STATE, 0, name.as_ptr());
        if opened.is_null() {
            return Ok(None);
        }
        OwnedHandle::from_raw_handle(opened)
    };
    let mut count = SemaphoreBasicInformation { current_count: 0, maximum_count: 0 };
    let size = u32::try_from(size_of::<SemaphoreBasicInformation>()).unwrap_or(0);
    // SAFETY: the handle is open, and the room is as long as is said.
    let status =
        unsafe { NtQuerySemaphore(semaphore.as_raw_handle(), 0, &raw mut count, size, ptr::null_mut()) };
    let pid = u32::try_from(count.current_count).ok().filter(|pid| status == 0 && *pid > 0);
    let Some(pid) = pid else { return Ok(None) };
    // What another process has a copy of outlives its owner.
    let lives = ProcessHandle::open(pid)?.is_some_and(|process| !process.has_ended());
    Ok(lives.then_some(pid))
}

/// Tells whether an error means that this file system has no locks.
pub(crate) fn means_no_locks(error: &io::Error) -> bool {
    code_of(error) == Some(ERROR_NOT_SUPPORTED)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use super::*;
    use crate::platform::windows::files::open_pid_file;

    const BYTE: i64 = 1 << 30;

    #[test]
    fn a_lock_is_had_once_and_its_owner_is_named_as_long_as_it_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pid");
        let (one, other) = (open_pid_file(&path).unwrap(), open_pid_file(&path).unwrap());
        let own = LockOwner::Pid(std::process::id());
        assert_eq!(owner(&other, BYTE).unwrap(), LockOwner::None);
        assert!(try_lock(&one, BYTE).unwrap());
        assert!(try_lock(&one, BYTE).unwrap(), "what is held stays held");
        assert!(!try_lock(&other, BYTE).unwrap());
        assert_eq!((owner(&one, BYTE).unwrap(), owner(&other, BYTE).unwrap()), (own, own));
        assert!(try_lock(&other, BYTE + 1).unwrap(), "the byte beside it is free");
        unlock(&one, BYTE).unwrap();
        unlock(&one, BYTE).unwrap();
        assert_eq!(owner(&other, BYTE).unwrap(), LockOwner::None);
        assert!(try_lock(&other, BYTE).unwrap());
    }

    #[test]
    fn whoever_has_the_file_open_keeps_it_from_being_deleted_or_moved() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pid");
        let file = open_pid_file(&path).unwrap();
        assert!(std::fs::remove_file(&path).is_err());
        assert!(std::fs::rename(&path, dir.path().join("b.pid")).is_err());
        drop(file);
        std::fs::remove_file(&path).unwrap();
    }
}
