//! What is waited for, on a terminal, once a wait has lasted half a second: `⠋ waiting for pid 4711 to stop (27 s left)`.
//!
//! The line is drawn by a thread of its own, because what waits blocks in the library, and the time counts on between
//! two messages. It is gone when the spinner is dropped. Whatever else is printed meanwhile goes through
//! [`beside`], which takes the line away and puts it back. Where the standard error is no terminal, or a dumb one,
//! nothing is drawn and no thread started: [`Spinner::is_seen`] says so, and lines are printed as ever. In the background
//! (`run --detach`) the words go to the one who waits in the foreground, and it draws.
//!
//! No colour, so that `NO_COLOR` has nothing to take away; and no control sequence but the carriage return, so that it is
//! the same on every terminal. Proven by `tests/spinner.rs`.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use incumbent::text;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::{background, times::rounded};

/// A wait that is over sooner is not worth a word.
const WORTH_IT: Duration = Duration::from_millis(500);
/// How often the line is drawn.
const TICK: Duration = Duration::from_millis(100);
/// From when on it is said for how long it has been waited already.
const LONG: Duration = Duration::from_secs(2);

const DOTS: &[char] = &['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
/// For terminals that have no such letters.
const STROKES: &[char] = &['|', '/', '-', '\\'];
/// Where the system does not tell how wide the terminal is.
const USUAL_WIDTH: u16 = 80;

/// The line that is on the terminal now; empty: none.
static DRAWN: Mutex<String> = Mutex::new(String::new());

/// A wait that is shown until this is dropped.
#[derive(Debug)]
#[must_use = "what is waited for is shown until it is dropped"]
pub(crate) struct Spinner {
    said: Arc<Mutex<Said>>,
    shown: Shown,
}

/// What is waited for, since when, and until when at the most.
#[derive(Debug)]
struct Said {
    what: String,
    since: Instant,
    until: Option<Instant>,
}

#[derive(Debug)]
enum Shown {
    Nowhere,
    InTheForeground,
    Here { over: Option<Sender<()>>, thread: Option<JoinHandle<()>> },
}

impl Spinner {
    /// Shows `waiting for …`, if that lasts.
    pub(crate) fn waiting_for(what: impl Into<String>) -> Self {
        let said = Arc::new(Mutex::new(Said { what: what.into(), since: Instant::now(), until: None }));
        let shown = match background::caller_is_terminal() {
            Some(true) => Shown::InTheForeground,
            Some(false) => Shown::Nowhere,
            None if is_drawable() => draw_here(&said),
            None => Shown::Nowhere,
        };
        let spinner = Self { said, shown };
        spinner.pass_on();
        spinner
    }

    /// Whether a person can see it. If not, what it would say may be worth a line.
    pub(crate) fn is_seen(&self) -> bool {
        !matches!(self.shown, Shown::Nowhere)
    }

    /// Waits for something else from now on, or for the same in other words; until then at the most.
    pub(crate) fn set(&self, what: impl Into<String>, until: Option<Instant>) {
        let mut said = lock(&self.said);
        (said.what, said.until) = (what.into(), until);
        drop(said);
        self.pass_on();
    }

    fn pass_on(&self) {
        if matches!(self.shown, Shown::InTheForeground) {
            let said = lock(&self.said);
            let left = said.until.map(|until| until.saturating_duration_since(Instant::now()));
            background::tell_wait(&said.what, left);
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        match &mut self.shown {
            Shown::Nowhere => {}
            Shown::InTheForeground => background::tell_wait("", None),
            Shown::Here { over, thread } => {
                drop(over.take());
                let _ = thread.take().map(JoinHandle::join);
            }
        }
    }
}

/// Prints something while the line is away.
pub(crate) fn beside<T>(print: impl FnOnce() -> T) -> T {
    let drawn = lock(&DRAWN);
    put("", &drawn);
    let printed = print();
    put(&drawn, "");
    printed
}

/// Puts a line in the place of the one that is there.
fn put(line: &str, before: &str) {
    if line.is_empty() && before.is_empty() {
        return;
    }
    let rest = before.width().saturating_sub(line.width());
    let mut written = format!("\r{line}{:rest$}", "");
    if line.is_empty() {
        written.push('\r'); // whatever comes next begins at the left
    }
    let _ = io::stderr().lock().write_all(written.as_bytes());
}

/// Whether the standard error is a terminal on which a line can be drawn anew.
pub(crate) fn is_drawable() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

fn draw_here(said: &Arc<Mutex<Said>>) -> Shown {
    let (over, is_over) = channel();
    let said = said.clone();
    match Builder::new().name("spinner".into()).spawn(move || draw(&said, &is_over)) {
        Ok(thread) => Shown::Here { over: Some(over), thread: Some(thread) },
        Err(_) => Shown::Nowhere, // too many threads: a wait goes on without
    }
}

fn draw(said: &Mutex<Said>, is_over: &Receiver<()>) {
    let lasts = |time| is_over.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
    if !lasts(WORTH_IT) {
        return;
    }
    for letter in if draws_letters() { DOTS } else { STROKES }.iter().cycle() {
        let width = terminal_size::terminal_size_of(io::stderr()).map_or(USUAL_WIDTH, |(width, _)| width.0);
        let line = format!("{letter} {}", lock(said).words(Instant::now()));
        let line = cut(line, usize::from(width.saturating_sub(1))); // a full line would move the next one down
        let mut drawn = lock(&DRAWN);
        put(&line, &drawn);
        *drawn = line;
        drop(drawn);
        if !lasts(TICK) {
            break;
        }
    }
    let mut drawn = lock(&DRAWN);
    put("", &drawn);
    drawn.clear();
}

/// As much of a line as has room in so many columns.
fn cut(mut line: String, columns: usize) -> String {
    let mut width = 0;
    let end = line.char_indices().find(|(_, c)| {
        width += c.width().unwrap_or(0);
        width > columns
    });
    if let Some((end, _)) = end {
        line.truncate(end);
    }
    line
}

/// Whether the terminal has more than ASCII: by the variables of locale(7), in their order; the Linux console has not.
fn draws_letters() -> bool {
    let set = |name: &&str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set).unwrap_or_default().to_lowercase();
    locale.replace('-', "").contains("utf8") && std::env::var("TERM").is_ok_and(|term| term != "linux")
}

impl Said {
    fn words(&self, now: Instant) -> String {
        let what = text::shown(&self.what);
        let waited = now.saturating_duration_since(self.since);
        match self.until {
            Some(until) if until <= now => format!("waiting for {what} (its time is up)"),
            Some(until) => {
                format!("waiting for {what} ({} left)", text::duration(rounded(until - now)))
            }
            None if waited >= LONG => {
                let waited = Duration::from_secs(waited.as_secs());
                format!("waiting for {what} ({} already)", text::duration(waited))
            }
            None => format!("waiting for {what}"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_counts_on_between_two_messages() {
        let since = Instant::now();
        let at = |seconds| since + Duration::from_secs(seconds);
        let mut said = Said { what: "pid 7 to stop".into(), since, until: None };
        assert_eq!(said.words(at(1)), "waiting for pid 7 to stop");
        assert_eq!(said.words(at(12)), "waiting for pid 7 to stop (12 s already)");
        said.until = Some(at(30));
        assert_eq!(said.words(at(3)), "waiting for pid 7 to stop (27 s left)");
        assert_eq!(said.words(at(31)), "waiting for pid 7 to stop (its time is up)");
    }

    #[test]
    fn a_line_is_no_wider_than_the_terminal() {
        assert_eq!(cut("⠋ waiting".into(), 20), "⠋ waiting");
        assert_eq!(cut("⠋ waiting".into(), 5), "⠋ wai");
        assert_eq!(cut("日本語".into(), 5), "日本"); // two columns each
        assert_eq!(cut("abc".into(), 0), "");
    }
}
