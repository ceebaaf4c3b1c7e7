//! `run --replace[=overlap] --listen` on the built program when something goes wrong, under clients that ask without a pause:
//! the old one goes on, or the new one follows, and no request fails.
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

use std::net::TcpListener;

use gateway::Place;
use handed::{OVERLAP, goes_on, says_what_failed, serving, serving_the_asking, status};

#[test]
fn web() {
    web::play();
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
