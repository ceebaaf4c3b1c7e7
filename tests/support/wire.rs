//! A client that speaks bytes, and what the kernel says of a process that is spoken to.

#![allow(dead_code)] // every test file uses its own part of it

use std::{
    io::{ErrorKind, Read as _, Write as _},
    path::Path,
    time::Duration,
};

use incumbent::State;
use incumbent_proto::{HEADER_LEN, Header, MAGIC, Ping, Reply, Request, StatusRequest};

use crate::{
    os::{self, Stream},
    program::{WATCHDOG, instance},
};

/// Within this a living holder answers, whatever others do, under Wine too; it is only ever passed to the library.
pub const SOON: Duration = Duration::from_secs(if cfg!(windows) { 5 } else { 1 });

/// Connects to the endpoint of instance `a`; what is read comes within the watchdog's time, or fails the test.
#[track_caller]
pub fn connect(dir: &Path) -> Stream {
    os::connect(dir, WATCHDOG).expect("somebody listens")
}

pub fn frame(version: u16, kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("it fits");
    let mut bytes = Header { version, kind, flags: 0, length }.to_bytes().to_vec();
    bytes.extend(body);
    bytes
}

pub fn ping(nonce: u64) -> Vec<u8> {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&nonce.to_le_bytes());
    Request::Ping(Ping { nonce: bytes }).encode().expect("it fits")
}

pub fn status() -> Vec<u8> {
    Request::Status(StatusRequest {}).encode().expect("it fits")
}

/// The next reply, or none at the end of the connection.
#[track_caller]
pub fn reply(stream: &mut Stream) -> Option<Reply> {
    let mut header = [0; HEADER_LEN];
    if let Err(error) = stream.read_exact(&mut header) {
        assert!(
            matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset),
            "no reply came: {error}"
        );
        return None;
    }
    assert_eq!(header[..4], MAGIC);
    let header = Header::parse(&header).expect("a header");
    let mut body = vec![0; header.length as usize];
    stream.read_exact(&mut body).expect("a body");
    Some(Reply::decode(&incumbent_proto::Frame { header, body }).expect("a reply"))
}

/// Pings on this connection and finds the right pong.
#[track_caller]
pub fn is_usable(stream: &mut Stream) {
    stream.write_all(&ping(4711)).expect("it is open");
    match reply(stream) {
        Some(Reply::Pong(pong)) => assert_eq!(pong.nonce[..8], 4711_u64.to_le_bytes()),
        other => panic!("no pong but {other:?}"),
    }
}

/// Waits until the holder closes this connection; nothing more may come before.
#[track_caller]
pub fn is_closed(stream: &mut Stream) {
    match stream.read(&mut [0; 64]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("not closed: {other:?}"),
    }
}

/// Writes the same again and again until nothing more goes in.
pub fn fill(stream: &mut Stream, bytes: &[u8]) {
    for _ in 0..100_000 {
        if os::write_at_once(stream, bytes).is_err() {
            break;
        }
    }
}

/// Somebody else asks for the status, and is answered within a second.
#[track_caller]
pub fn others_are_answered(dir: &Path) {
    for _ in 0..5 {
        let seen = instance(dir).inspect_blocking(SOON).expect("it can be looked at");
        assert_eq!(seen.state(), State::Starting, "{}", seen.sentence());
        assert!(seen.instance_id().is_some(), "a pong: {}", seen.sentence());
    }
}

/// Memory and descriptors stay within what a holder may use.
#[track_caller]
pub fn is_modest(pid: u32) {
    let (descriptors, resident) = (os::descriptors(pid), os::resident_kib(pid));
    assert!(descriptors.is_none_or(|count| count < 300), "{descriptors:?} descriptors");
    assert!(resident.is_none_or(|kib| kib < os::MODEST_KIB), "{resident:?} KiB resident");
}

/// The descriptors of connections are closed again.
pub fn has_let_go(pid: u32) -> bool {
    os::descriptors(pid).is_none_or(|count| count < os::IDLE_DESCRIPTORS)
}
