//! A contender: what it has in hand, and how it carries out the steps that `decide.rs` decides. The steps of a claim are
//! here; those that only a takeover has are in `takeover.rs`.

use std::{
    io::ErrorKind,
    sync::Arc,
    time::{Duration, Instant},
};

use incumbent_proto::{Request, StatusRequest};

use crate::{
    answer,
    blocking::deadline_in,
    claim::{Claim, abstract_name_problem, try_lock, try_locks},
    decide::{self, AbstractName, Goal, Hailed, LastHolder, Lock, Seen, Step, Up},
    endpoint::Endpoint,
    error::Error,
    force,
    found::Found,
    hail::{self, Hail, Note, Patience},
    held::{Held, Problem},
    holder::Holder,
    inspect,
    instance::Instance,
    offer::Offering,
    pid_file::{self, Opened, PidFile, Which},
    place::Place,
    platform::{self, Listener},
    process::{LockOwner, ProcessState},
    record::{self, Past, Record},
    takeover::{Shown, TakeoverStep, Taking},
};

/// How long a listener that lives and is silent is waited for while the locks are in hand; without them, longer.
const UNDER_LOCKS: Duration = Duration::from_millis(250);
/// How long a name at which nobody listens is tried again: one that is being released lets go of it in a moment, also on
/// a busy machine. Without it only the files guard the holder, until its next tick.
const NAME_PATIENCE: Duration = Duration::from_millis(100);
/// How long a process that is being ended by force has between the asking and the killing, and after the killing.
const FORCED_GRACE: Duration = Duration::from_secs(2);

/// A process that wants to become the holder, and what it has in hand.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) instance: Instance,
    pub(crate) place: Place,
    pub(crate) deadline: Instant,
    pub(crate) file: Option<PidFile>,
    pub(crate) last_hail: Option<Hail>,
    goal: Goal,
    /// A stopped contender, and the record of a holder on another machine, are no obstacle.
    force: bool,
    pause: Duration,
    /// Since when it tries, until what is in the way was shown.
    unshown_since: Option<Instant>,
    /// The instance lock was not to be had when it was last tried.
    is_busy: bool,
    abstract_name: Option<Listener>,
    endpoint: Option<Endpoint>,
    past: Past,
    problems: Vec<(Problem, String)>,
    /// What only a takeover has in hand.
    pub(crate) taking: Taking,
}

/// How long it is waited before it is said what for.
const UNTIL_SHOWN: Duration = Duration::from_millis(500);
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// How far a contender has come.
#[allow(clippy::large_enum_variant)] // there is one at a time
pub(crate) enum Advanced {
    /// To the end.
    Done(Claim),
    /// To the asking: with the claim lock in hand, after this was seen.
    Begun(Contender, Seen),
}

impl Contender {
    pub(crate) fn new(instance: &Instance, goal: Goal, force: bool) -> Result<Self, Error> {
        Ok(Self {
            instance: instance.clone(),
            place: instance.place()?,
            deadline: deadline_in(instance.timeout()),
            goal,
            force,
            pause: SHORTEST_PAUSE,
            file: None,
            unshown_since: Some(Instant::now()),
            is_busy: false,
            abstract_name: None,
            endpoint: None,
            past: Past::None,
            last_hail: None,
            problems: Vec::new(),
            taking: Taking::default(),
        })
    }

    pub(crate) fn claim(self, mut shown: Shown<'_>) -> Result<Claim, Error> {
        self.place.refuse_foreign()?;
        let (mut contender, mut seen) = (self, Seen::Nothing);
        loop {
            match contender.advance(seen, false, &mut shown)? {
                Advanced::Done(claim) => return Ok(claim),
                Advanced::Begun(next, at) => (contender, seen) = (next, at),
            }
        }
    }

