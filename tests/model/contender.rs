//! How a contender carries its steps out, as `contender.rs` does. Each arm is one moment that nobody else divides.

use crate::decide::{AbstractName, Goal, Hailed, LastHolder, Lock, Seen};
use crate::kernel::Which;
use crate::model::{Broken, Model, Steps, Wrong, did, number};
use crate::process::{At, Life, Process};
use crate::state::{NOBODY, NONE, State, UNKNOWN};

impl Model {
    pub fn contend(&self, state: &State, who: u8, to: &mut Steps) {
        let mut next = *state;
        let file = state.processes[who as usize].file;
        match state.processes[who as usize].at {
            At::Hail | At::HailToAsk | At::HailAgain => self.hail_path(state, who, to),
            At::HailName | At::HailToAskName | At::HailAgainName => self.hail_name(state, who, to),
            At::Open => {
                if self.broken == Broken::UnlinksFirst && next.made < 3 {
                    next.forget_socket();
                    next.path = 0;
                }
                next.processes[who as usize].file = next.open();
                next.processes[who as usize].at = At::LockClaim;
                if self.is_divided() {
                    did(next, who, "opens the pid file", to);
                } else {
                    self.lock_claim(next, who, to);
                }
            }
            At::LockClaim | At::Retake => self.lock_claim(next, who, to),
            At::TakeInstanceLock => {
                let lock = self.take(&mut next, who, file, Which::Instance);
                next.processes[who as usize].peer = state.owner(Which::Instance);
                self.decide(&next, who, Seen::InstanceLock(lock), true, true, to);
            }
            At::TakeAbstractName => self.take_name(state, who, to),
            At::ReadRecord => {
                next.processes[who as usize].generation = state.record + 1;
                self.decide(&next, who, Seen::LastHolder(LastHolder::Settled), false, true, to);
            }
            At::Bind => {
                next.beside = who;
                next.processes[who as usize].at = At::Rename;
                if self.is_divided() {
                    did(next, who, "binds beside", to);
                } else {
                    next.rename(who);
                    self.decide(&next, who, Seen::Bound, false, true, to);
                }
            }
            At::Rename => {
                let seen = if next.rename(who) { Seen::Bound } else { Seen::Checked(Lock::Moved) };
                self.decide(&next, who, seen, true, true, to);
            }
            At::CheckAgain => {
                let mut lock = self.take(&mut next, who, file, Which::Claim);
                if lock == Lock::Taken {
                    lock = self.take(&mut next, who, file, Which::Instance);
                }
                self.decide(&next, who, Seen::Checked(lock), true, true, to);
            }
            At::Answer => self.answer(next, who, to),
            At::LetGo => {
                self.let_go(&mut next, who);
                next.processes[who as usize].at = At::Hail;
                did(next, who, "lets go of everything, and starts again", to);
            }
            At::PauseClaiming => {
                next.shut_endpoint(who);
                next.drop_name(who);
                next.unlock(who, file, Which::Instance);
                next.processes[who as usize].at = At::Retake;
                did(next, who, "lets go of everything but the claim lock", to);
            }
            At::Give => self.give_up(next, who, to),
            _ => self.take_over(state, who, to),
        }
    }

    /// Whether files may go, or locks: then two may be at one path at a time.
    pub fn is_divided(&self) -> bool {
        self.faults.deletions + self.faults.lost_locks > 0 || self.broken != Broken::Nothing
    }

    pub fn give_up(&self, mut state: State, who: u8, to: &mut Steps) {
        let peer = state.processes[who as usize].peer;
        self.let_go(&mut state, who);
        state.processes[who as usize] = Process::gone(Life::Runs, peer);
        did(state, who, "gives up", to);
    }

    fn lock_claim(&self, mut state: State, who: u8, to: &mut Steps) {
        let file = state.processes[who as usize].file;
        let lock = self.take(&mut state, who, file, Which::Claim);
        if lock == Lock::Busy {
            state.processes[who as usize].peer = state.owner(Which::Claim);
        }
        self.decide(&state, who, Seen::ClaimLock(lock), true, true, to);
    }

