//! Messages with their sender: what `sd_notify(3)` sends elsewhere is here a message that is written to a named pipe.

use std::{
    io,
    path::{Path, PathBuf},
};

/// A message as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram {
    /// How many bytes of the buffer it fills.
    pub len: usize,
    /// Whether it was longer than the buffer: its end is lost.
    pub is_cut: bool,
    /// The sender's user; none: it is not told.
    pub uid: Option<u32>,
}

/// Where messages are to arrive: the name of a pipe, which is made in the event loop.
#[derive(Debug)]
#[allow(dead_code)] // without the program nobody listens
pub struct Datagrams {
    pub(super) name: PathBuf,
    pub(super) owner: u32,
}

/// Names a pipe for messages from this user, from `owner` and from root.
#[allow(clippy::unnecessary_wraps)] // elsewhere a socket is bound
pub(crate) fn bind_datagrams(name: &Path, owner: u32) -> io::Result<Datagrams> {
    Ok(Datagrams { name: name.to_owned(), owner })
}
