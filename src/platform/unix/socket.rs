//! Local sockets: bound, connected, and asked who is at the other end. Nothing here waits past its deadline.
//!
//! Sources: unix(7) (`SO_PEERCRED`, the abstract namespace), socket(7), connect(2): a stream socket whose backlog is
//! full answers a non-blocking connect with `EAGAIN`. `SO_PEERPIDFD` since Linux 6.5. macOS: unix(4), `LOCAL_PEERPID`
//! in `<sys/un.h>`.

use std::{
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    time::Instant,
};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect as connect_to, listen, socket,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::owned::Owned;
use super::passing::{Socket, receive_with};
use crate::process::ProcessHandle;

/// The longest path that fits `sun_path` with its terminating zero, in bytes.
pub(crate) const LONGEST_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// So many while more come than can be let in: as many as are accepted in a moment, also on a busy machine. Who has a
/// place waits for all before him, and who has none can wait for one (see [`connect`]).
#[cfg(target_os = "linux")]
const SHORT_BACKLOG: i32 = 256;

/// What is shorter is no time to wait in: the kernel counts in ticks of its own, and 0 would be for ever.
#[cfg(target_os = "linux")]
const SHORTEST_TURN: std::time::Duration = std::time::Duration::from_millis(1);

/// Whether this system names the process at the other end; where it does, a missing one is in another pid namespace.
pub(crate) const TELLS_PEER_PID: bool = cfg!(any(target_os = "linux", target_os = "macos"));

/// Whether sockets can have a name that no deletion reaches (`unix(7)`).
pub(crate) const HAS_ABSTRACT_NAMES: bool = cfg!(target_os = "linux");

/// Whether an endpoint is a file that is bound beside and renamed into place.
pub(crate) const ENDPOINT_IS_A_FILE: bool = true;

/// None: an endpoint is a file in the instance's directory.
pub(crate) fn endpoint_name(_digest: impl FnOnce() -> String, _end: &str) -> Option<PathBuf> {
    None
}

/// What is at an endpoint's path.
pub(crate) fn at_endpoint(path: &Path) -> io::Result<Option<super::files::Facts>> {
    super::files::at(path)
}

/// A peer that has gone is an error, never a signal. Apple has no such flag; the Rust runtime ignores the signal there.
#[cfg(not(target_vendor = "apple"))]
pub(super) const NO_SIGNAL: rustix::net::SendFlags = rustix::net::SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub(super) const NO_SIGNAL: rustix::net::SendFlags = rustix::net::SendFlags::empty();

/// Where an instance listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A socket in the file system.
    Path(PathBuf),
    /// A name in the abstract namespace of Linux; on other systems nobody can be there.
    Abstract(Vec<u8>),
}

