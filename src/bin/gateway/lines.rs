//! Aligned lines: a label, and a value beside it.

use std::io::{self, IsTerminal};

use crate::style::{self, Paint};

/// On a terminal long values are broken here, so that they stay beside their labels; a file gets them whole.
const WIDTH: usize = 100;

/// Labels and values, in order.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rows: Vec<(&'static str, String)>,
}

impl Lines {
    /// Adds a line.
    pub(crate) fn add(&mut self, label: &'static str, value: impl Into<String>) {
        self.rows.push((label, value.into()));
    }

    /// Adds a line if there is something to say.
    pub(crate) fn add_some(&mut self, label: &'static str, value: Option<String>) {
        if let Some(value) = value {
            self.add(label, value);
        }
    }

    /// All of them, for the standard output.
    pub(crate) fn render(&self) -> String {
        let width = if io::stdout().is_terminal() { WIDTH } else { usize::MAX };
        self.render_for(width, style::stdout())
    }

    fn render_for(&self, width: usize, paint: Paint) -> String {
        let longest = self.rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for (label, value) in &self.rows {
            let padding = " ".repeat(longest - label.chars().count() + 2);
            let indent = format!("\n{}", " ".repeat(longest + 2));
            let value = broken(value, width.saturating_sub(longest + 2)).join(&indent);
            text.push_str(&format!("{}{padding}{value}\n", paint.label(label)));
        }
        text
    }
}

/// Breaks a text between words, into lines of at most so many characters where it has such places.
fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::broken;

    #[test]
    fn values_are_broken_between_words_only() {
        assert_eq!(broken("one two three", 7), ["one two", "three"]);
        assert_eq!(broken("a-very-long-word b", 4), ["a-very-long-word", "b"]);
        assert_eq!(broken("as it  is", usize::MAX), ["as it  is"]);
    }
}
