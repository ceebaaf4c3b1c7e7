//! Datagrams in an event loop of tokio: those that a child sends, and those that a service manager is told.

use std::{
    ffi::OsStr,
    io::{self, ErrorKind},
    task::{Context, Poll},
};

use tokio::{io::Interest, net::UnixDatagram};

use super::datagrams::{Datagram, Datagrams, connect_datagrams, receive_datagram};

/// Where datagrams arrive.
#[derive(Debug)]
pub struct Inbox(UnixDatagram);

impl Inbox {
    /// Takes a socket into the event loop.
    ///
    /// # Errors
    /// As `epoll_ctl(2)`.
    pub fn new(socket: Datagrams) -> io::Result<Self> {
        UnixDatagram::from_std(socket.0).map(Self)
    }

    /// Whether something may have arrived; if not, the task is woken when it has.
    pub fn poll_arrived(&self, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll_recv_ready(context).map(drop)
    }

    /// Takes a datagram without waiting. Asks the system first: the event loop may not know yet that something is there.
    /// And then through the loop, which learns so that nothing is there, and waits.
    ///
    /// # Errors
    /// As `recvmsg(2)`; `WouldBlock`: none is there.
    pub fn receive(&self, into: &mut [u8]) -> io::Result<Datagram> {
        match receive_datagram(&self.0, into) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.0.try_io(Interest::READABLE, || receive_datagram(&self.0, into))
            }
            received => received,
        }
    }
}

/// The way to a service manager that wants to be told how it goes.
#[derive(Debug)]
pub struct Teller(UnixDatagram);

impl Teller {
    /// Connects to where `NOTIFY_SOCKET` says. Within a runtime.
    ///
    /// # Errors
    /// As `connect(2)`; `InvalidInput`: it is neither an absolute path nor an abstract name.
    pub fn to(address: &OsStr) -> io::Result<Self> {
        UnixDatagram::from_std(connect_datagrams(address)?).map(Self)
    }

    /// Tells it without waiting.
    ///
    /// # Errors
    /// As `send(2)`; `WouldBlock`: it does not take it now.
    pub fn try_tell(&self, words: &[u8]) -> io::Result<()> {
        self.0.try_send(words).map(drop)
    }

    /// Waits until it may take something.
    ///
    /// # Errors
    /// The event loop ends.
    pub async fn writable(&self) -> io::Result<()> {
        self.0.writable().await
    }
}
