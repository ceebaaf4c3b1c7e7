//! The endpoint is a named pipe; its name stands in the record. All reads and writes are overlapped, so that each has its
//! time, and one does not wait for the other.

#![allow(clippy::cast_possible_wrap, clippy::cast_sign_loss)] // codes of Windows are the same bits with either sign

use std::{
    io,
    os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle, RawHandle},
    path::Path,
    process::Stdio,
    ptr::{null, null_mut},
    sync::Arc,
    time::{Duration, Instant},
};

use windows_sys::{
    Win32::{
        Foundation::{
            ERROR_BROKEN_PIPE, ERROR_IO_PENDING, ERROR_NO_DATA, ERROR_PIPE_BUSY, ERROR_PIPE_CONNECTED,
            GENERIC_READ, GENERIC_WRITE, INVALID_HANDLE_VALUE,
        },
        Storage::FileSystem::{
            CreateFileW, FILE_FLAG_OVERLAPPED, OPEN_EXISTING, PIPE_ACCESS_DUPLEX, ReadFile,
            SECURITY_IDENTIFICATION, SECURITY_SQOS_PRESENT, WriteFile,
        },
        System::{
            IO::{CancelIoEx, GetOverlappedResult, GetOverlappedResultEx, OVERLAPPED},
            Pipes::{
                ConnectNamedPipe, CreateNamedPipeW, CreatePipe, PIPE_READMODE_BYTE, PIPE_TYPE_BYTE,
                PIPE_UNLIMITED_INSTANCES, PIPE_WAIT, WaitNamedPipeW,
            },
            Threading::{CreateEventW, INFINITE},
        },
    },
    core::BOOL,
};

/// A connection, as bytes.
pub struct Stream {
    pipe: Arc<OwnedHandle>,
    at_most: Duration,
}

/// What the record of instance `a` says, with the zero that ends it.
fn endpoint(dir: &Path) -> io::Result<Vec<u16>> {
    let record: serde_json::Value = serde_json::from_slice(&std::fs::read(dir.join("a.json"))?)?;
    let name = record["endpoint"].as_str().ok_or_else(|| io::Error::other("no endpoint in the record"))?;
    Ok(name.encode_utf16().chain([0]).collect())
}

/// Connects to instance `a`; no read and no write lasts longer than this.
pub fn connect(dir: &Path, at_most: Duration) -> io::Result<Stream> {
    let name = endpoint(dir)?;
    let until = Instant::now() + at_most;
    loop {
        let how = FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION;
        // SAFETY: the name ends with a zero, and what may be null is.
        let pipe = unsafe {
            CreateFileW(
                name.as_ptr(),
                GENERIC_READ | GENERIC_WRITE,
                0,
                null(),
                OPEN_EXISTING,
                how,
                null_mut(),
            )
        };
        if pipe != INVALID_HANDLE_VALUE {
            return Ok(Stream { pipe: owned(pipe), at_most });
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(ERROR_PIPE_BUSY as i32) || Instant::now() > until {
            return Err(error);
        }
        // SAFETY: the name ends with a zero. Whether it was in vain is seen by the next attempt.
        unsafe { WaitNamedPipeW(name.as_ptr(), 1000) };
    }
}

fn owned(handle: RawHandle) -> Arc<OwnedHandle> {
    // SAFETY: it is new, valid, and nobody else's.
    Arc::new(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// Starts something on a pipe and waits for its end, so long and not longer.
fn transfer(
    pipe: &OwnedHandle,
    at_most: u32,
    start: impl FnOnce(RawHandle, *mut OVERLAPPED) -> BOOL,
) -> io::Result<usize> {
    // SAFETY: an event without a name, that is reset by hand, as overlapped I/O wants it.
    let event = unsafe { CreateEventW(null(), 1, 0, null()) };
    let event = owned(event);
    // SAFETY: plain numbers.
    let mut overlapped: OVERLAPPED = unsafe { std::mem::zeroed() };
    overlapped.hEvent = event.as_raw_handle();
    let handle = pipe.as_raw_handle();
    if start(handle, &raw mut overlapped) == 0 {
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(ERROR_IO_PENDING as i32) {
            return Err(error);
        }
    }
    let mut count = 0;
    // SAFETY: all of this lives until the operation has ended: below it is waited for once more, however this ends.
    if unsafe { GetOverlappedResultEx(handle, &raw const overlapped, &raw mut count, at_most, 0) } == 0 {
        let error = io::Error::last_os_error();
        // SAFETY: as above; what has ended is not cancelled, and its end is told at once.
        let ended = unsafe {
            CancelIoEx(handle, &raw const overlapped);
            GetOverlappedResult(handle, &raw const overlapped, &raw mut count, 1)
        };
        if ended == 0 {
            return Err(error);
        }
    }
    Ok(count as usize)
}

fn milliseconds(time: Duration) -> u32 {
    time.as_millis().try_into().unwrap_or(INFINITE)
}

impl Stream {
    #[allow(clippy::unnecessary_wraps)] // elsewhere it may fail
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { pipe: self.pipe.clone(), at_most: self.at_most })
    }

    fn write_within(&self, bytes: &[u8], at_most: u32) -> io::Result<usize> {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        // SAFETY: the bytes live until the operation has ended.
        transfer(&self.pipe, at_most, |pipe, overlapped| unsafe {
            WriteFile(pipe, bytes.as_ptr(), length, null_mut(), overlapped)
        })
    }
}

impl io::Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        // SAFETY: the buffer lives until the operation has ended.
        let read = transfer(&self.pipe, milliseconds(self.at_most), |pipe, overlapped| unsafe {
            ReadFile(pipe, buffer.as_mut_ptr(), length, null_mut(), overlapped)
        });
        match read {
            // The other end is closed.
            Err(error) if error.raw_os_error() == Some(ERROR_BROKEN_PIPE as i32) => Ok(0),
            other => other,
        }
    }
}

