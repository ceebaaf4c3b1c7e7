//! Files: what the system says of them, and byte ranges.

use std::{
    fs::File,
    io,
    os::windows::{
        fs::{MetadataExt as _, OpenOptionsExt as _},
        io::AsRawHandle as _,
    },
    path::Path,
};

use windows_sys::Win32::{
    Foundation::ERROR_LOCK_VIOLATION,
    Storage::FileSystem::{
        BY_HANDLE_FILE_INFORMATION, FILE_FLAG_BACKUP_SEMANTICS, FILE_SHARE_READ, FILE_SHARE_WRITE,
        GetFileInformationByHandle, LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx,
        UnlockFileEx,
    },
    System::IO::OVERLAPPED,
};

/// What the system says of a file: its size, attributes, and when it was made and changed. When it was read is not exact
/// (<https://learn.microsoft.com/windows/win32/sysinfo/file-times>).
pub fn file_facts(path: &Path) -> Vec<i64> {
    let meta = path.symlink_metadata().expect("it is there");
    let facts =
        [meta.file_size(), meta.file_attributes().into(), meta.creation_time(), meta.last_write_time()];
    facts.map(|fact| fact.try_into().expect("it fits")).to_vec()
}

/// Reads a file.
pub fn silent_read(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("it can be read")
}

/// Which directory it is: what a pong says.
pub fn dir_id(dir: &Path) -> (u64, u64) {
    let dir =
        File::options().read(true).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(dir).expect("it is there");
    // SAFETY: plain numbers.
    let mut told: BY_HANDLE_FILE_INFORMATION = unsafe { std::mem::zeroed() };
    // SAFETY: the handle is open.
    assert_ne!(unsafe { GetFileInformationByHandle(dir.as_raw_handle(), &raw mut told) }, 0);
    (told.dwVolumeSerialNumber.into(), u64::from(told.nFileIndexHigh) << 32 | u64::from(told.nFileIndexLow))
}

/// A directory as the program shows it: without the prefix of a path that is not looked into.
pub fn shown(dir: &Path) -> String {
    let whole = dir.canonicalize().expect("it is there").display().to_string();
    whole.trim_start_matches(r"\\?\").to_owned()
}

fn at(byte: u64) -> OVERLAPPED {
    // SAFETY: plain numbers, and a null handle, which means none.
    let mut at: OVERLAPPED = unsafe { std::mem::zeroed() };
    at.Anonymous.Anonymous.Offset = u32::try_from(byte & 0xffff_ffff).expect("masked");
    at.Anonymous.Anonymous.OffsetHigh = u32::try_from(byte >> 32).expect("shifted");
    at
}

/// Takes a lock on an open file, or lets go of it.
pub fn set_lock(file: &File, byte: u64, take: bool) -> io::Result<()> {
    let mut at = at(byte);
    let how = LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY;
    // SAFETY: the handle is open, and was not opened for overlapped use, so that nothing outlives the call.
    let done = unsafe {
        if take {
            LockFileEx(file.as_raw_handle(), how, 0, 1, 0, &raw mut at)
        } else {
            UnlockFileEx(file.as_raw_handle(), 0, 1, 0, &raw mut at)
        }
    };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes a lock on an open file as soon as it is free.
pub fn wait_for_lock(file: &File, byte: u64) -> io::Result<()> {
    let mut at = at(byte);
    // SAFETY: as above.
    let done = unsafe { LockFileEx(file.as_raw_handle(), LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, &raw mut at) };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A lock on one byte of a file, kept until it is dropped.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it, or says that somebody has it.
    pub fn take(path: &Path, byte: u64) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE)
            .open(path)?;
        set_lock(&file, byte, true)?;
        Ok(Self { _file: file })
    }
}

/// Whether somebody has this lock. Windows tells only who tries, so that a free one is taken for an instant.
pub fn is_locked(path: &Path, byte: u64) -> bool {
    match Lock::take(path, byte) {
        Ok(_) => false,
        Err(error) => error.raw_os_error() == i32::try_from(ERROR_LOCK_VIOLATION).ok(),
    }
}

/// Windows does not tell who has a lock: for the instance lock the pid file does, for another nobody.
pub fn is_locked_by(path: &Path, byte: u64, pid: u32) -> bool {
    let is_named = || std::fs::read_to_string(path).is_ok_and(|text| text.trim() == pid.to_string());
    is_locked(path, byte) && (byte != super::INSTANCE || is_named())
}
