//! A program that goes on in the background: its session, its descriptors, its standard streams.
//!
//! `run --detach` needs it, and nobody else does. What the background process must not keep open is marked in the
//! foreground one, which then starts it: nothing has to be done between fork and exec but `setsid`.
//! Proven by `tests/detach.rs`.

use std::{
    fs::{DirEntry, File, read_dir},
    io,
    os::{
        fd::AsFd,
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::Command,
};

use nix::{
    libc,
    sys::signal::{Signal, kill},
    unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, setsid},
};
use rustix::fs::{FileType, fstat, stat};

/// Above this no descriptor is looked for where the system does not list them.
const MOST: usize = 1 << 16;

/// Starts the program in a session of its own: no terminal signals it, and no logout.
pub fn in_own_session(command: &mut Command) {
    // SAFETY: between fork and exec it makes one system call, and neither allocates nor locks.
    unsafe { command.pre_exec(|| Ok(setsid().map(drop)?)) };
}

/// Lets no program that is started from now on inherit a descriptor but the standard streams that it is given.
///
/// # Platform
/// Linux: those that `/proc/self/fd` lists. Elsewhere, and without `/proc`, those up to the limit of `ulimit -n`, at
/// most 65,536.
pub fn pass_no_descriptors_on() {
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

/// Takes the socket that stands in the place of the standard input, and puts `/dev/null` there.
///
/// # Errors
/// `InvalidInput` when it is no Unix socket: then it stays. Else as `dup(2)`, or there is no `/dev/null`.
pub fn take_socket_from_stdin() -> io::Result<UnixStream> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    socket.peer_addr().map_err(|_| io::ErrorKind::InvalidInput)?;
    dup2_stdin(File::open("/dev/null")?)?;
    Ok(socket)
}

/// Tells whether a stream leads to where it may lead for as long as the program runs: to a regular file, or nowhere.
/// A terminal, a pipe and a socket have somebody at the other end.
#[must_use]
pub fn may_stay(stream: impl AsFd) -> bool {
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
pub fn own_program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    // By its path if it is still there, so that `ps` shows its name and not `exe`.
    let running = Path::new("/proc/self/exe");
    Ok(if !path.exists() && running.exists() { running.to_owned() } else { path })
}
