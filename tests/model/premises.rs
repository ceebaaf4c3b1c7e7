//! How often what a property speaks of was there: a property whose premise was never met says nothing. And which
//! observations the program's decisions were asked about.

use crate::decide::{AbstractName, Judged, Seen};
use crate::model::{Next, What};
use crate::process::Life;
use crate::state::State;

/// What a property speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Premise {
    /// Steps to a win.
    Won,
    /// States in which somebody holds, and has lost its lock.
    HoldsWithoutLock,
    /// States in which a holder is stopped.
    HolderIsStopped,
    /// States in which two hold.
    TwoHold,
    /// Steps to being deposed.
    Deposed,
    /// States in which a takeover waits for the end of the holder, beside another contender.
    TakeoverWaits,
    /// Steps by which somebody is ended by force.
    Forced,
    /// States in which nothing happens any more, with a holder.
    EndsWithHolder,
    /// The same with none: one was killed, or left.
    EndsWithNone,
    /// The same with none: one was stopped, or answered late.
    EndsWithNoneLate,
    /// States in which nobody lives: whoever comes must win.
    NobodyLives,
}

use Premise::{
    Deposed, EndsWithHolder, EndsWithNone, EndsWithNoneLate, Forced, HolderIsStopped, HoldsWithoutLock,
    NobodyLives, TakeoverWaits, TwoHold, Won,
};

const PREMISES: [Premise; 11] = [
    Won,
    HoldsWithoutLock,
    HolderIsStopped,
    TwoHold,
    Deposed,
    TakeoverWaits,
    Forced,
    EndsWithHolder,
    EndsWithNone,
    EndsWithNoneLate,
    NobodyLives,
];

/// Counts.
#[derive(Clone)]
pub struct Premises {
    counts: [u64; PREMISES.len()],
    seen: Vec<Option<What>>,
}

impl Default for Premises {
    fn default() -> Self {
        Self { counts: [0; PREMISES.len()], seen: vec![None; 70] }
    }
}

impl Premises {
    pub fn count(&mut self, what: Premise) {
        self.counts[what as usize] += 1;
    }

    pub fn of(&self, what: Premise) -> u64 {
        self.counts[what as usize]
    }

    /// Whether the decisions were asked about something that begins so.
    pub fn saw(&self, words: &str) -> bool {
        self.seen.iter().flatten().any(|what| what.to_string().starts_with(words))
    }

    pub fn text(&self) -> String {
        let counts =
            PREMISES.iter().map(|it| format!("{it:?} {}", self.of(*it))).collect::<Vec<_>>().join(", ");
        format!("{counts}; {} kinds of observations", self.seen.iter().flatten().count())
    }

    /// Notes a state.
    pub fn note_state(&mut self, state: &State) {
        let believers = state.believers();
        if believers > 1 {
            self.count(TwoHold);
        }
        let mut waits = false;
        let mut others = 0;
        for (who, it) in state.processes.iter().enumerate() {
            if it.believes() {
                if !state.locks.iter().any(|locks| locks.instance == who as u8) {
                    self.count(HoldsWithoutLock);
                }
                if it.life == Life::Stopped {
                    self.count(HolderIsStopped);
                }
            } else if it.lives() && !it.has_won() {
                waits |= it.asked;
                others += 1;
            }
        }
        if waits && others > 1 {
            self.count(TakeoverWaits);
        }
    }

    /// Notes a step.
    pub fn note_step(&mut self, next: &Next) {
        let number = match next.label.what {
            What::Saw(seen, ..) => number_of(seen),
            What::Looked(seen, outranked, _) => 50 + seen as usize + 3 * usize::from(outranked),
            What::Judged(seen, _) => 56 + seen as usize,
            What::Did(what) => {
                match what {
                    "has won, and writes the record" => self.count(Won),
                    "kills the owner of the instance lock" | "ends the owner of the claim lock" => {
                        self.count(Forced);
                    }
                    _ => {}
                }
                return;
            }
        };
        if matches!(next.label.what, What::Looked(_, true, _) | What::Judged(Judged::Answers, _)) {
            self.count(Deposed);
        }
        if self.seen[number].is_none() {
            self.seen[number] = Some(next.label.what);
        }
    }
}

fn number_of(seen: Seen) -> usize {
    match seen {
        Seen::Nothing => 0,
        Seen::Hailed(it) => 1 + it as usize,
        Seen::ClaimLock(it) => 6 + it as usize,
        Seen::InstanceLock(it) => 9 + it as usize,
        Seen::HailedToAsk(it) => 12 + it as usize,
        Seen::Asked(it) => 17 + it as usize,
        Seen::Awaited(it) => 21 + it as usize,
        Seen::Followed(it) => 25 + it as usize,
        Seen::Forced => 28,
        Seen::HailedAgain(it) => 29 + it as usize,
        Seen::AbstractName(AbstractName::Taken) => 34,
        Seen::AbstractName(AbstractName::Met(it)) => 35 + it as usize,
        Seen::LastHolder(it) => 40 + it as usize,
        Seen::Bound => 42,
        Seen::Checked(it) => 43 + it as usize,
    }
}
