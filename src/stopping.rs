//! Asking the incumbent to stop, and seeing that it has gone.
//!
//! Gone means: that instance id does not hold any more. The end of its connection is the event; the proof is the
//! instance lock, which is free, or another holder's answer. Proven by `tests/waiting.rs`.

use std::time::{Duration, Instant};

use incumbent_proto::{Outcome, Progress, ProgressPhase, Reply, Request, StopReason, Watch};

use crate::{
    connection::{Connection, Received},
    decide::Hailed,
    error::{Error, Refusal},
    hail::Patience,
    incumbent::{Incumbent, PATIENCE, unexpected},
    instance_id::InstanceId,
    pid_file,
    platform::Listening,
    process::LockOwner,
};

/// What a holder's end may take beyond its grace: its answering thread ends it a second after at the latest, and a gigabyte
/// takes 70 ms.
pub(crate) const OVERTIME: Duration = Duration::from_secs(2);

/// How an incumbent is asked to stop.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StopOptions {
    /// How long it has; none: as long as it wants to give itself.
    pub grace: Option<Duration>,
    /// Only if no work is in flight.
    pub if_idle: bool,
}

impl StopOptions {
    /// With this grace.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// Only if no work is in flight, which the holder decides in one step.
    #[must_use]
    pub fn if_idle(mut self, if_idle: bool) -> Self {
        self.if_idle = if_idle;
        self
    }
}

/// What came of asking an incumbent to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stopped {
    /// It does not hold the instance any more.
    Gone,
    /// It has so much work in flight, and was to stop only if idle.
    Busy(u64),
    /// It still holds the instance after its grace.
    StillThere,
}

/// How a stop goes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stopping {
    /// What it says that it is doing.
    pub note: String,
    /// Pieces of work in flight, if it counts them.
    pub busy: Option<u64>,
    /// What is left of the grace.
    pub remaining: Duration,
    /// Whether it has begun to stop.
    pub draining: bool,
}

impl Stopping {
    pub(crate) fn of(progress: Progress) -> Self {
        Self {
            note: progress.note,
            busy: progress.busy,
            remaining: Duration::from_millis(progress.remaining_ms),
            draining: matches!(progress.phase, ProgressPhase::Draining | ProgressPhase::Gone),
        }
    }
}

/// The request to stop.
pub(crate) fn wish(reason: StopReason, if_idle: bool, grace: Option<Duration>) -> Request {
    let grace_ms = grace.map_or(incumbent_proto::Stop::HOLDERS_GRACE, |grace| {
        u64::try_from(grace.as_millis()).unwrap_or(u64::MAX - 1)
    });
    Request::Stop(incumbent_proto::Stop {
        reason,
        if_idle,
        grace_ms,
        pid: std::process::id(),
        command: own_command(),
    })
}

/// The command line of this process, for people.
pub(crate) fn own_command() -> String {
    crate::text::command(&std::env::args_os().collect::<Vec<_>>(), 200)
}

impl Incumbent {
    /// Asks it to stop, shows how that goes, and returns when the instance lock is free or its time is up.
    ///
    /// # Errors
    /// [`Error::Refused`] in the holder's words; [`Error::NoAnswer`] when it did not even acknowledge.
    pub fn stop_blocking(
        &self,
        options: &StopOptions,
        mut show: impl FnMut(&Stopping),
    ) -> Result<Stopped, Error> {
        let request = wish(StopReason::Stop, options.if_idle, options.grace);
        let mut connection = self.connect()?;
        let stopping = match connection.ask(&request, "stop", PATIENCE)? {
            Reply::Stopping(stopping) => stopping,
            other => return Err(unexpected("stop", other)),
        };
        match stopping.outcome {
            Outcome::Acknowledged => {}
            Outcome::Busy => return Ok(Stopped::Busy(stopping.busy)),
            Outcome::Refused => return Err(Error::Refused { why: Refusal::Other, note: stopping.note }),
        }
        // What it has, and a moment for the end itself: a gigabyte takes 70 ms.
        let by = |ms: u64| Instant::now() + Duration::from_millis(ms.min(1 << 40)) + OVERTIME;
        let mut deadline = by(stopping.grace_ms);
        while let Ok(Received::Reply(reply)) = connection.receive(Some(deadline), None) {
            if let Reply::Progress(progress) = reply {
                deadline = deadline.max(by(progress.remaining_ms)); // it may have asked for more time
                show(&Stopping::of(progress));
            }
        }
        Ok(if self.gone_before(deadline, &connection) { Stopped::Gone } else { Stopped::StillThere })
    }

