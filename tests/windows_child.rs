//! The child on Windows, on the built `gateway.exe`: all that it starts is in a job, which ends with `gateway`, however that
//! ends; nothing of it runs beside the next one; how it is asked to stop, and how it says how it is.
#![cfg(windows)]
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use gateway::{PROGRAM, Place, Running, WATCHDOG};
use incumbent::{ChildLock, ChildLockOptions, Claim, Instance, Process};
use os::is_there;

/// The command line of this binary as a program that does this.
fn program(does: &str) -> Vec<String> {
    let own = std::env::current_exe().unwrap().into_os_string().into_string().unwrap();
    [&own, "role", &format!("does:{does}"), "--exact", "--nocapture", "--test-threads=1"]
        .map(str::to_owned)
        .into()
}

fn run(options: &[&str], does: &str) -> Vec<String> {
    let words = ["run"].iter().chain(options).chain(&["--"]).map(|word| (*word).to_owned());
    words.chain(program(does)).collect()
}

/// Starts another program that does this, from within one.
fn start(does: &str) -> Child {
    let words = program(does);
    os::spawn(Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()))
}

fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "\n{what}"); // on a line of its own: the harness has begun one
    let _ = out.flush();
}

fn last() -> ! {
    loop {
        sleep(Duration::from_secs(1000));
    }
}

/// Says something where the child of a `gateway` says how it is.
fn tell(what: &str) {
    let mut pipe = OpenOptions::new().write(true).open(std::env::var_os("NOTIFY_SOCKET").unwrap()).unwrap();
    pipe.write_all(what.as_bytes()).unwrap();
}

/// The test that plays the programs.
#[test]
fn role() {
    let Some(does) = std::env::args().find_map(|word| word.strip_prefix("does:").map(str::to_owned)) else {
        return;
    };
    os::be_asked();
    let (verb, rest) = does.split_once(' ').unwrap_or((&does, ""));
    match verb {
        // A chain of so many, each with a witness that it lives: a lock of its own.
        "family" => {
            let count: u64 = rest.parse().unwrap();
            let dir = std::path::PathBuf::from(std::env::var_os("GATEWAY_DIR").unwrap());
            let witness = os::Lock::take(&dir.join("witness"), count);
            if witness.is_err() {
                drop(File::create(dir.join("overlap")).unwrap());
            }
            if count > 1 {
                drop(start(&format!("family {}", count - 1)));
            }
            say(&format!("member {}", std::process::id()));
            last();
        }
        // Leaves one behind, and ends.
        "leave" => {
            #[allow(clippy::zombie_processes, reason = "it is left behind, for gateway to end")]
            let child = start("last");
            say(&format!("left {}", child.id()));
        }
        "deaf" => {
            os::be_deaf();
            say("deaf");
            last();
        }
        // Takes the place of the one that runs it, from within.
        "take-over" => {
            let words = run(&["--replace"], "family 1");
            let mut next = os::spawn(Command::new(PROGRAM).args(words).stderr(Stdio::inherit()));
            next.wait().unwrap();
        }
        // Starts another instance in the background, from within.
        "detach" => {
            let words =
                [&["--name".to_owned(), "inner".to_owned()], &run(&["--detach"], "last")[..]].concat();
            let ended = Command::new(PROGRAM).args(words).output().unwrap();
            say(&format!("detached {}", String::from_utf8_lossy(&ended.stderr).replace('\n', " ")));
            last();
        }
        "notify" => {
            tell("STATUS=warming up");
            say("asleep");
            let _ = std::io::stdin().read_line(&mut String::new());
            tell("READY=1\nSTATUS=serving");
            last();
        }
        "hang" => {
            os::be_deaf();
            tell("READY=1\nWATCHDOG=1");
            last();
        }
        "last" => last(),
        "exit" => {}
        other => panic!("it cannot {other}"),
    }
    #[allow(clippy::exit, reason = "it is a program")] // past the harness, which would say how that went
    std::process::exit(if verb == "exit" { rest.parse().unwrap() } else { 7 });
}

#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + WATCHDOG;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never happened: {what}");
        sleep(Duration::from_millis(5));
    }
}

/// The pids that it prints behind this word.
fn pids(running: &Running, word: &str, count: usize) -> Vec<u32> {
    (0..count).map(|_| running.prints(word)[word.len()..].trim().parse().unwrap()).collect()
}

/// A holder with a family of three, whose witnesses are in its directory.
fn family(place: &Place, options: &[&str]) -> (Running, Vec<u32>) {
    let mut command = place.gateway(run(options, "family 3"));
    let holder = Running::start(command.current_dir(place.dir()));
    holder.says("holding ");
    let members = pids(&holder, "member ", 3);
    (holder, members)
}

