//! `run --listen` on Windows: PROGRAM asks for its sockets by the protocol of `systemfd`, as the crate `listenfd` does.
#![cfg(windows)] // elsewhere it is given them by number: tests/listen.rs
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::windows::io::FromRawSocket as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use gateway::Place;
use windows_sys::Win32::Networking::WinSock::{
    FROM_PROTOCOL_INFO, INVALID_SOCKET, WSA_FLAG_OVERLAPPED, WSAPROTOCOL_INFOW, WSASocketW,
};

const DOES: &str = "listens:";

/// The server: this test binary, told by its arguments.
#[test]
fn server() {
    let Some(version) = std::env::args().find_map(|word| word.strip_prefix(DOES).map(str::to_owned)) else {
        return;
    };
    let sockets = received(&std::env::var("SYSTEMFD_SOCKET_SECRET").unwrap());
    say(&format!("serving {version} at {} sockets", sockets.len()));
    for stream in sockets[0].incoming() {
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 64]);
        stream.write_all(version.as_bytes()).unwrap();
    }
}

/// What one gets who says this secret.
fn received(secret: &str) -> Vec<TcpListener> {
    let mut stream = TcpStream::connect(std::env::var("SYSTEMFD_SOCKET_SERVER").unwrap()).unwrap();
    write!(stream, "{secret}|{}", std::process::id()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let size = size_of::<WSAPROTOCOL_INFOW>();
    assert_eq!(bytes.len() % size, 0);
    let socket = |piece: &[u8]| {
        // SAFETY: so many bytes of such a struct, which need not be aligned; it is made into a socket of this process's own.
        unsafe {
            let about = piece.as_ptr().cast::<WSAPROTOCOL_INFOW>().read_unaligned();
            let from = FROM_PROTOCOL_INFO;
            let made = WSASocketW(from, from, from, &raw const about, 0, WSA_FLAG_OVERLAPPED);
            assert_ne!(made, INVALID_SOCKET, "{}", std::io::Error::last_os_error());
            TcpListener::from_raw_socket(u64::try_from(made).unwrap())
        }
    };
    bytes.chunks(size).map(socket).collect()
}

fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "\n{what}");
    let _ = out.flush();
}

fn run(options: &[&str], version: &str) -> Vec<String> {
    let own = std::env::current_exe().unwrap().into_os_string().into_string().unwrap();
    let does = format!("{DOES}{version}");
    let words = [&["run"], options, &["--", &own, "server", &does, "--exact", "--nocapture"]].concat();
    words.into_iter().map(str::to_owned).collect()
}

/// The version that answers. It always connects; a server that is ended drops what it has accepted, and answers nothing.
fn ask(at: SocketAddr) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    let mut answer = String::new();
    let _ = stream.write_all(b"?").and_then(|()| stream.read_to_string(&mut answer));
    answer
}

#[test]
fn program_asks_for_its_sockets_and_the_next_one_is_handed_them_with_who_waits_in_their_queues() {
    let place = Place::new();
    let running = place.start(&run(&["--listen", "127.0.0.1:0", "--listen", "x=127.0.0.1:0"], "one"));
    let line = running.says("listening at ");
    let at: SocketAddr = line.split(' ').nth(2).unwrap().parse().unwrap();
    running.prints("serving one at 2 sockets");
    assert_eq!(ask(at), "one");
    // It connects all the while, also when neither of the two accepts.
    let is_over = Arc::new(AtomicBool::new(false));
    let over = is_over.clone();
    let client = thread::spawn(move || {
        let mut versions = Vec::new();
        while !over.load(Ordering::SeqCst) {
            versions.push(ask(at));
        }
        versions.retain(|version| !version.is_empty());
        versions.dedup();
        versions
    });
    let next = place.start(&run(&["--replace", "--listen", "127.0.0.1:0"], "two"));
    next.prints("serving two at 1 sockets");
    assert_eq!(running.end().code(), 0);
    assert_eq!(ask(at), "two", "at the address that it did not name");
    is_over.store(true, Ordering::SeqCst);
    assert_eq!(client.join().unwrap(), ["one", "two"]);
}

#[test]
fn an_address_that_somebody_has_is_said_and_what_is_not_there_is_a_usage_error() {
    let place = Place::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    let ended = place.start(&run(&["--listen", &taken], "one")).end();
    assert_eq!(ended.code(), 73, "{ended:?}");
    let ended = place.start(&run(&["--replace=overlap"], "one")).end();
    assert_eq!(ended.code(), 64, "{ended:?}");
}
