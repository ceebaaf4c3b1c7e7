//! Processes: by handles, in jobs.
//!
//! Everything that a test starts is in a job of the test binary's that ends with it, so that nothing survives a test that
//! fails. Wine (8.0) is detected by what only it has: it has no console here, so that an event of one is brought to a process
//! by a thread at what the console calls in it.

#![allow(clippy::cast_possible_wrap, clippy::cast_sign_loss)] // codes of Windows are the same bits with either sign

use std::{
    ffi::{OsString, c_void},
    io,
    mem::transmute,
    os::windows::{
        io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle},
        process::CommandExt as _,
    },
    path::Path,
    process::{Command, ExitStatus},
    ptr::{null, null_mut},
    sync::{
        OnceLock,
        atomic::{AtomicI32, Ordering},
    },
};

use windows_sys::{
    Win32::{
        Foundation::{HANDLE, WAIT_OBJECT_0, WAIT_TIMEOUT},
        System::{
            Console::{CTRL_BREAK_EVENT, CTRL_C_EVENT, GenerateConsoleCtrlEvent, SetConsoleCtrlHandler},
            JobObjects::{
                AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_BREAKAWAY_OK,
                JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE, JOBOBJECT_EXTENDED_LIMIT_INFORMATION,
                JobObjectExtendedLimitInformation, SetInformationJobObject,
            },
            LibraryLoader::{GetModuleHandleW, GetProcAddress},
            ProcessStatus::{K32GetProcessMemoryInfo, PROCESS_MEMORY_COUNTERS},
            Threading::{
                CREATE_NEW_PROCESS_GROUP, CreateRemoteThread, GetCurrentProcess, GetProcessHandleCount,
                LPTHREAD_START_ROUTINE, OpenProcess, PROCESS_CREATE_THREAD, PROCESS_QUERY_INFORMATION,
                PROCESS_SUSPEND_RESUME, PROCESS_SYNCHRONIZE, PROCESS_TERMINATE, PROCESS_VM_OPERATION,
                PROCESS_VM_READ, PROCESS_VM_WRITE, TerminateProcess, WaitForSingleObject,
            },
        },
    },
    core::{BOOL, PCSTR, s, w},
};

/// A process that runs as long as the system does: `System`.
pub const FIRST_PROCESS: u32 = 4;

/// How a process that was suspended is said to be: Windows does not tell.
pub const SUSPENDED: &str = "does not answer";

/// The hint that helps: nobody but a debugger makes it go on.
pub fn continues(_pid: u32) -> String {
    "hint: `gateway".to_owned()
}

/// A word that is quoted for a shell.
pub fn quoted(word: &str) -> String {
    format!("\"{word}\"")
}

/// A program that ends well at once.
pub const TRUE: &str = "hostname";

/// A file that is there and no program, and a directory.
pub const NO_PROGRAM: &str = "C:\\windows\\win.ini";
pub const A_DIRECTORY: &str = "C:\\windows";

/// Whether the system names who has a lock.
pub const NAMES_OWNERS: bool = false;

/// Of whom the tests end; nobody's own.
const KILLED: u32 = 137;
/// How Windows ends who is asked to stop and does not listen: `STATUS_CONTROL_C_EXIT`.
const CONTROL_C_EXIT: u32 = 0xC000_013A;

/// A function of `ntdll`, if it has one of this name.
fn ntdll(name: PCSTR) -> Option<unsafe extern "system" fn() -> isize> {
    // SAFETY: both names are literals that end with a zero; ntdll is in every process, and stays.
    unsafe { GetProcAddress(GetModuleHandleW(w!("ntdll.dll")), name) }
}

/// Whether this is Wine, which is not Windows.
pub fn is_wine() -> bool {
    ntdll(s!("wine_get_version")).is_some()
}

/// The job that ends whatever this process started, when it ends itself.
fn own_job() {
    static JOB: OnceLock<OwnedHandle> = OnceLock::new();
    JOB.get_or_init(|| {
        // SAFETY: the arguments may be null; the handle is checked before it is owned.
        let job = unsafe { CreateJobObjectW(null(), null()) };
        assert!(!job.is_null(), "{}", io::Error::last_os_error());
        // SAFETY: it is new, and nobody else's.
        let owned = unsafe { OwnedHandle::from_raw_handle(job) };
        // SAFETY: plain numbers.
        let mut limits: JOBOBJECT_EXTENDED_LIMIT_INFORMATION = unsafe { std::mem::zeroed() };
        limits.BasicLimitInformation.LimitFlags =
            JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_BREAKAWAY_OK;
        let size = u32::try_from(size_of_val(&limits)).expect("small");
        // SAFETY: the size is that of what is pointed to.
        let set = unsafe {
            SetInformationJobObject(job, JobObjectExtendedLimitInformation, (&raw const limits).cast(), size)
        };
        assert_ne!(set, 0, "{}", io::Error::last_os_error());
        // SAFETY: both handles are open.
        let assigned = unsafe { AssignProcessToJobObject(job, GetCurrentProcess()) };
        assert_ne!(assigned, 0, "{}", io::Error::last_os_error());
        owned
    });
}

