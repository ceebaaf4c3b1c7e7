//! What is shared about an instance that this process holds: between the program's threads, which have the
//! [`crate::Holder`], and the answering thread, which serves it.
//!
//! Two locks. `core` guards files, sockets and life: lock, unlock, tick and release happen under it. `face` guards what
//! is shown to askers and is never held across a system call, so that answering waits for nothing of the program.

use std::{
    collections::VecDeque,
    ffi::OsString,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use incumbent_proto::{Child, Phase, StatusReply, StopReason};
use tokio::sync::watch;

use crate::{
    endpoint::Endpoint,
    history::Entry,
    instance_id::InstanceId,
    lag::Lag,
    message::Inbox,
    offer::{FailedTakeover, Offering},
    overtime::LastWords,
    pid_file::PidFile,
    place::Place,
    platform::{self, Listener, Supervisor},
    record::Record,
};

/// How far the life of a holder has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It holds the instance, and answers.
    Holding,
    /// It let go by itself.
    Released,
    /// Another holds the instance.
    Deposed,
}

/// An instance that this process holds.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) place: Place,
    pub(crate) id: InstanceId,
    pub(crate) generation: u64,
    pub(crate) began: Instant,
    /// The same moment on the wall clock, in microseconds since 1970.
    pub(crate) started_at_us: i64,
    pub(crate) version: String,
    pub(crate) command: Arc<[OsString]>,
    /// The process that claimed it; a forked child is another, and releases, unlinks and answers nothing.
    pub(crate) process: u32,
    /// Who may speak, beside root: the owner of the directory.
    pub(crate) owner: u32,
    pub(crate) core: Mutex<Core>,
    pub(crate) face: Mutex<Face>,
    pub(crate) life: watch::Sender<Life>,
    pub(crate) stop: watch::Sender<Option<StopAsked>>,
    pub(crate) busy: watch::Sender<u64>,
    pub(crate) lag: Lag,
    /// The service manager that started this process.
    pub(crate) supervisor: Option<Supervisor>,
    /// How many of those who asked it to make room are still connected.
    pub(crate) successors: AtomicUsize,
    /// Files are being put back, or a judge is at work, on a thread of its own.
    pub(crate) mending: AtomicBool,
    /// Somebody who is going to take over has asked what is handed over, and is connected.
    pub(crate) handing: AtomicBool,
    /// The last takeovers that failed while it served.
    pub(crate) failed: watch::Sender<Vec<FailedTakeover>>,
}

/// Files and sockets.
#[derive(Debug)]
pub(crate) struct Core {
    /// The one that the path names, and behind it those that it named before: others may still wait on their locks.
    pub(crate) files: VecDeque<PidFile>,
    pub(crate) endpoint: Option<Endpoint>,
    pub(crate) abstract_name: Option<Listener>,
    pub(crate) record: Record,
    /// The record's file as it was written; another's has another mark. None: it could not be written yet.
    pub(crate) record_mark: Option<platform::Mark>,
    /// How the predecessor ended, while the history could not be told yet.
    pub(crate) untold: Option<Entry>,
}

/// What askers are shown.
#[derive(Debug)]
pub(crate) struct Face {
    pub(crate) phase: Phase,
    pub(crate) note: Option<String>,
    /// Whether the program counts its work, or is asked to stop only if idle.
    pub(crate) counts_work: bool,
    pub(crate) draining: bool,
    /// How long it has to stop, unless the asker says.
    pub(crate) grace: Duration,
    pub(crate) child: Option<Child>,
    pub(crate) messages: Option<Inbox>,
    /// What the holder had to go without, and why.
    pub(crate) problems: Vec<(Problem, String)>,
    /// Why it does not stop when it is asked to.
    pub(crate) refusal: Option<String>,
    /// How long after the grace the answering thread ends the process; none: it does not.
    pub(crate) overtime: Option<Duration>,
    /// What is said then.
    pub(crate) last_words: Option<LastWords>,
    /// The program had to be killed after the grace.
    pub(crate) overran: bool,
    /// What is handed over to a successor.
    pub(crate) offer: Offering,
    usage: Usage,
}

/// What a holder can go without, for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Problem {
    AbstractName,
    Record,
    PidText,
    History,
    Paths,
    Takeover,
}

/// Processor time at an earlier moment, so that a percentage can be said.
#[derive(Debug)]
struct Usage {
    at: Instant,
    cpu: Duration,
    percent: Option<f64>,
}

