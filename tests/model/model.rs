//! What is modelled: who contends, on what system, what may go wrong; and how the program's own decisions drive it.

use std::fmt;

use crate::decide::{self, Goal, LastHolder, Lock, Seen, Step, Up};
use crate::faults;
use crate::kernel::Which;
use crate::process::{At, Life, Process};
use crate::state::{Faults, Locks, NOBODY, NONE, State, UNKNOWN};

/// Ways to break the algorithm, so that the model can be seen to find them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    Nothing,
    /// The claim lock is taken for granted.
    SkipsClaimLock,
    /// Instead of the instance lock and the hail under it: the number in the pid file, and whether it is a process's.
    TrustsPidFile,
    /// Pid file and socket are unlinked before the claim.
    UnlinksFirst,
}

/// What is explored.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    pub goals: [Option<Goal>; 3],
    /// The system has abstract names.
    pub names: bool,
    /// A generation is one more than the record's; else time has passed since every earlier one.
    pub clock_stands: bool,
    /// No record can be written.
    pub disk_full: bool,
    /// Holders may refuse.
    pub refusals: bool,
    /// Somebody may keep the sockets of a killed process.
    pub orphans: bool,
    pub faults: Faults,
    pub broken: Broken,
    /// Two may hold for less than so many rounds, in each of which each of them has a whole tick; 0: never.
    pub rounds: u8,
}

/// What must never be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    TwoHolders,
    TwoHoldersAfterTheirTicks,
    /// It is past taking both locks, and does not have them.
    WithoutLocks,
    /// Another wins while a takeover waits.
    Overtaken,
    DeposedForNothing,
    GenerationFell,
    NobodyAtTheEnd,
    /// At the end something is not as the next one needs it.
    NotInOrder(&'static str),
    /// Nobody lives, and nobody can claim.
    Blocked,
    /// A takeover says so, and it is not true.
    SaysStillThereOfOneThatHasGone,
    /// There is no way to an end.
    Stuck,
    /// A contender waits for one that is stopped, and no deadline ends that.
    WaitsForEver,
}

/// What was done on the way from one state to the next.
#[derive(Clone, Copy)]
pub struct Label {
    pub who: u8,
    pub what: What,
}

#[derive(Clone, Copy)]
pub enum What {
    Saw(Seen, bool, Step),
    Did(&'static str),
    Looked(decide::Tick, bool, decide::Care),
    Judged(decide::Judged, decide::Care),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Saw(seen, overdue, step) => {
                write!(f, "{seen:?}{} → {step:?}", if *overdue { ", overdue" } else { "" })
            }
            Self::Did(what) => f.write_str(what),
            Self::Looked(seen, outranked, care) => {
                write!(f, "tick: {seen:?}{} → {care:?}", if *outranked { ", outranked" } else { "" })
            }
            Self::Judged(seen, care) => write!(f, "judged: {seen:?} → {care:?}"),
        }
    }
}

/// A step that can be taken.
pub struct Next {
    pub state: State,
    pub label: Label,
    /// It is taken sooner or later, if nothing else happens; not a fault, and no deadline.
    pub is_fair: bool,
    pub wrong: Option<Wrong>,
}

impl Next {
    /// It is taken sooner or later, deadlines included, also if nobody who is stopped is ever continued.
    pub fn is_patient(&self) -> bool {
        match self.label.what {
            What::Saw(_, true, _) => true,
            What::Did("is continued") => false,
            _ => self.is_fair,
        }
    }
}

/// The steps that can be taken in one state.
pub type Steps = Vec<Next>;

impl Model {
    pub fn first(&self) -> State {
        let processes =
            self.goals.map(|goal| goal.map_or(Process::gone(Life::Dead, NONE), |_| Process::FRESH));
        State {
            processes,
            locks: [Locks { instance: NONE, claim: NONE }; 3],
            path: 0,
            made: 0,
            socket: NONE,
            beside: NONE,
            name: NONE,
            record: 0,
            top: 0,
            rounds: 0,
            left: self.faults,
        }
    }

    /// Everything that can happen next.
    pub fn steps(&self, state: &State, steps: &mut Steps) {
        for who in 0..3 {
            let it = &state.processes[who as usize];
            match it.life {
                Life::Runs if it.at == At::Gone => {}
                Life::Runs => match it.at {
                    _ if it.has_won() => self.hold(state, who, steps),
                    _ => self.contend(state, who, steps),
                },
                Life::Dying => self.die(state, who, steps),
                Life::Stopped | Life::Dead => {}
            }
            faults::go_wrong(state, who, steps);
        }
        self.delete(state, steps);
    }

    pub fn is_claim(&self, who: u8) -> bool {
        self.goals[who as usize] == Some(Goal::Claim)
    }

    pub fn write_record(&self, state: &mut State, generation: u8) {
        if !self.disk_full {
            state.record = generation;
        }
    }

    /// Nothing was deleted and no lock lost yet: what was locked still means something.
    pub fn is_sound(&self, state: &State) -> bool {
        (state.left.deletions, state.left.lost_locks) == (self.faults.deletions, self.faults.lost_locks)
    }

    pub fn goal(&self, state: &State, who: u8) -> Goal {
        match self.goals[who as usize] {
            Some(Goal::Takeover { force }) => {
                Goal::Takeover { force: force && !state.processes[who as usize].forced }
            }
            _ => Goal::Claim,
        }
    }

