//! When PROGRAM is ready in an overlap, on the built program: by its word, by a clock, by a probe.
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

use gateway::Place;
use handed::{OVERLAP, address, free, says_what_failed, serving, serving_the_asking, status};

#[test]
fn web() {
    web::play();
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
