//! `run --listen` on the built program: PROGRAM gets its sockets as `sd_listen_fds(3)` says, and what cannot be listened at is
//! said, with who is in the way.
#![cfg(unix)] // elsewhere a program is not given descriptors by number
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/web.rs"]
mod web;

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
};

use gateway::{Place, Running};
use nix::sys::signal::Signal;

#[test]
fn web() {
    web::play();
}

/// Where it says that it listens, the number-th time.
fn address(running: &Running) -> SocketAddr {
    let line = running.says("listening at ");
    line.split(' ').nth(2).unwrap().parse().unwrap()
}

/// A PROGRAM that shows what it was given.
const SHOW: &str = "echo shown $LISTEN_FDS $LISTEN_FDNAMES $((LISTEN_PID == $$)); ls -l /dev/fd/ 2>/dev/null | wc -l; \
for n in 3 4 5 6; do [ -S /dev/fd/$n ] && echo socket $n || echo none $n; done";

#[test]
fn program_gets_its_sockets_from_3_on_with_their_names_and_its_own_number() {
    let place = Place::new();
    let path = place.dir().join("a.sock");
    let at = format!("admin=unix:{}", path.display());
    let running = place.start(&[
        "run",
        "--listen",
        "http=127.0.0.1:0",
        "--listen",
        &at,
        "--listen",
        "127.0.0.1:0",
        "--",
        "sh",
        "-c",
        SHOW,
    ]);
    let ended = running.end();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(ended.stdout.contains("shown 3 http:admin:listen 1\n"), "{ended:?}");
    assert!(ended.stdout.contains("socket 3\nsocket 4\nsocket 5\nnone 6\n"), "{ended:?}");
}

#[test]
fn what_a_manager_gave_to_gateway_is_not_what_program_gets() {
    let place = Place::new();
    let show = ["run", "--listen", "127.0.0.1:0", "--", "sh", "-c", SHOW];
    let mut command = place.gateway(show);
    command
        .env("LISTEN_FDS", "7")
        .env("LISTEN_PID", "1")
        .env("LISTEN_FDNAMES", "x")
        .env("LISTEN_PIDFDID", "9");
    let ended = Running::start(&mut command).end();
    assert!(ended.stdout.contains("shown 1 listen 1\n"), "{ended:?}");
    let mut command = place.gateway(["run", "--", "sh", "-c", "env | grep LISTEN_ || echo nothing"]);
    command.env("LISTEN_FDS", "7").env("LISTEN_PID", "1").env("LISTEN_FDNAMES", "x");
    let ended = Running::start(&mut command).end();
    assert!(ended.stdout.contains("nothing\n"), "{ended:?}");
}

#[test]
fn a_server_answers_at_its_address_and_at_its_path() {
    let place = Place::new();
    let path = place.dir().join("web.sock");
    let running =
        place.start(&web::run(&["--listen", "127.0.0.1:0", "--listen", path.to_str().unwrap()], "one"));
    let at = address(&running);
    running.prints("serving one");
    assert_eq!(web::ask(at, "/").as_deref(), Ok("one"));
    assert!(UnixStream::connect(&path).is_ok());
    running.terminate();
    assert_eq!(running.end().code(), 0);
    assert!(web::ask(at, "/").is_err());
    // The file stays, and the next one puts its own in its place.
    assert!(UnixStream::connect(&path).is_err());
    let running = place.start(&web::run(&["--listen", path.to_str().unwrap()], "two"));
    running.prints("serving two");
    assert!(UnixStream::connect(&path).is_ok());
}

#[test]
fn after_a_crash_the_next_one_binds_the_same_address_afresh() {
    let place = Place::new();
    let running = place.start(&web::run(&["--listen", "127.0.0.1:0"], "one"));
    let at = address(&running);
    running.prints("serving one");
    running.kill();
    let running = place.start(&web::run(&["--listen", &at.to_string()], "two"));
    running.prints("serving two");
    assert_eq!(web::ask(at, "/").as_deref(), Ok("two"));
}

#[test]
fn what_a_crashed_one_left_listening_is_ended_before_the_next_one_binds() {
    let place = Place::new();
    // What it starts has the socket, and its own session; it keeps the lock, too.
    let leaves = "setsid sh -c 'sleep 1000 & echo left; wait' & wait";
    let running = place.start(&["run", "--listen", "127.0.0.1:0", "--", "sh", "-c", leaves]);
    let at = address(&running);
    running.prints("left");
    os::kill_9(running.pid());
    let next = place.start(&web::run(&["--listen", &at.to_string()], "two"));
    next.prints("serving two");
    assert_eq!(web::ask(at, "/").as_deref(), Ok("two"));
}

#[test]
fn a_path_that_is_too_long_and_an_address_that_covers_another_are_said() {
    let place = Place::new();
    let path = place.dir().join("x".repeat(100));
    let ended = place.start(&web::run(&["--listen", path.to_str().unwrap()], "one")).end();
    assert_eq!(ended.code(), 73, "{ended:?}");
    assert!(ended.stderr.contains("bytes at the most"), "{ended:?}");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let [one, all] = ["127.0.0.1", "0.0.0.0"].map(|host| format!("{host}:{port}"));
    let ended = place.start(&web::run(&["--listen", &one, "--listen", &all], "one")).end();
    assert_eq!(ended.code(), 73, "{ended:?}");
    if cfg!(target_os = "linux") {
        assert!(ended.stderr.contains("another --listen of this command"), "{ended:?}");
    }
}

