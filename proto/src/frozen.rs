//! The messages that never change: any program can always find out about any other, and stop it.
//!
//! Invariant: fields and their order stay as they are in every version. What they need beyond that
//! goes into a new kind. Proven by `tests/golden.rs` and `PROTOCOL.md`.

use serde::{Deserialize, Serialize};

use crate::{Outcome, ProgressPhase, StopReason, Why, bytes};

/// Asks whether the holder is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// Random bytes, which the pong repeats.
    #[serde(with = "bytes::sixteen")]
    pub nonce: [u8; 16],
}

/// Proves that the holder is there, and says what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// The nonce of the ping.
    #[serde(with = "bytes::sixteen")]
    pub nonce: [u8; 16],
    /// Random bytes, new with every claim that is won.
    #[serde(with = "bytes::sixteen")]
    pub instance_id: [u8; 16],
    /// The instance's name.
    pub name: String,
    /// The instance's directory; none when the holder's path no longer leads to one.
    pub dir: Option<DirId>,
}

/// A directory, as the holder's own path resolves at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DirId {
    /// The number of its device.
    pub dev: u64,
    /// The number of its inode.
    pub ino: u64,
}

/// Asks who the holder is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identify {}

/// Says who the holder is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The holder's process id, in its own pid namespace.
    pub pid: u32,
    /// Random bytes, new with every claim that is won.
    #[serde(with = "bytes::sixteen")]
    pub instance_id: [u8; 16],
    /// The program's version.
    pub version: String,
    /// The oldest version of the protocol that the holder reads.
    pub min_protocol: u16,
    /// The newest version of the protocol that the holder reads.
    pub max_protocol: u16,
    /// The instance's name.
    pub name: String,
    /// The generation: a number that grows with every claim that is won.
    pub generation: u64,
    /// When the claim was won, in microseconds since 1970 (UTC).
    pub started_at_us: i64,
}

/// Asks the holder to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Whether it shall end, or make room.
    pub reason: StopReason,
    /// Whether it shall stop only when it has no work in flight.
    pub if_idle: bool,
    /// The time it gets, in milliseconds; [`Stop::HOLDERS_GRACE`] leaves that to the holder.
    pub grace_ms: u64,
    /// The process id of the one that asks.
    pub pid: u32,
    /// The command line of the one that asks, for people.
    pub command: String,
}

impl Stop {
    /// The grace that leaves the choice to the holder.
    pub const HOLDERS_GRACE: u64 = u64::MAX;
}

/// Says whether the holder will stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// Whether it will.
    pub outcome: Outcome,
    /// The time it has from now on, in milliseconds; 0 unless acknowledged.
    pub grace_ms: u64,
    /// The number of pieces of work in flight.
    pub busy: u64,
    /// A sentence for people: why not, or what it has to finish. May be empty.
    pub note: String,
}

/// Says how far the holder has come, after it acknowledged a stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// How far it is.
    pub phase: ProgressPhase,
    /// The time that is left of the grace, in milliseconds.
    pub remaining_ms: u64,
    /// The number of pieces of work in flight, if it counts them.
    pub busy: Option<u64>,
    /// A sentence for people. May be empty.
    pub note: String,
}

/// Says that the request will not be answered otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub why: Why,
    /// A sentence for people. May be empty.
    pub note: String,
}

/// Says that the version of the request is not spoken here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Unsupported {
    /// The oldest version that is.
    pub min: u16,
    /// The newest version that is.
    pub max: u16,
}
