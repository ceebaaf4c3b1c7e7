//! The takeover: a contender asks the holder to make room, and becomes the holder.
//!
//! 1. Hail. Nobody: an ordinary claim.
//! 2. **Claim lock**, kept to the end: nobody overtakes, and whoever tries is told who has it.
//! 3. Hail again with it in hand, and **ask**, unless two have replaced each other in turn too often (`flapping.rs`). The holder acknowledges with the time it has, and its answering thread
//!    sees to it; or it refuses, with a reason. It must be the one that was met first: who came in its place was put there
//!    by somebody else, and is not for this takeover to replace.
//! 4. Wait for **both**: the end of its connection, or of its process, and its instance lock. The lock alone may be that
//!    of a new, empty file. The path is looked at on every wake; a new file's claim lock is taken before the old one is
//!    let go of.
//! 5. Go on as in the claim.
//!
//! All that is waited for is an event: words on the connection, its end, the end of the process. A contender that is
//! killed anywhere in this leaves nothing behind, and the holder, which has promised, goes all the same. Proven by
//! `tests/takeover.rs`; the order by `decide.rs`.

use std::{
    fmt,
    time::{Duration, Instant, SystemTime},
};

use incumbent_proto::{Outcome, Reply, StopReason};

use crate::{
    blocking::deadline_in,
    claim::{Claim, try_lock},
    connection::{Connection, Received},
    contender::Contender,
    decide::{Asked, Awaited, Goal, Hailed, Lock},
    error::{Error, Refusal},
    flapping::{self, Fight, Flapping, Side},
    force,
    hail::Hail,
    held::DEFAULT_GRACE,
    history,
    incumbent::{PATIENCE, unexpected},
    instance::Instance,
    instance_id::InstanceId,
    offer,
    pid_file::{self, Opened, PidFile, Which},
    platform::Listening,
    process::{LockOwner, ProcessHandle},
    record::{Past, Record},
    stopping::{OVERTIME, Stopping, wish},
    timestamp,
};

/// While nothing happens, the path is looked at so often.
const LOOK: Duration = Duration::from_secs(1);
/// A process whose connection has ended may take so long to let go of its lock before it is asked again.
const LETTING_GO: Duration = Duration::from_millis(250);
/// How long a killed process may take to go: the kernel frees its memory first.
const KILL_WAIT: Duration = Duration::from_secs(10);

/// How a holder is replaced.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TakeoverOptions {
    /// How long the holder has to stop; none: as long as it wants to give itself.
    pub grace: Option<Duration>,
    /// Whether a holder that refuses, does not answer or does not go is ended.
    pub force: bool,
    /// How long to wait for another who is claiming, and for a holder that does not answer; none: the claim timeout.
    pub wait: Option<Duration>,
    /// Whether the program is going to be ready before it asks for the place ([`Instance::begin_takeover_blocking`]).
    pub overlap: bool,
}

impl TakeoverOptions {
    /// With this grace.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// Ends a holder that refuses, does not answer or does not go: it is asked again over all refusals, and then the
    /// process that the kernel names as the owner of the instance lock gets `SIGTERM`, and `SIGKILL` after the grace.
    #[must_use]
    pub fn force(mut self, force: bool) -> Self {
        self.force = force;
        self
    }

    /// Waits so long for another who is claiming, and for a holder that does not answer.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Gets ready beside the holder, which lets go of the instance first then, and drains after that: for a takeover in two
    /// halves ([`Instance::begin_takeover_blocking`]). The holder must hand over ([`crate::Holder::offer`]).
    #[must_use]
    pub fn overlap(mut self, overlap: bool) -> Self {
        self.overlap = overlap;
        self
    }
}

/// What a takeover has just done, or learned, for people who wait for it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum TakeoverStep {
    /// Two replace each other in turn: the holder is left alone for [`Fight::left`] before it is asked.
    Slowed(Box<Fight>),
    /// Somebody has been in the way for half a second, and is waited for: who, in one sentence. Said once.
    InTheWay(String),
    /// The holder has acknowledged, and has this time.
    Asked {
        /// Its process; none: it lives in another pid namespace.
        pid: Option<u32>,
        /// The time that it has.
        grace: Duration,
    },
    /// The holder says how its stop goes.
    Stopping(Stopping),
    /// The holder is ended: `SIGTERM`, and `SIGKILL` after the grace.
    Forcing {
        /// Its process.
        pid: Option<u32>,
        /// The time that it has.
        grace: Duration,
    },
}

