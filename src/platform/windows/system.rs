//! The system around this process: Windows.
//!
//! Sources: `GetTickCount64`, `GetVolumePathNameW`, `GetDriveTypeW`, `GetVolumeInformationW`, `GetProcessMemoryInfo`,
//! `CreateToolhelp32Snapshot` (Microsoft Learn). The machine is named by `MachineGuid` in the registry, as most programs do.

use std::{
    ffi::OsStr,
    io,
    os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle},
    path::{Path, PathBuf},
    ptr,
    time::{Duration, SystemTime},
};

use windows_sys::{
    Win32::{
        Foundation::INVALID_HANDLE_VALUE,
        Storage::FileSystem::{GetDriveTypeW, GetVolumeInformationW, GetVolumePathNameW},
        System::{
            Diagnostics::ToolHelp::{
                CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW, Process32NextW,
                TH32CS_SNAPPROCESS,
            },
            ProcessStatus::{GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS},
            Registry::{HKEY_LOCAL_MACHINE, RRF_RT_REG_SZ, RRF_SUBKEY_WOW6464KEY, RegGetValueW},
            SystemInformation::{ComputerNamePhysicalDnsHostname, GetComputerNameExW, GetTickCount64},
            Threading::{GetCurrentProcess, TerminateProcess},
            WindowsProgramming::DRIVE_REMOTE,
        },
    },
    w,
};

use super::{
    process::{session_of, times},
    wide::{from_wide, succeeded, unless_error, wide},
};
use crate::platform::{FileSystem, Supervisor, Usage};

/// None: Windows gives a run of the kernel no name. A process is told by its time of creation, which is absolute.
pub(crate) fn boot_id() -> Option<String> {
    None
}

/// There are no pid namespaces.
pub(crate) fn pid_namespace() -> Option<String> {
    None
}

/// When the kernel started, by the clock as it is set now.
pub(crate) fn boot_time() -> Option<SystemTime> {
    // SAFETY: it only tells a number.
    SystemTime::now().checked_sub(Duration::from_millis(unsafe { GetTickCount64() }))
}

/// Names this installation of the system; copied images may have the same.
pub(crate) fn machine_id() -> Option<String> {
    let mut text = [0_u16; 64];
    let mut bytes = u32::try_from(size_of_val(&text)).ok()?;
    // SAFETY: the names end with a zero, and the room is as long as is said.
    unless_error(unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            w!("SOFTWARE\\Microsoft\\Cryptography"),
            w!("MachineGuid"),
            RRF_RT_REG_SZ | RRF_SUBKEY_WOW6464KEY,
            ptr::null_mut(),
            text.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    })
    .ok()?;
    Some(from_wide(&text).to_string_lossy().into_owned()).filter(|id| !id.is_empty())
}

/// The host's name now. For people.
pub(crate) fn host_name() -> String {
    let mut name = [0_u16; 256];
    let mut length = 256;
    // SAFETY: the length is that of the room.
    let told =
        unsafe { GetComputerNameExW(ComputerNamePhysicalDnsHostname, name.as_mut_ptr(), &raw mut length) };
    if told == 0 { String::new() } else { from_wide(&name).to_string_lossy().into_owned() }
}

/// Where an instance lives if nobody says otherwise: `%LOCALAPPDATA%\gateway`, which does not roam. Nothing is made.
pub(crate) fn default_state_dir() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let local = absolute("LOCALAPPDATA").or_else(|| Some(absolute("USERPROFILE")?.join("AppData\\Local")));
    local.map(|dir| dir.join("gateway"))
}

/// Never used for an endpoint, which is a pipe.
pub(crate) fn runtime_dir(_: u32) -> PathBuf {
    std::env::temp_dir()
}

/// What `path` lies on. Another machine may write to what is on the network.
///
/// # Errors
/// Nothing is there, or it can't be reached.
pub(crate) fn file_system(path: &Path) -> io::Result<FileSystem> {
    let (path, mut root, mut name) = (wide(path), vec![0_u16; 1024], [0_u16; 64]);
    let length = u32::try_from(root.len()).unwrap_or(0);
    // SAFETY: the texts end with a zero, and the rooms are as long as is said.
    unsafe {
        succeeded(GetVolumePathNameW(path.as_ptr(), root.as_mut_ptr(), length))?;
        let shared = GetDriveTypeW(root.as_ptr()) == DRIVE_REMOTE;
        let nothing = ptr::null_mut::<u32>();
        let told = GetVolumeInformationW(
            root.as_ptr(),
            ptr::null_mut(),
            0,
            nothing,
            nothing,
            nothing,
            name.as_mut_ptr(),
            u32::try_from(name.len()).unwrap_or(0),
        );
        let name = if told == 0 { String::new() } else { from_wide(&name).to_string_lossy().into_owned() };
        let name = if name.is_empty() { "an unknown file system".to_owned() } else { name };
        Ok(FileSystem { name, shared })
    }
}

