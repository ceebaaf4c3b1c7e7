//! The wire protocol as far as a floor needs it, with the standard library alone: a ping, a status request behind it.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    io::{Error, ErrorKind, Read, Result, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

const PING: u8 = 1;
const STATUS: u8 = 4;
const PONG: u8 = 129;
const STATUS_IS: u8 = 132;

/// What a status says, as far as it is printed.
pub struct Status {
    pub phase: u32,
    pub pid: u32,
    pub generation: u64,
    pub uptime_us: u64,
}

fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = b"INCB\x01\0\0\0".to_vec();
    frame[6] = kind;
    frame.extend((body.len() as u32).to_le_bytes());
    frame.extend(body);
    frame
}

fn read_frame(from: &mut impl Read) -> Result<(u8, Vec<u8>)> {
    let mut header = [0; 12];
    from.read_exact(&mut header)?;
    let length = u32::from_le_bytes(header[8..].try_into().expect("4 bytes"));
    if &header[..4] != b"INCB" || length > 1 << 20 {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length as usize];
    from.read_exact(&mut body)?;
    Ok((header[6], body))
}

fn nonce() -> [u8; 16] {
    let mut nonce = [0; 16];
    let seed = RandomState::new();
    for half in nonce.chunks_mut(8) {
        let mut hasher = seed.build_hasher();
        hasher.write_usize(half.as_ptr() as usize);
        half.copy_from_slice(&hasher.finish().to_le_bytes());
    }
    nonce
}

fn connect(socket: &Path) -> Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    Ok(stream)
}

fn expect_pong(stream: &mut UnixStream, nonce: &[u8; 16]) -> Result<()> {
    match read_frame(stream)? {
        (PONG, body) if body.starts_with(nonce) => Ok(()),
        _ => Err(Error::other("no pong")),
    }
}

/// Connects, and pings.
pub fn ping(socket: &Path) -> Result<()> {
    let mut stream = connect(socket)?;
    let nonce = nonce();
    stream.write_all(&frame(PING, &nonce))?;
    expect_pong(&mut stream, &nonce)
}

/// Connects, pings, and asks for the status behind it, in one write: what `gateway status --json` asks.
pub fn status(socket: &Path) -> Result<Status> {
    let mut stream = connect(socket)?;
    let nonce = nonce();
    let mut both = frame(PING, &nonce);
    both.extend(frame(STATUS, &[]));
    stream.write_all(&both)?;
    expect_pong(&mut stream, &nonce)?;
    let (kind, body) = read_frame(&mut stream)?;
    if kind != STATUS_IS || body.len() < 48 {
        return Err(Error::other("no status"));
    }
    let u32_at = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().expect("4 bytes"));
    let u64_at = |at: usize| u64::from_le_bytes(body[at..at + 8].try_into().expect("8 bytes"));
    Ok(Status { phase: u32_at(0), pid: u32_at(4), generation: u64_at(24), uptime_us: u64_at(40) })
}

/// Answers the pings of one connection after the other, for ever.
pub fn serve(listener: &std::os::unix::net::UnixListener) -> ! {
    loop {
        let Ok((mut stream, _)) = listener.accept() else { continue };
        while let Ok((PING, nonce)) = read_frame(&mut stream) {
            let mut body = nonce;
            body.extend([0; 16]); // an instance id
            body.extend(7_u64.to_le_bytes());
            body.extend(b"gateway\0"); // the name, and no directory
            if stream.write_all(&frame(PONG, &body)).is_err() {
                break;
            }
        }
    }
}

/// Takes the record lock of the whole file, without waiting; the descriptor is kept until the end of the process.
pub fn lock(path: &Path) -> Result<Option<std::fs::File>> {
    use std::os::fd::AsRawFd;
    let file = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    // SAFETY: the struct is plain numbers, for which zero is a value; the descriptor is open.
    let taken = unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = libc::F_WRLCK as _;
        libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &lock)
    };
    Ok((taken == 0).then_some(file))
}
