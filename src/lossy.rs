//! How paths and command lines stand in the record and the history: readable, and short enough to be read again.
//!
//! Invariants: a path or argument that is not UTF-8 never makes writing fail (its odd bytes become U+FFFD), and no
//! command line takes more than [`COMMAND_BYTES`] of JSON, so that a holder with megabytes of arguments still writes a
//! record that its readers accept. What is read back is for people: it is not what the program was given.
//! Proven by the tests below.

use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

/// What a command line may take of a record or a line of history.
pub(crate) const COMMAND_BYTES: usize = 4096;

/// For `#[serde(serialize_with = "lossy::path")]`.
pub(crate) fn path<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    path.to_string_lossy().serialize(serializer)
}

/// For `#[serde(serialize_with = "lossy::path_or_null")]`.
#[allow(clippy::ref_option)] // the signature that serde calls
pub(crate) fn path_or_null<S: Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.to_string_lossy()).serialize(serializer)
}

/// For `#[serde(serialize_with = "lossy::command")]`.
pub(crate) fn command<S: Serializer>(command: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(shortened(command))
}

/// The arguments that fit; `…` stands where the first that does not was cut.
pub(crate) fn shortened(command: &[String]) -> Vec<String> {
    let mut left = COMMAND_BYTES - "[…]".len();
    let mut kept = Vec::new();
    for argument in command {
        let Some(room) = left.checked_sub("\"\",".len()) else {
            break;
        };
        let (cut, room) = cut_to(argument, room);
        kept.push(cut.to_owned());
        left = room;
        if cut.len() < argument.len() {
            break;
        }
    }
    let is_cut =
        kept.len() < command.len() || kept.last().map(String::len) != command.last().map(String::len);
    if let Some(last) = kept.last_mut().filter(|_| is_cut) {
        last.push('…');
    }
    kept
}

/// The beginning of a text that takes at most `room` bytes of JSON, and the room that it leaves.
fn cut_to(text: &str, mut room: usize) -> (&str, usize) {
    for (at, character) in text.char_indices() {
        let Some(rest) = room.checked_sub(escaped_len(character)) else {
            return (&text[..at], 0);
        };
        room = rest;
    }
    (text, room)
}

/// What a character takes in JSON.
fn escaped_len(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => character.len_utf8(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_command_stays_as_it_is() {
        let command = ["program", "", "--flag", "a b"].map(String::from);
        assert_eq!(shortened(&command), command);
        assert!(shortened(&[]).is_empty());
    }

    #[test]
    fn long_argument_is_cut_where_it_no_longer_fits() {
        let command = ["program".to_owned(), "x".repeat(2_000_000), "last".to_owned()];
        let short = shortened(&command);
        assert_eq!(short.len(), 2);
        assert!(short[1].starts_with("xxx") && short[1].ends_with("x…"));
    }

    #[test]
    fn many_arguments_are_cut_and_the_cut_shows() {
        let short = shortened(&vec!["word".to_owned(); 100_000]);
        assert!(short.last().unwrap().ends_with('…'));
        assert!(serde_json::to_string(&short).unwrap().len() > COMMAND_BYTES / 2);
    }

    proptest! {
        #[test]
        fn no_command_takes_more_than_its_share(command: Vec<String>, times in 1_usize..200) {
            let command: Vec<String> = command.iter().map(|word| word.repeat(times)).collect();
            let short = shortened(&command);
            prop_assert!(serde_json::to_string(&short).unwrap().len() <= COMMAND_BYTES);
            let fits = serde_json::to_string(&command).unwrap().len() <= COMMAND_BYTES - 4;
            prop_assert!(!fits || short == command);
            prop_assert_eq!(shortened(&short), short, "read and written again it is the same");
        }
    }
}
