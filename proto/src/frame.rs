//! From pieces of a stream to whole frames, without I/O.
//!
//! Invariant: a header is judged as soon as it is there, memory follows what was fed (never what a
//! header promises), and after a fatal error nothing more is kept. Does not look into bodies.
//! Proven by `tests/decoder.rs`, `tests/malformed.rs` and `tests/memory.rs`.

use crate::{HEADER_LEN, Header, Malformed};

/// A header and the body that it announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What the frame says about its body.
    pub header: Header,
    /// The body, `header.length` bytes.
    pub body: Vec<u8>,
}

/// Collects the pieces of a stream and gives out its frames.
///
/// Take every frame that is there before feeding the next piece: then it never holds more than one
/// frame and that piece.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
    /// How much of `bytes` was given out.
    taken: usize,
    /// The fatal error, once there was one.
    broken: Option<Malformed>,
}

impl FrameBuffer {
    /// Makes an empty buffer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece of the stream, of any length.
    pub fn extend(&mut self, piece: &[u8]) {
        if self.broken.is_some() {
            return;
        }
        if self.taken > 0 {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        let needed = self.bytes.len() + piece.len();
        if needed > self.bytes.capacity() {
            // Doubles, so that a byte at a time stays cheap, but not beyond the end of the frame.
            let end = match self.header() {
                Some(Ok(header)) => HEADER_LEN + header.length as usize,
                _ => needed,
            };
            let capacity = (2 * self.bytes.capacity()).min(end).max(needed);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
    }

    /// Takes the next frame out, if it is whole.
    ///
    /// # Errors
    ///
    /// [`Malformed::Magic`] and [`Malformed::Length`], both fatal: every later call gives the same
    /// error, and pieces are dropped.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Malformed> {
        if let Some(fatal) = &self.broken {
            return Err(fatal.clone());
        }
        let header = match self.header() {
            None => return Ok(None),
            Some(Ok(header)) => header,
            Some(Err(fatal)) => {
                *self = Self { broken: Some(fatal.clone()), ..Self::default() };
                return Err(fatal);
            }
        };
        let start = self.taken + HEADER_LEN;
        let end = start + header.length as usize;
        let Some(body) = self.bytes.get(start..end) else {
            return Ok(None);
        };
        let body = body.to_vec();
        if end == self.bytes.len() {
            *self = Self::default();
        } else {
            self.taken = end;
        }
        Ok(Some(Frame { header, body }))
    }

    /// Whether the stream stops in the middle of a frame, once [`next_frame`](Self::next_frame) has
    /// given all it has.
    #[must_use]
    pub fn is_mid_frame(&self) -> bool {
        self.taken < self.bytes.len()
    }

    /// How much memory it keeps, in bytes.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.bytes.capacity()
    }

    /// The header of the next frame, if it is there.
    fn header(&self) -> Option<Result<Header, Malformed>> {
        self.bytes[self.taken..].first_chunk().map(Header::parse)
    }
}
