//! Paths and words as Windows has them.

use std::{
    io,
    path::{Path, PathBuf},
};

/// What is said of a process that is there and not named.
pub(crate) const UNNAMED_PROCESS: &str = "a process that Windows does not name";

/// Resolves every link of a path that leads somewhere, with the letter case that is on the disk, and without `\\?\` where
/// nothing needs it (the crate dunce).
pub(crate) fn canonical(path: &Path) -> io::Result<PathBuf> {
    dunce::canonicalize(path)
}

/// What two ways to write the same path have in common: neither slashes nor letter case tell two of them apart.
///
/// A directory may be made to tell letter case apart (for Linux programs). Two that differ in it alone share this key,
/// and a pong says which of them it is about.
pub(crate) fn path_key(path: &Path) -> Vec<u8> {
    path.to_string_lossy().replace('/', "\\").to_lowercase().into_bytes()
}

/// Tells whether a file of this name, whatever its extension, would be a device ("Naming Files, Paths, and Namespaces",
/// Microsoft Learn).
pub(crate) fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    let numbered = |start: &str| {
        stem.strip_prefix(start).is_some_and(|digit| digit.len() == 1 && digit.as_bytes()[0].is_ascii_digit())
    };
    matches!(stem, "con" | "prn" | "aux" | "nul") || numbered("com") || numbered("lpt")
}

/// Quotes a word where `cmd.exe` or PowerShell would not take it as it is: in double quotes, which both know.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:\\=+,~".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("\"{}\"", word.replace('"', "\\\""))
    }
}

/// What others may do with a file or a directory, for a sentence.
pub(crate) fn access_words(mode: u32) -> String {
    let words = match (mode & 0o022 != 0, mode & 0o044 != 0) {
        (true, _) => "others can change it",
        (false, true) => "others can read it",
        (false, false) => "for its owner alone",
    };
    words.to_owned()
}

/// How it shows that others can write to a directory.
pub(crate) fn writable_words(_: u32) -> String {
    "its list of permissions lets them".to_owned()
}

/// Names a user, by name or by SID; the number is this process's own.
pub(crate) fn user_words(_: u32, name: Option<&str>) -> String {
    name.map_or_else(|| "a user without a name".to_owned(), str::to_owned)
}

/// A user has no number that means something to others.
pub(crate) fn user_number(_: u32) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_take_apart_is_in_double_quotes() {
        assert_eq!(quoted(r"C:\bin\gateway.exe"), r"C:\bin\gateway.exe");
        assert_eq!(quoted("it's; ls"), "\"it's; ls\"");
        assert_eq!(quoted(""), "\"\"");
    }

    #[test]
    fn names_of_devices_are_reserved_with_any_extension() {
        assert!(["nul", "con.x", "com1", "lpt9.a.b", "aux"].into_iter().all(is_reserved));
        assert!(!["null", "com", "com10", "a.nul", "console"].into_iter().any(is_reserved));
    }
}