    fn hail_path(&self, state: &State, who: u8, to: &mut Steps) {
        let (met, peer) = state.hail(false);
        if met == Hailed::Pong {
            self.hailed(*state, who, met, peer, true, to);
            if state.left.time_outs == 0 {
                return;
            }
        }
        let mut next = *state;
        let is_fair = met != Hailed::Pong;
        next.left.time_outs -= u8::from(!is_fair);
        let met = if is_fair { met } else { Hailed::Silent };
        if !self.names {
            return self.hailed(next, who, met, peer, is_fair, to);
        }
        let it = &mut next.processes[who as usize];
        it.silent = met == Hailed::Silent;
        it.peer = if it.silent { peer } else { NONE };
        it.at = match it.at {
            At::Hail => At::HailName,
            At::HailToAsk => At::HailToAskName,
            _ => At::HailAgainName,
        };
        let what = if it.silent { "hails the path: silence" } else { "hails the path: nobody" };
        did(next, who, what, to);
        if let Some(last) = to.last_mut() {
            last.is_fair = is_fair;
        }
    }

    fn hail_name(&self, state: &State, who: u8, to: &mut Steps) {
        let mut next = *state;
        let it = &mut next.processes[who as usize];
        let (silent, before) = (it.silent, it.peer);
        it.silent = false;
        it.at = match it.at {
            At::HailName => At::Hail,
            At::HailToAskName => At::HailToAsk,
            _ => At::HailAgain,
        };
        let (met, peer) = next.hail(true);
        if met == Hailed::Pong {
            self.hailed(next, who, met, peer, true, to);
            if next.left.time_outs > 0 {
                next.left.time_outs -= 1;
                self.hailed(next, who, Hailed::Silent, peer, false, to);
            }
        } else if silent && met != Hailed::Silent {
            self.hailed(next, who, Hailed::Silent, before, true, to);
        } else {
            self.hailed(next, who, met, peer, true, to);
        }
    }

    /// What a hail means, by where it was made.
    fn hailed(&self, mut state: State, who: u8, met: Hailed, peer: u8, is_fair: bool, to: &mut Steps) {
        let takes_over = !self.is_claim(who);
        let forces = self.forces(who);
        let met = match (self.broken, state.processes[who as usize].at) {
            (Broken::TrustsPidFile, At::HailAgain) if number(&state, who).is_none() => Hailed::Nobody,
            _ => met,
        };
        let it = &mut state.processes[who as usize];
        it.peer = peer;
        let seen = match it.at {
            At::Hail => {
                it.pong = met == Hailed::Pong && forces;
                if it.target == UNKNOWN && takes_over {
                    it.target = match met {
                        Hailed::Pong => peer,
                        Hailed::Silent => UNKNOWN,
                        _ => NOBODY,
                    };
                }
                Seen::Hailed(met)
            }
            At::HailToAsk => Seen::HailedToAsk(met),
            _ => Seen::HailedAgain(met),
        };
        let waits = met == Hailed::Silent;
        self.decide(&state, who, seen, waits, is_fair, to);
    }

    fn take_name(&self, state: &State, who: u8, to: &mut Steps) {
        let mut next = *state;
        if !self.names {
            return self.decide(&next, who, Seen::AbstractName(AbstractName::Taken), false, true, to);
        }
        if state.name == NONE || state.name == who {
            next.name = who;
            return self.decide(&next, who, Seen::AbstractName(AbstractName::Taken), false, true, to);
        }
        let (met, peer) = state.hail(true);
        next.processes[who as usize].peer = peer;
        self.decide(&next, who, Seen::AbstractName(AbstractName::Met(met)), true, true, to);
        if met == Hailed::Pong && next.left.time_outs > 0 {
            next.left.time_outs -= 1;
            let met = AbstractName::Met(Hailed::Silent);
            self.decide(&next, who, Seen::AbstractName(met), true, false, to);
        }
    }

    /// It has won: the generation, and the record.
    fn answer(&self, mut state: State, who: u8, to: &mut Steps) {
        let overtaken = (0..3).any(|other| {
            let it = &state.processes[other as usize];
            let asks = matches!(self.goals[other as usize], Some(Goal::Takeover { .. }));
            let alive = matches!(it.life, Life::Runs | Life::Stopped) && it.lives();
            other != who && asks && alive && it.asked && !it.has_won()
        });
        let overtaken = overtaken && self.is_sound(&state);
        let top = state.top;
        let it = &mut state.processes[who as usize];
        if !self.clock_stands {
            it.generation = top + 1;
        }
        let fell = it.generation <= top;
        (it.at, it.target, it.asked, it.forced) = (At::Adopt, UNKNOWN, false, false);
        let generation = it.generation;
        self.write_record(&mut state, generation);
        state.top = top.max(generation);
        did(state, who, "has won, and writes the record", to);
        if let Some(last) = to.last_mut() {
            last.wrong = match () {
                () if overtaken => Some(Wrong::Overtaken),
                () if fell => Some(Wrong::GenerationFell),
                () => None,
            };
        }
    }
}
