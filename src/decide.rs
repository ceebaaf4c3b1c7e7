//! The decisions of a claim, and nothing else: from what was observed to the next step.
//!
//! Pure functions without I/O, clocks or state, so that a model checker can drive them through every interleaving of
//! contenders, kills, stops and lost locks. `claim.rs` carries the steps out; the numbers are those of its prose.
//!
//! The rules behind the tables:
//! - a pong loses; nothing else does (a lost claim names a living incumbent);
//! - silence is never death: who listens lives, so *can't tell*, even when the instance lock is free;
//! - winning takes both locks, a hail under both of them that met no living listener, and both taken anew at the end;
//! - whatever is let go of is let go of together: to keep one lock while retrying the other livelocks.

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
}

/// The next step of a claim, after `seen`; `overdue`: its deadline has passed.
///
/// The steps follow each other in one order only, so what was observed last says where the claim stands.
pub(crate) fn next(seen: Seen, overdue: bool) -> Step {
    let again_or = |up| if overdue { Step::Give(up) } else { Step::Pause };
    match seen {
        Seen::Nothing => Step::Hail,

        // Silence is remembered by step 4, which asks again under the locks.
        Seen::Hailed(Hailed::Pong) => Step::Give(Up::Lost),
        Seen::Hailed(Hailed::Nobody | Hailed::Orphan | Hailed::Silent | Hailed::Stranger) => {
            Step::TakeClaimLock
        }

        Seen::ClaimLock(Lock::Taken) => Step::TakeInstanceLock,
        Seen::ClaimLock(Lock::Busy) => again_or(Up::Claiming),

        Seen::InstanceLock(Lock::Taken) => Step::HailAgain,
        Seen::InstanceLock(Lock::Busy) => again_or(Up::Unresponsive),

        Seen::HailedAgain(Hailed::Pong) => Step::Give(Up::Lost),
        Seen::HailedAgain(Hailed::Silent) => again_or(Up::Unresponsive),
        Seen::HailedAgain(Hailed::Nobody | Hailed::Orphan | Hailed::Stranger) => Step::TakeAbstractName,

        Seen::AbstractName(AbstractName::Met(Hailed::Pong)) => Step::Give(Up::Lost),
        Seen::AbstractName(AbstractName::Met(Hailed::Silent)) => again_or(Up::Unresponsive),
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
    /// Its owner answers as the holder of this instance, and is not this process.
    Answers,
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
pub(crate) fn judge(seen: Judged) -> Care {
    match seen {
        Judged::ClaimBusy | Judged::Silent => Care::Wait,
        Judged::Free => Care::Heal,
        Judged::Answers => Care::StepDown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HAILED: [Hailed; 5] =
        [Hailed::Pong, Hailed::Nobody, Hailed::Orphan, Hailed::Silent, Hailed::Stranger];

    #[test]
    fn a_pong_loses_at_every_step() {
        for overdue in [false, true] {
            for seen in [
                Seen::Hailed(Hailed::Pong),
                Seen::HailedAgain(Hailed::Pong),
                Seen::AbstractName(AbstractName::Met(Hailed::Pong)),
            ] {
                assert_eq!(next(seen, overdue), Step::Give(Up::Lost));
            }
        }
    }

    #[test]
    fn a_living_listener_that_is_silent_is_never_succeeded() {
        for seen in [Seen::HailedAgain(Hailed::Silent), Seen::AbstractName(AbstractName::Met(Hailed::Silent))]
        {
            assert_eq!(next(seen, false), Step::Pause);
            assert_eq!(next(seen, true), Step::Give(Up::Unresponsive));
        }
    }

    #[test]
    fn an_orphan_stops_nobody() {
        for overdue in [false, true] {
            assert_eq!(next(Seen::Hailed(Hailed::Orphan), overdue), Step::TakeClaimLock);
            assert_eq!(next(Seen::HailedAgain(Hailed::Orphan), overdue), Step::TakeAbstractName);
            let met = AbstractName::Met(Hailed::Orphan);
            assert_eq!(next(Seen::AbstractName(met), overdue), Step::ReadRecord);
        }
    }

    #[test]
    fn every_way_to_answer_takes_both_locks_twice_and_a_hail_between() {
        // Follow every observation from the start; whatever answers has gone through all of it, in this order.
        fn walk(seen: Seen, taken: &mut Vec<Seen>, found: &mut usize) {
            taken.push(seen);
            let follow: Vec<Seen> = match next(seen, true) {
                Step::Hail => HAILED.map(Seen::Hailed).into(),
                Step::TakeClaimLock => [Lock::Taken, Lock::Busy, Lock::Moved].map(Seen::ClaimLock).into(),
                Step::TakeInstanceLock => {
                    [Lock::Taken, Lock::Busy, Lock::Moved].map(Seen::InstanceLock).into()
                }
                Step::HailAgain => HAILED.map(Seen::HailedAgain).into(),
                Step::TakeAbstractName => HAILED
                    .map(|met| Seen::AbstractName(AbstractName::Met(met)))
                    .into_iter()
                    .chain([Seen::AbstractName(AbstractName::Taken)])
                    .collect(),
                Step::ReadRecord => {
                    [LastHolder::Settled, LastHolder::OnAnotherMachine].map(Seen::LastHolder).into()
                }
                Step::Bind => vec![Seen::Bound],
                Step::CheckAgain => [Lock::Taken, Lock::Busy, Lock::Moved].map(Seen::Checked).into(),
                Step::Answer => {
                    *found += 1;
                    let at = |wanted: fn(&Seen) -> bool| taken.iter().position(wanted);
                    let order = [
                        at(|s| matches!(s, Seen::ClaimLock(Lock::Taken))),
                        at(|s| matches!(s, Seen::InstanceLock(Lock::Taken))),
                        at(|s| matches!(s, Seen::HailedAgain(_))),
                        at(|s| matches!(s, Seen::AbstractName(_))),
                        at(|s| matches!(s, Seen::Bound)),
                        at(|s| matches!(s, Seen::Checked(Lock::Taken))),
                    ];
                    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{taken:?}");
                    vec![]
                }
                Step::Pause | Step::StartOver => unreachable!("overdue"),
                Step::Give(_) => vec![],
            };
            for seen in follow {
                walk(seen, taken, found);
            }
            taken.pop();
        }
        let mut found = 0;
        walk(Seen::Nothing, &mut Vec::new(), &mut found);
        assert_eq!(
            found,
            4 * 3 * 4,
            "hails that go on: 4 without locks, 3 under them, 4 of the abstract name"
        );
    }

    #[test]
    fn only_an_answer_or_a_higher_generation_deposes() {
        for seen in [Tick::Ours, Tick::Moved, Tick::Theirs] {
            assert_eq!(tick(seen, true), Care::StepDown);
            assert_ne!(tick(seen, false), Care::StepDown);
        }
        for seen in [Judged::ClaimBusy, Judged::Free, Judged::Silent] {
            assert_ne!(judge(seen), Care::StepDown);
        }
        assert_eq!(judge(Judged::Answers), Care::StepDown);
    }
}
