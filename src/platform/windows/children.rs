//! What this process has started: all of it is in one job object, which ends with this process.
//!
//! The job is made for the first child, and its handle is never closed: the system does that at the end of this process,
//! however it ends, and kills what is in the job then. Nothing leaves it, so that the job is what the chain of parents is
//! on Linux; who was started by whom within it is told by a snapshot of all processes.

use std::{
    io,
    os::windows::{
        io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle},
        process::ExitStatusExt as _,
    },
    process::ExitStatus,
    sync::OnceLock,
    time::Instant,
};

use windows_sys::Win32::{
    Foundation::INVALID_HANDLE_VALUE,
    System::{
        Diagnostics::ToolHelp::{
            CREATE_TOOLHELP_SNAPSHOT_FLAGS, CreateToolhelp32Snapshot, PROCESSENTRY32W, Process32FirstW,
            Process32NextW, TH32CS_SNAPPROCESS, TH32CS_SNAPTHREAD, THREADENTRY32, Thread32First,
            Thread32Next,
        },
        Threading::{GetExitCodeProcess, OpenThread, ResumeThread, THREAD_SUSPEND_RESUME},
    },
};

use super::{
    console::{self, BREAK, INTERRUPT, KILL, TERMINATE},
    job::Job,
    process::{KILLED, ProcessHandle},
    wide::succeeded,
};
use crate::process::{Process, Signal};

/// The job of all that this process has started.
pub(super) fn job() -> io::Result<&'static Job> {
    static JOB: OnceLock<Job> = OnceLock::new();
    if let Some(job) = JOB.get() {
        return Ok(job);
    }
    let made = Job::of_mine()?;
    Ok(JOB.get_or_init(|| made))
}

/// Has all that is started from now on found, whoever starts it.
#[must_use]
pub fn adopt_orphans() -> bool {
    job().is_ok()
}

/// Lets a process run that was started suspended: its only thread.
pub(super) fn resume(pid: u32) -> io::Result<()> {
    let all = snapshot(TH32CS_SNAPTHREAD)?;
    let size = u32::try_from(size_of::<THREADENTRY32>()).unwrap_or(0);
    let mut entry = THREADENTRY32 { dwSize: size, ..THREADENTRY32::default() };
    // SAFETY: the handle is open, and the struct says how long it is.
    let mut more = unsafe { Thread32First(all.as_raw_handle(), &raw mut entry) };
    while more != 0 {
        if entry.th32OwnerProcessID == pid {
            // SAFETY: it takes numbers only; the handle is owned from here on.
            let thread = unsafe {
                let opened = OpenThread(THREAD_SUSPEND_RESUME, 0, entry.th32ThreadID);
                if opened.is_null() {
                    return Err(io::Error::last_os_error());
                }
                OwnedHandle::from_raw_handle(opened)
            };
            // SAFETY: the handle is open.
            let before = unsafe { ResumeThread(thread.as_raw_handle()) };
            return if before == u32::MAX { Err(io::Error::last_os_error()) } else { Ok(()) };
        }
        // SAFETY: as above.
        more = unsafe { Thread32Next(all.as_raw_handle(), &raw mut entry) };
    }
    Err(io::Error::other("the system does not show the new process's thread"))
}

fn snapshot(what: CREATE_TOOLHELP_SNAPSHOT_FLAGS) -> io::Result<OwnedHandle> {
    // SAFETY: it takes numbers only; the handle is owned from here on.
    unsafe {
        let made = CreateToolhelp32Snapshot(what, 0);
        if made == INVALID_HANDLE_VALUE {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedHandle::from_raw_handle(made))
    }
}

/// Every process with the one that started it, whose number may be another's by now.
fn parents() -> Vec<(u32, u32)> {
    let mut found = Vec::new();
    let Ok(all) = snapshot(TH32CS_SNAPPROCESS) else { return found };
    let size = u32::try_from(size_of::<PROCESSENTRY32W>()).unwrap_or(0);
    // SAFETY: all zeroes is a valid value of this struct of numbers.
    let mut entry = PROCESSENTRY32W { dwSize: size, ..unsafe { std::mem::zeroed() } };
    // SAFETY: the handle is open, and the struct says how long it is.
    let mut more = unsafe { Process32FirstW(all.as_raw_handle(), &raw mut entry) };
    while more != 0 {
        found.push((entry.th32ProcessID, entry.th32ParentProcessID));
        // SAFETY: as above.
        more = unsafe { Process32NextW(all.as_raw_handle(), &raw mut entry) };
    }
    found
}

/// How a child ended whose handle is still open, so that its number is its own; none: it has not.
///
/// # Errors
/// It is not there.
pub fn end_of(pid: u32) -> io::Result<Option<ExitStatus>> {
    let process = ProcessHandle::open(pid)?.ok_or(io::ErrorKind::NotFound)?;
    if !process.has_ended() {
        return Ok(None);
    }
    let mut code = 0;
    // SAFETY: the handle is open, and the number is written to a variable that outlives the call.
    succeeded(unsafe { GetExitCodeProcess(process.raw(), &raw mut code) })?;
    Ok(Some(ExitStatus::from_raw(code)))
}

/// Nothing is to be done: a process that has ended stays until nobody has a handle of it.
pub fn reap(_: u32) {}

