//! The socket at which the child of `gateway` says how it is (`sd_notify(3)`): `NAME.notify`, beside the endpoint.
//!
//! A path and not an abstract name, so that it works from another network namespace, and on every Unix. As the endpoint it
//! is bound beside and renamed into place, is never unlinked, and listens to the directory's owner and root alone. On
//! Windows it is a pipe beside the endpoint's, to which each message is written at once. Here and not in the program,
//! because it takes the place of an instance; no part of the interface. Proven by `tests/notify.rs`.

use std::path::{Path, PathBuf};

use crate::{
    endpoint,
    error::Error,
    instance::Instance,
    place,
    platform::{
        self, FileId,
        for_gateway::{Datagram, Datagrams},
    },
};

/// Where a socket is that takes datagrams from this user's processes, and whom it believes.
#[derive(Debug)]
pub struct NotifyPath {
    path: PathBuf,
    /// What the path must name; none: it is the name of a pipe, which stands in no directory.
    node: Option<FileId>,
    /// Who is believed, beside root: who may also speak to the holder.
    owner: u32,
    /// Which of the instance's.
    number: u32,
}

/// So many programs of one instance, one that is ready and others that still drain, say how they are at once.
const MOST: u32 = 16;

impl NotifyPath {
    /// Binds a socket for an instance that this process holds, in place of what a holder before it left there.
    ///
    /// # Errors
    /// [`Error::InTheWay`], [`Error::Io`], [`Error::Directory`].
    pub fn bind(instance: &Instance) -> Result<(Datagrams, Self), Error> {
        Self::bind_number(instance, 1)
    }

    /// Binds one for a program that gets ready beside the holder's: the first at which nobody listens.
    ///
    /// # Errors
    /// As [`NotifyPath::bind`].
    pub fn bind_beside(instance: &Instance) -> Result<(Datagrams, Self), Error> {
        let place = instance.place()?;
        let is_free = |number: &u32| platform::for_gateway::nobody_hears_at(&place.notify(*number));
        Self::bind_number(instance, (1..=MOST).find(is_free).unwrap_or(MOST))
    }

    /// Binds it anew, where it was.
    ///
    /// # Errors
    /// As [`NotifyPath::bind`].
    pub fn bind_again(&self, instance: &Instance) -> Result<(Datagrams, Self), Error> {
        Self::bind_number(instance, self.number)
    }

    fn bind_number(instance: &Instance, number: u32) -> Result<(Datagrams, Self), Error> {
        let place = instance.place()?;
        let (path, owner) = (place.notify(number), place.owner());
        let bind = |at: &Path| platform::bind_datagrams(at, owner);
        if !platform::ENDPOINT_IS_A_FILE {
            let socket = bind(&path).map_err(|source| Error::io("listen at", &path, source))?;
            return Ok((socket, Self { path, node: None, owner, number }));
        }
        if let Some(elsewhere) = path.parent().filter(|dir| *dir != place.dir) {
            place::make_safe(elsewhere)?;
        }
        let gone = || Error::io("listen at", &path, std::io::ErrorKind::NotFound.into());
        let (socket, node) = endpoint::put_in_place(&path, owner, bind)?.ok_or_else(gone)?;
        Ok((socket, Self { path, node: Some(node), owner, number }))
    }

    /// What `NOTIFY_SOCKET` is for the child.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the path still leads to the socket.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        let leads_to = |node| matches!(platform::at(&self.path), Ok(Some(facts)) if facts.id == node);
        self.node.is_none_or(leads_to)
    }

    /// Whether the sender of a datagram is believed.
    #[must_use]
    pub fn believes(&self, datagram: &Datagram) -> bool {
        datagram.uid.is_some_and(|uid| uid == 0 || uid == self.owner)
    }
}