    /// Goes on from what was seen; `begins`: to the asking, and no further.
    pub(crate) fn advance(
        mut self,
        mut seen: Seen,
        begins: bool,
        shown: &mut Shown<'_>,
    ) -> Result<Advanced, Error> {
        loop {
            let step = decide::next(self.goal, seen, Instant::now() >= self.deadline);
            tracing::trace!(instance = %self.place.name, ?seen, ?step);
            if begins {
                match seen {
                    Seen::HailedToAsk(Hailed::Pong) => match self.ask_to_hand_over(shown) {
                        Ok(()) => return Ok(Advanced::Begun(self, seen)),
                        Err(asked) => {
                            seen = Seen::Asked(asked);
                            continue;
                        }
                    },
                    // Who is silent may yet answer: as in every takeover it is waited for.
                    Seen::HailedToAsk(Hailed::Silent) => {}
                    Seen::HailedToAsk(_) => return Ok(Advanced::Begun(self, seen)),
                    // It has gone meanwhile.
                    Seen::InstanceLock(Lock::Taken) => {
                        if let Some(file) = &self.file {
                            file.unlock(Which::Instance);
                        }
                        return Ok(Advanced::Begun(self, Seen::HailedToAsk(Hailed::Nobody)));
                    }
                    _ => {}
                }
            }
            seen = match step {
                Step::Hail => {
                    let met = self.hail(Patience::until(self.deadline))?;
                    self.last_hail.iter().for_each(|hail| self.taking.met(hail));
                    Seen::Hailed(met)
                }
                Step::TakeClaimLock => Seen::ClaimLock(self.take_claim_lock()?),
                Step::TakeInstanceLock => {
                    let lock = self.take(Which::Instance)?;
                    self.is_busy = lock == Lock::Busy;
                    Seen::InstanceLock(lock)
                }
                Step::HailToAsk => {
                    self.taking.handed_by = None; // a new connection
                    Seen::HailedToAsk(self.hail(self.patience_under_locks())?)
                }
                Step::Ask => Seen::Asked(self.ask_to_make_room(shown)),
                Step::AwaitEnd => Seen::Awaited(self.await_end(shown)?),
                Step::FollowPath => Seen::Followed(self.follow_path()?),
                Step::Force => {
                    self.force_holder(shown)?;
                    self.goal = Goal::Takeover { force: false }; // once
                    self.deadline = deadline_in(self.instance.timeout());
                    Seen::Forced
                }
                Step::HailAgain => Seen::HailedAgain(self.hail(self.patience_under_locks())?),
                Step::TakeAbstractName => Seen::AbstractName(self.take_abstract_name()),
                Step::ReadRecord => Seen::LastHolder(self.read_record()),
                Step::Bind => {
                    self.endpoint = Endpoint::bind(&self.place)?;
                    // Another binds here as well: what is locked means nothing.
                    if self.endpoint.is_some() { Seen::Bound } else { Seen::Checked(Lock::Moved) }
                }
                Step::CheckAgain => Seen::Checked(self.check_again()?),
                Step::Answer => return self.answer().map(Claim::Won).map(Advanced::Done),
                Step::Pause => {
                    self.let_go();
                    self.show_what_is_in_the_way(seen, shown);
                    self.rest();
                    Seen::Nothing
                }
                Step::PauseClaiming => {
                    self.let_go_of_what_was_bound();
                    if let Some(file) = &self.file {
                        file.unlock(Which::Instance);
                    }
                    self.show_what_is_in_the_way(seen, shown);
                    self.rest();
                    Seen::ClaimLock(self.take(Which::Claim)?)
                }
                Step::StartOver => {
                    self.let_go();
                    Seen::Nothing
                }
                Step::Give(up) => {
                    self.let_go();
                    if up == Up::Claiming && self.may_force_claim() {
                        self.force_past_contender()?;
                        self.deadline = deadline_in(self.instance.timeout());
                        Seen::Nothing
                    } else {
                        return self.give(up).map(Advanced::Done);
                    }
                }
            };
        }
    }

