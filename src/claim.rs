//! The claim: the attempt to become the holder, carried out. What to do next is decided in `decide.rs`; the numbers
//! are its steps.
//!
//! 1. **Hail** the path and, on Linux, the abstract name. A pong: lost. Silence of a living process is waited out.
//! 2. **Claim lock**, and the path still names the file. Busy: somebody is claiming; wait for a pong or for the lock.
//! 3. **Instance lock**, and the path again. Busy: the holder lives but did not answer. Let go of both together
//!    (holding one while retrying the other livelocks), and hail until the deadline.
//! 4. **Hail once more**, always. A pong: lost. A living listener that is silent: can't tell, never won. Its process
//!    has ended: an orphan, go on; it is ending: its end is waited for with the locks in hand.
//! 5. **Abstract name**. Taken by an orphan or a stranger: go on without, and say so. *Then* read the old record, which
//!    is how the predecessor ended, and the clock: the generation is the larger of the old one + 1 and the microseconds
//!    since 1970.
//! 6. **Endpoint**: bind beside, listen, rename into place, so that a path never names a socket that has yet to listen.
//!    Then both locks anew, and the path: otherwise close everything and start over.
//! 7. Write record, pid and history, **answer**, and let go of the claim lock: won.
//!
//! Everybody claims under the claim lock, so two never claim at once. All locks are the kernel's, so a contender killed
//! anywhere in this leaves nothing behind. Proven by `tests/killed.rs`, `tests/herd.rs`, `tests/own_process.rs`.

use std::{
    io::ErrorKind,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    answer,
    blocking::deadline_in,
    decide::{self, AbstractName, Hailed, LastHolder, Lock, Seen, Step, Up},
    endpoint::Endpoint,
    error::Error,
    force,
    found::Found,
    hail::{self, Hail, Note, Patience},
    held::{Held, Problem},
    holder::Holder,
    incumbent::Incumbent,
    inspect,
    instance::Instance,
    pid_file::{Opened, PidFile, Which},
    place::Place,
    platform::{self, Listener},
    record::{self, Past, Record},
};

/// How long a listener that lives and is silent is waited for while the locks are in hand; without them, longer.
const UNDER_LOCKS: Duration = Duration::from_millis(250);
/// How long a name at which nobody listens is tried again: one that is being released lets go of it in a moment.
const NAME_PATIENCE: Duration = Duration::from_millis(5);
/// How long a process that is being ended by force has between the asking and the killing, and after the killing.
const FORCED_GRACE: Duration = Duration::from_secs(2);

/// What came of a claim.
#[derive(Debug)]
#[must_use = "a claim that was won is released when it is dropped"]
pub enum Claim {
    /// This process holds the instance.
    Won(Holder),
    /// Another does, and answers.
    Lost(Incumbent),
}

impl Instance {
    /// Claims the instance. Works on any executor, or none; the work is done on a thread of its own.
    ///
    /// Takes under a millisecond when nobody is there; at the longest the claim timeout ([`Instance::claim_timeout`],
    /// 5 s) when there is a holder that does not answer. Dropping the future gives up what it may yet win.
    ///
    /// # Errors
    /// [`Error::Unresponsive`] and [`Error::Claiming`] when another is there and it cannot be told that it is dead;
    /// anything else says what is in the way.
    pub async fn claim(&self) -> Result<Claim, Error> {
        let instance = self.clone();
        crate::blocking::run(move || instance.claim_blocking()).await
    }

    /// Claims the instance on this thread. As [`Instance::claim`].
    ///
    /// # Errors
    /// As [`Instance::claim`].
    pub fn claim_blocking(&self) -> Result<Claim, Error> {
        Contender::new(self, false)?.claim()
    }

    /// Claims the instance, and ends a contender that keeps the claim lock and does nothing with it.
    ///
    /// Such a one is stopped or hung: it is asked to end (`SIGCONT`, `SIGTERM`), then killed, through a handle that was
    /// proven to be the lock's owner. A *holder* is never ended by this. It also claims past the record of a holder on
    /// another machine.
    ///
    /// # Errors
    /// As [`Instance::claim`], and [`Error::NotForced`].
    pub fn claim_forced_blocking(&self) -> Result<Claim, Error> {
        Contender::new(self, true)?.claim()
    }
}

