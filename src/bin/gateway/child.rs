//! `run -- PROGRAM`: runs PROGRAM as the child, stops it when that is asked for, and ends as it ended.
//!
//! | it | is asked to stop | ends | its grace is over | another holds the instance |
//! | --- | --- | --- | --- | --- |
//! | runs | the stop signal, or the signal that came; its grace begins | its code, or 128+N | | the stop signal, 2 s |
//! | is stopping | passed on again; the grace can only get shorter | 0; deposed: 76 | SIGKILL | the stop signal, 2 s |
//! | was killed | | 137; deposed: 76 | | |
//! | has ended, and left something behind | its time gets shorter | that code | SIGKILL | |
//!
//! Signals go to all of it (`family.rs`), and after each comes SIGCONT, because a stopped program cannot end. SIGINT from
//! the terminal has reached the child already if it is in the same group; the second one kills. SIGUSR1 and SIGUSR2 are
//! passed to the child alone. It dies with `gateway`, however that dies (Linux, Windows). The instance is released when all
//! of it is gone. What cannot be asked to stop (Windows, without a console) is ended at once, which counts as stopped. What it
//! says of itself (`told.rs`) is heard before every step: while it is stopping it can ask for more time, and one that is hung
//! gets SIGABRT, its grace, and 134. Proven by `tests/child.rs`, `tests/descendants.rs`,
//! `tests/job_control.rs` and `tests/notify.rs`.

use std::{
    process::ExitStatus,
    time::{Duration, Instant},
};

use incumbent::{FailedTakeover, Instance, Message, Messages, Stop, platform_for_gateway as platform, text};
use tokio::time::{sleep_until, timeout};

use crate::{
    args::Run,
    beside::{self, Beside, Step},
    exit,
    family::{self, Family},
    holders::Holders,
    messages::Printer,
    output::complain,
    predecessor,
    program::{self, How},
    signals::{Caught, Ends, Meaning, Signals, meaning},
    sockets::Sockets,
    times::rounded,
    told::{Heard, Told},
    words::say_error,
};

mod clearing;
mod place;
mod stopping;

/// What PROGRAM is to listen at, and whether it gets ready first.
#[derive(Default)]
pub(crate) struct Listens {
    /// Received or bound already.
    pub(crate) sockets: Option<Sockets>,
    /// It gets ready beside the one that runs.
    pub(crate) beside: Option<Box<Beside>>,
}

/// What a program that is not the holder's any more has to stop: every moment of it is beside its successor.
const GRACE_OF_THE_DEPOSED: Duration = Duration::from_secs(2);
/// What a program that is hung has to write its core, whatever its grace.
const LONGEST_ABORT: Duration = Duration::from_secs(30);
/// A signal that reached the child and `gateway` alike may be seen here a moment after the child's end.
const SAME_SIGNAL: Duration = Duration::from_millis(50);
/// How long what was killed may take to go.
const KILL_WAIT: Duration = Duration::from_secs(5);

/// How far the end of the child has come.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Running,
    Stopping {
        by: Instant,
        grace: Duration,
        deposed: bool,
    },
    Killed {
        deposed: bool,
    },
    /// It has ended, with this code; what it started is still to go.
    Clearing {
        code: u8,
        by: Instant,
        killed: bool,
    },
}

#[derive(Debug)]
enum Event {
    Signal(Caught),
    Asked(Stop),
    /// One who takes over has got ready beside it.
    PassOn,
    /// One who wanted to take over has not.
    TakeoverFailed(FailedTakeover),
    /// Something has come of getting ready beside the one that runs.
    Beside(Step),
    Deposed,
    GraceOver,
    /// A child of this process has ended: PROGRAM, or an orphan of its.
    ChildEnded,
    Message(Message),
    /// It has said something, or it is time to look after it.
    Told,
}

