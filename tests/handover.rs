//! `run --replace[=overlap] --listen` on the built program, under clients that ask without a pause: no request fails,
//! whatever becomes of the new one.
#![cfg(unix)] // elsewhere nothing is handed over
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/web.rs"]
mod web;

use std::{
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixStream,
};

use gateway::{Place, Running};
use web::Load;

const LISTEN: [&str; 2] = ["--listen", "127.0.0.1:0"];
const OVERLAP: [&str; 3] = ["--replace=overlap", "--listen", "127.0.0.1:0"];

#[test]
fn web() {
    web::play();
}

fn address(running: &Running) -> SocketAddr {
    let line = running.says("listening at ");
    line.split(' ').nth(2).unwrap().parse().unwrap()
}

/// A server that holds, and where it listens.
fn serving(place: &Place, does: &str) -> (Running, SocketAddr) {
    let running = place.start(&web::run(&LISTEN, does));
    running.says("holding ");
    let at = address(&running);
    running.prints("serving ");
    (running, at)
}

/// The same, under clients that ask without a pause and have been answered.
fn serving_the_asking(place: &Place) -> (Running, SocketAddr, Load) {
    let (old, at) = serving(place, "one");
    let load = Load::on(at);
    load.meets("one");
    (old, at, load)
}

fn status(place: &Place) -> serde_json::Value {
    serde_json::from_str(&place.finish(&["status", "--json"]).stdout).unwrap()
}

/// The one that runs says what failed.
fn says_what_failed(place: &Place, old: &Running, why: &str) {
    old.says("pid ");
    let status = status(place);
    assert_eq!(status["holder"]["pid"], old.pid(), "{status}");
    assert_eq!(status["state"], "ready", "{status}");
    assert!(status["problem"].as_str().unwrap().contains(why), "{status}");
    web::eventually("the history tells", || place.finish(&["history", "--json"]).stdout.contains(why));
    assert!(place.finish(&["history"]).stdout.contains("did not take over"));
}

