//! The rules of the tables, held against every way through them.

use super::*;

const HAILED: [Hailed; 5] = [Hailed::Pong, Hailed::Nobody, Hailed::Orphan, Hailed::Silent, Hailed::Stranger];

#[test]
fn a_pong_loses_at_every_step() {
    for overdue in [false, true] {
        for seen in [
            Seen::Hailed(Hailed::Pong),
            Seen::HailedAgain(Hailed::Pong),
            Seen::AbstractName(AbstractName::Met(Hailed::Pong)),
        ] {
            assert_eq!(next(Goal::Claim, seen, overdue), Step::Give(Up::Lost));
        }
    }
}

#[test]
fn a_living_listener_that_is_silent_is_never_succeeded() {
    for seen in [Seen::HailedAgain(Hailed::Silent), Seen::AbstractName(AbstractName::Met(Hailed::Silent))] {
        assert_eq!(next(Goal::Claim, seen, false), Step::Pause);
        assert_eq!(next(Goal::Claim, seen, true), Step::Give(Up::Unresponsive));
        let asks = Goal::Takeover { force: false };
        assert_eq!(next(asks, seen, false), Step::PauseClaiming);
        assert_eq!(next(asks, seen, true), Step::Give(Up::Unresponsive));
    }
}

#[test]
fn an_orphan_stops_nobody() {
    for overdue in [false, true] {
        assert_eq!(next(Goal::Claim, Seen::Hailed(Hailed::Orphan), overdue), Step::TakeClaimLock);
        assert_eq!(next(Goal::Claim, Seen::HailedAgain(Hailed::Orphan), overdue), Step::TakeAbstractName);
        let met = AbstractName::Met(Hailed::Orphan);
        assert_eq!(next(Goal::Claim, Seen::AbstractName(met), overdue), Step::ReadRecord);
    }
}

/// Everything that can be observed after a step.
fn all_after(step: Step) -> Vec<Seen> {
    const LOCK: [Lock; 3] = [Lock::Taken, Lock::Busy, Lock::Moved];
    match step {
        Step::Hail => HAILED.map(Seen::Hailed).into(),
        Step::TakeClaimLock | Step::PauseClaiming => LOCK.map(Seen::ClaimLock).into(),
        Step::TakeInstanceLock => LOCK.map(Seen::InstanceLock).into(),
        Step::HailToAsk => HAILED.map(Seen::HailedToAsk).into(),
        Step::Ask => {
            [Asked::Acknowledged, Asked::Refused, Asked::Another, Asked::Nothing].map(Seen::Asked).into()
        }
        Step::AwaitEnd => {
            [Awaited::Free, Awaited::StillThere, Awaited::Moved, Awaited::Busy].map(Seen::Awaited).into()
        }
        Step::FollowPath => LOCK.map(Seen::Followed).into(),
        Step::Force => vec![Seen::Forced],
        Step::HailAgain => HAILED.map(Seen::HailedAgain).into(),
        Step::TakeAbstractName => HAILED
            .map(|met| Seen::AbstractName(AbstractName::Met(met)))
            .into_iter()
            .chain([Seen::AbstractName(AbstractName::Taken)])
            .collect(),
        Step::ReadRecord => [LastHolder::Settled, LastHolder::OnAnotherMachine].map(Seen::LastHolder).into(),
        Step::Bind => vec![Seen::Bound],
        Step::CheckAgain => LOCK.map(Seen::Checked).into(),
        Step::Pause | Step::StartOver => vec![Seen::Nothing],
        Step::Answer | Step::Give(_) => vec![],
    }
}

/// Follows every observation that is new on its way; calls `at` with each step and all that was seen before it.
fn walk(goal: Goal, overdue: bool, way: &mut Vec<Seen>, at: &mut impl FnMut(Step, &[Seen])) {
    let Some(&seen) = way.last() else { return };
    let step = next(goal, seen, overdue);
    at(step, way);
    for seen in all_after(step) {
        if !way.contains(&seen) {
            way.push(seen);
            walk(goal, overdue, way, at);
            way.pop();
        }
    }
}

