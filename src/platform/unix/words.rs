//! Paths and words as a Unix has them.

use std::{
    io,
    path::{Path, PathBuf},
};

/// What is said of a process that the kernel gives no number for.
pub(crate) const UNNAMED_PROCESS: &str = if cfg!(target_os = "linux") {
    "a process in another pid namespace"
} else {
    "a process that the system does not name"
};

/// Resolves every link of a path that leads somewhere.
pub(crate) fn canonical(path: &Path) -> io::Result<PathBuf> {
    path.canonicalize()
}

/// What two ways to write the same path have in common: its bytes.
pub(crate) fn path_key(path: &Path) -> Vec<u8> {
    path.as_os_str().as_encoded_bytes().to_vec()
}

/// Tells whether the system keeps a file's name for itself: none.
pub(crate) fn is_reserved(_: &str) -> bool {
    false
}

/// Quotes a word for a shell where it needs that.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,~^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// What others may do with a file or a directory, for a sentence.
pub(crate) fn access_words(mode: u32) -> String {
    format!("mode {mode:04o}")
}

/// How it shows that others can write to a directory.
pub(crate) fn writable_words(mode: u32) -> String {
    format!("mode {mode:04o}, no sticky bit")
}

/// Names a user: by number, and by name where the system knows it.
pub(crate) fn user_words(uid: u32, name: Option<&str>) -> String {
    name.map_or_else(|| format!("uid {uid}"), |name| format!("{name} (uid {uid})"))
}

/// The user's number as it means something to others.
#[allow(clippy::unnecessary_wraps)] // Windows has none
pub(crate) fn user_number(uid: u32) -> Option<u32> {
    Some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_take_apart_is_in_single_quotes() {
        assert_eq!(quoted("/bin/gateway"), "/bin/gateway");
        assert_eq!(quoted("it's; ls"), r"'it'\''s; ls'");
        assert_eq!(quoted(""), "''");
    }
}
