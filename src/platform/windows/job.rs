//! Job objects: what a process starts is in its jobs too, whatever it does, and no job here lets anything leave.
//!
//! A process may be in several, one within the other: a job that it is put into must be empty, or within those that it is
//! in already ("Nested Jobs", `AssignProcessToJobObject`, Microsoft Learn). Wine refuses an empty one, too, that was within
//! another before, so that here only new ones are used.

use std::{
    io,
    os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle, RawHandle},
    ptr,
};

use windows_sys::Win32::{
    Foundation::{
        DuplicateHandle, ERROR_ALREADY_EXISTS, ERROR_FILE_NOT_FOUND, ERROR_MORE_DATA, GetLastError,
        SetLastError,
    },
    System::{
        JobObjects::{
            AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
            JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectBasicProcessIdList,
            JobObjectExtendedLimitInformation, OpenJobObjectW, QueryInformationJobObject,
            SetInformationJobObject, TerminateJobObject,
        },
        SystemServices::JOB_OBJECT_QUERY,
        Threading::{GetCurrentProcess, PROCESS_SYNCHRONIZE},
    },
};

use super::{
    users::Private,
    wide::{code_of, succeeded, wide},
};

/// A job object.
#[derive(Debug)]
pub(super) struct Job(OwnedHandle);

impl Job {
    /// One without a name. All that is in it is killed when the last handle of it is closed, which is this one: the end of
    /// this process does it, however it ends (`JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE`).
    pub(super) fn of_mine() -> io::Result<Self> {
        // SAFETY: nothing is read through the null pointers; the handle is owned from here on.
        let job = unsafe { owned(CreateJobObjectW(ptr::null(), ptr::null())) }?;
        let job = Self(job);
        job.is_ended_with_me(true)?;
        Ok(job)
    }

    /// A new one of this name; none: there is one already. The name lasts as long as a handle of it.
    pub(super) fn named(name: &str, private: &Private) -> io::Result<Option<Self>> {
        let (name, attributes) = (wide(name), private.attributes());
        // SAFETY: the name ends with a zero, the attributes outlive the call; the handle is owned from here on. The last error
        // says of a handle that it is of an object that was there before.
        unsafe {
            SetLastError(0);
            let job = owned(CreateJobObjectW(&raw const attributes, name.as_ptr()))?;
            Ok((GetLastError() != ERROR_ALREADY_EXISTS).then_some(Self(job)))
        }
    }

    /// The one of this name, to look at; none: there is none.
    pub(super) fn look_at(name: &str) -> io::Result<Option<Self>> {
        let name = wide(name);
        // SAFETY: the name ends with a zero; the handle is owned from here on.
        match unsafe { owned(OpenJobObjectW(JOB_OBJECT_QUERY, 0, name.as_ptr())) } {
            Ok(job) => Ok(Some(Self(job))),
            Err(error) if code_of(&error) == Some(ERROR_FILE_NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether all that is in it ends with this process.
    pub(super) fn is_ended_with_me(&self, wanted: bool) -> io::Result<()> {
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = if wanted { JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE } else { 0 };
        let size = u32::try_from(size_of_val(&limits)).unwrap_or(0);
        // SAFETY: the handle is open, and the struct is as long as is said.
        succeeded(unsafe {
            SetInformationJobObject(
                self.raw(),
                JobObjectExtendedLimitInformation,
                (&raw const limits).cast(),
                size,
            )
        })
    }

    /// Puts a process into it.
    pub(super) fn take(&self, process: RawHandle) -> io::Result<()> {
        // SAFETY: both handles are open.
        succeeded(unsafe { AssignProcessToJobObject(self.raw(), process) })
    }

    /// Gives a process a handle of it that is good for nothing, and that what it starts may inherit: so long the job has
    /// its name.
    pub(super) fn stays_with(&self, process: RawHandle) -> io::Result<()> {
        let mut theirs = ptr::null_mut();
        // SAFETY: the handles are open; the new one is the other process's.
        succeeded(unsafe {
            DuplicateHandle(
                GetCurrentProcess(),
                self.raw(),
                process,
                &raw mut theirs,
                PROCESS_SYNCHRONIZE,
                1,
                0,
            )
        })
    }

    /// The living processes in it, by their numbers.
    pub(super) fn pids(&self) -> io::Result<Vec<u32>> {
        pids_in(self.raw())
    }

    /// Ends all that is in it, at one stroke: nothing that forks meanwhile escapes.
    pub(super) fn end_all(&self, code: u32) -> io::Result<()> {
        // SAFETY: the handle is open.
        succeeded(unsafe { TerminateJobObject(self.raw(), code) })
    }

    fn raw(&self) -> RawHandle {
        self.0.as_raw_handle()
    }
}

/// `JOBOBJECT_BASIC_PROCESS_ID_LIST`: two counts, and then the numbers.
fn pids_in(job: RawHandle) -> io::Result<Vec<u32>> {
    const COUNTS: usize = 8 / size_of::<usize>();
    let mut room = 64;
    loop {
        let mut list = vec![0_usize; COUNTS + room];
        let size = u32::try_from(size_of_val(&*list)).unwrap_or(0);
        // SAFETY: the handle is open, and the room is as long as is said, and aligned as the numbers are.
        let told = succeeded(unsafe {
            QueryInformationJobObject(
                job,
                JobObjectBasicProcessIdList,
                list.as_mut_ptr().cast(),
                size,
                ptr::null_mut(),
            )
        });
        match told {
            Err(error) if code_of(&error) == Some(ERROR_MORE_DATA) => room *= 4,
            told => {
                told?;
                // SAFETY: the room begins with two numbers of 32 bits: how many there are, and how many are told.
                let count = unsafe { *list.as_ptr().cast::<u32>().add(1) } as usize;
                let pids = list.iter().skip(COUNTS).take(count);
                return Ok(pids.filter_map(|&pid| u32::try_from(pid).ok()).collect());
            }
        }
    }
}

/// # Safety
/// It is a handle of ours, or null after a call that failed.
unsafe fn owned(handle: RawHandle) -> io::Result<OwnedHandle> {
    if handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the caller says that it is ours.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}
