//! The decisions of a claim and of a takeover, and nothing else: from what was observed to the next step.
//!
//! Pure functions without I/O, clocks or state, so that a model checker can drive them through every interleaving of
//! contenders, kills, stops and lost locks. `contender.rs` carries the steps out; the numbers are those of `claim.rs`.
//!
//! The rules behind the tables:
//! - a pong loses a claim, and a takeover when it is another's than the one to be replaced; nothing else does;
//! - silence is never death: who listens lives, so *can't tell*, even when the instance lock is free;
//! - winning takes both locks, a hail under both of them that met no living listener, and both taken anew at the end;
//! - a claim lets go of both locks together: to keep one while retrying the other livelocks;
//! - a takeover keeps the claim lock from before the asking to the end, so that nobody overtakes it; it lets go of the
//!   instance lock alone, which a holder's tick may have to take back;
//! - a holder that was asked has gone when its connection or its process has ended **and** its instance lock is free.

/// What a contender is after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Goal {
    /// The instance, if nobody holds it.
    Claim,
    /// The instance, also if somebody holds it.
    Takeover {
        /// A holder that cannot be asked, or does not go, is to be ended.
        force: bool,
    },
}

/// What a hail met: on the path, and then on the abstract name if the path gave no pong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Hailed {
    /// The holder of this instance answered.
    Pong,
    /// Nobody listens.
    Nobody,
    /// Something accepts, but the process that listened has ended: a descriptor that somebody keeps.
    Orphan,
    /// A process lives and listens, and did not answer (or the kernel does not tell whether it lives).
    Silent,
    /// Somebody listens who is not the holder: another user, or the holder of another directory's instance.
    Stranger,
}

/// What came of trying a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lock {
    /// It is ours, and the path still names the file.
    Taken,
    /// Another process has it.
    Busy,
    /// The path names another file now (or none): the lock means nothing.
    Moved,
}

/// What came of taking the abstract name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AbstractName {
    /// It is ours, or the system has no such names.
    Taken,
    /// Somebody has it, and a hail there met this.
    Met(Hailed),
}

/// What came of asking the holder to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Asked {
    /// It goes.
    Acknowledged,
    /// It does not, and says why.
    Refused,
    /// It is not the holder that was to be replaced: another has come in its place.
    Another,
    /// Its connection ended, or no answer came.
    Nothing,
}

/// What a wake-up found while the end of a holder that was asked is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Awaited {
    /// Its connection or process has ended, and the instance lock is ours.
    Free,
    /// It is there.
    StillThere,
    /// The path names another file now: its claim lock is wanted, too.
    Moved,
    /// The connection has ended, and the instance lock is somebody's.
    Busy,
}

/// What the record of the last holder says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LastHolder {
    /// It was on this machine, or has released, or there is no record that can be read.
    Settled,
    /// It was on another machine, whose locks the kernel here does not see, and did not release.
    OnAnotherMachine,
}

/// What was just observed: the result of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Seen {
    /// Nothing yet, or a pause is over.
    Nothing,
    /// 1. The hail without locks.
    Hailed(Hailed),
    /// 2. The claim lock.
    ClaimLock(Lock),
    /// 3. The instance lock.
    InstanceLock(Lock),
    /// Takeover: the hail with the claim lock in hand.
    HailedToAsk(Hailed),
    /// Takeover: what the holder answered.
    Asked(Asked),
    /// Takeover: a wake-up.
    Awaited(Awaited),
    /// Takeover: the claim lock of the file that the path names now.
    Followed(Lock),
    /// Takeover: the owner of the instance lock was ended, or nobody owned it any more.
    Forced,
    /// 4. The hail under both locks.
    HailedAgain(Hailed),
    /// 5. The abstract name.
    AbstractName(AbstractName),
    /// 5. The record of the last holder.
    LastHolder(LastHolder),
    /// 6. The endpoint is bound and in its place.
    Bound,
    /// 6. Both locks taken anew, and the path.
    Checked(Lock),
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// 1. Hail without locks.
    Hail,
    /// 2. Try the claim lock.
    TakeClaimLock,
    /// 3. Try the instance lock.
    TakeInstanceLock,
    /// Takeover: hail with the claim lock in hand.
    HailToAsk,
    /// Takeover: ask the holder to make room.
    Ask,
    /// Takeover: wait for its end, or for anything else that happens.
    AwaitEnd,
    /// Takeover: take the claim lock of the file that the path names now, and let go of the old one then.
    FollowPath,
    /// Takeover: end the owner of the instance lock.
    Force,
    /// Takeover: let go of everything but the claim lock, wait a moment, and try the claim lock again.
    PauseClaiming,
    /// 4. Hail under both locks.
    HailAgain,
    /// 5. Take the abstract name.
    TakeAbstractName,
    /// 5. Read the record of the last holder.
    ReadRecord,
    /// 6. Bind the endpoint.
    Bind,
    /// 6. Take both locks anew, and look at the path.
    CheckAgain,
    /// 7. Answer, and let go of the claim lock.
    Answer,
    /// Let go of everything, wait a moment, and start again.
    Pause,
    /// Let go of everything, and start again at once.
    StartOver,
    /// Let go of everything, and say so.
    Give(Up),
}

