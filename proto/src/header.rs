//! The twelve bytes before every body.
//!
//! Invariant: this layout is the same in every version, so any reader can tell where a frame ends,
//! whatever it says. Only what makes that impossible (a foreign magic, a length over the limit) is
//! an error here; versions and kinds are judged with the message. Proven by `tests/golden.rs` and
//! `tests/malformed.rs`.

use crate::Malformed;

/// The first four bytes of every frame.
pub const MAGIC: [u8; 4] = *b"INCB";
/// The version of the protocol that this crate writes, and the newest it reads.
pub const VERSION: u16 = 1;
/// The oldest version of the protocol that this crate reads.
pub const MIN_VERSION: u16 = 1;
/// The length of a header, in bytes.
pub const HEADER_LEN: usize = 12;
/// The greatest length of a body, in bytes: 1 MiB.
pub const MAX_BODY: usize = 1 << 20;

/// What a frame says about its body, little endian on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header {
    /// The version of the protocol that the body is written in.
    pub version: u16,
    /// What the body is: a [`Kind`](crate::Kind), or one that this version does not know.
    pub kind: u8,
    /// Written as 0; readers ignore it.
    pub flags: u8,
    /// The length of the body, in bytes.
    pub length: u32,
}

impl Header {
    /// Reads a header, of whatever version and kind.
    ///
    /// # Errors
    ///
    /// [`Malformed::Magic`] and [`Malformed::Length`], both fatal for the connection.
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Self, Malformed> {
        let [m0, m1, m2, m3, v0, v1, kind, flags, l0, l1, l2, l3] = *bytes;
        let found = [m0, m1, m2, m3];
        if found != MAGIC {
            return Err(Malformed::Magic { found });
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        if length as usize > MAX_BODY {
            return Err(Malformed::Length { length });
        }
        Ok(Self { version: u16::from_le_bytes([v0, v1]), kind, flags, length })
    }

    /// Writes the header.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&self.version.to_le_bytes());
        bytes[6] = self.kind;
        bytes[7] = self.flags;
        bytes[8..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }
}