impl Instance {
    /// Takes the instance over: asks its holder to stop, waits until it has, and holds it. Works on any executor, or none.
    ///
    /// As [`Instance::takeover_blocking`], without the steps. Dropping the future gives up what it may yet win; a holder
    /// that was asked stops all the same.
    ///
    /// # Errors
    /// As [`Instance::takeover_blocking`].
    pub async fn takeover(&self, options: TakeoverOptions) -> Result<Claim, Error> {
        let instance = self.clone();
        crate::blocking::run(move || instance.takeover_blocking(&options, |_| {})).await
    }

    /// Takes the instance over on this thread: asks its holder to stop, waits until it has, and holds it. An ordinary
    /// claim if nobody holds it.
    ///
    /// Blocks for as long as the holder has to stop and two seconds more, and as long as another contender is in the way
    /// ([`TakeoverOptions::wait`]). [`Claim::Lost`]: another became the holder meanwhile.
    ///
    /// # Errors
    /// [`Error::Fighting`] when two replace each other in turn; [`Error::Refused`] when the holder does not make room; [`Error::StillThere`] when it said that it would and did
    /// not; [`Error::Unresponsive`] when it does not answer; [`Error::Claiming`] when another is taking over;
    /// [`Error::NotForced`] when it could not be ended by force. Anything else says what is in the way.
    pub fn takeover_blocking(
        &self,
        options: &TakeoverOptions,
        mut show: impl FnMut(&TakeoverStep),
    ) -> Result<Claim, Error> {
        let mut contender = Contender::new(self, Goal::Takeover { force: options.force }, options.force)?;
        contender.deadline = deadline_in(options.wait.unwrap_or(self.timeout()));
        contender.taking = Taking { options: options.clone(), ..Taking::default() };
        contender.claim(Shown(Some(&mut show)))
    }
}

/// What only a takeover has in hand.
#[derive(Default)]
pub(crate) struct Taking {
    options: TakeoverOptions,
    target: Target,
    asked: Option<AskedHolder>,
    /// Why the holder could not be asked, or does not go.
    pub(crate) why_not: Option<Error>,
    /// It was begun in two halves: the holder is asked what it hands over.
    hands_over: bool,
    /// What it has handed over, once.
    pub(crate) received: offer::Received,
    pub(crate) has_received: bool,
    /// Who was asked on the present connection.
    pub(crate) handed_by: Option<InstanceId>,
    /// Two that replace each other in turn have been looked for.
    is_peaceful: bool,
    /// The holder that was ended by force.
    pub(crate) forced: Option<InstanceId>,
}

/// Who is to be replaced: whoever held when the takeover began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Target {
    /// Nothing was asked yet, or somebody was silent.
    #[default]
    Unknown,
    Nobody,
    Holder(InstanceId),
}

/// A holder that has acknowledged.
struct AskedHolder {
    connection: Connection,
    process: Option<ProcessHandle>,
    pid: Option<u32>,
    since: Instant,
    /// The connection has ended, or the process.
    ended: bool,
}

impl fmt::Debug for Taking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Taking").field("target", &self.target).finish_non_exhaustive()
    }
}

/// Who is shown what happens; perhaps nobody.
pub(crate) struct Shown<'a>(pub(crate) Option<&'a mut dyn FnMut(&TakeoverStep)>);

impl Shown<'_> {
    pub(crate) fn is_shown(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn show(&mut self, step: &TakeoverStep) {
        if let Some(show) = &mut self.0 {
            show(step);
        }
    }
}

impl Taking {
    /// Of a takeover in two halves.
    pub(crate) fn begin(&mut self, options: &TakeoverOptions) {
        self.options = options.clone();
        self.hands_over = true;
    }

    /// Whether the holder is to be asked what it hands over: whether this one overlaps, and whether it insists.
    pub(crate) fn handover(&self) -> Option<(bool, bool)> {
        self.hands_over.then_some((self.options.overlap, self.options.force))
    }

