//! `run -- PROGRAM` on the built program: how the child ends, and what that makes of the holder.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/stand_in.rs"]
mod stand_in;

use gateway::Place;
use stand_in::holder_with_child;

#[test]
fn stand_in() {
    stand_in::play();
}

#[test]
fn run_exits_as_its_child_did() {
    let place = Place::new();
    for (program, code) in [
        (stand_in::program("exit 0"), 0),
        (stand_in::program("exit 7"), 7),
        (stand_in::program("exit 255"), 255),
        (vec![os::NO_PROGRAM.to_owned()], 126),
        (vec![os::A_DIRECTORY.to_owned()], 126),
        (vec!["no-such-program".to_owned()], 127),
        (vec!["/no/such/program".to_owned()], 127),
    ] {
        let ended = place.finish(&[&["run".to_owned(), "--".to_owned()], &program[..]].concat());
        assert_eq!(ended.code(), code, "{program:?}: {ended:?}");
        if code == 126 || code == 127 {
            assert!(ended.stderr.contains(&program[0]), "{ended:?}");
        }
        assert_eq!(place.finish(&["wait", "--gone", "--timeout", "0"]).code(), 0, "{program:?}");
    }
}

#[test]
fn the_child_knows_its_instance() {
    let place = Place::new();
    let ended =
        place.finish(&[&["--name".to_owned(), "other".to_owned()], &stand_in::run(&[], "show")[..]].concat());
    let shown = format!("shown other {}\n", os::shown(place.dir()));
    assert!(ended.stdout.contains(&shown), "{ended:?}");
}

#[test]
fn a_child_that_ends_with_a_code_after_a_stop_was_stopped() {
    let place = Place::new();
    let holder = place.hold(&stand_in::run(&[], "end-with 5"));
    holder.prints("ready");
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn a_child_that_ignores_the_signal_is_killed_after_the_grace() {
    let place = Place::new();
    let holder = place.hold(&stand_in::run(&["--grace", "200ms"], "deaf"));
    holder.prints("ignoring");
    holder.terminate();
    holder.says("stopping");
    holder.terminate(); // asked again: the grace does not begin anew
    let ended = holder.end();
    assert_eq!(ended.code(), 137, "{ended:?}");
    assert!(ended.stderr.contains("200 ms"), "{ended:?}");
}

#[test]
fn a_stop_gives_the_holders_own_grace_and_a_later_one_can_shorten_it() {
    let place = Place::new();
    let holder = place.hold(&stand_in::run(&["--grace", "1h"], "deaf"));
    holder.prints("ignoring");
    let patient = place.start(&["stop"]);
    assert!(holder.says("stopping").contains("1 h"));
    let hasty = place.finish(&["stop", "--grace", "100ms"]);
    assert_eq!(hasty.code(), 0, "{hasty:?}");
    assert_eq!(patient.end().code(), 0);
    assert_eq!(holder.end().code(), 137);
}

#[test]
fn killed_gateway_takes_its_child_along_and_never_blocks_the_next() {
    let place = Place::new();
    let (holder, _) = holder_with_child(&place);
    holder.kill(); // its end is the end of all that had its output: of the child too
    let next = place.hold(&["run"]);
    next.terminate();
    assert_eq!(next.end().code(), 0);
}

/// Writes what a successor would have written that came and went while the lock was lost.
fn outrank(place: &Place) {
    let path = place.dir().join("gateway.json");
    let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    record["generation"] = (record["generation"].as_u64().unwrap() + 1).into();
    let beside = place.dir().join("successor");
    std::fs::write(&beside, record.to_string()).unwrap();
    std::fs::rename(&beside, &path).unwrap();
}

#[test]
fn a_deposed_run_ends_its_child_and_says_so() {
    for (program, says) in [("last", "child "), ("deaf", "ignoring")] {
        let place = Place::new();
        let holder = place.hold(&stand_in::run(&["--grace", "200ms"], program));
        holder.prints(says);
        assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
        outrank(&place);
        assert_eq!(holder.end().code(), 76, "{program}");
    }
    let place = Place::new();
    let holder = place.hold(&["run"]);
    outrank(&place);
    let ended = holder.end();
    assert_eq!(ended.code(), 76, "{ended:?}");
    assert!(ended.stderr.contains("another process holds"), "{ended:?}");
}

/// Signals, scripts, and a server of Python.
#[cfg(unix)]
mod unix {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
    };

    use nix::sys::signal::{Signal, kill};

    use super::{
        gateway::{Place, pid_of},
        os::is_there,
        stand_in::holder_with_child,
    };

    /// Whether this test was started with the signal ignored, which the program then leaves alone.
    fn is_ignored(signal: Signal) -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = ignored.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap());
        mask & 1 << (signal as u64 - 1) != 0
    }

    #[test]
    fn run_exits_with_the_signal_that_its_child_died_of() {
        let place = Place::new();
        for (program, code) in
            [(&["sh", "-c", "kill -9 $$"][..], 128 + 9), (&["sh", "-c", "kill -TERM $$"], 128 + 15)]
        {
            let ended = place.finish(&[&["run", "--"], program].concat());
            assert_eq!(ended.code(), code, "{program:?}: {ended:?}");
            assert_eq!(place.finish(&["wait", "--gone", "--timeout", "0"]).code(), 0, "{program:?}");
        }
    }

    #[test]
    fn a_script_whose_interpreter_is_missing_is_there_and_cannot_be_run() {
        use std::os::unix::fs::PermissionsExt as _;
        let place = Place::new();
        let script = place.dir().join("script");
        std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let ended = place.finish(&["run", "--", script.to_str().unwrap()]);
        assert_eq!(ended.code(), 126, "{ended:?}");
        assert!(ended.stderr.contains("interpreter"), "{ended:?}");
    }

    #[test]
    fn a_signal_ends_the_child_and_then_the_holder() {
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            if is_ignored(signal) {
                continue;
            }
            let place = Place::new();
            let (holder, child) = holder_with_child(&place);
            holder.signal(signal);
            let ended = holder.end();
            assert_eq!(ended.code(), 0, "{signal}: {ended:?}");
            assert!(ended.stderr.contains(signal.as_str()), "{ended:?}");
            assert!(!is_there(child), "{signal}");
            let holder = place.hold(&["run"]);
            holder.signal(signal);
            assert_eq!(holder.end().code(), 0, "{signal} without a child");
        }
    }

    #[test]
    fn a_stopped_child_is_woken_to_end() {
        let place = Place::new();
        let (holder, child) = holder_with_child(&place);
        kill(pid_of(child), Signal::SIGSTOP).unwrap();
        assert_eq!(place.finish(&["stop"]).code(), 0);
        assert_eq!(holder.end().code(), 0);
    }

    #[test]
    fn a_web_server_lives_and_ends_with_its_gateway() {
        let place = Place::new();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = "import http.server as h, sys
s = h.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler)
print('serving', flush=True)
s.serve_forever()";
        let holder = place.hold(&["run", "--", "python3", "-c", server, &port.to_string()]);
        holder.prints("serving");
        assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
        let mut page = TcpStream::connect(("127.0.0.1", port)).unwrap();
        page.write_all(b"HEAD / HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        page.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        assert_eq!(place.finish(&["run", "--", "python3", "-c", server]).code(), 75);
        assert_eq!(place.finish(&["stop"]).code(), 0);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        assert_eq!(holder.end().code(), 0);
    }

    /// What keeps a port is found by its lock on `NAME.child`, which Linux shows.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_port_that_a_killed_ones_program_and_its_orphans_had_is_free_for_the_next() {
        let place = Place::new();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = "import os, signal, socket, sys
