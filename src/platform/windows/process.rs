//! A process: its facts, and a handle that stays with it.
//!
//! As long as a handle is open the system gives the process's number to nobody else ("Process Handles and Identifiers",
//! Microsoft Learn). A process that has ended may still be opened while somebody has a handle of it, so that what says
//! whether it lives is the handle, which is signalled at its end (`WaitForSingleObject`). Which of several processes
//! had a number is told by the time of creation (`GetProcessTimes`), in 100 ns since 1601, which no clock moves afterwards.

use std::{
    io,
    os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle, RawHandle},
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use windows_sys::Win32::{
    Foundation::{ERROR_INVALID_PARAMETER, FILETIME, WAIT_OBJECT_0},
    System::{
        RemoteDesktop::ProcessIdToSessionId,
        Threading::{
            GetProcessTimes, OpenProcess, PROCESS_NAME_WIN32, PROCESS_QUERY_LIMITED_INFORMATION,
            PROCESS_SYNCHRONIZE, PROCESS_TERMINATE, QueryFullProcessImageNameW, TerminateProcess,
            WaitForSingleObject,
        },
    },
};

use super::{
    users::{ROOT, effective_user, user_of_process},
    wide::{code_of, from_wide, succeeded},
};
pub(crate) use crate::platform::whole_look::{name_and_start, own_executable, own_start};
use crate::process::{Process, ProcessState, Signal};

/// The exit code of what is ended by force: as a shell shows what SIGKILL ended.
pub(crate) const KILLED: u32 = 137;

/// A process, alive or ended, and never another one in its place.
#[derive(Debug)]
pub(crate) struct ProcessHandle {
    handle: OwnedHandle,
    pid: u32,
    may_be_ended: bool,
}

/// Opens a process; none: nobody has this number.
fn open(pid: u32, rights: u32) -> io::Result<Option<OwnedHandle>> {
    // SAFETY: it takes numbers only; the handle is owned from here on.
    unsafe {
        let opened = OpenProcess(rights, 0, pid);
        if !opened.is_null() {
            return Ok(Some(OwnedHandle::from_raw_handle(opened)));
        }
    }
    let error = io::Error::last_os_error();
    if pid == 0 || code_of(&error) == Some(ERROR_INVALID_PARAMETER) { Ok(None) } else { Err(error) }
}

impl ProcessHandle {
    /// Opens the process that has this pid now; none if there is none.
    ///
    /// # Errors
    /// `PermissionDenied`: it is another user's, or the system's.
    pub(crate) fn open(pid: u32) -> io::Result<Option<Self>> {
        let asking = PROCESS_QUERY_LIMITED_INFORMATION | PROCESS_SYNCHRONIZE;
        let owned = |may_be_ended| move |handle| Self { handle, pid, may_be_ended };
        match open(pid, asking | PROCESS_TERMINATE) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Ok(open(pid, asking)?.map(owned(false)))
            }
            opened => Ok(opened?.map(owned(true))),
        }
    }

    /// Its pid.
    #[allow(clippy::unnecessary_wraps)] // On Linux it may be unknown.
    pub(crate) fn pid(&self) -> Option<u32> {
        Some(self.pid)
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        // SAFETY: the handle is open.
        (unsafe { WaitForSingleObject(self.raw(), 0) }) == WAIT_OBJECT_0
    }

    /// Blocks until it has ended (true) or the deadline has passed (false).
    pub(crate) fn wait_ended(&self, deadline: Instant) -> bool {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // SAFETY: the handle is open.
            if (unsafe { WaitForSingleObject(self.raw(), millis(left)) }) == WAIT_OBJECT_0 {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
        }
    }

    /// Ends it, or says that it cannot be told: a process is asked to end through its pipe, or through its console, and
    /// nothing else reaches one that answers nobody.
    ///
    /// # Errors
    /// `Unsupported`: there is no such signal. `PermissionDenied`: it is another user's, or ends just now.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        match signal {
            Signal::Kill if !self.may_be_ended => Err(io::ErrorKind::PermissionDenied.into()),
            // SAFETY: the handle is open.
            Signal::Kill => succeeded(unsafe { TerminateProcess(self.raw(), KILLED) }),
            Signal::Continue | Signal::Terminate | Signal::Number(_) => {
                Err(io::ErrorKind::Unsupported.into())
            }
        }
    }

    pub(super) fn raw(&self) -> RawHandle {
        self.handle.as_raw_handle()
    }

    pub(super) fn as_owned(&self) -> &OwnedHandle {
        &self.handle
    }
}

/// For a wait of the system's: rounded up, and one that is too long is cut, and repeated.
pub(super) fn millis(time: Duration) -> u32 {
    let rounded = time.as_micros().div_ceil(1000);
    u32::try_from(rounded).unwrap_or(u32::MAX).min(u32::MAX - 1)
}

