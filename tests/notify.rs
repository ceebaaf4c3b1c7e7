//! What a child says of itself (`sd_notify(3)`), on the built program: it is seen as it happens, it is believed only of
//! this user, and no amount or kind of it harms anybody.
#![cfg(unix)] // the socket that a child speaks to is one of Unix
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/notifier.rs"]
mod notifier;
#[path = "support/os/mod.rs"]
mod os;

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
};

use gateway::{Place, Running, pid_of};
use nix::sys::signal::{Signal, kill};
use notifier::{Watcher, args, hold, now, path};

fn said(state: &str, note: &str) -> (String, String) {
    (state.to_owned(), note.to_owned())
}

#[test]
fn what_a_child_says_is_seen_as_it_happens_and_in_this_order() {
    let place = Place::new();
    let mut holder = hold(
        &place,
        &["--notify"],
        "
ordered(); say('STATUS=loading')
ordered(); say('READY=1', 'STATUS=serving 3 platforms')
ordered(); say('RELOADING=1', 'MONOTONIC_USEC=1')
ordered(); say('STATUS=half of it')
ordered(); say('READY=1', 'STATUS=serving 4 platforms')
ordered(); say('STATUS=')
ordered(); say('STOPPING=1')
ordered(); say('STATUS=saving')
ordered()",
    );
    let mut watcher = Watcher::of(&place);
    watcher.sees("starting", "");
    for (state, note) in [
        ("starting", "loading"),
        ("ready", "serving 3 platforms"),
        ("ready", "reloading"),
        ("ready", "half of it"),
        ("ready", "serving 4 platforms"),
        ("ready", ""),
        ("draining", ""),
        ("draining", "saving"),
    ] {
        holder.type_line("go on");
        watcher.sees(state, note);
    }
    holder.type_line("end");
    assert_eq!(holder.end().code(), 0);
    assert_eq!(watcher.next().0, "absent");
}

