//! Named pipes, the client's side: connected, and asked who is at the other end. Nothing here waits past its deadline.
//!
//! Reads and writes are overlapped, so that a deadline can end them: a synchronous read of a pipe cannot be ended. The
//! server learns who the client is, and may not act as him (`SECURITY_IDENTIFICATION`). A pipe of which every instance is
//! taken (`ERROR_PIPE_BUSY`) is a living server; only a name that is missing says that nobody is there.
//!
//! Sources: "Named Pipes", `CreateFileW`, `GetNamedPipeServerProcessId`, "Synchronous and Asynchronous I/O" (Microsoft Learn).

use std::{
    fs::OpenOptions,
    io,
    os::windows::{
        fs::OpenOptionsExt as _,
        io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle, RawHandle},
    },
    path::{Path, PathBuf},
    ptr,
    time::Instant,
};

use windows_sys::Win32::{
    Foundation::{
        ERROR_BAD_PATHNAME, ERROR_BROKEN_PIPE, ERROR_FILE_NOT_FOUND, ERROR_INVALID_NAME, ERROR_IO_PENDING,
        ERROR_MORE_DATA, ERROR_NO_DATA, ERROR_OPERATION_ABORTED, ERROR_PATH_NOT_FOUND, ERROR_PIPE_BUSY,
        ERROR_PIPE_NOT_CONNECTED, ERROR_SEM_TIMEOUT, WAIT_OBJECT_0, WAIT_TIMEOUT,
    },
    Security::Authorization::SE_KERNEL_OBJECT,
    Storage::FileSystem::{FILE_FLAG_OVERLAPPED, ReadFile, SECURITY_IDENTIFICATION, WriteFile},
    System::{
        IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED},
        Pipes::{GetNamedPipeServerProcessId, PeekNamedPipe, WaitNamedPipeW},
        Threading::{CreateEventW, INFINITE, WaitForMultipleObjects},
    },
};

use super::{
    files::{Facts, FileId, Kind},
    process::{ProcessHandle, millis},
    users::{access_of, user_of_process},
    wide::{code_of, succeeded, wide},
};

/// No path in a directory is a pipe's: the name is made of a hash.
pub(crate) const LONGEST_PATH: usize = usize::MAX;

/// Whether this system names the process at the other end.
pub(crate) const TELLS_PEER_PID: bool = true;

/// A pipe's name reaches no file system, so that no deletion reaches it either: one is enough.
pub(crate) const HAS_ABSTRACT_NAMES: bool = false;

/// Whether an endpoint is a file that is bound beside and renamed into place.
pub(crate) const ENDPOINT_IS_A_FILE: bool = false;

/// Where an instance listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// The name of a pipe.
    Path(PathBuf),
    /// Nobody can be there.
    Abstract(Vec<u8>),
}

/// The endpoint of what has this hash.
#[allow(clippy::unnecessary_wraps)] // elsewhere it is a file in the instance's directory
pub(crate) fn endpoint_name(digest: impl FnOnce() -> String, end: &str) -> Option<PathBuf> {
    let kind = if end == "sock" { String::new() } else { format!("-{end}") };
    Some(PathBuf::from(format!(r"\\.\pipe\incumbent-{}{kind}", &digest()[..40])))
}

/// What is at an endpoint's path: a pipe, or nothing. Takes nothing of it.
#[allow(clippy::unnecessary_wraps)] // elsewhere it is a file
pub(crate) fn at_endpoint(path: &Path) -> io::Result<Option<Facts>> {
    let name = wide(path);
    // SAFETY: the name ends with a zero. It waits for a millisecond at the most, for an instance that is free.
    let waited = succeeded(unsafe { WaitNamedPipeW(name.as_ptr(), 1) });
    let is_there = match waited {
        Ok(()) => true,
        Err(error) => matches!(code_of(&error), Some(ERROR_SEM_TIMEOUT | ERROR_PIPE_BUSY)),
    };
    let owner = super::users::effective_user();
    let id = FileId { dev: 0, ino: 0 };
    Ok(is_there.then_some(Facts { id, kind: Kind::Socket, links: 1, owner, mode: 0o600, len: 0 }))
}

/// Connects without waiting. `WouldBlock`: somebody listens, and every instance is taken.
pub(crate) fn connect(address: &Address, _until: Instant) -> io::Result<Stream> {
    let Address::Path(path) = address else { return Err(io::ErrorKind::Unsupported.into()) };
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .share_mode(0)
        .custom_flags(FILE_FLAG_OVERLAPPED)
        .security_qos_flags(SECURITY_IDENTIFICATION)
        .open(path);
    match opened {
        Ok(file) => Stream::new(file.into()),
        Err(error) if code_of(&error) == Some(ERROR_PIPE_BUSY) => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => Err(error),
    }
}

