//! Descriptors that go from process to process, beside bytes: `SCM_RIGHTS`, unix(7).
//!
//! They come with the first byte that they were sent with. A read may begin before it, and never goes beyond the bytes that
//! were sent with them. Whoever reads without room for them has them closed by the kernel, so that nobody is given what he did not
//! ask for. What arrives is close-on-exec. Proven by the tests below and `tests/handover.rs`.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
};

use super::{owned::Owned, socket::NO_SIGNAL};

/// A socket that passes from process to process.
pub type Socket = OwnedFd;

/// As many as come beside one frame.
const MOST: usize = incumbent_proto::MAX_OFFERED;

/// A socket that can be passed on, as long as the program has not closed it underneath.
#[derive(Debug)]
pub(crate) struct Passable(Owned<Socket>);

impl Passable {
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        Owned::new(socket).map(Self)
    }

    /// What that process makes a socket of: none, it comes beside the words. An error: it is not what was given any more.
    pub(crate) fn describe(&self, _to: Option<u32>) -> io::Result<Option<Vec<u8>>> {
        self.0.get().map(|_| None)
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.peek().as_fd()
    }
}

/// Writes what there is room for, and copies of the sockets with its first byte.
pub(super) fn send_with(to: impl AsFd, bytes: &[u8], sockets: &[&Passable]) -> rustix::io::Result<usize> {
    let fds: Vec<BorrowedFd<'_>> = sockets.iter().map(|socket| socket.as_fd()).collect();
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut beside = SendAncillaryBuffer::new(&mut room);
    if !beside.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(rustix::io::Errno::INVAL);
    }
    rustix::net::sendmsg(to, &[IoSlice::new(bytes)], &mut beside, NO_SIGNAL)
}

/// Reads what there is; the sockets that came with it are added to those.
pub(super) fn receive_with(
    from: impl AsFd,
    into: &mut [u8],
    sockets: &mut Vec<Socket>,
) -> rustix::io::Result<usize> {
    #[cfg(not(target_vendor = "apple"))]
    let flags = RecvFlags::CMSG_CLOEXEC;
    #[cfg(target_vendor = "apple")]
    let flags = RecvFlags::empty();
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut beside = RecvAncillaryBuffer::new(&mut room);
    let got = rustix::net::recvmsg(from, &mut [IoSliceMut::new(into)], &mut beside, flags)?;
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            sockets.extend(fds);
        }
    }
    #[cfg(target_vendor = "apple")]
    for socket in sockets.iter() {
        let _ = rustix::io::fcntl_setfd(socket, rustix::io::FdFlags::CLOEXEC);
    }
    Ok(got.bytes)
}

/// The sockets of descriptions: none, they come beside the words.
pub(crate) fn described(_descriptions: &[Vec<u8>]) -> Vec<Socket> {
    Vec::new()
}

/// Tells whether it is a stream socket that listens.
pub(crate) fn listens(socket: &Socket) -> bool {
    use rustix::net::{SocketType, sockopt};
    // Apple's systems have the constant, and no answer to it: there it is a socket that is connected to nobody.
    #[cfg(not(target_vendor = "apple"))]
    let listens = sockopt::socket_acceptconn(socket).unwrap_or(false);
    #[cfg(target_vendor = "apple")]
    let listens = rustix::net::getpeername(socket).is_err();
    listens && sockopt::socket_type(socket).is_ok_and(|kind| kind == SocketType::STREAM)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
        os::unix::net::UnixStream,
    };

    use super::*;

    #[test]
    fn a_socket_comes_with_its_first_byte_and_those_who_wait_in_its_queue_come_along() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut waiting = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let passed = Passable::new(listener.into()).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        assert_eq!(send_with(&ours, b"before", &[]).unwrap(), 6);
        assert_eq!(send_with(&ours, b"with", &[&passed, &passed]).unwrap(), 4);
        assert_eq!(send_with(&ours, b"after", &[]).unwrap(), 5);
        drop(passed);
        let (mut read, mut sockets) = ([0; 64], Vec::new());
        let mut heard = 0;
        while sockets.is_empty() {
            heard += receive_with(&theirs, &mut read, &mut sockets).unwrap();
        }
        assert_eq!(heard, 10);
        assert_eq!(sockets.len(), 2);
        assert!(sockets.iter().all(listens));
        let closes = rustix::io::fcntl_getfd(&sockets[0]).unwrap();
        assert!(closes.contains(rustix::io::FdFlags::CLOEXEC));
        let (mut accepted, _) = TcpListener::from(sockets.remove(0)).accept().unwrap();
        accepted.write_all(b"hello").unwrap();
        drop(accepted);
        let mut heard = String::new();
        waiting.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "hello");
        assert!(!listens(&waiting.into()));
    }
}
