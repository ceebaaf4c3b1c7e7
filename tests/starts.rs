//! `run --max-starts` on the built program: who is paused, who is refused, and what does not count.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/stand_in.rs"]
mod stand_in;

use std::time::{Duration, Instant};

use gateway::{Ended, Place};

const CRASHES: &str = "exit 3";

fn run(place: &Place, limit: &str) -> Ended {
    place.finish(&stand_in::run(&["--max-starts", limit], CRASHES))
}

/// So many generations as end at once.
fn generations(place: &Place, count: usize) {
    for _ in 0..count {
        assert_eq!(place.finish(&stand_in::run(&[], CRASHES)).code(), 3);
    }
}

#[test]
fn stand_in() {
    stand_in::play();
}

#[test]
fn a_program_that_ends_at_once_is_paused_and_then_refused() {
    let place = Place::new();
    for _ in 0..2 {
        let ended = run(&place, "4/1h");
        assert_eq!(ended.code(), 3, "{ended:?}");
        assert!(!ended.stderr.contains("waiting"), "{ended:?}");
    }
    for (pause, count) in [(100, 2), (200, 3)] {
        let began = Instant::now();
        let ended = run(&place, "4/1h");
        assert!(began.elapsed() >= Duration::from_millis(pause));
        assert_eq!(ended.code(), 3, "{ended:?}");
        let line = format!("waiting {pause} ms before the next start: {count} starts within 1 h\n");
        assert!(ended.stderr.contains(&line), "{ended:?}");
    }
    // However often it is tried: a start that was refused is none.
    for _ in 0..3 {
        let refused = run(&place, "4/1h");
        assert_eq!(refused.code(), 75, "{refused:?}");
        let start = "gateway: `gateway` is not started again before ";
        assert!(refused.stderr.starts_with(start), "{refused:?}");
        assert!(refused.stderr.contains(": 4 starts within 1 h are enough (4 released)"), "{refused:?}");
        let history = place.type_in(&refused.hinted("history")).end();
        assert_eq!(history.stdout.lines().count(), 5, "{history:?}");
    }
    assert_eq!(run(&place, "4/1ms").code(), 3, "that long ago nothing began");
}

#[test]
fn who_meets_one_that_runs_is_told_so_and_not_that_it_was_started_too_often() {
    let place = Place::new();
    generations(&place, 3);
    let holder = place.hold(&["run"]);
    let refused = run(&place, "2/1h");
    assert_eq!(refused.code(), 75);
    assert!(refused.stderr.contains(&format!("already running: pid {}", holder.pid())), "{refused:?}");
    let fine = place.finish(&["run", "--if-running", "ok", "--max-starts", "2/1h"]);
    assert_eq!(fine.code(), 0, "{fine:?}");
    // It crashes while somebody waits for it: that is one more.
    let waiting = place.start(&["run", "--wait", "--max-starts", "2/1h"]);
    waiting.says("waiting");
    holder.kill();
    let ended = waiting.end();
    assert_eq!(ended.code(), 75, "{ended:?}");
    assert!(ended.stderr.contains("4 starts within 1 h are enough (3 released, 1 crashed)"), "{ended:?}");
}

#[test]
fn a_pause_ends_with_a_stop_and_with_a_signal() {
    for by_signal in [false, true] {
        let place = Place::new();
        generations(&place, 12);
        // 100 ms, ten times doubled, and no more than 200 h / 200.
        let paused = place.start(&["run", "--max-starts", "200/200h", "--", "echo", "started"]);
        paused.says("waiting 1 min 42 s before the next start: 12 starts");
        let status = place.finish(&["status", "--json"]).stdout;
        assert!(status.contains("\"state\":\"starting\""), "{status}");
        assert!(
            status.contains("\"note\":\"waiting 1 min 42 s before the next start: 12 starts"),
            "{status}"
        );
        if by_signal {
            paused.terminate();
        } else {
            assert_eq!(place.finish(&["stop"]).code(), 0);
        }
        let ended = paused.end();
        assert_eq!((ended.code(), ended.stdout.as_str()), (0, ""), "{ended:?}");
    }
}

#[test]
fn a_start_in_the_future_does_not_count() {
    let place = Place::new();
    generations(&place, 3);
    let history = place.dir().join("gateway.history");
    let year = |text: String| text.replace("\"started_at\":\"2", "\"started_at\":\"3");
    let text = std::fs::read_to_string(&history).unwrap();
    std::fs::write(&history, year(text)).unwrap();
    // The last one stands in the record.
    assert_eq!(run(&place, "1/1h").code(), 75);
    let ended = run(&place, "2/1h");
    assert_eq!(ended.code(), 3, "{ended:?}");
}

#[test]
fn what_is_no_limit_is_explained() {
    let place = Place::new();
    for bad in ["5", "0/2m", "x/2m", "5/", "5/0", "1000/2m", "5/2x"] {
        let ended = place.finish(&["run", "--max-starts", bad]);
        assert_eq!(ended.code(), 64, "{ended:?}");
        assert!(ended.stderr.contains("like") || ended.stderr.contains("as in 5/2m"), "{ended:?}");
    }
}
