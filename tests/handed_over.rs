//! The example `handed_over`, a server that takes over and hands over by the library alone, replaced under load; and what the
//! library says of handovers that do not happen.
#![cfg(unix)] // elsewhere nothing is handed over
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, dead_code)] // a test fails so

#[path = "../examples/handed_over.rs"]
mod example;
#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/web.rs"]
mod web;

use std::{net::SocketAddr, net::TcpListener, process::Command};

use gateway::{Place, Running};
use incumbent::{Begun, Claim, Error, Holder, Instance, Listening, TakeoverOptions};
use web::{Load, eventually};

/// One version of the example, as a process of its own.
#[test]
#[ignore = "a role"]
fn role_of_the_example() {
    let Some(dir) = gateway::role_dir() else { return };
    let variable = |name: &str| std::env::var(name).unwrap();
    let instance = Instance::new("a").unwrap().in_dir(dir).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!();
    let address = variable("ADDRESS").parse().unwrap();
    runtime.block_on(example::serve_in_its_place(&instance, address, variable("VERSION"))).unwrap();
}

fn version(place: &Place, at: SocketAddr, version: &str) -> Running {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "role_of_the_example", "--ignored", "--nocapture"]);
    command.env("ROLE_DIR", place.dir()).env("ADDRESS", at.to_string()).env("VERSION", version);
    Running::start(&mut command)
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn instance(place: &Place) -> Instance {
    Instance::new("a").unwrap().in_dir(place.dir()).unwrap()
}

fn holder(place: &Place) -> Holder {
    match instance(place).claim_blocking().unwrap() {
        Claim::Won(holder) => holder,
        Claim::Lost(_) => panic!("lost"),
    }
}

fn begin(place: &Place) -> Result<Begun, Error> {
    instance(place).begin_takeover_blocking(&TakeoverOptions::default().overlap(true), |_| {})
}

#[test]
fn the_example_is_replaced_under_load_and_no_request_fails() {
    let place = Place::new();
    let at = free();
    let mut old = version(&place, at, "v0");
    old.prints("v0 holds, handed over 0 times");
    let load = Load::on(at);
    load.meets("v0");
    for number in 1..=5 {
        let name = format!("v{number}");
        let next = version(&place, at, &name);
        next.prints(&format!("{name} holds, handed over {number} times"));
        load.meets(&name);
        let ended = std::mem::replace(&mut old, next).end();
        assert_eq!(ended.code(), 0, "{ended:?}");
    }
    load.was_answered();
    let history = place.finish(&["--name", "a", "history", "--json"]).stdout;
    assert_eq!(history.matches("\"end\":\"replaced\"").count(), 5, "{history}");
}

#[test]
fn the_example_goes_on_when_the_next_one_cannot_serve() {
    let place = Place::new();
    let at = free();
    let old = version(&place, at, "one");
    old.prints("one holds");
    // A successor that dies with the claim lock in hand.
    let failed = version(&place, "127.0.0.1:1".parse().unwrap(), "two");
    drop(failed);
    assert_eq!(web::ask(at, "/").as_deref(), Ok("one"));
    let next = version(&place, at, "three");
    next.prints("three holds, handed over 1 times");
    assert_eq!(old.end().code(), 0);
}

#[test]
fn who_offers_nothing_is_not_overlapped() {
    let place = Place::new();
    let role = place.start(&["--name", "a", "run"]);
    role.says("holding ");
    match begin(&place) {
        Err(Error::Refused { note, .. }) => assert!(note.contains("hands nothing over"), "{note}"),
        other => panic!("{other:?}"),
    }
    // Nothing was stopped, and nobody claims any more.
    let status = place.finish(&["--name", "a", "status", "--json"]).stdout;
    assert!(status.contains("\"state\":\"ready\"") && status.contains("\"claiming\":null"), "{status}");
}

#[test]
fn a_takeover_that_is_withdrawn_is_told_in_its_own_words() {
    let place = Place::new();
    let old = place.start(&["--name", "a", "run", "--listen", "127.0.0.1:0", "--", "sleep", "1000"]);
    old.says("holding ");
    old.says("listening at ");
    eventually("it offers", || match begin(&place) {
        Ok(Begun::Takeover(mut takeover)) => {
            assert!(takeover.has_holder());
            assert_eq!(takeover.pid(), Some(old.pid()));
            let received = takeover.received();
            let is_it = received.listeners.len() == 1 && received.listeners[0].address == "127.0.0.1:0";
            assert!(takeover.received().listeners.is_empty(), "once");
            takeover.withdraw_blocking("changed its mind\u{7}");
            is_it
        }
        _ => false,
    });
    let said = old.says("pid ");
    assert!(said.contains("did not take over: changed its mind") && !said.contains('\u{7}'), "{said}");
}

#[test]
fn where_nobody_holds_a_takeover_is_a_claim() {
    let place = Place::new();
    let Ok(Begun::Takeover(mut takeover)) = begin(&place) else { panic!("nobody is there") };
    assert!(!takeover.has_holder());
    assert!(takeover.received().listeners.is_empty());
    let Claim::Won(held) = takeover.complete_blocking(|_| {}).unwrap() else { panic!("nobody is there") };
    assert!(held.is_holding());
    held.release_blocking().unwrap();
}

#[test]
fn more_than_can_be_handed_over_is_refused_to_the_program() {
    let place = Place::new();
    let held = holder(&place);
    let many = (0..65).map(|_| {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        Listening { name: "x".into(), address: "y".into(), socket: socket.into() }
    });
    assert!(matches!(held.offer(many.collect(), []), Err(Error::TooLong { .. })));
    assert!(matches!(held.offer(Vec::new(), vec![0; 1 << 20]), Err(Error::TooLong { .. })));
    held.offer(Vec::new(), vec![0; 1 << 19]).unwrap();
    assert!(held.failed_takeovers().is_empty());
}
