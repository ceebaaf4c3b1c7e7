//! What a holder does: it answers, ticks, mends (`tick.rs`), leaves and steps down (`release.rs`). The program's thread
//! and the mending thread go their own ways, except while the mending thread has the core's lock.

use crate::decide::{self, Care, Tick};
use crate::kernel::Which;
use crate::model::{Label, Model, Next, Steps, What, Wrong, did};
use crate::process::{At, Endpoint, Life, Mend, Process};
use crate::state::{NONE, State};

impl Model {
    pub fn hold(&self, state: &State, who: u8, to: &mut Steps) {
        let mut next = *state;
        let it = &state.processes[who as usize];
        let has_core = matches!(it.mend, Mend::PutBack | Mend::Rename | Mend::LetGo);
        match it.at {
            At::Adopt => {
                next.processes[who as usize].at = At::Settle;
                did(next, who, "answers", to);
            }
            At::Settle if !has_core => {
                next.unlock(who, it.file, Which::Claim);
                next.processes[who as usize].at = At::Hold;
                did(next, who, "lets go of the claim lock, and holds", to);
            }
            At::Hold if !has_core => leave(self, state, who, to),
            At::Unlisten => {
                next.processes[who as usize].at = At::Shut;
                did(next, who, "lets nobody in any more", to);
            }
            At::Shut => {
                next.shut_endpoint(who);
                next.drop_name(who);
                next.processes[who as usize].at = At::Unlock;
                did(next, who, "shuts its listeners down and closes them", to);
            }
            At::Unlock => {
                for inode in 1..=3 {
                    if inode != it.fresh {
                        next.close(who, inode);
                    }
                }
                let it = &mut next.processes[who as usize];
                (it.at, it.file) = (At::Close, 0);
                did(next, who, "lets go of its locks", to);
            }
            At::Close => {
                (1..=3).for_each(|inode| next.close(who, inode));
                next.processes[who as usize] =
                    Process { target: it.target, ..Process::gone(Life::Runs, it.peer) };
                did(next, who, "closes its connections, and is gone", to);
            }
            _ => {}
        }
        match it.mend {
            Mend::Idle if it.at == At::Settle || it.at == At::Hold => self.tick(state, who, to),
            Mend::Idle => {}
            _ => self.mend(state, who, to),
        }
    }

    fn tick(&self, state: &State, who: u8, to: &mut Steps) {
        let mut next = *state;
        if self.names && next.name == NONE {
            next.name = who;
        }
        let file = next.processes[who as usize].file;
        let is_ours = next.try_lock(who, file, Which::Instance);
        let it = &mut next.processes[who as usize];
        let in_place = it.endpoint == Endpoint::InPlace && (next.record == it.generation || self.disk_full);
        let outranked = next.record > it.generation;
        it.double = self.rounds > 0 && state.believers() > 1;
        let seen = match (file, is_ours) {
            (0, _) => Tick::Moved,
            (_, false) => Tick::Theirs,
            (_, true) if in_place && next.path == file => Tick::Ours,
            (_, true) => Tick::Moved,
        };
        let care = decide::tick(seen, outranked);
        next.processes[who as usize].mend = match care {
            Care::Nothing | Care::Wait | Care::Record => Mend::Idle,
            Care::Heal => Mend::Heal,
            Care::Judge => Mend::Judge,
            Care::StepDown => Mend::StepDown,
        };
        let mut wrong = None;
        if care == Care::Nothing {
            wrong = self.ticked(&mut next, who);
        }
        if next != *state {
            let label = Label { who, what: What::Looked(seen, outranked, care) };
            to.push(Next { state: next, label, is_fair: true, wrong });
        }
    }

    /// A tick has come to its end.
    fn ticked(&self, state: &mut State, who: u8) -> Option<Wrong> {
        let it = &mut state.processes[who as usize];
        it.ticked |= it.double && it.believes();
        it.double = false;
        let all = state.processes.iter().all(|it| it.ticked || !it.believes());
        if self.rounds == 0 || state.believers() < 2 || !all {
            return None;
        }
        state.end_round();
        state.rounds += 1;
        (state.rounds >= self.rounds).then_some(Wrong::TwoHoldersAfterTheirTicks)
    }

    /// A tick that could not look, because somebody claims.
    pub fn undecided(&self, mut state: State, who: u8, what: What, to: &mut Steps) {
        state.processes[who as usize].double = false;
        self.rested(state, who, what, to);
    }

    pub fn rested(&self, mut state: State, who: u8, what: What, to: &mut Steps) {
        state.processes[who as usize].mend = Mend::Idle;
        let wrong = self.ticked(&mut state, who);
        to.push(Next { state, label: Label { who, what }, is_fair: true, wrong });
    }
}

fn leave(model: &Model, state: &State, who: u8, to: &mut Steps) {
    let it = &state.processes[who as usize];
    if !it.asked && state.left.leaves == 0 {
        return;
    }
    let mut next = *state;
    next.left.leaves -= u8::from(!it.asked);
    model.write_record(&mut next, it.generation);
    next.processes[who as usize].at = At::Unlisten;
    did(next, who, "leaves: it believes no more, and says so in the record", to);
    if let Some(last) = to.last_mut() {
        last.is_fair = it.asked;
    }
    if it.asked {
        let mut next = *state;
        next.processes[who as usize].life = Life::Dying;
        did(next, who, "is ended by its answering thread", to);
        if let Some(last) = to.last_mut() {
            last.is_fair = false;
        }
    }
}
