//! `run --wait`: waiting until the instance is free, and saying so.
//!
//! What is waited for is said at once, and then after 1, 2, 5, 10, 30, 60 s, and from there after twice as long each
//! time; on a terminal a spinner says how long it has been. The wait itself is for the event: the end of the holder's connection, or of its process.
//!
//! Proven by `tests/waiting.rs`.

use std::time::{Duration, Instant};

use incumbent::{Error, Incumbent, Instance, Process, ProcessState, State, Status, text};

use crate::{
    exit,
    output::complain,
    spinner::Spinner,
    times,
    words::{hint_lines, say_error},
};

/// How long somebody who answered may take to answer again.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// How long a holder that is waited for may take to show that it still answers.
pub(crate) const GLANCE: Duration = Duration::from_millis(100);
/// How long the first claim tries, so that what is waited for is said soon.
const AT_ONCE: Duration = Duration::from_millis(250);

/// When, after how many seconds of waiting, it is said that it goes on.
const REPORTS: [u64; 6] = [1, 2, 5, 10, 30, 60];

/// A wait for the instance: since when, until when, and what was said of it.
#[derive(Debug)]
pub(crate) struct Patience {
    spinner: Spinner,
    name: String,
    began: Instant,
    deadline: Option<Instant>,
    limit: Option<Duration>,
    next_report: Duration,
    /// Who is waited for, and the sentence that says so; none: nothing was said yet.
    said: Option<(Who, String)>,
}

/// Who is waited for. The same one in the same state is said once, however long it has been up meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Holder(Option<u32>),
    Silent(Option<u32>, Option<ProcessState>),
    Contender(Option<u32>, Option<ProcessState>),
}

impl Who {
    fn in_the_way(error: &Error) -> Self {
        let (seen, claims) = match error {
            Error::Claiming(seen) => (seen, true),
            Error::Unresponsive(seen) => (seen, false),
            _ => return Self::Silent(None, None),
        };
        let process = if claims { seen.claimer() } else { seen.owner() };
        let (pid, state) = (process.map(|process| process.pid), process.map(|process| process.state));
        if claims { Self::Contender(pid, state) } else { Self::Silent(pid, state) }
    }

    /// What is waited for, beside the sentence that was said of it.
    fn words(self) -> String {
        match self {
            Self::Holder(pid) | Self::Silent(pid, _) => format!("{} to end", pid_words(pid)),
            Self::Contender(pid, _) => format!("{} to finish its claim", pid_words(pid)),
        }
    }
}

impl Patience {
    /// Begins to wait, for at most `limit`; none: for ever.
    pub(crate) fn new(instance: &Instance, limit: Option<Duration>) -> Self {
        let began = Instant::now();
        Self {
            spinner: Spinner::waiting_for(format!("an answer of `{}`", instance.name())),
            name: instance.name().to_owned(),
            began,
            deadline: limit.and_then(|limit| began.checked_add(limit)),
            limit,
            next_report: Duration::from_secs(REPORTS[0]),
            said: None,
        }
    }

    /// How long the next claim may try: not past the deadline, nor past the next thing to be said.
    pub(crate) fn claim_timeout(&self) -> Duration {
        let next = match &self.said {
            None => AT_ONCE,
            Some(_) => self.next_report.saturating_sub(self.began.elapsed()).max(AT_ONCE),
        };
        self.left().map_or(next, |left| next.min(left)).min(incumbent::CLAIM_TIMEOUT)
    }

