//! What can be wrong with a frame that came in, or with a message that should go out.
//!
//! Invariant: whoever reads knows from [`Malformed::is_fatal`] whether the next frame can still be
//! found, and from [`Malformed::reply`] what to say. Neither depends on what the other side meant.
//! Proven by `tests/malformed.rs`.

use std::error::Error;
use std::fmt;

use crate::{MAX_BODY, MAX_LIST, MIN_VERSION, Refused, Reply, Unsupported, VERSION, Why};

/// Why bytes are not a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// The frame does not begin with [`MAGIC`](crate::MAGIC): the other side speaks something else.
    /// Fatal.
    Magic {
        /// What it begins with.
        found: [u8; 4],
    },
    /// The body would be longer than [`MAX_BODY`]. Fatal.
    Length {
        /// The length in the header, in bytes.
        length: u32,
    },
    /// The frame is not of a frozen kind, and its version is not spoken here.
    Version {
        /// The kind in the header.
        kind: u8,
        /// The version in the header.
        version: u16,
    },
    /// There is no such request (for who reads requests), or no such reply (for who reads replies).
    Kind {
        /// The kind in the header.
        kind: u8,
    },
    /// The body ends before the message does, or has a length in it that goes beyond the body.
    Truncated {
        /// The kind in the header.
        kind: u8,
    },
    /// The body holds a value that may not stand there.
    Value {
        /// The kind in the header.
        kind: u8,
        /// What is wrong with the value.
        what: &'static str,
    },
}

impl Malformed {
    /// Whether the connection must be closed, because the next frame cannot be found.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Magic { .. } | Self::Length { .. })
    }

    /// What the side that was asked answers.
    #[must_use]
    pub fn reply(&self) -> Reply {
        if matches!(self, Self::Version { .. }) {
            Reply::Unsupported(Unsupported { min: MIN_VERSION, max: VERSION })
        } else {
            Reply::Refused(Refused { why: Why::Malformed, note: self.to_string() })
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic { found } => {
                write!(f, "frame begins with \"{}\", not \"INCB\"", found.escape_ascii())
            }
            Self::Length { length } => {
                write!(f, "body of {length} bytes, at most {MAX_BODY} are allowed")
            }
            Self::Version { kind, version } => {
                write!(f, "kind {kind} in version {version}, only {MIN_VERSION} to {VERSION} are spoken")
            }
            Self::Kind { kind } => write!(f, "unknown kind {kind}"),
            Self::Truncated { kind } => {
                write!(f, "body of kind {kind} ends before the message does")
            }
            Self::Value { kind, what } => write!(f, "body of kind {kind}: {what}"),
        }
    }
}

impl Error for Malformed {}

/// The message does not fit: over [`MAX_BODY`] bytes, or a list in it over [`MAX_LIST`] entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message of over {MAX_BODY} bytes, or with a list of over {MAX_LIST} entries")
    }
}

impl Error for TooLong {}
