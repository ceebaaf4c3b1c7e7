//! What a dead holder's files say: a number that somebody else has by now, another boot, another machine, another host name. It
//! starts nobody, stops nobody, and signals nobody; it is said as what was.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/stand_in.rs"]
mod stand_in;

use std::fs;

use gateway::Place;
use serde_json::{Value, json};
use stand_in::holder_with_child;

#[test]
fn stand_in() {
    stand_in::play();
}

fn status(place: &Place) -> (i32, Value) {
    let ended = place.finish(&["status", "--json"]);
    (ended.code(), serde_json::from_str(&ended.stdout).unwrap())
}

/// A place whose holder was killed while it and its child were well, with a record that was changed since.
fn crashed(change: impl FnOnce(&mut Value)) -> Place {
    let place = Place::new();
    let (holder, _) = holder_with_child(&place);
    assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
    holder.kill();
    let path = place.dir().join("gateway.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut record);
    fs::write(place.dir().join("gateway.pid"), format!("{}\n", record["pid"])).unwrap();
    fs::write(path, record.to_string()).unwrap();
    place
}

#[test]
fn whoever_has_a_dead_holders_number_is_neither_taken_for_it_nor_signalled() {
    let elsewhere = Place::new();
    let (bystander, child) = holder_with_child(&elsewhere);
    let commands: [&[&str]; 6] = [
        &["stop"],
        &["stop", "--force", "--grace", "0"],
        &["run"],
        &["run", "--force"],
        &["run", "--replace", "--grace", "0"],
        &["run", "--replace", "--force", "--grace", "0"],
    ];
    // Another gateway, whose command line is what it should be; and any other program.
    for number in [bystander.pid(), child] {
        for args in commands {
            let place = crashed(|record| {
                record["pid"] = number.into();
                record["child"]["pid"] = number.into();
            });
            let (code, seen) = status(&place);
            assert_eq!((code, &seen["state"], &seen["holder"]), (1, &json!("crashed"), &Value::Null));
            if args[0] == "stop" {
                let nobody = place.finish(args);
                assert_eq!((nobody.code(), nobody.stderr.as_str()), (0, "`gateway` is not running\n"));
            } else {
                let next = place.hold(args);
                assert_eq!(status(&place).1["holder"]["pid"], next.pid(), "{args:?}");
                next.terminate();
                assert_eq!(next.end().code(), 0, "{args:?}");
            }
        }
    }
    let (code, seen) = status(&elsewhere);
    assert_eq!((code, &seen["holder"]["pid"]), (0, &bystander.pid().into()));
    assert_eq!(seen["holder"]["child"]["pid"], child);
    assert_eq!(elsewhere.finish(&["stop"]).code(), 0);
    assert_eq!(bystander.end().code(), 0, "nobody had asked it or its child to end");
}

type Change = (&'static str, fn(&mut Value));

#[test]
fn a_record_of_another_boot_machine_or_host_name_starts_and_stops_nobody() {
    let changes: [Change; 5] = [
        ("a restart of the host", |record| record["boot_id"] = "another".into()),
        ("a restart, and the same low numbers", |record| {
            record["boot_id"] = "another".into();
            record["pid"] = os::FIRST_PROCESS.into();
            record["child"]["pid"] = os::FIRST_PROCESS.into();
        }),
        ("a disk from another machine", |record| {
            record["boot_id"] = "another".into();
            record["machine_id"] = "another".into();
            record["host"] = "another".into();
        }),
        ("another host name", |record| record["host"] = "another".into()),
        ("an older program, which knew of none of this", |record| {
            for key in ["boot_id", "machine_id", "host", "start_ticks", "dir_id", "started_by"] {
                record.as_object_mut().unwrap().remove(key);
            }
        }),
    ];
    for (what, change) in changes {
        let place = crashed(change);
        let (code, seen) = status(&place);
        assert_eq!((code, &seen["state"], &seen["holder"]), (1, &json!("crashed"), &Value::Null), "{what}");
        // Windows has no name for a boot.
        let end = if cfg!(unix) && (what.contains("restart") || what.contains("disk")) {
            "host restarted"
        } else {
            "crashed"
        };
        assert_eq!(seen["previous"]["end"], end, "{what}");
        let next = place.hold(&stand_in::run(&["--grace", "1h"], "last"));
        next.prints("child ");
        let (code, seen) = status(&place);
        assert_eq!((code, &seen["holder"]["pid"]), (0, &next.pid().into()), "{what}");
        assert_eq!(seen["previous"]["end"], end, "{what}");
        assert_eq!(place.finish(&["stop"]).code(), 0);
        assert_eq!(next.end().code(), 0, "{what}");
    }
}
