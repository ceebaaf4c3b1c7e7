//! What goes wrong: processes are killed, stopped and continued, files deleted, locks lost; and how the kernel ends a
//! process: locks and sockets go in either order, and then it has ended.

use crate::model::{Label, Model, Next, Steps, What, did};
use crate::process::{At, Endpoint, Life, Process};
use crate::state::{Faults, NONE, State};

impl Model {
    pub fn die(&self, state: &State, who: u8, to: &mut Steps) {
        let it = &state.processes[who as usize];
        let has_locks = state.has_locks(who);
        let listens = state.socket == who || state.name == who || it.endpoint != Endpoint::None;
        if has_locks {
            let mut next = *state;
            (1..=3).for_each(|inode| next.close(who, inode));
            did(next, who, "is dying: its locks go", to);
        }
        if listens {
            let mut next = *state;
            next.shut_endpoint(who);
            next.drop_name(who);
            did(next, who, "is dying: its sockets go", to);
        }
        if !has_locks && (!listens || self.orphans) {
            let mut next = *state;
            next.processes[who as usize] = Process::gone(Life::Dead, NONE);
            let what = if listens { "has ended; somebody keeps its sockets" } else { "has ended" };
            did(next, who, what, to);
            if let Some(last) = to.last_mut() {
                last.is_fair = !listens;
            }
        }
    }

    pub fn delete(&self, state: &State, to: &mut Steps) {
        if state.left.deletions == 0 {
            return;
        }
        let left = Faults { deletions: state.left.deletions - 1, ..state.left };
        if state.path != 0 && state.made < 3 {
            fault(State { path: 0, left, ..*state }, NONE, "the pid file is deleted", to);
        }
        if state.socket != NONE {
            let mut next = *state;
            next.forget_socket();
            fault(State { left, ..next }, NONE, "the socket is deleted", to);
        }
        if state.record != 0 && !self.clock_stands {
            fault(State { record: 0, left, ..*state }, NONE, "the record is deleted", to);
        }
    }
}

/// Ticks begin to count anew after the last fault.
fn fault(mut state: State, who: u8, what: &'static str, to: &mut Steps) {
    state.forget_ticks();
    to.push(Next { state, label: Label { who, what: What::Did(what) }, is_fair: false, wrong: None });
}

pub fn go_wrong(state: &State, who: u8, to: &mut Steps) {
    let it = &state.processes[who as usize];
    if !it.lives() || it.life == Life::Dying {
        return;
    }
    let has_locks = state.has_locks(who);
    // Whoever has nothing that others can see is not worth a fault: it may as well be slow, or never come.
    let is_seen = has_locks || state.socket == who || state.name == who || it.endpoint != Endpoint::None;
    if is_seen && state.left.kills > 0 {
        let mut next = *state;
        next.left.kills -= 1;
        next.processes[who as usize].life = Life::Dying;
        fault(next, who, "is killed", to);
    }
    if it.life == Life::Stopped {
        let mut next = *state;
        next.processes[who as usize].life = Life::Runs;
        next.forget_ticks();
        did(next, who, "is continued", to);
        return;
    }
    if is_seen && state.left.stops > 0 {
        let mut next = *state;
        next.left.stops -= 1;
        next.processes[who as usize].life = Life::Stopped;
        fault(next, who, "is stopped", to);
    }
    if state.left.lost_locks > 0 {
        for inode in 1..=3 {
            let locks = &state.locks[inode as usize - 1];
            if locks.instance != who && locks.claim != who {
                continue;
            }
            let mut next = *state;
            next.left.lost_locks -= 1;
            next.close(who, inode);
            fault(next, who, "loses its locks: its program closed another descriptor of the file", to);
            if it.file == inode && matches!(it.at, At::Settle | At::Hold) {
                next.processes[who as usize].file = 0;
                fault(next, who, "loses its locks: its program closed this descriptor", to);
            }
        }
    }
}
