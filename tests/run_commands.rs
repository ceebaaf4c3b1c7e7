//! `run` and `stop` on the built program: what they say, what they leave, and how they end.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test fails so, a role speaks so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/stand_in.rs"]
mod stand_in;

use gateway::{Place, role_dir, until_dismissed};
use os::is_there;
use stand_in::holder_with_child;

#[test]
fn stand_in() {
    stand_in::play();
}

#[test]
fn a_second_run_is_refused_and_names_the_holder() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    let refused = place.finish(&["run"]);
    assert_eq!(refused.code(), 75);
    let first = refused.stderr.lines().next().unwrap();
    assert!(first.contains(&format!("pid {}", holder.pid())), "{first}");
    assert!(refused.stdout.is_empty());
    // What it says helps.
    assert_eq!(place.type_in(&refused.hinted("status")).end().code(), 0);
    let waiting = place.type_in(&refused.hinted("run --wait"));
    waiting.says("waiting");
    assert_eq!(place.type_in(&refused.hinted("stop")).end().code(), 0);
    assert_eq!(holder.end().code(), 0);
    waiting.says("holding ");
}

#[test]
fn the_holding_line_names_everything() {
    let place = Place::new();
    let holder = place.start(&["run"]);
    let line = holder.says("holding ");
    let dir = os::shown(place.dir());
    let start = format!("holding `gateway` in {dir} (pid {}, generation ", holder.pid());
    assert!(line.starts_with(&start), "{line}");
}

#[test]
fn stop_ends_holder_and_child_and_nobody_is_no_failure() {
    let place = Place::new();
    let (holder, child) = holder_with_child(&place);
    let stopped = place.finish(&["stop"]);
    assert_eq!(stopped.code(), 0, "{stopped:?}");
    assert!(!is_there(child), "the lock was free before the child was gone");
    assert_eq!(holder.end().code(), 0);
    let nobody = place.finish(&["stop"]);
    assert_eq!((nobody.code(), nobody.stderr.as_str()), (0, "`gateway` is not running\n"));
}

#[test]
fn an_idle_stop_leaves_a_busy_holder_alone() {
    let place = Place::new();
    let holder = place.role("role_busy_holder");
    holder.prints("busy");
    let refused = place.finish(&["stop", "--if-idle"]);
    assert_eq!(refused.code(), 75);
    assert!(refused.stderr.contains("2 pieces of work in flight"), "{refused:?}");
    assert!(holder.end().status.success());
}

#[test]
#[ignore = "a role"]
fn role_busy_holder() {
    let Some(dir) = role_dir() else { return };
    let instance = incumbent::Instance::new("gateway").unwrap().in_dir(dir).unwrap();
    let incumbent::Claim::Won(holder) = instance.claim_blocking().unwrap() else { panic!("lost") };
    holder.set_overtime(None, || ());
    let work = [holder.work(), holder.work()];
    assert!(work.iter().all(Option::is_some));
    holder.ready("");
    println!("\nbusy");
    until_dismissed();
    assert!(holder.stop().is_none());
}

#[test]
fn stop_does_not_lose_a_holder_that_will_not_leave_and_force_ends_it() {
    let place = Place::new();
    let holder = place.role("role_busy_holder");
    holder.prints("busy");
    let there = place.finish(&["stop", "--grace", "100ms"]);
    assert_eq!(there.code(), 75, "{there:?}");
    assert!(there.stderr.contains(&format!("pid {}", holder.pid())));
    let forced = place.type_in(&there.hinted("stop --force")).end();
    assert_eq!(forced.code(), 0, "{forced:?}");
}

