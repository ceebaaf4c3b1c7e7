//! `run -- PROGRAM`: starts PROGRAM as the child, stops it when that is asked for, and ends as it ended.
//!
//! | it | is asked to stop | ends | its grace is over | another holds the instance |
//! | --- | --- | --- | --- | --- |
//! | runs | SIGTERM, or the signal that came; its grace begins | its code, or 128+N | | SIGTERM, 2 s |
//! | is stopping | passed on again; the grace can only get shorter | 0; deposed: 76 | SIGKILL | SIGTERM, 2 s |
//! | was killed | | 137; deposed: 76 | | |
//!
//! The child is in the process group of `gateway`: a Ctrl-C on the terminal reaches both, so that SIGINT is passed on
//! only when a process sent it, or when the child has left the group. After SIGTERM comes SIGCONT, because a stopped
//! program cannot end. It dies with `gateway`, however that dies (Linux). The instance is released when it is gone.
//! What it says of itself (`told.rs`) is heard before every step; one that is hung gets SIGABRT, and its grace.
//! Proven by `tests/child.rs`, `tests/notify.rs`.

use std::{
    ffi::OsString,
    io::ErrorKind,
    path::Path,
    process::ExitStatus,
    time::{Duration, Instant},
};

use incumbent::{Instance, Stop, platform_for_gateway as platform, text};
use tokio::{
    process::{Child, Command},
    signal::unix::SignalKind,
    time::{sleep_until, timeout},
};

use crate::{
    args::Run,
    exit,
    holders::Holders,
    output::complain,
    signals::{Caught, Signals},
    times::rounded,
    told::{Heard, Told},
    words::say_error,
};

/// What a program that is not the holder's any more has to stop: every moment of it is beside its successor.
const GRACE_OF_THE_DEPOSED: Duration = Duration::from_secs(2);
/// What a program that is hung has to write its core, whatever its grace.
const LONGEST_ABORT: Duration = Duration::from_secs(30);
/// A signal that reached the child and `gateway` alike may be seen here a moment after the child's end.
const SAME_SIGNAL: Duration = Duration::from_millis(50);

/// How far the end of the child has come.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Running,
    Stopping { by: Instant, grace: Duration, deposed: bool },
    Killed { deposed: bool },
}

#[derive(Debug)]
enum Event {
    Signal(Caught),
    Asked(Stop),
    Deposed,
    GraceOver,
    /// It has said something, or it is time to look after it.
    Told,
    Ended(ExitStatus),
}

/// Runs the program to its end. The exit code.
pub(crate) async fn run(
    instance: &Instance,
    holder: &Holders,
    signals: &mut Signals,
    args: &Run,
    mut told: Told<'_>,
) -> u8 {
    let mut child = match start(instance, &args.program, &told) {
        Ok(child) => child,
        Err(error) => return cannot_start(&args.program[0], &error),
    };
    let pid = child.id().unwrap_or(0);
    holder.set_child(Some((pid, &args.program)));
    told.started(pid, args.notify);
    let grace = args.grace();
    let code = Supervisor { holder, pid, grace, phase: Phase::Running, asked: None, told, is_hung: false }
        .supervise(&mut child, signals)
        .await;
    holder.set_child(None);
    code
}

fn start(instance: &Instance, program: &[OsString], told: &Told<'_>) -> std::io::Result<Child> {
    let mut command = std::process::Command::new(&program[0]);
    command.args(&program[1..]).env("GATEWAY_NAME", instance.name());
    told.tell_how(&mut command);
    if let Ok(dir) = instance.dir() {
        command.env("GATEWAY_DIR", dir);
    }
    platform::die_with_parent(&mut command);
    Command::from(command).kill_on_drop(true).spawn()
}

/// Says why; the exit code, as a shell has it.
fn cannot_start(program: &OsString, refused: &std::io::Error) -> u8 {
    let shown = text::quoted(program);
    // A script whose interpreter is missing is there, and can't be run.
    let is_there = program.to_string_lossy().contains('/') && Path::new(program).exists();
    if refused.kind() == ErrorKind::NotFound && !is_there {
        say_error(&format!("cannot find the program {shown}"));
        return exit::NOT_FOUND;
    }
    let why = if refused.kind() == ErrorKind::NotFound {
        "the interpreter that it names is missing".to_owned()
    } else {
        text::system_words(refused)
    };
    say_error(&format!("cannot run {shown}: {why}"));
    exit::CANNOT_RUN
}

