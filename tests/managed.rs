//! A service manager above `gateway`: it is told what is true, once, when it is, and nothing of its way leaks into PROGRAM.
//! The manager is the test: a datagram socket, and the variables that systemd sets.
#![cfg(unix)] // the manager is heard on a socket of Unix
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/notifier.rs"]
mod notifier;
#[path = "support/os/mod.rs"]
mod os;

use std::{ffi::OsString, os::unix::net::UnixDatagram, process::Command};

use gateway::{Place, Running, WATCHDOG};
use nix::sys::signal::Signal;
use notifier::{args, now};

/// Who starts `gateway`, and listens.
struct Manager {
    place: Place,
    socket: UnixDatagram,
    address: OsString,
}

impl Manager {
    fn new() -> Self {
        let place = Place::new();
        let path = place.dir().join("manager");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(WATCHDOG)).unwrap();
        Self { place, socket, address: path.into() }
    }

    fn command(&self, args: &[String]) -> Command {
        let mut command = self.place.gateway(args);
        command.env("NOTIFY_SOCKET", &self.address);
        command
    }

    fn start(&self, options: &[&str], does: &str) -> Running {
        Running::start(&mut self.command(&args(options, does)))
    }

    /// The next datagram.
    fn hears(&self) -> String {
        let mut buffer = [0; 4096];
        let len = self.socket.recv(&mut buffer).expect("it says something");
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    /// Datagrams up to one with this line; all lines of them.
    fn hears_until(&self, line: &str) -> Vec<String> {
        let mut all = Vec::new();
        while !all.iter().any(|known| known == line) {
            all.extend(self.hears().lines().map(str::to_owned));
        }
        all
    }

    /// What was said and not heard yet, when all who could say something have ended.
    fn rest(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(len) = self.socket.recv(&mut buffer) {
            all.extend(String::from_utf8(buffer[..len].to_vec()).unwrap().lines().map(str::to_owned));
        }
        all
    }
}

fn count(lines: &[String], line: &str) -> usize {
    lines.iter().filter(|known| *known == line).count()
}

