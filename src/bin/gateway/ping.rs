//! `gateway ping`: round trips on one kept connection, like ping(8).
//!
//! The pings are sent on a thread of their own; the main thread prints, counts, and waits for Ctrl-C, so that a holder
//! that does not answer does not hold up the summary. A new holder is greeted, and the pings go on.

use std::{
    fmt::Write as _,
    thread,
    time::{Duration, Instant},
};

use incumbent::{Error, Found, Incumbent, Inspection, Instance, text};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::{
    args::{self, Which},
    exit, output, signals, words,
};

/// What the pinging thread tells.
enum Event {
    /// A holder was found, and is pinged from now on.
    Holder(Option<u32>),
    /// An answer.
    Answered(u64, Duration),
    /// None came, and why.
    Missed(u64, Missed),
    /// The directory cannot be looked at.
    Failed(Error),
}

/// Why no answer came.
enum Missed {
    /// Nobody holds the instance.
    Nobody,
    /// Somebody may, and does not answer.
    NoAnswer(Option<Box<Inspection>>),
}

/// Pings until the count is reached, or until interrupted.
pub(crate) fn ping(instance: &Instance, which: &Which, args: &args::Ping) -> Result<u8, Error> {
    let (tell, mut told) = unbounded_channel();
    let pinger = Pinger { instance: instance.clone(), timeout: args.timeout, tell };
    let (count, interval) = (args.count, args.interval);
    let mut screen = Screen {
        name: instance.name().to_owned(),
        dir: text::shown_path(instance.dir()?),
        ..Screen::default()
    };
    let failed = |source| Error::Io { doing: "start", path: "the signal handlers".into(), source };
    let runtime = signals::runtime().map_err(failed)?;
    let outcome = runtime.block_on(async {
        let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
        thread::Builder::new()
            .name("pinger".into())
            .spawn(move || pinger.run(count, interval))
            .map_err(|source| Error::Io { doing: "start", path: "the pinging thread".into(), source })?;
        loop {
            tokio::select! {
                event = told.recv() => match event {
                    None => return Ok(()),
                    Some(event) => if !screen.show(event)? { return Ok(()) },
                },
                stopped = &mut interrupted => return stopped.map_err(failed),
            }
        }
    });
    outcome?;
    screen.sum_up()?;
    let code = screen.code();
    if let Some(seen) = screen.last_silent.filter(|_| code == exit::NO_ANSWER) {
        words::situation(&seen, which);
    }
    Ok(code)
}

/// What was printed and counted.
#[derive(Default)]
struct Screen {
    name: String,
    dir: String,
    pid: Option<u32>,
    /// Whether a holder was met at all.
    met: bool,
    sent: u64,
    times: Vec<Duration>,
    /// The exit code if nothing was ever answered.
    missed: u8,
    last_silent: Option<Box<Inspection>>,
}

impl Screen {
    /// Prints what happened. `false`: nobody reads any more.
    fn show(&mut self, event: Event) -> Result<bool, Error> {
        match event {
            Event::Holder(pid) => self.greet(pid),
            Event::Answered(seq, took) => {
                self.sent = seq;
                self.times.push(took);
                output::say(&format!("pong from {}: seq={seq} time={}", pid_words(self.pid), ms(took)))
            }
            Event::Missed(seq, Missed::Nobody) => {
                (self.sent, self.missed) = (seq, exit::NOBODY);
                output::say(&format!("nobody holds it: seq={seq}"))
            }
            Event::Missed(seq, Missed::NoAnswer(seen)) => {
                (self.sent, self.missed) = (seq, exit::NO_ANSWER);
                let why =
                    seen.as_ref().map_or_else(|| "no answer in time".to_owned(), |seen| seen.sentence());
                self.last_silent = seen.or(self.last_silent.take());
                output::say(&format!("no answer: seq={seq} ({})", text::shown(&why)))
            }
            Event::Failed(error) => Err(error),
        }
    }

    fn greet(&mut self, pid: Option<u32>) -> Result<bool, Error> {
        self.pid = pid;
        if std::mem::replace(&mut self.met, true) {
            return output::say(&format!("another holds it now: {}", pid_words(pid)));
        }
        output::say(&format!("PING {} in {}: {}", self.name, self.dir, pid_words(pid)))
    }

