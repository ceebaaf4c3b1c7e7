//! What the program `gateway` needs of the system to look after its child, and nobody else does.
//!
//! It is here because it takes `unsafe` or `cfg`, and is no part of the library's interface.

use std::{
    io,
    path::Path,
    process::{Command, ExitStatus},
    sync::atomic::{AtomicBool, Ordering},
};

use nix::{
    libc,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction},
    unistd::Pid,
};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};

pub use super::{
    datagrams::{Datagram, Datagrams, connect_datagrams, nobody_hears_at, receive_datagram},
    detached, hints,
    listening::{
        GIVES_SOCKETS, Given, OVERLAPS, copy_of, give_sockets, listen_again, listen_at, listen_at_path,
        listening_address, listens_at_path, who_listens,
    },
};
#[cfg(feature = "cli")]
pub use super::{
    inbox::{Inbox, Teller},
    signals,
};

/// What is said of an address at which no service manager can be told anything.
pub const NO_ADDRESS: &str = "that is neither an absolute path nor an abstract name";

/// Microseconds on the clock that systemd reads too: `CLOCK_MONOTONIC` (`sd_notify(3)`, `MONOTONIC_USEC`).
#[must_use]
pub fn monotonic_us() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let us = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
    u64::try_from(us).unwrap_or(0)
}

/// Has the kernel kill the program as soon as the thread that starts it has ended, however it ends.
///
/// Start it on the main thread, or it dies with the thread that did.
///
/// # Platform
/// Linux (`PR_SET_PDEATHSIG(2const)`): not for a program that changes its user by itself (set-user-ID). Elsewhere
/// nothing is done.
pub fn die_with_parent(command: &mut Command) {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::process::CommandExt as _;
        let parent = rustix::process::getpid();
        let bind = move || {
            let kill = Some(rustix::process::Signal::KILL);
            rustix::process::set_parent_process_death_signal(kill)?;
            if rustix::process::getppid() != Some(parent) {
                // The parent ended before it was watched. SAFETY: _exit touches no memory and doesn't return.
                unsafe { libc::_exit(128 + libc::SIGKILL) };
            }
            Ok(())
        };
        // SAFETY: between fork and exec it makes three system calls, and neither allocates nor locks.
        unsafe { command.pre_exec(bind) };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = command;
}

/// Has the program lead a process group of its own.
pub fn in_own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0);
}

/// The user that a file or directory belongs to; none: it cannot be looked at.
#[must_use]
pub fn owner_of(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    path.metadata().ok().map(|meta| meta.uid())
}

/// Tells whether this user may signal a process of that one.
#[must_use]
pub fn may_signal(user: Option<u32>) -> bool {
    crate::platform::process::may_signal(user)
}

/// Blocks until nobody can read what is written to the standard output any more; for ever, if it is a file.
pub fn until_nobody_reads() {
    let stdout = io::stdout();
    loop {
        let mut fds = [PollFd::new(&stdout, PollFlags::empty())];
        match poll(&mut fds, None) {
            Ok(_) if !fds[0].revents().is_empty() => return,
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(250)), // no memory: later, perhaps
        }
    }
}

/// Tells whether this process can open so many more descriptors; an error says why it cannot.
///
/// # Errors
/// As `open(2)`.
pub fn has_descriptors_left(count: usize) -> io::Result<()> {
    let opened: io::Result<Vec<std::fs::File>> =
        (0..count).map(|_| std::fs::File::open("/dev/null")).collect();
    opened.map(drop)
}

/// What asks a program to stop, unless the user says otherwise, as [`signal_number`] reads it.
pub const DEFAULT_STOP_SIGNAL: &str = "TERM";

/// What `--help` says of it.
pub const STOP_SIGNAL_HELP: &str =
    "The signal that asks PROGRAM to stop, by name or number (`TERM`, `INT`, `QUIT`)";

/// What it can be.
pub const STOP_SIGNALS: &str = "TERM, INT, QUIT, HUP, USR1, KILL or another name or number of `kill -l`";

/// The signal that ends a program at once.
pub const KILL: i32 = libc::SIGKILL;

/// The signal that ends a program with a core.
pub const ABORT: i32 = libc::SIGABRT;

/// Whether the number of a child that was waited for stays its own, as long as this process knows it.
pub const KEEPS_NUMBERS: bool = false;

/// The signal that lets a stopped process go on.
pub const CONTINUE: i32 = libc::SIGCONT;

/// The signal of Ctrl-Z.
pub const SUSPEND: i32 = libc::SIGTSTP;

/// Sends a signal to a child that has not been waited for yet, so that its number is still its own.
///
/// # Errors
/// As `kill(2)`.
pub fn signal_child(pid: u32, signal: i32) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().filter(|&pid| pid > 0).ok_or(io::ErrorKind::InvalidInput)?;
    Ok(kill(Pid::from_raw(pid), Signal::try_from(signal)?)?)
}

/// Tells whether a process is in this one's process group: what a terminal sends reaches both.
#[must_use]
pub fn shares_group(pid: u32) -> bool {
    u32::try_from(nix::unistd::getpgrp().as_raw()).is_ok_and(|group| is_in_group(pid, group))
}

