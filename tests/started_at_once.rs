//! `gateway run` hundreds of times at once, and under a name that is hard to read: who holds is never in doubt.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/stand_in.rs"]
mod stand_in;

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
};

use gateway::Place;

/// A process starts slowly under Wine.
const CONTENDERS: usize = if cfg!(windows) { 50 } else { 200 };
const ROUNDS: usize = if cfg!(windows) { 8 } else { 20 };

/// Processes that are killed and reaped with the test.
struct Herd(Vec<Child>);

impl Drop for Herd {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn stand_in() {
    stand_in::play();
}

#[test]
fn of_two_hundred_started_at_once_one_holds_and_all_others_are_told_who() {
    one_holds(CONTENDERS, os::rounds(ROUNDS));
}

#[cfg(unix)] // a process starts slowly under Wine
#[test]
fn of_five_hundred_started_at_once_one_holds_and_all_others_are_told_who() {
    one_holds(500, os::rounds(1));
}

#[cfg(unix)]
#[test]
fn of_two_thousand_started_at_once_one_holds_and_all_others_are_told_who() {
    if std::env::var_os("STRESS").is_none() {
        return os::left_out("the herd of two thousand, which holds up everything else (STRESS=1)");
    }
    // Each has a pipe.
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    let limit = rustix::process::Rlimit { current: most, maximum: most };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
    one_holds(2000, 1);
}

#[track_caller]
fn one_holds(contenders: usize, rounds: usize) {
    let place = Place::new();
    for round in 0..rounds {
        let start = || {
            let mut run: Command = place.gateway(stand_in::run(&[], "last"));
            os::own(&mut run);
            os::spawn(run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()))
        };
        let mut herd = Herd((0..contenders).map(|_| start()).collect());
        // Each says one line first: that it holds, or who does.
        let mut said: Vec<(usize, String, BufReader<_>)> = Vec::new();
        for (number, child) in herd.0.iter_mut().enumerate() {
            let mut stderr = BufReader::new(child.stderr.take().unwrap());
            let mut line = String::new();
            stderr.read_line(&mut line).unwrap();
            said.push((number, line, stderr));
        }
        let holders: Vec<usize> =
            said.iter().filter(|(_, line, _)| line.starts_with("holding ")).map(|(n, ..)| *n).collect();
        assert_eq!(holders.len(), 1, "round {round}: {said:#?}");
        let pid = format!("pid {} ", herd.0[holders[0]].id());
        for (number, line, mut rest) in said {
            if number == holders[0] {
                continue;
            }
            assert!(line.contains(&pid), "round {round}: `{line}` does not name {pid}");
            let mut hints = String::new();
            rest.read_to_string(&mut hints).unwrap();
            assert_eq!(herd.0[number].wait().unwrap().code(), Some(75), "round {round}: {line}{hints}");
        }
        // The next round starts on what a killed one left behind.
        herd.0[holders[0]].kill().unwrap();
        herd.0[holders[0]].wait().unwrap();
    }
}

#[cfg(unix)] // elsewhere no file may have such a name
#[test]
fn a_program_whose_name_looks_like_its_own_state_holds_and_is_shown_well() {
    let place = Place::new();
    let program = place.dir().join("a) b (c");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_gateway"), &program).unwrap();
    let mut run = Command::new(&program);
    run.arg("--dir").arg(place.dir()).args(["run"]);
    let holder = gateway::Running::start(&mut run);
    holder.says("holding ");
    let refused = place.finish(&["run"]);
    assert_eq!(refused.code(), 75);
    assert!(refused.stderr.contains(&format!("pid {} (", holder.pid())), "{}", refused.stderr);
    assert!(refused.stderr.contains("a) b (c' --dir"), "{}", refused.stderr);
    holder.stop();
    let status = place.finish(&["status", "--timeout", "200ms"]);
    assert_eq!(status.code(), 4);
    assert!(status.stdout.contains("a) b (c") && status.stdout.contains("stopped"), "{}", status.stdout);
    holder.resume();
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
}
