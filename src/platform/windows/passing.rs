//! Sockets that go from process to process: not yet.
//!
//! `WSADuplicateSocketW` makes a description of a socket for one process, which is named by its number; the pipe names the
//! asker's (`GetNamedPipeClientProcessId`), so that the description would go into the frame and need nothing beside it.
//! Nothing here does that yet, so that a holder refuses to hand over.

use std::{io, os::windows::io::OwnedSocket};

/// A socket that passes from process to process.
pub type Socket = OwnedSocket;

/// Whether this system passes sockets on.
pub(crate) const PASSES_SOCKETS: bool = false;

/// A socket that a program offers.
#[derive(Debug)]
pub(crate) struct Passable(#[allow(dead_code, reason = "it is kept open")] Socket);

impl Passable {
    #[allow(clippy::unnecessary_wraps)] // as on Unix
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        Ok(Self(socket))
    }

    /// Tells whether it still is what was given.
    #[allow(clippy::unused_self)] // as on Unix
    pub(crate) fn is_intact(&self) -> bool {
        true
    }
}

/// Tells whether it is a stream socket that listens: none was received.
pub(crate) fn listens(_socket: &Socket) -> bool {
    false
}
