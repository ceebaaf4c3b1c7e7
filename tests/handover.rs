//! `run --replace[=overlap] --listen` on the built program, under clients that ask without a pause: no request fails,
//! whatever becomes of the new one.
#![cfg(unix)] // elsewhere nothing is handed over
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/handed.rs"]
mod handed;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/web.rs"]
mod web;

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use gateway::{Place, Running};
use handed::{LISTEN, OVERLAP, address, free, serving, serving_the_asking, status};
use web::Load;

#[test]
fn web() {
    web::play();
}

#[test]
fn an_exclusive_takeover_refuses_no_connection_and_the_children_never_meet() {
    let place = Place::new();
    let (mut old, at) = serving(&place, "v0");
    let load = Load::on(at);
    load.meets("v0");
    for number in 1..=5 {
        let version = format!("v{number}");
        let next = place.start(&web::run(&["--replace", "--listen", "127.0.0.1:0"], &version));
        next.says("holding ");
        next.prints("serving ");
        load.meets(&version);
        let ended = std::mem::replace(&mut old, next).end();
        assert_eq!(ended.code(), 0, "{ended:?}");
    }
    let seen = load.was_answered();
    assert_eq!(seen.versions, ["v0", "v1", "v2", "v3", "v4", "v5"]);
}

#[test]
fn an_overlapping_takeover_fails_no_request_and_the_generation_tells() {
    let place = Place::new();
    let (mut old, at) = serving(&place, "v0");
    let load = Load::on(at);
    load.meets("v0");
    let mut generation = status(&place)["holder"]["generation"].as_u64().unwrap();
    for number in 1..=5 {
        let version = format!("v{number}");
        let next = place.start(&web::run(&OVERLAP, &version));
        next.says("getting ready beside pid ");
        next.says("holding ");
        old.says("passed on to pid ");
        load.meets(&version);
        let status = status(&place);
        assert_eq!(status["holder"]["pid"], next.pid());
        assert!(status["holder"]["generation"].as_u64().unwrap() > generation);
        generation = status["holder"]["generation"].as_u64().unwrap();
        let ended = std::mem::replace(&mut old, next).end();
        assert_eq!(ended.code(), 0, "{ended:?}");
    }
    load.was_answered();
    let history = place.finish(&["history", "--json"]).stdout;
    assert_eq!(history.matches("\"end\":\"replaced\"").count(), 5, "{history}");
}

#[test]
fn what_is_in_flight_is_finished_by_the_old_one_while_the_new_one_holds() {
    let place = Place::new();
    let (old, at) = serving(&place, "one");
    let file = place.dir().join("go-on");
    let path = format!("/until{}", file.display());
    let slow = std::thread::spawn(move || web::ask(at, &path));
    web::eventually("it is in flight", || place.dir().join("go-on.begun").exists());
    let next = place.start(&web::run(&OVERLAP, "two"));
    next.says("holding ");
    web::eventually("the new one answers alone", || web::ask(at, "/").as_deref() == Ok("two"));
    assert_eq!(status(&place)["holder"]["pid"], next.pid());
    assert!(!slow.is_finished());
    std::fs::write(&file, "").unwrap();
    assert_eq!(slow.join().unwrap().as_deref(), Ok("one"));
    assert_eq!(old.end().code(), 0);
}

#[test]
fn of_many_that_take_over_at_once_one_holds_and_no_request_fails() {
    let place = Place::new();
    let (old, _, load) = serving_the_asking(&place);
    let count = if std::env::var_os("STRESS").is_some() { 50 } else { 8 };
    let takers: Vec<Running> = (0..count).map(|_| place.start(&web::run(&OVERLAP, "two"))).collect();
    let (tell, ended) = std::sync::mpsc::channel();
    for taker in takers {
        let tell = tell.clone();
        std::thread::spawn(move || tell.send(taker.end()));
    }
    for told in ended.iter().take(count - 1) {
        // Who began after another had won replaced that one in turn.
        assert!(matches!(told.code(), 0 | 75), "{told:?}");
    }
    assert_eq!(old.end().code(), 0);
    load.meets("two");
    let seen = load.was_answered();
    assert_eq!(seen.versions, ["one", "two"]);
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(ended.recv().unwrap().code(), 0);
}

#[test]
fn the_new_one_has_the_addresses_that_it_wants_and_no_others() {
    let place = Place::new();
    let path = place.dir().join("web.sock");
    let (kept, dropped, added) = (free(), free(), free());
    let [kept_at, dropped_at, added_at] = [kept, dropped, added].map(|it| it.to_string());
    let old = ["--listen", &kept_at, "--listen", &dropped_at, "--listen", path.to_str().unwrap()];
    let old = place.start(&web::run(&old, "one"));
    old.prints("serving one");
    let wants = [
        "--replace=overlap",
        "--listen",
        &added_at,
        "--listen",
        path.to_str().unwrap(),
        "--listen",
        &kept_at,
    ];
    let next = place.start(&web::run(&wants, "two"));
    next.says("holding ");
    assert_eq!(old.end().code(), 0);
    assert_eq!(web::ask(kept, "/").as_deref(), Ok("two"));
    assert_eq!(web::ask(added, "/").as_deref(), Ok("two"));
    assert!(web::ask(dropped, "/").is_err());
    assert!(UnixStream::connect(&path).is_ok());
}

