//! A process: how far it has come, and what it has in hand.

use crate::state::{NOBODY, NONE, UNKNOWN};

/// As the kernel sees a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    Runs,
    /// Stopped: it keeps locks and sockets, and does nothing.
    Stopped,
    /// It has been killed, and the kernel is letting go of what it had, in either order.
    Dying,
    Dead,
}

/// What a process does next. The names of steps are those of `decide::Step`; some steps are several system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    Hail,
    HailName,
    /// The claim lock: open the file, then lock it.
    Open,
    LockClaim,
    TakeInstanceLock,
    HailToAsk,
    HailToAskName,
    Ask,
    AwaitEnd,
    FollowPath,
    Force,
    ForceWait,
    /// Let go of everything but the claim lock, then take that anew.
    PauseClaiming,
    Retake,
    HailAgain,
    HailAgainName,
    TakeAbstractName,
    ReadRecord,
    /// The endpoint: bound beside, then renamed into place.
    Bind,
    Rename,
    CheckAgain,
    /// The record, then the answering thread, then the claim lock is let go of.
    Answer,
    Adopt,
    Settle,
    /// Pause and start over: let go of everything, and hail again.
    LetGo,
    GiveClaiming,
    Give,
    /// The contender that is in the way is ended, and then it is hailed again.
    ForcePast,
    /// It holds.
    Hold,
    /// It has stopped believing: let nobody in, shut the listeners down and close them, unlock, close the connections.
    Unlisten,
    Shut,
    Unlock,
    Close,
    /// It has let go of everything.
    Gone,
}

pub const ATS: [At; 34] = [
    At::Hail,
    At::HailName,
    At::Open,
    At::LockClaim,
    At::TakeInstanceLock,
    At::HailToAsk,
    At::HailToAskName,
    At::Ask,
    At::AwaitEnd,
    At::FollowPath,
    At::Force,
    At::ForceWait,
    At::PauseClaiming,
    At::Retake,
    At::HailAgain,
    At::HailAgainName,
    At::TakeAbstractName,
    At::ReadRecord,
    At::Bind,
    At::Rename,
    At::CheckAgain,
    At::Answer,
    At::Adopt,
    At::Settle,
    At::LetGo,
    At::GiveClaiming,
    At::Give,
    At::ForcePast,
    At::Hold,
    At::Unlisten,
    At::Shut,
    At::Unlock,
    At::Close,
    At::Gone,
];

/// What a holder's mending thread does next (`tick.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mend {
    Idle,
    StepDown,
    /// Of the fresh file, if there is one.
    Judge,
    JudgeHail,
    JudgeSilent,
    JudgeAnswered,
    JudgeOutranked,
    Heal,
    /// The path names its own file: the claim lock of that.
    HealOwn,
    /// The claim lock of the fresh file is ours: its instance lock.
    HealInstance,
    /// Both locks: record, then the socket beside, then in its place, then let go of the claim lock.
    PutBack,
    Rename,
    LetGo,
}

pub const MENDS: [Mend; 13] = [
    Mend::Idle,
    Mend::StepDown,
    Mend::Judge,
    Mend::JudgeHail,
    Mend::JudgeSilent,
    Mend::JudgeAnswered,
    Mend::JudgeOutranked,
    Mend::Heal,
    Mend::HealOwn,
    Mend::HealInstance,
    Mend::PutBack,
    Mend::Rename,
    Mend::LetGo,
];

/// Where a process believes its endpoint to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    None,
    OutOfPlace,
    InPlace,
}

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    pub life: Life,
    pub at: At,
    pub mend: Mend,
    /// The pid file that it works with, by inode; 0: none.
    pub file: u8,
    /// The fresh one that a mending thread has opened.
    pub fresh: u8,
    pub endpoint: Endpoint,
    pub generation: u8,
    /// The holder that is to be replaced. `NOBODY` of one that has won: it was deposed.
    pub target: u8,
    /// Whom it asks, or waits for, or has lost to, or left for.
    pub peer: u8,
    /// A contender: its wish was acknowledged. A holder: it was asked to go.
    pub asked: bool,
    /// The path was silent, and the abstract name has yet to be hailed.
    pub silent: bool,
    /// The last hail without locks met a pong.
    pub pong: bool,
    /// It has ended the holder by force, which it does once.
    pub forced: bool,
    /// Its tick began when two held.
    pub double: bool,
    /// Such a tick has come to its end in this round.
    pub ticked: bool,
}

impl Process {
    pub const FRESH: Self = Self {
        life: Life::Runs,
        at: At::Hail,
        mend: Mend::Idle,
        file: 0,
        fresh: 0,
        endpoint: Endpoint::None,
        generation: 0,
        target: UNKNOWN,
        peer: NONE,
        asked: false,
        silent: false,
        pong: false,
        forced: false,
        double: false,
        ticked: false,
    };

    /// As it is when it has nothing any more; whom it blames is kept.
    pub const fn gone(life: Life, peer: u8) -> Self {
        Self { life, at: At::Gone, peer, ..Self::FRESH }
    }

    /// It, or its program, takes itself for the holder.
    pub fn believes(&self) -> bool {
        matches!(self.life, Life::Runs | Life::Stopped) && matches!(self.at, At::Settle | At::Hold)
    }

    /// It must have both locks: it hails under them, binds, or is winning.
    pub fn has_both_locks(&self) -> bool {
        let under =
            matches!(self.at, At::HailAgain | At::HailAgainName | At::TakeAbstractName | At::ReadRecord);
        let binds = matches!(self.at, At::Bind | At::Rename | At::CheckAgain);
        let wins = matches!(self.at, At::Answer | At::Adopt | At::Settle);
        (under || binds || wins) && self.life != Life::Dying
    }

    /// It must have the instance lock: it also holds, or has not unlocked yet.
    pub fn has_instance_lock(&self) -> bool {
        let holds = matches!(self.at, At::Hold | At::Unlisten | At::Shut | At::Unlock);
        self.has_both_locks() || holds && self.life != Life::Dying
    }

    /// It runs, and has neither won nor given up.
    pub fn contends(&self) -> bool {
        self.life == Life::Runs && self.at != At::Gone && !self.has_won()
    }

    /// It has won, and has not let go of everything yet.
    pub fn has_won(&self) -> bool {
        matches!(
            self.at,
            At::Adopt | At::Settle | At::Hold | At::Unlisten | At::Shut | At::Unlock | At::Close
        )
    }

    /// It held, and was deposed.
    pub fn deposed(&self) -> bool {
        self.at == At::Gone && self.target == NOBODY
    }

    /// Its answering thread would answer.
    pub fn answers(&self) -> bool {
        self.life == Life::Runs && matches!(self.at, At::Settle | At::Hold | At::Unlisten)
    }

    /// It still has something to do, or could do it.
    pub fn lives(&self) -> bool {
        self.at != At::Gone && self.life != Life::Dead
    }
}
