//! The claim and the takeover, explored exhaustively: three contenders, some of which replace, killed, stopped and
//! continued at any step, files deleted and locks lost at any step, pings that time out. What to do next is decided by the
//! program's own functions (`src/decide.rs`); what comes of it is the model of `kernel.rs`.
//!
//! Each test prints how many states there were, and within which bounds. With `STRESS` above 1 the bounds are wider:
//! minutes, and up to three gigabytes; best with `--release`.
#![cfg(unix)] // pure: what holds on one system holds on each, and elsewhere it only takes its time
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::struct_excessive_bools,
    unreachable_pub
)] // A test fails so; a state is packed into numbers that were checked.

#[path = "../../src/decide.rs"]
mod decide;
#[path = "../support/os/mod.rs"]
mod os;

mod contender;
mod explore;
mod faults;
mod holder;
mod kernel;
mod mend;
mod model;
mod premises;
mod process;
mod properties;
mod state;
mod takeover;

use std::{io::Write as _, time::Instant};

use decide::Goal;
use explore::{Explored, Explorer};
use model::{Broken, Model, Wrong};
use premises::{Premise, Premises};
use state::Faults;

const CLAIM: Option<Goal> = Some(Goal::Claim);
const REPLACE: Option<Goal> = Some(Goal::Takeover { force: false });
const FORCE: Option<Goal> = Some(Goal::Takeover { force: true });

const NONE: Faults = Faults { kills: 0, stops: 0, deletions: 0, lost_locks: 0, time_outs: 0, leaves: 0 };

/// Without abstract names, deletions and lost locks.
const PLAIN: Model = Model {
    goals: [REPLACE, CLAIM, CLAIM],
    names: false,
    clock_stands: false,
    disk_full: false,
    refusals: false,
    orphans: false,
    faults: NONE,
    broken: Broken::Nothing,
    rounds: 0,
};

/// Whether there is time for the wide bounds.
fn is_wide() -> bool {
    os::rounds(4) > 4
}

fn explore(model: &Model) -> Explored {
    let began = Instant::now();
    let explored = Explorer::new(model).explore();
    let goals =
        (0..3).filter(|who| model.goals[*who].is_some()).map(|who| format!("one {}", model.words(who)));
    let line = format!(
        "model: {} states, {} steps, {} deep, {} MB, {:.1} s: {}; {}{}{}{}{}at most {:?}\n       {}\n",
        explored.states,
        explored.steps,
        explored.depth,
        explored.bytes >> 20,
        began.elapsed().as_secs_f32(),
        goals.collect::<Vec<_>>().join(", "),
        if model.names { "abstract names, " } else { "" },
        if model.clock_stands { "a clock that stands, " } else { "" },
        if model.disk_full { "no record, " } else { "" },
        if model.refusals { "refusals, " } else { "" },
        if model.orphans { "sockets that others keep, " } else { "" },
        model.faults,
        explored.premises.text(),
    );
    // Past the harness, so that it is read although the test passes; in one piece, because others write there, too.
    let _ = std::io::stderr().write_all(line.as_bytes());
    explored
}

/// Explores, and finds nothing wrong.
fn holds(model: &Model) -> Premises {
    let explored = explore(model);
    if let Some(found) = explored.found {
        panic!("{:?} after\n{}", found.wrong, found.trace);
    }
    explored.premises
}

/// Explores, and finds something wrong: what, and the way to it.
fn breaks(model: &Model) -> Wrong {
    let found = explore(model).found.unwrap_or_else(|| panic!("{:?}: the model finds nothing", model.broken));
    eprintln!("{:?}: {:?} after\n{}", model.broken, found.wrong, found.trace);
    assert!(found.trace.lines().count() > 10, "a way that can be read");
    found.wrong
}

/// Every property spoke of something.
fn met(premises: &Premises, wanted: &[Premise]) {
    for premise in wanted {
        assert!(premises.of(*premise) > 0, "{premise:?} was never met");
    }
}

const ENDS: [Premise; 5] = [
    Premise::Won,
    Premise::EndsWithHolder,
    Premise::EndsWithNone,
    Premise::EndsWithNoneLate,
    Premise::NobodyLives,
];

#[test]
fn kills_stops_and_time_outs_never_make_two_holders_and_one_holds_at_the_end() {
    let once = Faults { kills: 1, stops: 1, time_outs: 1, leaves: 1, ..NONE };
    let twice = Faults { kills: 2, stops: 2, ..once };
    for names in [false, true] {
        let faults = if is_wide() { twice } else { once };
        let premises = holds(&Model { names, faults, ..PLAIN });
        met(&premises, &ENDS);
        met(&premises, &[Premise::TakeoverWaits, Premise::HolderIsStopped]);
    }
}

#[test]
fn nor_do_refusals_and_force() {
    let faults = Faults { kills: 1, stops: 1, time_outs: u8::from(is_wide()), ..NONE };
    let premises = holds(&Model { goals: [FORCE, CLAIM, CLAIM], refusals: true, faults, ..PLAIN });
    met(&premises, &[Premise::Forced, Premise::TakeoverWaits, Premise::HolderIsStopped]);
    assert!(premises.saw("Forced"));
    if is_wide() {
        let goals = [CLAIM, FORCE, FORCE];
        holds(&Model { goals, refusals: true, names: true, faults, ..PLAIN });
    }
}

#[test]
fn nor_do_two_takeovers_of_which_neither_is_overtaken() {
    let faults = Faults { kills: 1, stops: 1, time_outs: u8::from(is_wide()), ..NONE };
    let premises = holds(&Model { goals: [CLAIM, REPLACE, REPLACE], refusals: true, faults, ..PLAIN });
    met(&premises, &[Premise::TakeoverWaits]);
    assert!(premises.saw("Asked(Another)"));
}

