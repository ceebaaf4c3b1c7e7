//! The socket at which the child of `gateway` says how it is (`sd_notify(3)`): `NAME.notify`, beside the endpoint.
//!
//! A path and not an abstract name, so that it works from another network namespace, and on every Unix. As the endpoint it
//! is bound beside and renamed into place, is never unlinked, and listens to the directory's owner and root alone. Here
//! and not in the program, because it takes the place of an instance; no part of the interface. Proven by
//! `tests/notify.rs`.

use std::{
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
};

use crate::{
    endpoint,
    error::Error,
    instance::Instance,
    place,
    platform::{self, FileId, for_gateway::Datagram},
};

/// Where a socket is that takes datagrams from this user's processes, and whom it believes.
#[derive(Debug)]
pub struct NotifyPath {
    path: PathBuf,
    /// What the path must name.
    node: FileId,
    /// Who is believed, beside root: who may also speak to the holder.
    owner: u32,
}

impl NotifyPath {
    /// Binds a socket for an instance that this process holds, in place of what a holder before it left there.
    ///
    /// # Errors
    /// [`Error::InTheWay`], [`Error::Io`], [`Error::Directory`].
    pub fn bind(instance: &Instance) -> Result<(UnixDatagram, Self), Error> {
        let place = instance.place()?;
        let (path, owner) = (place.notify(), place.owner());
        if let Some(elsewhere) = path.parent().filter(|dir| *dir != place.dir) {
            place::make_safe(elsewhere)?;
        }
        let (socket, node) = endpoint::put_in_place(&path, owner, platform::bind_datagrams)?;
        Ok((socket, Self { path, node, owner }))
    }

    /// What `NOTIFY_SOCKET` is for the child.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the path still leads to the socket.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        matches!(platform::at(&self.path), Ok(Some(facts)) if facts.id == self.node)
    }

    /// Whether the sender of a datagram is believed.
    #[must_use]
    pub fn believes(&self, datagram: &Datagram) -> bool {
        datagram.uid.is_some_and(|uid| uid == 0 || uid == self.owner)
    }
}
