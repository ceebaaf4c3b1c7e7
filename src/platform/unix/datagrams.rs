//! Datagrams with their sender: what `sd_notify(3)` sends, received from a child and sent to a service manager.
//!
//! Descriptors that come along are never let in: on Linux the buffer for what comes beside the bytes has room for the
//! sender alone, so that the kernel closes them as it hands the datagram over (unix(7), `SCM_RIGHTS`, `MSG_CTRUNC`). Where
//! the system does not name the sender, the socket's mode decides alone who can send. Proven by `tests/notify.rs`.

use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, AsRawFd as _, OwnedFd},
        unix::net::UnixDatagram,
    },
    path::Path,
};

use nix::{
    libc,
    sys::socket::{AddressFamily, SockType, connect, socket},
};

use super::socket::{Address, bind_privately, make_socket};

/// A datagram as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram {
    /// How many bytes of the buffer it fills.
    pub len: usize,
    /// Whether it was longer than the buffer: its end is lost.
    pub is_cut: bool,
    /// The sender's user, as the kernel says; none: it has no number in this user namespace.
    pub uid: Option<u32>,
}

/// A socket that takes datagrams.
#[derive(Debug)]
pub struct Datagrams(pub UnixDatagram);

fn new_socket() -> io::Result<OwnedFd> {
    make_socket(|flags| socket(AddressFamily::Unix, SockType::Datagram, flags, None))
}

/// Binds a socket that does not block, which its user alone can send to. The path must be free.
pub(crate) fn bind_datagrams(path: &Path, _: u32) -> io::Result<Datagrams> {
    let made = new_socket()?;
    bind_privately(&made, &Address::Path(path.to_owned()))?;
    #[cfg(target_os = "linux")]
    rustix::net::sockopt::set_socket_passcred(&made, true)?;
    Ok(Datagrams(made.into()))
}

/// Connects to where a service manager is told something: an absolute path or, on Linux, `@` and an abstract name
/// (`sd_notify(3)`, `$NOTIFY_SOCKET`); the socket does not block.
///
/// # Errors
/// As `connect(2)`; `InvalidInput` for any other address.
pub fn connect_datagrams(address: &OsStr) -> io::Result<UnixDatagram> {
    let address = match address.as_encoded_bytes() {
        [b'/', ..] => Address::Path(address.into()),
        [b'@', name @ ..] if !name.is_empty() => Address::Abstract(name.to_vec()),
        _ => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let made = new_socket()?;
    connect(made.as_raw_fd(), &address.to_unix()?)?;
    Ok(made.into())
}

/// Tells whether nobody takes datagrams at a path: nothing is there, or the kernel refuses.
#[must_use]
pub fn nobody_hears_at(path: &Path) -> bool {
    use io::ErrorKind::{ConnectionRefused, NotFound};
    connect_datagrams(path.as_os_str())
        .is_err_and(|error| matches!(error.kind(), ConnectionRefused | NotFound))
}

/// Receives a datagram without waiting, and whose it is. Descriptors that came with it are closed.
///
/// # Errors
/// As `recvmsg(2)`; `WouldBlock`: none is there.
pub fn receive_datagram(socket: &impl AsFd, into: &mut [u8]) -> io::Result<Datagram> {
    let mut piece = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // SAFETY: all zeroes is a valid `msghdr`: no address, no pieces, nothing beside.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    #[cfg(target_os = "linux")]
    let mut beside = Credentials::room(&mut message);
    // SAFETY: the message describes `into` and `beside` as they are, and both outlive the call.
    let got = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT) };
    let len = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    #[cfg(target_os = "linux")]
    let uid = beside.uid(&message);
    #[cfg(not(target_os = "linux"))]
    let uid = Some(super::effective_user()); // who can reach the socket at all
    Ok(Datagram { len, is_cut: message.msg_flags & libc::MSG_TRUNC != 0, uid })
}

/// Room for who sent a datagram, and for nothing else.
#[cfg(target_os = "linux")]
struct Credentials(Box<[u64; 8]>);

#[cfg(target_os = "linux")]
impl Credentials {
    fn room(message: &mut libc::msghdr) -> Self {
        let mut room = Box::new([0_u64; 8]);
        // SAFETY: it only reckons.
        let exact = unsafe { libc::CMSG_SPACE(SIZE_OF_CREDENTIALS) } as usize;
        debug_assert!(exact <= size_of_val(&*room));
        message.msg_control = room.as_mut_ptr().cast();
        message.msg_controllen = exact as _;
        Self(room)
    }

    fn uid(&mut self, message: &libc::msghdr) -> Option<u32> {
        debug_assert_eq!(message.msg_control, self.0.as_mut_ptr().cast());
        // SAFETY: the message is one that the kernel has filled, and its room lives as long as `self`.
        let first = unsafe { libc::CMSG_FIRSTHDR(message).as_ref() }?;
        let is_it = first.cmsg_level == libc::SOL_SOCKET && first.cmsg_type == libc::SCM_CREDENTIALS;
        // SAFETY: it only reckons.
        let whole = unsafe { libc::CMSG_LEN(SIZE_OF_CREDENTIALS) } as usize;
        if !is_it || (first.cmsg_len as usize) < whole {
            return None;
        }
        // SAFETY: the header says that so many bytes follow it, which need not be aligned.
        let found = unsafe { libc::CMSG_DATA(first).cast::<libc::ucred>().read_unaligned() };
        (!crate::platform::is_nobody_here(found.uid)).then_some(found.uid)
    }
}

#[cfg(target_os = "linux")]
#[allow(clippy::cast_possible_truncation)] // three numbers
const SIZE_OF_CREDENTIALS: u32 = size_of::<libc::ucred>() as u32;