impl Address {
    pub(super) fn to_unix(&self) -> io::Result<UnixAddr> {
        match self {
            Self::Path(path) => Ok(UnixAddr::new(path.as_path())?),
            #[cfg(target_os = "linux")]
            Self::Abstract(name) => Ok(UnixAddr::new_abstract(name)?),
            #[cfg(not(target_os = "linux"))]
            Self::Abstract(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

fn new_socket() -> io::Result<OwnedFd> {
    make_socket(|flags| socket(AddressFamily::Unix, SockType::Stream, flags, None))
}

/// Makes a socket that does not block, and that no program started from here gets.
pub(super) fn make_socket(make: impl FnOnce(SockFlag) -> nix::Result<OwnedFd>) -> io::Result<OwnedFd> {
    #[cfg(target_os = "macos")]
    {
        let made = make(SockFlag::empty())?;
        rustix::io::fcntl_setfd(&made, rustix::io::FdFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&made, true)?;
        Ok(made)
    }
    #[cfg(not(target_os = "macos"))]
    {
        Ok(make(SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)?)
    }
}

/// Binds a new socket; a path is private to its user before anything can be sent there.
pub(super) fn bind_privately(made: &OwnedFd, address: &Address) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // Linux gives the node the mode of the unbound socket, less the umask: nothing is done by path then, where root
    // could be led to another file in a user's directory.
    #[cfg(target_os = "linux")]
    rustix::fs::fchmod(made, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
    bind(made.as_raw_fd(), &address.to_unix()?)?;
    #[cfg(not(target_os = "linux"))]
    if let Address::Path(path) = address {
        super::files::make_private(path)?;
    }
    Ok(())
}

/// Binds and listens; the socket does not block. The path must be free.
///
/// A path is made private before it listens: nobody else may connect, not for an instant. It is given to its owner later.
pub(crate) fn listen_on(address: &Address, _owner: u32) -> io::Result<Owned<UnixListener>> {
    let made = new_socket()?;
    bind_privately(&made, address)?;
    listen(&made, Backlog::new(BACKLOG).unwrap_or(Backlog::MAXCONN))?;
    Owned::new(UnixListener::from(made))
}

/// Lets fewer wait, or as many as usual again. Only on Linux: elsewhere a full backlog refuses like a missing listener.
pub(super) fn shorten_backlog(listener: &UnixListener, short: bool) {
    #[cfg(target_os = "linux")]
    let _ = rustix::net::listen(listener, if short { SHORT_BACKLOG } else { BACKLOG });
    #[cfg(not(target_os = "linux"))]
    let _ = (listener, short);
}

/// Stops listening for good, also for forked children that keep the descriptor; those who wait are sent away.
pub(crate) fn stop_listening(listener: &UnixListener) {
    let _ = rustix::net::shutdown(listener, rustix::net::Shutdown::Both);
    while listener.accept().is_ok() {}
}

/// Connects. `WouldBlock`: somebody listens, and its backlog is full, on Linux until then; elsewhere nothing waits.
///
/// Linux lets those who wait for room in one after the other as connections are accepted (`SO_SNDTIMEO`, unix(7)), so
/// that who waits is not passed over by those who only try, however many and fast they are.
pub(crate) fn connect(address: &Address, until: Instant) -> io::Result<Stream> {
    use std::os::fd::AsRawFd;
    let (made, address) = (new_socket()?, address.to_unix()?);
    #[cfg_attr(not(target_os = "linux"), allow(unused_mut))]
    let mut connected = connect_to(made.as_raw_fd(), &address);
    #[cfg(target_os = "linux")]
    while let Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) = connected {
        let left = until.saturating_duration_since(Instant::now());
        if left < SHORTEST_TURN {
            break;
        }
        rustix::net::sockopt::set_socket_timeout(&made, rustix::net::sockopt::Timeout::Send, Some(left))?;
        rustix::io::ioctl_fionbio(&made, false)?;
        connected = connect_to(made.as_raw_fd(), &address);
        rustix::io::ioctl_fionbio(&made, true)?;
    }
    connected?;
    #[cfg(not(target_os = "linux"))]
    let _ = until;
    Ok(Stream(Owned::new(UnixStream::from(made))?))
}

/// Whose socket listens at an address that lets nobody in; none: it is not told.
pub(crate) fn listeners_user(address: &Address) -> Option<u32> {
    match address {
        // Who bound it made the file, and cannot give it to anybody else unless he is root.
        Address::Path(path) => {
            let facts = super::files::at(path).ok().flatten()?;
            (facts.kind == super::files::Kind::Socket).then_some(facts.owner)
        }
        #[cfg(target_os = "linux")]
        Address::Abstract(name) => crate::platform::listeners::user_at_abstract(name),
        #[cfg(not(target_os = "linux"))]
        Address::Abstract(_) => None,
    }
}

/// Tells whether a failed connect says that nobody listens at the address.
///
/// connect(2): refused, or there is no such path. A socket of another kind (`EPROTOTYPE`) is no endpoint of ours; on
/// some shared file systems a socket that was left over cannot be used at all (`EOPNOTSUPP`).
pub(crate) fn means_nobody(error: &io::Error) -> bool {
    use nix::errno::Errno;
    error.kind() == io::ErrorKind::Unsupported
        || matches!(
            error.raw_os_error().map(Errno::from_raw),
            Some(
                Errno::ENOENT
                    | Errno::ECONNREFUSED
                    | Errno::ENOTDIR
                    | Errno::ELOOP
                    | Errno::ENOTSOCK
                    | Errno::EPROTOTYPE
                    | Errno::EOPNOTSUPP
            )
        )
}

/// Who is at the other end, as the kernel attests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The effective user; none: it has no number in this user namespace.
    pub(crate) uid: Option<u32>,
    /// The process; none: it lives in another pid namespace, or the system does not tell.
    pub(crate) pid: Option<u32>,
}

/// Who is at the other end of a connected socket; for a client, who called `listen(2)`. macOS names who used that end last,
/// the listening one until it is accepted, and nobody once it is closed (`uipc_ctloutput` in xnu's `bsd/kern/uipc_usrreq.c`).
pub(crate) fn peer_of(stream: &impl AsFd) -> io::Result<Peer> {
    #[cfg(target_os = "linux")]
    {
        let found =
            nix::sys::socket::getsockopt(&stream.as_fd(), nix::sys::socket::sockopt::PeerCredentials)?;
        let uid = (!crate::platform::is_nobody_here(found.uid())).then_some(found.uid());
        Ok(Peer { uid, pid: u32::try_from(found.pid()).ok().filter(|pid| *pid > 0) })
    }
    #[cfg(not(target_os = "linux"))]
    {
        let (uid, _) = nix::unistd::getpeereid(stream.as_fd())?;
        #[cfg(target_os = "macos")]
        let pid = nix::sys::socket::getsockopt(&stream.as_fd(), nix::sys::socket::sockopt::LocalPeerPid)
            .ok()
            .and_then(|pid| u32::try_from(pid).ok())
            .filter(|pid| *pid > 0);
        #[cfg(not(target_os = "macos"))]
        let pid = None;
        Ok(Peer { uid: Some(uid.as_raw()), pid })
    }
}

/// Tells whether nobody has the number any more of whoever listened; on Linux an unreaped process has it. `false` proves
/// nothing.
///
/// By getpgid(2), and not as [`super::exists`]: a look sends no signal, not even none.
pub(crate) fn is_gone(pid: u32) -> bool {
    let pid = super::to_pid(pid).map(|pid| nix::unistd::Pid::from_raw(pid.as_raw_nonzero().get()));
    pid.is_some_and(|pid| nix::unistd::getpgid(Some(pid)) == Err(nix::errno::Errno::ESRCH))
}

/// What the kernel knows of the process that listens.
#[derive(Debug)]
pub(crate) enum Listening {
    /// It can be watched; whether it has ended is asked of the handle.
    ///
    /// Not proven: found by its number, which another may have by now; its start time must say.
    Process { process: ProcessHandle, is_proven: bool },
    /// It has ended and been reaped: what accepts is an orphan.
    Ended,
    /// The kernel does not tell.
    Unknown,
}

/// What came of an attempt to read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// So many bytes.
    Bytes(usize),
    /// The other side has closed.
    End,
    /// Nothing came until the deadline.
    Nothing,
    /// Nothing came, and the watched process has ended.
    ProcessEnded,
}

/// The client's end of a connection.
#[derive(Debug)]
pub(crate) struct Stream(Owned<UnixStream>);

impl Stream {
    /// Who listens. Unchecked: it only looks, and nothing is believed that did not come through a checked descriptor after.
    pub(crate) fn peer(&self) -> io::Result<Peer> {
        peer_of(self.0.peek())
    }

