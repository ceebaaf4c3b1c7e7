//! The witness: the PROGRAM of every holder. It takes a lock of its own, on a file that `gateway` knows nothing of, and
//! writes down when it begins and ends, on a clock that nobody can set.
//!
//! What it starts itself inherits the lock, as it inherits that on `NAME.child`: so a lock that is not to be had is the
//! proof of an overlap, with the last PROGRAM or with anything that it left behind. One line is one write to a file that
//! is appended to; whoever is killed leaves no line, and the kernel frees its lock.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    os::fd::{AsRawFd as _, OwnedFd},
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicI32, Ordering},
    time::Duration,
};

use nix::sys::signal::{SigHandler, Signal};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::{FlockOperation, flock},
    io::{FdFlags, fcntl_setfd},
};

/// The variable that says how the witness is to behave: the words of [`Manner::words`].
pub const MANNER: &str = "CHAOS_MANNER";
pub const LOG: &str = "CHAOS_LOG";
pub const LOCK: &str = "CHAOS_LOCK";
pub const SERIAL: &str = "CHAOS_SERIAL";
/// By how many seconds the clock of its namespace is ahead.
pub const AHEAD: &str = "CHAOS_AHEAD";

/// How a witness behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manner {
    /// Milliseconds that it takes to stop; none: it does not listen.
    pub stops_after: Option<u64>,
    /// It ends by itself, after so many milliseconds, with code 3.
    pub ends_after: Option<u64>,
    /// It starts something that does not listen, in a session of its own.
    pub has_family: bool,
}

impl Manner {
    pub fn words(self) -> String {
        let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
        format!("{} {} {}", number(self.stops_after), number(self.ends_after), self.has_family)
    }

    fn from_words(words: &str) -> Self {
        let mut words = words.split(' ');
        let mut number = || words.next().and_then(|word| word.parse().ok());
        let (stops_after, ends_after) = (number(), number());
        Self { stops_after, ends_after, has_family: words.next() == Some("true") }
    }
}

/// Nanoseconds since the start of the machine, time asleep included.
pub fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(time.tv_sec).expect("positive") * 1_000_000_000
        + u64::try_from(time.tv_nsec).expect("positive")
}

/// Where the handler says that it was called.
static ASKED: AtomicI32 = AtomicI32::new(-1);

extern "C" fn asked(_: i32) {
    // SAFETY: write(2) may be called in a handler; the descriptor stays open as long as the process.
    unsafe { nix::libc::write(ASKED.load(Ordering::SeqCst), b"!".as_ptr().cast(), 1) };
}

struct Log {
    file: File,
    serial: String,
    ahead: u64,
}

impl Log {
    fn say(&mut self, what: &str, pid: u32) {
        let line = format!("{} {} {what} {pid}\n", now() - self.ahead * 1_000_000_000, self.serial);
        self.file.write_all(line.as_bytes()).unwrap();
    }
}

/// Plays the role.
pub fn play() {
    let of = |name: &str| std::env::var(name).unwrap();
    let manner = Manner::from_words(&of(MANNER));
    let file = OpenOptions::new().append(true).create(true).open(of(LOG)).unwrap();
    let mut log = Log { file, serial: of(SERIAL), ahead: of(AHEAD).parse().unwrap() };

    let (wakes, wake) = nix::unistd::pipe().unwrap();
    be_told(&wake, manner.stops_after.is_none());
    let lock = File::create(PathBuf::from(of(LOCK))).unwrap();
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        log.say("OVERLAP", std::process::id());
        std::process::exit(99);
    }
    log.say("start", std::process::id());
    if manner.has_family {
        // It keeps the lock, too.
        fcntl_setfd(&lock, FdFlags::empty()).unwrap();
        let mut deaf = Command::new("setsid");
        deaf.args(["sh", "-c", "trap '' TERM; exec sleep 1000"]);
        let relative = deaf.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        log.say("family", relative.id());
    }
    let time = manner.ends_after.map(|ms| Timespec::try_from(Duration::from_millis(ms)).unwrap());
    let mut fds = [PollFd::new(&wakes, PollFlags::IN)];
    while poll(&mut fds, time.as_ref()) == Err(rustix::io::Errno::INTR) {}
    let was_asked = !fds[0].revents().is_empty();
    if let (true, Some(ms @ 1..)) = (was_asked, manner.stops_after) {
        std::thread::sleep(Duration::from_millis(ms)); // its work: nobody waits for an event here
    }
    log.say("end", std::process::id());
    std::process::exit(if was_asked { 0 } else { 3 });
}

/// From now on it hears when it is asked to stop, or is deaf.
fn be_told(wake: &OwnedFd, deaf: bool) {
    ASKED.store(wake.as_raw_fd(), Ordering::SeqCst);
    let handler = if deaf { SigHandler::SigIgn } else { SigHandler::Handler(asked) };
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        // SAFETY: the handler does nothing but write(2).
        unsafe { nix::sys::signal::signal(signal, handler) }.unwrap();
    }
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub at: u64,
    pub serial: u32,
    pub what: String,
    pub pid: u32,
}

/// Reads the log; none: a line is none.
pub fn read(text: &str) -> Option<Vec<Said>> {
    let line = |line: &str| {
        let mut words = line.split(' ');
        Some(Said {
            at: words.next()?.parse().ok()?,
            serial: words.next()?.parse().ok()?,
            what: words.next()?.to_owned(),
            pid: words.next()?.parse().ok()?,
        })
    };
    text.lines().map(line).collect()
}
