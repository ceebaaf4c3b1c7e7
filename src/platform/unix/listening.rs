//! Sockets that `gateway` listens at for its child: bound, looked at, and given to it under the numbers from 3 on
//! (`sd_listen_fds(3)`).
//!
//! `LISTEN_PID` is the child's own number, which nobody knows before the fork. So the whole environment is made before it,
//! with room for the digits, and the last hook before the exec writes them and makes the exec itself, as the standard
//! library's next line would. No other program is between, errors come back the usual way, and it does not matter whether the
//! file of `gateway` is there still. Proven by `tests/listen.rs`.

use std::{
    ffi::{CString, OsStr, OsString},
    fs::File,
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsRawFd as _, RawFd},
        unix::{ffi::OsStrExt as _, net::UnixListener, process::CommandExt as _},
    },
    path::Path,
    process::Command,
};

use nix::{
    libc,
    sys::socket::{AddressFamily, SockType, connect, socket},
};

use super::{
    files::{self, Kind},
    passing::{Socket, listens},
    socket::{LONGEST_PATH, make_socket},
};

/// Connections that may wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// Behind the name of a socket while it is bound, and as it knows itself from then on.
const BESIDE: &str = "~";
/// The first number that the child gets.
const FIRST: RawFd = 3;

/// Whether a program can be given sockets to listen at.
pub const GIVES_SOCKETS: bool = true;

/// Whether one `gateway` can get ready beside another.
pub const OVERLAPS: bool = true;

/// Listens at an address of this machine. An address of IPv6 is one of IPv6 alone. The socket blocks.
///
/// # Errors
/// As `bind(2)`: `AddrInUse`, `AddrNotAvailable`, `PermissionDenied`.
pub fn listen_at(address: SocketAddr) -> io::Result<Socket> {
    let made = new_socket(address)?;
    rustix::net::bind(&made, &address)?;
    let made = if address.port() == 0 { keep_port(made, address)? } else { made };
    listen_again(&made)?;
    rustix::io::ioctl_fionbio(&made, false)?;
    Ok(made)
}

fn new_socket(address: SocketAddr) -> io::Result<Socket> {
    let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let made = make_socket(|flags| socket(family, SockType::Stream, flags, None))?;
    rustix::net::sockopt::set_socket_reuseaddr(&made, true)?;
    if address.is_ipv6() {
        rustix::net::sockopt::set_ipv6_v6only(&made, true)?;
    }
    Ok(made)
}

/// A port that the kernel has chosen is lost when somebody shuts the socket down, and one that was asked for is not: asks for
/// the one that it has chosen, while that is still taken.
fn keep_port(chosen: Socket, address: SocketAddr) -> io::Result<Socket> {
    let copy = TcpListener::from(chosen.try_clone()?);
    let asked = new_socket(address)?;
    match rustix::net::bind(&asked, &SocketAddr::new(address.ip(), copy.local_addr()?.port())) {
        Ok(()) => Ok(asked),
        Err(_) => Ok(chosen), // a system that does not let two have it for a moment
    }
}

