//! The one-byte values in frozen messages.
//!
//! Invariant: a frozen message is read whatever its version, so a value that a newer program may
//! have added must mean something here: each of these says what an unknown one is taken for, and
//! none is an error. Proven by `tests/malformed.rs`.

use serde::{Deserialize, Serialize};

/// Why a holder is asked to stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
#[repr(u8)]
pub enum StopReason {
    /// 0: it shall end. Unknown values mean this.
    #[default]
    Stop = 0,
    /// 1: it shall make room for the one that asks.
    Replace = 1,
    /// 2: the same, whatever it has against it: a person insists.
    ReplaceAnyway = 2,
}

impl StopReason {
    /// Whether another wants to take its place.
    #[must_use]
    pub fn is_replace(self) -> bool {
        matches!(self, Self::Replace | Self::ReplaceAnyway)
    }
}

impl From<u8> for StopReason {
    fn from(byte: u8) -> Self {
        match byte {
            1 => Self::Replace,
            2 => Self::ReplaceAnyway,
            _ => Self::Stop,
        }
    }
}

impl From<StopReason> for u8 {
    fn from(reason: StopReason) -> Self {
        reason as Self
    }
}

/// What a holder says to a request to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
#[repr(u8)]
pub enum Outcome {
    /// 0: it will stop.
    Acknowledged = 0,
    /// 1: it has work in flight, and was asked to stop only if idle.
    Busy = 1,
    /// 2: it will not stop; the note says why. Unknown values mean this.
    Refused = 2,
}

impl From<u8> for Outcome {
    fn from(byte: u8) -> Self {
        match byte {
            0 => Self::Acknowledged,
            1 => Self::Busy,
            _ => Self::Refused,
        }
    }
}

impl From<Outcome> for u8 {
    fn from(outcome: Outcome) -> Self {
        outcome as Self
    }
}

/// How far a holder that stops has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
#[repr(u8)]
pub enum ProgressPhase {
    /// 0: it was not ready yet when it was asked.
    Starting = 0,
    /// 1: it has not begun to stop.
    Ready = 1,
    /// 2: it finishes what it has in flight. Unknown values mean this.
    Draining = 2,
    /// 3: it no longer holds the instance.
    Gone = 3,
}

impl From<u8> for ProgressPhase {
    fn from(byte: u8) -> Self {
        match byte {
            0 => Self::Starting,
            1 => Self::Ready,
            3 => Self::Gone,
            _ => Self::Draining,
        }
    }
}

impl From<ProgressPhase> for u8 {
    fn from(phase: ProgressPhase) -> Self {
        phase as Self
    }
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
#[repr(u8)]
pub enum Why {
    /// 0: the note says it. Unknown values mean this.
    Other = 0,
    /// 1: the one that asks may not.
    NotAllowed = 1,
    /// 2: the program takes no messages.
    NoMessages = 2,
    /// 3: the holder is stopping.
    Stopping = 3,
    /// 4: the request is not one.
    Malformed = 4,
    /// 5: too much is asked at once; again later.
    TooBusy = 5,
}

impl From<u8> for Why {
    fn from(byte: u8) -> Self {
        match byte {
            1 => Self::NotAllowed,
            2 => Self::NoMessages,
            3 => Self::Stopping,
            4 => Self::Malformed,
            5 => Self::TooBusy,
            _ => Self::Other,
        }
    }
}

impl From<Why> for u8 {
    fn from(why: Why) -> Self {
        why as Self
    }
}
