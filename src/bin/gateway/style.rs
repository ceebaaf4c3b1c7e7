//! Colour, for a terminal only. It never carries meaning: every word stands without it.
//!
//! `NO_COLOR` (<https://no-color.org>) and `CLICOLOR=0` take it away, `CLICOLOR_FORCE=1` keeps it in a pipe.

use std::io::{self, IsTerminal};

use anstyle::{AnsiColor, Style};
use incumbent::State;

/// How to write to a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    on: bool,
}

/// For the standard output.
pub(crate) fn stdout() -> Paint {
    Paint { on: wants_colour(io::stdout().is_terminal()) }
}

/// For the standard error.
pub(crate) fn stderr() -> Paint {
    Paint { on: wants_colour(io::stderr().is_terminal()) }
}

fn wants_colour(is_terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let is_zero = |value: &std::ffi::OsString| value == "0";
    if set("NO_COLOR").is_some() {
        return false;
    }
    if set("CLICOLOR_FORCE").is_some_and(|value| !is_zero(&value)) {
        return true;
    }
    is_terminal
        && !set("CLICOLOR").is_some_and(|value| is_zero(&value))
        && !set("TERM").is_some_and(|term| term == "dumb")
}

impl Paint {
    /// Whether there is colour at all.
    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    fn paint(self, style: Style, words: &str) -> String {
        if self.on { format!("{style}{words}{style:#}") } else { words.to_owned() }
    }

    /// What stands before a value.
    pub(crate) fn label(self, words: &str) -> String {
        self.paint(Style::new().dimmed(), words)
    }

    /// What matters most.
    pub(crate) fn strong(self, words: &str) -> String {
        self.paint(Style::new().bold(), words)
    }

    /// What went wrong.
    pub(crate) fn bad(self, words: &str) -> String {
        self.paint(AnsiColor::Red.on_default().bold(), words)
    }

    /// What to do.
    pub(crate) fn hint(self, words: &str) -> String {
        self.paint(AnsiColor::Cyan.on_default(), words)
    }

    /// A word that says how an instance is.
    pub(crate) fn state(self, state: State, words: &str) -> String {
        let colour = match state {
            State::Ready => AnsiColor::Green,
            State::Starting | State::Draining | State::Unknown => AnsiColor::Yellow,
            State::Crashed | State::Unresponsive => AnsiColor::Red,
            _ => return self.strong(words),
        };
        self.paint(colour.on_default().bold(), words)
    }
}
