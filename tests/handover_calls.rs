//! A takeover that overlaps, with one of the two `gateway` killed at every system call, under clients that ask without a
//! pause: the old one serves throughout, unless it has passed the instance on already; and the next one holds, at the same
//! address, with nothing cleaned by hand.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))] // ptrace, and registers by name
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, unreachable_pub)] // a test fails so

#[path = "support/calls.rs"]
mod calls;
#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/shares.rs"]
mod shares;
#[path = "support/traced.rs"]
mod traced;
#[path = "support/tracer.rs"]
mod tracer;
#[path = "support/web.rs"]
mod web;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use gateway::{Place, Running, WATCHDOG};
use shares::play_all;
use traced::{Deed, Kind, Plan, Traced};
use web::{Load, eventually};

/// So many rounds are played in the gate.
const SHARE: usize = 10;

#[test]
fn web() {
    web::play();
}

fn overlap(at: SocketAddr, version: &str) -> Vec<String> {
    web::run(&["--grace", "5s", "--replace=overlap", "--listen", &at.to_string()], version)
}

fn first(place: &Place) -> (Vec<String>, SocketAddr) {
    let at = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let _ = place;
    (web::run(&["--grace", "5s", "--listen", &at.to_string()], "one"), at)
}

fn holder(place: &Place) -> Option<u64> {
    let status: serde_json::Value =
        serde_json::from_str(&place.finish(&["status", "--json"]).stdout).unwrap();
    status["holder"]["pid"].as_u64()
}

fn each(counts: BTreeMap<Kind, usize>) -> Vec<Plan> {
    let mut rounds = Vec::new();
    for (kind, count) in counts {
        for nth in 1..=count {
            rounds.extend([Deed::KillBefore, Deed::KillAfter].map(|deed| Plan { kind, nth, deed }));
        }
    }
    rounds
}

fn name(plan: &Plan) -> String {
    format!("{:?} {} {}", plan.deed, calls::name(plan.kind), plan.nth)
}

/// The new `gateway` is the traced one; what it called until it held.
fn play_new(plan: Option<Plan>) -> BTreeMap<Kind, usize> {
    let place = Place::new();
    let (words, at) = first(&place);
    let old = place.start(&words);
    old.prints("serving one");
    let load = Load::on(at);
    load.meets("one");
    let traced = Traced::start(place.gateway(overlap(at, "two")), plan);
    let mut holds = false;
    eventually("it holds, or has ended", || {
        holds = holder(&place) == Some(traced.pid().into());
        holds || traced.ended_within(Duration::ZERO).is_some()
    });
    let counts = traced.counts();
    drop(traced); // which kills it
    let next = place.start(&overlap(at, "next"));
    next.says("holding ");
    load.meets("next");
    let old = old.end();
    if holds || old.stderr.contains("passed on") {
        // Its successor ended right after: a crash like any other.
        assert!([0, 79].contains(&old.code()), "{old:?}");
    } else {
        load.was_answered();
        assert_eq!(old.code(), 0, "{old:?}");
    }
    assert_eq!(holder(&place), Some(next.pid().into()));
    counts
}

/// The old `gateway` is the traced one, from the moment at which the new one begins.
fn play_old(plan: Option<Plan>) -> BTreeMap<Kind, usize> {
    let place = Place::new();
    let (words, at) = first(&place);
    let traced = Traced::start(place.gateway(words), None);
    eventually("it serves", || web::ask(at, "/").as_deref() == Ok("one"));
    traced.arm(plan);
    let next = place.start(&overlap(at, "two"));
    next.says("holding ");
    next.prints("serving two"); // it may have begun afresh, and binds then
    eventually("the old one has stopped", || web::ask(at, "/").as_deref() == Ok("two"));
    assert_eq!(holder(&place), Some(next.pid().into()));
    if plan.is_none() {
        assert!(traced.ended_within(WATCHDOG).is_some());
    }
    let counts = traced.counts();
    drop(traced);
    let last: Running = place.start(&overlap(at, "three"));
    last.says("holding ");
    assert_eq!(next.end().code(), 0);
    counts
}

#[test]
fn a_new_gateway_can_be_killed_at_every_call() {
    if !tracer::is_allowed() {
        return;
    }
    let rounds = each(play_new(None));
    play_all("the new one, killed", &rounds, (SHARE, 1), name, |plan| drop(play_new(Some(*plan))));
}

#[test]
fn an_old_gateway_can_be_killed_at_every_call() {
    if !tracer::is_allowed() {
        return;
    }
    let rounds = each(play_old(None));
    play_all("the old one, killed", &rounds, (SHARE, 1), name, |plan| drop(play_old(Some(*plan))));
}
