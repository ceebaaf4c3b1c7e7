//! What was seen of an instance, and the verdict that follows: alive, dead, or can't tell.
//!
//! Made by `inspect.rs`, in words by `sentence.rs` and `evidence.rs`, as JSON by `status.rs`. Nothing is looked at here.

use std::{io, time::Duration};

use incumbent_proto::{Identity, Phase, StatusReply};
use serde::Serialize;

use crate::{
    decide::Hailed,
    error::Error,
    hail::{Hail, Note},
    inspect::look_closely,
    instance_id::InstanceId,
    pid_file::Locks,
    place::Place,
    platform,
    process::{LockOwner, Process, ProcessState},
    record::{End, Past, Record},
    status::{PidSource, Status},
};

/// What is the case with an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum State {
    /// Nobody holds it, and the last one released it (or there was none).
    Absent,
    /// Nobody holds it, and the last one did not release it.
    Crashed,
    /// Its holder does not answer yet, or says that it is starting.
    Starting,
    /// Its holder says that it is ready.
    Ready,
    /// Its holder was asked to stop, and is finishing its work.
    Draining,
    /// Its holder lives and does not answer.
    Unresponsive,
    /// It cannot be told.
    Unknown,
}

impl State {
    /// As it stands in the JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Crashed => "crashed",
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Unresponsive => "unresponsive",
            Self::Unknown => "unknown",
        }
    }
}

/// Alive, dead, or can't tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A holder lives.
    Alive,
    /// There is no holder: nobody who lives listens, and the instance lock is free.
    Dead,
    /// Neither is proven.
    CannotTell,
}

/// Why it cannot be told whether an instance is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Doubt {
    /// The kernel could not be asked who has the locks.
    LocksUnseen,
    /// This user may not connect to the socket.
    NotAllowed,
    /// The last holder is on another machine, whose locks are not seen here, and did not release.
    OtherMachine,
    /// So many wait at the socket that no more may.
    Full,
    /// This process could not connect: it has no descriptor or memory left.
    Unasked,
    /// Who listens at the socket does not speak the protocol.
    NotOurs,
    /// Who listens at the socket lives, does not answer, and does not own the instance lock.
    Silent,
}

/// What was seen of an instance. Made by [`crate::Instance::inspect`]; a snapshot that changes nothing.
#[derive(Debug)]
pub struct Inspection {
    pub(crate) place: Place,
    pub(crate) state: State,
    pub(crate) hail: Hail,
    pub(crate) reached: Option<Reached>,
    pub(crate) locks: io::Result<Option<Locks>>,
    pub(crate) owner: Option<Process>,
    pub(crate) claimer: Option<Process>,
    /// Who has the pid file open, where the system does not tell who has the lock.
    pub(crate) keepers: Vec<Process>,
    pub(crate) past: Past,
    /// The record changed while it was looked at: it and the locks are of different moments.
    pub(crate) moved_on: bool,
}

/// What a holder that answered said.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) instance_id: [u8; 16],
    pub(crate) took: Duration,
    pub(crate) peer: platform::Peer,
    pub(crate) status: Option<StatusReply>,
    pub(crate) identity: Option<Identity>,
}

impl Reached {
    /// The holder's process, and who says so.
    pub(crate) fn pid(&self) -> (Option<u32>, PidSource) {
        if self.peer.pid.is_some() || platform::TELLS_PEER_PID {
            return (self.peer.pid, PidSource::Kernel);
        }
        let said = self.status.as_ref().map(|s| s.pid).or(self.identity.as_ref().map(|i| i.pid));
        (said, PidSource::Pong)
    }

