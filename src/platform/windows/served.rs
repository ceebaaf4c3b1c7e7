//! Named pipes, the server's side: accept, read and write without blocking, and wait for many at once.
//!
//! What is ready is known by `reactor.rs`. A listener has several instances of its pipe that wait for a client, and makes the next one before it
//! gives one away: at no moment is the name without an instance that can be met.
//!
//! The first instance is asked for as the first (`FILE_FLAG_FIRST_PIPE_INSTANCE`): where another process has the name
//! already, that is refused. A client that is slow to close its end keeps the name of a server that has gone; then an instance is added to it,
//! if the pipe is this user's. Who has the instance lock is right in any case, and the pipe alone decides nothing.
//!
//! Sources: `CreateNamedPipeW` (`FILE_FLAG_FIRST_PIPE_INSTANCE`, `PIPE_REJECT_REMOTE_CLIENTS`), "Named Pipe Instances",
//! `GetNamedPipeClientProcessId` (Microsoft Learn).

use std::{
    collections::VecDeque,
    io::{self, Read as _, Write as _},
    os::windows::io::{AsRawHandle as _, FromRawHandle as _, OwnedHandle},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

use windows_sys::Win32::{
    Foundation::{ERROR_ACCESS_DENIED, INVALID_HANDLE_VALUE},
    Security::Authorization::SE_KERNEL_OBJECT,
    Storage::FileSystem::{FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, PIPE_ACCESS_DUPLEX},
    System::Pipes::{
        CreateNamedPipeW, DisconnectNamedPipe, GetNamedPipeClientProcessId, PIPE_READMODE_BYTE,
        PIPE_REJECT_REMOTE_CLIENTS, PIPE_TYPE_BYTE, PIPE_UNLIMITED_INSTANCES, PIPE_WAIT,
    },
};

use super::{
    passing::Passable,
    pipes::{Address, Peer, means_end},
    process::ProcessHandle,
    reactor::{Source, Wakes, locked, reactor},
    users::{Private, ROOT, access_of, effective_user, user_of_process},
    wide::{code_of, succeeded, wide},
};

/// Instances that wait for a client. Each look takes one for a moment, and one that nobody serves for good.
const DOORS: usize = 4;
/// What the system keeps for each direction of a connection; more is written when that was read.
const BUFFER: u32 = 64 * 1024;
/// So much of what nobody wants to hear now is kept, so that the end behind it is seen.
const STASH: usize = 4096;

/// A name at which this process is about to listen: its first instance.
#[derive(Debug)]
pub(crate) struct Bound {
    name: PathBuf,
    owner: u32,
    first: OwnedHandle,
}

/// Takes a name, for clients of this user, of `owner` and of root.
///
/// # Errors
/// Another user's process serves a pipe of this name.
pub(crate) fn listen_on(address: &Address, owner: u32) -> io::Result<Bound> {
    let Address::Path(name) = address else { return Err(io::ErrorKind::Unsupported.into()) };
    let first = match new_instance(name, owner, FILE_FLAG_FIRST_PIPE_INSTANCE) {
        Err(error) if code_of(&error) == Some(ERROR_ACCESS_DENIED) => {
            let added = new_instance(name, owner, 0)?;
            let served_by = access_of(added.as_raw_handle(), SE_KERNEL_OBJECT)?.owner;
            if served_by != effective_user() && served_by != ROOT {
                return Err(error);
            }
            added
        }
        made => made?,
    };
    Ok(Bound { name: name.clone(), owner, first })
}

fn new_instance(name: &Path, owner: u32, first: u32) -> io::Result<OwnedHandle> {
    let private = Private::new(owner, false)?;
    let (attributes, name) = (private.attributes(), wide(name));
    let access = PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | first;
    let mode = PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS;
    // SAFETY: the name ends with a zero; the attributes live as long as `private`; the handle is owned from here on.
    unsafe {
        let made = CreateNamedPipeW(
            name.as_ptr(),
            access,
            mode,
            PIPE_UNLIMITED_INSTANCES,
            BUFFER,
            BUFFER,
            0,
            &raw const attributes,
        );
        if made == INVALID_HANDLE_VALUE {
            Err(io::Error::last_os_error())
        } else {
            Ok(OwnedHandle::from_raw_handle(made))
        }
    }
}

/// A pipe that listens; shared between the thread that serves it and the one that shuts it down.
#[derive(Debug, Clone)]
pub(crate) struct Listener(Arc<House>);

#[derive(Debug)]
struct House {
    name: PathBuf,
    owner: u32,
    /// The instances that wait; none: it was shut down.
    doors: Mutex<Option<VecDeque<Source>>>,
}

impl Listener {
    pub(crate) fn new(bound: Bound) -> Self {
        let Bound { name, owner, first } = bound;
        let doors = open_door(first).into_iter().collect();
        let listener = Self(Arc::new(House { name, owner, doors: Mutex::new(Some(doors)) }));
        if let Some(doors) = &mut *locked(&listener.0.doors) {
            let _ = listener.0.fill(doors);
        }
        listener
    }

    /// Tells whether nobody has shut it down.
    pub(crate) fn still_listens(&self) -> bool {
        locked(&self.0.doors).as_ref().is_some_and(|doors| !doors.is_empty())
    }

    /// Nobody waits at a pipe that is not free: who finds none tries again.
    #[allow(clippy::unused_self)] // as on Unix
    pub(crate) fn is_crowded(&self, _crowded: bool) {}

    /// Whether accepting may find somebody: to try costs nothing here.
    #[allow(clippy::unused_self)] // as on Unix
    pub(crate) fn has_more(&self) -> bool {
        true
    }

    /// Stops listening for good; connections that wait are closed.
    pub(crate) fn shut_down(&self) {
        for door in locked(&self.0.doors).take().into_iter().flatten() {
            // mio closes the handle when the thread that serves has seen that the call was cancelled: until then nobody
            // is to be let in there. SAFETY: the handle is open.
            unsafe { DisconnectNamedPipe(door.pipe.as_raw_handle()) };
        }
    }

    fn is_ready(&self) -> bool {
        let doors = locked(&self.0.doors);
        doors
            .as_ref()
            .is_none_or(|doors| doors.iter().any(|door| door.ready.to_write.load(Ordering::Acquire)))
    }

    /// The next connection that waits, if one does.
    pub(crate) fn accept(&self) -> io::Result<Option<Guest>> {
        let mut doors = locked(&self.0.doors);
        let doors = doors.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        loop {
            let came = doors.iter().position(|door| door.ready.to_write.load(Ordering::Acquire));
            let came = came.and_then(|at| doors.remove(at));
            self.0.fill(doors)?;
            let Some(door) = came else { return Ok(None) };
            // One whose client has left again before it was let in is forgotten.
            if door.pipe.take_error()?.is_none() {
                return Ok(Some(Guest { source: door, stash: Mutex::default() }));
            }
        }
    }
}

impl House {
    /// Makes as many instances as are to wait.
    fn fill(&self, doors: &mut VecDeque<Source>) -> io::Result<()> {
        while doors.len() < DOORS {
            doors.push_back(open_door(new_instance(&self.name, self.owner, 0)?)?);
        }
        Ok(())
    }
}

/// Begins to wait for a client. One that has come already is met as any other.
fn open_door(instance: OwnedHandle) -> io::Result<Source> {
    let door = Source::new(instance)?;
    match door.pipe.connect() {
        Ok(()) => door.ready.to_write.store(true, Ordering::Release),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    Ok(door)
}

/// The server's end of a connection.
#[derive(Debug)]
pub(crate) struct Guest {
    source: Source,
    stash: Mutex<Stash>,
}

/// What was read while nobody wanted to hear it.
#[derive(Debug, Default)]
struct Stash {
    bytes: Vec<u8>,
    has_ended: bool,
}

impl Guest {
    /// The client's process and its user. One that may not be asked was let in by the pipe's own list of users.
    pub(crate) fn peer(&self) -> io::Result<Peer> {
        let mut pid = 0;
        // SAFETY: the handle is open, and the number is written to a variable that outlives the call.
        succeeded(unsafe { GetNamedPipeClientProcessId(self.source.pipe.as_raw_handle(), &raw mut pid) })?;
        let process = ProcessHandle::open(pid).ok().flatten();
        let uid = match process.map(|process| user_of_process(process.as_owned())) {
            Some(Ok(uid)) => uid,
            _ => effective_user(),
        };
        Ok(Peer { uid: Some(uid), pid: Some(pid) })
    }

    /// For one turn of a conversation.
    #[allow(clippy::unnecessary_wraps)] // elsewhere the descriptor may not be ours any more
    pub(crate) fn check(&self) -> io::Result<Checked<'_>> {
        Ok(Checked(self))
    }

    /// Reads what there is into the stash, as long as that is small: the end is behind it.
    fn listen_for_the_end(&self) -> bool {
        let mut stash = locked(&self.stash);
        while !stash.has_ended
            && stash.bytes.len() < STASH
            && self.source.ready.to_read.load(Ordering::Acquire)
        {
            let mut piece = [0; STASH];
            match self.read_now(&mut piece) {
                Ok(None) => break,
                Ok(Some(count @ 1..)) => stash.bytes.extend_from_slice(&piece[..count]),
                Ok(Some(0)) | Err(_) => stash.has_ended = true,
            }
        }
        stash.has_ended
    }

    fn read_now(&self, into: &mut [u8]) -> io::Result<Option<usize>> {
        match (&self.source.pipe).read(into) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.source.ready.to_read.store(false, Ordering::Release);
                Ok(None)
            }
            Err(error) if means_end(&error) => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }

    fn is_readable(&self) -> bool {
        let stash = locked(&self.stash);
        !stash.bytes.is_empty() || stash.has_ended || self.source.ready.to_read.load(Ordering::Acquire)
    }
}