/// Why a claim is not won.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Up {
    /// The incumbent answered.
    Lost,
    /// Another contender kept the claim lock until the deadline.
    Claiming,
    /// The holder lives, or cannot be proven dead, and did not answer until the deadline.
    Unresponsive,
    /// The last holder is on another machine.
    OtherMachine,
    /// The holder does not make room, and says why.
    Refused,
    /// The holder said that it goes, and did not.
    StillThere,
}

/// The next step towards `goal`, after `seen`; `overdue`: the deadline of what is going on has passed.
///
/// The steps follow each other in one order only, so what was observed last says where the contender stands.
pub(crate) fn next(goal: Goal, seen: Seen, overdue: bool) -> Step {
    let claims = goal == Goal::Claim;
    let force = goal == Goal::Takeover { force: true };
    let pause = if claims { Step::Pause } else { Step::PauseClaiming };
    let again_or = |up| match () {
        () if !overdue => pause,
        () if force => Step::Force,
        () => Step::Give(up),
    };
    match seen {
        Seen::Nothing => Step::Hail,

        // Silence is remembered by step 4, which asks again under the locks.
        Seen::Hailed(Hailed::Pong) if claims => Step::Give(Up::Lost),
        Seen::Hailed(Hailed::Pong) => Step::TakeClaimLock,
        Seen::Hailed(Hailed::Nobody | Hailed::Orphan | Hailed::Silent | Hailed::Stranger) => {
            Step::TakeClaimLock
        }

        Seen::ClaimLock(Lock::Taken) if claims => Step::TakeInstanceLock,
        Seen::ClaimLock(Lock::Taken) => Step::HailToAsk,
        Seen::ClaimLock(Lock::Busy) if overdue => Step::Give(Up::Claiming),
        Seen::ClaimLock(Lock::Busy) => Step::Pause,

        Seen::HailedToAsk(Hailed::Pong) => Step::Ask,
        Seen::HailedToAsk(Hailed::Nobody | Hailed::Orphan | Hailed::Silent | Hailed::Stranger) => {
            Step::TakeInstanceLock
        }
        Seen::Asked(Asked::Acknowledged) => Step::AwaitEnd,
        Seen::Asked(Asked::Refused) if force => Step::Force,
        Seen::Asked(Asked::Refused) => Step::Give(Up::Refused),
        Seen::Asked(Asked::Another) => Step::Give(Up::Lost),
        Seen::Asked(Asked::Nothing) => again_or(Up::Unresponsive),

        Seen::Awaited(Awaited::Free) => Step::HailAgain,
        // Who has the lock, if not the one that was asked, a hail tells.
        Seen::Awaited(Awaited::Busy) | Seen::Forced => Step::HailToAsk,
        // However late it is: it may have gone, and what it left is to be had there.
        Seen::Awaited(Awaited::Moved) => Step::FollowPath,
        Seen::Followed(Lock::Taken) => Step::AwaitEnd,
        Seen::Awaited(Awaited::StillThere) | Seen::Followed(_) if !overdue => Step::AwaitEnd,
        Seen::Awaited(Awaited::StillThere) => again_or(Up::StillThere),
        Seen::Followed(_) => again_or(Up::Claiming),

        Seen::InstanceLock(Lock::Taken) => Step::HailAgain,
        Seen::InstanceLock(Lock::Busy) => again_or(Up::Unresponsive),

        Seen::HailedAgain(Hailed::Pong) => Step::Give(Up::Lost),
        // Not to be forced: the lock is free, so that nobody is proven to be the holder who could be ended.
        Seen::HailedAgain(Hailed::Silent) | Seen::AbstractName(AbstractName::Met(Hailed::Silent)) => {
            if overdue {
                Step::Give(Up::Unresponsive)
            } else {
                pause
            }
        }
        Seen::HailedAgain(Hailed::Nobody | Hailed::Orphan | Hailed::Stranger) => Step::TakeAbstractName,

        Seen::AbstractName(AbstractName::Met(Hailed::Pong)) => Step::Give(Up::Lost),
        // Not to be had: the instance is held without it, and the tick tries again. Nobody listens at a name that is
        // bound: somebody keeps the socket of one that has released, or never listened.
        Seen::AbstractName(
            AbstractName::Taken | AbstractName::Met(Hailed::Orphan | Hailed::Stranger | Hailed::Nobody),
        ) => Step::ReadRecord,

        Seen::LastHolder(LastHolder::Settled) => Step::Bind,
        Seen::LastHolder(LastHolder::OnAnotherMachine) => Step::Give(Up::OtherMachine),

        Seen::Bound => Step::CheckAgain,
        Seen::Checked(Lock::Taken) => Step::Answer,

        // The file is another one now: what was locked means nothing.
        Seen::ClaimLock(Lock::Moved)
        | Seen::InstanceLock(Lock::Moved)
        | Seen::Checked(Lock::Moved | Lock::Busy) => {
            if overdue {
                Step::Give(Up::Claiming)
            } else {
                Step::StartOver
            }
        }
    }
}