#[test]
fn an_address_that_is_in_use_for_a_moment_more_is_waited_for() {
    // By the end of a connection: nobody listens there.
    let far = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(far.local_addr().unwrap()).unwrap();
    let at = near.local_addr().unwrap().to_string();
    let place = Place::new();
    let running = place.start(&web::run(&["--listen", &at], "one"));
    running.says("holding ");
    drop(far.accept().unwrap()); // first, so that it is not this end that lingers
    drop(near);
    assert_eq!(address(&running).to_string(), at);
}

#[test]
fn an_address_that_somebody_has_is_said_with_who_and_nothing_is_held() {
    let place = Place::new();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = other.local_addr().unwrap().to_string();
    let ended = place.start(&web::run(&["--listen", &at], "one")).end();
    assert_eq!(ended.code(), 73, "{ended:?}");
    assert!(ended.stderr.contains(&format!("cannot listen at {at}: ")), "{ended:?}");
    if cfg!(target_os = "linux") {
        assert!(ended.stderr.contains(&format!("pid {} ", std::process::id())), "{ended:?}");
    }
    assert_eq!(place.finish(&["status"]).code(), 3);
}

#[test]
fn only_a_socket_at_which_nobody_listens_is_replaced() {
    let place = Place::new();
    let path = place.dir().join("web.sock");
    let try_it = || place.start(&web::run(&["--listen", path.to_str().unwrap()], "one")).end();
    std::fs::write(&path, "mine").unwrap();
    let ended = try_it();
    assert_eq!(ended.code(), 73, "{ended:?}");
    assert!(ended.stderr.contains("is no socket"), "{ended:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    std::fs::remove_file(&path).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    let ended = try_it();
    assert_eq!(ended.code(), 73, "{ended:?}");
    assert!(ended.stderr.contains("listens there"), "{ended:?}");
    assert!(UnixStream::connect(&path).is_ok(), "it was left alone");
    drop(listener);
    let running = place.start(&web::run(&["--listen", path.to_str().unwrap()], "one"));
    running.prints("serving one");
}

#[test]
fn what_is_no_address_is_a_usage_error_that_says_how_to_write_one() {
    let place = Place::new();
    let tells = |options: &[&str], words: &str| {
        let ended = place.finish(&[&["run"], options, &["--", "true"]].concat());
        assert_eq!(ended.code(), 64, "{ended:?}");
        assert!(ended.stderr.contains(words), "{words}: {ended:?}");
    };
    tells(&["--listen", "8080"], "0.0.0.0:8080");
    tells(&["--listen", "localhost:80"], "127.0.0.1:80");
    tells(&["--listen", "127.0.0.1:80", "--listen", "x=127.0.0.1:80"], "twice");
    tells(&["--ready-after", "1s"], "--replace");
    tells(&["--replace", "--ready-after", "1s"], "--replace=overlap");
    tells(&["--replace", "--ready-timeout", "1s"], "--replace=overlap");
    tells(&["--replace=overlap", "--ready-probe", "https://a"], "http only");
    let ended = place.finish(&["run", "--listen", "127.0.0.1:0"]);
    assert_eq!(ended.code(), 64, "{ended:?}");
    let ended = place.finish(&["run", "--replace=overlap"]);
    assert_eq!(ended.code(), 64, "{ended:?}");
}

#[test]
fn a_program_that_cannot_be_started_is_said_as_without_sockets() {
    let place = Place::new();
    let missing = place.finish(&["run", "--listen", "127.0.0.1:0", "--", "no-such-program-anywhere"]);
    assert_eq!(missing.code(), 127, "{missing:?}");
    let not_allowed = place.finish(&["run", "--listen", "127.0.0.1:0", "--", "/dev/null"]);
    assert_eq!(not_allowed.code(), 126, "{not_allowed:?}");
}

#[test]
fn a_script_without_an_interpreter_runs_as_without_sockets() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let script = place.dir().join("script");
    std::fs::write(&script, "echo plain $LISTEN_FDS $((LISTEN_PID == $$))\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let ended = place.finish(&["run", "--listen", "127.0.0.1:0", "--", script.to_str().unwrap()]);
    assert!(ended.stdout.contains("plain 1 1\n"), "{ended:?}");
}

#[test]
fn in_the_background_it_listens_as_in_front() {
    let place = Place::new();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let started = place.start(&web::run(&["--detach", "--listen", &port.to_string()], "one")).end();
    assert_eq!(started.code(), 0, "{started:?}");
    web::eventually("it answers", || web::ask(port, "/").as_deref() == Ok("one"));
    assert_eq!(place.finish(&["stop"]).code(), 0);
}

#[test]
fn with_few_descriptors_it_says_so_or_gives_them_all() {
    let place = Place::new();
    for limit in [24, 40, 64, 256] {
        let mut shell = std::process::Command::new("sh");
        let line = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
        shell.args(["-c", &line, gateway::PROGRAM]).env("GATEWAY_DIR", place.dir());
        shell.args(["run", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
        // The same address as it is written is the same one: port 0 is once.
        shell.args(["--", "sh", "-c", SHOW]);
        let ended = Running::start(&mut shell).end();
        let is_said = [64, 73, 126].contains(&ended.code()) && ended.stderr.contains("gateway: ");
        assert!(is_said || ended.stdout.contains("shown 2"), "{limit}: {ended:?}");
    }
}

#[test]
fn a_signal_reaches_a_server_as_ever() {
    let place = Place::new();
    let running = place.start(&web::run(&["--listen", "127.0.0.1:0"], "one"));
    running.prints("serving one");
    running.signal(Signal::SIGINT);
    assert_eq!(running.end().code(), 0);
}
