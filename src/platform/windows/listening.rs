//! Sockets that `gateway` listens at for its child. A program is not given handles by number here: it asks for them, by the
//! protocol of `systemfd`, which the crate `listenfd` speaks.
//!
//! 1. `SYSTEMFD_SOCKET_SERVER` is where to connect, `SYSTEMFD_SOCKET_SECRET` what to say there: the secret, `|`, and its own
//!    number, up to the end of the stream.
//! 2. It gets a `WSAPROTOCOL_INFOW` for each socket, made for that process alone (`WSADuplicateSocketW`), and the end of the
//!    stream. Only that process can make a socket of it, so that a wrong number gives nobody anything.
//!
//! From holder to holder they pass by the endpoint (`passing.rs`). Proven by `tests/windows_listen.rs`, under Wine.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use super::passing::{Socket, description_for, listens};

/// Whether a program can be given sockets to listen at.
pub const GIVES_SOCKETS: bool = true;

/// Whether one `gateway` can get ready beside another.
pub const OVERLAPS: bool = false;

/// So long one that asks may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long it is waited when nobody can be let in.
const PAUSE: Duration = Duration::from_millis(50);
/// Longer than a secret and a number.
const LONGEST: u64 = 128;

/// What a child is given: it asks for it.
#[derive(Debug)]
pub struct Given;

/// Listens at an address of this machine. An address of IPv6 is one of IPv6 alone. The socket blocks.
///
/// # Errors
/// As `bind`: `AddrInUse`, `AddrNotAvailable`, `PermissionDenied`.
pub fn listen_at(address: SocketAddr) -> io::Result<Socket> {
    TcpListener::bind(address).map(Into::into)
}

/// Not here.
///
/// # Errors
/// Always.
pub fn listen_at_path(_path: &Path) -> io::Result<Socket> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "a path cannot be listened at on this system"))
}

/// It listens, and nobody else could shut it down.
///
/// # Errors
/// Never.
#[allow(clippy::unnecessary_wraps)] // as on Unix
pub fn listen_again(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

/// Another socket of the same, for as long as one is needed.
///
/// # Errors
/// As `WSADuplicateSocketW`.
pub fn copy_of(socket: &Socket) -> io::Result<Socket> {
    socket.try_clone()
}

/// Where it listens.
#[must_use]
pub fn listening_address(socket: &Socket) -> Option<SocketAddr> {
    TcpListener::from(socket.try_clone().ok().filter(listens)?).local_addr().ok()
}

/// Not here.
#[must_use]
pub fn listens_at_path(_socket: &Socket, _path: &Path) -> bool {
    false
}

/// Nobody gets ready beside another.
#[must_use]
pub fn nobody_hears_at(_path: &Path) -> bool {
    true
}

/// Who listens at an address is not looked for.
#[must_use]
pub fn who_listens(_address: SocketAddr) -> Vec<crate::Process> {
    Vec::new()
}

/// Has the program told where it can ask for these, in this order; their names it does not get. A thread answers from now on, for
/// as long as this process lives.
///
/// # Errors
/// No port, no random bytes or no thread.
pub fn give_sockets(command: &mut Command, sockets: &[(&str, &Socket)]) -> io::Result<Given> {
    let copies: Vec<Socket> = sockets.iter().map(|(_, socket)| copy_of(socket)).collect::<io::Result<_>>()?;
    let server = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0))?;
    let secret = secret()?;
    command.env("SYSTEMFD_SOCKET_SERVER", server.local_addr()?.to_string());
    command.env("SYSTEMFD_SOCKET_SECRET", &secret);
    thread::Builder::new().name("sockets".into()).spawn(move || {
        // One after the other: who says nothing is let go of.
        for asker in server.incoming() {
            match asker.map(|asker| answer(&asker, &secret, &copies)) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!("no sockets for who asked: {error}"),
                Err(_) => thread::sleep(PAUSE), // no handle is left, say
            }
        }
    })?;
    Ok(Given)
}

/// Random, in the form of a UUID, which `listenfd` wants.
fn secret() -> io::Result<String> {
    let id = crate::instance_id::InstanceId::random().map_err(io::Error::other)?.to_string();
    let part = |from: usize, to: usize| id.get(from..to).unwrap_or_default().to_owned();
    Ok([part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-"))
}

fn answer(mut asker: &TcpStream, secret: &str, sockets: &[Socket]) -> io::Result<()> {
    asker.set_read_timeout(Some(PATIENCE))?;
    asker.set_write_timeout(Some(PATIENCE))?;
    let mut asked = String::new();
    asker.take(LONGEST).read_to_string(&mut asked)?;
    let pid = asked.split_once('|').filter(|(said, _)| *said == secret).and_then(|(_, pid)| pid.parse().ok());
    let pid: u32 = pid.ok_or(io::ErrorKind::PermissionDenied)?;
    for socket in sockets {
        asker.write_all(&description_for(pid, socket)?)?;
    }
    Ok(())
}