/// 100 ns since 1601.
fn ticks(time: FILETIME) -> u64 {
    (u64::from(time.dwHighDateTime) << 32) | u64::from(time.dwLowDateTime)
}

/// Creation, and the time that it ran in the kernel and by itself.
pub(super) fn times(process: RawHandle) -> io::Result<(u64, Duration)> {
    let [mut created, mut ended, mut kernel, mut user] = [FILETIME::default(); 4];
    // SAFETY: the handle is open, and the times are written to variables that outlive the call.
    succeeded(unsafe {
        GetProcessTimes(process, &raw mut created, &raw mut ended, &raw mut kernel, &raw mut user)
    })?;
    Ok((ticks(created), Duration::from_nanos((ticks(kernel) + ticks(user)).saturating_mul(100))))
}

/// What is known about the process with this pid; none if there is none.
///
/// # Errors
/// Never here; on Linux if no descriptor is left.
#[allow(clippy::unnecessary_wraps)] // Linux fails.
pub(crate) fn look(pid: u32) -> io::Result<Option<Process>> {
    let handle = match ProcessHandle::open(pid) {
        Ok(Some(handle)) => handle,
        Ok(None) => return Ok(None),
        Err(_) => return Ok(Some(Process::unknown(pid))), // it is there, and tells this user nothing
    };
    if handle.has_ended() {
        return Ok(None);
    }
    let executable = image(&handle);
    let start_ticks = times(handle.raw()).ok().map(|(created, _)| created);
    let name = executable.as_ref().and_then(|path| path.file_name());
    Ok(Some(Process {
        pid,
        name: name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        command: Vec::new(),
        uid: user_of_process(handle.as_owned()).ok(),
        started_at: start_ticks.and_then(|ticks| {
            const SECONDS_FROM_1601_TO_1970: u64 = 11_644_473_600;
            let since = Duration::new(ticks / 10_000_000, u32::try_from(ticks % 10_000_000).ok()? * 100);
            SystemTime::UNIX_EPOCH
                .checked_add(since.checked_sub(Duration::from_secs(SECONDS_FROM_1601_TO_1970))?)
        }),
        start_ticks,
        executable,
        state: ProcessState::Running,
    }))
}

fn image(handle: &ProcessHandle) -> Option<PathBuf> {
    let mut path = vec![0_u16; 32 * 1024];
    let mut length = u32::try_from(path.len()).ok()?;
    // SAFETY: the length is that of the room.
    let told = unsafe {
        QueryFullProcessImageNameW(handle.raw(), PROCESS_NAME_WIN32, path.as_mut_ptr(), &raw mut length)
    };
    (told != 0).then(|| PathBuf::from(from_wide(&path)))
}

/// Whether a process of this user is one that we end: our own user's, or anybody's if we are the system.
pub(crate) fn may_signal(uid: Option<u32>) -> bool {
    let own = effective_user();
    own == ROOT || uid == Some(own)
}

/// The session of a process.
pub(super) fn session_of(pid: u32) -> Option<u32> {
    let mut session = 0;
    // SAFETY: the number is written to a variable that outlives the call.
    (unsafe { ProcessIdToSessionId(pid, &raw mut session) } != 0).then_some(session)
}

/// Nothing freezes a process here but its own suspension, of which nobody is told.
pub(crate) fn is_frozen(_: u32) -> bool {
    false
}

/// None: Windows shows nobody which process has a lock, besides what the lock's owner says of itself.
pub(crate) fn shows_posix_lock(_: u32, _: u64, _: u64, _: u64) -> Option<bool> {
    None
}

/// The systemd unit that a process is in: there is none.
pub(crate) fn unit_of(_: u32) -> Option<(String, bool)> {
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_is_the_same_one_until_its_handle_is_closed_though_it_has_ended() {
        // It waits for ever on its standard input.
        let mut child = Command::new("cmd").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let handle = ProcessHandle::open(child.id()).unwrap().unwrap();
        assert!(!handle.has_ended() && !handle.wait_ended(Instant::now()));
        let process = look(child.id()).unwrap().unwrap();
        assert!(process.name.to_lowercase().starts_with("cmd"), "{process:?}");
        assert_eq!(process.uid, Some(effective_user()));
        assert!(process.started_at.unwrap().elapsed().unwrap() < Duration::from_secs(3600));
        assert!(
            matches!(handle.signal(Signal::Terminate), Err(error) if error.kind() == io::ErrorKind::Unsupported)
        );
        handle.signal(Signal::Kill).unwrap();
        assert!(handle.wait_ended(Instant::now() + Duration::from_secs(20)));
        assert_eq!(look(child.id()).unwrap(), None, "its number is still its own, and it has ended");
        assert_eq!(child.wait().unwrap().code(), Some(137));
    }

    #[test]
    fn numbers_that_nobody_has_are_no_process() {
        for pid in [0, u32::MAX] {
            assert_eq!(look(pid).unwrap(), None);
        }
    }
}
