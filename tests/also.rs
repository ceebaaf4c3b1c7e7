//! `run --also` on the built program: all or none.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/stand_in.rs"]
mod stand_in;

use gateway::Place;

#[test]
fn stand_in() {
    stand_in::play();
}

#[test]
fn all_are_held_and_a_stop_of_one_is_a_stop_of_all() {
    let place = Place::new();
    for stopped in ["gateway", "token", "aaa"] {
        let holder = place.hold(&stand_in::run(&["--also", "token", "--also", "aaa"], "last"));
        for name in ["gateway", "token", "aaa"] {
            let status = place.finish(&["--name", name, "status", "--json"]);
            assert_eq!(status.code(), 0, "{status:?}");
            assert!(status.stdout.contains(&format!("\"pid\":{},", holder.pid())), "{status:?}");
        }
        assert_eq!(place.finish(&["--name", stopped, "stop"]).code(), 0);
        assert_eq!(holder.end().code(), 0);
        for name in ["gateway", "token", "aaa"] {
            assert_eq!(place.finish(&["--name", name, "status"]).code(), 3);
        }
    }
}

#[test]
fn a_killed_holder_keeps_none_of_them() {
    let place = Place::new();
    place.hold(&["run", "--also", "token", "--also", "aaa"]).kill();
    let next: Vec<_> = ["token", "aaa", "gateway"]
        .into_iter()
        .map(|name| {
            assert_eq!(place.finish(&["--name", name, "status"]).code(), 1, "{name}");
            place.hold(&["--name", name, "run"])
        })
        .collect();
    drop(next);
    place.hold(&["run", "--also", "aaa", "--also", "token"]);
}

#[test]
fn one_that_is_taken_leaves_the_others_free_and_is_named() {
    let place = Place::new();
    let other = place.hold(&["--name", "token", "run"]);
    for args in
        [&["run", "--also", "token", "--also", "aaa"][..], &["run", "--also", "zzz", "--also", "token"]]
    {
        let refused = place.finish(args);
        assert_eq!(refused.code(), 75, "{refused:?}");
        assert!(refused.stderr.contains("`token` is already running"), "{refused:?}");
        assert!(refused.stderr.contains(&format!("pid {}", other.pid())), "{refused:?}");
        for name in ["gateway", "aaa", "zzz"] {
            assert_eq!(place.finish(&["--name", name, "wait", "--gone", "--timeout", "0"]).code(), 0);
        }
    }
    // What the hints say works.
    let refused = place.finish(&["run", "--also", "token"]);
    let waiting = place.type_in(&refused.hinted("--wait"));
    waiting.says("waiting");
    assert_eq!(place.type_in(&refused.hinted("asks it to stop")).end().code(), 0);
    assert_eq!(other.end().code(), 0);
    waiting.says("holding ");
}

#[test]
fn two_that_want_the_same_together_get_all_or_none() {
    let place = Place::new();
    let runs: Vec<_> = (0..20)
        .map(|n| {
            let names = if n % 2 == 0 { ["b", "c"] } else { ["c", "b"] };
            place.start(&["--name", "a", "run", "--also", names[0], "--also", names[1]])
        })
        .collect();
    assert_eq!(place.finish(&["--name", "a", "wait", "--ready"]).code(), 0);
    let (tell, ended) = std::sync::mpsc::channel();
    for run in runs {
        let tell = tell.clone();
        std::thread::spawn(move || tell.send(run.end()));
    }
    for refused in ended.iter().take(19) {
        assert_eq!(refused.code(), 75, "{refused:?}");
    }
    for name in ["a", "b", "c"] {
        assert_eq!(place.finish(&["--name", name, "status"]).code(), 0);
    }
    assert_eq!(place.finish(&["--name", "c", "stop"]).code(), 0);
    assert_eq!(ended.recv().unwrap().code(), 0);
}

#[test]
fn a_replacement_takes_all_of_them() {
    let place = Place::new();
    let old = place.hold(&stand_in::run(&["--also", "token"], "last"));
    let new = place.hold(&stand_in::run(&["--replace", "--also", "token"], "last"));
    assert_eq!(old.end().code(), 0);
    new.terminate();
    assert_eq!(new.end().code(), 0);
}

#[test]
fn a_name_that_is_none_is_refused_before_anything_is_held() {
    let place = Place::new();
    let refused = place.finish(&["run", "--also", "No Name"]);
    assert_eq!(refused.code(), 64, "{refused:?}");
    assert_eq!(std::fs::read_dir(place.dir()).unwrap().count(), 0);
    // The same twice is once.
    let twice = place.hold(&["run", "--also", "gateway", "--also", "gateway"]);
    twice.terminate();
    assert_eq!(twice.end().code(), 0);
}