    /// Asks it to stop. Works on any executor. As [`Incumbent::stop_blocking`], without the progress.
    ///
    /// # Errors
    /// As [`Incumbent::stop_blocking`].
    pub async fn stop(&self, options: StopOptions) -> Result<Stopped, Error> {
        let incumbent = self.clone();
        crate::blocking::run(move || incumbent.stop_blocking(&options, |_| {})).await
    }

    /// Waits until this holder does not hold the instance any more; `false`: it does at the deadline (none: for ever).
    #[must_use = "it may still be there"]
    pub fn wait_gone_blocking(&self, deadline: Option<Instant>) -> bool {
        let soon = |deadline: Option<Instant>| {
            let soon = Instant::now() + PATIENCE;
            deadline.map_or(soon, |deadline| deadline.min(soon))
        };
        loop {
            // The end of the connection is the event; a holder that closes it for another reason is asked again.
            if let Ok(mut connection) = self.connect_by(soon(deadline)) {
                if connection.say(&Request::Watch(Watch {}), "watch", Instant::now() + PATIENCE).is_ok() {
                    while let Ok(Received::Reply(_)) = connection.receive(deadline, None) {}
                }
                if self.gone_before(soon(deadline), &connection) {
                    return true;
                }
            } else if self.has_gone() {
                return true;
            } else {
                std::thread::sleep(Duration::from_millis(20)); // it lives and does not let anybody in
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return self.has_gone();
            }
        }
    }

    /// Whether this holder does not hold any more: the instance lock is free, or another answers.
    #[must_use]
    pub fn has_gone(&self) -> bool {
        match pid_file::look(&self.place.pid) {
            Ok(None) => !self.may_listen(),
            Ok(Some(locks)) if locks.instance == LockOwner::None => !self.may_listen(),
            Ok(Some(_)) => matches!(self.hailed(), (_, Some(id)) if id != self.instance_id()),
            Err(_) => false,
        }
    }

    /// Whether it answers, or somebody lives and listens who says nothing: robbed of its lock and stopped, it lives.
    fn may_listen(&self) -> bool {
        match self.hailed() {
            (_, Some(id)) => id == self.instance_id(),
            (met, None) => met == Hailed::Silent,
        }
    }

    fn hailed(&self) -> (Hailed, Option<InstanceId>) {
        let deadline = Instant::now() + Duration::from_millis(100);
        let hail = crate::hail::hail(&self.place, Patience::until(deadline), None);
        (hail.met, hail.answer.map(|answered| InstanceId::from_bytes(answered.pong.instance_id)))
    }

    /// After the end of the connection: the lock comes free at the latest when the process has ended.
    fn gone_before(&self, deadline: Instant, connection: &Connection) -> bool {
        let process = match connection.listening() {
            Listening::Process { process, .. } => Some(process),
            Listening::Ended | Listening::Unknown => None,
        };
        let mut pause = Duration::from_millis(1);
        loop {
            if self.has_gone() {
                return true;
            }
            let now = Instant::now();
            if now >= deadline {
                return false;
            }
            let until = deadline.min(now + pause);
            match &process {
                Some(process) if !process.has_ended() => drop(process.wait_ended(until)),
                _ => std::thread::sleep(until - now),
            }
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }
}
