//! Sockets that `gateway` listens at for its child: not here, where a program is not given descriptors by number.
//!
//! `gateway` refuses `--listen` before it does anything ([`GIVES_SOCKETS`]); what follows is never called.

use std::{io, net::SocketAddr, path::Path, process::Command};

use super::passing::Socket;

/// Whether a program can be given sockets to listen at.
pub const GIVES_SOCKETS: bool = false;

/// What a child is given: nothing.
#[derive(Debug)]
pub struct Given;

fn not_here<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Not here.
///
/// # Errors
/// Always.
pub fn listen_at(_address: SocketAddr) -> io::Result<Socket> {
    not_here()
}

/// Not here.
///
/// # Errors
/// Always.
pub fn listen_at_path(_path: &Path) -> io::Result<Socket> {
    not_here()
}

/// Not here.
///
/// # Errors
/// Always.
pub fn listen_again(_socket: &Socket) -> io::Result<()> {
    not_here()
}

/// Not here.
///
/// # Errors
/// Always.
pub fn copy_of(_socket: &Socket) -> io::Result<Socket> {
    not_here()
}

/// Not here.
#[must_use]
pub fn listening_address(_socket: &Socket) -> Option<SocketAddr> {
    None
}

/// Not here.
#[must_use]
pub fn listens_at_path(_socket: &Socket, _path: &Path) -> bool {
    false
}

/// Not here.
///
/// # Errors
/// Always.
pub fn give_sockets(_command: &mut Command, _sockets: &[(&str, &Socket)]) -> io::Result<Given> {
    not_here()
}

/// Nobody gets ready beside another.
#[must_use]
pub fn nobody_hears_at(_path: &Path) -> bool {
    true
}

/// Not here.
#[must_use]
pub fn who_listens(_address: SocketAddr) -> Vec<crate::Process> {
    Vec::new()
}
