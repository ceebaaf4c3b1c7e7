//! The socket at which the child says how it is, as the program's loop uses it: what waits there, and whether the path
//! still leads to it.
//!
//! A path that was deleted under a living child would make it look hung, so it is put back, as the holder's own files are;
//! the first socket is kept, because a child may have connected to it. At most [`AT_ONCE`] datagrams are read in one turn,
//! so that a flood of them keeps nothing else waiting. What another user sends, or what is too long, is left out with a
//! warning in the log. Proven by `tests/notify.rs`.

use std::{future::poll_fn, io::ErrorKind, path::Path, task::Poll};

use incumbent::{
    Error, Instance, NotifyPath,
    platform_for_gateway::{Datagrams, Inbox},
};

use crate::{
    args::Run,
    output::complain,
    said::{self, Said},
};

/// The longest datagram that is read; systemd reads no longer one either (`NOTIFY_BUFFER_MAX`).
const LONGEST: usize = 4096;
/// Datagrams that are read in one turn.
const AT_ONCE: usize = 64;

#[derive(Debug)]
struct Socket {
    inbox: Inbox,
    at: NotifyPath,
}

/// Where the child says how it is.
#[derive(Debug)]
pub(crate) struct Notify {
    instance: Instance,
    /// The first one and, if the path was put back, the newest.
    sockets: Vec<Socket>,
    /// The path is another's now, as soon as he wants it.
    is_passed_on: bool,
}

impl Notify {
    /// Binds it, within a runtime. Where that cannot be, a child that need not say anything does without, and that is said.
    pub(crate) fn for_child(instance: &Instance, args: &Run) -> Result<Option<Self>, Error> {
        let bound =
            if args.overlaps() { NotifyPath::bind_beside(instance) } else { NotifyPath::bind(instance) };
        match bound.and_then(Socket::of) {
            Ok(socket) => {
                Ok(Some(Self { instance: instance.clone(), sockets: vec![socket], is_passed_on: false }))
            }
            Err(error) if args.waits_for_ready() || args.watchdog.is_some() => Err(error),
            Err(error) => {
                complain(&format!("warning: PROGRAM cannot say how it is (NOTIFY_SOCKET): {error}"));
                Ok(None)
            }
        }
    }

    /// What `NOTIFY_SOCKET` is for the child.
    pub(crate) fn path(&self) -> &Path {
        self.newest().path()
    }

    fn newest(&self) -> &NotifyPath {
        &self.sockets[self.sockets.len() - 1].at
    }

    /// Waits until something can be taken. Cancel safe.
    pub(crate) async fn readable(&self) {
        poll_fn(|context| {
            let is_ready = |socket: &Socket| socket.inbox.poll_arrived(context).is_ready();
            // Every one is asked, so that every one wakes.
            if self.sockets.iter().map(is_ready).fold(false, |any, one| any | one) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Takes what waits, in the order in which it was said, without waiting.
    pub(crate) fn take(&self) -> Vec<Said> {
        let mut said = Vec::new();
        let mut buffer = [0; LONGEST];
        for socket in &self.sockets {
            for _ in 0..AT_ONCE {
                match socket.inbox.receive(&mut buffer) {
                    Ok(datagram) if datagram.is_cut => {
                        tracing::warn!(
                            "a datagram of more than {LONGEST} bytes came from the child: ignored"
                        );
                    }
                    Ok(datagram) if !socket.at.believes(&datagram) => {
                        tracing::warn!(uid = datagram.uid, "a datagram of another user is not believed");
                    }
                    Ok(datagram) => said.push(said::read(&buffer[..datagram.len])),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => {
                        if error.kind() != ErrorKind::WouldBlock {
                            tracing::warn!("cannot hear what the child says: {error}");
                        }
                        break;
                    }
                }
            }
        }
        said
    }

    /// Forgets what waits. Bounded, should somebody go on to say more.
    pub(crate) fn forget(&self) {
        for _ in 0..AT_ONCE {
            if self.take().is_empty() {
                return;
            }
        }
    }

    /// The path is left to whoever comes; what the child says is heard as long as it leads here.
    pub(crate) fn pass_on(&mut self) {
        self.is_passed_on = true;
    }

    /// Tells whether the path leads here, and puts it back if not: what was said meanwhile was heard by nobody.
    pub(crate) fn mend(&mut self) -> bool {
        if self.is_passed_on || self.newest().is_in_place() {
            return true;
        }
        match self.newest().bind_again(&self.instance).and_then(Socket::of) {
            Ok(socket) => {
                tracing::warn!(path = %self.path().display(), "the child's way to say how it is was put back");
                self.sockets.truncate(1);
                self.sockets.push(socket);
            }
            Err(error) => tracing::debug!("the child has no way to say how it is: {error}"),
        }
        false
    }
}

impl Socket {
    fn of((socket, at): (Datagrams, NotifyPath)) -> Result<Self, Error> {
        match Inbox::new(socket) {
            Ok(inbox) => Ok(Self { inbox, at }),
            Err(source) => Err(Error::Io { doing: "listen at", path: at.path().to_owned(), source }),
        }
    }
}
