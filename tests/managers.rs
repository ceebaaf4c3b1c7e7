//! Whoever starts a holder again and again: who it was, and two who replace each other in turn.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;

use gateway::Place;

#[test]
fn the_record_says_who_started_it() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    assert_eq!(place.finish(&["stop"]).code(), 0);
    holder.end();
    let record = std::fs::read_to_string(place.dir().join("gateway.json")).unwrap();
    let line: String = record.split_whitespace().collect();
    let me = incumbent::Process::this();
    let name = format!("\"started_by\":{{\"pid\":{},\"name\":\"{}\"", me.pid, me.name);
    assert!(line.contains(&name), "{line}");
}

#[test]
fn one_that_replaces_itself_twenty_times_is_never_slowed() {
    let place = Place::new();
    let mut holder = place.hold(&["run"]);
    for _ in 0..20 {
        let next = place.hold(&["run", "--replace"]);
        let old = std::mem::replace(&mut holder, next).end();
        assert_eq!(old.code(), 0);
        assert!(!old.stderr.contains("in turn"), "{old:?}");
    }
}

/// Two shells that start it for ever.
#[cfg(unix)] // what is written here is for a shell of Unix
mod in_turn {
    use std::process::Command;

    use incumbent::history::Entry;

    use super::gateway::{Place, Running, path_with_gateway};

    /// Starts the program again whenever it ends, as a service manager does that knows no better.
    const FOR_EVER: &str = "while :; do gateway run --replace -- sleep 1000; done";

    fn shell(place: &Place, script: &str) -> Running {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).env("PATH", path_with_gateway()).env("GATEWAY_DIR", place.dir());
        Running::start(shell.env_remove("GATEWAY_NAME"))
    }

    fn pid_of_holder(place: &Place) -> String {
        let status = place.finish(&["status", "--json"]).stdout;
        status.split("\"pid\":").nth(1).and_then(|rest| rest.split(',').next()).unwrap().to_owned()
    }

    #[test]
    fn two_that_replace_each_other_in_turn_are_slowed_and_then_refused_and_one_holder_stays() {
        let place = Place::new();
        let both = shell(&place, &format!("({FOR_EVER}) & ({FOR_EVER}) & wait"));
        let refused = both.says("gateway: not taken over: two replaced each other in turn, 6 times within ");
        let holder = pid_of_holder(&place);
        assert!(
            refused.contains(&format!(": pid {holder} (gateway run --replace -- sleep 1000)")),
            "{refused}"
        );
        let mut starters: Vec<&str> = refused.split("started by sh (pid ").skip(1).collect();
        starters.dedup_by_key(|rest| rest.split(')').next().unwrap().to_owned());
        assert_eq!(starters.len(), 2, "{refused}");
        // It tries again and again, and nothing changes.
        for _ in 0..20 {
            let again =
                both.says("gateway: not taken over: two replaced each other in turn, 6 times within ");
            assert!(again.contains(&format!("pid {holder} ")), "{again}");
        }
        assert_eq!(pid_of_holder(&place), holder);
        let instance = incumbent::Instance::new("gateway").unwrap().in_dir(place.dir()).unwrap();
        let entries = instance.history_blocking().unwrap().entries;
        let lasted = |entry: &Entry| entry.ended_at_us.map(|ended| ended - entry.started_at_us);
        let lasted: Vec<i64> = entries.iter().filter_map(lasted).collect();
        assert_eq!((lasted.len(), entries.len()), (6, 7), "six were replaced, and the seventh holds");
        for (lasted, pause) in lasted[3..].iter().zip([1, 2, 4]) {
            // The history has milliseconds.
            assert!(*lasted >= pause * 1_000_000 - 1_000, "{lasted} µs of {pause} s");
        }
        // A third is no part of it.
        place.hold(&["run", "--replace"]);
    }
}