/// Listens at a path, with the mode that the umask leaves. A socket at which nobody listens is replaced; it is bound beside and
/// renamed into place, so that the path never names one that has yet to listen. The socket blocks.
///
/// # Errors
/// `AddrInUse`: somebody listens there, or may; `AlreadyExists`: what is there is no socket. Else as `bind(2)`.
pub fn listen_at_path(path: &Path) -> io::Result<Socket> {
    let (len, most) = (path.as_os_str().len(), LONGEST_PATH - BESIDE.len());
    if len > most {
        let why = format!("a socket's path has {most} bytes at the most, and this one {len}");
        return Err(io::Error::new(ErrorKind::InvalidInput, why));
    }
    match files::at(path)? {
        None => {}
        Some(facts) if facts.kind != Kind::Socket => return Err(ErrorKind::AlreadyExists.into()),
        Some(_) if !refuses(path) => return Err(ErrorKind::AddrInUse.into()),
        Some(_) => {}
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(BESIDE);
    let beside = Path::new(&beside);
    if files::at(beside)?.is_some_and(|facts| facts.kind == Kind::Socket) && refuses(beside) {
        std::fs::remove_file(beside)?; // left over by one that was killed in this very function
    }
    let made = UnixListener::bind(beside)?;
    std::fs::rename(beside, path)?;
    let made: Socket = made.into();
    listen_again(&made)?;
    Ok(made)
}

/// Tells whether nobody listens at a path: the kernel says that it refuses. Where a full queue refuses as well (not Linux),
/// several times.
fn refuses(path: &Path) -> bool {
    let tries = if cfg!(target_os = "linux") { 1 } else { 5 };
    (0..tries).all(|count| {
        if count > 0 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let tried = make_socket(|flags| socket(AddressFamily::Unix, SockType::Stream, flags, None)).and_then(
            |made| {
                let address = super::socket::Address::Path(path.to_owned()).to_unix()?;
                Ok(connect(made.as_raw_fd(), &address)?)
            },
        );
        tried.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    })
}

/// Has it listen: it does already, unless somebody has shut it down, for all of its copies.
///
/// # Errors
/// As `listen(2)`.
pub fn listen_again(socket: &Socket) -> io::Result<()> {
    Ok(rustix::net::listen(socket, BACKLOG)?)
}

/// Where a socket of this machine's network listens; none: it does not, or not there.
#[must_use]
pub fn listening_address(socket: &Socket) -> Option<SocketAddr> {
    let copy = socket.try_clone().ok().filter(listens)?;
    TcpListener::from(copy).local_addr().ok()
}

/// Tells whether it listens at this path, and the path names a socket.
#[must_use]
pub fn listens_at_path(socket: &Socket, path: &Path) -> bool {
    let own =
        socket.try_clone().ok().filter(listens).and_then(|copy| UnixListener::from(copy).local_addr().ok());
    // It was bound beside, and that is the name which it knows.
    let mut beside = path.as_os_str().to_owned();
    beside.push(BESIDE);
    let is_it = own.and_then(|own| own.as_pathname().map(|own| own == path || own.as_os_str() == beside));
    is_it.unwrap_or(false) && matches!(files::at(path), Ok(Some(facts)) if facts.kind == Kind::Socket)
}

/// Another socket of the same, for as long as one is needed.
///
/// # Errors
/// As `dup(2)`.
pub fn copy_of(socket: &Socket) -> io::Result<Socket> {
    socket.try_clone()
}

/// What a child is given, until it has been started.
#[derive(Debug)]
pub struct Given {
    /// So that nothing of the standard library's lies at the child's numbers.
    _low: Vec<File>,
}

/// Gives these to a program, in this order, with these names (without `:`). Nothing may be changed about the command after
/// this, which has to be the last hook; keep the result until it was started.
///
/// # Errors
/// No descriptor is left, or a word of the command has a zero byte.
pub fn give_sockets(command: &mut Command, sockets: &[(&str, &Socket)]) -> io::Result<Given> {
    let end = FIRST + RawFd::try_from(sockets.len()).map_err(|_| ErrorKind::InvalidInput)?;
    if end > super::flock::least_number() {
        return Err(io::Error::from_raw_os_error(libc::EMFILE));
    }
    let mut low = Vec::new();
    loop {
        let file = File::open("/dev/null")?;
        if file.as_raw_fd() >= end {
            break;
        }
        low.push(file);
    }
    let names: Vec<&str> = sockets.iter().map(|(name, _)| *name).collect();
    let sources: Vec<RawFd> = sockets.iter().map(|(_, socket)| socket.as_raw_fd()).collect();
    let mut image = Image::of(command, sockets.len(), &names.join(":"))?;
    let mut moved = vec![-1; sources.len()];
    let exec = move || {
        // First away from the numbers that are to be filled, then there.
        for (from, to) in sources.iter().zip(&mut moved) {
            // SAFETY: a system call on numbers.
            *to = unsafe { libc::fcntl(*from, libc::F_DUPFD_CLOEXEC, end) };
            if *to < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        for (number, from) in (FIRST..end).zip(&moved) {
            // SAFETY: as above; nothing of this process's is used after it but the exec.
            if unsafe { libc::dup2(*from, number) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Err(image.exec())
    };
    // SAFETY: between fork and exec it makes system calls and writes into memory that was made before; it neither allocates
    // nor locks (`io::Error` of a number does not).
    unsafe { command.pre_exec(exec) };
    Ok(Given { _low: low })
}

/// What exec is told: made before the fork.
struct Image {
    program: CString,
    arguments: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
    /// Behind `LISTEN_PID=`.
    digits: *mut u8,
    /// What the pointers point to.
    _words: Vec<CString>,
    _pid: Box<[u8]>,
}

// SAFETY: the pointers are to memory that the value itself owns and nobody else has; it is used by the one thread of a child.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

const PID: &[u8] = b"LISTEN_PID=";
const DIGITS: usize = 10;

impl Image {
    fn of(command: &Command, count: usize, names: &str) -> io::Result<Self> {
        let word = |word: &OsStr| CString::new(word.as_bytes()).map_err(io::Error::from);
        let program = word(command.get_program())?;
        let mut words = vec![program.clone()];
        for argument in command.get_args() {
            words.push(word(argument)?);
        }
        let arguments = words.len();
        let mut environment: Vec<(OsString, OsString)> = std::env::vars_os()
            .filter(|(name, _)| command.get_envs().all(|(changed, _)| changed != name))
            .filter(|(name, _)| !name.as_bytes().starts_with(b"LISTEN_"))
            .collect();
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                environment.push((name.to_owned(), value.to_owned()));
            }
        }
        environment.push(("LISTEN_FDS".into(), count.to_string().into()));
        environment.push(("LISTEN_FDNAMES".into(), names.into()));
        for (name, value) in environment {
            let mut pair = name;
            pair.push("=");
            pair.push(value);
            words.push(word(&pair)?);
        }
        let mut pid = vec![0; PID.len() + DIGITS + 1].into_boxed_slice();
        pid[..PID.len()].copy_from_slice(PID);
        // SAFETY: within the box.
        let digits = unsafe { pid.as_mut_ptr().add(PID.len()) };
        let pointers: Vec<*const libc::c_char> = words.iter().map(|word| word.as_ptr()).collect();
        let (arguments, environment) = pointers.split_at(arguments);
        let end = || std::iter::once(std::ptr::null());
        let own = std::iter::once(pid.as_ptr().cast());
        Ok(Self {
            program,
            arguments: arguments.iter().copied().chain(end()).collect(),
            environment: environment.iter().copied().chain(own).chain(end()).collect(),
            digits,
            _words: words,
            _pid: pid,
        })
    }

    /// Becomes the program; returns why it could not.
    fn exec(&mut self) -> io::Error {
        let mut left = std::process::id();
        let mut text = [0; DIGITS];
        let mut at = DIGITS;
        loop {
            at -= 1;
            text[at] = b'0' + u8::try_from(left % 10).unwrap_or(0);
            left /= 10;
            if left == 0 {
                break;
            }
        }
        // SAFETY: there is room for so many digits and a zero, which is there already; the pointers end with a null, and all
        // of it lives in `self`. The environment is this process's own, which is about to be another program.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr().add(at), self.digits, DIGITS - at);
            set_environment(self.environment.as_ptr());
            libc::execvp(self.program.as_ptr(), self.arguments.as_ptr());
        }
        io::Error::last_os_error()
    }
}

#[cfg(not(target_vendor = "apple"))]
unsafe fn set_environment(to: *const *const libc::c_char) {
    unsafe extern "C" {
        static mut environ: *const *const libc::c_char;
    }
    // SAFETY: the one thread of a forked child.
    unsafe { environ = to };
}

#[cfg(target_vendor = "apple")]
unsafe fn set_environment(to: *const *const libc::c_char) {
    // SAFETY: the one thread of a forked child.
    unsafe { *libc::_NSGetEnviron() = to.cast_mut().cast() };
}

/// Who listens at an address, as far as the kernel shows it to this user.
///
/// # Platform
/// Linux; elsewhere nobody is known.
#[must_use]
pub fn who_listens(address: SocketAddr) -> Vec<crate::Process> {
    #[cfg(target_os = "linux")]
    return crate::platform::ports::owners(address);
    #[cfg(not(target_os = "linux"))]
    {
        let _ = address;
        Vec::new()
    }
}
