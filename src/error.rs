//! What can fail, as data. The words are here and nowhere else; what to type next is the program's to say.
//!
//! A lost claim is not an error ([`crate::Claim::Lost`]), and neither is "nobody there". Every variant says what was
//! tried, on which path, and what the system answered; `source()` gives the cause once.

use std::{fmt, io, path::PathBuf, time::Duration};

use crate::{flapping::Fight, inspection::Inspection, process::Process, text::shown_path};

/// Why an operation of this library failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The name is not 1 to 64 of `a-z 0-9 . _ -`, or does not start with a letter or a digit.
    InvalidName {
        /// What was given.
        name: String,
    },
    /// No directory was given, and the user's home cannot be found.
    NoHome,
    /// The directory cannot be used: it belongs to somebody else, others can write to it, or it is none.
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        fault: DirectoryFault,
    },
    /// Something at a path of the instance is not what it must be, and is left alone.
    InTheWay {
        /// The path.
        path: PathBuf,
        /// What is there, with its article: "a directory".
        what: &'static str,
        /// What should be there: "socket".
        wanted: &'static str,
    },
    /// A file that is locked has a second name, so that a lock on it would speak for two instances.
    HardLinked {
        /// The file.
        path: PathBuf,
        /// How many names it has.
        links: u64,
    },
    /// The file system has no record locks, so nothing can be proven on it.
    NoLocks {
        /// The pid file.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The system refused a step.
    Io {
        /// What was tried: "open the pid file".
        doing: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// The holder lives, or cannot be proven dead, and did not answer.
    Unresponsive(Box<Inspection>),
    /// Another contender kept the claim lock until the deadline.
    Claiming(Box<Inspection>),
    /// The record names a holder on another machine, whose lock the kernel here does not see.
    OtherMachine(Box<Inspection>),
    /// The kernel would not let the owner of a lock be ended, or it could not be proven to be the owner.
    NotForced {
        /// Why, in one sentence.
        why: String,
    },
    /// Two replace each other in turn, and the holder is left alone for a while.
    Fighting(Box<Fight>),
    /// The holder said that it would stop, and has not.
    StillThere {
        /// Its process; none: it lives in another pid namespace.
        pid: Option<u32>,
        /// For how long it was waited.
        waited: Duration,
    },
    /// The holder answered, and said no.
    Refused {
        /// Its kind.
        why: Refusal,
        /// In the holder's words.
        note: String,
    },
    /// The holder did not answer a request in time, though it may live.
    NoAnswer {
        /// What was asked: "status".
        asked: &'static str,
        /// For how long it was waited.
        waited: Duration,
    },
    /// The connection ended before the answer came.
    Disconnected {
        /// What was asked.
        asked: &'static str,
    },
    /// What came back is not what the protocol says.
    Protocol {
        /// What was asked.
        asked: &'static str,
        /// What is wrong with the answer.
        why: String,
    },
    /// This holder does not hold the instance any more, so that what only a holder may do was not done.
    NotHolding,
    /// Something that an earlier holder's child left behind is still there, so that no child may be started beside it.
    LeftBehind {
        /// The file that it keeps locked.
        path: PathBuf,
        /// What it is, as far as it can be seen.
        processes: Vec<Process>,
        /// Why it could not be ended.
        why: StillThere,
    },
    /// The message is larger than the protocol allows.
    TooLong {
        /// Bytes that are allowed.
        limit: usize,
    },
}

/// What is wrong with a directory.
#[derive(Debug)]
#[non_exhaustive]
pub enum DirectoryFault {
    /// It belongs to another user.
    Foreign {
        /// Its owner.
        owner: u32,
        /// Who asks.
        user: u32,
    },
    /// Others can write to it, and it has no sticky bit.
    Writable {
        /// Its permission bits.
        mode: u32,
    },
    /// There is something, but no directory.
    NotADirectory,
    /// It may not be read by this user.
    Forbidden(io::Error),
    /// It cannot be made, or looked at.
    Unusable(io::Error),
}

/// Why something that an earlier holder's child left behind could not be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StillThere {
    /// It was killed, and is not gone: frozen, or in the kernel.
    Killed,
    /// This user may not signal it.
    NotAllowed,
    /// It cannot be seen from here: another user's, in another pid namespace, or (not on Linux) not the child itself.
    Unseen,
}

/// Why a holder refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It takes no messages.
    NoMessages,
    /// It is stopping.
    Stopping,
    /// It has work in flight, and was asked to stop only if idle.
    Busy,
    /// This user may not ask.
    NotAllowed,
    /// Another reason, which its note names.
    Other,
}

