//! Many instances, and many messages. What they cost is measured by `cargo bench --bench speed -- scale`; here is what must
//! hold, whatever it costs. Many contenders: `tests/started_at_once.rs`.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;

use std::{path::Path, thread};

use gateway::{Place, Running};
use incumbent::{Claim, Holder, Incumbent, Instance};

/// More than `status --all` asks at once.
const SILENT: usize = if cfg!(windows) { 3 } else { 20 };
/// Three descriptors each, and a process may have 1024.
const MANY: usize = if cfg!(windows) { 50 } else { 250 };
const SENDERS: usize = 8;

fn instance(dir: &Path, name: &str) -> Instance {
    Instance::new(name).unwrap().in_dir(dir).unwrap()
}

fn hold(dir: &Path, name: &str) -> Holder {
    match instance(dir, name).claim_blocking().unwrap() {
        Claim::Won(holder) => holder,
        Claim::Lost(_) => panic!("{name} is held"),
    }
}

fn reach(dir: &Path, name: &str) -> Incumbent {
    match instance(dir, name).claim_blocking().unwrap() {
        Claim::Lost(incumbent) => incumbent,
        Claim::Won(_) => panic!("nobody holds {name}"),
    }
}

/// By the order of what happens, not by the clock: nobody's time is up before the watchdog.
#[test]
fn instances_that_do_not_answer_hold_up_nobody_elses_line() {
    let place = Place::new();
    let answering = place.hold(&["--name", "z1", "run", "--also", "z2"]);
    let silent: Vec<Running> =
        (10..10 + SILENT).map(|number| place.hold(&["--name", &format!("a{number}"), "run"])).collect();
    silent.iter().for_each(Running::stop);
    let all = place.start(&["status", "--all", "--timeout", "10m"]);
    all.prints("z1 ");
    all.prints("z2 ");
    // Only now can they be known; and all of them are shown, too.
    for silent in silent {
        silent.kill();
    }
    let ended = all.end();
    assert_eq!(ended.code(), 0, "{ended:?}");
    let mut late: Vec<&str> = ended.stdout.lines().map(|line| &line[..line.find(' ').unwrap()]).collect();
    late.sort_unstable();
    let expected: Vec<String> = (10..10 + SILENT).map(|number| format!("a{number}")).collect();
    assert_eq!(late, expected, "{ended:?}");
    drop(answering);
}

#[test]
fn hundreds_of_instances_of_one_process_are_held_listed_and_released() {
    let place = Place::new();
    let names: Vec<String> = (0..MANY).map(|number| format!("i{number:03}")).collect();
    let holders: Vec<Holder> = names.iter().map(|name| hold(place.dir(), name)).collect();
    for holder in &holders {
        holder.ready("");
    }
    let ended = place.finish(&["status", "--all"]);
    assert_eq!(ended.code(), 0, "{ended:?}");
    let mut ready: Vec<&str> =
        ended.stdout.lines().filter_map(|line| line.split_once("  ready ")).map(|it| it.0).collect();
    ready.sort_unstable(); // on a very busy machine some are late
    assert_eq!(ready, names, "{ended:?}");
    for holder in holders {
        holder.release_blocking().unwrap();
    }
    let ended = place.finish(&["status", "--all"]);
    assert_eq!((ended.code(), ended.stdout.lines().count()), (3, MANY), "{ended:?}");
}

#[test]
fn of_thousands_of_messages_from_eight_senders_none_is_lost_and_each_ones_order_is_kept() {
    let place = Place::new();
    let holder = hold(place.dir(), "a");
    let mut messages = holder.messages();
    let each = os::rounds(1000);
    thread::scope(|scope| {
        for sender in 0..SENDERS {
            let dir = place.dir();
            scope.spawn(move || {
                let incumbent = reach(dir, "a");
                for number in 0..each {
                    let args = [sender.to_string().into(), number.to_string().into()];
                    let answer = incumbent.send_blocking(&args, dir, Vec::new()).unwrap();
                    assert_eq!(answer.body, number.to_string().into_bytes());
                }
            });
        }
        let mut next = [0; SENDERS];
        for _ in 0..SENDERS * each {
            let message = messages.next_blocking().unwrap();
            let args: Vec<usize> =
                message.args().iter().map(|arg| arg.to_str().unwrap().parse().unwrap()).collect();
            assert_eq!(args[1], next[args[0]], "of sender {}", args[0]);
            next[args[0]] += 1;
            message.answer(0, args[1].to_string());
        }
    });
    holder.release_blocking().unwrap();
    assert!(messages.next_blocking().is_none(), "more than was sent");
}

/// A connection for each would be a hail for each.
#[cfg(target_os = "linux")] // where a process shows its sockets
#[test]
fn one_connection_carries_message_after_message() {
    let place = Place::new();
    let holder = place.hold(&["--name", "a", "run"]);
    let sockets = || {
        let files = std::fs::read_dir(format!("/proc/{}/fd", holder.pid())).unwrap();
        let mut sockets: Vec<_> = files.filter_map(|file| file.unwrap().path().read_link().ok()).collect();
        sockets.retain(|file| file.to_string_lossy().starts_with("socket:"));
        sockets.sort_unstable();
        sockets
    };
    let incumbent = reach(place.dir(), "a");
    let before = sockets();
    for _ in 0..100 {
        incumbent.send_blocking(&["again".into()], place.dir(), Vec::new()).unwrap();
        assert_eq!(sockets(), before);
    }
}

/// Those who say nothing are let go of after ten seconds; nobody waits for that.
#[cfg(target_os = "linux")] // with a limit of descriptors that is set by the shell
#[test]
fn who_comes_to_one_instance_is_heard_though_those_of_others_have_all_descriptors() {
    let place = Place::new();
    let run = format!("ulimit -n 64; exec {} run --name a --also b --also c", os::quoted(gateway::PROGRAM));
    let holder =
        Running::start(std::process::Command::new("sh").arg("-c").arg(run).env("GATEWAY_DIR", place.dir()));
    holder.says("holding ");
    let come = |name: &str| -> Vec<_> {
        let socket = place.dir().join(name).with_extension("sock");
        (0..64).map(|_| std::os::unix::net::UnixStream::connect(&socket).unwrap()).collect()
    };
    let silent = [come("a"), come("b")];
    let status = place.finish(&["--name", "c", "status", "--timeout", "5s"]);
    assert_eq!(status.code(), 0, "{status:?}");
    drop(silent);
}