/// Runs the program to its end. The exit code.
pub(crate) async fn run(
    instance: &Instance,
    holders: &Holders,
    signals: &mut Signals,
    args: &Run,
    mut told: Told<'_>,
    inbox: Option<Messages>,
    listens: Listens,
) -> u8 {
    let Listens { sockets, mut beside } = listens;
    if let (Some(sockets), None) = (&sockets, &beside) {
        sockets.offer(holders); // whoever takes over soon need not wait for it
    }
    let locks = match &mut beside {
        None => predecessor::gone(holders, signals, args).await,
        Some(beside) => beside.child_locks().map_err(|error| {
            beside.withdraw(&error.to_string());
            say_error(&error.to_string());
            exit::of(&error)
        }),
    };
    let locks = match locks {
        Ok(locks) => locks,
        Err(code) => return code,
    };
    // What the last one left behind is gone, and listens no more.
    let sockets = match sockets.map_or_else(|| Sockets::of(&args.listen, Vec::new()), Ok) {
        Ok(sockets) => sockets,
        Err(why) => return why.say(),
    };
    sockets.offer(holders);
    let has_taken = beside.is_none();
    if has_taken {
        beside = Beside::alone(args);
    } else {
        told.gets_ready_beside();
    }
    let how = How { own_group: !platform::is_at_its_terminal(), takes_messages: args.messages.is_some() };
    signals.watch_suspensions(how.own_group);
    let strangers = Family::before_the_start();
    let started = Ends::take().and_then(|ends| {
        let child = program::start(instance, &args.program, how, &locks, &told, &sockets)?;
        ends.of(&child)?;
        Ok((ends, child))
    });
    let (ends, mut child) = match started {
        Ok(started) => started,
        Err(error) => {
            if let Some(beside) = beside.as_mut().filter(|_| !has_taken) {
                beside.withdraw(&format!("its PROGRAM cannot be started: {}", text::system_words(&error)));
            }
            return program::cannot_start(&args.program[0], &error);
        }
    };
    drop(locks); // the child and what it starts have them now
    let printer = child.stdin.take().map(Printer::on).transpose().unwrap_or_else(|error| {
        complain(&format!("warning: it gets no messages: {}", text::system_words(&error)));
        None
    });
    holders.set_child(Some((child.id(), &args.program)));
    told.started(child.id());
    if let Some(beside) = &mut beside {
        beside.started();
    }
    let supervisor = Supervisor {
        holders,
        family: Family::new(child.id(), how.own_group, strangers),
        ends,
        messages: inbox,
        printer,
        told,
        instance,
        sockets,
        failed_us: 0,
        has_taken,
        was_signalled: false,
        beside,
        args,
        phase: Phase::Running,
        asked: None,
        interrupts: 0,
        is_hung: false,
    };
    let code = supervisor.supervise(signals).await;
    holders.set_child(None);
    code
}

/// Watches the child and whatever may ask it to stop.
struct Supervisor<'a> {
    holders: &'a Holders,
    family: Family,
    ends: Ends,
    messages: Option<Messages>,
    printer: Option<Printer>,
    told: Told<'a>,
    instance: &'a Instance,
    /// Copies of what PROGRAM listens at, for whoever takes over.
    sockets: Sockets,
    /// While PROGRAM gets ready beside the one that runs.
    beside: Option<Box<Beside>>,
    /// When the last takeover failed, of those that were said, in microseconds since 1970.
    failed_us: i64,
    /// It holds, or did.
    has_taken: bool,
    /// A signal asked it to stop.
    was_signalled: bool,
    args: &'a Run,
    phase: Phase,
    /// The last wish to stop that was passed on.
    asked: Option<Stop>,
    /// How often Ctrl-C was pressed.
    interrupts: u32,
    /// It was hung, and is ended for that.
    is_hung: bool,
}