#[test]
fn generations_grow_by_the_record_alone_when_the_clock_stands() {
    let faults = Faults { kills: 2, stops: u8::from(is_wide()), leaves: 1, ..NONE };
    let premises = holds(&Model { clock_stands: true, faults, ..PLAIN });
    met(&premises, &[Premise::Won, Premise::EndsWithNone]);
}

#[test]
fn sockets_that_others_keep_block_nobody() {
    let faults = Faults { kills: 1 + u8::from(is_wide()), stops: 1, ..NONE };
    let premises = holds(&Model { names: true, orphans: true, faults, ..PLAIN });
    met(&premises, &[Premise::NobodyLives]);
    assert!(premises.saw("AbstractName(Met(Orphan))"));
}

#[test]
fn with_abstract_names_deletions_and_a_lost_lock_never_make_two_holders() {
    let names = Model { names: true, ..PLAIN };
    let faults = Faults { deletions: 2, lost_locks: 1, ..NONE };
    let premises = holds(&Model { goals: [REPLACE, CLAIM, None], faults, ..names });
    met(&premises, &[Premise::HoldsWithoutLock, Premise::EndsWithHolder, Premise::NobodyLives]);
    assert!(premises.saw("Followed(Taken)"));
    let three = Faults { deletions: 1, lost_locks: 1, ..NONE };
    met(&holds(&Model { faults: three, ..names }), &[Premise::TakeoverWaits, Premise::HoldsWithoutLock]);
    if is_wide() {
        holds(&Model { faults, ..names });
        let all = Faults { kills: 1, stops: 1, time_outs: 1, ..faults };
        holds(&Model { goals: [REPLACE, CLAIM, None], faults: all, ..names });
        let goals = [FORCE, CLAIM, None];
        holds(&Model { goals, refusals: true, faults: Faults { kills: 1, stops: 1, ..faults }, ..names });
    }
}

#[test]
fn a_lost_lock_alone_or_one_deletion_makes_no_two_holders_anywhere() {
    let premises = holds(&Model { faults: Faults { lost_locks: 1, ..NONE }, ..PLAIN });
    met(&premises, &[Premise::HoldsWithoutLock, Premise::TakeoverWaits]);
    holds(&Model { faults: Faults { deletions: 1, stops: u8::from(is_wide()), ..NONE }, ..PLAIN });
}

#[test]
fn elsewhere_two_hold_at_most_until_each_has_had_one_tick_after_deletions() {
    let faults = Faults { deletions: 2, stops: 1, time_outs: 1, ..NONE };
    let two = Model { goals: [REPLACE, CLAIM, None], rounds: 1, faults, ..PLAIN };
    let premises = holds(&two);
    met(&premises, &[Premise::TwoHold, Premise::Deposed, Premise::EndsWithHolder]);
    // Where the disk is full the answers depose, as soon as the socket leads to the one that has the lock.
    let full = Model { disk_full: true, rounds: 3, faults: Faults { deletions: 2, ..NONE }, ..two };
    met(&holds(&full), &[Premise::TwoHold, Premise::Deposed, Premise::EndsWithHolder]);
    if is_wide() {
        holds(&Model {
            faults: Faults { kills: 1, ..faults },
            goals: [FORCE, CLAIM, None],
            refusals: true,
            ..two
        });
        holds(&Model { faults: Faults { deletions: 2, ..NONE }, rounds: 1, ..PLAIN });
    }
}

#[test]
fn elsewhere_two_hold_for_less_than_two_ticks_of_each_after_deletions_and_a_lost_lock() {
    let faults = Faults { deletions: 2, lost_locks: 1, ..NONE };
    let two = Model { goals: [REPLACE, CLAIM, None], rounds: 2, faults, ..PLAIN };
    let premises = holds(&two);
    met(&premises, &[Premise::TwoHold, Premise::Deposed, Premise::HoldsWithoutLock]);
    assert!(premises.saw("judged: Outranked") && premises.saw("judged: Answers"));
    if is_wide() {
        holds(&Model { faults: Faults { kills: 1, stops: 1, time_outs: 1, ..faults }, ..two });
        holds(&Model { faults, rounds: 2, ..PLAIN });
    }
}

#[test]
fn an_algorithm_that_skips_the_claim_lock_is_found_out() {
    let broken = Model { broken: Broken::SkipsClaimLock, ..PLAIN };
    assert_eq!(breaks(&broken), Wrong::Overtaken);
}

#[test]
fn an_algorithm_that_trusts_the_pid_file_is_found_out() {
    let faults = Faults { deletions: 1, ..NONE };
    assert_eq!(breaks(&Model { broken: Broken::TrustsPidFile, faults, ..PLAIN }), Wrong::TwoHolders);
}

#[test]
fn an_algorithm_that_unlinks_before_it_claims_is_found_out() {
    assert_eq!(breaks(&Model { broken: Broken::UnlinksFirst, ..PLAIN }), Wrong::TwoHolders);
}

#[test]
fn a_state_is_the_same_when_it_is_unpacked() {
    let faults = Faults { kills: 1, deletions: 1, ..NONE };
    let model = Model { names: true, faults, ..PLAIN };
    let mut states = vec![model.first()];
    for number in 0..20_000 {
        let Some(state) = states.get(number).copied() else { break };
        assert_eq!(state::State::unpack(state.pack()), state);
        assert_eq!(state.swapped(1, 2).swapped(1, 2), state);
        let mut steps = Vec::new();
        model.steps(&state, &mut steps);
        states.extend(steps.iter().map(|step| step.state).take(3));
    }
}