#[test]
fn without_notify_a_child_is_ready_once_started_and_can_say_how_it_is() {
    let place = Place::new();
    let mut holder = hold(&place, &[], "ordered(); say('STATUS=serving'); tell('said'); last()");
    assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
    assert_eq!(now(&place), said("ready", ""));
    holder.type_line("go on");
    let mut watcher = Watcher::of(&place);
    while watcher.next() != said("ready", "serving") {}
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn the_example_of_the_readme_works() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let example = readme.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
    let place = Place::new();
    let holder = hold(&place, &["--notify"], &format!("{example}\nlast()"));
    assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
    assert_eq!(now(&place), said("ready", "connected to 4 platforms"));
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn wait_ready_waits_for_the_word_of_the_child() {
    let place = Place::new();
    let mut holder = hold(&place, &["--notify"], "ordered(); say('READY=1'); last()");
    assert_eq!(place.finish(&["wait", "--ready", "--timeout", "100ms"]).code(), 75);
    let waiting = place.start(&["wait", "--ready"]);
    holder.type_line("go on");
    assert_eq!(waiting.end().code(), 0);
}

#[test]
fn a_child_that_ends_before_it_was_ready_is_said_to_have_and_gives_its_own_code() {
    let place = Place::new();
    for (does, code) in [("sys.exit(7)", 7), ("say('STATUS=x'); sys.exit(0)", 0), ("os.abort()", 134)] {
        let ended = Running::start(&mut place.gateway(args(&["--notify"], does))).end();
        assert_eq!(ended.code(), code, "{ended:?}");
        assert!(ended.stderr.contains("ended before it was ready"), "{ended:?}");
    }
    for (options, does) in [(&["--notify"][..], "say('READY=1')"), (&[], "pass")] {
        let ended = Running::start(&mut place.gateway(args(options, does))).end();
        assert_eq!(ended.code(), 0, "{ended:?}");
        assert!(!ended.stderr.contains("ready"), "{ended:?}");
    }
}

/// Asked to stop, it wants a minute more, and takes longer than its grace.
const EXTENDS: &str = "
def stop(*_):
    say('EXTEND_TIMEOUT_USEC=3600000000', 'STATUS=saving')
    end = time.monotonic() + 1
    while time.monotonic() < end: time.sleep(0.05)
    tell('saved')
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
say('READY=1')
while True: signal.pause()";

#[test]
fn a_child_that_asks_for_more_time_to_stop_has_it_and_the_asker_is_shown_it() {
    let place = Place::new();
    let holder = hold(&place, &["--notify", "--grace", "300ms"], EXTENDS);
    assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
    let stopped = place.finish(&["stop"]);
    assert_eq!(stopped.code(), 0, "{stopped:?}");
    assert!(
        stopped.stderr.lines().any(|line| line.contains("saving") && line.contains("1 h")),
        "{stopped:?}"
    );
    holder.prints("saved");
    assert_eq!(holder.end().code(), 0);

    let holder = hold(&place, &["--notify", "--grace", "300ms"], EXTENDS);
    assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
    holder.signal(Signal::SIGTERM);
    holder.prints("saved");
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn a_later_wish_can_shorten_the_time_that_was_asked_for() {
    let place = Place::new();
    let does = EXTENDS.replace("+ 1", "+ 1000").replace("end =", "tell('asked'); end =");
    let holder = hold(&place, &["--notify", "--grace", "300ms"], &does);
    assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
    let patient = place.start(&["stop"]);
    holder.prints("asked");
    let mut watcher = Watcher::of(&place);
    while watcher.next() != said("draining", "saving") {}
    // Longer than the first grace was, and shorter than what it has now.
    assert_eq!(place.finish(&["stop", "--grace", "500ms"]).code(), 0);
    assert_eq!(patient.end().code(), 0);
    assert_eq!(holder.end().code(), 137);
}

#[test]
fn more_time_that_was_asked_for_ends_too() {
    let place = Place::new();
    let does = EXTENDS.replace("3600000000", "400000").replace("+ 1", "+ 1000");
    let holder = hold(&place, &["--notify", "--grace", "100ms"], &does);
    assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
    assert_eq!(place.finish(&["stop"]).code(), 0);
    let ended = holder.end();
    assert_eq!(ended.code(), 137, "{ended:?}");
}

#[test]
fn a_child_that_does_not_say_that_it_lives_is_aborted() {
    for (options, does, why) in [
        (&["--watchdog", "300ms"][..], "last()", "no WATCHDOG=1 for 300 ms"),
        (&["--watchdog", "300ms", "--notify"], "say('READY=1'); say('WATCHDOG=1'); last()", "300 ms"),
        (&["--watchdog", "1h"], "say('WATCHDOG=trigger'); last()", "WATCHDOG=trigger"),
        (&[], "say('WATCHDOG=trigger'); last()", "WATCHDOG=trigger"),
        (&["--watchdog", "1h"], "say('WATCHDOG_USEC=200000'); last()", "200 ms"),
        (&["--watchdog", "300ms", "--grace", "300ms"], "say('STOPPING=1'); last()", "300 ms"),
        // It has to be killed.
        (
            &["--watchdog", "300ms", "--grace", "200ms"],
            "signal.signal(signal.SIGABRT, signal.SIG_IGN)\nwhile True: signal.pause()",
            "SIGKILL after 200 ms",
        ),
    ] {
        let place = Place::new();
        let holder = hold(&place, options, does);
        let ended = holder.end();
        assert_eq!(ended.code(), 134, "{does}: {ended:?}");
        let hung = ended.stderr.lines().filter(|line| line.contains("hung") && line.contains("SIGABRT"));
        assert_eq!(hung.filter(|line| line.contains(why)).count(), 1, "{does}: {ended:?}");
        assert_eq!(place.finish(&["wait", "--gone", "--timeout", "0"]).code(), 0);
    }
}

#[test]
fn a_child_that_says_that_it_lives_goes_on_and_is_not_watched_before_it_is_ready() {
    let place = Place::new();
    for does in [
        "
tell(os.environ['WATCHDOG_USEC'])
for _ in range(20): say('WATCHDOG=1'); time.sleep(0.1)
sys.exit(7)",
        "
tell(os.environ['WATCHDOG_USEC'])
time.sleep(1.5); say('READY=1'); sys.exit(7)",
        "
tell(os.environ['WATCHDOG_USEC'])
say('READY=1'); say('WATCHDOG_USEC=0'); time.sleep(1.5); sys.exit(7)",
    ] {
        let ended =
            hold(&place, &["--notify", "--watchdog", "1s"], &does.replace("for _", "say('READY=1')\nfor _"))
                .end();
        assert_eq!(ended.code(), 7, "{does}: {ended:?}");
        assert_eq!(ended.stdout, "1000000\n");
    }
}

#[test]
fn a_child_that_stops_by_itself_is_watched_by_its_grace_and_by_what_it_asks_for() {
    let place = Place::new();
    for (grace, more) in [("500ms", "EXTEND_TIMEOUT_USEC=60000000"), ("1m", "STATUS=")] {
        let does = format!("say('READY=1'); say('STOPPING=1', '{more}'); time.sleep(2); sys.exit(7)");
        let ended = hold(&place, &["--notify", "--watchdog", "500ms", "--grace", grace], &does).end();
        assert_eq!(ended.code(), 7, "{ended:?}");
    }
}

#[test]
fn time_in_which_gateway_was_stopped_does_not_make_a_child_hung() {
    let place = Place::new();
    // It lives all the time; while nobody hears it, what it says waits or is lost.
    let does = "
say('READY=1')
s.setblocking(False)
tell(os.getpid())
n = 0
while True:
    try: say('WATCHDOG=1')
    except OSError: pass
    time.sleep(0.05)
    n += 1
    tell(f'lived {n}')";
    let holder = hold(&place, &["--notify", "--watchdog", "1500ms"], does);
    let lived = |n: u32| holder.prints(&format!("lived {n}"));
    let child = pid_of(holder.prints("").parse().unwrap());
    lived(3);
    holder.stop();
    lived(40); // longer than the interval
    holder.signal(Signal::SIGCONT);
    lived(60);
    // Both are stopped, as by Ctrl-Z, for longer than the interval; the child first, so that nothing of it waits unread.
    kill(child, Signal::SIGSTOP).unwrap();
    assert_eq!(place.finish(&["ping", "-c", "1"]).code(), 0);
    holder.stop();
    assert_eq!(place.finish(&["ping", "-c", "1", "--timeout", "2500ms"]).code(), 4);
    holder.signal(Signal::SIGCONT);
    assert_eq!(place.finish(&["ping", "-c", "3", "-i", "100ms"]).code(), 0);
    kill(child, Signal::SIGCONT).unwrap();
    lived(100);
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn a_flood_keeps_nothing_waiting_and_nothing_of_it_is_lost() {
    let place = Place::new();
    let does = "
for n in range(10000): say(f'STATUS={n}')
say('READY=1', 'STATUS=all')
ordered()
while True: say('STATUS=more')";
    let mut holder = hold(&place, &["--notify"], does);
    assert_eq!(place.finish(&["ping", "-c", "1"]).code(), 0);
    assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
    assert_eq!(now(&place), said("ready", "all"));
    holder.type_line("go on");
    let mut watcher = Watcher::of(&place);
    while watcher.next() != said("ready", "more") {}
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn a_flood_does_not_put_off_the_end() {
    let place = Place::new();
    let does = "
signal.signal(signal.SIGTERM, signal.SIG_IGN)
say('READY=1')
while True: say('STATUS=more')";
    let holder = hold(&place, &["--notify", "--grace", "300ms"], does);
    assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 137);
}

#[test]
fn garbage_says_nothing_and_harms_nobody() {
    let place = Place::new();
    let does = "
for n in range(200): say(os.urandom(n * 20))
say(b'')
say(b'STATUS=\\xff\\xfe')
say(b'\\0READY=1')
say(b'READY=1\\nSTATUS=too long' + b'.' * 5000)
say('EXTEND_TIMEOUT_USEC=18446744073709551615', 'WATCHDOG_USEC=-1', 'MAINPID=x')
tell('said')
ordered()
say(b'STATUS=\\x1b[2J', 'READY=1')
last()";
    let mut holder = Running::start(place.gateway(args(&["--notify"], does)).env("GATEWAY_LOG", "warn"));
    holder.prints("said");
    holder.says("holding ");
    assert_eq!(now(&place), said("starting", ""));
    holder.type_line("go on");
    assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
    assert_eq!(now(&place), said("ready", "\u{fffd}[2J"));
    assert_eq!(place.finish(&["stop"]).code(), 0);
    let ended = holder.end();
    assert_eq!(ended.code(), 0);
    assert!(ended.stderr.contains("more than 4096 bytes"), "{ended:?}");
}

#[test]
fn another_users_word_is_not_believed() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("left out: only root can play other users");
        return;
    }
    let place = Place::new();
    // It has connected before it became nobody: the socket's mode does not keep it out any more.
    let does = "
s.connect(os.environ['NOTIFY_SOCKET'])
if os.fork() == 0:
    os.setgid(65534); os.setuid(65534)
    s.send(b'READY=1\\nSTATUS=of nobody'); os._exit(0)
os.wait()
say('STATUS=of root')
last()";
    let mut watcher = Watcher::of(&place);
    let holder = Running::start(place.gateway(args(&["--notify"], does)).env("GATEWAY_LOG", "warn"));
    while watcher.next() != said("starting", "of root") {}
    assert_eq!(place.finish(&["stop"]).code(), 0);
    let ended = holder.end();
    assert!(ended.stderr.contains("another user is not believed"), "{ended:?}");
}

#[test]
fn descriptors_that_come_along_are_closed_at_once() {
    let place = Place::new();
    // As sd_notify_barrier(3): the end of file says that everything before it was read.
    let does = "
import array
before = len(os.listdir(f'/proc/{os.getppid()}/fd'))
for n in range(50):
    reader, writer = os.pipe()
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [writer] * (n + 1)))]
    s.sendmsg([b'BARRIER=1' if n % 2 else b'FDSTORE=1'], rights, 0, os.environ['NOTIFY_SOCKET'])
    os.close(writer)
    assert os.read(reader, 1) == b''
    os.close(reader)