/// What a test starts ends with the test binary at the latest.
pub fn own(_command: &mut Command) {
    own_job();
}

/// Only text is a word of a command line.
pub fn word(bytes: &[u8]) -> OsString {
    String::from_utf8(bytes.to_vec()).expect("text").into()
}

/// Starts it as the leader of a group, so that it can be asked to stop alone.
pub fn lead(command: &mut Command) {
    if !is_wine() {
        // Wine lets who leads a group hear nothing at all.
        command.creation_flags(CREATE_NEW_PROCESS_GROUP);
    }
}

/// The program at this path, called `gateway`: it is found where a shell looks for it.
pub fn gateway(program: &str) -> Command {
    let own = Path::new(program).parent().expect("a directory").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&path)));
    let mut command = Command::new("gateway");
    command.env("PATH", path.expect("no quotes in it"));
    command
}

/// A shell that runs what is typed into it.
pub fn shell(line: &str) -> Command {
    let mut shell = Command::new("cmd");
    // Between the outer quotes everything is as it was typed: `cmd /?`, "/S".
    shell.raw_arg(format!("/d /s /c \"{line}\""));
    shell
}

/// Ends it; what it started is in its own job, or in that of this test binary.
pub fn end_group(leader: u32) {
    if let Some(process) = open(leader, PROCESS_TERMINATE) {
        // SAFETY: the handle is open. It may have ended already.
        unsafe { TerminateProcess(process.as_raw_handle(), KILLED) };
    }
}

fn open(pid: u32, rights: u32) -> Option<OwnedHandle> {
    // SAFETY: plain numbers; the handle is checked before it is owned.
    let process = unsafe { OpenProcess(rights | PROCESS_SYNCHRONIZE, 0, pid) };
    // SAFETY: it is new, and nobody else's.
    (!process.is_null()).then(|| unsafe { OwnedHandle::from_raw_handle(process) })
}

/// Ends it at once: it cannot do anything against that.
pub fn kill_9(pid: u32) {
    let process = open(pid, PROCESS_TERMINATE).expect("it is there");
    // SAFETY: the handle is open.
    let ended = unsafe { TerminateProcess(process.as_raw_handle(), KILLED) };
    assert_ne!(ended, 0, "{}", io::Error::last_os_error());
}

/// Kills it and waits until it has ended; that it was there is still known, by whoever has a handle of it.
pub fn kill_unreaped(pid: u32) {
    let process = open(pid, 0).expect("it is there");
    kill_9(pid);
    // SAFETY: the handle is open.
    let ended = unsafe { WaitForSingleObject(process.as_raw_handle(), 60_000) };
    assert_eq!(ended, WAIT_OBJECT_0);
}

/// Asks it to stop, as a service manager does.
pub fn terminate(pid: u32) {
    if is_wine() {
        return tell(pid, CTRL_BREAK_EVENT);
    }
    // SAFETY: plain numbers.
    let asked = unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, pid) };
    assert_ne!(asked, 0, "{}", io::Error::last_os_error());
}

/// Asks it to stop, as a person at a terminal does: who leads a group hears `CTRL_BREAK` alone.
pub fn interrupt(pid: u32) {
    if is_wine() { tell(pid, CTRL_C_EVENT) } else { terminate(pid) }
}

/// Has a process hear an event of a console, although there is none: on a thread of its own it does what it does then.
fn tell(pid: u32, event: u32) {
    let rights = PROCESS_CREATE_THREAD | PROCESS_QUERY_INFORMATION | PROCESS_VM_OPERATION;
    let process = open(pid, rights | PROCESS_VM_READ | PROCESS_VM_WRITE).expect("it is there");
    // SAFETY: both names are literals that end with a zero; kernelbase is in every process, at the same place.
    let routine = unsafe { GetProcAddress(GetModuleHandleW(w!("kernelbase.dll")), s!("CtrlRoutine")) };
    // SAFETY: it is a function that a thread begins with, and takes the number of the event.
    let routine: LPTHREAD_START_ROUTINE = Some(unsafe {
        transmute::<unsafe extern "system" fn() -> isize, unsafe extern "system" fn(*mut c_void) -> u32>(
            routine.expect("Wine has it"),
        )
    });
    let event = std::ptr::without_provenance(event as usize);
    // SAFETY: the handle is open, and has the rights for it.
    let thread =
        unsafe { CreateRemoteThread(process.as_raw_handle(), null(), 0, routine, event, 0, null_mut()) };
    assert!(!thread.is_null(), "{}", io::Error::last_os_error());
    // SAFETY: it is new, and nobody else's.
    drop(unsafe { OwnedHandle::from_raw_handle(thread) });
}