    /// How long it may go on; none: for ever.
    fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Waits until this holder does not hold any more; `false`: the time is up.
    pub(crate) fn until_gone(&mut self, incumbent: &Incumbent) -> bool {
        let who = match incumbent.status_blocking(PATIENCE) {
            Ok(status) => holder_words(&status),
            Err(_) => pid_words(incumbent.pid()),
        };
        self.say(Who::Holder(incumbent.pid()), format!("`{}` is held by {who}", self.name));
        loop {
            let report_at = self.began + self.next_report;
            let until = self.deadline.map_or(report_at, |deadline| deadline.min(report_at));
            if incumbent.wait_gone_blocking(Some(until)) {
                return true;
            }
            if self.is_over() {
                return false;
            }
            if let Ok(seen) = incumbent.inspect_blocking(GLANCE) {
                if seen.state() == State::Unresponsive {
                    // It answered, and does not any more: who waits should know why.
                    let state = seen.owner().map(|process| process.state);
                    self.say(Who::Silent(incumbent.pid(), state), seen.sentence());
                }
            }
            self.report();
        }
    }

    /// A claim has failed because somebody is in the way who does not answer; `false`: the time is up.
    pub(crate) fn goes_on(&mut self, error: &Error) -> bool {
        self.say(Who::in_the_way(error), error.to_string());
        self.report();
        !self.is_over()
    }

    /// Says that the time is up, and what helps; the exit code.
    pub(crate) fn over(&self, hints: &[String]) -> u8 {
        let what = self.what();
        say_error(&format!("gave up after {}: {what}", text::duration(self.began.elapsed())));
        hint_lines(hints);
        exit::BUSY
    }

    fn is_over(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// Says what is waited for, unless that was what it said last.
    fn say(&mut self, who: Who, what: String) {
        if self.said.as_ref().is_none_or(|(said, _)| *said != who) {
            let limit =
                self.limit.map_or_else(String::new, |limit| format!(" at most {}", text::duration(limit)));
            complain(&format!("waiting{limit}: {what}"));
            self.spinner.set(who.words(), self.deadline);
        }
        self.said = Some((who, what));
    }

    fn what(&self) -> &str {
        self.said.as_ref().map_or("", |(_, what)| what)
    }

    /// Says for how long it has waited, when that is due.
    fn report(&mut self) {
        let waited = self.began.elapsed();
        if waited < self.next_report {
            return;
        }
        if !self.spinner.is_seen() {
            complain(&format!("waiting for {} already: {}", text::duration(waited), self.what()));
        }
        while self.next_report <= waited {
            self.next_report = next_after(self.next_report);
        }
    }
}

fn next_after(report: Duration) -> Duration {
    REPORTS.iter().map(|&s| Duration::from_secs(s)).find(|&next| next > report).unwrap_or(report * 2)
}

/// The holder as a person wants it named: pid, command, since when.
pub(crate) fn holder_words(status: &Status) -> String {
    let Some(holder) = &status.holder else { return "nobody any more".to_owned() };
    let mut about = Vec::new();
    if let Some(command) = &holder.command {
        let command: Vec<_> = command.iter().map(Into::into).collect();
        about.push(text::command(&command, 60));
    }
    about.extend(holder.started_at.as_deref().map(|at| format!("since {}", times::local(at))));
    let pid = pid_words(holder.pid);
    if about.is_empty() { pid } else { format!("{pid} ({})", about.join(", ")) }
}

/// A process by its number.
pub(crate) fn pid_words(pid: Option<u32>) -> String {
    pid.map_or_else(|| text::unnamed_process().to_owned(), |pid| format!("pid {pid}"))
}

/// A process by its number and its command.
pub(crate) fn process_words(pid: Option<u32>) -> String {
    let process = pid.and_then(|pid| Process::of(pid).ok().flatten());
    match process {
        Some(process) if !process.command.is_empty() => {
            format!("pid {} ({})", process.pid, text::command(&process.command, 60))
        }
        _ => pid_words(pid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_come_at_growing_intervals() {
        let mut at = Duration::from_secs(REPORTS[0]);
        let mut seconds = Vec::new();
        for _ in 0..9 {
            seconds.push(at.as_secs());
            at = next_after(at);
        }
        assert_eq!(seconds, [1, 2, 5, 10, 30, 60, 120, 240, 480]);
    }
}
