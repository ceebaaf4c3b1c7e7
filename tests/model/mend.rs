//! What a holder's mending thread does (`tick.rs`): it heals, and it judges.

use crate::decide::{self, Care, Hailed, Judged, Lock};
use crate::kernel::Which;
use crate::model::{Broken, Label, Model, Next, Steps, What, Wrong, did};
use crate::process::{At, Endpoint, Life, Mend, Process};
use crate::state::{NOBODY, State};

impl Model {
    pub fn mend(&self, state: &State, who: u8, to: &mut Steps) {
        let mut next = *state;
        let it = state.processes[who as usize];
        let set = |next: &mut State, mend| next.processes[who as usize].mend = mend;
        match it.mend {
            Mend::Idle => {}
            Mend::StepDown => step_down(next, who, What::Did("steps down"), to),
            Mend::Judge => self.begin_to_judge(next, who, to),
            Mend::JudgeHail => judges_hail(state, who, to),
            Mend::JudgeSilent | Mend::JudgeAnswered | Mend::JudgeOutranked => {
                self.end_judging(next, who, to);
            }
            Mend::Heal if next.is_at_its_path(it.file) => {
                set(&mut next, Mend::HealOwn);
                did(next, who, "heals: the pid file is its own", to);
            }
            Mend::Heal => {
                let fresh = next.open();
                if self.take(&mut next, who, fresh, Which::Claim) == Lock::Taken {
                    next.processes[who as usize].fresh = fresh;
                    set(&mut next, Mend::HealInstance);
                    did(next, who, "heals: it has the claim lock of the path's file", to);
                } else {
                    self.undecided(next, who, What::Did("heals: somebody claims"), to);
                }
            }
            Mend::HealOwn => {
                if self.take(&mut next, who, it.file, Which::Instance) == Lock::Taken && it.has_core_to_mend()
                {
                    set(&mut next, Mend::PutBack);
                    did(next, who, "heals: it has the instance lock of its own file", to);
                } else {
                    self.rested(next, who, What::Did("heals: its own file is not its own any more"), to);
                }
            }
            Mend::HealInstance => match self.take(&mut next, who, it.fresh, Which::Instance) {
                Lock::Busy => {
                    next.unlock(who, it.fresh, Which::Claim);
                    set(&mut next, Mend::Judge);
                    did(next, who, "heals: another has the instance lock there", to);
                }
                Lock::Taken if it.has_core_to_mend() => {
                    let me = &mut next.processes[who as usize];
                    (me.file, me.mend) = (it.fresh, Mend::PutBack); // `fresh` stays: its claim lock is to be let go of
                    did(next, who, "heals: it has both locks there", to);
                }
                Lock::Taken | Lock::Moved => {
                    drop_fresh(&mut next, who);
                    self.rested(next, who, What::Did("heals: deleted once more, or released meanwhile"), to);
                }
            },
            Mend::PutBack if next.record > it.generation => {
                step_down(next, who, What::Did("heals: another has won meanwhile, and it steps down"), to);
            }
            Mend::PutBack => {
                next.try_lock(who, it.file, Which::Instance);
                self.write_record(&mut next, it.generation);
                if it.endpoint == Endpoint::InPlace {
                    set(&mut next, Mend::LetGo);
                } else {
                    next.beside = who;
                    set(&mut next, Mend::Rename);
                }
                did(next, who, "heals: writes the record, and binds beside if it has to", to);
            }
            Mend::Rename => {
                let what = if next.rename(who) {
                    "heals: its socket is in place"
                } else {
                    "heals: finds nothing to rename"
                };
                set(&mut next, Mend::LetGo);
                did(next, who, what, to);
            }
            Mend::LetGo => {
                next.unlock(who, it.fresh, Which::Claim);
                next.processes[who as usize].fresh = 0;
                self.rested(next, who, What::Did("heals: done"), to);
            }
        }
    }

    fn begin_to_judge(&self, mut state: State, who: u8, to: &mut Steps) {
        let it = state.processes[who as usize];
        let judged = match judged_file(&it) {
            0 if it.at == At::Close => Judged::Free,
            file if !self.try_claim(&mut state, who, file) => Judged::ClaimBusy,
            file if state.try_lock(who, file, Which::Instance) => Judged::Free,
            _ => {
                state.processes[who as usize].mend = Mend::JudgeHail;
                return did(state, who, "judges: it has the claim lock", to);
            }
        };
        self.judged(state, who, judged, to);
    }

