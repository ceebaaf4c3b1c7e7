//! The answering thread's side of a local socket: accept, read and write on tokio, each on a descriptor that is checked
//! to be still ours before it is touched.

use std::{
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::{UnixListener, UnixStream},
    },
    sync::Arc,
};

use tokio::io::unix::AsyncFd;

use super::{
    owned::Owned,
    socket::{Peer, peer_of, stop_listening},
};

/// A socket that listens; shared between the thread that serves it and the one that shuts it down.
#[derive(Debug, Clone)]
pub(crate) struct Listener(Arc<Owned<UnixListener>>);

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.0.raw()
    }
}

impl Listener {
    pub(crate) fn new(listener: Owned<UnixListener>) -> Self {
        Self(Arc::new(listener))
    }

    /// Tells whether the program has closed the descriptor underneath.
    pub(crate) fn is_intact(&self) -> bool {
        self.0.is_intact()
    }

    /// Stops listening for good; connections that wait are closed.
    pub(crate) fn shut_down(&self) {
        if let Ok(listener) = self.0.get() {
            stop_listening(listener);
        }
    }

    /// Gets ready to accept, on the runtime of the calling thread.
    pub(crate) fn accepting(&self) -> io::Result<Accepting> {
        self.0.get()?;
        registered(self.clone()).map(Accepting)
    }
}

/// Registers a descriptor with the runtime of the calling thread.
fn registered<T: AsRawFd>(socket: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: the descriptor is open, since `Owned` was just made of it or asked, and stays so until it is dropped;
    // a program that closes it underneath breaks that for itself, and then the runtime deregisters a number that it
    // does not know, which the kernel refuses.
    unsafe { AsyncFd::register(socket) }.map_err(|refused| refused.into_parts().1)
}

/// A listener that is registered with the runtime.
#[derive(Debug)]
pub(crate) struct Accepting(AsyncFd<Listener>);

impl Accepting {
    /// Waits for the next connection.
    pub(crate) async fn accept(&self) -> io::Result<Guest> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|listener| listener.get_ref().0.get()?.accept()) {
                Ok(Ok((stream, _))) => {
                    stream.set_nonblocking(true)?;
                    return registered(Raw(Owned::new(stream)?)).map(Guest);
                }
                Ok(Err(error)) => return Err(error),
                Err(_not_ready) => {}
            }
        }
    }
}

#[derive(Debug)]
struct Raw(Owned<UnixStream>);

impl AsRawFd for Raw {
    fn as_raw_fd(&self) -> RawFd {
        self.0.raw()
    }
}

/// The server's end of a connection.
#[derive(Debug)]
pub(crate) struct Guest(AsyncFd<Raw>);

impl Guest {
    pub(crate) fn peer(&self) -> io::Result<Peer> {
        peer_of(self.0.get_ref().0.get()?)
    }

    /// Reads what there is, waiting for it; 0: the other side has closed.
    pub(crate) async fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|raw| raw.get_ref().0.get()?.read(into)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => return result,
                Err(_not_ready) => {}
            }
        }
    }

    /// Writes everything, waiting for room.
    pub(crate) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.0.writable().await?;
            match ready.try_io(|raw| raw.get_ref().0.get()?.write(bytes)) {
                Ok(Ok(written)) => bytes = &bytes[written..],
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
                Err(_not_ready) => {}
            }
        }
        Ok(())
    }
}

/// Wakes the answering thread from another: a pair of sockets, checked before each use.
///
/// The runtime's own waker would write to its number whatever that is by now, also when the program has closed it and
/// opened a file of its own under it.
#[derive(Debug)]
pub(crate) struct Waker(Owned<UnixStream>);

/// The answering thread's end of a [`Waker`].
#[derive(Debug)]
pub(crate) struct Wakes(Guest);

impl Waker {
    /// Makes both ends, on the runtime of the calling thread.
    pub(crate) fn pair() -> io::Result<(Self, Wakes)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        Ok((Self(Owned::new(ours)?), Wakes(Guest(registered(Raw(Owned::new(theirs)?))?))))
    }

    /// Wakes; a full buffer means that it is awake already.
    pub(crate) fn wake(&self) {
        if let Ok(socket) = self.0.get() {
            let _ = rustix::net::send(socket, &[0], super::socket::NO_SIGNAL);
        }
    }
}

impl Wakes {
    /// Waits until it is woken.
    pub(crate) async fn woken(&self) -> io::Result<()> {
        let mut bytes = [0; 64];
        match self.0.read(&mut bytes).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
