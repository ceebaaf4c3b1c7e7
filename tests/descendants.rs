//! What PROGRAM started is gone when it has ended, whatever that was: in its group or out of it, deaf or stopped.
#![cfg(unix)] // elsewhere a job does it: `windows_child.rs`
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;

use gateway::{Place, Running};
use nix::sys::signal::Signal;
use os::is_there;

/// A daemon: its own session, no descriptors, deaf to SIGTERM. Says its pid to a file, and then PROGRAM goes on.
const DAEMON: &str = "import os, signal, sys, time
ready, told = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(told, str(os.getpid()).encode())
        os.closerange(0, 1000)
        time.sleep(1000)
    os._exit(0)
os.wait()
print('daemon', os.read(ready, 20).decode(), flush=True)
";

fn pid_in(line: &str) -> u32 {
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn python(place: &Place, options: &[&str], program: &str) -> Running {
    place.hold(&[&["run"], options, &["--", "python3", "-c", program]].concat())
}

#[test]
fn a_deaf_daemon_that_forked_away_is_gone_when_its_program_has_ended() {
    let place = Place::new();
    let holder = python(&place, &["--grace", "100ms"], &format!("{DAEMON}sys.exit(3)"));
    let daemon = pid_in(&holder.prints("daemon "));
    let ended = holder.end();
    assert_eq!(ended.code(), 3, "PROGRAM's own code: {ended:?}");
    assert!(!is_there(daemon), "{ended:?}");
    assert!(ended.stderr.contains(&format!("pid {daemon} (python3)")), "{ended:?}");
    assert!(ended.stderr.contains("left behind") && ended.stderr.contains("killed"), "{ended:?}");
}

#[test]
fn a_deaf_daemon_is_gone_after_a_stop_before_the_instance_is_free() {
    let place = Place::new();
    let holder = python(&place, &["--grace", "100ms"], &format!("{DAEMON}time.sleep(1000)"));
    let daemon = pid_in(&holder.prints("daemon "));
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert!(!is_there(daemon));
    assert_eq!(holder.end().code(), 0, "PROGRAM itself stopped when it was asked");
}

/// Four chains of processes: each starts the next one and ends, a moment later, in a session of its own and deaf.
const CHAINS: &str = "import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for _ in range(4):
    if os.fork() == 0:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if os.fork():
                os._exit(0)
            os.setsid()
            time.sleep(0.002)
        os._exit(0)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
print('chains', flush=True)
time.sleep(1000)";

#[test]
fn what_ends_before_it_can_be_looked_at_and_has_started_the_next_is_not_left_behind() {
    let place = Place::new();
    let holder = python(&place, &["--grace", "200ms"], CHAINS);
    holder.prints("chains");
    assert_eq!(place.finish(&["stop"]).code(), 0);
    // It ends when nobody has its output any more.
    let ended = holder.end();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.stderr.contains("left behind") && ended.stderr.contains("killed"), "{ended:?}");
    let began = std::time::Instant::now();
    let next = place.finish(&["run", "--", "true"]);
    assert_eq!(next.code(), 0, "{next:?}");
    assert!(began.elapsed() < std::time::Duration::from_secs(1), "{next:?}");
}

#[test]
fn deaf_children_of_deaf_shells_are_killed_after_the_grace() {
    let place = Place::new();
    let deaf = "trap '' TERM; sh -c \"trap '' TERM; echo inner $$; sleep 1000\" & sleep 1000";
    let holder = place.hold(&["run", "--", "sh", "-c", deaf]);
    let inner = pid_in(&holder.prints("inner "));
    assert_eq!(place.finish(&["stop", "--grace", "100ms"]).code(), 0);
    assert!(!is_there(inner));
    assert_eq!(holder.end().code(), 137);
    assert!(place.finish(&["history"]).stdout.contains("killed after grace"));
}

