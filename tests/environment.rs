//! Whoever asks may have another environment than the holder: other variables, no programs, another directory, no /proc. It finds
//! the same holder, or an error that says what is missing; and a name that is everybody's default is everybody's own.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/stand_in.rs"]
mod stand_in;

use std::{fs, path::Path, process::Command};

use gateway::{Ended, PROGRAM, Place, Running};
use serde_json::Value;

#[test]
fn stand_in() {
    stand_in::play();
}

fn pid_of_holder(status: &Ended) -> Value {
    assert_eq!(status.code(), 0, "{status:?}");
    serde_json::from_str::<Value>(&status.stdout).unwrap()["holder"]["pid"].clone()
}

/// All that a person or a script does, each in an environment of its own.
fn all_find(holder: &Running, gateway: &dyn Fn(&[&str]) -> Command) {
    let finish = |args: &[&str]| Running::start(&mut gateway(args)).end();
    assert_eq!(pid_of_holder(&finish(&["status", "--json"])), holder.pid());
    for (args, code) in [(&["run"][..], 75), (&["ping", "-c", "1"], 0), (&["doctor"], 0), (&["history"], 0)] {
        let ended = finish(args);
        assert_eq!(ended.code(), code, "{ended:?}");
    }
    holder.stop();
    for (args, code) in [(&["status", "--timeout", "200ms"][..], 4), (&["run", "--wait=200ms"], 75)] {
        let ended = finish(args);
        assert_eq!(ended.code(), code, "{ended:?}");
        assert!([ended.stdout, ended.stderr].concat().contains(&format!("{}", holder.pid())), "{args:?}");
    }
    holder.resume();
    assert_eq!(finish(&["stop"]).code(), 0);
    assert_eq!(finish(&["status"]).code(), 3);
}

#[test]
fn variables_of_the_session_lead_nobody_to_another_instance() {
    let place = Place::new();
    let other = tempfile::tempdir().unwrap();
    let variables = [
        "TMPDIR",
        "TMP",
        "TEMP",
        "HOME",
        "XDG_RUNTIME_DIR",
        "XDG_STATE_HOME",
        "LOCALAPPDATA",
        "USER",
        "LANG",
    ];
    let holder = place.hold(&stand_in::run(&[], "last"));
    all_find(&holder, &|args| {
        let mut command = place.gateway(args);
        command.envs(variables.map(|name| (name, other.path())));
        command
    });
    assert_eq!(holder.end().code(), 0);
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0, "nothing was made elsewhere");
}

#[test]
fn no_other_program_is_needed_to_find_or_to_stop_a_holder() {
    let place = Place::new();
    let without = |args: &[&str]| {
        let mut command = place.gateway(args);
        command.env("PATH", Path::new(PROGRAM).parent().unwrap()); // Windows looks for it itself there
        command
    };
    let run: Vec<String> = stand_in::run(&[], "last");
    let run: Vec<&str> = run.iter().map(String::as_str).collect();
    let holder = Running::start(&mut without(&run));
    holder.says("holding ");
    holder.prints("child ");
    all_find(&holder, &without);
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn a_relative_directory_is_the_one_that_it_leads_to() {
    let place = Place::new();
    fs::create_dir_all(place.dir().join("in/side")).unwrap();
    let from = |cwd: &str, dir: &str| {
        let (cwd, dir) = (place.dir().join(cwd), dir.to_owned());
        move |args: &[&str]| {
            let mut command = os::gateway(PROGRAM);
            command.current_dir(&cwd).env_remove("GATEWAY_NAME").env_remove("GATEWAY_DIR");
            command.args(["--dir", &dir]).args(args);
            command
        }
    };
    let holder = Running::start(&mut from("", "state")(&["run"]));
    holder.says("holding ");
    let waiting = Running::start(&mut from("in", "state")(&["run"]));
    waiting.says("holding "); // the same words from elsewhere are another place
    for (cwd, dir) in [("in", "../state"), ("in/side", "../../state"), ("state", "."), ("", "in/../state")] {
        let status = Running::start(&mut from(cwd, dir)(&["status", "--json"])).end();
        assert_eq!(pid_of_holder(&status), holder.pid(), "{cwd} {dir}");
    }
    all_find(&holder, &from("in/side", "../../state"));
    assert_eq!(holder.end().code(), 0);
    waiting.terminate();
    assert_eq!(waiting.end().code(), 0);
}

/// A file system in place of /proc.
#[cfg(target_os = "linux")]
mod without_proc {
    use std::process::Command;

    use super::{Place, Running, all_find, os, stand_in};

    const WITHOUT: &str = "mount -t tmpfs none /proc && exec \"$@\"";

    fn without(command: &Command) -> Command {
        let mut outer = Command::new("unshare");
        outer.args(["--mount", "sh", "-c", WITHOUT, "sh"]).arg(command.get_program());
        outer.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => outer.env(name, value),
                None => outer.env_remove(name),
            };
        }
        outer
    }

    #[test]
    fn without_proc_all_is_found_and_nobody_is_signalled() {
        if !without(&Command::new("true")).status().is_ok_and(|status| status.success()) {
            os::left_out("/proc cannot be covered here");
            return;
        }
        let place = Place::new();
        let gateway = |args: &[&str]| without(&place.gateway(args));
        for hides in ["the asker", "the holder", "both"] {
            let run = stand_in::run(&[], "last");
            let run: Vec<&str> = run.iter().map(String::as_str).collect();
            let start = || {
                let command = if hides == "the asker" { place.gateway(&run) } else { gateway(&run) };
                let holder = Running::start(&mut { command });
                holder.says("holding ");
                holder.prints("child ");
                holder
            };
            let holder = start();
            let ask = |args: &[&str]| if hides == "the holder" { place.gateway(args) } else { gateway(args) };
            all_find(&holder, &ask);
            assert_eq!(holder.end().code(), 0, "{hides}");

            // What does not show the lock is not signalled.
            let holder = start();
            holder.stop();
            if hides != "the holder" {
                let refused = Running::start(&mut ask(&["stop", "--force", "--grace", "0"])).end();
                assert_eq!(refused.code(), 75, "{hides}: {refused:?}");
                assert!(refused.stderr.contains("does not show that it has the lock"), "{refused:?}");
            }
            holder.kill();
            let next = start();
            drop(next);
        }
    }
}
