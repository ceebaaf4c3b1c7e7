//! What a child and all that it starts keep, on Windows: their place in a job object, which nobody leaves.
//!
//! The job's name is that of `NAME.child`: the file's volume and number, so that whatever path leads to it the job is the
//! same. It is free when no other process is in it. The name lasts as long as a handle of the job: the holder has one, and
//! the child is given one, which what it starts may inherit, so that the name outlives a holder that is killed. What ends
//! them all then is another job, of the holder's own (`children.rs`): its last handle ends with the holder.
//!
//! A process that does not pass handles on and lives longer than the child and the holder, a moment after all of them were
//! killed, is seen by nobody: it has been ended, and no instruction of it runs any more but what it does in the kernel.
//!
//! Sources: "Job Objects", "Nested Jobs", `CreateJobObjectW` (Microsoft Learn). Proven by `tests/windows_child.rs`.

use std::{
    fs::File,
    io,
    os::windows::{io::AsRawHandle as _, process::CommandExt as _},
    process::{Child, Command},
};

use windows_sys::Win32::System::Threading::{CREATE_NEW_PROCESS_GROUP, CREATE_NO_WINDOW, CREATE_SUSPENDED};

use super::{
    children,
    console::{self, KILL},
    files::{FileId, of},
    job::Job,
    process::ProcessHandle,
    users::Private,
};
use crate::process::Signal;

/// A file, and the job that is named after it.
#[derive(Debug)]
pub(crate) struct Kept {
    _file: File,
    job: Job,
}

fn name_of(id: FileId) -> String {
    format!(r"Global\incumbent-child-{:x}-{:x}", id.dev, id.ino)
}

impl Kept {
    pub(crate) fn new(file: File, id: FileId) -> io::Result<Self> {
        let private = Private::new(of(&file)?.owner, false)?;
        Ok(Self { job: Job::named(&name_of(id), &private)?, _file: file })
    }

    /// Tells whether nobody keeps it but this process, which cannot leave the job that it was started in.
    #[allow(clippy::unused_self, clippy::needless_pass_by_ref_mut)] // as on Unix
    pub(crate) fn is_free(&mut self) -> io::Result<bool> {
        Ok(self.job.pids()?.iter().all(|&pid| pid == std::process::id()))
    }

    /// Nothing more is to be done: who is started with it is put into the job.
    #[allow(clippy::unnecessary_wraps, clippy::unused_self, clippy::needless_pass_by_ref_mut)] // as on Unix
    pub(crate) fn share(&mut self) -> io::Result<bool> {
        Ok(true)
    }
}

/// Starts a program that keeps these, and so does all that it starts: it runs only once it is in their jobs, and in the one
/// that ends with this process.
///
/// Its process group is its own, so that what a person types at the console does not reach it, and CTRL_BREAK can be sent
/// to it alone ("Process Creation Flags"). Without a console it gets one without a window, or each console program that it
/// starts would open one.
pub(crate) fn spawn<'a>(kept: impl Iterator<Item = &'a Kept>, command: &mut Command) -> io::Result<Child> {
    let group = if console::is_there() { CREATE_NEW_PROCESS_GROUP } else { CREATE_NO_WINDOW };
    let mut child = command.creation_flags(CREATE_SUSPENDED | group).spawn()?;
    let process = child.as_raw_handle();
    let placed = children::job().and_then(|mine| {
        // This one first: the others, of whichever instance, are within it.
        mine.take(process)?;
        for kept in kept {
            kept.job.take(process)?;
            kept.job.stays_with(process)?;
        }
        children::resume(child.id())
    });
    if let Err(error) = placed {
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    Ok(child)
}

/// Tells whether there is a signal of this number.
pub(crate) fn is_signal(number: i32) -> io::Result<()> {
    if console::is_signal(number) { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// The processes that keep the file of this id.
pub(crate) fn keepers(id: FileId) -> Vec<u32> {
    let job = Job::look_at(&name_of(id)).ok().flatten();
    job.and_then(|job| job.pids().ok()).unwrap_or_default()
}

/// Whether the process that has this pid now keeps the file of this id.
pub(crate) fn keeps(pid: u32, id: FileId) -> bool {
    keepers(id).contains(&pid)
}

/// Asks a process to end, or ends it. What cannot be asked has its grace all the same.
pub(crate) fn signal(process: &ProcessHandle, signal: Signal) -> io::Result<()> {
    match signal {
        Signal::Kill | Signal::Number(KILL) => process.signal(Signal::Kill),
        Signal::Continue => Ok(()),
        Signal::Terminate | Signal::Number(_) => {
            let _ = process.pid().map(console::ask);
            Ok(())
        }
    }
}
