//! After a crash, on the built program: nobody waits for the dead one, whatever state it died in and however old its files
//! look. What is given a time here has hours, so that whoever did wait for it would run into the watchdog.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/stand_in.rs"]
mod stand_in;

use std::{
    fs::{self, File},
    path::Path,
    time::{Duration, SystemTime},
};

use gateway::{Place, Running};
use serde_json::Value;

#[test]
fn stand_in() {
    stand_in::play();
}

fn finish(place: &Place, dir: &Path, args: &[&str]) -> gateway::Ended {
    place.finish(&[&["--dir", dir.to_str().unwrap()], args].concat())
}

fn hold(place: &Place, dir: &Path) -> Running {
    place.hold(&["--dir", dir.to_str().unwrap(), "run"])
}

/// Where the endpoint is beside the files, and, on Unix, where the path is too long for that.
fn places(place: &Place) -> Vec<std::path::PathBuf> {
    let long = place.dir().join("d".repeat(if cfg!(unix) { 150 } else { 10 }));
    vec![place.dir().join("short"), long]
}

#[test]
fn clients_are_told_at_once_that_it_is_dead_and_then_find_the_next_one() {
    let place = Place::new();
    let clients: [(&[&str], i32); 6] = [
        (&["status", "--timeout", "1h"], 1),
        (&["doctor"], 1),
        (&["ping", "-c", "1", "--timeout", "1h"], 3),
        (&["send", "x"], 3),
        (&["stop"], 0),
        (&["wait", "--gone", "--timeout", "1h"], 0),
    ];
    for dir in places(&place) {
        hold(&place, &dir).kill();
        for _ in 0..2 {
            for (args, code) in clients {
                let told = finish(&place, &dir, args);
                assert_eq!(told.code(), code, "{args:?}: {told:?}");
            }
            let next = hold(&place, &dir);
            for (args, _) in &clients[..4] {
                let told = finish(&place, &dir, args);
                assert_eq!(told.code(), 0, "{args:?}: {told:?}");
            }
            next.kill();
        }
    }
}

#[test]
fn one_that_nobody_reaps_is_dead_to_every_command() {
    let place = Place::new();
    let mut dead = Vec::new();
    for args in
        [&["run"][..], &["run", "--wait"], &["run", "--replace", "--grace", "1h"], &["run", "--force"]]
    {
        let holder = place.hold(args);
        os::kill_unreaped(holder.pid());
        dead.push(holder);
        assert_eq!(place.finish(&["status", "--timeout", "1h"]).code(), 1, "{args:?}");
        let nobody = place.finish(&["stop", "--grace", "1h"]);
        assert_eq!((nobody.code(), nobody.stderr.as_str()), (0, "`gateway` is not running\n"), "{args:?}");
        assert_eq!(place.finish(&["wait", "--gone", "--timeout", "1h"]).code(), 0, "{args:?}");
        assert_eq!(place.finish(&["send", "x"]).code(), 3, "{args:?}");
    }
    place.hold(&["run"]);
}

#[test]
fn one_that_is_killed_while_it_stops_blocks_nobody_and_has_crashed() {
    let place = Place::new();
    for asked_by in ["a signal", "stop", "a replacement"] {
        let holder = place.hold(&stand_in::run(&["--grace", "1h"], "deaf"));
        holder.prints("ignoring");
        let asker = match asked_by {
            "a signal" => {
                holder.terminate();
                None
            }
            "stop" => Some(place.start(&["stop", "--grace", "1h"])),
            _ => Some(place.start(&["run", "--replace", "--grace", "1h"])),
        };
        holder.says("stopping");
        if asked_by == "a replacement" {
            asker.as_ref().unwrap().says("asked pid ");
        }
        holder.kill();
        match (asked_by, asker) {
            ("stop", Some(stop)) => assert_eq!(stop.end().code(), 0, "it is gone, as was wanted"),
            (_, Some(next)) => {
                next.says("holding ");
                next.kill();
            }
            (_, None) => assert_eq!(place.finish(&["status"]).code(), 1, "{asked_by}"),
        }
        place.hold(&["run"]).kill();
    }
}

#[test]
fn the_times_of_the_files_say_nothing_of_who_runs() {
    let now = SystemTime::now();
    let year = Duration::from_secs(365 * 86_400);
    for time in [SystemTime::UNIX_EPOCH + year, now - 30 * year, now, now + 30 * year] {
        let place = Place::new();
        let touch = || {
            for entry in fs::read_dir(place.dir()).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_file() {
                    let file = File::options().write(true).open(entry.path()).unwrap();
                    file.set_modified(time).unwrap();
                }
            }
        };
        let holder = place.hold(&["run"]);
        touch();
        assert_eq!(place.finish(&["status"]).code(), 0, "{time:?}");
        assert_eq!(place.finish(&["run"]).code(), 75, "{time:?}");
        assert_eq!(place.finish(&["ping", "-c", "1"]).code(), 0, "{time:?}");
        holder.kill();
        touch();
        assert_eq!(place.finish(&["status"]).code(), 1, "{time:?}");
        let next = place.hold(&["run"]);
        assert_eq!(place.finish(&["stop"]).code(), 0);
        assert_eq!(next.end().code(), 0);
    }
}

#[test]
fn a_clock_that_was_set_back_neither_keeps_the_next_one_out_nor_makes_its_number_smaller() {
    let place = Place::new();
    place.hold(&["run"]).kill();
    let path = place.dir().join("gateway.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let year_us = 365 * 86_400 * 1_000_000_u64;
    let ahead = record["generation"].as_u64().unwrap() + year_us;
    record["generation"] = ahead.into();
    record["started_at_us"] = ahead.into();
    fs::write(&path, record.to_string()).unwrap();

    let seen = || -> Value { serde_json::from_str(&place.finish(&["status", "--json"]).stdout).unwrap() };
    assert_eq!(seen()["state"], "crashed");
    let mut last = place.hold(&["run"]);
    for number in 1..=5 {
        let status = seen();
        assert_eq!(status["state"], "ready", "{status}");
        assert_eq!(status["holder"]["generation"], ahead + number, "{status}");
        assert!(status["holder"]["uptime_s"].as_f64().unwrap() >= 0.0, "{status}");
        assert_eq!(place.finish(&["history"]).code(), 0);
        let next = place.hold(&["run", "--replace"]);
        assert_eq!(std::mem::replace(&mut last, next).end().code(), 0);
    }
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(last.end().code(), 0);
}