/// An address that nobody had a moment ago.
#[test]
fn one_who_hands_nothing_over_is_replaced_exclusively_or_not_at_all() {
    let place = Place::new();
    let old = place.hold(&["run"]);
    let refused = place.start(&web::run(&OVERLAP, "two")).end();
    assert_eq!(refused.code(), 75, "{refused:?}");
    assert!(refused.stderr.contains("hands nothing over"), "{refused:?}");
    let hint = refused.hinted("stops it first");
    assert!(hint.contains("--replace --listen 127.0.0.1:0 -- "), "{hint}");
    let next = place.start(&web::run(&["--replace", "--listen", "127.0.0.1:0"], "two"));
    next.prints("serving two");
    assert_eq!(old.end().code(), 0);
}

#[test]
fn a_worker_without_sockets_overlaps_too() {
    let place = Place::new();
    let old = place.hold(&["run", "--", "sh", "-c", "echo begun; exec sleep 1000"]);
    old.prints("begun");
    let next = place.start(&["run", "--replace=overlap", "--ready-after", "0s", "--", "sleep", "1000"]);
    next.says("holding ");
    assert_eq!(old.end().code(), 0);
    assert_eq!(status(&place)["holder"]["pid"], next.pid());
}

#[test]
fn messages_reach_the_new_one_as_soon_as_it_holds() {
    let place = Place::new();
    let prints = "while read line; do echo got $line; done; exec sleep 1000";
    let old = place.hold(&["run", "--messages", "stdin", "--", "sh", "-c", prints]);
    let options =
        ["run", "--messages", "stdin", "--replace=overlap", "--ready-after", "0s", "--", "sh", "-c", prints];
    let next = place.start(&options);
    next.says("holding ");
    assert_eq!(old.end().code(), 0);
    assert_eq!(place.finish(&["send", "hello"]).code(), 0);
    assert!(next.prints("got ").contains("hello"));
}

#[test]
fn with_others_held_too_the_sockets_come_along() {
    let place = Place::new();
    let also = ["--also", "a-first", "--also", "z-last"];
    let old = place.start(&web::run(&[&also[..], &LISTEN].concat(), "one"));
    let at = address(&old);
    old.prints("serving one");
    let load = Load::on(at);
    load.meets("one");
    let next = place.start(&web::run(&[&also[..], &OVERLAP].concat(), "two"));
    next.says("holding ");
    load.meets("two");
    assert_eq!(old.end().code(), 0);
    let exclusive = ["--replace", "--listen", "127.0.0.1:0"];
    let last = place.start(&web::run(&[&also[..], &exclusive].concat(), "three"));
    last.says("holding ");
    load.meets("three");
    assert_eq!(next.end().code(), 0);
    load.was_answered();
    for name in ["a-first", "gateway", "z-last"] {
        assert_eq!(place.finish(&["--name", name, "status"]).code(), 0, "{name}");
        let history = place.finish(&["--name", name, "history", "--json"]).stdout;
        let first = history.lines().next().unwrap();
        assert!(first.contains("\"end\":\"replaced\""), "{name}: {first}");
    }
}

#[test]
fn in_the_background_the_new_one_is_ready_when_it_returns_or_the_old_one_goes_on() {
    let place = Place::new();
    let port = free().to_string();
    let first = place.start(&web::run(&["--detach", "--listen", &port], "one")).end();
    assert_eq!(first.code(), 0, "{first:?}");
    let at: SocketAddr = port.parse().unwrap();
    web::eventually("it answers", || web::ask(at, "/").as_deref() == Ok("one"));
    let log = place.dir().join("gateway.log");
    web::eventually("it has said so", || std::fs::read_to_string(&log).unwrap().contains("serving one"));
    let load = Load::on(at);
    let failed =
        place.start(&web::run(&["--detach", "--replace=overlap", "--listen", &port], "two dies")).end();
    assert_eq!(failed.code(), 75, "{failed:?}");
    assert!(failed.stderr.contains("dying two"), "the end of its output: {failed:?}");
    assert!(!failed.stderr.contains("serving one"), "and of nobody else's: {failed:?}");
    let next = place.start(&web::run(&["--detach", "--replace=overlap", "--listen", &port], "two")).end();
    assert_eq!(next.code(), 0, "{next:?}");
    load.meets("two");
    load.was_answered();
    assert_eq!(place.finish(&["stop"]).code(), 0);
}
