//! Bodies to bytes and back: the only file that knows bincode.
//!
//! Invariant: what is written is at most [`MAX_BODY`] bytes, and what is read never allocates on
//! the word of a length that the body or the limit does not cover. Bytes after the message are
//! ignored. `PROTOCOL.md` writes the format down, so another encoder can take this one's place.
//! Proven by `tests/golden.rs` and `tests/memory.rs`.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{MAX_BODY, Malformed, TooLong};

const CONFIG: Configuration<LittleEndian, Fixint, Limit<MAX_BODY>> =
    bincode::config::legacy().with_limit::<MAX_BODY>();

/// What nearly every body stays below.
const SHORT: usize = 4096;

/// Appends the body of a message to a frame.
pub(crate) fn encode<M: Serialize>(message: &M, frame: &mut Vec<u8>) -> Result<(), TooLong> {
    let room = MAX_BODY;
    bincode::serde::encode_into_writer(message, Bounded { frame, room }, CONFIG).map_err(|_| TooLong)
}

/// Reads the body of a message of this kind.
pub(crate) fn decode<M: DeserializeOwned>(kind: u8, body: &[u8]) -> Result<M, Malformed> {
    // bincode reserves what a length says before it looks whether so much is there, up to the limit that it is given.
    let read = match body.len() {
        ..=SHORT => bincode::serde::decode_from_slice(body, CONFIG.with_limit::<SHORT>()),
        _ => bincode::serde::decode_from_slice(body, CONFIG),
    };
    match read {
        Ok((message, _read)) => Ok(message),
        Err(error) => Err(malformed(kind, &error)),
    }
}

fn malformed(kind: u8, error: &DecodeError) -> Malformed {
    let what = match error {
        // A length that no body can hold goes beyond this body, too.
        DecodeError::UnexpectedEnd { .. }
        | DecodeError::LimitExceeded
        | DecodeError::OutsideUsizeRange(_) => {
            return Malformed::Truncated { kind };
        }
        DecodeError::Utf8 { .. } => "text that is not UTF-8",
        DecodeError::UnexpectedVariant { .. } => "an option that is neither absent (0) nor present (1)",
        // The messages' own: a list over `MAX_LIST`, a phase that there is not.
        _ => "a value out of its range",
    };
    Malformed::Value { kind, what }
}

/// A writer that stops at the limit instead of first making a frame that nobody may send.
struct Bounded<'a> {
    frame: &'a mut Vec<u8>,
    room: usize,
}

impl Writer for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.room = self.room.checked_sub(bytes.len()).ok_or(EncodeError::UnexpectedEnd)?;
        self.frame.extend_from_slice(bytes);
        Ok(())
    }
}
