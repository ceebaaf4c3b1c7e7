//! What instances of a program say to each other.
//!
//! This crate turns messages into bytes and bytes into messages, and does nothing else: it has no
//! I/O, no clock and no threads. `PROTOCOL.md` beside it says the same for readers of other
//! languages, with byte-for-byte examples that a test holds against this code.
//!
//! Read it in this order:
//! - [`Header`] and [`Kind`]: the twelve bytes that every version can read, and what a frame is;
//! - [`FrameBuffer`]: from pieces of a stream to [`Frame`]s;
//! - [`Request`] and [`Reply`]: from frames to messages, and back to bytes;
//! - the messages that never change ([`Ping`] to [`Unsupported`]) and those of one version
//!   ([`StatusRequest`] to [`Withdrawn`]);
//! - [`Malformed`] and [`TooLong`]: what can be wrong.
//!
//! # Example
//!
//! ```
//! use incumbent_proto::{FrameBuffer, Ping, Request};
//!
//! let sent = Request::Ping(Ping { nonce: *b"0123456789abcdef" });
//! let mut received = FrameBuffer::new();
//! for piece in sent.encode()?.chunks(5) {
//!     received.extend(piece);
//! }
//! let frame = received.next_frame()?.expect("the frame is whole");
//! assert_eq!(Request::decode(&frame)?, sent);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

mod bytes;
mod codec;
mod codes;
mod frame;
mod frozen;
mod header;
mod kind;
mod malformed;
mod messages;
mod versioned;

pub use bytes::MAX_LIST;
pub use codes::{Outcome, ProgressPhase, StopReason, Why};
pub use frame::{Frame, FrameBuffer};
pub use frozen::{DirId, Identify, Identity, Ping, Pong, Progress, Refused, Stop, Stopping, Unsupported};
pub use header::{HEADER_LEN, Header, MAGIC, MAX_BODY, MIN_VERSION, VERSION};
pub use kind::Kind;
pub use malformed::{Malformed, TooLong};
pub use messages::{Reply, Request};
pub use versioned::{
    Answer, Child, Handover, MAX_OFFERED, Offered, Phase, Send, StatusReply, StatusRequest, Watch, Withdraw,
    Withdrawn,
};
