//! The instance id: 16 random bytes, new with every claim that is won.
//!
//! Invariant: two holders never share one, so it, not the pid, says whether this is still the same holder.
//! It does not name the instance (that is its name in its directory), and it is no secret. Proven by the tests below.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Says which holder: random, new with every claim that is won.
///
/// Written as 32 hexadecimal digits, in text and in JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId([u8; 16]);

impl InstanceId {
    /// Makes a new one from the system's random numbers.
    pub(crate) fn random() -> io::Result<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|error| io::Error::other(format!("cannot make an instance id: {error}")))?;
        Ok(Self(bytes))
    }

    /// Takes it from the wire.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Gives it to the wire.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstanceId({self})")
    }
}

/// Says that a text is not an instance id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnInstanceId;

impl fmt::Display for NotAnInstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an instance id has 32 hexadecimal digits")
    }
}

impl std::error::Error for NotAnInstanceId {}

impl FromStr for InstanceId {
    type Err = NotAnInstanceId;

    fn from_str(text: &str) -> Result<Self, NotAnInstanceId> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotAnInstanceId);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| NotAnInstanceId)?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl Serialize for InstanceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for InstanceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_random_ids_differ() {
        assert_ne!(InstanceId::random().unwrap(), InstanceId::random().unwrap());
    }

    #[test]
    fn it_is_written_as_32_digits_with_leading_zeros() {
        let mut bytes = [0; 16];
        bytes[15] = 0xaf;
        let id = InstanceId::from_bytes(bytes);
        assert_eq!(id.to_string(), "000000000000000000000000000000af");
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"000000000000000000000000000000af\"");
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "af",
            "+00000000000000000000000000000af",
            "0000000000000000000000000000000g",
            "éééééééééééééééé",
        ] {
            assert_eq!(text.parse::<InstanceId>(), Err(NotAnInstanceId), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_id_survives_text_and_json(bytes: [u8; 16]) {
            let id = InstanceId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(serde_json::from_str::<InstanceId>(&json).unwrap(), id);
        }

        #[test]
        fn any_text_is_an_id_or_refused(text in "\\PC*") {
            let _ = text.parse::<InstanceId>();
        }
    }
}
