//! The two standard streams. A reader that has gone is no failure: there is nobody left to tell.

use std::{
    fmt::Write as _,
    io::{self, ErrorKind, Write as _},
};

use incumbent::Error;
use serde::Serialize;

use crate::{background, spinner};

/// What an error about the standard output names as its path.
const STDOUT: &str = "standard output";

/// What the system said, if the error is about the standard output: no directory has anything to do with that.
pub(crate) fn is_own(error: &Error) -> Option<&io::Error> {
    match error {
        Error::Io { doing: "write to", path, source } if path.as_os_str() == STDOUT => Some(source),
        _ => None,
    }
}

/// Prints lines on the standard output at once. `false`: nobody reads them any more.
///
/// # Errors
/// They cannot be written (a full disk).
pub(crate) fn say(lines: &str) -> Result<bool, Error> {
    let mut out = io::stdout().lock();
    let written = out
        .write_all(lines.as_bytes())
        .and_then(|()| if lines.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") })
        .and_then(|()| out.flush());
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(source) => Err(Error::Io { doing: "write to", path: STDOUT.into(), source }),
    }
}

/// Prints lines on the standard error, or where the caller of a detached `run` waits; where that is closed, nobody is
/// told.
pub(crate) fn complain(lines: &str) {
    if background::says(lines) {
        return;
    }
    let mut lines = lines.to_owned();
    lines.push('\n');
    let _ = spinner::beside(|| io::stderr().lock().write_all(lines.as_bytes()));
}

/// Prints one JSON object on one line. As [`say`].
///
/// # Errors
/// As [`say`].
pub(crate) fn say_json(object: &impl Serialize) -> Result<bool, Error> {
    let line = serde_json::to_string(object).map_err(|error| Error::Io {
        doing: "write to",
        path: STDOUT.into(),
        source: error.into(),
    })?;
    say(&escaped(line))
}

/// JSON may carry control characters above U+007E as they are; a terminal should not.
fn escaped(json: String) -> String {
    let moves = |c: char| {
        c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c)
    };
    if !json.contains(moves) {
        return json;
    }
    json.chars().fold(String::new(), |mut line, c| {
        if moves(c) {
            let _ = write!(line, "\\u{:04x}", u32::from(c));
        } else {
            line.push(c);
        }
        line
    })
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn json_moves_no_cursor() {
        assert_eq!(escaped("\"a\u{9b}2J\u{202e}b\u{7f}ä\"".into()), r#""a\u009b2J\u202eb\u007fä""#);
    }
}
