//! Whose a listening socket is, asked of the kernel without a connection: a full queue lets nobody in to ask.
//!
//! Sources: `sock_diag(7)`, netlink(7), `include/uapi/linux/unix_diag.h` (`UDIAG_SHOW_UID` since Linux 5.3).

use std::io;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const REQUEST_OF_ALL: u16 = 0x301;
const DONE: u16 = 3;
const STATE_LISTEN: u32 = 10;
const SHOW_NAME: u32 = 0x01;
const SHOW_UID: u32 = 0x40;
const NAME: u16 = 0;
const UID: u16 = 7;
/// Before the attributes of a socket.
const FACTS: usize = 16;
const HEADER: usize = 16;

/// The user whose stream socket listens at this abstract name; none: nobody's, or the kernel does not tell.
pub(crate) fn user_at_abstract(name: &[u8]) -> Option<u32> {
    ask(name).ok().flatten()
}

fn ask(name: &[u8]) -> io::Result<Option<u32>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?;
    send(&socket, &request(), SendFlags::empty())?;
    let mut answer = vec![0; 32 * 1024];
    loop {
        // The kernel answers within the call; there is nothing to wait for.
        let (_, count) = recv(&socket, answer.as_mut_slice(), RecvFlags::empty())?;
        let mut rest = answer.get(..count).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        while let Some((kind, body, next)) = message(rest) {
            match kind {
                SOCK_DIAG_BY_FAMILY => match user_of(body, name) {
                    None => {}
                    found => return Ok(found),
                },
                DONE => return Ok(None),
                _ => return Err(io::ErrorKind::Unsupported.into()),
            }
            rest = next;
        }
    }
}

/// All Unix sockets that listen, with their names and users.
fn request() -> Vec<u8> {
    let family = u32::from_ne_bytes([AddressFamily::UNIX.as_raw().to_le_bytes()[0], 0, 0, 0]);
    let body = [family, 1 << STATE_LISTEN, 0, SHOW_NAME | SHOW_UID, u32::MAX, u32::MAX];
    let length = u32::try_from(HEADER + 4 * body.len()).unwrap_or(0);
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST_OF_ALL.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body.iter().flat_map(|number| number.to_ne_bytes()));
    bytes
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// Its kind, its body, and what follows it.
fn message(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
    let (kind, body) = (u16_at(bytes, 4)?, bytes.get(HEADER..length)?);
    Some((kind, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// The user of this socket, if it is a stream with this name.
fn user_of(socket: &[u8], name: &[u8]) -> Option<u32> {
    let (mut has_name, mut user) = (false, None);
    let is_stream = socket.get(1).copied().map(u32::from) == Some(SocketType::STREAM.as_raw());
    let mut rest = socket.get(FACTS..)?;
    while let (Some(length), Some(kind)) = (u16_at(rest, 0).map(usize::from), u16_at(rest, 2)) {
        let value = rest.get(4..length)?;
        match kind {
            NAME => has_name = value.split_first() == Some((&0, name)),
            UID => user = u32_at(value, 0),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    user.filter(|_| is_stream && has_name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};

    use super::*;

    #[test]
    fn the_user_of_a_listener_is_told_without_a_connection_and_nobodys_is_none() {
        let name = format!("incumbent-test/{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let _other_kind = UnixDatagram::bind_addr(&address).unwrap();
        assert_eq!(user_at_abstract(name.as_bytes()), None);
        let listener = UnixListener::bind_addr(&address).unwrap();
        assert_eq!(user_at_abstract(name.as_bytes()), Some(nix::unistd::geteuid().as_raw()));
        assert_eq!(user_at_abstract(&name.as_bytes()[1..]), None);
        drop(listener);
        assert_eq!(user_at_abstract(name.as_bytes()), None);
    }

    #[test]
    fn what_the_kernel_never_says_is_no_user() {
        assert_eq!(message(&[]), None);
        assert_eq!(message(&[255; 64]), None);
        assert_eq!(user_of(&[1; 15], b"name"), None);
        assert_eq!(user_of(&[1; 200], b"name"), None);
        assert_eq!(user_of(&[0; 200], b"name"), None);
    }
}