    /// Its generation, if it said so.
    fn generation(&self) -> Option<u64> {
        self.status.as_ref().map(|s| s.generation).or(self.identity.as_ref().map(|i| i.generation))
    }
}
impl Inspection {
    /// What a holder said that is being watched; nothing else is looked at.
    pub(crate) fn answered(place: Place, reached: Reached) -> Self {
        let hail = Hail {
            met: Hailed::Pong,
            note: None,
            pid: reached.peer.pid,
            uid: reached.peer.uid,
            answer: None,
        };
        let past = Past::None;
        let state = State::Unknown;
        let mut seen = Self {
            place,
            state,
            hail,
            reached: Some(reached),
            locks: Ok(None),
            owner: None,
            claimer: None,
            keepers: Vec::new(),
            past,
            moved_on: false,
        };
        seen.state = seen.judged();
        seen
    }

    /// What is the case.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Everything that `gateway status --json` shows.
    #[must_use]
    pub fn status(&self) -> Status {
        Status::of(self)
    }

    /// Alive, dead, or can't tell.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.state {
            State::Absent | State::Crashed => Verdict::Dead,
            State::Starting | State::Ready | State::Draining | State::Unresponsive => Verdict::Alive,
            // Its lock speaks for it: only how it is cannot be asked.
            State::Unknown if self.is_held() => Verdict::Alive,
            State::Unknown => Verdict::CannotTell,
        }
    }

    pub(crate) fn instance_lock(&self) -> LockOwner {
        self.locks.as_ref().ok().and_then(Option::as_ref).map_or(LockOwner::None, |locks| locks.instance)
    }

    pub(crate) fn claim_lock(&self) -> LockOwner {
        self.locks.as_ref().ok().and_then(Option::as_ref).map_or(LockOwner::None, |locks| locks.claim)
    }

    pub(crate) fn judged(&self) -> State {
        if let Some(reached) = &self.reached {
            return match reached.status.as_ref().map(|status| status.phase) {
                Some(Phase::Starting) => State::Starting,
                Some(Phase::Draining) => State::Draining,
                _ => State::Ready,
            };
        }
        let silent = self.hail.met == Hailed::Silent;
        match &self.locks {
            Err(_) => State::Unknown,
            Ok(Some(locks)) if locks.instance != LockOwner::None => {
                let stopped = self.owner.as_ref().is_some_and(|p| p.state != ProcessState::Running);
                if !silent && !stopped && locks.claim == locks.instance {
                    State::Starting
                } else if matches!(self.hail.note, Some(Note::Forbidden | Note::Unasked)) {
                    State::Unknown
                } else {
                    State::Unresponsive
                }
            }
            Ok(_) if silent => State::Unknown,
            Ok(_) => match &self.past {
                Past::Record(record) if self.is_on_another_machine(record) => State::Unknown,
                Past::Record(record) if record.end.is_none() => State::Crashed,
                _ => State::Absent,
            },
        }
    }

    /// Tells whether the record's holder is one whose lock the kernel here does not see.
    pub(crate) fn is_on_another_machine(&self, record: &Record) -> bool {
        crate::record::is_on_another_machine(record, &self.place.dir)
    }

    /// Tells whether the recorded holder is (as far as the kernel tells) the one that holds now.
    pub(crate) fn holds_as_recorded(&self) -> bool {
        match (&self.past, self.instance_lock()) {
            (_, LockOwner::None) => false,
            (Past::Record(record), LockOwner::Pid(pid)) => {
                // A holder in a pid namespace below this one recorded another number, but the same start.
                let start = self.owner.as_ref().and_then(|owner| owner.start_ticks);
                record.end.is_none()
                    && (record.pid == pid || (start.is_some() && record.start_ticks == start))
            }
            (Past::Record(record), LockOwner::ElsewhereNamespace) => record.end.is_none(),
            _ => false,
        }
    }

    /// Tells whether the record is of a later generation than the one that answered, as far as that one said which it was:
    /// then it has gone meanwhile, and how the later one is was not asked.
    pub(crate) fn is_outdated(&self) -> bool {
        let (Past::Record(record), Some(reached)) = (&self.past, &self.reached) else { return false };
        record.end.is_none()
            && record.instance_id != InstanceId::from_bytes(reached.instance_id)
            && reached.generation().is_none_or(|answered| record.generation > answered)
    }

    /// Tells whether the recorded generation has not ended, as far as that is known.
    pub(crate) fn recorded_one_runs(&self) -> bool {
        match (&self.past, &self.reached, self.verdict()) {
            (Past::Record(record), Some(reached), _) => {
                record.instance_id == InstanceId::from_bytes(reached.instance_id) || self.is_outdated()
            }
            (_, _, Verdict::Alive) => self.holds_as_recorded(),
            (_, _, Verdict::Dead) => false,
            (_, _, Verdict::CannotTell) => true,
        }
    }

    /// How and when the recorded generation ended, as it looks now.
    pub(crate) fn end_of(record: &Record) -> (End, Option<i64>) {
        record.end_as_seen_now(platform::boot_id().as_deref(), platform::boot_time())
    }

    /// What is wrong, in one sentence; none: nothing is.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        if let Some(reached) = &self.reached {
            return reached.status.as_ref().and_then(|status| status.problem.clone());
        }
        match self.state {
            State::Unresponsive | State::Unknown | State::Crashed => return Some(self.sentence()),
            _ => {}
        }
        match (self.hail.note, &self.past) {
            (Some(Note::Foreign), _) => Some(self.about_the_socket()),
            (Some(Note::NoSocket(_)), _) => Some(self.about_the_socket()),
            (_, Past::Broken(why)) => Some(why.clone()),
            _ => None,
        }
    }

    /// The process that owns the instance lock, as the kernel says. Only told where nobody answered.
    #[must_use]
    pub fn owner(&self) -> Option<&Process> {
        self.owner.as_ref()
    }

    /// Whether somebody owns the instance lock, be it in another pid namespace.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.instance_lock() != LockOwner::None
    }

    /// The process that owns the claim lock, as the kernel says. Only told where nobody answered.
    #[must_use]
    pub fn claimer(&self) -> Option<&Process> {
        self.claimer.as_ref()
    }

    /// The process that listens at the socket, as the kernel says; none: nobody, or it is not told.
    #[must_use]
    pub fn listener(&self) -> Option<Process> {
        self.hail.pid.and_then(look_closely)
    }

    /// What a claim would be refused for although nobody holds: a directory in which nothing can be proven, something in
    /// the way, or a file system without locks. None: nothing that can be seen without trying.
    #[must_use]
    pub fn obstacle(&self) -> Option<Error> {
        self.place.obstacle().or_else(|| {
            let error = self.locks.as_ref().err().filter(|error| platform::means_no_locks(error))?;
            let source =
                error.raw_os_error().map_or(io::Error::from(error.kind()), io::Error::from_raw_os_error);
            Some(Error::NoLocks { path: self.place.pid.clone(), source })
        })
    }

    /// Why it cannot be told; none: it can.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt> {
        if self.state != State::Unknown {
            return None;
        }
        Some(match (&self.locks, self.hail.note, &self.past) {
            (_, Some(Note::Forbidden), _) => Doubt::NotAllowed,
            (Err(_), _, _) => Doubt::LocksUnseen,
            (_, Some(Note::Unasked), _) => Doubt::Unasked,
            (_, _, Past::Record(_)) if self.hail.met != Hailed::Silent => Doubt::OtherMachine,
            (_, Some(Note::Full), _) => Doubt::Full,
            (_, Some(Note::NotOurs), _) => Doubt::NotOurs,
            _ => Doubt::Silent,
        })
    }

    /// Tells whether it cannot be told because this user may not: waiting and asking again change nothing about that.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        let locks = self.locks.as_ref().err().map(io::Error::kind);
        match self.doubt() {
            Some(Doubt::NotAllowed) => true,
            Some(Doubt::LocksUnseen) => locks == Some(io::ErrorKind::PermissionDenied),
            _ => false,
        }
    }

    /// The instance id of the incumbent that answered.
    #[must_use]
    pub fn instance_id(&self) -> Option<InstanceId> {
        self.reached.as_ref().map(|reached| InstanceId::from_bytes(reached.instance_id))
    }
}
