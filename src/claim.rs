//! The claim: the attempt to become the holder, its steps and their numbers. What to do next is decided in `decide.rs`,
//! and carried out in `contender.rs`; a takeover has steps of its own between 2 and 4 (`takeover.rs`).
//!
//! 1. **Hail** the path and, on Linux, the abstract name. A pong: lost. Silence of a living process is waited out.
//! 2. **Claim lock**, and the path still names the file. Busy: somebody is claiming; wait for a pong or for the lock.
//! 3. **Instance lock**, and the path again. Busy: the holder lives but did not answer. Let go of both together
//!    (holding one while retrying the other livelocks), and hail until the deadline.
//! 4. **Hail once more**, always. A pong: lost. A living listener that is silent: can't tell, never won. Its process
//!    has ended: an orphan, go on; it is ending: its end is waited for with the locks in hand.
//! 5. **Abstract name**. Taken by an orphan or a stranger: go on without, and say so. *Then* read the old record, which
//!    is how the predecessor ended, and the clock: the generation is the larger of the old one + 1 and the microseconds
//!    since 1970.
//! 6. **Endpoint**: bind beside, listen, rename into place, so that a path never names a socket that has yet to listen.
//!    Then both locks anew, and the path: otherwise close everything and start over.
//! 7. Write record, pid and history, **answer**, and let go of the claim lock: won.
//!
//! Everybody claims under the claim lock, so two never claim at once. All locks are the kernel's, so a contender killed
//! anywhere in this leaves nothing behind. Proven by `tests/killed.rs`, `tests/herd.rs`, `tests/own_process.rs`.

use crate::{
    contender::Contender,
    decide::{Goal, Lock},
    error::Error,
    holder::Holder,
    incumbent::Incumbent,
    instance::Instance,
    pid_file::{PidFile, Which},
    platform,
    takeover::{Shown, TakeoverStep},
};

/// What came of a claim.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // there is one at a time; the sizes differ between systems
#[must_use = "a claim that was won is released when it is dropped"]
pub enum Claim {
    /// This process holds the instance.
    Won(Holder),
    /// Another does, and answers.
    Lost(Incumbent),
}

impl Instance {
    /// Claims the instance. Works on any executor, or none; the work is done on a thread of its own.
    ///
    /// Takes under a millisecond when nobody is there; at the longest the claim timeout ([`Instance::claim_timeout`],
    /// 5 s) when there is a holder that does not answer. Dropping the future gives up what it may yet win.
    ///
    /// # Errors
    /// [`Error::Unresponsive`] and [`Error::Claiming`] when another is there and it cannot be told that it is dead;
    /// anything else says what is in the way.
    pub async fn claim(&self) -> Result<Claim, Error> {
        let instance = self.clone();
        crate::blocking::run(move || instance.claim_blocking()).await
    }

    /// Claims the instance on this thread. As [`Instance::claim`].
    ///
    /// # Errors
    /// As [`Instance::claim`].
    pub fn claim_blocking(&self) -> Result<Claim, Error> {
        Contender::new(self, Goal::Claim, false)?.claim(Shown(None))
    }

    /// Claims the instance, and shows who is in the way, in one sentence, when that lasts for half a second.
    ///
    /// Blocks as [`Instance::claim`].
    ///
    /// # Errors
    /// As [`Instance::claim`].
    pub fn claim_shown_blocking(&self, mut show: impl FnMut(&str)) -> Result<Claim, Error> {
        let mut show = |step: &TakeoverStep| {
            if let TakeoverStep::InTheWay(who) = step {
                show(who);
            }
        };
        Contender::new(self, Goal::Claim, false)?.claim(Shown(Some(&mut show)))
    }

    /// Claims the instance, and ends a contender that keeps the claim lock and does nothing with it.
    ///
    /// Such a one is stopped or hung: it is asked to end (`SIGCONT`, `SIGTERM`), then killed, through a handle that was
    /// proven to be the lock's owner. A *holder* is never ended by this. It also claims past the record of a holder on
    /// another machine.
    ///
    /// # Errors
    /// As [`Instance::claim`], and [`Error::NotForced`].
    pub fn claim_forced_blocking(&self) -> Result<Claim, Error> {
        Contender::new(self, Goal::Claim, true)?.claim(Shown(None))
    }
}

/// Tries locks, one after the other as long as they are to be had; what it means if the path names another file by then.
pub(crate) fn try_locks(file: &PidFile, which: &[Which]) -> Result<Lock, Error> {
    let mut taken = true;
    for which in which {
        taken = taken && file.try_lock(*which).map_err(|source| failed(file, source))?;
    }
    Ok(match (taken, file.is_named_by_its_path()) {
        (_, false) => Lock::Moved,
        (true, true) => Lock::Taken,
        (false, true) => Lock::Busy,
    })
}

/// Tries one lock, as [`try_locks`].
pub(crate) fn try_lock(file: &PidFile, which: Which) -> Result<Lock, Error> {
    try_locks(file, &[which])
}

fn failed(file: &PidFile, source: std::io::Error) -> Error {
    if platform::means_no_locks(&source) {
        Error::NoLocks { path: file.path().to_owned(), source }
    } else {
        Error::io("lock", file.path(), source)
    }
}

/// What is said while the abstract name is not to be had.
pub(crate) fn abstract_name_problem() -> &'static str {
    "the abstract socket of this instance is taken by another process, so that only its files guard it"
}
