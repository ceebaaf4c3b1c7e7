//! `gateway` killed at every system call: before it, so that it has not happened, and after it, when it has. Then
//! `status` tells the truth, and the next one holds with nothing cleaned by hand.
//!
//! A run without a kill counts the calls of each kind; each of them is then a round of its own. What the loader and
//! Rust's runtime do before `main` is not counted: nothing of this project has happened there.
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

use plays::play;
use scenes::{Scene, Stage};
use shares::play_all;
use traced::{Deed, Plan};

/// So many rounds of each scene are played in the gate.
const SHARE: usize = 14;

fn killed_at_every_call(scene: Scene) {
    let crashed = Stage::new();
    crashed.after_a_crash();
    let counted = play(scene, &crashed, None);
    let mut rounds = Vec::new();
    for (kind, count) in counted.counts {
        for nth in 1..=count {
            rounds.extend([Deed::KillBefore, Deed::KillAfter].map(|deed| Plan { kind, nth, deed }));
        }
    }
    let name = |plan: &Plan| format!("{:?} {} {}", plan.deed, calls::name(plan.kind), plan.nth);
    play_all(&format!("{scene:?}, killed"), &rounds, (SHARE, 1), name, |plan| {
        play(scene, &crashed, Some(*plan));
    });
}

#[test]
fn a_first_claim_can_be_killed_at_every_call() {
    if !tracer::is_allowed() {
        return;
    }
    killed_at_every_call(Scene::First);
}

#[test]
fn a_claim_after_a_crash_can_be_killed_at_every_call() {
    if !tracer::is_allowed() {
        return;
    }
    killed_at_every_call(Scene::AfterCrash);
}

#[test]
fn a_contender_in_a_takeover_can_be_killed_at_every_call() {
    if !tracer::is_allowed() {
        return;
    }
    killed_at_every_call(Scene::Contender);
}

#[test]
fn a_holder_that_is_replaced_can_be_killed_at_every_call() {
    if !tracer::is_allowed() {
        return;
    }
    killed_at_every_call(Scene::Replaced);
}
