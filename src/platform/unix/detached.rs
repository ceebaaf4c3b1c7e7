//! A program that goes on in the background: its session, its descriptors, its standard streams.
//!
//! `run --detach` needs it, and nobody else does. What the background process must not keep open is marked in the
//! foreground one, which then starts it: nothing has to be done between fork and exec but `setsid`. The two know of each
//! other by a socket pair alone.
//! Proven by `tests/detach.rs`.

use std::{
    ffi::OsStr,
    fs::{DirEntry, File, read_dir},
    io::{self, Read, Write},
    net::Shutdown,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command},
};

use nix::{
    libc,
    sys::signal::{Signal, kill},
    unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, setsid},
};
use rustix::fs::{FileType, fstat, stat};

/// Above this no descriptor is looked for where the system does not list them.
const MOST: usize = 1 << 16;

/// A program that was started in the background.
#[derive(Debug)]
pub struct Started {
    /// It.
    pub child: Child,
    /// What it tells; the end of this is its end, or that it has nothing more to tell.
    pub news: UnixStream,
    /// Why it does not outlive its caller for sure; none: it does.
    pub warning: Option<&'static str>,
}

/// This very program once more, as it was called.
///
/// # Errors
/// The system does not tell its file.
pub fn same_command() -> io::Result<Command> {
    let mut words = std::env::args_os();
    let mut command = Command::new(own_program()?);
    if let Some(typed) = words.next() {
        command.arg0(typed);
    }
    command.args(words);
    Ok(command)
}

/// What stands in the variable: that the standard input is the way to the caller.
const MARK: &str = "stdin";

/// Starts a program in a session of its own: no terminal signals it, and no logout. It inherits nothing but the standard
/// output and error; its standard input is the way to us, which the variable of this name says to it.
///
/// # Errors
/// As `socketpair(2)`, and [`Command::spawn`].
pub fn start(mut command: Command, variable: &str) -> io::Result<Started> {
    let (news, theirs) = UnixStream::pair()?;
    command.env(variable, MARK).stdin(OwnedFd::from(theirs));
    pass_no_descriptors_on();
    // SAFETY: between fork and exec it makes one system call, and neither allocates nor locks.
    unsafe { command.pre_exec(|| Ok(setsid().map(drop)?)) };
    let child = command.spawn()?;
    // The command has the other end of the socket, and goes: with it this end would never see that end close.
    Ok(Started { child, news, warning: None })
}

/// Lets no program that is started from now on inherit a descriptor but the standard streams that it is given.
///
/// # Platform
/// Linux: those that `/proc/self/fd` lists. Elsewhere, and without `/proc`, those up to the limit of `ulimit -n`, at
/// most 65,536.
fn pass_no_descriptors_on() {
    let listed: Option<Vec<i32>> = if cfg!(target_os = "linux") {
        let numbers = |entry: io::Result<DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
        read_dir("/proc/self/fd").ok().map(|entries| entries.filter_map(numbers).collect())
    } else {
        None
    };
    let most = super::most_descriptors().unwrap_or(MOST).min(MOST);
    let descriptors = listed.unwrap_or_else(|| (0..i32::try_from(most).unwrap_or(i32::MAX)).collect());
    for descriptor in descriptors.into_iter().filter(|&number| number > libc::STDERR_FILENO) {
        // SAFETY: it takes numbers only; of one that is not open nothing comes but EBADF.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// The way to who started this process and waits in the foreground.
#[derive(Debug)]
pub struct Caller(UnixStream);

/// That one's end.
#[derive(Debug)]
pub struct Watched(UnixStream);

/// Takes the way to the caller, which stands in the place of the standard input, and puts `/dev/null` there. `variable` is
/// what the variable holds.
///
/// # Errors
/// `InvalidInput` when it is no Unix socket, or no caller has said so: then it stays. Else as `dup(2)`, or there is no `/dev/null`.
pub fn join(variable: &OsStr) -> io::Result<(Caller, Watched)> {
    if variable != MARK {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    socket.peer_addr().map_err(|_| io::ErrorKind::InvalidInput)?;
    dup2_stdin(File::open("/dev/null")?)?;
    let watched = Watched(socket.try_clone()?);
    Ok((Caller(socket), watched))
}

impl Write for Caller {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for Caller {
    /// Ends the connection, for who watches it, too.
    fn drop(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Watched {
    /// Blocks until the caller has gone, or nothing more is to be told to it.
    pub fn until_gone(mut self) {
        let mut nothing = [0];
        while self.0.read(&mut nothing).is_ok_and(|count| count > 0) {}
    }
}

/// Which of the standard output and error go to the log: those that have somebody at the other end.
#[must_use]
pub fn goes_to_log() -> (bool, bool) {
    (!may_stay(io::stdout()), !may_stay(io::stderr()))
}

/// Tells whether a stream leads to where it may lead for as long as the program runs: to a regular file, or nowhere.
/// A terminal, a pipe and a socket have somebody at the other end.
fn may_stay(stream: impl AsFd) -> bool {
    let Ok(facts) = fstat(stream) else { return false };
    match FileType::from_raw_mode(facts.st_mode) {
        FileType::RegularFile => true,
        FileType::CharacterDevice => stat("/dev/null").is_ok_and(|null| null.st_rdev == facts.st_rdev),
        _ => false,
    }
}

/// Leads the standard output into a file.
///
/// # Errors
/// As `dup2(2)`.
pub fn lead_stdout_into(file: &File) -> io::Result<()> {
    Ok(dup2_stdout(file)?)
}

/// Leads the standard error into a file.
///
/// # Errors
/// As `dup2(2)`.
pub fn lead_stderr_into(file: &File) -> io::Result<()> {
    Ok(dup2_stderr(file)?)
}

/// Asks this very process to stop, with SIGTERM.
pub fn ask_oneself_to_stop() {
    let _ = kill(Pid::this(), Signal::SIGTERM);
}

/// The program's own file, to start it once more: the same one even when it was replaced or deleted meanwhile (Linux).
///
/// # Errors
/// The system does not tell.
fn own_program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    // By its path if it is still there, so that `ps` shows its name and not `exe`.
    let running = Path::new("/proc/self/exe");
    Ok(if !path.exists() && running.exists() { running.to_owned() } else { path })
}