/// A guest, for one turn of a conversation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checked<'a>(&'a Guest);

impl Checked<'_> {
    /// Reads what there is. `Some(0)`: the other side has closed; none: there is nothing yet.
    pub(crate) fn read(self, into: &mut [u8]) -> io::Result<Option<usize>> {
        let mut stash = locked(&self.0.stash);
        if !stash.bytes.is_empty() {
            let count = into.len().min(stash.bytes.len());
            into[..count].copy_from_slice(&stash.bytes[..count]);
            stash.bytes.drain(..count);
            return Ok(Some(count));
        }
        if stash.has_ended { Ok(Some(0)) } else { self.0.read_now(into) }
    }

    /// Writes what there is room for; there are no sockets that would go with it.
    pub(crate) fn write_with(self, bytes: &[u8], _sockets: &[&Passable]) -> io::Result<Option<usize>> {
        self.write(bytes)
    }

    /// Writes what there is room for; none: there is no room.
    pub(crate) fn write(self, bytes: &[u8]) -> io::Result<Option<usize>> {
        match (&self.0.source.pipe).write(bytes) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.0.source.ready.to_write.store(false, Ordering::Release);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// What to wait for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Awaited<'a> {
    Wakes(&'a Wakes),
    Listener(&'a Listener),
    /// Something to read.
    Reading(&'a Guest),
    /// Room to write.
    Writing(&'a Guest),
    /// Only the end of the connection.
    Leaving(&'a Guest),
}

impl Awaited<'_> {
    fn is_ready(&self) -> bool {
        match self {
            Self::Wakes(wakes) => wakes.ready.to_read.load(Ordering::Acquire),
            Self::Listener(listener) => listener.is_ready(),
            Self::Reading(guest) => guest.is_readable(),
            Self::Writing(guest) => guest.source.ready.to_write.load(Ordering::Acquire),
            Self::Leaving(guest) => guest.listen_for_the_end(),
        }
    }
}

/// Waits until something is ready, or the deadline (none: for ever); tells which are. A closed one counts as ready.
pub(crate) fn wait_for_any(awaited: &[Awaited<'_>], deadline: Option<Instant>) -> io::Result<Vec<bool>> {
    let reactor = reactor()?;
    reactor.look(Some(Duration::ZERO))?;
    loop {
        let ready: Vec<bool> = awaited.iter().map(Awaited::is_ready).collect();
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        if ready.contains(&true) || left == Some(Duration::ZERO) {
            return Ok(ready);
        }
        reactor.look(left)?;
    }
}
#[cfg(test)]
#[path = "served_tests.rs"]
mod tests;