/// None: a Windows service is no console program, and what starts this one (Task Scheduler, a wrapper) does not say so.
pub(crate) fn supervisor() -> Option<Supervisor> {
    None
}

/// Memory and cpu time of this process.
pub(crate) fn self_usage() -> Usage {
    let mut memory = PROCESS_MEMORY_COUNTERS::default();
    let size = u32::try_from(size_of::<PROCESS_MEMORY_COUNTERS>()).unwrap_or(0);
    // SAFETY: the pseudo handle of this process is always valid, and the room is as long as is said.
    let (process, told) = unsafe {
        let process = GetCurrentProcess();
        (process, GetProcessMemoryInfo(process, &raw mut memory, size))
    };
    Usage {
        rss_bytes: (told != 0).then_some(memory.WorkingSetSize as u64),
        cpu_time: times(process).ok().map(|(_, cpu)| cpu),
    }
}

/// The process that started this one, which may have ended since, and its number be another's.
pub(crate) fn parent() -> Option<u32> {
    // SAFETY: the handle is owned from here on.
    let all = unsafe {
        let made = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
        if made == INVALID_HANDLE_VALUE {
            return None;
        }
        OwnedHandle::from_raw_handle(made)
    };
    let size = u32::try_from(size_of::<PROCESSENTRY32W>()).ok()?;
    // SAFETY: all zeroes is a valid value of this struct of numbers.
    let mut entry = PROCESSENTRY32W { dwSize: size, ..unsafe { std::mem::zeroed() } };
    // SAFETY: the handle is open, and the struct says how long it is.
    let mut more = unsafe { Process32FirstW(all.as_raw_handle(), &raw mut entry) };
    while more != 0 {
        if entry.th32ProcessID == std::process::id() {
            return Some(entry.th32ParentProcessID).filter(|&pid| pid > 0);
        }
        // SAFETY: as above.
        more = unsafe { Process32NextW(all.as_raw_handle(), &raw mut entry) };
    }
    None
}

/// The session of this process: that of the person who is logged on, or 0 for services.
pub(crate) fn session() -> Option<u32> {
    session_of(std::process::id())
}

/// As many handles as it likes.
pub(crate) fn most_descriptors() -> Option<usize> {
    None
}

/// Ends this process at once, with this code: nothing is run, flushed or waited for (`TerminateProcess`).
pub(crate) fn exit_at_once(code: i32) -> ! {
    #[allow(clippy::cast_sign_loss)] // the same bits
    let code = code as u32;
    // SAFETY: the pseudo handle of this process is always valid.
    unsafe { TerminateProcess(GetCurrentProcess(), code) };
    std::process::abort() // not reached: what ends is this process
}

/// Nothing is sent to threads here.
pub(crate) fn block_signals_here() {}

/// An error of a call that was interrupted by lack of something, which says nothing about what was asked for.
pub(crate) fn means_no_room(error: &io::Error) -> bool {
    use windows_sys::Win32::Foundation::{
        ERROR_COMMITMENT_LIMIT, ERROR_NO_SYSTEM_RESOURCES, ERROR_NOT_ENOUGH_MEMORY, ERROR_TOO_MANY_OPEN_FILES,
    };
    matches!(
        super::wide::code_of(error),
        Some(
            ERROR_TOO_MANY_OPEN_FILES
                | ERROR_NOT_ENOUGH_MEMORY
                | ERROR_NO_SYSTEM_RESOURCES
                | ERROR_COMMITMENT_LIMIT
        )
    )
}

/// An argument or a path as it goes over the wire: UTF-8. A half of a surrogate pair, which no UTF-8 has, is replaced.
pub(crate) fn to_bytes(text: impl AsRef<OsStr>) -> Vec<u8> {
    text.as_ref().to_string_lossy().into_owned().into_bytes()
}

/// An argument or a path as it came over the wire.
#[allow(clippy::needless_pass_by_value)] // elsewhere it is kept
pub(crate) fn from_bytes(bytes: Vec<u8>) -> std::ffi::OsString {
    String::from_utf8_lossy(&bytes).into_owned().into()
}