/// Whose pipe it is that has no instance free: it is not asked.
pub(crate) fn listeners_user(_address: &Address) -> Option<u32> {
    None
}

/// Tells whether a failed connect says that nobody listens at the address.
pub(crate) fn means_nobody(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Unsupported
        || matches!(
            code_of(error),
            Some(ERROR_FILE_NOT_FOUND | ERROR_PATH_NOT_FOUND | ERROR_INVALID_NAME | ERROR_BAD_PATHNAME)
        )
}

/// Who is at the other end, as the system attests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The user; none: it is not told.
    pub(crate) uid: Option<u32>,
    /// The process; none: it is not told.
    pub(crate) pid: Option<u32>,
}

/// What the system knows of the process that listens.
#[derive(Debug)]
pub(crate) enum Listening {
    /// It can be watched; whether it has ended is asked of the handle.
    ///
    /// Not proven: found by its number, which another may have by now; its time of creation must say.
    Process { process: ProcessHandle, is_proven: bool },
    /// It has ended: what accepts is another, with its handle.
    Ended,
    /// It is not told.
    Unknown,
}

/// As on Unix: here only a handle tells.
pub(crate) fn is_gone(_pid: u32) -> bool {
    false
}

/// What came of an attempt to read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// So many bytes.
    Bytes(usize),
    /// The other side has closed.
    End,
    /// Nothing came until the deadline.
    Nothing,
    /// Nothing came, and the watched process has ended.
    ProcessEnded,
}

/// The client's end of a connection, or either end of a private one.
#[derive(Debug)]
pub(crate) struct Stream {
    pipe: OwnedHandle,
    /// One for reads, one for writes: both may go on at once.
    events: [OwnedHandle; 2],
}

/// How an overlapped call ended.
enum Ended {
    Done(usize),
    Overdue,
    ProcessGone,
}

impl Stream {
    /// Of a pipe that was opened for overlapped reads and writes.
    pub(super) fn new(pipe: OwnedHandle) -> io::Result<Self> {
        Ok(Self { pipe, events: [new_event()?, new_event()?] })
    }

    fn raw(&self) -> RawHandle {
        self.pipe.as_raw_handle()
    }

    /// The server's process and its user. Of a process that may not be asked, the pipe's own user counts, which only that
    /// user can have given to it.
    pub(crate) fn peer(&self) -> io::Result<Peer> {
        let mut pid = 0;
        // SAFETY: the handle is open, and the number is written to a variable that outlives the call.
        succeeded(unsafe { GetNamedPipeServerProcessId(self.raw(), &raw mut pid) })?;
        let asked = ProcessHandle::open(pid)
            .and_then(|process| process.ok_or_else(|| io::ErrorKind::NotFound.into()))
            .and_then(|process| user_of_process(process.as_owned()));
        let uid = asked.or_else(|_| access_of(self.raw(), SE_KERNEL_OBJECT).map(|access| access.owner));
        Ok(Peer { uid: uid.ok(), pid: Some(pid) })
    }

    /// The process that listens here, held so that its number cannot be mistaken for another's.
    pub(crate) fn listening(&self, peer: Peer) -> Listening {
        match peer.pid.map(ProcessHandle::open) {
            Some(Ok(Some(process))) if process.has_ended() => Listening::Ended,
            // A server that has ended has closed its end: as long as that is open, the number is its own.
            Some(Ok(Some(process))) => Listening::Process { process, is_proven: self.is_open() },
            Some(Ok(None)) => Listening::Ended,
            Some(Err(_)) | None => Listening::Unknown,
        }
    }

    /// Tells whether the other side has not closed yet. Consumes nothing.
    pub(crate) fn is_open(&self) -> bool {
        // SAFETY: the handle is open, and nothing is written anywhere.
        let peeked = unsafe {
            PeekNamedPipe(self.raw(), ptr::null_mut(), 0, ptr::null_mut(), ptr::null_mut(), ptr::null_mut())
        };
        peeked != 0
    }