/// A process that wants to become the holder, and what it has in hand.
struct Contender<'a> {
    instance: &'a Instance,
    place: Place,
    deadline: Instant,
    force: bool,
    pause: Duration,
    file: Option<PidFile>,
    abstract_name: Option<Listener>,
    endpoint: Option<Endpoint>,
    past: Past,
    last_hail: Option<Hail>,
    problems: Vec<(Problem, String)>,
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

impl<'a> Contender<'a> {
    fn new(instance: &'a Instance, force: bool) -> Result<Self, Error> {
        Ok(Self {
            instance,
            place: instance.place()?,
            deadline: deadline_in(instance.timeout()),
            force,
            pause: SHORTEST_PAUSE,
            file: None,
            abstract_name: None,
            endpoint: None,
            past: Past::None,
            last_hail: None,
            problems: Vec::new(),
        })
    }

    fn claim(mut self) -> Result<Claim, Error> {
        self.place.refuse_foreign()?;
        let mut seen = Seen::Nothing;
        loop {
            let step = decide::next(seen, Instant::now() >= self.deadline);
            tracing::trace!(instance = %self.place.name, ?seen, ?step);
            seen = match step {
                Step::Hail => Seen::Hailed(self.hail(Patience::until(self.deadline))?),
                Step::TakeClaimLock => Seen::ClaimLock(self.take_claim_lock()?),
                Step::TakeInstanceLock => Seen::InstanceLock(self.take(Which::Instance)?),
                Step::HailAgain => Seen::HailedAgain(self.hail(self.patience_under_locks())?),
                Step::TakeAbstractName => Seen::AbstractName(self.take_abstract_name()),
                Step::ReadRecord => Seen::LastHolder(self.read_record()),
                Step::Bind => {
                    self.endpoint = Some(Endpoint::bind(&self.place)?);
                    Seen::Bound
                }
                Step::CheckAgain => Seen::Checked(self.check_again()?),
                Step::Answer => return self.answer().map(Claim::Won),
                Step::Pause => {
                    self.let_go();
                    std::thread::sleep(self.pause);
                    self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                    Seen::Nothing
                }
                Step::StartOver => {
                    self.let_go();
                    Seen::Nothing
                }
                Step::Give(up) => {
                    self.let_go();
                    if up == Up::Claiming && self.force {
                        self.force_past_contender()?;
                        self.deadline = deadline_in(self.instance.timeout());
                        Seen::Nothing
                    } else {
                        return self.give(up);
                    }
                }
            };
        }
    }

    /// Lets go of everything together.
    fn let_go(&mut self) {
        for listener in self.endpoint.take().map(|e| e.listener).into_iter().chain(self.abstract_name.take())
        {
            listener.shut_down();
        }
        self.file = None;
        self.problems.clear();
    }

    fn hail(&mut self, patience: Patience) -> Result<Hailed, Error> {
        let hail = hail::hail(&self.place, patience, None);
        if hail.note == Some(Note::Unasked) {
            // Nothing was asked, so nothing is known. Opening the pid file would fail as well.
            let source = std::io::Error::other("too many open files, or no memory left");
            return Err(Error::io("connect to", &self.place.socket(), source));
        }
        let met = hail.met;
        self.last_hail = Some(hail);
        Ok(met)
    }

    /// Short for one that lives, so that its tick finds the locks free again; long for one that is ending.
    fn patience_under_locks(&self) -> Patience {
        let soon = Instant::now() + UNDER_LOCKS;
        Patience { pong: soon.min(self.deadline), end: soon.max(self.deadline) }
    }

    fn take_claim_lock(&mut self) -> Result<Lock, Error> {
        self.place.prepare()?;
        match PidFile::open(&self.place.pid, self.place.owner())? {
            Opened::File(file) => self.file = Some(file),
            // This process holds it, or claims it on another thread: a pong will tell.
            Opened::Ours => return Ok(Lock::Busy),
        }
        self.take(Which::Claim)
    }

    fn take(&self, which: Which) -> Result<Lock, Error> {
        match &self.file {
            Some(file) => try_lock(file, which),
            None => Ok(Lock::Moved),
        }
    }

    fn check_again(&self) -> Result<Lock, Error> {
        match self.take(Which::Claim)? {
            Lock::Taken => self.take(Which::Instance),
            not_taken => Ok(not_taken),
        }
    }

