//! What the program `gateway` needs of the system to look after its child, and nobody else does: under the names of Unix.
//!
//! The child is in a job object that ends with `gateway` (`children.rs`), and is asked to stop by `CTRL_BREAK`
//! (`console.rs`).

use std::{
    io,
    os::windows::io::{AsRawHandle as _, RawHandle},
    path::Path,
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use windows_sys::{
    Wdk::Storage::FileSystem::{
        FILE_PIPE_CLOSING_STATE, FILE_PIPE_LOCAL_INFORMATION, FilePipeLocalInformation,
        NtQueryInformationFile,
    },
    Win32::{
        Foundation::{STATUS_CONTROL_C_EXIT, STATUS_SUCCESS},
        System::{IO::IO_STATUS_BLOCK, SystemInformation::GetTickCount64},
    },
};

use super::{
    console::{BREAK, INTERRUPT, TERMINATE},
    process::KILLED,
};

pub use super::listening::{
    GIVES_SOCKETS, Given, OVERLAPS, copy_of, give_sockets, listen_again, listen_at, listen_at_path,
    listening_address, listens_at_path, nobody_hears_at, who_listens,
};
pub use super::{
    children::{
        Descendant, adopt_orphans, descendants, descends_from, end_of, is_in_group, kill_children,
        leave_the_rest, reap, reap_others, signal_child, signal_group,
    },
    datagrams::{Datagram, Datagrams},
    detached, hints,
};
#[cfg(feature = "cli")]
pub use super::{
    inbox::{Inbox, Teller},
    signals,
};

/// What is said of an address at which no service manager can be told anything.
pub const NO_ADDRESS: &str = r"that is no pipe (\\.\pipe\…)";

/// Microseconds since the start of the system, on a clock that nobody sets.
#[must_use]
pub fn monotonic_us() -> u64 {
    // SAFETY: it only tells a number.
    unsafe { GetTickCount64() }.saturating_mul(1000)
}

/// Asks the file system of a directory for something; waits for as long as it takes.
pub fn touch_file_system(dir: &Path) {
    let _ = std::fs::metadata(dir);
}

/// Tells whether nothing has to be waited for to look at a directory: not known here.
#[must_use]
pub fn answers_from_memory(_: Option<&Path>) -> bool {
    false
}

/// Nothing is to be done: what a [`ChildLock`](crate::ChildLock) starts ends with this process.
pub fn die_with_parent(_: &mut Command) {}

/// Nothing is to be done: what a [`ChildLock`](crate::ChildLock) starts has a process group of its own.
pub fn in_own_group(_: &mut Command) {}

/// The user that a file or directory belongs to; none: it cannot be looked at.
#[must_use]
pub fn owner_of(path: &Path) -> Option<u32> {
    super::files::behind(path).ok().flatten().map(|facts| facts.owner)
}

/// Tells whether this user may end a process of that one.
#[must_use]
pub fn may_signal(user: Option<u32>) -> bool {
    super::process::may_signal(user)
}

/// Blocks until nobody can read what is written to the standard output any more; for ever, if it is no pipe.
///
/// Nothing says that to who only writes, so that the state of the pipe is asked for again and again
/// (`NtQueryInformationFile`, `FILE_PIPE_LOCAL_INFORMATION`, Microsoft Learn); a write of nothing would be an end to a reader.
pub fn until_nobody_reads() {
    const PAUSE: Duration = Duration::from_millis(250);
    let out = io::stdout().as_raw_handle();
    while pipe_state(out) != Some(FILE_PIPE_CLOSING_STATE) {
        std::thread::sleep(PAUSE);
    }
}

/// The state of a pipe; none: it is no pipe, or that is not told.
fn pipe_state(pipe: RawHandle) -> Option<u32> {
    let (mut status, mut facts) = (IO_STATUS_BLOCK::default(), FILE_PIPE_LOCAL_INFORMATION::default());
    let size = u32::try_from(size_of_val(&facts)).unwrap_or(0);
    // SAFETY: both structs outlive the call, and the second is as long as is said.
    let told = unsafe {
        NtQueryInformationFile(pipe, &raw mut status, (&raw mut facts).cast(), size, FilePipeLocalInformation)
    };
    (told == STATUS_SUCCESS).then_some(facts.NamedPipeState)
}

/// As many as it likes.
///
/// # Errors
/// None.
#[allow(clippy::unnecessary_wraps)] // elsewhere there may be none left
pub fn has_descriptors_left(_: usize) -> io::Result<()> {
    Ok(())
}

/// What asks a program to stop, unless the user says otherwise, as [`signal_number`] reads it.
pub const DEFAULT_STOP_SIGNAL: &str = "BREAK";

/// What `--help` says of it.
pub const STOP_SIGNAL_HELP: &str =
    "What asks PROGRAM to stop: `BREAK` (CTRL_BREAK; `TERM` means the same), or `KILL`: it is ended at once";

/// What it can be.
pub const STOP_SIGNALS: &str = "BREAK (TERM means the same), or KILL, which ends PROGRAM at once";

pub use super::console::KILL;

/// What a program that is hung is asked with: there is nothing that would have it write a core.
pub const ABORT: i32 = BREAK;

/// Nothing is stopped here, so that nothing needs to go on.
pub const CONTINUE: i32 = -1;

/// Nothing suspends this program.
pub const SUSPEND: i32 = -2;

/// Whether the number of a child that was waited for stays its own, as long as this process has a handle of it.
pub const KEEPS_NUMBERS: bool = true;

/// How a program ended that did so at Ctrl-C or `CTRL_BREAK`, or was killed by one like us: as by that signal. None: it exited
/// with a code, as far as the system tells.
#[must_use]
pub fn signal_of(status: ExitStatus) -> Option<i32> {
    match status.code() {
        Some(STATUS_CONTROL_C_EXIT) => Some(INTERRUPT),
        Some(code) if u32::try_from(code) == Ok(KILLED) => Some(KILL),
        _ => None,
    }
}

/// The name of what asks to stop.
#[must_use]
pub fn signal_name(signal: i32) -> String {
    match signal {
        KILL => "KILL".to_owned(),
        INTERRUPT => "CTRL_C".to_owned(),
        _ => "CTRL_BREAK".to_owned(),
    }
}

/// The number of what asks to stop, by its name in any case.
#[must_use]
pub fn signal_number(text: &str) -> Option<i32> {
    let name = text.to_ascii_uppercase();
    match name.strip_prefix("SIG").unwrap_or(&name) {
        "BREAK" | "CTRL_BREAK" => Some(BREAK),
        "TERM" => Some(TERMINATE),
        "KILL" => Some(KILL),
        _ => None,
    }
}

/// Nothing stops this process and lets it go on.
pub fn stop_oneself() {}

/// No terminal has job control here.
#[must_use]
pub fn is_at_its_terminal() -> bool {
    false
}

/// Waits for a moment that may be far away.
pub(super) fn far() -> Instant {
    Instant::now() + Duration::from_secs(365 * 86_400)
}
