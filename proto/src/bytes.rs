//! Byte strings, lists of them, and ids, for `#[serde(with = "…")]`.
//!
//! Left alone, serde reads and writes a `Vec<u8>` or an array byte by byte; here it goes in one piece,
//! with the same bytes on the wire. A list costs more in memory (24 bytes an entry) than on the wire (8), so
//! its entries are limited: that keeps every single allocation below the limit of a body. Proven by
//! `tests/memory.rs`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// The greatest number of entries in a list of byte strings (a command, arguments).
pub const MAX_LIST: usize = 1 << 15;

/// Sixteen bytes, in one piece: as the number that has them on the wire, least significant first.
pub(crate) mod sixteen {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8; 16], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u128(u128::from_le_bytes(*bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; 16], D::Error> {
        u128::deserialize(from).map(u128::to_le_bytes)
    }
}

/// A `Vec<u8>`, written in one piece.
pub(crate) mod one {
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        from.deserialize_bytes(super::OneVisitor)
    }
}

/// A `Vec<Vec<u8>>` of at most [`MAX_LIST`] entries, each written in one piece.
pub(crate) mod list {
    use serde::ser::{Error, SerializeSeq};
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(list: &[Vec<u8>], to: S) -> Result<S::Ok, S::Error> {
        if list.len() > super::MAX_LIST {
            return Err(S::Error::custom("list too long"));
        }
        let mut entries = to.serialize_seq(Some(list.len()))?;
        for entry in list {
            entries.serialize_element(&super::Piece(entry))?;
        }
        entries.end()
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Vec<u8>>, D::Error> {
        from.deserialize_seq(super::ListVisitor)
    }
}

struct Piece<'a>(&'a [u8]);

impl serde::Serialize for Piece<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        one::serialize(self.0, to)
    }
}

struct OwnPiece(Vec<u8>);

impl<'de> Deserialize<'de> for OwnPiece {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        one::deserialize(from).map(Self)
    }
}

/// So many entries get room on a promise; for more the first ones must be there.
const FEW: usize = 512;

struct OneVisitor;

impl Visitor<'_> for OneVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte string")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = Vec<Vec<u8>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX_LIST} byte strings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<Vec<u8>>, A::Error> {
        let length = entries.size_hint().unwrap_or(0);
        if length > MAX_LIST {
            return Err(A::Error::invalid_length(length, &self));
        }
        let mut list = Vec::with_capacity(length.min(FEW));
        while let Some(OwnPiece(entry)) = entries.next_element()? {
            if list.len() == MAX_LIST {
                return Err(A::Error::invalid_length(MAX_LIST + 1, &self));
            }
            if list.len() == FEW {
                list.reserve_exact(length.saturating_sub(FEW));
            }
            list.push(entry);
        }
        Ok(list)
    }
}
