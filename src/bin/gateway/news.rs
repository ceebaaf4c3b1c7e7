//! What the background process of `run --detach` tells the foreground one, until it is ready.
//!
//! A piece of news is one byte that says what it is, its words, and a zero byte; words have none. The end of the
//! connection without [`News::Ready`] is the end of the process.

use std::{
    io::{self, BufRead, Write},
    time::Duration,
};

/// What happened in the background.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// It says these lines.
    Says(String),
    /// It waits for this, so long at the most; for nothing any more, if it is empty.
    Waits(String, Option<Duration>),
    /// It has won the claim: from now on the log is its own.
    Won,
    /// It is ready.
    Ready,
}

impl News {
    /// Tells it, in one write.
    ///
    /// # Errors
    /// Nobody listens any more.
    pub(crate) fn tell(&self, to: &mut impl Write) -> io::Result<()> {
        let (kind, words) = match self {
            Self::Says(lines) => ('=', lines.clone()),
            Self::Waits(what, left) => {
                let left = left.map_or_else(String::new, |left| left.as_millis().to_string());
                ('~', format!("{left} {what}"))
            }
            Self::Won => ('w', String::new()),
            Self::Ready => ('r', String::new()),
        };
        to.write_all(format!("{kind}{}\0", words.replace('\0', "\u{fffd}")).as_bytes())
    }

    /// The next piece; none: there will be no more.
    pub(crate) fn next(from: &mut impl BufRead) -> Option<Self> {
        let mut piece = Vec::new();
        from.read_until(0, &mut piece).ok()?;
        // What was cut off in the middle was not told.
        let piece = String::from_utf8_lossy(piece.strip_suffix(&[0])?).into_owned();
        let words = piece.get(1..).unwrap_or_default();
        Some(match piece.chars().next()? {
            '=' => Self::Says(words.to_owned()),
            '~' => {
                let (left, what) = words.split_once(' ')?;
                Self::Waits(what.to_owned(), left.parse().ok().map(Duration::from_millis))
            }
            'w' => Self::Won,
            'r' => Self::Ready,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_arrive_as_they_were_told_and_what_is_cut_off_does_not() -> io::Result<()> {
        let all = [
            News::Says("two\nlines".into()),
            News::Waits("pid 7 to stop".into(), Some(Duration::from_millis(1500))),
            News::Waits(String::new(), None),
            News::Won,
            News::Ready,
        ];
        let mut bytes = Vec::new();
        all.iter().try_for_each(|news| news.tell(&mut bytes))?;
        bytes.extend(b"=killed while it sa");
        let mut from = bytes.as_slice();
        let heard: Vec<News> = std::iter::from_fn(|| News::next(&mut from)).collect();
        assert_eq!(heard, all);
        Ok(())
    }
}