const GOALS: [Goal; 3] = [Goal::Claim, Goal::Takeover { force: false }, Goal::Takeover { force: true }];

#[test]
fn every_way_to_answer_takes_both_locks_twice_and_a_hail_between() {
    for goal in GOALS {
        let mut found = 0;
        walk(goal, true, &mut vec![Seen::Nothing], &mut |step, way| {
            if step != Step::Answer {
                return;
            }
            found += 1;
            let last = |wanted: fn(&Seen) -> bool| way.iter().rposition(wanted);
            let order = [
                last(|s| matches!(s, Seen::ClaimLock(Lock::Taken))),
                last(|s| matches!(s, Seen::InstanceLock(Lock::Taken) | Seen::Awaited(Awaited::Free))),
                last(|s| matches!(s, Seen::HailedAgain(_))),
                last(|s| matches!(s, Seen::AbstractName(_))),
                last(|s| matches!(s, Seen::Bound)),
                last(|s| matches!(s, Seen::Checked(Lock::Taken))),
            ];
            assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{goal:?} {way:?}");
        });
        match goal {
            // Hails that go on: 4 without locks, 3 under them, 4 of the abstract name.
            Goal::Claim => assert_eq!(found, 4 * 3 * 4),
            Goal::Takeover { .. } => assert!(found > 4 * 3 * 4, "{found}"),
        }
    }
}

#[test]
fn a_takeover_lets_go_of_the_claim_lock_only_to_start_over() {
    for overdue in [false, true] {
        walk(Goal::Takeover { force: true }, overdue, &mut vec![Seen::Nothing], &mut |step, way| {
            let asked = way.iter().any(|seen| matches!(seen, Seen::Asked(_)));
            let moved = matches!(
                way.last(),
                Some(Seen::ClaimLock(_) | Seen::InstanceLock(Lock::Moved) | Seen::Checked(_))
            );
            assert!(!asked || step != Step::Pause || moved, "{way:?}");
        });
    }
}

#[test]
fn nobody_is_forced_without_leave_or_before_the_deadline_or_while_the_lock_is_ours() {
    for goal in GOALS {
        for overdue in [false, true] {
            walk(goal, overdue, &mut vec![Seen::Nothing], &mut |step, way| {
                if step == Step::Force {
                    let refused = way.last() == Some(&Seen::Asked(Asked::Refused));
                    assert!(goal == Goal::Takeover { force: true } && (overdue || refused), "{way:?}");
                    assert!(!matches!(way.last(), Some(Seen::HailedAgain(_) | Seen::AbstractName(_))));
                }
            });
        }
    }
}

#[test]
fn however_late_a_takeover_follows_the_path_and_takes_what_was_left() {
    for goal in [Goal::Takeover { force: false }, Goal::Takeover { force: true }] {
        for overdue in [false, true] {
            assert_eq!(next(goal, Seen::Awaited(Awaited::Moved), overdue), Step::FollowPath);
            assert_eq!(next(goal, Seen::Followed(Lock::Taken), overdue), Step::AwaitEnd);
            assert_eq!(next(goal, Seen::Awaited(Awaited::Free), overdue), Step::HailAgain);
        }
    }
}

#[test]
fn only_an_answer_or_a_higher_generation_deposes() {
    for seen in [Tick::Ours, Tick::Moved, Tick::Theirs] {
        assert_eq!(tick(seen, true), Care::StepDown);
        assert_ne!(tick(seen, false), Care::StepDown);
    }
    for seen in [Judged::ClaimBusy, Judged::Free, Judged::Silent, Judged::Outranked] {
        assert_ne!(judge(seen), Care::StepDown);
    }
    assert_eq!(judge(Judged::Answers), Care::StepDown);
}
