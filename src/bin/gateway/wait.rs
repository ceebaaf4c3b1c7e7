//! `wait --ready` and `wait --gone`, for scripts. Looking takes no lock and writes nothing.
//!
//! With somebody who answers the event is awaited: a change of its status, the end of its connection. Only while nobody
//! answers is it asked again, after 20 ms growing to 100 ms. An unresponsive holder counts as there.
//!
//! Proven by `tests/waiting.rs`.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use incumbent::{Error, Found, Incumbent, Inspection, Instance, State, text};

use crate::{
    args::{Wait, Which},
    exit, queue,
    spinner::Spinner,
    words::{self, say_error},
};

/// How long a holder may take to show that it still answers, when the time is up.
const GLANCE: Duration = Duration::from_millis(100);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Waits until the instance is ready, or gone.
#[allow(clippy::needless_pass_by_value)] // every command is called alike
pub(crate) fn wait(instance: &Instance, which: &Which, args: Wait) -> Result<u8, Error> {
    let deadline = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let spinner = Spinner::waiting_for("");
    let mut looking =
        Looking { instance, which, began: Instant::now(), deadline, pause: FIRST_PAUSE, spinner };
    if args.what.gone { looking.until_gone() } else { looking.until_ready() }
}

/// A look that is repeated until the deadline.
struct Looking<'a> {
    instance: &'a Instance,
    which: &'a Which,
    began: Instant,
    deadline: Option<Instant>,
    pause: Duration,
    spinner: Spinner,
}

impl Looking<'_> {
    fn until_ready(&mut self) -> Result<u8, Error> {
        self.spinner.set(format!("`{}` to be ready", self.instance.name()), self.deadline);
        let mut last = ("it is not running".to_owned(), None);
        loop {
            match self.find()? {
                Found::Incumbent(incumbent) => {
                    let who = queue::pid_words(incumbent.pid());
                    self.spinner.set(format!("{who} to be ready"), self.deadline);
                    if self.becomes_ready(&incumbent)? {
                        return Ok(exit::OK);
                    }
                    last = (format!("{who} does not say so"), None);
                }
                Found::Other(seen) if seen.is_forbidden() => {
                    return Ok(words::forbidden(self.instance, &seen));
                }
                Found::Other(seen) => last = (seen.sentence(), Some(seen)),
                _ => {}
            }
            if !self.pauses() {
                return Ok(self.over("ready", &last.0, last.1.as_deref()));
            }
        }
    }

    /// Watches its status; `false`: it has gone, or the time is up.
    fn becomes_ready(&self, incumbent: &Incumbent) -> Result<bool, Error> {
        let mut ready = false;
        let watched = incumbent.watch_blocking(self.deadline, |status| {
            ready = status.state == State::Ready;
            !ready
        });
        match watched {
            Ok(()) | Err(Error::Disconnected { .. } | Error::Unresponsive(_) | Error::NoAnswer { .. }) => {
                Ok(ready)
            }
            Err(error) => Err(error),
        }
    }

    fn until_gone(&mut self) -> Result<u8, Error> {
        self.spinner.set(format!("`{}` to be gone", self.instance.name()), self.deadline);
        // Of one that did not answer only the pid is known: another pid is another holder.
        let mut silent = None;
        let last = loop {
            match self.find()? {
                Found::Incumbent(incumbent) => {
                    let who = queue::pid_words(incumbent.pid());
                    self.spinner.set(format!("{who} to be gone"), self.deadline);
                    tracing::debug!("waiting for {who} to be gone");
                    let another = silent.is_some() && silent != incumbent.pid();
                    if another || incumbent.wait_gone_blocking(self.deadline) {
                        return Ok(exit::OK);
                    }
                    let glance = self.instance.inspect_blocking(GLANCE).ok();
                    let silent = glance.filter(|seen| seen.state() == State::Unresponsive);
                    break match silent {
                        Some(seen) => (seen.sentence(), Some(Box::new(seen))),
                        None => (format!("{} holds it", queue::process_words(incumbent.pid())), None),
                    };
                }
                Found::Other(seen) if seen.is_forbidden() => {
                    return Ok(words::forbidden(self.instance, &seen));
                }
                Found::Other(seen) => {
                    let status = seen.status();
                    let pid = status.holder.and_then(|holder| holder.pid);
                    let another = silent.is_some() && pid.is_some() && silent != pid;
                    if another || matches!(status.state, State::Absent | State::Crashed) {
                        return Ok(exit::OK);
                    }
                    silent = silent.or(pid);
                    if !self.pauses() {
                        break (seen.sentence(), Some(seen));
                    }
                }
                _ => {}
            }
        };
        Ok(self.over("gone", &last.0, last.1.as_deref()))
    }

    fn find(&self) -> Result<Found, Error> {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        self.instance.find_blocking(left.map_or(queue::PATIENCE, |left| left.min(queue::PATIENCE)))
    }

    /// Lets a moment pass; `false`: the time is up.
    fn pauses(&mut self) -> bool {
        let left = self.deadline.map_or(self.pause, |d| d.saturating_duration_since(Instant::now()));
        sleep(left.min(self.pause));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        !left.is_zero()
    }

    /// Says that the time is up, and what helps against somebody who does not answer; the exit code.
    fn over(&self, what: &str, why: &str, seen: Option<&Inspection>) -> u8 {
        let (name, waited) = (self.instance.name(), text::duration(self.began.elapsed()));
        say_error(&format!("`{name}` is not {what} after {waited}: {why}"));
        if let Some(seen) = seen.filter(|seen| matches!(seen.state(), State::Unresponsive | State::Unknown)) {
            words::hint_lines(&words::hints_for(seen, self.which));
        }
        exit::BUSY
    }
}