    /// What a process is after, in a word.
    pub fn words(&self, who: usize) -> &'static str {
        match self.goals[who] {
            None => "is not there",
            Some(Goal::Claim) => "claims",
            Some(Goal::Takeover { force: false }) => "replaces",
            Some(Goal::Takeover { force: true }) => "replaces by force",
        }
    }

    pub fn forces(&self, who: u8) -> bool {
        self.goals[who as usize] == Some(Goal::Takeover { force: true })
    }

    /// Takes a lock, or breaks the algorithm.
    pub fn take(&self, state: &mut State, who: u8, inode: u8, which: Which) -> Lock {
        match (self.broken, which) {
            (Broken::SkipsClaimLock, Which::Claim) if state.is_at_its_path(inode) => Lock::Taken,
            (Broken::TrustsPidFile, Which::Instance) if state.is_at_its_path(inode) => {
                if number(state, who).is_some() { Lock::Busy } else { Lock::Taken }
            }
            _ => state.take(who, inode, which),
        }
    }

    /// Takes what was seen to the program's decision. `may_be_overdue`: time may have passed.
    pub fn decide(
        &self,
        state: &State,
        who: u8,
        seen: Seen,
        may_be_overdue: bool,
        is_fair: bool,
        to: &mut Steps,
    ) {
        let goal = self.goal(state, who);
        let may_be_overdue = may_be_overdue && self.has_taken_time(state, who);
        let in_time = decide::next(goal, seen, false);
        to.push(self.follow(state, who, seen, false, in_time, is_fair));
        if may_be_overdue {
            let overdue = decide::next(goal, seen, true);
            if overdue != in_time {
                to.push(self.follow(state, who, seen, true, overdue, false));
            }
        }
    }

    /// Whether anything can have taken as long as a deadline: a stop, a late answer, a holder that takes its time to go, or
    /// a slow death of the one that is in the way. All else takes milliseconds.
    pub fn has_taken_time(&self, state: &State, who: u8) -> bool {
        let peer = state.processes[who as usize].peer;
        state.left.stops < self.faults.stops
            || state.left.time_outs < self.faults.time_outs
            || peer != NONE && state.processes[peer as usize].life == Life::Dying
            || state.processes.iter().any(|it| it.has_won() && it.life != Life::Dying && it.asked)
    }

    fn follow(&self, state: &State, who: u8, seen: Seen, overdue: bool, step: Step, is_fair: bool) -> Next {
        let mut next = *state;
        let goal = self.goal(state, who);
        let clock_runs = step == Step::ReadRecord && !self.clock_stands;
        let then = if clock_runs {
            decide::next(goal, Seen::LastHolder(LastHolder::Settled), overdue)
        } else {
            step
        };
        let it = &mut next.processes[who as usize];
        it.at = match then {
            Step::Hail => At::Hail,
            Step::TakeClaimLock => At::Open,
            Step::TakeInstanceLock => At::TakeInstanceLock,
            Step::HailToAsk => At::HailToAsk,
            Step::Ask => At::Ask,
            Step::AwaitEnd => At::AwaitEnd,
            Step::FollowPath => At::FollowPath,
            Step::Force => At::Force,
            Step::PauseClaiming => At::PauseClaiming,
            Step::HailAgain => At::HailAgain,
            Step::TakeAbstractName => At::TakeAbstractName,
            Step::ReadRecord => At::ReadRecord,
            Step::Bind => At::Bind,
            Step::CheckAgain => At::CheckAgain,
            Step::Answer => At::Answer,
            Step::Pause | Step::StartOver => At::LetGo,
            Step::Give(Up::Claiming) if self.forces(who) => At::GiveClaiming,
            Step::Give(_) => At::Give,
        };
        let mut wrong = None;
        if then == Step::Give(Up::StillThere) && it.target < NOBODY {
            let target = &state.processes[it.target as usize];
            wrong = (!target.lives()).then_some(Wrong::SaysStillThereOfOneThatHasGone);
        }
        match then {
            Step::Give(Up::StillThere) if it.target < NOBODY => it.peer = it.target,
            // Nobody is in the way now; who took the time is to blame.
            Step::Give(_) if it.peer == NONE && overdue => {
                let slow = |it: &Process| it.has_won() && it.life != Life::Dying && it.asked;
                it.peer = state.processes.iter().position(slow).map_or(NONE, |slow| slow as u8);
            }
            Step::Ask | Step::Give(_) => {}
            _ => it.peer = NONE,
        }
        if !matches!(then, Step::TakeClaimLock | Step::Give(Up::Claiming)) {
            it.pong = false;
        }
        Next { state: next, label: Label { who, what: What::Saw(seen, overdue, step) }, is_fair, wrong }
    }

    /// Nothing of its claim is left in its hands.
    pub fn let_go(&self, state: &mut State, who: u8) {
        let file = state.processes[who as usize].file;
        state.shut_endpoint(who);
        state.drop_name(who);
        state.close(who, file);
        let it = &mut state.processes[who as usize];
        (it.file, it.asked, it.generation) = (0, false, 0);
        if self.is_claim(who) {
            it.target = UNKNOWN;
        }
    }
}

/// The process that the pid file names, if it lives.
pub fn number(state: &State, but: u8) -> Option<u8> {
    (0..3).find(|&who| {
        let it = &state.processes[who as usize];
        who != but && it.has_won() && it.life != Life::Dead && it.file == state.path
    })
}

/// Something that no decision follows.
pub fn did(state: State, who: u8, what: &'static str, to: &mut Steps) {
    to.push(Next { state, label: Label { who, what: What::Did(what) }, is_fair: true, wrong: None });
}
