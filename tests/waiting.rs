//! `run --wait` and `wait` on the built program: they end with the event, and say what they wait for.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/stand_in.rs"]
mod stand_in;

use gateway::{Place, Running};

#[test]
fn stand_in() {
    stand_in::play();
}

#[test]
fn who_waits_says_for_whom_and_gets_in_when_it_goes() {
    for end in ["killed", "stopped", "released"] {
        let place = Place::new();
        let holder = match end {
            "released" => place.hold(&stand_in::run(&[], "read")),
            _ => place.hold(&["run"]),
        };
        let waiting = place.start(&["run", "--wait"]);
        let line = waiting.says("waiting");
        assert!(line.contains(&format!("pid {}", holder.pid())) && line.contains("since "), "{line}");
        match end {
            "killed" => drop(holder.kill()),
            "stopped" => assert_eq!(place.finish(&["stop"]).code(), 0),
            _ => assert_eq!(holder.end().code(), 0),
        }
        waiting.says("holding ");
    }
}

#[test]
fn who_waits_for_a_holder_that_does_not_answer_gets_in_when_it_is_gone() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    holder.stop();
    let waiting = place.start(&["run", "--wait"]);
    let line = waiting.says("waiting");
    assert!(line.contains(os::SUSPENDED) && line.contains(&format!("pid {}", holder.pid())), "{line}");
    // It goes on, and says so, and not the same thing twice.
    assert!(waiting.says("waiting").starts_with("waiting for 1 s already"));
    holder.kill();
    waiting.says("holding ");
}

#[test]
fn who_waits_is_told_when_the_holder_stops_answering() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    let waiting = place.start(&["run", "--wait"]);
    assert!(!waiting.says("waiting").contains(os::SUSPENDED));
    holder.stop();
    assert!(waiting.says("waiting: ").contains(os::SUSPENDED));
    holder.kill();
    waiting.says("holding ");
}

#[test]
fn a_wait_with_a_limit_ends_when_the_time_is_up() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    let gave_up = place.finish(&["run", "--wait=100ms"]);
    assert_eq!(gave_up.code(), 75);
    assert!(gave_up.stderr.contains(&format!("pid {}", holder.pid())), "{gave_up:?}");
    holder.stop();
    assert_eq!(place.finish(&["run", "--wait=100ms"]).code(), 75);
}

#[test]
fn a_signal_ends_the_waiting() {
    let place = Place::new();
    let _holder = place.hold(&["run"]);
    let waiting = place.start(&["run", "--wait"]);
    waiting.says("waiting");
    waiting.terminate();
    assert!(os::was_terminated(waiting.end().status));
}

#[test]
fn wait_ready_ends_with_the_event_and_wait_gone_with_its_own_holder() {
    let place = Place::new();
    assert_eq!(place.finish(&["wait", "--gone"]).code(), 0);
    let late = place.finish(&["wait", "--ready", "--timeout", "100ms"]);
    assert_eq!((late.code(), late.stderr.lines().count()), (75, 1));
    assert_eq!(std::fs::read_dir(place.dir()).unwrap().count(), 0, "looking made something");

    let ready = place.start(&["wait", "--ready"]);
    let holder = place.hold(&["run"]);
    assert_eq!(ready.end().code(), 0);
    assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
    let late = place.finish(&["wait", "--gone", "--timeout", "100ms"]);
    assert_eq!((late.code(), late.stderr.lines().count()), (75, 1));

    let gone = Running::start(place.gateway(["wait", "--gone"]).env("GATEWAY_LOG", "debug"));
    gone.says("20"); // a line of the log, with its date: it knows whose end it waits for
    let next = place.start(&["run", "--wait"]);
    next.says("waiting");
    holder.kill();
    next.says("holding ");
    assert_eq!(gone.end().code(), 0, "another holds, and it is not the one that was waited for");
}

#[test]
fn who_gives_up_waiting_for_a_stopped_holder_is_told_what_helps() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    holder.stop();
    let continues = os::continues(holder.pid());
    for args in [
        &["wait", "--gone", "--timeout", "100ms"][..],
        &["wait", "--ready", "--timeout", "100ms"],
        &["run", "--wait=100ms"],
    ] {
        let late = place.finish(args);
        assert_eq!(late.code(), 75, "{late:?}");
        assert!(late.stderr.contains(&continues), "{args:?}: {late:?}");
        assert!(late.hinted("stop --force").ends_with("stop --force"), "{late:?}");
    }
}