/// Tells whether a process is in the process group of this number; not of one that is outside of this pid namespace.
#[must_use]
pub fn is_in_group(pid: u32, group: u32) -> bool {
    let number = |number: u32| i32::try_from(number).ok().filter(|&number| number > 0).map(Pid::from_raw);
    let (Some(pid), Some(group)) = (number(pid), number(group)) else { return false };
    // getpgid(2) answers 0 for a group outside, which rustix would take for a pid.
    nix::unistd::getpgid(Some(pid)) == Ok(group)
}

/// The signal that a program died of; none: it exited with a code.
#[must_use]
pub fn signal_of(status: ExitStatus) -> Option<i32> {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal()
}

/// The name of a signal: `SIGKILL`.
#[must_use]
pub fn signal_name(signal: i32) -> String {
    Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |signal| signal.as_str().to_owned())
}

/// Tells whether a signal is ignored since before this program began (`nohup`, a background job of a script).
#[must_use]
pub fn is_ignored(signal: i32) -> bool {
    // SAFETY: all zeroes is a valid `sigaction`, which the system overwrites.
    let mut now: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: without a new action the present one is only read, into a struct that outlives the call.
    let answered = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut now) };
    answered == 0 && now.sa_sigaction == libc::SIG_IGN
}

pub use super::children::{
    Descendant, adopt_orphans, descendants, descends_from, end_of, is_at_its_terminal, kill_children,
    leave_the_rest, reap, reap_others, signal_group, signal_number, stop_oneself,
};

static INTERRUPTED_AT_TERMINAL: AtomicBool = AtomicBool::new(false);

/// Notes from now on whether a SIGINT is a terminal's (Ctrl-C) and not a process's.
///
/// Call it before tokio takes SIGINT: tokio's handler calls the one that it found.
///
/// # Errors
/// As `sigaction(2)`.
pub fn note_terminal_interrupts() -> io::Result<()> {
    let flags = SaFlags::SA_SIGINFO | SaFlags::SA_RESTART;
    let action = SigAction::new(SigHandler::SigAction(note_interrupt), flags, SigSet::empty());
    // SAFETY: the handler only writes an atomic, which is allowed in one (signal-safety(7)).
    unsafe { sigaction(Signal::SIGINT, &action) }?;
    Ok(())
}

/// Asks the file system that a directory is on for something that it has to answer itself; waits for as long as it takes.
pub fn touch_file_system(dir: &Path) {
    // What the kernel remembers of the directory says nothing; statfs(2) is asked of the server each time.
    let _ = std::fs::metadata(dir).and_then(|_| Ok(rustix::fs::statvfs(dir)?));
}

/// Tells whether all that leads to a directory is in this kernel's memory, and the directory on a disk of its own: then nothing has to be
/// waited for. Asks no file system, and never blocks.
///
/// Without a directory: that of the user, as far as the environment says it.
///
/// # Platform
/// Linux 5.12 (`RESOLVE_CACHED`, `openat2(2)`); elsewhere it is not known. A file system without a disk (network, FUSE, but also tmpfs and
/// overlay) has a device number with major 0 (`Documentation/admin-guide/devices.txt`).
#[must_use]
pub fn answers_from_memory(dir: Option<&Path>) -> bool {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags, openat2, statx};
        // The user database, which may be on a server, is asked only where these are not set.
        let is_set =
            ["XDG_STATE_HOME", "HOME"].iter().any(|name| super::absolute(std::env::var_os(name)).is_some());
        let default = || if is_set { crate::platform::default_state_dir() } else { None };
        let Some(dir) = dir.map(Path::to_owned).or_else(default) else { return false };
        openat2(CWD, dir, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::CACHED)
            .and_then(|dir| statx(dir, "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::INO))
            .is_ok_and(|facts| facts.stx_dev_major != 0)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = dir;
        false
    }
}

/// Tells whether a SIGINT came from the terminal since this was last asked.
#[must_use]
pub fn was_interrupted_at_terminal() -> bool {
    INTERRUPTED_AT_TERMINAL.swap(false, Ordering::Relaxed)
}

extern "C" fn note_interrupt(_: libc::c_int, about: *mut libc::siginfo_t, _: *mut libc::c_void) {
    #[cfg(target_os = "linux")]
    const BY_A_PROCESS: libc::c_int = libc::SI_USER;
    #[cfg(not(target_os = "linux"))]
    const BY_A_PROCESS: libc::c_int = 0x1_0001; // SI_USER in <sys/signal.h> of macOS and FreeBSD
    // SAFETY: with SA_SIGINFO the system passes a valid pointer, or none; the pid is set for a sent signal and zero else.
    let by_the_kernel =
        unsafe { about.as_ref().is_some_and(|about| about.si_code != BY_A_PROCESS && about.si_pid() == 0) };
    if by_the_kernel {
        INTERRUPTED_AT_TERMINAL.store(true, Ordering::Relaxed);
    }
}
