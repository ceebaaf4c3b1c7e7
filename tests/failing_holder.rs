//! A holder whose calls fail while it serves, once or from then on: it stays the only one, or ends and says why. It is
//! asked how it is, somebody wants its place and is refused, it looks after itself, and it stops when it is asked to.
//!
//! What fails for good may keep it from answering, and then `status` says so; it never keeps it busy. As in
//! `tests/failing_calls.rs`, a run without an error counts the calls.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))] // ptrace, and registers by name
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, unreachable_pub)] // a test fails so

#[path = "support/calls.rs"]
mod calls;
#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/plays.rs"]
mod plays;
#[path = "support/scenes.rs"]
mod scenes;
#[path = "support/shares.rs"]
mod shares;
#[path = "support/traced.rs"]
mod traced;
#[path = "support/tracer.rs"]
mod tracer;

use std::{
    collections::BTreeMap,
    process::ExitStatus,
    time::{Duration, Instant},
};

use gateway::Running;
use nix::{errno::Errno, libc};
use plays::{end, is_clear, lasts, patience, play, settles};
use scenes::{LOOK, Scene, Stage, WITNESS, until};
use shares::play_all;
use traced::{Deed, Kind, Plan, Traced};

/// So many rounds are played in the gate; each waits most of its time.
const SHARE: usize = 5;
const AT_ONCE: usize = 4;
/// So long it is watched: it looks after itself once a second.
const WATCHED: Duration = Duration::from_millis(1300);
/// So long it takes to kill a child that cannot be asked to stop, and a second.
const UNTIL_KILLED: Duration = Duration::from_secs(7);
/// What a holder that only waits and tries again does not reach: it makes some dozens of calls a second, and some 2,500 while
/// a contender asks it over and over that it cannot tell where it is. One that spins makes 9,000 and more.
const BUSY: f64 = 5000.0;

/// Serves for a while, with something happening to a call. What was called meanwhile.
fn serve(plan: Option<Plan>) -> BTreeMap<Kind, usize> {
    let stage = Stage::new();
    let mut traced = Traced::start(stage.run(&[], WITNESS), None);
    let pid = traced.pid();
    let ended = settles(&stage, pid, 1, || traced.ended_within(Duration::ZERO));
    assert!(ended.is_none(), "nothing happened to it yet: {ended:?}");
    traced.arm(plan);
    let (begun, calls) = (Instant::now(), traced.calls());

    if lasts(plan) {
        stage.names_or_hears_nothing(&traced);
    } else {
        stage.names(&[Some(pid).filter(|_| traced.ended_within(Duration::ZERO).is_none())]);
    }
    let refused = Running::start(&mut stage.run(&[], LOOK)).end();
    let still_there = traced.ended_within(Duration::ZERO).is_none();
    if refused.code() != 0 || still_there {
        assert!(refused.code() == 75, "it was to be refused: {refused:?}");
        is_clear(refused.code(), &refused.stderr);
    }
    traced.ended_within(WATCHED);
    let busy = f64::from(u32::try_from(traced.calls() - calls).unwrap()) / begun.elapsed().as_secs_f64();
    assert!(busy < BUSY, "it makes {busy} calls a second");
    let counts = traced.counts();

    traced.terminate();
    let status = end(&stage, &traced, plan);
    let (code, seen) = stage.status();
    assert!([1, 3].contains(&code), "nobody is there: {seen}");
    stage.next_one(false);
    stage.is_clean();
    let (_, stderr) = traced.said();
    explains(status, &stderr, plan);
    counts
}

fn explains(status: ExitStatus, stderr: &str, plan: Option<Plan>) {
    let code = status.code().unwrap_or_else(|| panic!("it ended with {status}, and said: {stderr}"));
    if !plan.is_some_and(|plan| calls::is_for_words(plan.kind)) {
        is_clear(code, stderr);
    }
}

fn name(plan: &Plan) -> String {
    format!("{:?} {} {}", plan.deed, calls::name(plan.kind), plan.nth)
}

