//! What the child has left behind: ended after it, in what is left of its grace.
//!
//! Proven by `tests/descendants.rs`.

use std::time::Instant;

use super::{KILL_WAIT, Phase, Supervisor};
use crate::{family, output::complain};

impl Supervisor<'_> {
    /// After the child's end: ends what it left behind; none: nothing is left.
    pub(super) fn clear(&mut self, code: u8, phase: Phase) -> Option<Phase> {
        let left = self.family.left();
        if self.family.is_gone(&left) {
            return None;
        }
        self.holders.draining();
        if let Phase::Killed { .. } = phase {
            self.family.kill();
            return Some(Phase::Clearing { code, by: Instant::now() + KILL_WAIT, killed: true });
        }
        let named = family::named(&left);
        complain(&format!("ending what pid {} left behind: {named}", self.family.child()));
        self.told.note(&format!("ending what pid {} left behind: {named}", self.family.child()));
        let by = match phase {
            Phase::Stopping { by, .. } => by,
            _ => Instant::now() + self.args.grace(),
        };
        if self.family.signal(self.args.stop_signal).is_err() {
            self.family.kill(); // none of it can be asked
            return Some(Phase::Clearing { code, by: Instant::now() + KILL_WAIT, killed: true });
        }
        Some(Phase::Clearing { code, by, killed: false })
    }

    /// Whether nothing is left now. What was forked meanwhile is killed, too, if that is where it stands.
    pub(super) fn cleared(&mut self, killed: bool) -> bool {
        if killed {
            self.family.kill(); // before it is looked at, which takes longer than to start the next
        }
        let left = self.family.left();
        self.family.is_gone(&left)
    }
}