/// Whether anything is left of what this process has started.
#[must_use]
pub fn reap_others(_: Option<u32>) -> bool {
    !descendants(&[]).is_empty()
}

/// A process that this one started, directly or not, held so that its number cannot be mistaken for another's.
#[derive(Debug)]
pub struct Descendant {
    /// What the system says about it.
    pub process: Process,
    handle: ProcessHandle,
}

impl Descendant {
    /// Asks it to stop, or ends it.
    ///
    /// # Errors
    /// `Unsupported`: it cannot be asked. `PermissionDenied`: it is another user's.
    pub fn signal(&self, number: i32) -> io::Result<()> {
        match number {
            KILL => self.handle.signal(Signal::Kill),
            INTERRUPT | TERMINATE | BREAK => console::ask(self.process.pid).map_err(|_| cannot_be_asked()),
            _ => Ok(()),
        }
    }

    /// Whether it has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.handle.has_ended()
    }

    /// Blocks until it has ended.
    pub(super) fn until_ended(&self) {
        while !self.handle.wait_ended(Instant::now() + std::time::Duration::from_secs(3600)) {}
    }
}

/// Whether that process started this one, directly or not: what it ends with its own child may end with it what this one was
/// started by.
#[must_use]
pub fn descends_from(ancestor: u32) -> bool {
    descends(std::process::id(), &[ancestor], &parents())
}

/// Every living process that this one started, directly or not, without these and what they started, and without what the
/// system started for them.
#[must_use]
pub fn descendants(but: &[u32]) -> Vec<Descendant> {
    let Ok(job) = job() else { return Vec::new() };
    let pids = || job.pids().unwrap_or_default();
    let held: Vec<(u32, ProcessHandle)> = pids()
        .into_iter()
        .filter_map(|pid| ProcessHandle::open(pid).ok().flatten().map(|handle| (pid, handle)))
        .collect();
    let still = pids();
    let parents = if but.is_empty() { Vec::new() } else { parents() };
    held.into_iter()
        .filter(|(pid, handle)| still.contains(pid) && !handle.has_ended() && !descends(*pid, but, &parents))
        .filter_map(|(pid, handle)| Some(Descendant { process: Process::of(pid).ok()??, handle }))
        .filter(|one| !is_console(&one.process))
        .collect()
}

/// Whether it is what the system starts to be a console without a window: it goes when nobody uses that any more.
pub(super) fn is_console(process: &Process) -> bool {
    let path = process.executable.as_ref().map(|path| path.to_string_lossy().to_lowercase());
    path.is_some_and(|path| path.ends_with(r"\system32\conhost.exe"))
}

/// Whether a process is one of these, or was started by one of them.
fn descends(pid: u32, from: &[u32], parents: &[(u32, u32)]) -> bool {
    let mut at = Some(pid);
    // A number that was given anew could make a ring of it.
    for _ in 0..=parents.len() {
        match at {
            Some(pid) if from.contains(&pid) => return true,
            Some(pid) => at = parents.iter().find(|(child, _)| *child == pid).map(|(_, parent)| *parent),
            None => return false,
        }
    }
    false
}

/// Ends what this process has started, without these: at one stroke if none of these is among it.
pub fn kill_children(but: &[u32]) {
    let Ok(job) = job() else { return };
    if job.pids().unwrap_or_default().iter().any(|pid| but.contains(pid)) {
        for one in descendants(but) {
            let _ = one.signal(KILL);
        }
    } else {
        let _ = job.end_all(KILLED);
    }
}

/// Lets live on what is left in the job when this process ends: who took over from inside.
pub fn leave_the_rest() {
    if reap_others(None) {
        let _ = job().and_then(|job| job.is_ended_with_me(false));
    }
}

/// Asks a child to stop, or ends it; whose handle is still open, so that its number is its own.
///
/// # Errors
/// `Unsupported`: it cannot be asked.
pub fn signal_child(pid: u32, signal: i32) -> io::Result<()> {
    let Some(handle) = ProcessHandle::open(pid)? else { return Ok(()) };
    match signal {
        _ if handle.has_ended() => Ok(()),
        KILL => handle.signal(Signal::Kill),
        INTERRUPT | TERMINATE | BREAK => console::ask(pid).map_err(|_| cannot_be_asked()),
        _ => Ok(()),
    }
}

/// Asks a child and all that it started to stop, or ends them.
///
/// # Errors
/// `Unsupported`: none of them can be asked.
pub fn signal_group(leader: u32, signal: i32) -> io::Result<()> {
    match signal {
        KILL => job()?.end_all(KILLED),
        INTERRUPT | TERMINATE | BREAK => console::ask_group(leader).or_else(|_| ask_all()),
        _ => Ok(()),
    }
}

fn ask_all() -> io::Result<()> {
    let all = descendants(&[]);
    let asked: Vec<bool> = all.iter().map(|one| one.signal(BREAK).is_ok()).collect();
    if all.is_empty() || asked.contains(&true) { Ok(()) } else { Err(cannot_be_asked()) }
}

fn cannot_be_asked() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "it has no console on which CTRL_BREAK would reach it")
}

/// Whether a process is among what this one has started: where one that is spared is, nothing is sent to all of it.
#[must_use]
pub fn is_in_group(pid: u32, _: u32) -> bool {
    job().and_then(Job::pids).is_ok_and(|pids| pids.contains(&pid))
}