impl Error {
    /// Tells whether another try can succeed without anything being changed by hand.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self, Self::Unresponsive(_) | Self::Claiming(_))
    }

    /// Tells whether the system or the other side said that this user may not.
    #[must_use]
    pub fn is_not_allowed(&self) -> bool {
        match self {
            Self::Directory { fault, .. } => {
                matches!(fault, DirectoryFault::Foreign { .. } | DirectoryFault::Forbidden(_))
            }
            Self::Refused { why, .. } => *why == Refusal::NotAllowed,
            _ => false,
        }
    }

    /// Tells whether this process, or the system, has no descriptor or memory left.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        match self {
            Self::Io { source, .. }
            | Self::Directory {
                fault: DirectoryFault::Forbidden(source) | DirectoryFault::Unusable(source),
                ..
            } => crate::platform::means_no_room(source),
            _ => false,
        }
    }

    pub(crate) fn io(doing: &'static str, path: &std::path::Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), source }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidName { name } if crate::platform::is_reserved(name) => {
                write!(
                    f,
                    "`{}` is no name for an instance: the system keeps it for a device",
                    crate::text::shown(name)
                )
            }
            Self::InvalidName { name } => write!(
                f,
                "`{}` is no name for an instance: 1 to 64 of `a-z 0-9 . _ -`, the first a letter or a digit",
                crate::text::shown(name)
            ),
            Self::NoHome => {
                f.write_str("no directory was given, and the home directory of this user is not known")
            }
            Self::Directory { path, fault } => fault.describe(&shown_path(path), f),
            Self::InTheWay { path, what, wanted } => {
                write!(
                    f,
                    "{what} is in the way at `{}`, where the {wanted} belongs; it was left alone",
                    shown_path(path)
                )
            }
            Self::HardLinked { path, links } => write!(
                f,
                "the file `{}` has {links} names (hard links), so a lock on it would speak for more than one instance",
                shown_path(path)
            ),
            Self::NoLocks { path, .. } => {
                write!(
                    f,
                    "the file system of `{}` has no record locks, so nothing can be proven there",
                    shown_path(path)
                )
            }
            Self::Io { doing, path, source } => {
                write!(f, "cannot {doing} `{}`: {}", shown_path(path), crate::text::system_words(source))
            }
            Self::Unresponsive(seen) | Self::OtherMachine(seen) => f.write_str(&seen.sentence()),
            Self::Claiming(seen) => f.write_str(&seen.about_the_claim()),
            Self::NotForced { why } => f.write_str(why),
            Self::Fighting(fight) => write!(f, "not taken over: {}", fight.sentence()),
            Self::StillThere { pid, waited } => {
                let who = pid.map_or_else(
                    || "the holder, in another pid namespace,".to_owned(),
                    |pid| format!("pid {pid}"),
                );
                write!(
                    f,
                    "{who} said that it would stop, and still holds after {}",
                    crate::text::duration(*waited)
                )
            }
            Self::Refused { note, .. } => write!(f, "the holder refused: {}", crate::text::shown(note)),
            Self::NoAnswer { asked, waited } => {
                write!(f, "no answer to `{asked}` within {}", crate::text::duration(*waited))
            }
            Self::Disconnected { asked } => {
                write!(f, "the connection ended before the answer to `{asked}` came")
            }
            Self::Protocol { asked, why } => write!(f, "the answer to `{asked}` cannot be understood: {why}"),
            Self::NotHolding => f.write_str("this process does not hold the instance any more"),
            Self::LeftBehind { path, processes, why } => why.describe(&shown_path(path), processes, f),
            Self::TooLong { limit } => {
                write!(f, "the message is too long: {limit} bytes are allowed, all in all")
            }
        }
    }
}

impl StillThere {
    fn describe(self, path: &str, processes: &[Process], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = crate::text::processes(processes);
        f.write_str("what the last holder's child left behind is still there: ")?;
        match self {
            Self::Killed => {
                write!(f, "{who} was killed, and is not gone (it is frozen, or in the kernel)")
            }
            Self::NotAllowed => write!(f, "{who} is not this user's to end"),
            Self::Unseen => write!(
                f,
                "it keeps `{path}` locked, and cannot be seen from here (it is another user's, or in another pid namespace)"
            ),
        }
    }
}

impl DirectoryFault {
    fn describe(&self, path: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = crate::text::system_words;
        match self {
            Self::Foreign { owner, user } => write!(
                f,
                "the directory `{path}` belongs to {}, and this is {}",
                crate::text::user(*owner),
                crate::text::user(*user)
            ),
            Self::Writable { mode } => write!(
                f,
                "others can write to the directory `{path}` ({}), so nothing in it proves anything",
                crate::platform::writable_words(mode & 0o7777)
            ),
            Self::NotADirectory => write!(f, "`{path}` is no directory"),
            Self::Forbidden(source) => {
                write!(f, "this user may not use the directory `{path}`: {}", words(source))
            }
            Self::Unusable(source) => write!(f, "cannot use the directory `{path}`: {}", words(source)),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoLocks { source, .. } => Some(source),
            _ => None,
        }
    }
}