    /// Writes everything, or fails with `TimedOut` at the deadline.
    pub(crate) fn write_all(&self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let begin = |overlapped: *mut OVERLAPPED| {
                // SAFETY: the bytes are borrowed until the call has ended, which `overlapped` waits for.
                unsafe { WriteFile(self.raw(), bytes.as_ptr(), length, ptr::null_mut(), overlapped) }
            };
            match self.overlapped(&self.events[1], Some(deadline), None, begin) {
                Ok(Ended::Done(count)) => bytes = &bytes[count..],
                Ok(Ended::Overdue | Ended::ProcessGone) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) if means_end(&error) => return Err(io::ErrorKind::BrokenPipe.into()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what there is; waits for it until the deadline (none: for ever), or until the watched process ends.
    pub(crate) fn read(
        &self,
        into: &mut [u8],
        deadline: Option<Instant>,
        watched: Option<&ProcessHandle>,
        _sockets: Option<&mut Vec<super::passing::Socket>>, // none ever comes
    ) -> io::Result<Read> {
        let length = u32::try_from(into.len()).unwrap_or(u32::MAX);
        let begin = |overlapped: *mut OVERLAPPED| {
            // SAFETY: the room is borrowed until the call has ended, which `overlapped` waits for.
            unsafe { ReadFile(self.raw(), into.as_mut_ptr(), length, ptr::null_mut(), overlapped) }
        };
        match self.overlapped(&self.events[0], deadline, watched, begin) {
            Ok(Ended::Done(0)) => Ok(Read::End),
            Ok(Ended::Done(count)) => Ok(Read::Bytes(count)),
            Ok(Ended::Overdue) => Ok(Read::Nothing),
            Ok(Ended::ProcessGone) => Ok(Read::ProcessEnded),
            Err(error) if means_end(&error) => Ok(Read::End),
            Err(error) => Err(error),
        }
    }

    /// Begins a call and waits for its end. When the deadline has passed it is cancelled, and waited for all the same: until
    /// then the memory is the system's. What it had done by then counts.
    fn overlapped(
        &self,
        event: &OwnedHandle,
        deadline: Option<Instant>,
        watched: Option<&ProcessHandle>,
        begin: impl FnOnce(*mut OVERLAPPED) -> i32,
    ) -> io::Result<Ended> {
        let mut overlapped = OVERLAPPED { hEvent: event.as_raw_handle(), ..OVERLAPPED::default() };
        let begun = succeeded(begin(&raw mut overlapped));
        let mut why = Ended::Overdue;
        match begun {
            Err(error) if code_of(&error) == Some(ERROR_IO_PENDING) => {
                why = wait(event, deadline, watched);
                if !matches!(why, Ended::Done(_)) {
                    // SAFETY: the call is this one; one that has ended already is not found, which is no matter.
                    unsafe { CancelIoEx(self.raw(), &raw const overlapped) };
                }
            }
            Err(error) if code_of(&error) != Some(ERROR_MORE_DATA) => return Err(error),
            _ => {}
        }
        let mut count = 0;
        // SAFETY: it waits until the call has ended; the struct lives until then.
        let result =
            succeeded(unsafe { GetOverlappedResult(self.raw(), &raw const overlapped, &raw mut count, 1) });
        match result {
            Err(error) if code_of(&error) == Some(ERROR_OPERATION_ABORTED) => Ok(why),
            Err(error) if code_of(&error) != Some(ERROR_MORE_DATA) => Err(error),
            _ => Ok(Ended::Done(count as usize)),
        }
    }
}

/// Waits for a call's event; `Done` says only that it has come.
fn wait(event: &OwnedHandle, deadline: Option<Instant>, watched: Option<&ProcessHandle>) -> Ended {
    let handles: Vec<RawHandle> =
        [Some(event.as_raw_handle()), watched.map(ProcessHandle::raw)].into_iter().flatten().collect();
    loop {
        let timeout =
            deadline.map_or(INFINITE, |deadline| millis(deadline.saturating_duration_since(Instant::now())));
        let count = u32::try_from(handles.len()).unwrap_or(1);
        // SAFETY: the handles are open, and as many as is said.
        match unsafe { WaitForMultipleObjects(count, handles.as_ptr(), 0, timeout) } {
            WAIT_OBJECT_0 => return Ended::Done(0),
            WAIT_TIMEOUT if deadline.is_some_and(|deadline| Instant::now() < deadline) => {}
            WAIT_TIMEOUT => return Ended::Overdue,
            _ if watched.is_some_and(ProcessHandle::has_ended) => return Ended::ProcessGone,
            _ => return Ended::Overdue, // it cannot be waited: as if the deadline had passed
        }
    }
}

/// The other side has closed its end, or its process has ended.
pub(super) fn means_end(error: &io::Error) -> bool {
    matches!(code_of(error), Some(ERROR_BROKEN_PIPE | ERROR_NO_DATA | ERROR_PIPE_NOT_CONNECTED))
}

/// An event that stays signalled until the next call resets it.
fn new_event() -> io::Result<OwnedHandle> {
    // SAFETY: nothing is read through the null pointers; the handle is owned from here on.
    unsafe {
        let made = CreateEventW(ptr::null(), 1, 0, ptr::null());
        if made.is_null() { Err(io::Error::last_os_error()) } else { Ok(OwnedHandle::from_raw_handle(made)) }
    }
}
