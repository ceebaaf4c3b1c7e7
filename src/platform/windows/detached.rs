//! A program that goes on in the background: its console, its job, its handles, its standard streams.
//!
//! It gets a console without a window, so that PROGRAM can be sent `CTRL_BREAK` on it, and nothing typed anywhere reaches
//! either. It leaves the job of its caller where that is allowed. The way to the caller is a pipe in the place of the
//! standard input, on which it only writes; the caller's end is that of its process, which started this one.
//!
//! Every handle that a process may pass on is passed on to whatever it starts with standard streams, so that all are
//! marked in the foreground process before. What leads to a console or a pipe of the caller's is not passed on at all.
//!
//! Sources: "Process Creation Flags", "Handle Inheritance", "Nested Jobs" (Microsoft Learn). Proven by
//! `tests/windows_child.rs`.

use std::{
    ffi::OsStr,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::windows::{
        io::{FromRawHandle as _, IntoRawHandle as _, OwnedHandle, RawHandle},
        process::CommandExt as _,
    },
    process::{Child, Command, Stdio},
    ptr,
    sync::OnceLock,
};

use windows_sys::Win32::{
    Foundation::{CloseHandle, ERROR_ACCESS_DENIED, HANDLE_FLAG_INHERIT, SetHandleInformation},
    Storage::FileSystem::{FILE_TYPE_CHAR, FILE_TYPE_DISK, FILE_TYPE_PIPE, GetFileType},
    System::{
        Console::{
            GetConsoleMode, GetStdHandle, STD_ERROR_HANDLE, STD_HANDLE, STD_INPUT_HANDLE, STD_OUTPUT_HANDLE,
            SetStdHandle,
        },
        Pipes::CreatePipe,
        Threading::{
            CREATE_BREAKAWAY_FROM_JOB, CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW, GetCurrentProcess,
            GetProcessHandleCount,
        },
    },
};

use super::{
    for_gateway::far,
    process::{ProcessHandle, times},
    wide::{code_of, succeeded},
};

/// A program that was started in the background.
#[derive(Debug)]
pub struct Started {
    /// It.
    pub child: Child,
    /// What it tells; the end of this is its end, or that it has nothing more to tell.
    pub news: File,
    /// Why it does not outlive its caller for sure; none: it does.
    pub warning: Option<&'static str>,
}

/// This very program once more, as it was called.
///
/// # Errors
/// The system does not tell its file.
pub fn same_command() -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1));
    Ok(command)
}

/// What stands in the variable: that the standard input is the way to the caller, and which streams go to the log.
const MARKS: [(&str, (bool, bool)); 4] = [
    ("stdin", (false, false)),
    ("stdin, log out", (true, false)),
    ("stdin, log err", (false, true)),
    ("stdin, log both", (true, true)),
];

/// Starts a program in the background; the variable of this name says so to it.
///
/// # Errors
/// As `CreatePipe`, and [`Command::spawn`].
pub fn start(mut command: Command, variable: &str) -> io::Result<Started> {
    let (news, theirs) = pipe()?;
    let to_log = goes_to_log();
    let mark = MARKS.iter().find(|(_, streams)| *streams == to_log).map_or("stdin", |(mark, _)| mark);
    command.env(variable, mark).stdin(theirs);
    if to_log.0 {
        command.stdout(Stdio::null());
    }
    if to_log.1 {
        command.stderr(Stdio::null());
    }
    pass_no_handles_on();
    let flags = CREATE_NO_WINDOW | CREATE_NEW_PROCESS_GROUP;
    let (child, warning) = match command.creation_flags(flags | CREATE_BREAKAWAY_FROM_JOB).spawn() {
        Err(error) if code_of(&error) == Some(ERROR_ACCESS_DENIED) => {
            // Whether one of the jobs around ends what is in it is not told of all of them.
            (
                command.creation_flags(flags).spawn()?,
                Some("stays in the job of its caller, and ends with that"),
            )
        }
        started => (started?, None),
    };
    Ok(Started { child, news, warning })
}

/// The end to read from, and the end to write to.
fn pipe() -> io::Result<(File, OwnedHandle)> {
    let (mut read, mut write) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: both handles are written to variables that outlive the call, and owned from here on.
    unsafe {
        succeeded(CreatePipe(&raw mut read, &raw mut write, ptr::null(), 0))?;
        Ok((File::from_raw_handle(read), OwnedHandle::from_raw_handle(write)))
    }
}