#[test]
fn a_stopped_grandchild_ends_with_the_rest() {
    let place = Place::new();
    let stops = "sh -c 'echo inner $$; kill -STOP $$; sleep 1000' & wait";
    let holder = place.hold(&["run", "--", "sh", "-c", stops]);
    let inner = pid_in(&holder.prints("inner "));
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert!(!is_there(inner));
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn orphans_that_end_while_the_program_runs_are_reaped() {
    let place = Place::new();
    let orphans = "import os, time
for _ in range(20):
    if os.fork() == 0:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os._exit(0)
    os.wait()
print('orphans', flush=True)
time.sleep(1000)";
    let holder = python(&place, &[], orphans);
    holder.prints("orphans");
    // Every end comes with a signal; whoever is asked after them has seen them all.
    assert_eq!(place.finish(&["status"]).code(), 0);
    let children = || {
        let path = format!("/proc/{0}/task/{0}/children", holder.pid());
        std::fs::read_to_string(path).unwrap().split_whitespace().count()
    };
    let deadline = std::time::Instant::now() + gateway::WATCHDOG;
    while children() > 1 {
        assert!(std::time::Instant::now() < deadline, "zombies: {}", children());
        std::thread::yield_now();
    }
}

#[test]
fn what_was_there_before_gateway_is_not_its_programs() {
    let place = Place::new();
    let mut shell = std::process::Command::new("sh");
    let gateway = env!("CARGO_BIN_EXE_gateway");
    // The shell's own child becomes gateway's by the exec.
    let line = format!("sleep 1000 & echo before $!; exec {gateway} run -- true");
    shell.args(["-c", &line]).env("GATEWAY_DIR", place.dir());
    let mut running = Running::start(&mut shell);
    let before = pid_in(&running.prints("before "));
    running.says("holding ");
    drop(running.stdin.take());
    assert_eq!(running.wait().code(), Some(0));
    assert!(is_there(before));
    nix::sys::signal::kill(gateway::pid_of(before), Signal::SIGKILL).unwrap();
}

#[test]
fn one_that_takes_over_from_inside_does_not_end_with_what_it_replaces() {
    let place = Place::new();
    let gateway = env!("CARGO_BIN_EXE_gateway");
    let takes_over = format!("exec {gateway} run --replace -- sh -c 'echo new $$; exec sleep 1000'");
    let program = format!("sh -c \"{}\" & echo up; wait", takes_over.replace('$', "\\$"));
    let holder = place.hold(&["run", "--", "sh", "-c", &program]);
    let new = pid_in(&holder.prints("new "));
    assert!(is_there(new));
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert!(!is_there(new));
}

#[test]
fn user_signals_reach_the_program_alone_and_change_nothing() {
    let place = Place::new();
    let program = "trap 'echo usr1' USR1; trap 'echo usr2' USR2; echo up; while :; do sleep 0.02; done";
    let holder = place.hold(&["run", "--", "sh", "-c", program]);
    holder.prints("up");
    for (signal, said) in [(Signal::SIGUSR1, "usr1"), (Signal::SIGUSR2, "usr2")] {
        holder.signal(signal);
        holder.prints(said);
    }
    assert!(place.finish(&["status", "--json"]).stdout.contains("\"state\":\"ready\""));
    assert_eq!(place.finish(&["stop"]).code(), 0);
}

#[test]
fn the_stop_signal_is_the_one_that_was_wanted() {
    let place = Place::new();
    for name in ["QUIT", "sigquit", "3"] {
        let program = "trap 'echo quit; exit 0' QUIT; echo up; while :; do sleep 0.02; done";
        let holder = place.hold(&["run", "--stop-signal", name, "--", "sh", "-c", program]);
        holder.prints("up");
        holder.signal(Signal::SIGTERM); // what asks gateway to stop becomes what PROGRAM understands
        holder.prints("quit");
        let ended = holder.end();
        assert!(ended.code() == 0 && ended.stderr.contains("SIGQUIT"), "{ended:?}");
    }
    for bad in ["FOO", "0", "99", ""] {
        assert_eq!(place.finish(&["run", "--stop-signal", bad, "--", "true"]).code(), 64, "{bad}");
    }
}

#[test]
fn what_a_manager_meant_for_gateway_does_not_reach_the_program() {
    let place = Place::new();
    let mut command = place.gateway(["run", "--", "env"]);
    for name in
        ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID", "SYSTEMD_EXEC_PID"]
    {
        command.env(name, "1");
    }
    command.env("NOTIFY_SOCKET", "/nowhere").env("KEPT", "1");
    let ended = Running::start(&mut command).end();
    assert_eq!(ended.code(), 0, "{ended:?}");
    for name in ["LISTEN_", "WATCHDOG_", "SYSTEMD_EXEC_PID", "/nowhere", "GATEWAY_DETACHED"] {
        assert!(!ended.stdout.contains(name), "{name}: {}", ended.stdout);
    }
    assert!(ended.stdout.contains("KEPT=1"));
}

#[test]
fn the_program_gets_no_descriptor_signal_mask_or_disposition_of_gateways() {
    let place = Place::new();
    let program = "for f in /proc/self/fd/*; do echo fd $(basename $f) $(readlink $f); done; \
                   grep -E '^Sig(Blk|Ign)' /proc/self/status";
    let ended = place.finish(&["run", "--", "sh", "-c", program]);
    let numbers = |said: &str| -> Vec<String> {
        let descriptors =
            said.lines().filter(|line| line.starts_with("fd ") && !line.ends_with("gateway.child"));
        descriptors.map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
    };
    // Without gateway it has what whoever started this test has left open.
    let alone = Running::start(std::process::Command::new("sh").args(["-c", program])).end();
    assert_eq!(numbers(&ended.stdout), numbers(&alone.stdout), "{ended:?}");
    let mask = |name: &str| {
        let line = ended.stdout.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    assert_eq!(mask("SigBlk:"), 0);
    assert_eq!(mask("SigIgn:") & 1 << (Signal::SIGPIPE as u64 - 1), 0, "SIGPIPE is not ignored");
}

#[test]
fn messages_reach_a_program_that_wants_them_and_nobody_waits_in_silence() {
    let place = Place::new();
    let program = "read l; echo \"got $l\"; exec 0<&-; echo closed; exec sleep 1000";
    let holder = place.hold(&["run", "--messages", "stdin", "--", "sh", "-c", program]);
    let sent = place.finish(&["send", "--", "--open", "a b"]);
    assert_eq!(sent.code(), 0, "{sent:?}");
    assert!(holder.prints("got ").contains("\"args\":[\"--open\",\"a b\"]"));
    holder.prints("closed");
    let refused = place.finish(&["send", "more"]);
    assert_eq!(refused.code(), 74, "{refused:?}");
    assert_eq!(place.finish(&["stop"]).code(), 0);
    // One that does not read keeps neither its gateway from stopping nor a sender waiting.
    let holder = place.hold(&["run", "--messages", "stdin", "--", "sleep", "1000"]);
    let big = "x".repeat(100_000);
    let sender = place.start(&["send", &big]);
    assert_eq!(place.finish(&["ping", "-c", "1"]).code(), 0);
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
    assert_ne!(sender.end().code(), 0);
}