/// What the tick found about the instance lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Tick {
    /// It is ours (again), and the paths name our files.
    Ours,
    /// It is ours, and a path does not name our file.
    Moved,
    /// Another process has it, here or in the file that the path names now.
    Theirs,
}

/// What a judge saw who took the claim lock because the instance lock is another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Judged {
    /// The claim lock is busy: its owner may only be looking.
    ClaimBusy,
    /// The instance lock came free meanwhile.
    Free,
    /// Its owner answers as the holder of this instance, is not this process, and its generation is not lower.
    Answers,
    /// Its owner answers so, and its generation is lower: it is for that one to step down.
    Outranked,
    /// Its owner does not.
    Silent,
}

/// What a holder does about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Care {
    /// Go on.
    Nothing,
    /// Put the files back.
    Heal,
    /// Take the claim lock, and see who has the instance lock.
    Judge,
    /// Put the record back, which tells a holder of a lower generation with its next tick.
    Record,
    /// Not decided now; the next tick will.
    Wait,
    /// Stop believing.
    StepDown,
}

/// What a holder does after a look at its lock, its paths and the record.
///
/// `outranked`: the record shows a higher generation that won, which also catches a successor that came and went.
pub(crate) fn tick(seen: Tick, outranked: bool) -> Care {
    match (seen, outranked) {
        (_, true) => Care::StepDown,
        (Tick::Ours, false) => Care::Nothing,
        (Tick::Moved, false) => Care::Heal,
        (Tick::Theirs, false) => Care::Judge,
    }
}

/// What a holder does after judging. Only an owner that answers as holder deposes: a busy lock alone does not.
///
/// Nor does a lower generation: the record deposes that one, and if both stepped down nobody would be left.
pub(crate) fn judge(seen: Judged) -> Care {
    match seen {
        Judged::ClaimBusy | Judged::Silent => Care::Wait,
        Judged::Free => Care::Heal,
        Judged::Answers => Care::StepDown,
        Judged::Outranked => Care::Record,
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
