//! Looking at an instance: every piece of evidence, and the verdict that follows from it.
//!
//! Looking makes and writes nothing, unlinks nothing, and takes no lock, not for an instant: a status call that cleans
//! up is how others let a second holder in. Alive: a pong. Dead: nobody who lives listens, **and** the instance lock is
//! free. Everything else: can't tell. Proven by `tests/looking_commands.rs`.

use std::{
    io,
    time::{Duration, Instant},
};

use incumbent_proto::{Identify, Reply, Request, StatusRequest};

use crate::{
    blocking::deadline_in,
    decide::Hailed,
    error::{DirectoryFault, Error},
    hail::{self, Also, Answered, Hail, Patience},
    inspection::{Inspection, Reached, State},
    instance::Instance,
    pid_file,
    place::Place,
    platform,
    process::{LockOwner, Process, ProcessState},
    record::{End, Past, Record},
};

/// Between the lock and the first answer, or between the last answer and the end, a holder may be caught without a
/// pong although all is well: so long it is asked again.
const SETTLE: Duration = Duration::from_millis(250);
impl Instance {
    /// Looks at the instance, within the timeout. Blocks its thread until then at the longest; disturbs nothing.
    ///
    /// # Errors
    /// The directory may not be read ([`Error::is_not_allowed`]), or is none.
    pub fn inspect_blocking(&self, timeout: Duration) -> Result<Inspection, Error> {
        inspect(&self.place()?, deadline_in(timeout))
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
    inspect_after(place, deadline, false)
}

/// Looks at a place after a claim. `is_busy`: the instance lock was tried, and could not be had.
pub(crate) fn inspect_after(place: &Place, deadline: Instant, is_busy: bool) -> Result<Inspection, Error> {
    may_look(place)?;
    let settled = deadline.min(Instant::now() + SETTLE);
    let ask = Request::Status(StatusRequest {});
    let mut pause = Duration::from_millis(1);
    loop {
        let hail = hail::hail(place, Patience::until(deadline), Some(&ask));
        let inspection = conclude(place.clone(), hail, deadline, is_busy);
        let owned = !matches!(inspection.instance_lock(), LockOwner::None);
        let between =
            inspection.hail.met == Hailed::Nobody && owned && inspection.state == State::Unresponsive;
        // A holder that came meanwhile has a record without an end: it must not be taken for one that crashed.
        let between =
            between || (inspection.moved_on && inspection.reached.is_none()) || inspection.is_outdated();
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
    let there = platform::at(&place.pid);
    if matches!(there, Ok(Some(_))) {
        return Ok(()); // the directory is one, and its files can be seen
    }
    match platform::behind(&place.dir) {
        Ok(Some(facts)) if facts.kind != platform::Kind::Directory => fault(DirectoryFault::NotADirectory),
        Ok(_) => there.map(drop).or_else(refused),
        Err(error) => refused(error),
    }
}

/// What a hail and a look at locks and record come to. `is_busy`: as for [`inspect_after`].
pub(crate) fn conclude(place: Place, mut hail: Hail, deadline: Instant, is_busy: bool) -> Inspection {
    let reached = hail.answer.take().map(|answered| ask_more(*answered, deadline));
    let before = platform::mark_of(&place.record);
    let mut locks = pid_file::look(&place.pid);
    if let (false, true, Ok(Some(locks))) = (platform::NAMES_OWNERS, is_busy, &mut locks) {
        if locks.instance == LockOwner::None {
            locks.instance = LockOwner::ElsewhereNamespace; // to look tells less there than to try
        }
    }
    let process = |owner: LockOwner| match owner {
        LockOwner::Pid(pid) => look_closely(pid),
        _ => None,
    };
    let mut past = Record::of_place(&place);
    let (owner, claimer) = match &locks {
        // With a pong nothing needs to be said about who owns what.
        Ok(Some(locks)) if reached.is_none() => (process(locks.instance), process(locks.claim)),
        _ => (None, None),
    };
    if let (Past::Record(record), Ok(Some(locks))) = (&mut past, &locks) {
        // The last holder has emptied its pid file, but could not write into the record that it released.
        let free = reached.is_none() && locks.instance == LockOwner::None && record.end.is_none();
        let is_its =
            || matches!(platform::at(&place.pid), Ok(Some(facts)) if record.is_its_pid_file(facts.id));
        if free && is_its() && matches!(pid_file::text(&place.pid), Ok(Some(text)) if text.is_empty()) {
            record.end = Some(End::Released);
        }
    }
    let keepers = match &locks {
        Ok(Some(locks)) if reached.is_none() && locks.instance == LockOwner::ElsewhereNamespace => {
            platform::who_has_open(&place.pid)
        }
        _ => Vec::new(),
    };
    let keepers = keepers.into_iter().filter_map(look_closely).collect();
    let moved_on = platform::mark_of(&place.record) != before;
    let state = State::Unknown;
    let mut seen = Inspection { place, state, hail, reached, locks, owner, claimer, keepers, past, moved_on };
    seen.state = seen.judged();
    seen
}

/// A process that does not answer: whether it is frozen matters, too.
pub(crate) fn look_closely(pid: u32) -> Option<Process> {
    let mut process = Process::of(pid).ok().flatten()?;
    if process.state == ProcessState::Running {
        process.check_frozen();
    }
    Some(process)
}

/// The status that was asked for with the ping; of an unknown version at least its identity.
fn ask_more(answered: Answered, deadline: Instant) -> Reached {
    let Answered { pong, mut connection, took, also } = answered;
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(10));
    let (is_owed, status) = (matches!(also, Also::Owed), also.status());
    let mut identity = None;
    if status.is_none() && !is_owed {
        if let Ok(Reply::Identity(it)) = connection.ask(&Request::Identify(Identify {}), "identify", left) {
            identity = Some(it);
        }
    }
    Reached { instance_id: pong.instance_id, took, peer: connection.peer(), status, identity }
}
