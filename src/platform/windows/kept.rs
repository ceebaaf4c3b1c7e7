//! What a child and all that it starts keep, on Windows: their place in a job object, which nobody leaves.
//!
//! The job's name is that of `NAME.child`: the file's volume and number, so that whatever path leads to it the name is the
//! same, and one digit, because an old job may still have its name when the next is made. The file is free when no other
//! process is in any of them. A name lasts as long as a handle of the job: the holder has one, and the child is given one,
//! which what it starts may inherit, so that the name outlives a holder that is killed. What ends them all then is another
//! job, of the holder's own (`children.rs`): its last handle ends with the holder.
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
use crate::process::{Process, Signal};

/// A file, and the job that is named after it.
#[derive(Debug)]
pub(crate) struct Kept {
    file: File,
    id: FileId,
    job: Option<Job>,
}

/// The names that jobs of this file may have.
fn names_of(id: FileId) -> impl Iterator<Item = String> {
    (0..8).map(move |nth| format!(r"Global\incumbent-child-{:x}-{:x}-{nth}", id.dev, id.ino))
}

impl Kept {
    #[allow(clippy::unnecessary_wraps)] // as on Unix
    pub(crate) fn new(file: File, id: FileId) -> io::Result<Self> {
        Ok(Self { file, id, job: None })
    }

    /// Tells whether nobody keeps it but this process, which cannot leave the job that it was started in.
    #[allow(clippy::needless_pass_by_ref_mut)] // as on Unix
    pub(crate) fn is_free(&mut self) -> io::Result<bool> {
        Ok(in_jobs_of(self.id)?.iter().all(|&pid| pid == std::process::id()))
    }

    /// Makes the job of those who are started with it. `false`: every name is taken still, by jobs with nobody in them.
    pub(crate) fn share(&mut self) -> io::Result<bool> {
        let private = Private::new(of(&self.file)?.owner, false)?;
        for name in names_of(self.id) {
            self.job = Job::named(&name, &private)?;
            if self.job.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The processes in the jobs of this file, but what the system itself started for them.
fn in_jobs_of(id: FileId) -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for name in names_of(id) {
        if let Some(job) = Job::look_at(&name)? {
            pids.extend(job.pids()?);
        }
    }
    // One that has ended may be listed for a moment.
    let counts = |pid| Process::of(pid).map_or(true, |it| it.is_some_and(|it| !children::is_console(&it)));
    pids.retain(|&pid| counts(pid));
    Ok(pids)
}

/// Starts a program that keeps these, and so does all that it starts: it runs only once it is in their jobs, and in the one
/// that ends with this process.
///
/// Its process group is its own, so that what a person types at the console does not reach it, and `CTRL_BREAK` can be sent
/// to it alone ("Process Creation Flags"). Without a console it gets one without a window, or each console program that it
/// starts would open one.
pub(crate) fn spawn<'a, T>(
    kept: impl Iterator<Item = &'a Kept>,
    command: &mut Command,
    last: impl FnOnce(&mut Command) -> io::Result<T>,
) -> io::Result<Child> {
    let _until_started = last(command)?;
    let group = if console::is_there() { CREATE_NEW_PROCESS_GROUP } else { CREATE_NO_WINDOW };
    let mut child = command.creation_flags(CREATE_SUSPENDED | group).spawn()?;
    let process = child.as_raw_handle();
    let placed = children::job().and_then(|mine| {
        // This one first: the others, of whichever instance, are within it.
        mine.take(process)?;
        for job in kept.filter_map(|kept| kept.job.as_ref()) {
            job.take(process)?;
            job.stays_with(process)?;
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
    in_jobs_of(id).unwrap_or_default()
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