impl io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_within(bytes, milliseconds(self.at_most))
    }

    #[allow(clippy::unnecessary_wraps, reason = "the trait says so")]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what goes in at once; an error if not everything did.
pub fn write_at_once(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    match stream.write_within(bytes, 0)? {
        all if all == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Who reads, until this is dropped, and a standard output that goes there.
pub fn pipe() -> (impl Drop, Stdio) {
    let (mut reader, mut writer) = (null_mut(), null_mut());
    // SAFETY: both are written to; nobody inherits them but who is given one.
    let made = unsafe { CreatePipe(&raw mut reader, &raw mut writer, null(), 0) };
    assert_ne!(made, 0, "{}", io::Error::last_os_error());
    // SAFETY: they are new, valid, and nobody else's.
    unsafe { (OwnedHandle::from_raw_handle(reader), OwnedHandle::from_raw_handle(writer).into()) }
}

/// Somebody else's endpoint in the place of instance `a`, of whom there must have been a record.
pub struct Listener {
    name: Vec<u16>,
    next: std::cell::RefCell<Arc<OwnedHandle>>,
}

impl Listener {
    pub fn bind(dir: &Path) -> io::Result<Self> {
        let name = endpoint(dir)?;
        let next = Self::instance(&name)?.into();
        Ok(Self { name, next })
    }

    fn instance(name: &[u16]) -> io::Result<Arc<OwnedHandle>> {
        let how = PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT;
        let access = PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED;
        // SAFETY: the name ends with a zero; without a descriptor it is this user's.
        let pipe = unsafe {
            CreateNamedPipeW(name.as_ptr(), access, how, PIPE_UNLIMITED_INSTANCES, 4096, 4096, 0, null())
        };
        if pipe == INVALID_HANDLE_VALUE { Err(io::Error::last_os_error()) } else { Ok(owned(pipe)) }
    }

    pub fn accept(&self) -> io::Result<Stream> {
        loop {
            let next = Self::instance(&self.name)?;
            let pipe = self.next.replace(next);
            // SAFETY: the handle is open; what is pointed to lives until the operation has ended.
            let connected =
                transfer(&pipe, INFINITE, |pipe, overlapped| unsafe { ConnectNamedPipe(pipe, overlapped) });
            match connected.map_err(|error| error.raw_os_error().unwrap_or_default() as u32) {
                Ok(_) | Err(ERROR_PIPE_CONNECTED) => {
                    return Ok(Stream { pipe, at_most: Duration::from_secs(60) });
                }
                // Whoever connected before this was called has gone already.
                Err(ERROR_NO_DATA) => {}
                Err(code) => return Err(io::Error::from_raw_os_error(code as i32)),
            }
        }
    }
}