/// Lets no program that is started from now on inherit a handle but the standard streams that it is given.
///
/// Handles are multiples of four, given from the lowest on; how many there are is told.
fn pass_no_handles_on() {
    const MOST: usize = 1 << 18;
    let keep = |handle: RawHandle| {
        // SAFETY: what is no handle answers with an error.
        unsafe { SetHandleInformation(handle, HANDLE_FLAG_INHERIT, 0) != 0 }
    };
    for which in [STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE] {
        keep(std_handle(which));
    }
    let mut count = 0;
    // SAFETY: the pseudo handle of this process is always valid, and the number is written to a variable that outlives it.
    unsafe { GetProcessHandleCount(GetCurrentProcess(), &raw mut count) };
    let handles = (4..MOST).step_by(4).map(ptr::without_provenance_mut);
    let _ = handles.filter(|&handle| keep(handle)).nth(count as usize);
}

/// The way to who started this process and waits in the foreground.
#[derive(Debug)]
pub struct Caller(File);

/// That one's end; none: it has gone already.
#[derive(Debug)]
pub struct Watched(Option<ProcessHandle>);

/// Which streams go to the log, as the caller has said.
static TO_LOG: OnceLock<(bool, bool)> = OnceLock::new();

/// Takes the way to the caller, which stands in the place of the standard input, and puts `NUL` there. `variable` is what
/// the variable holds.
///
/// # Errors
/// `InvalidInput` when it is no pipe, or no caller has said so: then it stays.
pub fn join(variable: &OsStr) -> io::Result<(Caller, Watched)> {
    let mark = MARKS.iter().find(|(mark, _)| variable == *mark);
    let way = std_handle(STD_INPUT_HANDLE);
    // SAFETY: the handle is asked what it is.
    let is_pipe = unsafe { GetFileType(way) } == FILE_TYPE_PIPE;
    let Some((_, to_log)) = mark.filter(|_| is_pipe) else { return Err(io::ErrorKind::InvalidInput.into()) };
    let nothing = OpenOptions::new().read(true).open("NUL")?;
    // SAFETY: both are handles of this process, and the old one is ours alone from here on.
    let way = unsafe {
        succeeded(SetStdHandle(STD_INPUT_HANDLE, nothing.into_raw_handle()))?;
        SetHandleInformation(way, HANDLE_FLAG_INHERIT, 0);
        File::from_raw_handle(way)
    };
    let _ = TO_LOG.set(*to_log);
    Ok((Caller(way), Watched(caller())))
}

/// The process that started this one, held; none: it has gone, though another may have its number by now.
fn caller() -> Option<ProcessHandle> {
    let parent = ProcessHandle::open(crate::platform::parent()?).ok()??;
    // SAFETY: the pseudo handle of this process is always valid.
    let (own, _) = times(unsafe { GetCurrentProcess() }).ok()?;
    let (its, _) = times(parent.raw()).ok()?;
    (its <= own).then_some(parent)
}

impl Write for Caller {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Watched {
    /// Blocks until the caller has gone.
    pub fn until_gone(self) {
        if let Some(caller) = self.0 {
            while !caller.wait_ended(far()) {}
        }
    }
}

fn std_handle(which: STD_HANDLE) -> RawHandle {
    // SAFETY: it takes a number only.
    unsafe { GetStdHandle(which) }
}

/// Which of the standard output and error go to the log: those that lead to a console or a pipe, where somebody is at the
/// other end. A file may stay, and so may nothing.
#[must_use]
pub fn goes_to_log() -> (bool, bool) {
    let goes = |which| {
        let (handle, mut mode) = (std_handle(which), 0);
        // SAFETY: the handle is asked what it is.
        match unsafe { GetFileType(handle) } {
            FILE_TYPE_DISK => false,
            // SAFETY: as above; the number is written to a variable that outlives the call.
            FILE_TYPE_CHAR => (unsafe { GetConsoleMode(handle, &raw mut mode) }) != 0,
            _ => true,
        }
    };
    TO_LOG.get().copied().unwrap_or_else(|| (goes(STD_OUTPUT_HANDLE), goes(STD_ERROR_HANDLE)))
}

/// Leads the standard output into a file.
///
/// # Errors
/// As `SetStdHandle`.
pub fn lead_stdout_into(file: &File) -> io::Result<()> {
    lead(STD_OUTPUT_HANDLE, file)
}

/// Leads the standard error into a file.
///
/// # Errors
/// As `SetStdHandle`.
pub fn lead_stderr_into(file: &File) -> io::Result<()> {
    lead(STD_ERROR_HANDLE, file)
}

fn lead(which: STD_HANDLE, file: &File) -> io::Result<()> {
    let (before, now) = (std_handle(which), file.try_clone()?.into_raw_handle());
    // SAFETY: the new handle is left to the process, and the old one is used by nobody any more: the standard library asks
    // for it at each write.
    unsafe {
        succeeded(SetStdHandle(which, now))?;
        if !before.is_null() && before != now {
            CloseHandle(before);
        }
    }
    Ok(())
}

/// Asks this very process to stop, as Ctrl-Break does.
pub fn ask_oneself_to_stop() {
    #[cfg(feature = "cli")]
    super::signals::ask_oneself();
}