impl Supervisor<'_> {
    async fn supervise(mut self, signals: &mut Signals) -> u8 {
        let code = self.until_its_end(signals).await;
        // Stopped by a signal is what was wanted; whatever else it was, the one that runs was not replaced.
        if self.has_taken || self.was_signalled { code } else { beside::NOT_TAKEN }
    }

    async fn until_its_end(&mut self, signals: &mut Signals) -> u8 {
        loop {
            let event = self.next_event(signals).await;
            tracing::debug!(?event, phase = ?self.phase);
            let heard = self.told.hear();
            if !matches!(event, Event::ChildEnded) || self.family.end().is_none() {
                self.act_upon(heard);
            }
            self.get_on_beside();
            if matches!((&event, self.phase), (Event::Told, Phase::Running)) {
                self.sockets.open_if_shut();
            }
            self.phase = match (event, self.phase) {
                (Event::Beside(step), phase) => self.stepped(step, phase),
                (Event::PassOn, phase) => {
                    self.pass_on();
                    phase
                }
                (Event::TakeoverFailed(failed), phase) => {
                    self.failed_us = failed.at_us;
                    place::say_failed(&failed);
                    phase
                }
                (Event::ChildEnded, Phase::Clearing { code, killed, .. }) if self.cleared(killed) => {
                    return code;
                }
                (Event::ChildEnded, phase @ Phase::Clearing { .. }) => phase,
                (Event::ChildEnded, phase) => match self.family.end() {
                    None => {
                        if matches!(phase, Phase::Killed { .. }) {
                            self.family.kill(); // the first time may have failed
                        }
                        phase
                    }
                    Some(status) => {
                        self.ended_beside(status).await;
                        let code = self.code(status, phase, signals).await;
                        match self.clear(code, phase) {
                            Some(phase) => phase,
                            None => return code,
                        }
                    }
                },
                (Event::Message(message), phase) => {
                    if let Some(printer) = &self.printer {
                        printer.print(message);
                    }
                    phase
                }
                (Event::Signal(caught), phase) => self.caught(caught, phase),
                // Nothing is left to be done but to wait; and one that runs has no grace.
                (_, phase @ Phase::Killed { .. })
                | (Event::Told, phase)
                | (Event::GraceOver, phase @ Phase::Running) => phase,
                // It asked for more time a moment before.
                (Event::GraceOver, phase @ Phase::Stopping { by, .. }) if Instant::now() < by => phase,
                (Event::Asked(stop), phase) => {
                    // It was asked for both while this looked from the one to the other.
                    if stop.successor_is_ready() && !self.holders.were_passed_on() {
                        self.pass_on();
                    }
                    self.passed_on(stop, phase)
                }
                (Event::Deposed, phase @ Phase::Clearing { .. }) => phase,
                (Event::Deposed, _) => {
                    say_error("another process holds the instance now: stopping");
                    let asked = self.family.signal(self.args.stop_signal);
                    let grace = self.given(asked, self.args.grace().min(GRACE_OF_THE_DEPOSED));
                    self.told.stopping(None);
                    Phase::Stopping { by: Instant::now() + grace, grace, deposed: true }
                }
                (Event::GraceOver, Phase::Stopping { grace, deposed, .. }) => {
                    let grace = text::duration(rounded(grace));
                    self.holders.overran();
                    self.kill(&format!("did not stop within {grace}"), deposed)
                }
                (Event::GraceOver, Phase::Clearing { code, killed: false, .. }) => {
                    let left = self.family.left();
                    complain(&format!("{} did not end in time: killed", family::named(&left)));
                    self.family.kill();
                    Phase::Clearing { code, by: Instant::now() + KILL_WAIT, killed: true }
                }
                (Event::GraceOver, Phase::Clearing { code, killed: true, .. }) => {
                    let left = family::named(&self.family.left());
                    say_error(&format!("{left} cannot be ended: in the kernel, frozen, or another user's"));
                    return code;
                }
            };
        }
    }

    async fn next_event(&mut self, signals: &mut Signals) -> Event {
        let by = match self.phase {
            Phase::Stopping { by, .. } | Phase::Clearing { by, .. } => Some(by),
            Phase::Running | Phase::Killed { .. } => None,
        };
        let deposed = matches!(self.phase, Phase::Stopping { deposed: true, .. } | Phase::Killed { .. });
        let (holders, asked) = (self.holders, &self.asked);
        let wish = async move {
            match asked {
                Some(asked) => holders.stop_hastened(asked).await,
                None => holders.stop_requested().await,
            }
        };
        let message = async {
            match (&mut self.messages, &self.printer) {
                (Some(messages), Some(_)) => messages.next().await,
                _ => None,
            }
        };
        let beside = async {
            match &mut self.beside {
                Some(beside) => beside.next().await,
                None => std::future::pending().await,
            }
        };
        let passed_on = holders.were_passed_on();
        tokio::select! {
            biased;
            caught = signals.next() => Event::Signal(caught),
            // First of all it lets go: each moment is one in which nobody answers.
            () = holders.successor_is_ready(), if !passed_on => Event::PassOn,
            stop = wish, if !deposed => Event::Asked(stop),
            () = holders.deposed(), if !deposed => Event::Deposed,
            failed = holders.takeover_failed(self.failed_us) => Event::TakeoverFailed(failed),
            // What has ended is not ready, though its time has come.
            () = self.ends.next() => Event::ChildEnded,
            step = beside => Event::Beside(step),
            () = sleep_until(by.unwrap_or_else(Instant::now).into()), if by.is_some() => Event::GraceOver,
            Some(message) = message => Event::Message(message),
            // Last: whoever says much keeps nothing else waiting.
            () = self.told.next() => Event::Told,
        }
    }

    /// Gives it the time that it asks for while it is stopping, and ends it if it is hung.
    fn act_upon(&mut self, heard: Heard) {
        match (self.phase, heard) {
            (Phase::Stopping { by, deposed: false, .. }, Heard { more_time: Some(time), .. })
                if Instant::now() + time > by =>
            {
                // A later wish is sooner than what it has now, and not than what it had.
                if self.asked.is_some() {
                    self.asked = self.holders.asked();
                }
                self.phase = Phase::Stopping { by: Instant::now() + time, grace: time, deposed: false };
            }
            (Phase::Running, Heard { hung: Some(how), .. }) => {
                let grace = self.args.grace().min(LONGEST_ABORT);
                let [abort, kill] = [platform::ABORT, platform::KILL].map(platform::signal_name);
                complain(&format!("{how}: {abort}, and {kill} after {}", text::duration(rounded(grace))));
                self.is_hung = true;
                self.holders.draining();
                self.told.stopping(Some(grace));
                self.told.note(&how);
                let asked = self.family.signal(platform::ABORT);
                let grace = self.given(asked, grace);
                self.phase = Phase::Stopping { by: Instant::now() + grace, grace, deposed: false };
            }
            _ => {}
        }
    }

    /// The exit code that says how it ended.
    async fn code(&self, status: ExitStatus, phase: Phase, signals: &mut Signals) -> u8 {
        if matches!(phase, Phase::Running) && !self.told.was_ready() && self.has_taken {
            let by = if self.args.is_ready_by_itself() { "" } else { " (READY=1)" };
            complain(&format!("pid {} ended before it was ready{by}", self.family.child()));
        }
        match (phase, platform::signal_of(status)) {
            (Phase::Stopping { deposed: true, .. } | Phase::Killed { deposed: true }, _) => exit::DEPOSED,
            (Phase::Stopping { .. } | Phase::Killed { .. }, _) if self.is_hung => exit::HUNG,
            (Phase::Stopping { .. }, _) => exit::OK,
            (Phase::Killed { .. }, _) => exit::KILLED,
            (Phase::Clearing { code, .. }, _) => code,
            (Phase::Running, None) => exit::passed_on(self.family.child(), status),
            (Phase::Running, Some(signal)) => {
                let came = timeout(SAME_SIGNAL, signals.next());
                let is_stop = meaning(signal) == Meaning::Stop;
                if is_stop && came.await.is_ok_and(|caught| caught.explains(signal)) {
                    return exit::OK;
                }
                complain(&format!("pid {} died of {}", self.family.child(), platform::signal_name(signal)));
                u8::try_from(signal).map_or(u8::MAX, |signal| exit::SIGNAL.saturating_add(signal))
            }
        }
    }
}
