//! The steps that only a takeover has, as `takeover.rs` carries them out.

use crate::decide::{Asked, Awaited, Lock, Seen};
use crate::kernel::Which;
use crate::model::{Model, Steps, did};
use crate::process::{At, Life};
use crate::state::{NONE, State, UNKNOWN};

impl Model {
    pub fn take_over(&self, state: &State, who: u8, to: &mut Steps) {
        match state.processes[who as usize].at {
            At::Ask => self.ask(state, who, to),
            At::AwaitEnd => self.await_end(state, who, to),
            At::FollowPath => self.follow_path(*state, who, to),
            At::Force => self.force(*state, who, to),
            At::ForceWait => self.force_wait(*state, who, to),
            At::GiveClaiming => self.give_claiming(*state, who, to),
            At::ForcePast => {
                let victim = state.processes[who as usize].peer;
                let ended = !state.processes[victim as usize].lives();
                if ended || state.owner(Which::Claim) != victim {
                    let mut next = *state;
                    let it = &mut next.processes[who as usize];
                    (it.at, it.peer) = (At::Hail, NONE);
                    did(next, who, "has ended who was in the way", to);
                }
            }
            _ => {}
        }
    }

    fn ask(&self, state: &State, who: u8, to: &mut Steps) {
        let it = &state.processes[who as usize];
        let (peer, target) = (it.peer, it.target);
        if target != UNKNOWN && target != peer {
            return self.decide(state, who, Seen::Asked(Asked::Another), false, true, to);
        }
        let mut next = *state;
        next.processes[who as usize].target = peer;
        let holder = &state.processes[peer as usize];
        let hears = holder.has_won() && holder.at != At::Adopt;
        let mut heard = next;
        if hears {
            let it = &mut heard.processes[peer as usize];
            // The first wish stands; who leaves leaves already.
            if !it.asked {
                (it.asked, it.peer) = (true, who);
            }
        }
        match holder.life {
            Life::Runs if hears => {
                if self.refusals {
                    self.decide(&next, who, Seen::Asked(Asked::Refused), false, false, to);
                }
                if next.left.time_outs > 0 {
                    for mut next in [next, heard] {
                        next.left.time_outs -= 1;
                        self.decide(&next, who, Seen::Asked(Asked::Nothing), true, false, to);
                    }
                }
                heard.processes[who as usize].asked = true;
                self.decide(&heard, who, Seen::Asked(Asked::Acknowledged), false, true, to);
            }
            // It reads the wish when it goes on, though nobody waits for its answer any more.
            Life::Stopped if hears => self.decide(&heard, who, Seen::Asked(Asked::Nothing), true, true, to),
            _ => self.decide(&next, who, Seen::Asked(Asked::Nothing), true, true, to),
        }
    }

    fn await_end(&self, state: &State, who: u8, to: &mut Steps) {
        let it = &state.processes[who as usize];
        let (file, target) = (it.file, it.target);
        let is_here = state.is_at_its_path(file);
        if !it.asked {
            let seen = if is_here { Awaited::Busy } else { Awaited::Moved };
            return self.decide(state, who, Seen::Awaited(seen), false, true, to);
        }
        let holder = &state.processes[target as usize];
        let ends = holder.life == Life::Dying;
        // A holder is in time: its answering thread sees to that, unless something was stopped.
        let late = ends || holder.life == Life::Stopped || state.left.stops < self.faults.stops;
        let mut now = *state;
        now.processes[who as usize].peer = target;
        let state = &now;
        if !is_here {
            self.decide(state, who, Seen::Awaited(Awaited::Moved), late, true, to);
        }
        if ends || !holder.lives() {
            let mut next = *state;
            next.processes[who as usize].peer = state.owner(Which::Instance);
            let seen = match self.take(&mut next, who, file, Which::Instance) {
                Lock::Taken => Awaited::Free,
                Lock::Busy => Awaited::Busy,
                Lock::Moved => Awaited::Moved, // it went away between the look at the path and the lock
            };
            self.decide(&next, who, Seen::Awaited(seen), late, true, to);
        }
        if is_here && holder.lives() {
            self.decide(state, who, Seen::Awaited(Awaited::StillThere), late, true, to);
        }
    }

