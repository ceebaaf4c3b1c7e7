//! `run --replace` on the built program: who is asked, who waits, who is told what, and with which code each ends.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/stand_in.rs"]
mod stand_in;

use std::path::PathBuf;

use gateway::{Place, Running};
use os::is_there;

/// A child that stops when a file is there, and not before.
const UNTIL_TOLD: &str = "until leave";

fn run_in(place: &Place, options: &[&str], does: &str) -> Running {
    let mut command = place.gateway(stand_in::run(options, does));
    Running::start(command.current_dir(place.dir()))
}

fn overlap(place: &Place) -> PathBuf {
    place.dir().join("overlap")
}

#[test]
fn stand_in() {
    stand_in::play();
}

#[test]
fn the_replaced_one_ends_with_0_and_its_child_is_gone_before_the_next_one_starts() {
    let place = Place::new();
    let mut holder = run_in(&place, &[], "witness");
    holder.prints("child");
    for _ in 0..10 {
        let next = run_in(&place, &["--replace"], "witness");
        next.says("asked pid ");
        next.says("holding ");
        next.prints("child");
        let old = std::mem::replace(&mut holder, next).end();
        assert_eq!(old.code(), 0, "{old:?}");
    }
    assert!(!overlap(&place).exists());
    let history = place.finish(&["history", "--json"]).stdout;
    assert_eq!(history.matches("\"end\":\"replaced\"").count(), 10, "{history}");
}

#[test]
fn of_ten_that_replace_at_once_one_holds_and_no_two_children_meet() {
    let place = Place::new();
    let first = run_in(&place, &[], "witness");
    first.prints("child");
    let takers: Vec<Running> = (0..10).map(|_| run_in(&place, &["--replace"], "witness")).collect();
    assert_eq!(first.end().code(), 0);
    let (tell, ended) = std::sync::mpsc::channel();
    for taker in takers {
        let tell = tell.clone();
        std::thread::spawn(move || tell.send(taker.end()));
    }
    for told in ended.iter().take(9) {
        assert!(matches!(told.code(), 0 | 75), "{told:?}");
    }
    assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(ended.recv().unwrap().code(), 0);
    assert!(!overlap(&place).exists());
}

