//! `run` and `stop` on the built program: what they say, what they leave, and how they end.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test fails so, a role speaks so

#[path = "support/gateway.rs"]
mod gateway;

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

use gateway::{Place, Running, pid_of, role_dir, until_dismissed};
use nix::sys::signal::{Signal, kill};

/// A child that says its pid, and then lasts.
const LASTS: [&str; 5] = ["run", "--", "sh", "-c", "echo child $$; exec sleep 1000"];
/// A child that ignores SIGTERM, and says so.
const IGNORES: &str = "trap '' TERM; echo ignoring; exec sleep 1000";

fn holder_with_child(place: &Place) -> (Running, u32) {
    let holder = place.hold(&LASTS);
    let child = holder.prints("child ").split(' ').nth(1).unwrap().parse().unwrap();
    (holder, child)
}

fn is_there(pid: u32) -> bool {
    kill(pid_of(pid), None).is_ok()
}

/// Whether this test was started with the signal ignored, which the program then leaves alone.
fn is_ignored(signal: Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap());
    mask & 1 << (signal as u64 - 1) != 0
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
    let dir = place.dir().canonicalize().unwrap();
    let start = format!("holding `gateway` in {} (pid {}, generation ", dir.display(), holder.pid());
    assert!(line.starts_with(&start), "{line}");
}

#[test]
fn run_exits_as_its_child_did() {
    let place = Place::new();
    for (program, code) in [
        (&["sh", "-c", "exit 0"][..], 0),
        (&["sh", "-c", "exit 7"], 7),
        (&["sh", "-c", "exit 255"], 255),
        (&["sh", "-c", "kill -9 $$"], 128 + 9),
        (&["sh", "-c", "kill -TERM $$"], 128 + 15),
        (&["/etc/passwd"], 126),
        (&["/"], 126),
        (&["no-such-program"], 127),
        (&["/no/such/program"], 127),
    ] {
        let ended = place.finish(&[&["run", "--"], program].concat());
        assert_eq!(ended.code(), code, "{program:?}: {ended:?}");
        if code == 126 || code == 127 {
            assert!(ended.stderr.contains(program[0]), "{ended:?}");
        }
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
fn the_child_knows_its_instance() {
    let place = Place::new();
    let show = "echo $GATEWAY_NAME $GATEWAY_DIR";
    let ended = place.finish(&["--name", "other", "run", "--", "sh", "-c", show]);
    let dir = place.dir().canonicalize().unwrap();
    assert_eq!(ended.stdout, format!("other {}\n", dir.display()));
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
fn a_child_that_ends_with_a_code_after_a_stop_was_stopped() {
    let place = Place::new();
    let program = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let holder = place.hold(&["run", "--", "sh", "-c", program]);
    holder.prints("ready");
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn a_child_that_ignores_the_signal_is_killed_after_the_grace() {
    let place = Place::new();
    let holder = place.hold(&["run", "--grace", "200ms", "--", "sh", "-c", IGNORES]);
    holder.prints("ignoring");
    holder.signal(Signal::SIGTERM);
    holder.says("stopping");
    holder.signal(Signal::SIGTERM); // asked again: the grace does not begin anew
    let ended = holder.end();
    assert_eq!(ended.code(), 137, "{ended:?}");
    assert!(ended.stderr.contains("200 ms"), "{ended:?}");
}

#[test]
fn a_stop_gives_the_holders_own_grace_and_a_later_one_can_shorten_it() {
    let place = Place::new();
    let holder = place.hold(&["run", "--grace", "1h", "--", "sh", "-c", IGNORES]);
    holder.prints("ignoring");
    let patient = place.start(&["stop"]);
    assert!(holder.says("stopping").contains("1 h"));
    let hasty = place.finish(&["stop", "--grace", "100ms"]);
    assert_eq!(hasty.code(), 0, "{hasty:?}");
    assert_eq!(patient.end().code(), 0);
    assert_eq!(holder.end().code(), 137);
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
fn killed_gateway_takes_its_child_along_and_never_blocks_the_next() {
    let place = Place::new();
    let (holder, _) = holder_with_child(&place);
    holder.kill(); // its end is the end of all that had its output: of the child too
    let next = place.hold(&["run"]);
    next.signal(Signal::SIGTERM);
    assert_eq!(next.end().code(), 0);
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
    assert!(refused.stderr.contains("stopped"), "{refused:?}");
    let stop = place.finish(&["stop"]);
    assert_eq!(stop.code(), 75);
    assert!(stop.stderr.contains("stopped"), "{stop:?}");
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
    drop(place.hold(&["run"])); // killed: the pid file is there
    let contender = place.role("role_stopped_contender");
    contender.is_stopped();
    let refused = place.finish(&["run"]);
    assert_eq!(refused.code(), 75);
    assert!(refused.stderr.contains(&format!("pid {}", contender.pid())), "{refused:?}");
    assert!(refused.stderr.contains("stopped"), "{refused:?}");
    let nobody = place.finish(&["stop"]);
    assert_eq!(nobody.code(), 0);
    assert!(nobody.stderr.contains(&format!("pid {}", contender.pid())), "{nobody:?}");
    let forced = place.type_in(&refused.hinted("run --force"));
    forced.says("holding ");
}

#[test]
#[ignore = "a role"]
fn role_stopped_contender() {
    let Some(dir) = role_dir() else { return };
    let file = std::fs::File::options().write(true).open(dir.join("gateway.pid")).unwrap();
    let lock = nix::libc::flock {
        l_type: i16::try_from(nix::libc::F_WRLCK).unwrap(),
        l_whence: i16::try_from(nix::libc::SEEK_SET).unwrap(),
        l_start: (1 << 30) + 1,
        l_len: 1,
        l_pid: 0,
    };
    nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_SETLK(&lock)).unwrap();
    nix::sys::signal::raise(Signal::SIGSTOP).unwrap();
    until_dismissed();
}

#[test]
fn running_already_can_be_fine() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    let fine = place.finish(&["run", "--if-running", "ok", "--", "no-such-program"]);
    assert_eq!(fine.code(), 0);
    assert_eq!(fine.stderr, format!("`gateway` is running already: pid {}\n", holder.pid()));
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