#[test]
fn it_is_told_ready_once_and_only_when_the_child_is_and_what_comes_after() {
    let manager = Manager::new();
    let does = "
say('STATUS=loading'); ordered()
say('READY=1', 'STATUS=serving'); ordered()
say('READY=1', 'RELOADING=1'); ordered()
say('READY=1'); last()";
    let mut holder = manager.start(&["--notify"], does);
    assert_eq!(manager.hears_until("STATUS=loading"), ["STATUS=loading"]);
    holder.type_line("go on");
    let mut all = manager.hears_until("STATUS=serving");
    assert_eq!(count(&all, "READY=1"), 1, "{all:?}");
    holder.type_line("go on");
    let reloading = manager.hears_until("STATUS=reloading");
    assert_eq!((count(&reloading, "READY=1"), count(&reloading, "RELOADING=1")), (0, 1), "{reloading:?}");
    assert!(reloading.iter().any(|line| line.starts_with("MONOTONIC_USEC=")), "{reloading:?}");
    holder.type_line("go on");
    let serving = manager.hears_until("STATUS=serving");
    assert_eq!(count(&serving, "READY=1"), 1, "{serving:?}");
    assert_eq!(manager.place.finish(&["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
    all = manager.rest();
    assert_eq!((count(&all, "READY=1"), count(&all, "STOPPING=1")), (0, 1), "{all:?}");
}

#[test]
fn without_notify_it_is_told_ready_once_at_once() {
    let manager = Manager::new();
    let holder = manager.start(&[], "say('READY=1', 'STATUS=x'); last()");
    let all = manager.hears_until("STATUS=x");
    assert_eq!(count(&all, "READY=1"), 1, "{all:?}");
    holder.signal(Signal::SIGTERM);
    assert_eq!(holder.end().code(), 0);
    let all = manager.rest();
    assert_eq!((count(&all, "READY=1"), count(&all, "STOPPING=1")), (0, 1), "{all:?}");
}

#[test]
fn a_run_without_program_tells_too() {
    let manager = Manager::new();
    for stop in ["signal", "stop"] {
        let holder = Running::start(&mut manager.command(&["run".to_owned()]));
        assert_eq!(manager.hears(), "READY=1\n");
        match stop {
            "signal" => holder.signal(Signal::SIGTERM),
            _ => assert_eq!(manager.place.finish(&["stop"]).code(), 0),
        }
        assert!(manager.hears().starts_with("STOPPING=1\n"));
        assert_eq!(holder.end().code(), 0);
    }
}

#[test]
fn a_stop_that_it_did_not_order_is_told_with_its_grace() {
    let manager = Manager::new();
    let holder = manager.start(&["--grace", "7m"], "last()");
    manager.hears_until("READY=1");
    assert_eq!(manager.place.finish(&["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
    let all = manager.rest();
    let time = all.iter().find_map(|line| line.strip_prefix("EXTEND_TIMEOUT_USEC="));
    assert!((420_000_000..430_000_000).contains(&time.unwrap().parse::<u64>().unwrap()), "{all:?}");

    // A signal is how it orders a stop itself: its own time counts, until the child asks for more.
    let does = "
def stop(*_): say('EXTEND_TIMEOUT_USEC=1234567'); sys.exit(0)
signal.signal(signal.SIGTERM, stop)
say('READY=1')
while True: signal.pause()";
    let holder = manager.start(&["--grace", "7m", "--notify"], does);
    manager.socket.set_nonblocking(false).unwrap();
    manager.hears_until("READY=1");
    holder.signal(Signal::SIGTERM);
    assert_eq!(holder.end().code(), 0);
    let all = manager.rest();
    let times: Vec<&String> = all.iter().filter(|line| line.starts_with("EXTEND_TIMEOUT_USEC=")).collect();
    assert_eq!(times, ["EXTEND_TIMEOUT_USEC=1234567"], "{all:?}");
}

#[test]
fn it_is_told_that_the_loop_runs_if_it_wants_to_know_and_means_this_process() {
    let manager = Manager::new();
    let command = |pid: Option<&str>| {
        let mut command = manager.command(&args(&[], "tell(os.environ.get('WATCHDOG_USEC')); last()"));
        command.env("WATCHDOG_USEC", "100000");
        if let Some(pid) = pid {
            command.env("WATCHDOG_PID", pid);
        }
        command
    };
    let holder = Running::start(&mut command(None));
    for _ in 0..5 {
        manager.hears_until("WATCHDOG=1");
    }
    assert_eq!(holder.prints(""), "None", "the child was told the manager's interval");
    holder.signal(Signal::SIGTERM);
    assert_eq!(holder.end().code(), 0);
    drop(manager.rest());
    let holder = Running::start(&mut command(Some("1")));
    holder.prints("None");
    holder.signal(Signal::SIGTERM);
    assert_eq!(holder.end().code(), 0);
    assert_eq!(count(&manager.rest(), "WATCHDOG=1"), 0);
}

#[test]
fn its_way_does_not_leak_into_the_child() {
    let manager = Manager::new();
    let show = "for name in ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']: tell(os.environ.get(name))";
    let mut command = manager.command(&args(&[], show));
    command.env("WATCHDOG_USEC", "60000000").env("WATCHDOG_PID", "1");
    let ended = Running::start(&mut command).end();
    let own = manager.place.dir().canonicalize().unwrap().join("gateway.notify");
    assert_eq!(ended.stdout, format!("{}\nNone\nNone\n", own.display()), "{ended:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_address_works_too() {
    use std::os::{linux::net::SocketAddrExt as _, unix::net::SocketAddr};
    let mut manager = Manager::new();
    let name = format!("incumbent-test/{}", std::process::id());
    manager.socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    manager.address = format!("@{name}").into();
    let holder = manager.start(&[], "last()");
    manager.hears_until("READY=1");
    holder.signal(Signal::SIGTERM);
    assert_eq!(holder.end().code(), 0);
    assert_eq!(count(&manager.rest(), "STOPPING=1"), 1);
}

#[test]
fn one_that_does_not_listen_holds_nobody_up_and_misses_nothing_that_still_counts() {
    let manager = Manager::new();
    let does = "
for n in range(5000): say(f'STATUS={n}')
say('READY=1', 'STATUS=all')
last()";
    let holder = manager.start(&["--notify"], does);
    holder.says("holding ");
    assert_eq!(manager.place.finish(&["wait", "--ready"]).code(), 0);
    assert_eq!(now(&manager.place), ("ready".to_owned(), "all".to_owned()));
    let all = manager.hears_until("STATUS=all");
    assert_eq!(count(&all, "READY=1"), 1);
    assert_eq!(manager.place.finish(&["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn one_that_cannot_be_reached_is_said_and_gone_without() {
    let place = Place::new();
    for address in ["/no/such/socket", "vsock:2:1234", "relative"] {
        let ended = Running::start(place.gateway(["run", "--", "true"]).env("NOTIFY_SOCKET", address)).end();
        assert_eq!(ended.code(), 0, "{ended:?}");
        assert_eq!(ended.stderr.matches("warning: the service manager").count(), 1, "{ended:?}");
    }
    let ended = Running::start(place.gateway(["run", "--", "true"]).env("NOTIFY_SOCKET", "")).end();
    assert!(!ended.stderr.contains("warning"), "{ended:?}");
}