/// What a holder was asked: to stop.
#[derive(Debug, Clone)]
pub(crate) struct StopAsked {
    pub(crate) reason: StopReason,
    pub(crate) grace: Option<Duration>,
    pub(crate) at: Instant,
    pub(crate) pid: Option<u32>,
    pub(crate) command: String,
    /// Who asks has got ready beside it: let go first, drain then.
    pub(crate) is_ready: bool,
}

/// What a holder says to a wish to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It stops, and has this time.
    Goes(Duration),
    /// It has so much work in flight, and was to stop only if idle.
    Busy(u64),
    /// It does not, and why.
    Refused(String),
}

/// One who asked the holder to make room, while he is connected.
#[derive(Debug)]
pub(crate) struct Successor(Arc<Held>);

impl Successor {
    pub(crate) fn of(held: &Arc<Held>) -> Self {
        held.successors.fetch_add(1, Ordering::AcqRel);
        Self(held.clone())
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        self.0.successors.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The time that a holder has to stop, unless it is told another.
pub(crate) const DEFAULT_GRACE: Duration = Duration::from_secs(30);
/// Longer than any drain; a wish for more is cut to it.
const LONGEST_GRACE: Duration = Duration::from_secs(365 * 24 * 3600);

impl StopAsked {
    /// When the grace is over.
    pub(crate) fn ends_at(&self) -> Instant {
        self.at + self.grace.unwrap_or(DEFAULT_GRACE).min(LONGEST_GRACE)
    }

    /// How much of the grace is left.
    pub(crate) fn remaining(&self) -> Duration {
        self.ends_at().saturating_duration_since(Instant::now())
    }
}

impl Face {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Starting,
            note: None,
            counts_work: false,
            draining: false,
            grace: DEFAULT_GRACE,
            child: None,
            messages: None,
            problems: Vec::new(),
            refusal: None,
            overtime: Some(Duration::ZERO),
            last_words: None,
            overran: false,
            offer: Offering::None,
            usage: Usage { at: Instant::now(), cpu: Duration::ZERO, percent: None },
        }
    }
}

impl Held {
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn face(&self) -> MutexGuard<'_, Face> {
        self.face.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether this is the process that claimed it, and not a forked child.
    pub(crate) fn is_here(&self) -> bool {
        self.process == std::process::id()
    }

    pub(crate) fn is_holding(&self) -> bool {
        self.is_here() && *self.life.borrow() == Life::Holding
    }

    /// Says what it goes without; none: not any more.
    pub(crate) fn set_problem(&self, what: Problem, why: Option<String>) {
        let mut face = self.face();
        let before = face.problems.iter().position(|(known, _)| *known == what);
        match (before, why) {
            (Some(at), Some(why)) => face.problems[at].1 = why,
            (None, Some(why)) => {
                tracing::warn!(instance = %self.place.name, "{why}");
                face.problems.push((what, why));
            }
            (Some(at), None) => drop(face.problems.remove(at)),
            (None, None) => {}
        }
    }

    /// The answer to a status request. Touches no disk and waits for nothing of the program.
    pub(crate) fn status(&self) -> StatusReply {
        let usage = platform::self_usage();
        let lag_us = self.lag.now_us();
        let busy = *self.busy.borrow();
        let mut face = self.face();
        let problem = (!face.problems.is_empty())
            .then(|| face.problems.iter().map(|(_, why)| why.as_str()).collect::<Vec<_>>().join("; "));
        StatusReply {
            phase: if face.draining { Phase::Draining } else { face.phase },
            pid: self.process,
            instance_id: self.id.to_bytes(),
            generation: self.generation,
            started_at_us: self.started_at_us,
            uptime_us: u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            version: self.version.clone(),
            command: self.command.iter().map(platform::to_bytes).collect(),
            note: face.note.clone(),
            busy: face.counts_work.then_some(busy),
            supervisor: self.supervisor.as_ref().map(|supervisor| supervisor.kind.to_owned()),
            rss_bytes: usage.rss_bytes,
            cpu_percent: usage.cpu_time.map(|cpu| face.usage.percent(cpu)),
            lag_us,
            child: face.child.clone(),
            problem,
        }
    }

