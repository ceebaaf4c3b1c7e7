//! The answering thread's side of local sockets: accept, read and write without blocking, and wait for many at once.
//!
//! `poll(2)` and not an event queue, because a queue is a descriptor too: a program that closes every descriptor above
//! 2 and gets the numbers back would have its own files closed and written to by it. With `poll` there is nothing but
//! the sockets, and each is checked to be still ours before it is touched.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{
    owned::Owned,
    passing::{Passable, send_with},
    socket::{NO_SIGNAL, Peer, peer_of, shorten_backlog, stop_listening, until},
};

const AT_ONCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// A socket that listens; shared between the thread that serves it and the one that shuts it down.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    socket: Arc<Owned<UnixListener>>,
    crowded: Arc<AtomicBool>,
}

impl Listener {
    pub(crate) fn new(listener: Owned<UnixListener>) -> Self {
        Self { socket: Arc::new(listener), crowded: Arc::default() }
    }

    /// Tells whether it is still ours, and nobody has shut it down: whoever has the descriptor can, with `shutdown(2)`,
    /// and then `poll(2)` says that it hangs up.
    pub(crate) fn still_listens(&self) -> bool {
        let Ok(listener) = self.socket.get() else { return false };
        let mut fds = [PollFd::new(listener, PollFlags::empty())];
        matches!(poll(&mut fds, Some(&AT_ONCE)), Ok(0))
    }

    /// While more come than can be let in, fewer may wait for that; does something when this changes only.
    pub(crate) fn is_crowded(&self, crowded: bool) {
        if self.crowded.swap(crowded, Ordering::Relaxed) != crowded {
            if let Ok(socket) = self.socket.get() {
                shorten_backlog(socket, crowded);
            }
        }
    }

    /// Tells whether accepting may find somebody, or an error. An accept in vain makes a socket and throws it away: eight
    /// times as much.
    pub(crate) fn has_more(&self) -> bool {
        let mut fds = [PollFd::new(self.socket.peek(), PollFlags::IN)];
        !matches!(poll(&mut fds, Some(&AT_ONCE)), Ok(0))
    }

    /// Stops listening for good; connections that wait are closed.
    pub(crate) fn shut_down(&self) {
        if let Ok(listener) = self.socket.get() {
            stop_listening(listener);
        }
    }

    /// The next connection that waits, if one does.
    pub(crate) fn accept(&self) -> io::Result<Option<Guest>> {
        let Some(stream) = unless_it_would_block(accept_from(self.socket.get()?))? else { return Ok(None) };
        Ok(Some(Guest(Owned::new(stream)?)))
    }
}

/// Accepts a socket that does not block, and that no program started from here gets.
fn accept_from(listener: &UnixListener) -> io::Result<UnixStream> {
    #[cfg(target_vendor = "apple")]
    {
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }
    #[cfg(not(target_vendor = "apple"))]
    {
        use rustix::net::{SocketFlags, accept_with};
        Ok(accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?.into())
    }
}

fn unless_it_would_block<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The server's end of a connection.
#[derive(Debug)]
pub(crate) struct Guest(Owned<UnixStream>);

impl Guest {
    /// A guest that has connected, and the other end.
    #[cfg(fuzzing)]
    pub(crate) fn pair() -> io::Result<(Self, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        Ok((Self(Owned::new(ours)?), theirs))
    }

    /// Who has connected. Unchecked: it only looks, and is believed for what [`Guest::check`] finds to be ours still.
    pub(crate) fn peer(&self) -> io::Result<Peer> {
        peer_of(self.0.peek())
    }

    /// Finds that the descriptor is still ours, for one turn of a conversation.
    pub(crate) fn check(&self) -> io::Result<Checked<'_>> {
        self.0.get().map(Checked)
    }
}

/// A guest's descriptor that was checked a moment ago.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checked<'a>(&'a UnixStream);

impl Checked<'_> {
    /// Reads what there is. `Some(0)`: the other side has closed; none: there is nothing yet.
    pub(crate) fn read(self, into: &mut [u8]) -> io::Result<Option<usize>> {
        unless_it_would_block((&*self.0).read(into))
    }

    /// Writes what there is room for, and copies of these sockets with its first byte; none: there is no room.
    pub(crate) fn write_with(self, bytes: &[u8], sockets: &[&Passable]) -> io::Result<Option<usize>> {
        unless_it_would_block(send_with(self.0, bytes, sockets).map_err(Into::into))
    }

    /// Writes what there is room for; none: there is no room.
    pub(crate) fn write(self, bytes: &[u8]) -> io::Result<Option<usize>> {
        unless_it_would_block((&*self.0).write(bytes))
    }
}

/// Wakes the answering thread from another: a pair of sockets, each checked before it is used.
#[derive(Debug)]
pub(crate) struct Waker(Owned<UnixStream>);

/// The answering thread's end of a [`Waker`].
#[derive(Debug)]
pub(crate) struct Wakes(Owned<UnixStream>);

impl Waker {
    pub(crate) fn pair() -> io::Result<(Self, Wakes)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        Ok((Self(Owned::new(ours)?), Wakes(Owned::new(theirs)?)))
    }

    /// Wakes; a full buffer means that it is awake already.
    pub(crate) fn wake(&self) {
        if let Ok(socket) = self.0.get() {
            let _ = rustix::net::send(socket, &[0], NO_SIGNAL);
        }
    }
}

impl Wakes {
    /// Takes note of having been woken. `false`: one end is closed, so that nobody can wake any more.
    pub(crate) fn clear(&self) -> bool {
        let Ok(mut socket) = self.0.get() else { return false };
        let mut woken = [0; 64];
        loop {
            match socket.read(&mut woken) {
                Ok(0) => return false,
                Ok(count) if count < woken.len() => return true, // that was all, or there is more to wake for
                Ok(_) => {}
                Err(error) => {
                    return matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
                }
            }
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

/// Waits until something is ready, or the deadline (none: for ever); tells which are. A closed one counts as ready.
pub(crate) fn wait_for_any(awaited: &[Awaited<'_>], deadline: Option<Instant>) -> io::Result<Vec<bool>> {
    let mut fds: Vec<PollFd<'_>> = awaited
        .iter()
        .map(|awaited| match awaited {
            Awaited::Wakes(wakes) => PollFd::new(wakes.0.peek(), PollFlags::IN),
            Awaited::Listener(listener) => PollFd::new(listener.socket.peek(), PollFlags::IN),
            Awaited::Reading(guest) => PollFd::new(guest.0.peek(), PollFlags::IN),
            Awaited::Writing(guest) => PollFd::new(guest.0.peek(), PollFlags::OUT),
            Awaited::Leaving(guest) => PollFd::new(guest.0.peek(), PollFlags::empty()),
        })
        .collect();
    match poll(&mut fds, deadline.map(until).as_ref()) {
        Ok(_) => Ok(fds.iter().map(|fd| !fd.revents().is_empty()).collect()),
        Err(rustix::io::Errno::INTR) => Ok(vec![false; awaited.len()]),
        Err(errno) => Err(errno.into()),
    }
}