/// Watches the child and whatever may ask it to stop.
struct Supervisor<'a> {
    holder: &'a Holders,
    pid: u32,
    /// What it has to stop, unless the asker says.
    grace: Duration,
    phase: Phase,
    /// The last wish to stop that was passed on.
    asked: Option<Stop>,
    told: Told<'a>,
    /// It is ended because it was hung.
    is_hung: bool,
}

impl Supervisor<'_> {
    async fn supervise(&mut self, child: &mut Child, signals: &mut Signals) -> u8 {
        loop {
            let event = self.next_event(child, signals).await;
            tracing::debug!(?event, phase = ?self.phase);
            let heard = self.told.hear();
            if let Event::Ended(status) = event {
                return self.code(status, signals).await;
            }
            self.phase = self.act_upon(heard);
            self.phase = match (event, self.phase) {
                // Nothing is left to be done but to wait; and one that runs has no grace.
                (_, phase @ Phase::Killed { .. })
                | (Event::Told | Event::Ended(_), phase)
                | (Event::GraceOver, phase @ Phase::Running) => phase,
                // It asked for more time a moment before.
                (Event::GraceOver, phase @ Phase::Stopping { by, .. }) if Instant::now() < by => phase,
                (Event::Signal(caught), Phase::Running) => {
                    self.pass_on(caught);
                    Phase::Stopping { by: Instant::now() + self.grace, grace: self.grace, deposed: false }
                }
                (Event::Signal(caught), phase @ Phase::Stopping { .. }) => {
                    self.pass_on(caught);
                    phase
                }
                (Event::Asked(stop), phase) => self.passed_on(stop, phase),
                (Event::Deposed, _) => {
                    say_error("another process holds the instance now: stopping");
                    self.told.stopping();
                    self.told.manager.stopping(None);
                    self.signal(SignalKind::terminate().as_raw_value());
                    let grace = self.grace.min(GRACE_OF_THE_DEPOSED);
                    Phase::Stopping { by: Instant::now() + grace, grace, deposed: true }
                }
                (Event::GraceOver, Phase::Stopping { grace, deposed, .. }) => {
                    let _ = child.start_kill();
                    let grace = text::duration(rounded(grace));
                    complain(&format!("pid {} did not stop within {grace}: it was killed", self.pid));
                    Phase::Killed { deposed }
                }
            };
        }
    }

    async fn next_event(&self, child: &mut Child, signals: &mut Signals) -> Event {
        let by = match self.phase {
            Phase::Stopping { by, .. } => Some(by),
            Phase::Running | Phase::Killed { .. } => None,
        };
        let deposed = matches!(self.phase, Phase::Stopping { deposed: true, .. } | Phase::Killed { .. });
        tokio::select! {
            biased;
            caught = signals.next() => Event::Signal(caught),
            stop = self.wish(), if !deposed => Event::Asked(stop),
            () = self.holder.deposed(), if !deposed => Event::Deposed,
            ended = child.wait() => match ended {
                Ok(status) => Event::Ended(status),
                Err(error) => {
                    // Nobody else may wait for it: then it is gone, and how it ended is lost.
                    tracing::warn!("cannot wait for the child: {error}");
                    Event::Ended(ExitStatus::default())
                }
            },
            () = sleep_until(by.unwrap_or_else(Instant::now).into()), if by.is_some() => Event::GraceOver,
            // Last: whoever says much keeps nothing else waiting.
            () = self.told.next() => Event::Told,
        }
    }

    /// Gives it the time that it asked for while it is stopping; ends it if it is hung.
    fn act_upon(&mut self, heard: Heard) -> Phase {
        match (self.phase, heard) {
            (Phase::Stopping { by, deposed: false, .. }, Heard { more_time: Some(time), .. })
                if Instant::now() + time > by =>
            {
                // A later wish is sooner than what it has now, and not than what it had.
                self.asked = self.holder.extend_grace(time);
                Phase::Stopping { by: Instant::now() + time, grace: time, deposed: false }
            }
            (Phase::Running, Heard { hung: Some(how), .. }) => {
                let grace = self.grace.min(LONGEST_ABORT);
                complain(&format!("{how}: SIGABRT, and SIGKILL after {}", text::duration(rounded(grace))));
                self.is_hung = true;
                self.told.stopping();
                self.told.manager.stopping(Some(grace));
                self.holder.draining();
                self.holder.set_note(&how);
                self.signal(platform::ABORT);
                Phase::Stopping { by: Instant::now() + grace, grace, deposed: false }
            }
            (phase, _) => phase,
        }
    }

    /// The next wish to stop: the first, or one that leaves less time.
    async fn wish(&self) -> Stop {
        match &self.asked {
            Some(asked) => self.holder.stop_hastened(asked).await,
            None => self.holder.stop_requested().await,
        }
    }

    fn passed_on(&mut self, stop: Stop, phase: Phase) -> Phase {
        let by = Instant::now() + stop.grace();
        let first = self.asked.is_none();
        if first {
            self.signal(SignalKind::terminate().as_raw_value());
            self.say_stopping("SIGTERM", stop.grace());
            self.told.manager.stopping(Some(stop.grace()));
        }
        let grace = stop.grace();
        self.asked = Some(stop);
        match phase {
            Phase::Running => Phase::Stopping { by, grace, deposed: false },
            Phase::Stopping { by: before, deposed, .. } if by < before => {
                Phase::Stopping { by, grace, deposed }
            }
            Phase::Stopping { .. } | Phase::Killed { .. } => phase,
        }
    }

    /// Passes a signal on, unless the terminal has sent it to the child too.
    fn pass_on(&mut self, caught: Caught) {
        self.holder.draining();
        self.told.manager.stopping(None);
        if !(caught.from_terminal && platform::shares_group(self.pid)) {
            self.signal(caught.number);
        }
        if matches!(self.phase, Phase::Running) {
            self.say_stopping(&caught.name(), self.grace);
        }
    }

    fn say_stopping(&mut self, signal: &str, grace: Duration) {
        let grace = text::duration(rounded(grace));
        complain(&format!("stopping: {signal} to pid {}, which has {grace}", self.pid));
        let note = format!("waiting for pid {} to stop", self.pid);
        self.told.stopping();
        self.told.manager.status(&note);
        self.holder.set_note(&note);
    }

    /// Signals the child, which was not waited for yet: its number is its own.
    fn signal(&self, number: i32) {
        let _ = platform::signal_child(self.pid, number);
        let _ = platform::signal_child(self.pid, platform::CONTINUE);
    }

    /// The exit code that says how it ended.
    async fn code(&self, status: ExitStatus, signals: &mut Signals) -> u8 {
        let phase = self.phase;
        if matches!(phase, Phase::Running) && !self.told.was_ready() {
            complain(&format!("pid {} ended before it was ready (READY=1)", self.pid));
        }
        match (phase, platform::signal_of(status)) {
            (Phase::Stopping { deposed: true, .. } | Phase::Killed { deposed: true }, _) => exit::DEPOSED,
            (Phase::Stopping { .. } | Phase::Killed { .. }, _) if self.is_hung => exit::HUNG,
            (Phase::Stopping { .. }, _) => exit::OK,
            (Phase::Killed { .. }, _) => exit::SIGNAL + 9,
            (Phase::Running, None) => u8::try_from(status.code().unwrap_or(0) & 0xff).unwrap_or(u8::MAX),
            (Phase::Running, Some(signal)) => {
                let came = timeout(SAME_SIGNAL, signals.next());
                if Signals::takes(signal) && came.await.is_ok_and(|caught| caught.number == signal) {
                    return exit::OK;
                }
                complain(&format!("pid {} died of {}", self.pid, platform::signal_name(signal)));
                u8::try_from(signal).map_or(u8::MAX, |signal| exit::SIGNAL.saturating_add(signal))
            }
        }
    }
}
