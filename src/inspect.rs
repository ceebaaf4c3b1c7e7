//! Looking at an instance: every piece of evidence, and the verdict that follows from it.
//!
//! Looking makes and writes nothing, unlinks nothing, and takes no lock, not for an instant: a status call that cleans
//! up is how others let a second holder in. Alive: a pong. Dead: nobody who lives listens, **and** the instance lock is
//! free. Everything else: can't tell. Proven by `tests/looking.rs`.

use std::{
    io,
    time::{Duration, Instant},
};

use incumbent_proto::{Identify, Identity, Phase, Reply, Request, StatusReply, StatusRequest};
use serde::Serialize;

use crate::{
    decide::Hailed,
    error::{DirectoryFault, Error},
    hail::{self, Answered, Hail, Note, Patience},
    instance::{Instance, Place},
    instance_id::InstanceId,
    pid_file::{self, Locks},
    platform,
    process::{LockOwner, Process, ProcessState},
    record::{End, Past, Record},
    status::{PidSource, Status},
};

/// Between the lock and the first answer, or between the last answer and the end, a holder may be caught without a
/// pong although all is well: so long it is asked again.
const SETTLE: Duration = Duration::from_millis(250);

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

/// What was seen of an instance. Made by [`Instance::inspect`]; a snapshot that changes nothing.
#[derive(Debug)]
pub struct Inspection {
    pub(crate) place: Place,
    pub(crate) state: State,
    pub(crate) hail: Hail,
    pub(crate) reached: Option<Reached>,
    pub(crate) locks: io::Result<Option<Locks>>,
    pub(crate) owner: Option<Process>,
    pub(crate) claimer: Option<Process>,
    pub(crate) past: Past,
    /// The record changed while it was looked at: it and the locks are of different moments.
    moved_on: bool,
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
}

impl Instance {
    /// Looks at the instance, within the timeout. Blocks its thread until then at the longest; disturbs nothing.
    ///
    /// # Errors
    /// The directory may not be read ([`Error::is_not_allowed`]), or is none.
    pub fn inspect_blocking(&self, timeout: Duration) -> Result<Inspection, Error> {
        inspect(&self.place()?, Instant::now() + timeout)
    }

    /// Looks at the instance, within two seconds; disturbs nothing. Works on any executor.
    ///
    /// # Errors
    /// As [`Instance::inspect_blocking`].
    pub async fn inspect(&self) -> Result<Inspection, Error> {
        let instance = self.clone();
        crate::blocking::run(move || instance.inspect_blocking(Duration::from_secs(2))).await
    }
}