#[test]
fn a_stopped_holder_is_named_as_stopped_and_ended_by_force_only() {
    let place = Place::new();
    let (holder, child) = holder_with_child(&place);
    holder.stop();
    let refused = place.finish(&["run"]);
    assert_eq!(refused.code(), 75);
    assert!(refused.stderr.contains(&format!("pid {}", holder.pid())), "{refused:?}");
    assert!(refused.stderr.contains(os::SUSPENDED), "{refused:?}");
    let stop = place.finish(&["stop"]);
    assert_eq!(stop.code(), 75);
    assert!(stop.stderr.contains(os::SUSPENDED), "{stop:?}");
    assert_eq!(place.finish(&["wait", "--gone", "--timeout", "100ms"]).code(), 75);
    assert!(is_there(holder.pid()) && is_there(child));
    let forced = place.type_in(&refused.hinted("stop --force")).end();
    assert_eq!(forced.code(), 0, "{forced:?}");
    assert!(!is_there(child));
    place.hold(&["run"]);
}

#[test]
fn a_stopped_contender_is_named_and_force_gets_past_it() {
    let place = Place::new();
    let holder = place.role("role_busy_holder");
    holder.prints("busy");
    let contender = place.start(&["run", "--replace"]);
    contender.says("asked pid ");
    contender.stop();
    holder.kill();
    let refused = place.finish(&["run"]);
    assert_eq!(refused.code(), 75);
    assert!(refused.stderr.contains(&format!("pid {}", contender.pid())), "{refused:?}");
    // Windows does not tell who is suspended.
    let is = if cfg!(unix) { "stopped" } else { "has not finished" };
    assert!(refused.stderr.contains(is), "{refused:?}");
    let nobody = place.finish(&["stop"]);
    assert_eq!(nobody.code(), 0);
    assert!(nobody.stderr.contains(&format!("pid {}", contender.pid())), "{nobody:?}");
    let forced = place.type_in(&refused.hinted("run --force"));
    forced.says("holding ");
}

#[test]
fn running_already_can_be_fine() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    let fine = place.finish(&["run", "--if-running", "ok", "--", "no-such-program"]);
    assert_eq!(fine.code(), 0);
    assert_eq!(fine.stderr, format!("`gateway` is running already: pid {}\n", holder.pid()));
}

/// A holder that was asked to stop, and has not yet.
fn draining(place: &Place) -> gateway::Running {
    let holder = place.hold(&stand_in::run(&["--grace", "1h"], "deaf"));
    holder.prints("ignoring");
    holder.terminate();
    holder.says("stopping");
    holder
}

#[test]
fn a_holder_that_is_stopping_does_not_count_as_running() {
    let place = Place::new();
    let holder = draining(&place);
    for args in [&["run"][..], &["run", "--if-running", "ok"]] {
        let refused = place.finish(args);
        assert_eq!(refused.code(), 75, "{refused:?}");
        let said = format!("gateway: `gateway` is stopping: pid {}", holder.pid());
        assert!(refused.stderr.starts_with(&said) && !refused.stderr.contains("already"), "{refused:?}");
        assert!(!refused.hinted("run --wait").contains("--if-running"), "{refused:?}");
    }
}

#[test]
fn a_hint_to_run_keeps_the_options_that_were_given() {
    let place = Place::new();
    let _holder = place.hold(&["run"]);
    let refused = place.finish(&["run", "--grace", "2s", "--force", "--", "sleep", "5"]);
    assert!(
        refused.hinted("run --wait").ends_with("run --wait --grace 2s --force -- sleep 5"),
        "{refused:?}"
    );
}

#[cfg(unix)] // elsewhere force has no gentler way
#[test]
fn a_stop_by_force_says_whether_the_holder_ended_by_itself() {
    let place = Place::new();
    let (holder, _) = holder_with_child(&place);
    holder.stop();
    let woken = place.finish(&["stop", "--force"]);
    assert!(woken.stderr.contains("ended by itself after SIGTERM"), "{woken:?}");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "trap '' TERM; exec \"$0\" run", env!("CARGO_BIN_EXE_gateway")]);
    let holder = gateway::Running::start(shell.env("GATEWAY_DIR", place.dir()).env_remove("GATEWAY_NAME"));
    holder.says("holding ");
    holder.stop();
    let killed = place.finish(&["stop", "--force", "--grace", "200ms"]);
    assert_eq!(killed.code(), 0, "{killed:?}");
    assert!(killed.stderr.contains("was killed after 200 ms"), "{killed:?}");
}
