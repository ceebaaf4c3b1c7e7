//! What must hold: in every state, at every end, and from every state in which nobody lives.

use crate::decide::Hailed;
use crate::kernel::Which;
use crate::model::{Broken, Model, Steps, Wrong};
use crate::premises::{Premise, Premises};
use crate::process::{At, Endpoint, Life, Process};
use crate::state::{NONE, State};

impl Model {
    /// What is wrong with a state by itself.
    pub fn is_wrong(&self, state: &State) -> Option<Wrong> {
        if self.rounds == 0 && state.believers() > 1 {
            return Some(Wrong::TwoHolders);
        }
        let without = (0..3).any(|who| {
            let it = &state.processes[who as usize];
            let instance = it.has_instance_lock() && state.owner(Which::Instance) != who;
            let claim = it.has_both_locks() && state.owner(Which::Claim) != who;
            instance || claim
        });
        let must = self.broken == Broken::Nothing && self.is_sound(state);
        (must && without).then_some(Wrong::WithoutLocks)
    }

    /// What is wrong at an end: nothing happens any more, but for faults and deadlines.
    pub fn ends_wrong(&self, state: &State, premises: &mut Premises) -> Option<Wrong> {
        let mut holders = (0..3).filter(|who| state.processes[*who as usize].believes());
        let (Some(holder), another) = (holders.next(), holders.next()) else {
            return self.ends_without(state, premises);
        };
        premises.count(Premise::EndsWithHolder);
        if another.is_some() {
            return Some(Wrong::TwoHolders);
        }
        let it = &state.processes[holder as usize];
        let not = |what| Some(Wrong::NotInOrder(what));
        let keeps_name = state.name == holder || state.name != NONE && self.orphans;
        match () {
            () if it.file != state.path => not("the path does not name the holder's file"),
            () if state.owner(Which::Instance) != holder => not("the holder has no instance lock"),
            () if state.owner(Which::Claim) != NONE => not("somebody keeps the claim lock"),
            () if it.endpoint != Endpoint::InPlace => not("the holder's socket is not in place"),
            () if state.hail(false) != (Hailed::Pong, holder) => not("nobody answers at the path"),
            () if self.names && !keeps_name => not("the holder has no abstract name"),
            () if state.record != it.generation && !self.disk_full => not("the record is not the holder's"),
            () if it.generation != state.top && state.left.deletions == self.faults.deletions => {
                not("a higher generation has won")
            }
            () => None,
        }
    }

    /// Nobody holds at the end: then whoever gave up blames one that gave up as well, and so on, and the last one was
    /// killed, or left by itself. A circle needs that one was stopped, or that an answer was late.
    fn ends_without(&self, state: &State, premises: &mut Premises) -> Option<Wrong> {
        if state.left.stops < self.faults.stops || state.left.time_outs < self.faults.time_outs {
            premises.count(Premise::EndsWithNoneLate);
            return None;
        }
        premises.count(Premise::EndsWithNone);
        for begin in 0..3_u8 {
            if state.processes[begin as usize].life != Life::Runs {
                continue;
            }
            let mut who = begin;
            for turn in 0.. {
                let it = &state.processes[who as usize];
                // Where two may hold for a tick, one can have lost to the one that was then deposed.
                let deposed = self.rounds > 0 && it.deposed();
                if it.life == Life::Dead || deposed {
                    break;
                }
                if it.peer == NONE {
                    if state.left.leaves < self.faults.leaves {
                        break;
                    }
                    return Some(Wrong::NobodyAtTheEnd);
                }
                if turn > 3 {
                    return Some(Wrong::NobodyAtTheEnd);
                }
                who = it.peer;
            }
        }
        None
    }

    /// Nobody lives: then whoever comes must win.
    pub fn is_blocked(&self, state: &State, premises: &mut Premises) -> Option<Wrong> {
        if state.processes.iter().any(Process::lives) {
            return None;
        }
        // In the place of one whose sockets nobody keeps.
        let who = (0..3)
            .find(|who| state.socket != *who && state.name != *who && self.goals[*who as usize].is_some())?;
        premises.count(Premise::NobodyLives);
        let mut now = *state;
        now.processes[who as usize] = Process::FRESH;
        now.left = crate::state::Faults::default();
        let mut model = *self;
        model.clock_stands = false;
        now.top = 0;
        let mut steps = Steps::new();
        for _ in 0..100 {
            if now.processes[who as usize].at == At::Hold {
                return None;
            }
            steps.clear();
            model.steps(&now, &mut steps);
            match steps.iter().find(|step| step.is_fair && step.label.who == who) {
                Some(step) => now = step.state,
                None => break,
            }
        }
        Some(Wrong::Blocked)
    }
}