#[track_caller]
fn all_gone(members: &[u32]) {
    assert!(!members.iter().any(|&pid| is_there(pid)), "some of {members:?} are left");
}

fn overlapped(dir: &Path) -> bool {
    dir.join("overlap").exists()
}

#[test]
fn all_of_a_family_is_gone_after_a_stop_and_after_a_replacement() {
    let place = Place::new();
    let (holder, members) = family(&place, &[]);
    assert!(members.iter().all(|&pid| is_there(pid)));
    assert_eq!(place.finish(&["stop"]).code(), 0);
    all_gone(&members);
    assert_eq!(holder.end().code(), 0);

    let (old, members) = family(&place, &[]);
    let (new, next) = family(&place, &["--replace"]);
    all_gone(&members);
    assert_eq!(old.end().code(), 0);
    assert!(!overlapped(place.dir()));
    new.terminate();
    assert_eq!(new.end().code(), 0);
    all_gone(&next);
}

#[test]
fn a_killed_gateway_takes_all_of_it_along_and_nothing_of_it_overlaps_the_next() {
    let place = Place::new();
    let (mut holder, mut members) = family(&place, &[]);
    for round in 0..os::rounds(20) {
        os::kill_9(holder.pid());
        let (next, its) = family(&place, &[]);
        assert!(!overlapped(place.dir()), "round {round}");
        all_gone(&members);
        (holder, members) = (next, its);
    }
    os::kill_9(holder.pid());
    eventually("all are gone", || !members.iter().any(|&pid| is_there(pid)));
}

#[test]
fn what_a_child_leaves_behind_is_ended_and_its_code_is_passed_on() {
    let place = Place::new();
    let holder = place.hold(&run(&["--grace", "5s"], "leave"));
    let left = pids(&holder, "left ", 1);
    let ended = holder.end();
    assert_eq!(ended.code(), 7, "{ended:?}");
    assert!(ended.stderr.contains("left behind: pid "), "{ended:?}");
    all_gone(&left);
}

#[test]
fn a_stop_signal_is_a_break_or_the_end() {
    let place = Place::new();
    for signal in ["BREAK", "term", "SIGTERM"] {
        let holder = place.hold(&run(&["--stop-signal", signal], "family 1"));
        holder.prints("member ");
        assert_eq!(place.finish(&["stop"]).code(), 0);
        let ended = holder.end();
        assert!(ended.code() == 0 && ended.stderr.contains("stopping: CTRL_BREAK to pid "), "{ended:?}");
    }
    let holder = place.hold(&run(&["--stop-signal", "KILL"], "deaf"));
    holder.prints("deaf");
    let began = Instant::now();
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
    assert!(began.elapsed() < Duration::from_secs(20));
    let ended = place.finish(&run(&["--stop-signal", "HUP"], "last"));
    assert!(ended.code() == 64 && ended.stderr.contains("say BREAK"), "{ended:?}");
}

#[test]
fn a_child_that_is_deaf_is_killed_after_its_grace() {
    let place = Place::new();
    let holder = place.hold(&run(&["--grace", "200ms"], "deaf"));
    holder.prints("deaf");
    assert_eq!(place.finish(&["stop"]).code(), 0);
    let ended = holder.end();
    assert!(ended.code() == 137 && ended.stderr.contains("did not stop within"), "{ended:?}");
}

#[test]
fn a_second_ctrl_c_kills() {
    if !os::is_wine() {
        return os::left_out(
            "Ctrl-C twice: a test has no console of its own on which only one program hears it",
        );
    }
    let place = Place::new();
    let holder = place.hold(&run(&[], "deaf"));
    holder.prints("deaf");
    holder.interrupt();
    holder.says("stopping: CTRL_BREAK");
    holder.interrupt();
    let ended = holder.end();
    assert!(ended.code() == 137 && ended.stderr.contains("was interrupted twice"), "{ended:?}");
}