    pub(crate) fn rest(&mut self) {
        std::thread::sleep(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Says once what is in the way, when it has been there for a while: whoever claims, or whoever holds.
    fn show_what_is_in_the_way(&mut self, seen: Seen, shown: &mut Shown<'_>) {
        let is_due = self.unshown_since.is_some_and(|since| since.elapsed() >= UNTIL_SHOWN);
        let (true, true, Some(hail)) = (is_due, shown.is_shown(), &self.last_hail) else { return };
        self.unshown_since = None;
        let hail = Hail { answer: None, ..*hail };
        let found = inspect::conclude(self.place.clone(), hail, Instant::now(), self.is_busy);
        let claims = matches!(seen, Seen::ClaimLock(_));
        let sentence = if claims { found.about_the_claim() } else { found.sentence() };
        shown.show(&TakeoverStep::InTheWay(sentence));
    }

    /// Lets go of everything together.
    fn let_go(&mut self) {
        self.let_go_of_what_was_bound();
        self.file = None;
    }

    fn let_go_of_what_was_bound(&mut self) {
        for listener in self.endpoint.take().map(|e| e.listener).into_iter().chain(self.abstract_name.take())
        {
            listener.shut_down();
        }
        self.problems.clear();
    }

    pub(crate) fn hail(&mut self, patience: Patience) -> Result<Hailed, Error> {
        // Who loses wants to know to whom; who takes over has other questions.
        let status = Request::Status(StatusRequest {});
        let hail = hail::hail(&self.place, patience, (self.goal == Goal::Claim).then_some(&status));
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
    pub(crate) fn patience_under_locks(&self) -> Patience {
        let soon = Instant::now() + UNDER_LOCKS;
        Patience { pong: soon.min(self.deadline), end: soon.max(self.deadline) }
    }

    fn take_claim_lock(&mut self) -> Result<Lock, Error> {
        self.place.prepare()?;
        match PidFile::open(&self.place.pid)? {
            Opened::File(file) => self.file = Some(file),
            // This process holds it, or claims it on another thread: a pong will tell.
            Opened::Ours => return Ok(Lock::Busy),
        }
        self.take(Which::Claim)
    }

    pub(crate) fn take(&self, which: Which) -> Result<Lock, Error> {
        match &self.file {
            Some(file) => try_lock(file, which),
            None => Ok(Lock::Moved),
        }
    }

    fn check_again(&self) -> Result<Lock, Error> {
        self.file.as_ref().map_or(Ok(Lock::Moved), |file| try_locks(file, &[Which::Claim, Which::Instance]))
    }

    fn take_abstract_name(&mut self) -> AbstractName {
        let (address, owner) = (self.place.abstract_name(), self.place.owner());
        let patience = Instant::now() + NAME_PATIENCE;
        let mut before = None;
        loop {
            let met = match platform::listen_on(&address, owner) {
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
            &self.instance,
            &self.place,
            &self.past,
            self.file.take(),
            self.endpoint.take(),
            self.abstract_name.take(),
        ));
        for (what, why) in problems {
            held.set_problem(what, Some(why));
        }
        if self.taking.handover().is_some() {
            // It knows of handovers, and the next one may ask as soon as this one answers.
            held.face().offer = Offering::Soon;
        }
        held.write_down(&self.past, self.taking.forced);
        let holder = Holder::new(held.clone());
        answer::adopt(&held).map_err(|source| Error::io("answer at", &self.place.socket(), source))?;
        if let Some(file) = held.core().files.front() {
            file.unlock(Which::Claim);
        }
        tracing::info!(instance = %self.place.name, generation = held.generation, "holding");
        Ok(holder)
    }

    fn give(mut self, up: Up) -> Result<Claim, Error> {
        match up {
            Up::Refused => return Err(self.taking.refused()),
            Up::StillThere => return Err(self.taking.still_there()),
            _ => {}
        }
        let hail = self.last_hail.take();
        if let (Up::Lost, Some(hail)) = (up, hail) {
            return match Found::of(&self.place, hail) {
                Found::Incumbent(incumbent) => Ok(Claim::Lost(incumbent)),
                Found::Other(seen) => Err(Error::Unresponsive(seen)),
            };
        }
        let seen = Box::new(inspect::inspect_after(&self.place, Instant::now(), self.is_busy)?);
        Err(match up {
            Up::Claiming => Error::Claiming(seen),
            Up::OtherMachine => Error::OtherMachine(seen),
            _ => Error::Unresponsive(seen),
        })
    }

    /// Whether the owner of the claim lock may be ended: with `force`, and if it does nothing with it. One that runs
    /// while a holder answers is taking over, and waits for that holder.
    fn may_force_claim(&self) -> bool {
        let pong = self.last_hail.as_ref().is_some_and(|hail| hail.met == Hailed::Pong);
        let runs = || {
            let owner = pid_file::look(&self.place.pid).ok().flatten().map(|locks| locks.claim);
            let process = match owner {
                Some(LockOwner::Pid(pid)) => inspect::look_closely(pid),
                _ => None,
            };
            process.is_none_or(|process| process.state == ProcessState::Running)
        };
        self.force && !(pong && runs())
    }

    /// Ends the owner of the claim lock, as the kernel names it.
    fn force_past_contender(&self) -> Result<(), Error> {
        force::end_owner(&self.place.pid, Which::Claim, FORCED_GRACE, FORCED_GRACE).map(drop)
    }
}