/// Suspends every thread of a process.
pub fn suspend(pid: u32) {
    call_on(pid, s!("NtSuspendProcess"));
}

/// Waits until it is suspended: that is so when [`suspend`] returns.
pub fn is_suspended(_pid: u32) {}

pub fn resume(pid: u32) {
    call_on(pid, s!("NtResumeProcess"));
}

/// Suspends this process itself.
pub fn suspend_self() {
    suspend(std::process::id());
}

fn call_on(pid: u32, name: PCSTR) {
    let process = open(pid, PROCESS_SUSPEND_RESUME).expect("it is there");
    let function = ntdll(name).expect("every Windows has it");
    // SAFETY: both are `NTSTATUS NtXProcess(HANDLE)`.
    let function: unsafe extern "system" fn(HANDLE) -> i32 = unsafe { transmute(function) };
    // SAFETY: the handle is open, and has the right for it.
    let status = unsafe { function(process.as_raw_handle()) };
    assert_eq!(status, 0, "{status:#x}");
}

/// This process can be asked to stop, though it was started in a group of its own, which by itself hears no Ctrl-C, and
/// under Wine nothing (<https://learn.microsoft.com/windows/console/setconsolectrlhandler>).
pub fn be_asked() {
    // SAFETY: without a function it is this that is set.
    let set = unsafe { SetConsoleCtrlHandler(None, 0) };
    assert_ne!(set, 0, "{}", io::Error::last_os_error());
}

/// From now on this process does not listen when it is asked to stop.
pub fn be_deaf() {
    be_asked();
    // SAFETY: the function is there as long as the process.
    let set = unsafe { SetConsoleCtrlHandler(Some(deaf), 1) };
    assert_ne!(set, 0, "{}", io::Error::last_os_error());
}

unsafe extern "system" fn deaf(_: u32) -> BOOL {
    1
}

/// When this process is asked to stop, it ends with this code.
pub fn end_when_asked(code: i32) {
    be_asked();
    CODE.store(code, Ordering::SeqCst);
    // SAFETY: the function is there as long as the process.
    let set = unsafe { SetConsoleCtrlHandler(Some(end_now), 1) };
    assert_ne!(set, 0, "{}", io::Error::last_os_error());
}

static CODE: AtomicI32 = AtomicI32::new(0);

#[allow(clippy::exit, reason = "it is asked to")]
unsafe extern "system" fn end_now(_: u32) -> BOOL {
    std::process::exit(CODE.load(Ordering::SeqCst))
}

/// Whether a process has this pid, and has not ended; one that has is shown as long as somebody has a handle of it.
pub fn is_there(pid: u32) -> bool {
    // SAFETY: the handle is open.
    open(pid, 0)
        .is_some_and(|process| unsafe { WaitForSingleObject(process.as_raw_handle(), 0) } == WAIT_TIMEOUT)
}

/// Whether it was ended from outside, and did not end by itself; `Child::kill` ends with 1.
pub fn was_killed(status: ExitStatus) -> bool {
    matches!(status.code(), Some(code) if code == 1 || code as u32 == KILLED)
}

/// Whether it ended because it was asked to, without a word of its own to that.
pub fn was_terminated(status: ExitStatus) -> bool {
    // Wine ends it with 0.
    status.code().is_some_and(|code| code as u32 == CONTROL_C_EXIT || (code == 0 && is_wine()))
}

/// So many handles are fewer than a holder has open with connections.
pub const IDLE_DESCRIPTORS: usize = 200;

/// So much memory is modest: the program's file is counted with it, and has everything that a debugger wants.
pub const MODEST_KIB: u64 = 96 * 1024;

/// How many handles a process has open.
pub fn descriptors(pid: u32) -> Option<usize> {
    let process = open(pid, PROCESS_QUERY_INFORMATION)?;
    let mut count = 0;
    // SAFETY: the handle is open, and has the right for it.
    let told = unsafe { GetProcessHandleCount(process.as_raw_handle(), &raw mut count) };
    (told != 0).then_some(count as usize)
}

/// How much memory of a process is resident.
pub fn resident_kib(pid: u32) -> Option<u64> {
    let process = open(pid, PROCESS_QUERY_INFORMATION)?;
    // SAFETY: plain numbers.
    let mut memory: PROCESS_MEMORY_COUNTERS = unsafe { std::mem::zeroed() };
    let size = u32::try_from(size_of_val(&memory)).expect("small");
    // SAFETY: the handle is open, and the size is that of what is pointed to.
    let told = unsafe { K32GetProcessMemoryInfo(process.as_raw_handle(), &raw mut memory, size) };
    (told != 0).then_some(memory.WorkingSetSize as u64 / 1024)
}
