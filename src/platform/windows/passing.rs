//! Sockets that go from process to process: as descriptions, made for one process by its number, which is that of the process
//! at the other end of the pipe.
//!
//! A description is of no use to another process, and becomes invalid with the socket that it was made of, so that the one that
//! made it keeps its own until the other has made one (`WSADuplicateSocketW`, "Shared Sockets", Microsoft Learn): a holder
//! keeps its sockets for as long as it holds. Proven by `tests/windows_listen.rs`, under Wine.

use std::{
    io,
    os::windows::io::{AsRawSocket as _, FromRawSocket as _, OwnedSocket},
};

use windows_sys::Win32::Networking::WinSock::{
    FROM_PROTOCOL_INFO, INVALID_SOCKET, SO_ACCEPTCONN, SOL_SOCKET, WSA_FLAG_NO_HANDLE_INHERIT,
    WSA_FLAG_OVERLAPPED, WSADuplicateSocketW, WSAPROTOCOL_INFOW, WSASocketW, getsockopt,
};

/// A socket that passes from process to process.
pub type Socket = OwnedSocket;

/// A socket that a program offers.
#[derive(Debug)]
pub(crate) struct Passable(Socket);

impl Passable {
    #[allow(clippy::unnecessary_wraps)] // as on Unix
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        Ok(Self(socket))
    }

    /// What that process makes a socket of.
    pub(crate) fn describe(&self, to: Option<u32>) -> io::Result<Option<Vec<u8>>> {
        description_for(to.ok_or(io::ErrorKind::NotFound)?, &self.0).map(Some)
    }
}

/// What that process, and no other, can make a socket of.
pub(super) fn description_for(pid: u32, socket: &Socket) -> io::Result<Vec<u8>> {
    // SAFETY: all zeroes is a valid value of this struct of numbers and arrays, which the system overwrites.
    let mut about: WSAPROTOCOL_INFOW = unsafe { std::mem::zeroed() };
    let socket = usize::try_from(socket.as_raw_socket()).map_err(io::Error::other)?;
    // SAFETY: the socket is open, and the struct outlives the call.
    if unsafe { WSADuplicateSocketW(socket, pid, &raw mut about) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the struct has no padding, and every byte of it was written: zeroed, and then by the system.
    let bytes = unsafe {
        std::slice::from_raw_parts((&raw const about).cast::<u8>(), size_of::<WSAPROTOCOL_INFOW>())
    };
    Ok(bytes.to_vec())
}

/// The sockets of descriptions that were made for this process; what is none is closed with all behind it.
pub(crate) fn described(descriptions: &[Vec<u8>]) -> Vec<Socket> {
    descriptions.iter().map_while(|description| made_of(description)).collect()
}

fn made_of(description: &[u8]) -> Option<Socket> {
    if description.len() != size_of::<WSAPROTOCOL_INFOW>() {
        return None;
    }
    // The library that has the sockets has to be there before its first call: std sees to that.
    drop(std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)));
    // SAFETY: so many bytes of such a struct of numbers and arrays, which need not be aligned.
    let about = unsafe { description.as_ptr().cast::<WSAPROTOCOL_INFOW>().read_unaligned() };
    let flags = WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT;
    // SAFETY: the struct outlives the call, which checks what it says.
    let made = unsafe {
        WSASocketW(FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, FROM_PROTOCOL_INFO, &raw const about, 0, flags)
    };
    let made = Some(made).filter(|made| *made != INVALID_SOCKET)?;
    // SAFETY: it was made a moment ago, and is nobody else's.
    Some(unsafe { OwnedSocket::from_raw_socket(u64::try_from(made).ok()?) })
}

/// Tells whether it is a socket that listens.
pub(crate) fn listens(socket: &Socket) -> bool {
    let (mut listens, mut size) = (0_u32, 4_i32);
    let Ok(socket) = usize::try_from(socket.as_raw_socket()) else { return false };
    // SAFETY: the socket is open, and so much is written as there is room for.
    let asked =
        unsafe { getsockopt(socket, SOL_SOCKET, SO_ACCEPTCONN, (&raw mut listens).cast(), &raw mut size) };
    asked == 0 && listens != 0
}
