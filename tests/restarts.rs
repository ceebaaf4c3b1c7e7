//! A restart is done when another holder answers, and a stop when nobody holds: not when it was asked for.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/stand_in.rs"]
mod stand_in;

use gateway::Place;
use serde_json::Value;

#[test]
fn stand_in() {
    stand_in::play();
}

/// A place whose holder runs in the background, and ends with the test.
struct Background(Place);

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.0.gateway(["stop", "--force", "--grace", "0"]).output();
    }
}

fn seen(place: &Place) -> Value {
    serde_json::from_str(&place.finish(&["status", "--json"]).stdout).unwrap()
}

#[test]
fn a_replacement_in_the_background_is_done_when_another_one_is_ready() {
    let background = Background(Place::new());
    let place = &background.0;
    let run = |options: &[&str], does: &str| {
        place.finish(&stand_in::run(&[&["--detach", "--replace"], options].concat(), does))
    };
    assert_eq!(run(&[], "last").code(), 0);
    let mut last = seen(place);
    for _ in 0..5 {
        assert_eq!(run(&[], "last").code(), 0);
        let now = seen(place);
        assert_eq!(now["state"], "ready", "{now}");
        assert_ne!(now["holder"]["instance_id"], last["holder"]["instance_id"], "{now}");
        assert_eq!(now["previous"]["end"], "replaced", "{now}");
        assert_eq!(now["previous"]["generation"], last["holder"]["generation"], "{now}");
        last = now;
    }
    // One that does not come up is no success, and nobody is said to run.
    let failed = run(&["--notify"], "exit 7");
    assert_eq!(failed.code(), 7, "{failed:?}");
    assert!(!failed.stderr.contains("started `gateway`"), "{failed:?}");
    assert_eq!(place.finish(&["status"]).code(), 3);
}

#[test]
fn whoever_starts_when_a_stop_has_returned_is_never_refused() {
    let place = Place::new();
    for round in 0..os::rounds(20) {
        let holder = place.hold(&stand_in::run(&[], "last"));
        holder.prints("child ");
        assert_eq!(place.finish(&["stop"]).code(), 0);
        let next = place.start(&["run", "--wait=0s"]);
        let said = next.says("");
        assert!(said.starts_with("holding "), "round {round}: {said}");
        next.terminate();
        assert_eq!(next.end().code(), 0);
        assert_eq!(holder.end().code(), 0);
    }
}

/// A bot that is told to restart itself, say: what it starts for that would end with it.
#[cfg(target_os = "linux")] // elsewhere orphans are not adopted, or a job takes all of it along
#[test]
fn a_program_can_have_itself_replaced_in_the_background() {
    let background = Background(Place::new());
    let place = &background.0;
    for _ in 0..5 {
        let again =
            format!("{} run --replace --detach -- sleep 1000; echo came back; sleep 1000", gateway::PROGRAM);
        let old = place.hold(&["run", "--grace", "5s", "--", "sh", "-c", &again]);
        let pid = old.pid();
        let ended = old.end();
        assert_eq!(ended.code(), 0, "its successor was there: {ended:?}");
        assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
        let now = seen(place);
        assert_ne!(now["holder"]["pid"], pid, "{now}");
        assert_eq!(
            (&now["previous"]["pid"], &now["previous"]["end"]),
            (&pid.into(), &"replaced".into()),
            "{now}"
        );
        assert!(place.dir().join("gateway.log").exists(), "and its output has a place");
        assert_eq!(place.finish(&["stop"]).code(), 0);
    }
}

/// Process 1 of a container takes all of it along, its successor too: then only another start of the container helps.
#[cfg(target_os = "linux")] // only Linux has pid namespaces
#[test]
fn a_first_process_that_is_replaced_from_within_its_container_wants_to_be_started_again() {
    let inside = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let container = |command: &std::process::Command| {
        let mut container = std::process::Command::new(inside[0]);
        container.args(&inside[1..]).arg(command.get_program()).args(command.get_args());
        container.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        container
    };
    if !container(&std::process::Command::new("true")).status().is_ok_and(|status| status.success()) {
        os::left_out("a pid namespace cannot be made here");
        return;
    }
    let place = Place::new();
    let again = format!("{} run --replace --detach -- sleep 1000; sleep 1000", gateway::PROGRAM);
    let first = gateway::Running::start(&mut container(&place.gateway(["run", "--", "sh", "-c", &again])));
    let ended = first.end();
    assert_eq!(ended.code(), 79, "{ended:?}");
    assert!(ended.stderr.contains("process 1: nobody runs now"), "{ended:?}");

    // Whoever comes from outside, or from another container, stays.
    for from_outside in [true, false] {
        let first = gateway::Running::start(&mut container(&place.gateway(["run"])));
        first.says("holding ");
        let replace = place.gateway(["run", "--replace"]);
        let next = gateway::Running::start(&mut if from_outside { replace } else { container(&replace) });
        next.says("holding ");
        assert_eq!(first.end().code(), 0, "{from_outside}");
    }
}