/// Looks at a place until the deadline.
pub(crate) fn inspect(place: &Place, deadline: Instant) -> Result<Inspection, Error> {
    may_look(place)?;
    let settled = deadline.min(Instant::now() + SETTLE);
    let ask = Request::Status(StatusRequest {});
    let mut pause = Duration::from_millis(1);
    loop {
        let hail = hail::hail(place, Patience::until(deadline), Some(&ask));
        let inspection = conclude(place.clone(), hail, deadline);
        let owned = !matches!(inspection.instance_lock(), LockOwner::None);
        let between =
            inspection.hail.met == Hailed::Nobody && owned && inspection.state == State::Unresponsive;
        // A holder that came meanwhile has a record without an end: it must not be taken for one that crashed.
        let between = between || (inspection.moved_on && inspection.reached.is_none());
        if !between || Instant::now() >= settled {
            return Ok(inspection);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Refuses where nothing can be seen, before anything is concluded from seeing nothing.
pub(crate) fn may_look(place: &Place) -> Result<(), Error> {
    let fault = |fault| Err(Error::Directory { path: place.dir.clone(), fault });
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::PermissionDenied => fault(DirectoryFault::Forbidden(source)),
        io::ErrorKind::NotADirectory => fault(DirectoryFault::NotADirectory),
        _ => fault(DirectoryFault::Unusable(source)),
    };
    match platform::behind(&place.dir) {
        Ok(Some(facts)) if facts.kind != platform::Kind::Directory => {
            return fault(DirectoryFault::NotADirectory);
        }
        Ok(_) => {}
        Err(error) => return refused(error),
    }
    match platform::at(&place.pid) {
        Ok(_) => Ok(()),
        Err(error) => refused(error),
    }
}

pub(crate) fn conclude(place: Place, mut hail: Hail, deadline: Instant) -> Inspection {
    let reached = hail.answer.take().map(|answered| ask_more(*answered, deadline));
    let before = platform::mark_of(&place.record);
    let locks = pid_file::look(&place.pid);
    let process = |owner: LockOwner| match owner {
        LockOwner::Pid(pid) => look_closely(pid),
        _ => None,
    };
    let past = Record::read(&place.record);
    let (owner, claimer) = match &locks {
        // With a pong nothing needs to be said about who owns what.
        Ok(Some(locks)) if reached.is_none() => (process(locks.instance), process(locks.claim)),
        _ => (None, None),
    };
    let moved_on = platform::mark_of(&place.record) != before;
    let mut seen =
        Inspection { place, state: State::Unknown, hail, reached, locks, owner, claimer, past, moved_on };
    seen.state = seen.judged();
    seen
}

/// A process that does not answer: whether it is frozen matters, too.
fn look_closely(pid: u32) -> Option<Process> {
    let mut process = Process::of(pid).ok().flatten()?;
    if process.state == ProcessState::Running {
        process.check_frozen();
    }
    Some(process)
}

/// The status that was asked for with the ping; of an unknown version at least its identity.
fn ask_more(answered: Answered, deadline: Instant) -> Reached {
    let Answered { pong, mut connection, took } = answered;
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(10));
    let mut reached = Reached {
        instance_id: pong.instance_id,
        took,
        peer: connection.peer(),
        status: None,
        identity: None,
    };
    match connection.answer("status", Instant::now() + left, left) {
        Ok(Reply::StatusIs(status)) => reached.status = Some(*status),
        _ => {
            if let Ok(Reply::Identity(identity)) =
                connection.ask(&Request::Identify(Identify {}), "identify", left)
            {
                reached.identity = Some(identity);
            }
        }
    }
    reached
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
            State::Unknown => Verdict::CannotTell,
        }
    }

    pub(crate) fn instance_lock(&self) -> LockOwner {
        self.locks.as_ref().ok().and_then(Option::as_ref).map_or(LockOwner::None, |locks| locks.instance)
    }

    pub(crate) fn claim_lock(&self) -> LockOwner {
        self.locks.as_ref().ok().and_then(Option::as_ref).map_or(LockOwner::None, |locks| locks.claim)
    }

    fn judged(&self) -> State {
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

    /// Tells whether the recorded generation has not ended, as far as that is known.
    pub(crate) fn recorded_one_runs(&self) -> bool {
        match (&self.past, &self.reached, self.verdict()) {
            (Past::Record(record), Some(reached), _) => {
                record.instance_id == InstanceId::from_bytes(reached.instance_id)
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

    /// What a claim would be refused for although nobody holds: a directory in which nothing can be proven, or something
    /// in the way. None: nothing that can be seen without trying.
    #[must_use]
    pub fn obstacle(&self) -> Option<Error> {
        self.place.obstacle()
    }

    /// Why it cannot be told; none: it can.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt> {
        if self.state != State::Unknown {
            return None;
        }
        Some(match (&self.locks, self.hail.note, &self.past) {
            (Err(_), _, _) => Doubt::LocksUnseen,
            (_, Some(Note::Forbidden), _) => Doubt::NotAllowed,
            (_, Some(Note::Unasked), _) => Doubt::Unasked,
            (_, _, Past::Record(_)) if self.hail.met != Hailed::Silent => Doubt::OtherMachine,
            (_, Some(Note::Full), _) => Doubt::Full,
            (_, Some(Note::NotOurs), _) => Doubt::NotOurs,
            _ => Doubt::Silent,
        })
    }

    /// The instance id of the incumbent that answered.
    #[must_use]
    pub fn instance_id(&self) -> Option<InstanceId> {
        self.reached.as_ref().map(|reached| InstanceId::from_bytes(reached.instance_id))
    }
}
