//! What is shared about an instance that this process holds: between the program's threads, which have the
//! [`crate::Holder`], and the answering thread, which serves it.
//!
//! Two locks. `core` guards files, sockets and life: lock, unlock, tick and release happen under it. `face` guards what
//! is shown to askers and is never held across a system call, so that answering waits for nothing of the program.

use std::{
    collections::VecDeque,
    ffi::OsString,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use incumbent_proto::{Child, Phase, StatusReply, StopReason};
use tokio::sync::{mpsc, watch};

use crate::{
    endpoint::Endpoint,
    history::Entry,
    holder::Message,
    instance_id::InstanceId,
    lag::Lag,
    pid_file::PidFile,
    place::Place,
    platform::{self, Listener},
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
    pub(crate) command: Vec<OsString>,
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
    /// Files are being put back, or a judge is at work, on a thread of its own.
    pub(crate) mending: AtomicBool,
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
    pub(crate) messages: Option<mpsc::UnboundedSender<Message>>,
    /// What the holder had to go without, and why.
    pub(crate) problems: Vec<(Problem, String)>,
    pub(crate) supervisor: Option<String>,
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
            supervisor: platform::supervisor().map(|s| s.kind.to_owned()),
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
            command: self.command.iter().map(|word| word.as_encoded_bytes().to_vec()).collect(),
            note: face.note.clone(),
            busy: face.counts_work.then_some(busy),
            supervisor: face.supervisor.clone(),
            rss_bytes: usage.rss_bytes,
            cpu_percent: usage.cpu_time.map(|cpu| face.usage.percent(cpu)),
            lag_us,
            child: face.child.clone(),
            problem,
        }
    }

    /// Passes on a wish to stop: how long there is, or how much is in flight if it must be idle. Decided in one step.
    ///
    /// The first wish stands; a later one can only shorten the time.
    pub(crate) fn begin_stop(&self, mut asked: StopAsked, if_idle: bool) -> Result<Duration, u64> {
        let mut face = self.face();
        let busy = *self.busy.borrow();
        if if_idle && busy > 0 {
            return Err(busy);
        }
        face.draining = true;
        let grace = asked.grace.unwrap_or(face.grace).min(LONGEST_GRACE);
        drop(face);
        asked.grace = Some(grace);
        self.stop.send_modify(|before| match before {
            Some(before) if before.remaining() <= grace => {}
            _ => *before = Some(asked),
        });
        crate::answer::post_changed(self);
        Ok(self.stop.borrow().as_ref().map_or(grace, StopAsked::remaining))
    }

    /// Tells whether something of what this holder writes about itself could not be written yet.
    pub(crate) fn is_unwritten(&self, core: &Core) -> bool {
        let no_text = self.face().problems.iter().any(|(what, _)| *what == Problem::PidText);
        core.record_mark.is_none() || core.untold.is_some() || no_text
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
