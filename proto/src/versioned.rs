//! The messages of this version of the protocol: a frame of another version is not read as one of
//! these.
//!
//! Invariant: fields are only ever added, at the end. What a reader does not know there, it
//! ignores. Proven by `tests/golden.rs` and `tests/decoder.rs`.

use serde::{Deserialize, Serialize};

use crate::{StopReason, bytes};

/// Asks how the holder is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRequest {}

/// Asks how the holder is, now and at every change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {}

/// What the holder is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// 0: it holds the instance, and is not ready yet.
    Starting,
    /// 1: it does its work.
    Ready,
    /// 2: it stops, and finishes what it has in flight.
    Draining,
}

/// Says how the holder is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusReply {
    /// What it is doing.
    pub phase: Phase,
    /// Its process id, in its own pid namespace.
    pub pid: u32,
    /// Random bytes, new with every claim that is won.
    #[serde(with = "bytes::sixteen")]
    pub instance_id: [u8; 16],
    /// The generation: a number that grows with every claim that is won.
    pub generation: u64,
    /// When the claim was won, in microseconds since 1970 (UTC).
    pub started_at_us: i64,
    /// The time since then, in microseconds on a monotonic clock.
    pub uptime_us: u64,
    /// The program's version.
    pub version: String,
    /// Its command line, one entry an argument: on Unix as the system has it, on Windows in UTF-8.
    #[serde(with = "bytes::list")]
    pub command: Vec<Vec<u8>>,
    /// What it says about itself.
    pub note: Option<String>,
    /// The number of pieces of work in flight, if it counts them.
    pub busy: Option<u64>,
    /// The service manager that started it: `systemd`, `launchd`.
    pub supervisor: Option<String>,
    /// Its resident memory, in bytes.
    pub rss_bytes: Option<u64>,
    /// Its use of the processor, in percent of one core.
    pub cpu_percent: Option<f64>,
    /// How long its own event loop takes to answer, in microseconds.
    pub lag_us: Option<u64>,
    /// The program that it runs and watches.
    pub child: Option<Child>,
    /// What is wrong, in a sentence.
    pub problem: Option<String>,
}

/// The program that a holder runs and watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// Its process id, in the holder's pid namespace.
    pub pid: u32,
    /// Its command line, one entry an argument: on Unix as the system has it, on Windows in UTF-8.
    #[serde(with = "bytes::list")]
    pub command: Vec<Vec<u8>>,
}

/// Hands a message to the holder's program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Send {
    /// The arguments: on Unix as the system has them, on Windows in UTF-8.
    #[serde(with = "bytes::list")]
    pub args: Vec<Vec<u8>>,
    /// The sender's working directory: on Unix as the system has it, on Windows in UTF-8.
    #[serde(with = "bytes::one")]
    pub cwd: Vec<u8>,
    /// What else the message carries.
    #[serde(with = "bytes::one")]
    pub body: Vec<u8>,
}

/// What the holder's program answers to a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The exit code for the sender.
    pub code: i32,
    /// What the sender prints.
    #[serde(with = "bytes::one")]
    pub body: Vec<u8>,
}

/// Asks what the holder hands over, on the connection on which it will be asked to make room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// As it will be given then: [`StopReason::Replace`], or [`StopReason::ReplaceAnyway`].
    pub reason: StopReason,
    /// Whether the asker is going to be ready before it asks, while the holder still does its work. A request to make room
    /// that follows on this connection says that it is: let go of the instance first, and drain then.
    pub overlap: bool,
    /// The process id of the one that asks.
    pub pid: u32,
    /// The command line of the one that asks, for people.
    pub command: String,
}

/// The greatest number of sockets that are handed over.
pub const MAX_OFFERED: usize = 64;

/// What the holder hands over. On Unix a descriptor for each socket comes beside the first byte of the frame, in their
/// order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// The names of the listening sockets, at most [`MAX_OFFERED`].
    #[serde(with = "bytes::list")]
    pub names: Vec<Vec<u8>>,
    /// Where each of them listens, in the words of the holder's program.
    #[serde(with = "bytes::list")]
    pub addresses: Vec<Vec<u8>>,
    /// What else the holder's program gives its successor.
    #[serde(with = "bytes::one")]
    pub state: Vec<u8>,
    /// Windows: for each socket, what the asker makes one of; elsewhere none.
    #[serde(with = "bytes::list")]
    pub descriptions: Vec<Vec<u8>>,
}

/// Says that the asker of a handover does not take the holder's place after all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdraw {
    /// Why, in a sentence for people. May be empty.
    pub why: String,
}

/// Says that the holder has taken note of that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawn {}