    fn follow_path(&self, mut state: State, who: u8, to: &mut Steps) {
        let old = state.processes[who as usize].file;
        let target = &state.processes[state.processes[who as usize].target as usize];
        let slow = matches!(target.life, Life::Dying | Life::Stopped);
        let late = slow || state.left.stops < self.faults.stops;
        let fresh = state.open();
        if fresh == old {
            return self.decide(&state, who, Seen::Followed(Lock::Busy), late, true, to);
        }
        let lock = self.take(&mut state, who, fresh, Which::Claim);
        if lock == Lock::Taken {
            state.processes[who as usize].file = fresh;
            state.close(who, old);
        }
        self.decide(&state, who, Seen::Followed(lock), late, true, to);
    }

    /// `force::end_owner`: a signal to whoever the kernel names as the owner of the path's instance lock.
    fn force(&self, mut state: State, who: u8, to: &mut Steps) {
        let file = state.processes[who as usize].file;
        state.unlock(who, file, Which::Instance);
        state.processes[who as usize].forced = true;
        let owner = state.owner(Which::Instance);
        if owner == NONE || owner == who {
            return self.decide(&state, who, Seen::Forced, false, true, to);
        }
        let it = &mut state.processes[who as usize];
        (it.at, it.peer) = (At::ForceWait, owner);
        let victim = &mut state.processes[owner as usize];
        if victim.life != Life::Dying {
            victim.life = Life::Dying;
            let killed = state;
            let victim = &mut state.processes[owner as usize];
            if matches!(victim.at, At::Settle | At::Hold) {
                victim.life = Life::Runs;
                if !victim.asked {
                    (victim.asked, victim.peer) = (true, who);
                }
                did(state, who, "continues and terminates the owner of the instance lock, which leaves", to);
            }
            state = killed;
        }
        did(state, who, "continues and terminates the owner of the instance lock, which dies", to);
    }

    fn force_wait(&self, mut state: State, who: u8, to: &mut Steps) {
        let victim = state.processes[who as usize].peer;
        let owner = state.owner(Which::Instance);
        let life = state.processes[victim as usize].life;
        if !state.processes[victim as usize].lives() {
            return self.decide(&state, who, Seen::Forced, false, true, to);
        }
        // It has the grace to leave; afterwards the owner of the lock is asked for again.
        if life == Life::Runs && state.left.stops == self.faults.stops {
            return;
        }
        if owner == NONE {
            return self.decide(&state, who, Seen::Forced, false, true, to);
        }
        if owner != victim {
            state.processes[who as usize].at = At::Give;
            state.processes[who as usize].peer = owner;
            return did(state, who, "finds the lock passed on, and fails", to);
        }
        if life != Life::Dying {
            state.processes[victim as usize].life = Life::Dying;
            did(state, who, "kills the owner of the instance lock", to);
        }
    }

    /// With force, whoever claims and is stopped, or claims while nobody answers, is ended.
    fn give_claiming(&self, mut state: State, who: u8, to: &mut Steps) {
        let owner = state.owner(Which::Claim);
        let runs = owner == NONE || state.processes[owner as usize].life != Life::Stopped;
        let pong = state.processes[who as usize].pong;
        if pong && runs {
            state.processes[who as usize].at = At::Give;
            return self.give_up(state, who, to);
        }
        self.let_go(&mut state, who);
        let it = &mut state.processes[who as usize];
        it.pong = false;
        if owner == NONE {
            (it.at, it.peer) = (At::Hail, NONE);
            return did(state, who, "starts again", to);
        }
        (it.at, it.peer) = (At::ForcePast, owner);
        state.processes[owner as usize].life = Life::Dying;
        did(state, who, "ends the owner of the claim lock", to);
    }
}
