//! Asking a console program to stop, and the names of what asks.
//!
//! 1. `CTRL_BREAK` to the process group that the program leads, where it shares our console (`GenerateConsoleCtrlEvent`).
//! 2. Where there is no such console: a thread in the program itself, at the routine that the system starts for such an
//!    event, `CtrlRoutine` of kernel32. No page describes it; Git for Windows and MSYS2 stop programs so, every day. Only
//!    in a process for the same machine as ours, where that routine has the same address.
//! 3. Else it cannot be asked.
//!
//! Sources: "Console Control Handlers", `GenerateConsoleCtrlEvent`, `CreateRemoteThread`, `IsWow64Process2` (Microsoft
//! Learn); `compat/win32/exit-process.h` of Git for Windows.

use std::{
    io,
    os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle, RawHandle},
    ptr,
    sync::mpsc::channel,
    thread,
    time::Duration,
};

use windows_sys::{
    Win32::System::{
        Console::{CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent, GetConsoleProcessList},
        LibraryLoader::{GetModuleHandleW, GetProcAddress},
        SystemInformation::IMAGE_FILE_MACHINE,
        Threading::{
            CreateRemoteThread, GetCurrentProcess, IsWow64Process2, OpenProcess, PROCESS_CREATE_THREAD,
            PROCESS_QUERY_INFORMATION, PROCESS_VM_OPERATION, PROCESS_VM_READ, PROCESS_VM_WRITE,
        },
    },
    s, w,
};

use super::wide::succeeded;

/// As in the C library of Windows.
pub(crate) const INTERRUPT: i32 = 2;
/// Ends at once.
pub const KILL: i32 = 9;
/// What asks to stop, by its name elsewhere: `CTRL_BREAK`.
pub(crate) const TERMINATE: i32 = 15;
/// As in the C library of Windows.
pub(crate) const BREAK: i32 = 21;

/// Whether a program can be sent a signal of this number.
pub(crate) fn is_signal(number: i32) -> bool {
    matches!(number, INTERRUPT | KILL | TERMINATE | BREAK)
}

/// Whether this process has a console, with or without a window.
pub(crate) fn is_there() -> bool {
    let mut one = 0;
    // SAFETY: there is room for one number, as is said.
    (unsafe { GetConsoleProcessList(&raw mut one, 1) }) > 0
}

/// Asks a process group that shares our console.
pub(crate) fn ask_group(leader: u32) -> io::Result<()> {
    // SAFETY: it takes numbers only.
    succeeded(unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, leader) })
}

/// Asks one process, wherever its console is. Waits for a moment at the most: Wine brings nothing into a process that is
/// just ending, and waits for that.
pub(crate) fn ask(pid: u32) -> io::Result<()> {
    const MOMENT: Duration = Duration::from_millis(500);
    let (tell, told) = channel();
    thread::Builder::new().name("ask".into()).spawn(move || drop(tell.send(begin_in(pid))))?;
    told.recv_timeout(MOMENT).unwrap_or(Ok(()))
}

/// Begins the routine in the process.
fn begin_in(pid: u32) -> io::Result<()> {
    let rights = PROCESS_CREATE_THREAD
        | PROCESS_QUERY_INFORMATION
        | PROCESS_VM_OPERATION
        | PROCESS_VM_READ
        | PROCESS_VM_WRITE;
    // SAFETY: it takes numbers only.
    let process = owned(unsafe { OpenProcess(rights, 0, pid) })?;
    // SAFETY: the pseudo handle of this process is always valid.
    if machine_of(process.as_raw_handle())? != machine_of(unsafe { GetCurrentProcess() })? {
        return Err(io::ErrorKind::Unsupported.into());
    }
    // SAFETY: both names end with a zero; the library is loaded in every process.
    let routine = unsafe { GetProcAddress(GetModuleHandleW(w!("kernel32.dll")), s!("CtrlRoutine")) };
    let routine = routine.ok_or(io::ErrorKind::Unsupported)?;
    // SAFETY: the routine of the system for such events has the shape of a thread's, and takes the event's number; libraries
    // of the system have the same address in every process for the same machine.
    let thread = unsafe {
        type Routine = unsafe extern "system" fn(*mut core::ffi::c_void) -> u32;
        let routine = std::mem::transmute::<unsafe extern "system" fn() -> isize, Routine>(routine);
        let event = ptr::without_provenance(CTRL_BREAK_EVENT as usize);
        CreateRemoteThread(process.as_raw_handle(), ptr::null(), 0, Some(routine), event, 0, ptr::null_mut())
    };
    owned(thread).map(drop)
}

/// For which machine a process is.
fn machine_of(process: RawHandle) -> io::Result<IMAGE_FILE_MACHINE> {
    let (mut own, mut native) = (0, 0);
    // SAFETY: the handle is open, and both numbers are written to variables that outlive the call.
    succeeded(unsafe { IsWow64Process2(process, &raw mut own, &raw mut native) })?;
    Ok(if own == 0 { native } else { own })
}

fn owned(handle: RawHandle) -> io::Result<OwnedHandle> {
    if handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the system has just given it to us.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}