    /// Answers a wish to stop, and passes it on. Decided in one step, and a promise: it goes on when the asker goes away.
    ///
    /// The first wish stands; a later one can only shorten the time, or make an end of what was to make room.
    pub(crate) fn begin_stop(&self, mut asked: StopAsked, if_idle: bool) -> Answered {
        if let Some(why) = self.refuses(asked.reason, asked.pid) {
            return Answered::Refused(why);
        }
        let mut face = self.face();
        let busy = *self.busy.borrow();
        if if_idle && busy > 0 {
            return Answered::Busy(busy);
        }
        face.draining = true;
        let grace = asked.grace.unwrap_or(face.grace).min(LONGEST_GRACE);
        drop(face);
        asked.grace = Some(grace);
        let is_ready = asked.is_ready;
        self.stop.send_modify(|before| {
            let shall_end = |asked: &StopAsked| !asked.reason.is_replace();
            let ends = before.as_ref().is_some_and(shall_end) || shall_end(&asked);
            match before {
                Some(before) if before.remaining() <= grace => {}
                _ => *before = Some(asked),
            }
            if let (true, Some(now)) = (ends, before.as_mut()) {
                now.reason = StopReason::Stop;
            }
            if let Some(now) = before {
                now.is_ready |= is_ready;
            }
        });
        crate::answer::post_changed(self);
        Answered::Goes(self.stop.borrow().as_ref().map_or(grace, StopAsked::remaining))
    }

    /// Why it does not go for this reason, if it does not.
    pub(crate) fn refuses(&self, reason: StopReason, pid: Option<u32>) -> Option<String> {
        let foreign = reason == StopReason::Replace && self.is_anothers(pid);
        let face = self.face();
        match (&face.refusal, &self.supervisor) {
            (Some(refusal), _) if reason != StopReason::ReplaceAnyway => Some(refusal.clone()),
            (_, Some(supervisor)) if foreign => Some(crate::sentence::supervised_by(supervisor)),
            _ => None,
        }
    }

    /// Whether a process is none of the service that this holder is: its manager would start this one again.
    fn is_anothers(&self, pid: Option<u32>) -> bool {
        let Some(supervisor) = &self.supervisor else { return false };
        let unit = pid.and_then(platform::process::unit_of);
        supervisor.unit.is_none()
            || unit.is_none_or(|(unit, user)| Some(unit) != supervisor.unit || user != supervisor.user)
    }

    /// Gives it so much time from now, if it has less.
    pub(crate) fn extend_grace(&self, by: Duration) {
        self.stop.send_if_modified(|asked| match asked {
            Some(asked) if asked.remaining() < by => {
                asked.grace = Some((asked.at.elapsed() + by).min(LONGEST_GRACE));
                true
            }
            _ => false,
        });
        crate::answer::post_changed(self);
    }

    /// When the answering thread ends the process, if it has not left by then.
    pub(crate) fn is_ended_at(&self) -> Option<Instant> {
        let overtime = self.face().overtime?;
        let ends_at = self.stop.borrow().as_ref().map(StopAsked::ends_at)?;
        self.is_holding().then(|| ends_at + overtime.min(LONGEST_GRACE))
    }

    /// Tells whether something of what this holder writes about itself could not be written yet.
    pub(crate) fn is_unwritten(&self, core: &Core) -> bool {
        let no_text = self.face().problems.iter().any(|(what, _)| *what == Problem::PidText);
        let untold = *self.failed.borrow() != core.record.failed_takeovers;
        core.record_mark.is_none() || core.untold.is_some() || no_text || untold
    }

    /// Takes the right to mend or to judge; one at a time.
    pub(crate) fn begin_mending(&self) -> bool {
        !self.mending.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn end_mending(&self) {
        self.mending.store(false, Ordering::Release);
    }
}

impl Usage {
    /// Processor time in percent of one processor, to one digit: over the time since the last answer that was at least a
    /// second before, because a shorter time says nothing.
    fn percent(&mut self, cpu: Duration) -> f64 {
        let elapsed = self.at.elapsed();
        match self.percent {
            Some(percent) if elapsed < Duration::from_secs(1) => percent,
            _ => {
                let share = cpu.saturating_sub(self.cpu).as_secs_f64() / elapsed.as_secs_f64().max(0.001);
                let percent = (share * 1000.0).round() / 10.0;
                *self = Self { at: Instant::now(), cpu, percent: Some(percent) };
                percent
            }
        }
    }
}