s = socket.create_server(('127.0.0.1', int(sys.argv[1])))
ready, told = os.pipe()
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(told, b'x')
else:
    os.read(ready, 1)
    print('serving', flush=True)
while True:
    signal.pause()";
        for round in 0..3 {
            let server = ["run", "--grace", "10ms", "--", "python3", "-c", server, &port.to_string()];
            let holder = place.hold(&server);
            holder.prints("serving");
            // It is not waited for the end of its output, which the orphan has.
            holder.signal(Signal::SIGKILL);
            let next = place.hold(&server);
            assert_eq!(next.prints(""), "serving", "round {round}");
            assert_eq!(place.finish(&["stop"]).code(), 0);
            holder.end();
            next.end();
        }
    }
}

/// Stopped while it was stopping, until its grace was over and more: then its answering thread ends it at once, while the
/// rest of it is about to write down that the child has ended.
#[cfg(unix)]
#[test]
fn a_holder_that_was_suspended_over_its_grace_has_not_crashed() {
    let place = Place::new();
    let names: Vec<String> = (0..os::rounds(10)).map(|number| format!("h{number}")).collect();
    let holders: Vec<gateway::Running> = names
        .iter()
        .map(|name| {
            let deaf = "trap '' TERM; echo up; while :; do sleep 0.01; done";
            let holder = place.hold(&["run", "--name", name, "--", "sh", "-c", deaf]);
            holder.prints("up");
            let stop = place.start(&["stop", "--name", name, "--grace", "50ms"]);
            stop.says("pid ");
            holder.stop();
            holder
        })
        .collect();
    // It says nothing meanwhile: the grace is over, and the second that the answering thread gives beyond it.
    assert_eq!(holders.last().unwrap().says_within(std::time::Duration::from_millis(1100), "nothing"), None);
    for (name, holder) in names.iter().zip(holders) {
        holder.resume();
        let ended = holder.end();
        assert!(matches!(ended.code(), 70 | 137), "{ended:?}");
        let history = place.finish(&["history", "--name", name, "--json"]).stdout;
        assert!(history.contains("\"end\":\"killed after grace\""), "{name}: {history} {ended:?}");
    }
}
