//! The decisions of a claim, of a takeover and of a tick: tables, which must cost nothing beside what they decide about.

use crate::decide::{
    AbstractName, Asked, Awaited, Care, Goal, Hailed, Judged, LastHolder, Lock, Seen, Step, Tick, judge,
    next, tick,
};

/// What is seen on the way to a claim that is won.
pub(crate) const CLAIM: [Seen; 9] = [
    Seen::Nothing,
    Seen::Hailed(Hailed::Nobody),
    Seen::ClaimLock(Lock::Taken),
    Seen::InstanceLock(Lock::Taken),
    Seen::HailedAgain(Hailed::Nobody),
    Seen::AbstractName(AbstractName::Taken),
    Seen::LastHolder(LastHolder::Settled),
    Seen::Bound,
    Seen::Checked(Lock::Taken),
];

/// What is seen on the way to a takeover of a holder that goes.
pub(crate) const TAKEOVER: [Seen; 11] = [
    Seen::Nothing,
    Seen::Hailed(Hailed::Pong),
    Seen::ClaimLock(Lock::Taken),
    Seen::HailedToAsk(Hailed::Pong),
    Seen::Asked(Asked::Acknowledged),
    Seen::Awaited(Awaited::Free),
    Seen::HailedAgain(Hailed::Nobody),
    Seen::AbstractName(AbstractName::Taken),
    Seen::LastHolder(LastHolder::Settled),
    Seen::Bound,
    Seen::Checked(Lock::Taken),
];

/// Decides all of them, one after the other, and gives the last step.
pub(crate) fn decide(goal: Goal, way: &[Seen]) -> Step {
    way.iter().fold(Step::Hail, |_, seen| std::hint::black_box(next(goal, *seen, false)))
}

/// What a holder decides once a second, with everything that it may have seen.
pub(crate) fn care() -> Care {
    let mut last = Care::Nothing;
    for seen in [Tick::Ours, Tick::Moved, Tick::Theirs] {
        last = std::hint::black_box(tick(std::hint::black_box(seen), false));
    }
    for seen in [Judged::ClaimBusy, Judged::Free, Judged::Answers, Judged::Outranked, Judged::Silent] {
        last = std::hint::black_box(judge(std::hint::black_box(seen)));
    }
    last
}