/// The one that runs goes on, and says what failed; then the next one takes its place.
fn goes_on(place: &Place, old: Running, load: Load, why: &str) {
    says_what_failed(place, &old, why);
    let next = place.start(&web::run(&OVERLAP, "next"));
    next.says("holding ");
    load.meets("next");
    let seen = load.was_answered();
    assert_eq!(seen.versions, ["one", "next"]);
    let ended = old.end();
    assert_eq!(ended.code(), 0, "{ended:?}");
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
fn a_new_version_that_ends_at_once_leaves_the_old_one_serving() {
    let place = Place::new();
    let (old, _, load) = serving_the_asking(&place);
    let failed = place.start(&web::run(&OVERLAP, "two dies")).end();
    assert_eq!(failed.code(), 75, "{failed:?}");
    goes_on(&place, old, load, "ended with 3 before it was ready");
}

#[test]
fn a_new_version_that_never_gets_ready_leaves_the_old_one_serving() {
    let place = Place::new();
    let (old, _, load) = serving_the_asking(&place);
    let options = ["--ready-timeout", "300ms", "--replace=overlap", "--listen", "127.0.0.1:0"];
    let failed = place.start(&web::run(&options, "two never")).end();
    assert_eq!(failed.code(), 75, "{failed:?}");
    assert!(failed.stderr.contains("was not ready within"), "{failed:?}");
    goes_on(&place, old, load, "was not ready within");
}

#[test]
fn a_new_version_killed_half_way_leaves_the_old_one_serving() {
    let place = Place::new();
    let (old, _, load) = serving_the_asking(&place);
    let next = place.start(&web::run(&OVERLAP, "two never"));
    let child = next.prints("waiting two");
    os::kill_9(child.rsplit(' ').next().unwrap().parse().unwrap());
    let failed = next.end();
    assert_eq!(failed.code(), 75, "{failed:?}");
    goes_on(&place, old, load, "died of SIGKILL");
}

#[test]
fn a_new_version_that_says_ready_and_ends_at_once_leaves_the_old_one_serving() {
    let place = Place::new();
    let (old, _, load) = serving_the_asking(&place);
    let file = place.dir().join("flee");
    let next = place.start(&web::run(&OVERLAP, &format!("two flees {}", file.display())));
    let child = next.prints("waiting two").rsplit(' ').next().unwrap().to_owned();
    next.stop(); // so that it learns of both at once
    std::fs::write(&file, "").unwrap();
    let stat = format!("/proc/{child}/stat");
    web::eventually("it has ended", || std::fs::read_to_string(&stat).map_or(true, |it| it.contains(") Z ")));
    next.resume();
    let failed = next.end();
    assert_eq!(failed.code(), 75, "{failed:?}");
    goes_on(&place, old, load, "ended with 3");
}

#[test]
fn one_that_was_ready_and_gave_up_on_a_stopped_holder_is_not_made_room_for() {
    let place = Place::new();
    let (old, at, load) = serving_the_asking(&place);
    let file = place.dir().join("ready");
    let next = place.start(&web::run(&OVERLAP, &format!("two after {}", file.display())));
    next.prints("waiting two");
    old.stop();
    std::fs::write(&file, "").unwrap();
    let failed = next.end();
    assert_eq!(failed.code(), 75, "{failed:?}");
    assert!(failed.stderr.contains("is stopped"), "{failed:?}");
    old.resume();
    says_what_failed(&place, &old, "went away before it was heard");
    assert_eq!(web::ask(at, "/").as_deref(), Ok("one"));
    load.was_answered();
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(old.end().code(), 0);
}

#[test]
fn one_that_is_late_is_waited_for_when_nobody_runs_any_more() {
    let place = Place::new();
    let (old, at) = serving(&place, "one");
    let file = place.dir().join("ready");
    let late = ["--ready-timeout", "2s", "--replace=overlap", "--listen", "127.0.0.1:0"];
    let next = place.start(&web::run(&late, &format!("two after {}", file.display())));
    next.prints("waiting two");
    old.kill();
    let said = next.says("pid ");
    assert!(said.contains("was not ready within 2 s, and is waited for"), "{said}");
    std::fs::write(&file, "").unwrap();
    next.says("holding ");
    assert_eq!(web::ask(at, "/").as_deref(), Ok("two"));
}

#[test]
fn a_new_gateway_killed_half_way_leaves_the_old_one_serving() {
    let place = Place::new();
    let (old, _, load) = serving_the_asking(&place);
    let next = place.start(&web::run(&OVERLAP, "two never"));
    next.prints("waiting two");
    assert_eq!(status(&place)["claiming"]["pid"], next.pid());
    next.kill();
    goes_on(&place, old, load, "went away before it was ready");
}

#[test]
fn a_new_gateway_that_is_asked_to_stop_half_way_leaves_the_old_one_serving() {
    let place = Place::new();
    let (old, _, load) = serving_the_asking(&place);
    let next = place.start(&web::run(&OVERLAP, "two never"));
    next.prints("waiting two");
    next.terminate();
    assert_eq!(next.end().code(), 0);
    goes_on(&place, old, load, "asked to stop");
}

#[test]
fn an_old_one_killed_half_way_is_followed_by_the_new_one_as_soon_as_that_is_ready() {
    let place = Place::new();
    let (old, at) = serving(&place, "one");
    let file = place.dir().join("ready");
    let next = place.start(&web::run(&OVERLAP, &format!("two after {}", file.display())));
    next.prints("waiting two");
    old.kill();
    std::fs::write(&file, "").unwrap();
    next.says("holding ");
    assert_eq!(status(&place)["holder"]["pid"], next.pid());
    assert_eq!(web::ask(at, "/").as_deref(), Ok("two"), "at the same address");
    let after = place.start(&web::run(&OVERLAP, "three"));
    after.says("holding ");
    assert_eq!(next.end().code(), 0);
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
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn an_address_that_a_stranger_has_is_said_before_anything_is_stopped() {
    let place = Place::new();
    let (old, at) = serving(&place, "one");
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = stranger.local_addr().unwrap().to_string();
    for how in ["--replace", "--replace=overlap"] {
        let options = [how, "--listen", "127.0.0.1:0", "--listen", &taken];
        let failed = place.start(&web::run(&options, "two")).end();
        assert_eq!(failed.code(), 73, "{failed:?}");
        assert!(failed.stderr.contains(&format!("cannot listen at {taken}")), "{failed:?}");
        let said = old.says("pid ");
        assert!(said.contains("did not take over: cannot listen at"), "{said}");
        assert_eq!(web::ask(at, "/").as_deref(), Ok("one"));
        assert_eq!(status(&place)["holder"]["pid"], old.pid());
    }
}

#[test]
fn a_program_that_shuts_its_socket_down_when_it_stops_closes_no_door_of_its_successor() {
    let place = Place::new();
    let (old, at) = serving(&place, "one shuts");
    let next = place.start(&web::run(&["--replace", "--listen", "127.0.0.1:0"], "two"));
    next.prints("serving two");
    assert_eq!(web::ask(at, "/").as_deref(), Ok("two"));
    assert_eq!(old.end().code(), 0);
}

#[test]
fn a_door_that_is_shut_by_the_one_that_drains_is_opened_again() {
    let place = Place::new();
    let (old, at) = serving(&place, "one shuts");
    let next = place.start(&web::run(&OVERLAP, "two"));
    assert_eq!(old.end().code(), 0);
    next.says("listening at ");
    let said = next.says("listening at ");
    assert!(said.ends_with("again: it was shut down"), "{said}");
    assert_eq!(web::ask(at, "/").as_deref(), Ok("two"));
}

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
fn one_that_does_not_answer_is_left_alone_and_nothing_is_started_beside_it() {
    let place = Place::new();
    let (old, at) = serving(&place, "one");
    old.stop();
    let refused = place.start(&web::run(&OVERLAP, "two")).end();
    assert_eq!(refused.code(), 75, "{refused:?}");
    assert!(!refused.stdout.contains("serving two"), "{refused:?}");
    old.resume();
    assert_eq!(web::ask(at, "/").as_deref(), Ok("one"));
    let next = place.start(&web::run(&OVERLAP, "three"));
    next.says("holding ");
    assert_eq!(old.end().code(), 0);
}

#[test]
fn where_nobody_holds_it_is_ready_in_the_same_way() {
    let own = free();
    let (at, probe) = (own.to_string(), format!("http://{own}/"));
    for ready in [["--ready-after", "50ms"], ["--ready-probe", &probe]] {
        let place = Place::new();
        let options = [&["--replace=overlap", "--listen", &at], &ready[..]].concat();
        let started = place.start(&web::run(&[&["--detach"], &options[..]].concat(), "one")).end();
        assert_eq!(started.code(), 0, "{started:?}");
        assert_eq!(status(&place)["state"], "ready");
        assert_eq!(place.finish(&["stop"]).code(), 0);
        let failing = ["--replace=overlap", "--ready-after", "1h", "--", "false"];
        let ended = place.finish(&[&["run"], &failing[..]].concat());
        assert_eq!(ended.code(), 1, "{ended:?}");
    }
}

#[test]
fn a_limit_of_starts_does_not_keep_one_from_getting_ready() {
    let place = Place::new();
    let (mut old, _) = serving(&place, "v0");
    for number in 1..=4 {
        let options = ["--max-starts", "2/10m", "--replace=overlap", "--listen", "127.0.0.1:0"];
        let next = place.start(&web::run(&options, &format!("v{number}")));
        next.says("holding ");
        assert_eq!(std::mem::replace(&mut old, next).end().code(), 0);
    }
}

#[test]
fn where_nobody_holds_an_overlap_is_an_ordinary_start() {
    let place = Place::new();
    let running = place.start(&web::run(&OVERLAP, "one"));
    running.says("holding ");
    let at = address(&running);
    running.prints("serving one");
    assert_eq!(web::ask(at, "/").as_deref(), Ok("one"));
}

#[test]
fn a_probe_that_is_answered_is_ready_and_one_that_is_not_is_not() {
    let place = Place::new();
    let (old, at) = serving(&place, "one");
    let own = free();
    let (own_at, probe) = (own.to_string(), format!("http://{own}/health"));
    let nobody = format!("http://{}/", free());
    let failing = [
        "--replace=overlap",
        "--ready-timeout",
        "300ms",
        "--ready-probe",
        &nobody,
        "--listen",
        "127.0.0.1:0",
    ];
    let failed = place.start(&web::run(&failing, "two never")).end();
    assert_eq!(failed.code(), 75, "{failed:?}");
    let options =
        ["--replace=overlap", "--ready-probe", &probe, "--listen", "127.0.0.1:0", "--listen", &own_at];
    let next = place.start(&web::run(&options, "two"));
    next.says("holding ");
    assert_eq!(old.end().code(), 0);
    assert_eq!(web::ask(at, "/").as_deref(), Ok("two"));
}

#[test]
fn a_probe_that_the_old_version_may_answer_is_warned_of() {
    let place = Place::new();
    let (old, at) = serving(&place, "one");
    let probe = format!("http://{at}/");
    let next = place.start(&web::run(&[&["--ready-probe", &probe], &OVERLAP[..]].concat(), "two"));
    next.says(&format!("warning: the one that runs accepts at {at}, too"));
    next.says("holding ");
    assert_eq!(old.end().code(), 0);
}

#[test]
fn what_is_told_by_a_clock_or_a_probe_is_not_ready_by_its_own_word() {
    let place = Place::new();
    let (old, _, load) = serving_the_asking(&place);
    let nobody = format!("http://{}/", free());
    for by in [["--ready-probe", &nobody], ["--ready-after", "1h"]] {
        let options = [&by[..], &["--ready-timeout", "1s"], &OVERLAP].concat();
        let failed = place.start(&web::run(&options, "two")).end();
        assert_eq!(failed.code(), 75, "{failed:?}");
        assert!(failed.stdout.contains("serving two"), "it has said so: {failed:?}");
        says_what_failed(&place, &old, "was not ready within");
    }
    load.was_answered();
    // Unless its word is asked for, too.
    let options = [&["--notify", "--ready-after", "1h"], &OVERLAP[..]].concat();
    let next = place.start(&web::run(&options, "three"));
    next.says("holding ");
    assert_eq!(old.end().code(), 0);
}

#[test]
fn a_stop_meanwhile_stops_the_old_one_and_the_new_one_follows() {
    let place = Place::new();
    let (old, _) = serving(&place, "one");
    let file = place.dir().join("ready");
    let next = place.start(&web::run(&OVERLAP, &format!("two after {}", file.display())));
    next.prints("waiting two");
    let stop = place.finish(&["stop"]);
    assert_eq!(stop.code(), 0, "{stop:?}");
    assert_eq!(old.end().code(), 0);
    std::fs::write(&file, "").unwrap();
    next.says("holding ");
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