    /// How long others in the way are waited for, if that was said.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.options.wait
    }

    /// Remembers who held when the takeover began.
    pub(crate) fn met(&mut self, hail: &Hail) {
        if self.target == Target::Unknown {
            self.target = match (&hail.answer, hail.met) {
                (Some(answered), _) => Target::Holder(InstanceId::from_bytes(answered.pong.instance_id)),
                (None, Hailed::Nobody | Hailed::Orphan | Hailed::Stranger) => Target::Nobody,
                (None, Hailed::Pong | Hailed::Silent) => Target::Unknown,
            };
        }
    }

    /// Why the holder does not make room.
    pub(crate) fn refused(&mut self) -> Error {
        self.why_not.take().unwrap_or(Error::Disconnected { asked: "stop" })
    }

    /// It said that it would go, and did not.
    pub(crate) fn still_there(&self) -> Error {
        let asked = self.asked.as_ref();
        Error::StillThere {
            pid: asked.and_then(|asked| asked.pid),
            waited: asked.map_or(Duration::ZERO, |asked| asked.since.elapsed()),
        }
    }
}

impl Contender {
    /// Asks the holder that the last hail met. One that has refused is asked over its refusals if that is wanted.
    pub(crate) fn ask_to_make_room(&mut self, shown: &mut Shown<'_>) -> Asked {
        let id = match self.judge_target(shown) {
            Ok(id) => id,
            Err(asked) => return asked,
        };
        // The first connection has broken: the holder has to learn on this one whose asking it is.
        if self.taking.hands_over && self.taking.handed_by != Some(id) {
            if let Err(asked) = self.ask_to_hand_over(shown) {
                return asked;
            }
        }
        self.taking.handed_by = None;
        let Some(answered) = self.last_hail.as_mut().and_then(|hail| hail.answer.take()) else {
            return Asked::Nothing;
        };
        let mut connection = answered.connection;
        let reason = if self.taking.options.force { StopReason::ReplaceAnyway } else { StopReason::Replace };
        let request = wish(reason, false, self.taking.options.grace);
        let stopping = match connection.ask(&request, "stop", PATIENCE) {
            Ok(Reply::Stopping(stopping)) => stopping,
            Err(Error::Disconnected { .. } | Error::NoAnswer { .. }) => return Asked::Nothing,
            answer => {
                self.taking.why_not = Some(answer.map_or_else(|error| error, |it| unexpected("stop", it)));
                return Asked::Refused;
            }
        };
        if stopping.outcome != Outcome::Acknowledged {
            self.taking.why_not = Some(Error::Refused { why: Refusal::Other, note: stopping.note });
            return Asked::Refused;
        }
        let grace = Duration::from_millis(stopping.grace_ms.min(1 << 40));
        let (process, pid) = match connection.listening() {
            Listening::Process { process, .. } => (Some(process), connection.peer().pid),
            Listening::Ended | Listening::Unknown => (None, connection.peer().pid),
        };
        self.deadline = deadline_in(grace + OVERTIME);
        shown.show(&TakeoverStep::Asked { pid, grace });
        let since = Instant::now();
        self.taking.asked = Some(AskedHolder { connection, process, pid, since, ended: false });
        Asked::Acknowledged
    }

    /// Whether the holder that the last hail met is the one to be replaced, and may be.
    pub(crate) fn judge_target(&mut self, shown: &mut Shown<'_>) -> Result<InstanceId, Asked> {
        let hail = self.last_hail.as_mut().ok_or(Asked::Nothing)?;
        let answered = hail.answer.as_mut().ok_or(Asked::Nothing)?;
        let id = InstanceId::from_bytes(answered.pong.instance_id);
        match self.taking.target {
            Target::Holder(target) if target == id => {}
            Target::Unknown => self.taking.target = Target::Holder(id),
            Target::Holder(_) | Target::Nobody => return Err(Asked::Another),
        }
        let Some(mut answered) = hail.answer.take() else { return Err(Asked::Nothing) };
        let peace = self.keep_the_peace(&mut answered.connection, id, shown);
        if let Some(hail) = self.last_hail.as_mut() {
            hail.answer = Some(answered);
        }
        match peace {
            Ok(()) => Ok(id),
            Err(error) => {
                self.taking.why_not = Some(error);
                Err(Asked::Refused)
            }
        }
    }

