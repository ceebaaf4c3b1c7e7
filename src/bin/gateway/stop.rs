//! `stop`: asks the live instance to stop, shows how that goes, and waits until it does not hold any more.
//!
//! A holder that answers is only ever asked. One that does not is reported and left alone; `--force` ends it, and also
//! one that was asked and is still there after its grace: the process that the kernel says owns the instance lock.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use incumbent::{
    Error, Found, Incumbent, Inspection, Instance, Process, State, StopOptions, Stopped, Stopping, Verdict,
    platform_for_gateway as platform, text,
};

use crate::{
    args::{Stop, Which},
    exit,
    output::complain,
    queue,
    spinner::Spinner,
    times::rounded,
    words::{self, say_error},
};

/// What a holder that is ended by force has, unless the user says.
const GRACE: Duration = Duration::from_secs(30);
/// How long a killed process may take to go: the kernel frees its memory first.
const KILL_WAIT: Duration = Duration::from_secs(10);

/// Stops the live instance.
#[allow(clippy::needless_pass_by_value)] // every command is called alike
pub(crate) fn stop(instance: &Instance, which: &Which, args: Stop) -> Result<u8, Error> {
    let spinner = Spinner::waiting_for(format!("an answer of `{}`", instance.name()));
    match find(instance)? {
        Found::Incumbent(incumbent) => ask(instance, &incumbent, &args, which, &spinner),
        Found::Other(seen) => match seen.state() {
            State::Absent | State::Crashed => Ok(nobody(instance, &seen)),
            _ if seen.is_forbidden() => Ok(words::forbidden(instance, &seen)),
            _ if args.force => force(instance, &args, &spinner),
            _ => Err(Error::Unresponsive(seen)),
        },
        _ => Ok(exit::BUSY),
    }
}

/// Finds the incumbent; one that has only just won answers in a moment.
fn find(instance: &Instance) -> Result<Found, Error> {
    let deadline = Instant::now() + queue::PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match instance.find_blocking(left)? {
            Found::Other(seen) if seen.state() == State::Starting && Instant::now() < deadline => {
                sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            found => return Ok(found),
        }
    }
}

fn nobody(instance: &Instance, seen: &Inspection) -> u8 {
    let claiming = seen.status().claiming.map_or_else(String::new, |claiming| {
        format!("; {} is claiming it", queue::process_words(claiming.pid))
    });
    complain(&format!("`{}` is not running{claiming}", instance.name()));
    exit::OK
}

fn ask(
    instance: &Instance,
    incumbent: &Incumbent,
    args: &Stop,
    which: &Which,
    spinner: &Spinner,
) -> Result<u8, Error> {
    let mut options = StopOptions::default().if_idle(args.if_idle);
    if let Some(grace) = args.grace {
        options = options.grace(grace);
    }
    let who = queue::pid_words(incumbent.pid());
    let mut shown = Shown::new(spinner);
    let began = Instant::now();
    let stopped = match incumbent.stop_blocking(&options, |now| shown.show(&who, now)) {
        // It left between the hail and the question.
        Err(Error::Disconnected { .. }) if incumbent.has_gone() => Stopped::Gone,
        Err(Error::Refused { .. }) if args.force => return force(instance, args, spinner),
        stopped => stopped?,
    };
    match stopped {
        Stopped::Gone => {
            complain(&format!(
                "stopped `{}` ({who}) after {}",
                instance.name(),
                text::duration(began.elapsed())
            ));
            Ok(exit::OK)
        }
        Stopped::Busy(count) => {
            let pieces = if count == 1 { "piece" } else { "pieces" };
            complain(&format!(
                "`{}` ({who}) is busy and goes on: {count} {pieces} of work in flight",
                instance.name()
            ));
            Ok(exit::BUSY)
        }
        _ if args.force && !incumbent.has_gone() => force(instance, args, spinner),
        _ if incumbent.has_gone() => Ok(exit::OK),
        _ => {
            let waited = text::duration(began.elapsed());
            say_error(&format!(
                "`{}` ({who}) was asked to stop and still holds after {waited}",
                instance.name()
            ));
            complain(&format!("hint: end it by force: {}", words::command_line(which, "stop --force")));
            Ok(exit::BUSY)
        }
    }
}

/// How the stop goes: on a terminal what is waited for, else a line when its note changes.
pub(crate) struct Shown<'a> {
    spinner: &'a Spinner,
    last_note: Option<String>,
}

impl<'a> Shown<'a> {
    pub(crate) fn new(spinner: &'a Spinner) -> Self {
        Self { spinner, last_note: None }
    }

    pub(crate) fn show(&mut self, who: &str, now: &Stopping) {
        let note = if now.note.is_empty() { String::new() } else { format!(": {}", text::shown(&now.note)) };
        let busy = now.busy.filter(|&n| n > 0).map_or_else(String::new, |n| format!(", {n} in flight"));
        let until = Instant::now().checked_add(now.remaining);
        self.spinner.set(format!("{who} to stop{note}{busy}"), until);
        if !self.spinner.is_seen() && self.last_note.as_ref() != Some(&now.note) {
            let left = text::duration(rounded(now.remaining));
            complain(&format!("{who} is stopping{note}{busy} ({left} left)"));
            self.last_note = Some(now.note.clone());
        }
    }
}

/// Ends the process that owns the instance lock.
fn force(instance: &Instance, args: &Stop, spinner: &Spinner) -> Result<u8, Error> {
    let seen = instance.inspect_blocking(Duration::from_millis(100))?;
    let owner = seen.status().holder.and_then(|holder| holder.pid);
    let process = owner.and_then(|pid| Process::of(pid).ok().flatten());
    if seen.is_forbidden() || process.as_ref().is_some_and(|process| !platform::may_signal(process.uid)) {
        return Ok(words::forbidden(instance, &seen));
    }
    let who = queue::process_words(owner);
    let grace = args.grace.unwrap_or(GRACE);
    // What is announced is done: without a process that is known to have the lock nobody is signalled, and it is said why.
    if process.is_some() && seen.state() != State::Unknown {
        complain(&words::ending(&who, grace));
    }
    let began = Instant::now();
    spinner.set(format!("{who} to end"), began.checked_add(grace));
    let was_there = instance.end_holder_blocking(grace, KILL_WAIT)?;
    let took = began.elapsed();
    let seen = instance.inspect_blocking(queue::PATIENCE)?;
    let now = seen.status().holder.and_then(|holder| holder.pid);
    if seen.verdict() == Verdict::Dead || (now.is_some() && now != owner) {
        let name = instance.name();
        complain(&if !was_there {
            format!("stopped `{name}`: nobody held it any more")
        } else if !platform::hints::ASKS_THE_SILENT {
            format!("stopped `{name}` by force: {who} was killed")
        } else if took >= grace {
            format!("stopped `{name}` by force: {who} was killed after {}", text::duration(rounded(grace)))
        } else {
            format!("stopped `{name}`: {who} ended by itself after SIGTERM, in {}", text::duration(took))
        });
        return Ok(exit::OK);
    }
    Err(Error::Unresponsive(Box::new(seen)))
}