    /// The process that listens here, held so that its number cannot be mistaken for another's.
    #[cfg_attr(not(target_os = "linux"), allow(clippy::unused_self))] // only Linux gives a handle through the socket
    pub(crate) fn listening(&self, peer: Peer) -> Listening {
        #[cfg(target_os = "linux")]
        if let Ok(stream) = self.0.get() {
            use nix::{errno::Errno, sys::socket::sockopt::PeerPidfd};
            match nix::sys::socket::getsockopt(stream, PeerPidfd) {
                Ok(pidfd) => {
                    return Listening::Process {
                        process: ProcessHandle::from_pidfd(pidfd, peer.pid),
                        is_proven: true,
                    };
                }
                Err(Errno::ESRCH) => return Listening::Ended,
                Err(_) => {} // before 6.5: by its number, below
            }
        }
        match peer.pid.map(ProcessHandle::open) {
            Some(Ok(Some(process))) => Listening::Process { process, is_proven: false },
            Some(Ok(None)) => Listening::Ended,
            Some(Err(_)) | None => Listening::Unknown,
        }
    }

    /// Tells whether the other side has not closed yet. Consumes nothing.
    pub(crate) fn is_open(&self) -> bool {
        let mut byte = [0; 1];
        let peeked = self.0.get().map(|s| rustix::net::recv(s, &mut byte, rustix::net::RecvFlags::PEEK));
        matches!(peeked, Ok(Err(rustix::io::Errno::AGAIN)))
    }