#[test]
fn a_lock_is_shown_with_who_keeps_it_and_lasts_as_long_as_they_do() {
    let place = Place::new();
    let options = ChildLockOptions::default().grace(Duration::from_millis(50));
    let instance = Instance::new("a").and_then(|a| a.in_dir(place.dir())).unwrap();
    let Ok(Claim::Won(holder)) = instance.claim_blocking() else { panic!("not won") };
    let mut keeper = {
        let lock = holder.child_lock_blocking(&options, |_| {}).unwrap();
        assert!(holder.child_lock_blocking(&options, |_| {}).is_err(), "it is had once");
        let words = program("deaf");
        ChildLock::spawn(&[lock], Command::new(&words[0]).args(&words[1..]).stdout(Stdio::piped())).unwrap()
    };
    let mut lines = BufReader::new(keeper.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "deaf"));
    let mut shown = Vec::new();
    let show = |left: &[Process]| shown.push(left.iter().map(|it| it.pid).collect::<Vec<_>>());
    drop(holder.child_lock_blocking(&options, show).unwrap());
    assert_eq!(shown, [[keeper.id()]]);
    assert_eq!(keeper.wait().unwrap().code(), Some(137));
    let unknown = holder.child_lock_blocking(&options.stop_signal(4242), |_| {}).unwrap_err();
    assert!(matches!(unknown, incumbent::Error::Io { .. }), "{unknown}");
    holder.release_blocking().unwrap();
}

#[test]
fn a_code_without_room_is_said_and_never_a_success() {
    let place = Place::new();
    for (code, passed_on) in [(0, 0), (3, 3), (255, 255), (256, 255), (0x1_0000, 255), (-1, 255)] {
        let ended = place.finish(&run(&[], &format!("exit {code}")));
        assert_eq!(ended.code(), passed_on, "{code}: {ended:?}");
        let said = format!("ended with the code {code:#x}");
        assert_eq!(ended.stderr.contains(&said), u8::try_from(code).is_err(), "{ended:?}");
    }
    let crash = 0xC000_0005_u32.cast_signed(); // an access violation
    let ended = place.finish(&run(&[], &format!("exit {crash}")));
    assert!(ended.code() == 255 && ended.stderr.contains("0xc0000005"), "{ended:?}");
}

#[test]
fn one_that_takes_over_from_inside_lives_on_when_what_it_replaced_is_gone() {
    let place = Place::new();
    let mut command = place.gateway(run(&["--grace", "2s"], "take-over"));
    let mut old = Running::start(command.current_dir(place.dir()));
    old.says("holding ");
    let members = pids(&old, "member ", 1);
    let ended = old.wait(); // what lives on has its output
    assert!(matches!(ended.code(), Some(0 | 137)), "{ended:?}");
    let status = place.finish(&["status", "--json"]);
    assert!(status.code() == 0 && status.stdout.contains(&format!("\"pid\":{}", members[0])), "{status:?}");
    assert!(is_there(members[0]));
    assert_eq!(place.finish(&["stop"]).code(), 0);
    all_gone(&members);
}

#[test]
fn a_background_holder_that_cannot_leave_the_callers_job_says_so_and_ends_with_it() {
    let place = Place::new();
    let holder = place.hold(&run(&[], "detach"));
    let said = holder.prints("detached ");
    assert!(said.contains("stays in the job of its caller"), "{said}");
    let inner = place.finish(&["--name", "inner", "status", "--json"]);
    assert_eq!(inner.code(), 0, "{inner:?}");
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
    assert_ne!(place.finish(&["--name", "inner", "status"]).code(), 0);
}

#[test]
fn a_child_says_at_its_pipe_how_it_is() {
    let place = Place::new();
    let mut holder = place.hold(&run(&["--notify"], "notify"));
    holder.prints("asleep");
    eventually("the note is there", || place.finish(&["status", "--json"]).stdout.contains("warming up"));
    let status = place.finish(&["status", "--json"]).stdout;
    assert!(status.contains("\"state\":\"starting\""), "{status}");
    holder.type_line("go on");
    assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
    eventually("the note is another", || place.finish(&["status", "--json"]).stdout.contains("serving"));
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn a_watch_that_nobody_reads_any_more_ends_though_nothing_happens() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    let mut watch = place.gateway(["status", "--watch"]);
    let mut watch = os::spawn(watch.stdin(Stdio::null()).stdout(Stdio::piped()));
    let mut line = String::new();
    let mut out = BufReader::new(watch.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    assert!(line.contains("ready"), "{line}");
    assert!(watch.try_wait().unwrap().is_none());
    drop(out);
    eventually("it has ended", || watch.try_wait().unwrap().is_some());
    assert_eq!(watch.wait().unwrap().code(), Some(0));
    holder.interrupt();
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn a_child_that_hangs_is_ended_for_that() {
    let place = Place::new();
    let ended = place.finish(&run(&["--watchdog", "300ms", "--grace", "200ms"], "hang"));
    assert_eq!(ended.code(), 134, "{ended:?}");
    assert!(ended.stderr.contains("is hung: no WATCHDOG=1"), "{ended:?}");
}