#[test]
fn a_holder_survives_or_explains_each_call_that_fails_once() {
    if !tracer::is_allowed() {
        return;
    }
    let mut rounds = Vec::new();
    for (kind, count) in serve(None) {
        for nth in 1..=count {
            rounds.extend(calls::errors(kind).iter().map(|&errno| Plan {
                kind,
                nth,
                deed: Deed::Fail(errno),
            }));
        }
    }
    play_all("a call fails once", &rounds, (SHARE, AT_ONCE), name, |plan| drop(serve(Some(*plan))));
}

#[test]
fn a_holder_whose_calls_fail_for_good_stays_the_only_one_and_is_not_busy() {
    if !tracer::is_allowed() {
        return;
    }
    let mut rounds = Vec::new();
    for (kind, _) in serve(None) {
        rounds.extend(calls::lasting_errors(kind).map(|errno| Plan {
            kind,
            nth: 1,
            deed: Deed::FailOnwards(errno),
        }));
    }
    play_all("calls fail for good", &rounds, (SHARE, AT_ONCE), name, |plan| drop(serve(Some(*plan))));
}

#[test]
fn a_claim_lock_that_could_not_be_let_go_of_is_let_go_of_by_the_tick() {
    if !tracer::is_allowed() {
        return;
    }
    let counted = play(Scene::First, &Stage::new(), None).counts;
    for kind in [libc::SYS_fcntl, libc::SYS_newfstatat].map(calls::own) {
        for nth in 1..=counted[&kind] {
            let stage = Stage::new();
            let plan = Plan { kind, nth, deed: Deed::FailTwice(Errno::EIO) };
            let traced = Traced::start(stage.gateway(&["run"]), Some(plan));
            let ended = || traced.ended_within(Duration::ZERO);
            let settled = || ended().is_some() || stage.holds(traced.pid());
            let settled = until(patience(), || settled().then_some(()));
            assert!(settled.is_some(), "{}: the claim lock is kept: {:?}", name(&plan), stage.status());
        }
    }
}

#[test]
fn the_end_of_program_is_seen_though_its_signal_was_lost() {
    if !tracer::is_allowed() {
        return;
    }
    let stage = Stage::new();
    let mut traced = Traced::start(stage.run(&[], WITNESS), None);
    assert!(settles(&stage, traced.pid(), 1, || traced.ended_within(Duration::ZERO)).is_none());
    let kind = Kind { number: libc::SYS_sendto, forked: false, of_the_runtime: true };
    traced.arm(Some(Plan { kind, nth: 1, deed: Deed::FailOnwards(Errno::ENOMEM) }));
    let (_, seen) = stage.status();
    os::kill_9(seen["holder"]["child"]["pid"].as_u64().unwrap().try_into().unwrap());
    let status = traced.ended_within(patience()).expect("it sees the end");
    assert!(traced.done() > 0, "the signal was lost");
    assert_eq!(status.code(), Some(137), "{}", traced.said().1);
}

#[test]
fn a_child_that_could_not_be_killed_is_killed_when_it_can_be() {
    if !tracer::is_allowed() {
        return;
    }
    let stage = Stage::new();
    let mut traced = Traced::start(stage.run(&[], WITNESS), None);
    assert!(settles(&stage, traced.pid(), 1, || traced.ended_within(Duration::ZERO)).is_none());
    let kind = calls::own(libc::SYS_kill);
    traced.arm(Some(Plan { kind, nth: 1, deed: Deed::FailOnwards(Errno::EPERM) }));
    traced.terminate();
    let ended = traced.ended_within(UNTIL_KILLED);
    assert!(ended.is_none() && traced.done() > 0, "it runs, and is not left alone: {ended:?}");
    stage.names(&[Some(traced.pid())]);
    traced.disarm();
    let status = traced.ended_within(patience()).expect("it kills it at last");
    assert_eq!(status.code(), Some(137), "{}", traced.said().1);
    stage.is_clean();
}

#[test]
fn a_holder_that_may_not_know_its_limits_does_without() {
    if !tracer::is_allowed() {
        return;
    }
    let kind = calls::own(libc::SYS_prlimit64);
    assert!(serve(None).contains_key(&kind), "it asks for them");
    serve(Some(Plan { kind, nth: 1, deed: Deed::FailOnwards(Errno::EACCES) }));
}