    /// Writes everything, or fails with `TimedOut` at the deadline.
    pub(crate) fn write_all(&self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            match rustix::net::send(self.0.get()?, bytes, NO_SIGNAL) {
                Ok(written) => bytes = &bytes[written..],
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    if !wait(self.0.get()?, PollFlags::OUT, None, Some(deadline))?.0 {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Reads what there is; waits for it until the deadline (none: for ever), or until the watched process ends. Sockets
    /// that come beside it are added to those, if they are wanted.
    pub(crate) fn read(
        &self,
        into: &mut [u8],
        deadline: Option<Instant>,
        watched: Option<&ProcessHandle>,
        mut sockets: Option<&mut Vec<Socket>>,
    ) -> io::Result<Read> {
        loop {
            // An answer is hardly ever there already: to wait first saves a look in vain.
            let (ready, ended) = wait(self.0.peek(), PollFlags::IN, watched, deadline)?;
            let read = match &mut sockets {
                Some(sockets) => receive_with(self.0.get()?, into, sockets),
                None => rustix::net::recv(self.0.get()?, &mut *into, rustix::net::RecvFlags::empty())
                    .map(|(_, count)| count),
            };
            match read {
                Ok(0) => return Ok(Read::End),
                Ok(count) => return Ok(Read::Bytes(count)),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) if ready => {}
                // Looked after its end: its last words would have been in the buffer.
                Err(rustix::io::Errno::AGAIN) if ended => return Ok(Read::ProcessEnded),
                Err(rustix::io::Errno::AGAIN) => return Ok(Read::Nothing),
                Err(rustix::io::Errno::CONNRESET | rustix::io::Errno::PIPE) => return Ok(Read::End),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// The time until a deadline, for `poll(2)`.
pub(super) fn until(deadline: Instant) -> Timespec {
    let left = deadline.saturating_duration_since(Instant::now());
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    }
}

/// Waits until the socket is ready or the process has ended: (ready, ended). Both false: the deadline has passed.
fn wait(
    socket: &UnixStream,
    flags: PollFlags,
    watched: Option<&ProcessHandle>,
    deadline: Option<Instant>,
) -> io::Result<(bool, bool)> {
    loop {
        let timeout = deadline.map(until);
        let mut both = [PollFd::new(socket, flags), PollFd::new(socket, PollFlags::empty())];
        let fds = match watched {
            Some(process) => {
                both[1] = PollFd::new(process, PollFlags::IN);
                &mut both[..]
            }
            None => &mut both[..1],
        };
        match poll(fds, timeout.as_ref()) {
            Ok(0) => return Ok((false, false)),
            Ok(_) => {
                return Ok((
                    !fds[0].revents().is_empty(),
                    fds.get(1).is_some_and(|fd| !fd.revents().is_empty()),
                ));
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}