    fn sum_up(&self) -> Result<(), Error> {
        let (sent, answered) = (self.sent, self.times.len());
        let mut words = format!("\n--- {} ping statistics ---\n{sent} sent, {answered} answered", self.name);
        if let (Some(min), Some(max)) = (self.times.iter().min(), self.times.iter().max()) {
            let (mean, deviation) = mean_and_deviation(&self.times);
            let figures =
                [*min, mean, *max, deviation].map(|time| format!("{:.3}", time.as_secs_f64() * 1e3));
            let _ = write!(words, "\nround trip min/avg/max/mdev = {} ms", figures.join("/"));
        }
        output::say(&words).map(drop)
    }

    fn code(&self) -> u8 {
        if self.times.is_empty() { self.missed } else { exit::OK }
    }
}

fn pid_words(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another pid namespace".to_owned(), |pid| format!("pid {pid}"))
}

fn ms(time: Duration) -> String {
    format!("{:.3} ms", time.as_secs_f64() * 1e3)
}

/// The mean, and the standard deviation, as ping(8) counts it.
#[allow(clippy::cast_precision_loss)] // nobody sends 2^52 pings
fn mean_and_deviation(times: &[Duration]) -> (Duration, Duration) {
    let count = times.len() as f64;
    let mean = times.iter().map(Duration::as_secs_f64).sum::<f64>() / count;
    let variance = times.iter().map(|time| (time.as_secs_f64() - mean).powi(2)).sum::<f64>() / count;
    let time = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default();
    (time(mean), time(variance.sqrt()))
}

struct Pinger {
    instance: Instance,
    timeout: Duration,
    tell: UnboundedSender<Event>,
}

impl Pinger {
    fn run(self, count: Option<u64>, interval: Duration) {
        let mut incumbent = None;
        for seq in 1.. {
            let next = Instant::now() + interval;
            let event = self.once(seq, &mut incumbent).unwrap_or_else(Event::Failed);
            let is_over = matches!(event, Event::Failed(_) | Event::Missed(1, Missed::Nobody));
            if self.tell.send(event).is_err() || is_over || count.is_some_and(|count| seq >= count) {
                return;
            }
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    /// One ping; a holder that is gone is looked for anew, once.
    fn once(&self, seq: u64, incumbent: &mut Option<Incumbent>) -> Result<Event, Error> {
        let until = Instant::now() + self.timeout;
        loop {
            let known = match incumbent.clone() {
                Some(known) => known,
                None => match self.instance.find_blocking(until.saturating_duration_since(Instant::now()))? {
                    Found::Incumbent(found) => {
                        let _ = self.tell.send(Event::Holder(found.pid()));
                        incumbent.insert(found).clone()
                    }
                    Found::Other(seen) => return Ok(Event::Missed(seq, Missed::of(seen))),
                    _ => return Ok(Event::Missed(seq, Missed::NoAnswer(None))),
                },
            };
            match known.ping_blocking(until.saturating_duration_since(Instant::now())) {
                Ok(took) => return Ok(Event::Answered(seq, took)),
                Err(Error::NoAnswer { .. }) => return Ok(Event::Missed(seq, Missed::NoAnswer(None))),
                Err(Error::Unresponsive(seen)) => {
                    *incumbent = None;
                    return Ok(Event::Missed(seq, Missed::of(seen)));
                }
                Err(_) if Instant::now() < until => *incumbent = None,
                Err(_) => return Ok(Event::Missed(seq, Missed::NoAnswer(None))),
            }
        }
    }
}

impl Missed {
    fn of(seen: Box<Inspection>) -> Self {
        match seen.verdict() {
            incumbent::Verdict::Dead => Self::Nobody,
            _ => Self::NoAnswer(Some(seen)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviation_is_that_of_ping() {
        let times = [1, 3].map(Duration::from_millis);
        assert_eq!(mean_and_deviation(&times), (Duration::from_millis(2), Duration::from_millis(1)));
    }
}
