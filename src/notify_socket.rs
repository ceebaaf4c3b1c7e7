//! The socket at which the child of `gateway` says how it is (`sd_notify(3)`): `NAME.notify`, beside the endpoint.
//!
//! A path and not an abstract name, so that it works from another network namespace, and on every Unix. As the endpoint it
//! is bound beside and renamed into place, is never unlinked, and listens to the directory's owner and root alone. Here
//! and not in the program, because it takes the place of an instance; no part of the interface. Proven by
//! `tests/notify.rs`.

use std::{
    io,
    os::{
        fd::{AsFd as _, AsRawFd, RawFd},
        unix::net::UnixDatagram,
    },
    path::{Path, PathBuf},
};

use crate::{
    endpoint,
    error::Error,
    instance::Instance,
    place,
    platform::{self, FileId, for_gateway::Datagram},
};

/// A socket that takes datagrams from this user's processes.
#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
    path: PathBuf,
    /// What the path must name.
    node: FileId,
    /// Who is believed, beside root: who may also speak to the holder.
    owner: u32,
}

impl NotifySocket {
    /// Binds it for an instance that this process holds, in place of what a holder before it left there.
    ///
    /// # Errors
    /// [`Error::InTheWay`], [`Error::Io`], [`Error::Directory`].
    pub fn bind(instance: &Instance) -> Result<Self, Error> {
        let place = instance.place()?;
        let (path, owner) = (place.notify(), place.owner());
        if let Some(elsewhere) = path.parent().filter(|dir| *dir != place.dir) {
            place::make_safe(elsewhere)?;
        }
        let (socket, node) = endpoint::put_in_place(&path, owner, platform::bind_datagrams)?;
        Ok(Self { socket, path, node, owner })
    }

    /// What `NOTIFY_SOCKET` is for the child.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its path still leads to it.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        matches!(platform::at(&self.path), Ok(Some(facts)) if facts.id == self.node)
    }

    /// Receives a datagram, without waiting. Descriptors that came with it are closed by then.
    ///
    /// # Errors
    /// As `recv(2)`; `WouldBlock`: none is there.
    pub fn receive(&self, into: &mut [u8]) -> io::Result<Datagram> {
        platform::receive(&self.socket, into)
    }

    /// Whether the sender of a datagram is believed.
    #[must_use]
    pub fn believes(&self, datagram: &Datagram) -> bool {
        datagram.uid.is_some_and(|uid| uid == 0 || uid == self.owner)
    }
}

impl AsRawFd for NotifySocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_fd().as_raw_fd()
    }
}
