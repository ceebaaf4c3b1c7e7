//! Words for people: what comes from outside is made safe to show, and numbers are said as people say them.
//!
//! Control characters never reach a terminal from a name, a path, a note or a command line.

use std::{
    ffi::{OsStr, OsString},
    fmt::Write as _,
    io,
    path::Path,
    time::Duration,
};

use crate::process::Process;

/// Replaces control characters, so that text from outside cannot move a cursor or forge a line.
#[must_use]
pub fn shown(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control()
                || ('\u{202a}'..='\u{202e}').contains(&c)
                || ('\u{2066}'..='\u{2069}').contains(&c)
            {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// Shows a path, safely.
#[must_use]
pub fn shown_path(path: &Path) -> String {
    shown(&path.to_string_lossy())
}

/// Shows a command line as a shell would read it back, cut at about `limit` characters.
#[must_use]
pub fn command(words: &[OsString], limit: usize) -> String {
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&quoted(word));
        if line.chars().count() > limit {
            let mut cut: String = line.chars().take(limit.saturating_sub(1)).collect();
            cut.push('…');
            return cut;
        }
    }
    line
}

/// Quotes a word for a shell where it needs that.
#[must_use]
pub fn quoted(word: &OsStr) -> String {
    let word = shown(&word.to_string_lossy());
    crate::platform::quoted(&word)
}

/// What the system answered, without the number that Rust puts behind it, and without a full stop (Windows).
#[must_use]
pub fn system_words(error: &io::Error) -> String {
    let words = error.to_string();
    let end = words.find(" (os error").unwrap_or(words.len());
    // `%1` stands in some of Windows' sentences for what it was about.
    let mut words = shown(words[..end].trim_end_matches('.')).replace("%1", "it");
    if words.chars().nth(1).is_some_and(char::is_lowercase) {
        let first: String = words.chars().take(1).flat_map(char::to_lowercase).collect();
        words.replace_range(..words.chars().next().map_or(0, char::len_utf8), &first);
    }
    words
}

/// Names a user with the number, and with the name where the system knows it.
#[must_use]
pub fn user(uid: u32) -> String {
    let name = crate::platform::user_name(uid);
    crate::platform::user_words(uid, name.as_deref().map(shown).as_deref())
}

/// What is said of a process that is there, and of which the system tells no number here.
#[must_use]
pub fn unnamed_process() -> &'static str {
    crate::platform::UNNAMED_PROCESS
}

/// Names processes by their numbers and commands: `pid 41 (sleep 9) and pid 42 (cat)`; of many, the first three.
#[must_use]
pub fn processes(all: &[Process]) -> String {
    const MOST: usize = 3;
    let one = |process: &Process| match process.command.as_slice() {
        [] if process.name.is_empty() => format!("pid {}", process.pid),
        [] => format!("pid {} ({})", process.pid, shown(&process.name)),
        words => format!("pid {} ({})", process.pid, command(words, 60)),
    };
    let mut named: Vec<String> = all.iter().take(MOST).map(one).collect();
    if all.len() > MOST {
        named.push(format!("{} more", all.len() - MOST));
    }
    let last = named.pop().unwrap_or_default();
    if named.is_empty() { last } else { format!("{} and {last}", named.join(", ")) }
}

/// Says a duration as people do: `2 h 13 min`, `41 s`, `1.3 s`, `250 ms`, `80 µs`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    let mut said = String::new();
    let two = |said: &mut String, a: u64, a_unit: &str, b: u64, b_unit: &str| {
        let _ = write!(said, "{a} {a_unit}");
        if b > 0 {
            let _ = write!(said, " {b} {b_unit}");
        }
    };
    match seconds {
        86_400.. => two(&mut said, seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
        3_600.. => two(&mut said, seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        60.. => two(&mut said, seconds / 60, "min", seconds % 60, "s"),
        10.. => two(&mut said, seconds, "s", 0, ""),
        1.. => {
            let tenths = time.as_millis() / 100;
            let _ = if tenths % 10 == 0 {
                write!(said, "{} s", tenths / 10)
            } else {
                write!(said, "{}.{} s", tenths / 10, tenths % 10)
            };
        }
        0 => match time.as_micros() {
            micros @ 1_000.. => {
                let _ = write!(said, "{} ms", micros / 1_000);
            }
            micros => {
                let _ = write!(said, "{micros} µs");
            }
        },
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_as_people_say_them() {
        let said: Vec<String> =
            [0, 80, 250_000, 1_000_000, 1_340_000, 41_900_000, 61_000_000, 7_980_000_000, 90_000_000_000]
                .map(|us| duration(Duration::from_micros(us)))
                .into();
        assert_eq!(
            said,
            ["0 µs", "80 µs", "250 ms", "1 s", "1.3 s", "41 s", "1 min 1 s", "2 h 13 min", "1 d 1 h"]
        );
    }

    #[test]
    fn many_processes_are_counted() {
        let all: Vec<Process> = (41..46)
            .map(|pid| Process { command: vec![format!("job{pid}").into()], ..Process::unknown(pid) })
            .collect();
        assert_eq!(processes(&all[..1]), "pid 41 (job41)");
        assert_eq!(processes(&all[..2]), "pid 41 (job41) and pid 42 (job42)");
        assert_eq!(processes(&all), "pid 41 (job41), pid 42 (job42), pid 43 (job43) and 2 more");
        assert_eq!(processes(&[Process::unknown(7)]), "pid 7");
    }

    #[test]
    fn text_from_outside_moves_no_cursor() {
        assert_eq!(shown("a\x1b[2Jb\nc\u{202e}d"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d");
    }

    #[test]
    fn command_lines_are_quoted_and_cut() {
        let words: Vec<OsString> = ["sh", "-c", "it's; ls", ""].map(OsString::from).into();
        let line = format!("sh -c {} {}", quoted("it's; ls".as_ref()), quoted("".as_ref()));
        assert_eq!(command(&words, 80), line);
        assert_eq!(command(&words, 6), "sh -c…");
    }

    #[test]
    fn system_words_carry_no_numbers() {
        let words = system_words(&crate::platform::testing::denied());
        assert!(
            ["permission denied", "access denied", "access is denied"].contains(&words.as_str()),
            "{words}"
        );
    }
}
