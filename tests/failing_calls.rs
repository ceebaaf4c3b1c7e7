//! `gateway` told at every system call that it failed, once or from then on: it goes on, or ends with a code and a sentence,
//! and never hangs; `status` tells the truth, there is no second holder, and the next one holds with nothing cleaned by hand.
//!
//! As in `tests/every_call.rs`, a run without an error counts the calls; each of them, with each error, is a round. What the
//! loader and Rust's runtime do before `main` is not counted: nothing of this project has happened there. What is not told an
//! error, and why, is said in `tests/support/calls.rs`.
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

use std::{collections::BTreeMap, sync::Mutex};

use nix::{errno::Errno, libc};
use plays::{Played, play};
use scenes::{Scene, Stage};
use shares::play_all;
use traced::{Deed, Plan};

/// So many rounds of each scene are played in the gate.
const SHARE: usize = 14;
const SHARE_FOR_GOOD: usize = 2;

fn failing(scene: Scene, share: usize, for_good: bool) {
    let crashed = Stage::new();
    crashed.after_a_crash();
    let counted = play(scene, &crashed, None);
    let mut rounds = Vec::new();
    for (kind, count) in counted.counts {
        if for_good {
            rounds.extend(calls::lasting_errors(kind).map(|errno| Plan {
                kind,
                nth: 1,
                deed: Deed::FailOnwards(errno),
            }));
            continue;
        }
        for nth in 1..=count {
            rounds.extend(calls::errors(kind).iter().map(|&errno| Plan {
                kind,
                nth,
                deed: Deed::Fail(errno),
            }));
        }
    }
    let outcomes = Mutex::new(BTreeMap::<String, usize>::new());
    let how = if for_good { "failing for good" } else { "failing once" };
    play_all(&format!("{scene:?}, {how}"), &rounds, (share, 1), name, |plan| {
        let played = play(scene, &crashed, Some(*plan));
        *outcomes.lock().unwrap().entry(outcome(&played)).or_default() += 1;
    });
    for (outcome, count) in outcomes.into_inner().unwrap() {
        println!("{count:6} {outcome}");
    }
}

fn name(plan: &Plan) -> String {
    format!("{:?} {} {}", plan.deed, calls::name(plan.kind), plan.nth)
}

/// How it ended, and the sentence without what differs from run to run.
fn outcome(played: &Played) -> String {
    let sentence = played.stderr.lines().find(|line| line.starts_with("gateway: ")).unwrap_or("");
    let words = sentence.split_whitespace().map(|word| match word {
        _ if word.contains("/.tmp") => word.rsplit('/').next().unwrap_or(word),
        _ if word.parse::<u32>().is_ok() => "N",
        _ => word,
    });
    format!("{}: {}", played.status, words.collect::<Vec<_>>().join(" "))
}

#[test]
fn a_first_claim_survives_or_explains_every_failing_call() {
    if !tracer::is_allowed() {
        return;
    }
    failing(Scene::First, SHARE, false);
}

#[test]
fn a_claim_after_a_crash_survives_or_explains_every_failing_call() {
    if !tracer::is_allowed() {
        return;
    }
    failing(Scene::AfterCrash, SHARE, false);
}

#[test]
fn a_contender_in_a_takeover_survives_or_explains_every_failing_call() {
    if !tracer::is_allowed() {
        return;
    }
    failing(Scene::Contender, SHARE, false);
}

#[test]
fn a_holder_that_is_replaced_survives_or_explains_every_failing_call() {
    if !tracer::is_allowed() {
        return;
    }
    failing(Scene::Replaced, SHARE, false);
}

#[test]
fn calls_that_fail_for_good_are_survived_or_explained() {
    if !tracer::is_allowed() {
        return;
    }
    for scene in [Scene::First, Scene::AfterCrash, Scene::Contender, Scene::Replaced] {
        failing(scene, SHARE_FOR_GOOD, true);
    }
}

#[test]
fn a_host_that_does_not_tell_its_name_is_held_on_all_the_same() {
    if !tracer::is_allowed() {
        return;
    }
    let crashed = Stage::new();
    let plan = Plan { kind: calls::own(libc::SYS_uname), nth: 1, deed: Deed::FailOnwards(Errno::EPERM) };
    let played = play(Scene::First, &crashed, Some(plan));
    assert!(played.done > 0 && played.status.success(), "{played:?}");
}

#[test]
fn an_event_loop_without_a_socket_for_signals_is_an_error_with_a_sentence() {
    if !tracer::is_allowed() {
        return;
    }
    let crashed = Stage::new();
    let kind = calls::own(libc::SYS_socketpair);
    let counted = play(Scene::First, &crashed, None).counts[&kind];
    let failed = (1..=counted).map(|nth| {
        play(Scene::First, &crashed, Some(Plan { kind, nth, deed: Deed::Fail(Errno::ENOMEM) })).stderr
    });
    let said: Vec<String> = failed.collect();
    assert!(said.iter().any(|said| said.contains("cannot start the event loop")), "{said:?}");
}