#[test]
fn while_a_takeover_waits_every_other_is_refused_and_told_who_takes_over() {
    let place = Place::new();
    let holder = run_in(&place, &[], UNTIL_TOLD);
    holder.prints("child ");
    let taker = run_in(&place, &["--replace"], "last");
    taker.says("asked pid ");
    for _ in 0..20 {
        let refused = place.finish(&["run"]);
        assert_eq!(refused.code(), 75);
        assert!(refused.stderr.contains("is stopping"), "{refused:?}");
        assert!(refused.stderr.contains(&format!("pid {}", taker.pid())), "{refused:?}");
        assert!(refused.stderr.contains("is taking over"), "{refused:?}");
    }
    std::fs::write(place.dir().join("leave"), "").unwrap();
    taker.says("holding ");
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn a_holder_whose_successor_is_killed_goes_all_the_same_and_says_that_nobody_runs() {
    let place = Place::new();
    let holder = run_in(&place, &[], UNTIL_TOLD);
    holder.prints("child ");
    let taker = run_in(&place, &["--replace"], "last");
    taker.says("asked pid ");
    taker.kill();
    let waiting = place.start(&["run", "--wait"]);
    waiting.says("waiting");
    std::fs::write(place.dir().join("leave"), "").unwrap();
    let left = holder.end();
    assert_eq!(left.code(), 79, "{left:?}");
    assert!(left.stderr.contains("nobody runs now"), "{left:?}");
    waiting.says("holding ");
}

#[test]
fn a_stop_beside_a_replacement_that_was_killed_is_an_ordinary_end() {
    let place = Place::new();
    let holder = run_in(&place, &[], UNTIL_TOLD);
    holder.prints("child ");
    let taker = run_in(&place, &["--replace"], "last");
    taker.says("asked pid ");
    taker.kill();
    let stop = place.start(&["stop"]);
    stop.says("pid ");
    std::fs::write(place.dir().join("leave"), "").unwrap();
    assert_eq!(holder.end().code(), 0);
    assert_eq!(stop.end().code(), 0);
}

#[test]
fn a_stopped_holder_is_replaced_only_by_force_as_the_hint_says() {
    let place = Place::new();
    let (holder, child) = stand_in::holder_with_child(&place);
    holder.stop();
    let refused = place.finish(&stand_in::run(&["--replace"], "last"));
    assert_eq!(refused.code(), 75, "{refused:?}");
    assert!(refused.stderr.contains(os::SUSPENDED), "{refused:?}");
    assert!(is_there(holder.pid()) && is_there(child));
    let forced = place.type_in(&refused.hinted("--force"));
    forced.says("ending pid ");
    forced.says("holding ");
    assert!(!is_there(child));
    let history = place.finish(&["history"]).stdout;
    if cfg!(unix) {
        assert!(history.contains("replaced"), "it let go as SIGTERM said, which was a takeover's: {history}");
    } else {
        assert!(history.contains("killed after grace"), "{history}");
    }
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(forced.end().code(), 0);
}

#[cfg(unix)] // elsewhere nobody can delete the pid file of a holder
#[test]
fn by_force_nobody_is_ended_whose_lock_no_path_leads_to_any_more() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    holder.stop();
    std::fs::remove_file(place.dir().join("gateway.pid")).unwrap();
    for args in
        [&["stop", "--force", "--grace", "10ms"][..], &["run", "--replace", "--force", "--grace", "10ms"]]
    {
        let told = place.finish(args);
        assert_eq!(told.code(), 75, "{args:?}: {told:?}");
        assert!(told.stderr.contains("cannot tell"), "{told:?}");
        assert!(told.stderr.contains(&os::continues(holder.pid())), "{told:?}");
        assert!(!told.stderr.contains("ending pid"), "{told:?}");
    }
    assert!(is_there(holder.pid()));
    holder.resume();
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn a_replacement_without_a_holder_is_an_ordinary_start() {
    let place = Place::new();
    let first = place.hold(&["run", "--replace"]);
    first.kill();
    place.hold(&["run", "--replace"]);
}

/// Service managers and debuggers, as Unix has them.
#[cfg(unix)]
mod others {
    use std::{os::unix::process::ExitStatusExt as _, process::Command};

    use nix::sys::signal::Signal;

    use super::{Place, Running, os};

    /// Runs it as systemd would: `SYSTEMD_EXEC_PID` is its own pid.
    fn supervised(place: &Place) -> Running {
        let mut shell = Command::new("sh");
        let gateway = env!("CARGO_BIN_EXE_gateway");
        shell
            .args(["-c", &format!("SYSTEMD_EXEC_PID=$$ exec {gateway} run")])
            .env("GATEWAY_DIR", place.dir());
        let running = Running::start(&mut shell);
        running.says("holding ");
        running
    }

    #[test]
    fn what_a_service_manager_runs_is_replaced_by_its_manager_or_by_force() {
        let place = Place::new();
        let holder = supervised(&place);
        assert!(place.finish(&["status", "--json"]).stdout.contains("\"supervisor\":\"systemd\""));
        let refused = place.finish(&["run", "--replace"]);
        assert_eq!(refused.code(), 75, "{refused:?}");
        assert!(refused.stderr.contains("systemctl") && refused.stderr.contains("restart"), "{refused:?}");
        assert_eq!(place.finish(&["status"]).code(), 0);
        let forced = place.type_in(&refused.hinted("--force"));
        forced.says("holding ");
        assert_eq!(holder.end().code(), 0);
    }

    #[test]
    fn a_supervised_holder_still_stops_when_it_is_asked() {
        let place = Place::new();
        let holder = supervised(&place);
        assert_eq!(place.finish(&["stop"]).code(), 0);
        assert_eq!(holder.end().code(), 0);
    }

    /// Traces every thread of a process, and takes no note of their ends.
    const DEBUGGER: &str = "import ctypes, os, sys, time
libc, pid = ctypes.CDLL(None, use_errno=True), sys.argv[1]
failed = [libc.ptrace(0x4206, int(thread), 0, 0) for thread in os.listdir(f'/proc/{pid}/task')]
failed += [libc.ptrace(0x4207, int(thread), 0, 0) for thread in os.listdir(f'/proc/{pid}/task')]
print('attached' if not any(failed) else 'refused', flush=True)
time.sleep(1000)";

    /// Keeps every thread of a process where it is when it is killed, before anything of it is closed: as one is kept that
    /// is in the kernel, at a disk that does not answer.
    #[cfg(target_os = "linux")] // as its debuggers do it
    const DISK: &str = "import ctypes, os, sys, time
libc, pid = ctypes.CDLL(None, use_errno=True), sys.argv[1]
libc.ptrace.argtypes = [ctypes.c_long] * 4
failed = [libc.ptrace(0x4206, int(thread), 0, 0x40) for thread in os.listdir(f'/proc/{pid}/task')]
print('attached' if not any(failed) else 'refused', flush=True)
time.sleep(1000)";

    #[cfg(target_os = "linux")]
    #[test]
    fn one_that_was_killed_and_does_not_go_is_not_succeeded_until_it_has_gone() {
        let place = Place::new();
        let holder = place.hold(&["run"]);
        let pid = holder.pid();
        let disk = Running::start(Command::new("python3").args(["-c", DISK, &pid.to_string()]));
        if disk.prints("") == "refused" {
            os::left_out("a process may not trace its sibling here");
            return;
        }
        holder.signal(Signal::SIGKILL);
        let waiting = place.start(&["run", "--wait"]);
        waiting.says("waiting");
        for (args, code) in [
            (&["status", "--timeout", "200ms"][..], 4),
            (&["run", "--wait=200ms"], 75),
            (&["wait", "--gone", "--timeout", "200ms"], 75),
            (&["stop", "--force", "--grace", "10ms"], 75),
        ] {
            let told = place.finish(args);
            assert_eq!(told.code(), code, "{args:?}: {told:?}");
            assert!(
                told.stdout.contains(&pid.to_string()) || told.stderr.contains(&pid.to_string()),
                "{told:?}"
            );
            if args[0] == "stop" {
                assert!(told.stderr.contains("was killed, and is not gone"), "{told:?}");
            }
        }
        disk.kill();
        waiting.says("holding ");
        assert_eq!(holder.end().status.signal(), Some(Signal::SIGKILL as i32));
    }

    #[test]
    fn a_killed_holder_whose_debugger_keeps_its_end_back_is_succeeded_at_once() {
        let place = Place::new();
        let holder = place.hold(&["run"]);
        let debugger =
            Running::start(Command::new("python3").args(["-c", DEBUGGER, &holder.pid().to_string()]));
        if debugger.prints("") == "refused" {
            os::left_out("a process may not trace its sibling here");
            return;
        }
        let forced = place.start(&["run", "--replace", "--force", "--grace", "10ms"]);
        forced.says("ending pid ");
        forced.says("holding ");
        debugger.kill();
        assert_eq!(holder.end().status.signal(), Some(Signal::SIGKILL as i32));
    }
}