    fn try_claim(&self, state: &mut State, who: u8, file: u8) -> bool {
        self.broken == Broken::SkipsClaimLock || state.try_lock(who, file, Which::Claim)
    }

    fn end_judging(&self, mut state: State, who: u8, to: &mut Steps) {
        let it = state.processes[who as usize];
        let none = it.at == At::Close && it.fresh == 0;
        let judged = match it.mend {
            _ if none || state.try_lock(who, judged_file(&it), Which::Instance) => Judged::Free,
            Mend::JudgeAnswered => Judged::Answers,
            Mend::JudgeOutranked => Judged::Outranked,
            _ => Judged::Silent,
        };
        self.judged(state, who, judged, to);
    }

    fn judged(&self, mut state: State, who: u8, judged: Judged, to: &mut Steps) {
        let care = decide::judge(judged);
        let what = What::Judged(judged, care);
        let it = state.processes[who as usize];
        if care == Care::StepDown {
            return step_down(state, who, what, to);
        }
        if care == Care::Record && self.disk_full {
            step_down(state, who, what, to); // the other would never learn of it
            if let Some(last) = to.last_mut() {
                last.wrong = None;
            }
            return;
        }
        if care == Care::Record && it.has_core_to_mend() {
            self.write_record(&mut state, it.generation);
        }
        if judged != Judged::ClaimBusy {
            state.unlock(who, judged_file(&it), Which::Claim);
        }
        drop_fresh(&mut state, who);
        if judged == Judged::ClaimBusy {
            self.undecided(state, who, what, to);
        } else {
            self.rested(state, who, what, to);
        }
    }
}

impl Process {
    /// It still holds: what is mended is put into its hands.
    fn has_core_to_mend(&self) -> bool {
        matches!(self.at, At::Settle | At::Hold)
    }
}

fn step_down(mut state: State, who: u8, what: What, to: &mut Steps) {
    let it = state.processes[who as usize];
    drop_fresh(&mut state, who);
    let me = &mut state.processes[who as usize];
    (me.mend, me.double) = (Mend::Idle, false);
    let mut wrong = None;
    if it.has_core_to_mend() {
        (me.at, me.target) = (At::Unlisten, NOBODY);
        wrong = (state.top <= it.generation).then_some(Wrong::DeposedForNothing);
        // Whoever has won, or, if that one is gone since, one that is dead, or gone.
        let find = |is_so: &dyn Fn(&Process) -> bool| {
            (0..3).find(|other| *other != who && is_so(&state.processes[*other as usize]))
        };
        let winner = find(&|other| other.generation > it.generation)
            .or_else(|| find(&|other| other.life == Life::Dead))
            .or_else(|| find(&|other| !other.lives()));
        state.processes[who as usize].peer = winner.unwrap_or(it.peer);
    }
    to.push(Next { state, label: Label { who, what }, is_fair: true, wrong });
}

fn judges_hail(state: &State, who: u8, to: &mut Steps) {
    let (met, peer) = state.hail(false);
    let answers = met == Hailed::Pong && peer != who;
    let mut next = *state;
    let (mend, what) = match () {
        () if !answers => (Mend::JudgeSilent, "judges: silence"),
        () if state.processes[peer as usize].generation < state.processes[who as usize].generation => {
            (Mend::JudgeOutranked, "judges: a lower generation answers")
        }
        () => (Mend::JudgeAnswered, "judges: another answers"),
    };
    next.processes[who as usize].mend = mend;
    did(next, who, what, to);
    if answers && state.left.time_outs > 0 {
        let me = &mut next.processes[who as usize];
        (me.mend, me.double) = (Mend::JudgeSilent, false); // it could not know
        next.left.time_outs -= 1;
        did(next, who, "judges: the answer does not come in time", to);
        if let Some(last) = to.last_mut() {
            last.is_fair = false;
        }
    }
}

/// Closes the file that was opened to mend, and with it its locks go.
fn drop_fresh(state: &mut State, who: u8) {
    let fresh = state.processes[who as usize].fresh;
    state.close(who, fresh);
    state.processes[who as usize].fresh = 0;
}

/// The file whose instance lock is judged.
fn judged_file(it: &Process) -> u8 {
    if it.fresh == 0 { it.file } else { it.fresh }
}