    fn take_abstract_name(&mut self) -> AbstractName {
        let address = self.place.abstract_name();
        let patience = Instant::now() + NAME_PATIENCE;
        let mut before = None;
        loop {
            let met = match platform::listen_on(&address) {
                Ok(listener) => {
                    self.abstract_name = Some(Listener::new(listener));
                    return AbstractName::Taken;
                }
                Err(error) if error.kind() == ErrorKind::Unsupported => return AbstractName::Taken,
                Err(error) if error.kind() == ErrorKind::AddrInUse && before != Some(Hailed::Orphan) => {
                    let hail = hail::hail_at(&self.place, &address, self.patience_under_locks(), None);
                    let met = hail.met;
                    self.last_hail = Some(hail);
                    met
                }
                // No descriptor, say: the instance is held without, and the tick tries again.
                Err(_) => {
                    self.without_abstract_name();
                    return AbstractName::Met(before.unwrap_or(Hailed::Stranger));
                }
            };
            match met {
                // All that the dead one had is closed: what is still bound then is kept by somebody else.
                Hailed::Orphan => {}
                // One that is being released lets go of the name in a moment.
                Hailed::Nobody if Instant::now() < patience => std::thread::sleep(SHORTEST_PAUSE),
                _ => {
                    self.without_abstract_name();
                    return AbstractName::Met(met);
                }
            }
            before = Some(met);
        }
    }

    fn without_abstract_name(&mut self) {
        self.problems.push((Problem::AbstractName, abstract_name_problem().to_owned()));
    }

    fn read_record(&mut self) -> LastHolder {
        self.past = Record::of_place(&self.place);
        match &self.past {
            Past::Record(record) if !self.force && record::is_on_another_machine(record, &self.place.dir) => {
                LastHolder::OnAnotherMachine
            }
            _ => LastHolder::Settled,
        }
    }

    /// Records, answers, and lets go of the claim lock.
    fn answer(mut self) -> Result<Holder, Error> {
        let problems = std::mem::take(&mut self.problems);
        let held = Arc::new(Held::won(
            self.instance,
            &self.place,
            &self.past,
            self.file.take(),
            self.endpoint.take(),
            self.abstract_name.take(),
        ));
        for (what, why) in problems {
            held.set_problem(what, Some(why));
        }
        held.write_down(&self.past);
        let holder = Holder::new(held.clone());
        answer::adopt(&held).map_err(|source| Error::io("answer at", &self.place.socket(), source))?;
        if let Some(file) = held.core().files.front() {
            file.unlock(Which::Claim);
        }
        tracing::info!(instance = %self.place.name, generation = held.generation, "holding");
        Ok(holder)
    }

    fn give(mut self, up: Up) -> Result<Claim, Error> {
        let hail = self.last_hail.take();
        if let (Up::Lost, Some(hail)) = (up, hail) {
            return match Found::of(&self.place, hail) {
                Found::Incumbent(incumbent) => Ok(Claim::Lost(incumbent)),
                Found::Other(seen) => Err(Error::Unresponsive(seen)),
            };
        }
        let seen = Box::new(inspect::inspect(&self.place, Instant::now())?);
        Err(match up {
            Up::Claiming => Error::Claiming(seen),
            Up::OtherMachine => Error::OtherMachine(seen),
            Up::Unresponsive | Up::Lost => Error::Unresponsive(seen),
        })
    }

    /// Ends the owner of the claim lock, as the kernel names it.
    fn force_past_contender(&self) -> Result<(), Error> {
        force::end_owner(&self.place.pid, Which::Claim, FORCED_GRACE, FORCED_GRACE).map(drop)
    }
}

/// Tries a lock; what it means if the path names another file by then.
pub(crate) fn try_lock(file: &PidFile, which: Which) -> Result<Lock, Error> {
    let taken = file.try_lock(which).map_err(|source| {
        if platform::means_no_locks(&source) {
            Error::NoLocks { path: file.path().to_owned(), source }
        } else {
            Error::io("lock", file.path(), source)
        }
    })?;
    Ok(match (taken, file.is_at_its_path()) {
        (_, false) => Lock::Moved,
        (true, true) => Lock::Taken,
        (false, true) => Lock::Busy,
    })
}

/// What is said while the abstract name is not to be had.
pub(crate) fn abstract_name_problem() -> &'static str {
    "the abstract socket of this instance is taken by another process, so that only its files guard it"
}
