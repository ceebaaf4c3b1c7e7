//! The endpoint is a socket at `NAME.sock`.

use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    process::Stdio,
    time::Duration,
};

/// A connection, as bytes.
pub type Stream = UnixStream;

/// Connects to instance `a`; no read and no write lasts longer than this.
pub fn connect(dir: &Path, at_most: Duration) -> io::Result<Stream> {
    let stream = UnixStream::connect(dir.join("a.sock"))?;
    stream.set_read_timeout(Some(at_most))?;
    stream.set_write_timeout(Some(at_most))?;
    Ok(stream)
}

/// Writes what goes in at once; an error if not everything did.
pub fn write_at_once(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let written = io::Write::write_all(stream, bytes);
    stream.set_nonblocking(false)?;
    written
}

/// Who reads, until this is dropped, and a standard output that goes there.
pub fn pipe() -> (impl Drop, Stdio) {
    let (reader, writer) = UnixStream::pair().expect("two ends");
    (OwnedFd::from(reader), OwnedFd::from(writer).into())
}

/// Somebody else's endpoint in the place of instance `a`.
pub struct Listener(UnixListener);

impl Listener {
    pub fn bind(dir: &Path) -> io::Result<Self> {
        let _ = std::fs::remove_file(dir.join("a.sock"));
        UnixListener::bind(dir.join("a.sock")).map(Self)
    }

    pub fn accept(&self) -> io::Result<Stream> {
        self.0.accept().map(|(stream, _)| stream)
    }
}