tell(len(os.listdir(f'/proc/{os.getppid()}/fd')) - before)";
    let ended = hold(&place, &[], does).end();
    assert_eq!((ended.code(), ended.stdout.as_str()), (0, "0\n"), "{ended:?}");
}

#[test]
fn another_main_process_is_ignored_with_one_line() {
    let place = Place::new();
    let does = "
say(f'MAINPID={os.getpid()}')
for _ in range(3): say('READY=1', 'MAINPID=1', 'STATUS=x')";
    let ended = hold(&place, &["--notify"], does).end();
    assert_eq!(ended.code(), 0);
    assert_eq!(ended.stderr.matches("MAINPID").count(), 1, "{ended:?}");
    assert!(ended.stderr.contains("MAINPID=1 is ignored"), "{ended:?}");
}

#[test]
fn only_this_user_can_reach_it_and_a_dead_holders_is_replaced() {
    let place = Place::new();
    let holder = hold(&place, &[], "last()");
    let meta = fs::symlink_metadata(path(&place)).unwrap();
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    holder.kill();
    let holder = hold(&place, &["--notify"], "say('READY=1'); last()");
    assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn what_a_predecessor_left_behind_does_not_speak_for_the_child() {
    let place = Place::new();
    // Not killed with its parent, and asked to go before the next child starts: it says goodbye, under the same path.
    let does = "
def stop(*_): say('READY=1', 'STOPPING=1', 'STATUS=of the old one'); os._exit(0)
if os.fork() == 0:
    signal.signal(signal.SIGTERM, stop)
    tell('left')
    while True: signal.pause()
last()";
    let holder = hold(&place, &["--notify"], does);
    holder.prints("left");
    holder.signal(Signal::SIGKILL);
    let mut watcher = Watcher::of(&place);
    let mut next = hold(&place, &["--notify"], "tell('begun'); ordered(); say('STATUS=new'); last()");
    next.prints("begun");
    next.type_line("go on");
    loop {
        let (state, note) = watcher.next();
        assert!(note != "of the old one" && state != "ready" && state != "draining", "{state} {note}");
        if note == "new" {
            break;
        }
    }
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(next.end().code(), 0);
}

#[test]
fn a_deleted_path_comes_back_and_what_is_said_over_the_old_one_is_heard_too() {
    let place = Place::new();
    let does = "
s.connect(os.environ['NOTIFY_SOCKET'])
os.unlink(os.environ['NOTIFY_SOCKET'])
s.send(b'STATUS=over the old one')
new = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
while True:
    try: new.sendto(b'READY=1', os.environ['NOTIFY_SOCKET']); break
    except OSError: time.sleep(0.01)
ordered()
s.send(b'STATUS=and again')
last()";
    let mut watcher = Watcher::of(&place);
    let mut holder = hold(&place, &["--notify"], does);
    while watcher.next() != said("starting", "over the old one") {}
    watcher.sees("ready", "over the old one");
    holder.type_line("go on");
    watcher.sees("ready", "and again");
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn a_child_whose_path_was_deleted_is_not_taken_for_hung() {
    let place = Place::new();
    let does = "
say('READY=1')
end = time.monotonic() + 3
while time.monotonic() < end:
    try: os.unlink(os.environ['NOTIFY_SOCKET'])
    except OSError: pass
    try: say('WATCHDOG=1')
    except OSError: pass
    time.sleep(0.01)
sys.exit(7)";
    let ended = hold(&place, &["--notify", "--watchdog", "500ms"], does).end();
    assert_eq!(ended.code(), 7, "{ended:?}");
}

#[test]
fn what_is_in_its_place_is_left_alone_and_said() {
    let place = Place::new();
    fs::write(path(&place), "somebody's").unwrap();
    let show = ["--", "python3", "-c", "import os; print(os.environ.get('NOTIFY_SOCKET'))"];
    let ended = place.finish(&[&["run"], &show[..]].concat());
    assert_eq!((ended.code(), ended.stdout.as_str()), (0, "None\n"), "{ended:?}");
    assert!(ended.stderr.contains("warning: ") && ended.stderr.contains("gateway.notify"), "{ended:?}");
    for option in [&["run", "--notify"][..], &["run", "--watchdog", "1s"]] {
        let refused = place.finish(&[option, &show[..]].concat());
        assert_eq!(refused.code(), 73, "{refused:?}");
        assert_eq!(place.finish(&["wait", "--gone", "--timeout", "0"]).code(), 0);
    }
    assert_eq!(fs::read_to_string(path(&place)).unwrap(), "somebody's");
}

#[test]
fn a_path_that_is_too_long_is_in_the_runtime_directory() {
    let place = Place::new();
    let runtime = Place::new();
    fs::set_permissions(runtime.dir(), fs::Permissions::from_mode(0o700)).unwrap();
    let dir = place.dir().join("d".repeat(120));
    let mut command =
        place.gateway(args(&["--notify"], "say('READY=1'); tell(os.environ['NOTIFY_SOCKET']); last()"));
    command.env("GATEWAY_DIR", &dir).env("XDG_RUNTIME_DIR", runtime.dir());
    let holder = Running::start(&mut command);
    let at = holder.prints("/");
    assert!(at.starts_with(runtime.dir().canonicalize().unwrap().to_str().unwrap()), "{at}");
    let mut wait = place.gateway(["wait", "--ready"]);
    wait.env("GATEWAY_DIR", &dir).env("XDG_RUNTIME_DIR", runtime.dir());
    assert_eq!(Running::start(&mut wait).end().code(), 0);
}

#[test]
fn a_child_in_another_network_namespace_is_heard() {
    if !std::process::Command::new("unshare").args(["--net", "true"]).status().is_ok_and(|s| s.success()) {
        eprintln!("left out: `unshare --net` does not work here");
        return;
    }
    let place = Place::new();
    let mut args = args(&["--notify"], "say('READY=1'); last()");
    let at = args.iter().position(|word| word == "--").unwrap() + 1;
    args.splice(at..at, ["unshare", "--net"].map(str::to_owned));
    let _holder = Running::start(&mut place.gateway(args));
    assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
}

#[test]
fn notify_and_watchdog_are_nothing_without_a_program() {
    let place = Place::new();
    for args in
        [&["run", "--notify"][..], &["run", "--watchdog", "1s"], &["run", "--watchdog", "0", "--", "true"]]
    {
        assert_eq!(place.finish(args).code(), 64, "{args:?}");
    }
}