    /// Leaves the holder alone for as long as that has to be when two replace each other in turn.
    fn keep_the_peace(
        &mut self,
        connection: &mut Connection,
        holder: InstanceId,
        shown: &mut Shown<'_>,
    ) -> Result<(), Error> {
        if self.taking.options.force || std::mem::replace(&mut self.taking.is_peaceful, true) {
            return Ok(());
        }
        let history = history::up_to(&self.place, holder);
        match flapping::judge(&history, &Side::this(), timestamp::of(SystemTime::now())) {
            Flapping::Calm => Ok(()),
            Flapping::Slow(fight) => {
                let until = deadline_in(fight.left);
                self.deadline += fight.left;
                shown.show(&TakeoverStep::Slowed(fight));
                // Until then, or until it ends by itself.
                while let Ok(Received::Reply(_)) = connection.receive(Some(until), None) {}
                Ok(())
            }
            Flapping::Fighting(fight) => Err(Error::Fighting(fight)),
        }
    }

    /// Waits until something happens: words, an end, or time to look at the path.
    pub(crate) fn await_end(&mut self, shown: &mut Shown<'_>) -> Result<Awaited, Error> {
        if !self.file.as_ref().is_some_and(PidFile::is_at_its_path) {
            return Ok(Awaited::Moved);
        }
        let until = self.deadline.min(Instant::now() + LOOK);
        loop {
            let Some(asked) = &mut self.taking.asked else { return Ok(Awaited::Busy) };
            if asked.ended {
                break;
            }
            match asked.connection.receive(Some(until), asked.process.as_ref()) {
                Ok(Received::Reply(Reply::Progress(progress))) => {
                    // It may have been given more time: by itself, while it drains.
                    let left = Duration::from_millis(progress.remaining_ms.min(1 << 40));
                    self.deadline = self.deadline.max(deadline_in(left + OVERTIME));
                    shown.show(&TakeoverStep::Stopping(Stopping::of(progress)));
                }
                Ok(Received::Reply(_)) => {}
                Ok(Received::Nothing) => return Ok(Awaited::StillThere),
                Ok(Received::End | Received::ProcessEnded) | Err(_) => asked.ended = true,
            }
        }
        // Who leaves by itself unlocks before it closes; who dies is gone when its process has ended.
        let mut lock = self.take(Which::Instance)?;
        if let (Lock::Busy, Some(process)) =
            (lock, self.taking.asked.as_ref().and_then(|asked| asked.process.as_ref()))
        {
            process.wait_ended(Instant::now() + LETTING_GO);
            lock = self.take(Which::Instance)?;
        }
        Ok(match lock {
            Lock::Taken => Awaited::Free,
            Lock::Busy => Awaited::Busy,
            Lock::Moved => Awaited::Moved,
        })
    }

    /// Takes the claim lock of the file that the path names now; the old file is let go of after that.
    pub(crate) fn follow_path(&mut self) -> Result<Lock, Error> {
        self.place.prepare()?;
        let lock = match PidFile::open(&self.place.pid)? {
            Opened::File(fresh) => {
                let lock = try_lock(&fresh, Which::Claim)?;
                if lock == Lock::Taken {
                    self.file = Some(fresh);
                }
                lock
            }
            Opened::Ours => Lock::Busy,
        };
        if lock != Lock::Taken {
            self.rest();
        }
        Ok(lock)
    }

    /// Ends the owner of the instance lock, with the claim lock in hand.
    pub(crate) fn force_holder(&mut self, shown: &mut Shown<'_>) -> Result<(), Error> {
        if let Some(file) = &self.file {
            file.unlock(Which::Instance);
        }
        let owner = match pid_file::look(&self.place.pid) {
            Ok(Some(locks)) => locks.instance,
            _ => LockOwner::None,
        };
        let pid = match owner {
            LockOwner::Pid(pid) => Some(pid),
            LockOwner::None | LockOwner::ElsewhereNamespace => None,
        };
        if let Past::Record(record) = Record::of_place(&self.place) {
            self.taking.forced = (Some(record.pid) == pid).then_some(record.instance_id);
        }
        let grace = self.taking.options.grace.unwrap_or(DEFAULT_GRACE);
        if pid.is_some() {
            shown.show(&TakeoverStep::Forcing { pid, grace });
        }
        force::end_owner(&self.place.pid, Which::Instance, grace, KILL_WAIT).map(drop)
    }
}
