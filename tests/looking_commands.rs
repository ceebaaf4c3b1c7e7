//! The commands that look: `status`, `doctor`, `history` and `ping`, on the built program.
//!
//! What they say besides (usage, hints, help, other users) is in `said_by_commands.rs`.

#![allow(clippy::unwrap_used, reason = "a test fails so")]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use support::{Player, WATCHDOG, directory, gateway, os, told};

#[test]
fn role() {
    support::play();
}

const STATUS_KEYS: &[&str] =
    &["schema", "name", "dir", "state", "holder", "answered_us", "claiming", "previous", "problem"];
const HOLDER_KEYS: &[&str] = &[
    "pid",
    "pid_source",
    "generation",
    "started_at",
    "uptime_s",
    "version",
    "command",
    "instance_id",
    "note",
    "busy",
    "supervisor",
    "rss_bytes",
    "cpu_percent",
    "lag_us",
    "child",
];
const PREVIOUS_KEYS: &[&str] = &["pid", "generation", "started_at", "ended_at", "end"];
const HISTORY_KEYS: &[&str] =
    &["generation", "instance_id", "pid", "version", "command", "started_at", "ended_at", "end"];

fn has_exactly(object: &Value, keys: &[&str]) {
    let found: BTreeSet<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(found, keys.iter().copied().collect());
}

/// The one object on the one line that `status --json` prints.
fn status_json(dir: &Path, name: &str) -> (i32, Value) {
    let (code, out, err) =
        told(&mut gateway(dir, &["--name", name, "status", "--json", "--timeout", "300ms"]));
    assert_eq!(err, "");
    assert_eq!(out.matches('\n').count(), 1, "{out}");
    let status: Value = serde_json::from_str(&out).unwrap();
    has_exactly(&status, STATUS_KEYS);
    (code, status)
}

#[test]
fn nobody_is_absent_and_nothing_is_made() {
    let dir = directory();
    let inner = dir.path().join("not made");
    let (code, status) = status_json(&inner, "a");
    assert_eq!((code, &status["state"], &status["holder"]), (3, &"absent".into(), &Value::Null));
    assert_eq!(told(&mut gateway(&inner, &["status"])).0, 3);
    assert_eq!(told(&mut gateway(&inner, &["doctor"])).0, 3);
    assert_eq!(told(&mut gateway(&inner, &["ping"])).0, 3);
    assert_eq!(told(&mut gateway(&inner, &["status", "--all"])).0, 3);
    assert_eq!(told(&mut gateway(&inner, &["history"])).0, 0);
    assert!(!inner.exists());
}

#[test]
fn a_ready_holder_is_shown_in_full() {
    let dir = directory();
    let mut holder = Player::holder(dir.path(), "a");
    holder.tell("note connected to 4 platforms");
    holder.tell("work");
    let (code, status) = status_json(dir.path(), "a");
    assert_eq!(code, 0);
    let shown = &status["holder"];
    has_exactly(shown, HOLDER_KEYS);
    assert_eq!(status["schema"], 1);
    assert_eq!(status["name"], "a");
    assert_eq!(status["dir"], os::shown(dir.path()));
    assert_eq!(status["state"], "ready");
    assert_eq!(shown["pid"], holder.pid());
    assert_eq!(shown["note"], "connected to 4 platforms");
    assert_eq!(shown["version"], "1.2.3");
    assert_eq!(shown["busy"], 1);
    assert!(shown["uptime_s"].is_f64() && (shown["cpu_percent"].is_f64() || shown["cpu_percent"].is_null()));
    assert!(shown["generation"].is_u64() && status["answered_us"].is_u64() && shown["rss_bytes"].is_u64());
    assert!(shown["started_at"].as_str().unwrap().ends_with('Z'));
    assert!(shown["command"].as_array().unwrap().iter().all(Value::is_string));
    assert_eq!(shown["instance_id"].as_str().unwrap().len(), 32);
    for none in ["supervisor", "lag_us", "child"] {
        assert_eq!(shown[none], Value::Null, "{none}");
    }
    for none in ["claiming", "previous", "problem"] {
        assert_eq!(status[none], Value::Null, "{none}");
    }
    let (code, out, err) = told(&mut gateway(dir.path(), &["--name", "a", "status"]));
    assert_eq!((code, err.as_str()), (0, ""));
    for line in
        ["state        ready\n", "note         connected to 4 platforms\n", "busy         1 in flight\n"]
    {
        assert!(out.contains(line), "{line:?} in {out}");
    }
}

#[test]
fn a_killed_holder_crashed_and_a_released_one_did_not() {
    let dir = directory();
    let mut holder = Player::holder(dir.path(), "a");
    holder.kill();
    let (code, status) = status_json(dir.path(), "a");
    assert_eq!((code, &status["state"], &status["holder"]), (1, &"crashed".into(), &Value::Null));
    has_exactly(&status["previous"], PREVIOUS_KEYS);
    assert_eq!(status["previous"]["end"], "crashed");
    assert_eq!(status["previous"]["pid"], holder.pid());
    assert_eq!(status["previous"]["ended_at"], Value::Null);

    let mut next = Player::holder(dir.path(), "a");
    let (code, status) = status_json(dir.path(), "a");
    assert_eq!((code, &status["previous"]["end"]), (0, &"crashed".into()));
    next.tell("release");
    let (code, status) = status_json(dir.path(), "a");
    assert_eq!(
        (code, &status["state"], &status["previous"]["end"]),
        (3, &"absent".into(), &"released".into())
    );
    assert!(status["previous"]["ended_at"].is_string());
}

#[test]
fn a_stopped_holder_is_named_by_the_kernel_within_the_timeout() {
    let dir = directory();
    let holder = Player::holder(dir.path(), "a");
    holder.stop();
    let began = Instant::now();
    let (code, status) = status_json(dir.path(), "a");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!((code, &status["state"]), (4, &"unresponsive".into()));
    has_exactly(&status["holder"], HOLDER_KEYS);
    assert_eq!(status["holder"]["pid"], holder.pid());
    assert_eq!(status["holder"]["pid_source"], "kernel");
    assert_eq!(status["holder"]["generation"], Value::Null);
    assert!(status["problem"].as_str().unwrap().contains(os::SUSPENDED));

    // What it says helps, does.
    let (_, _, err) = told(&mut gateway(dir.path(), &["--name", "a", "status", "--timeout", "100ms"]));
    assert!(err.contains(&os::continues(holder.pid())), "{err}");
    os::resume(holder.pid());
    assert_eq!(status_json(dir.path(), "a").1["state"], "ready");
}

#[cfg(unix)] // elsewhere only who says so of itself is known to claim: `takeover.rs`
#[test]
fn who_claims_is_shown() {
    let dir = directory();
    let claimer = Player::claimer(dir.path(), "a");
    let (code, status) = status_json(dir.path(), "a");
    assert_eq!((code, &status["claiming"]["pid"]), (3, &claimer.pid().into()));
    has_exactly(&status["claiming"], &["pid"]);
    let (_, out, _) = told(&mut gateway(dir.path(), &["--name", "a", "status"]));
    assert!(out.contains(&format!("claiming  pid {} (", claimer.pid())), "{out}");
}

#[test]
fn all_instances_are_listed_by_name() {
    let dir = directory();
    let _b = Player::holder(dir.path(), "b");
    let mut c = Player::holder(dir.path(), "c");
    c.kill();
    fs::write(dir.path().join("a.json"), "{ broken").unwrap();
    fs::write(dir.path().join("Not A Name.pid"), "").unwrap();
    let (code, out, _) = told(&mut gateway(dir.path(), &["status", "--all", "--json"]));
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seen: Vec<_> =
        lines.iter().map(|it| (it["name"].as_str().unwrap(), it["state"].as_str().unwrap())).collect();
    assert_eq!((code, seen), (0, vec![("a", "absent"), ("b", "ready"), ("c", "crashed")]));
    let (code, out, _) = told(&mut gateway(dir.path(), &["status", "--all"]));
    assert_eq!((code, out.lines().count()), (0, 3));
    assert!(out.lines().nth(1).unwrap().starts_with("b  ready "), "{out}");
}

#[test]
fn history_tells_each_generation_and_which_one_runs() {
    let dir = directory();
    for order in ["kill", "release"] {
        let mut holder = Player::holder(dir.path(), "a");
        if order == "kill" { holder.kill() } else { holder.tell("release") }
    }
    let running = Player::holder(dir.path(), "a");
    let entries = || {
        let (code, out, err) = told(&mut gateway(dir.path(), &["--name", "a", "history", "--json"]));
        assert_eq!((code, err.as_str()), (0, ""));
        let entries: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for entry in &entries {
            has_exactly(entry, HISTORY_KEYS);
        }
        entries
    };
    let ends = |entries: Vec<Value>| entries.iter().map(|it| it["end"].clone()).collect::<Vec<_>>();
    assert_eq!(ends(entries()), ["crashed".into(), "released".into(), Value::Null]);
    assert_eq!(entries()[2]["ended_at"], Value::Null);
    assert!(entries().windows(2).all(|two| two[0]["generation"].as_u64() < two[1]["generation"].as_u64()));
    running.stop(); // it says nothing, and its lock still does
    assert_eq!(ends(entries())[2], Value::Null);
    drop(running);
    assert_eq!(ends(entries())[2], "crashed");

    let (_, out, _) = told(&mut gateway(dir.path(), &["--name", "a", "history"]));
    assert_eq!(out.lines().count(), 4, "{out}");
    assert!(out.lines().last().unwrap().contains("  crashed"), "{out}");
}

#[test]
fn doctor_ends_in_one_sentence() {
    let dir = directory();
    let mut holder = Player::holder(dir.path(), "a");
    let check = |code: i32, verdict: &str, sentence: &str| {
        let (got, out, _) = told(&mut gateway(dir.path(), &["--name", "a", "doctor"]));
        let mut lines = out.lines().rev();
        let last = lines.next().unwrap();
        assert!(last.starts_with("`a` is ") && last.ends_with('.') && last.contains(sentence), "{out}");
        assert_eq!((got, lines.next()), (code, Some(verdict)), "{out}");
        for what in
            ["directory", "pid file", "instance lock", "claim lock", "socket", "hail", "record", "history"]
        {
            assert!(out.lines().any(|line| line.starts_with(what)), "{what} in {out}");
        }
    };
    check(0, "verdict: alive", "is ready");
    holder.stop();
    check(4, "verdict: alive", os::SUSPENDED);
    holder.kill();
    check(1, "verdict: dead", "is not running");
}

#[test]
fn looking_leaves_the_files_as_they_were() {
    let dir = directory();
    let mut holder = Player::holder(dir.path(), "a");
    let commands: [&[&str]; 7] = [
        &["status"],
        &["status", "--json"],
        &["status", "--all"],
        &["doctor"],
        &["history"],
        &["ping", "-c", "1"],
        &["status", "--timeout", "0"],
    ];
    let look =
        || commands.iter().for_each(|args| drop(told(gateway(dir.path(), args).env("GATEWAY_NAME", "a"))));
    for killed in [false, true] {
        if killed {
            holder.kill();
        }
        let before = facts(dir.path());
        look();
        assert_eq!(facts(dir.path()), before);
    }
}

/// Every file of a directory: bytes, and what else the system says of it. Connecting to a socket is an access to it.
fn facts(dir: &Path) -> Vec<(String, Vec<u8>, Vec<i64>)> {
    let mut all: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let is_file = path.symlink_metadata().unwrap().is_file();
            let numbers = os::file_facts(&path);
            let bytes = if is_file { os::silent_read(&path) } else { Vec::new() };
            (path.display().to_string(), bytes, numbers)
        })
        .collect();
    all.sort();
    all
}

#[test]
fn ping_measures_and_says_who_is_missing() {
    let dir = directory();
    let mut holder = Player::holder(dir.path(), "a");
    let ping = |args: &[&str]| {
        told(gateway(dir.path(), &["ping", "--timeout", "200ms"]).args(args).env("GATEWAY_NAME", "a"))
    };
    let (code, out, _) = ping(&["-c", "3", "-i", "1ms"]);
    assert_eq!(code, 0, "{out}");
    assert_eq!(out.matches(&format!("pong from pid {}: seq=", holder.pid())).count(), 3, "{out}");
    assert!(
        out.contains("--- a ping statistics ---\n3 sent, 3 answered\nround trip min/avg/max/mdev = "),
        "{out}"
    );
    holder.stop();
    let (code, out, err) = ping(&["-c", "2", "-i", "1ms"]);
    assert_eq!((code, out.matches("no answer: seq=").count()), (4, 2), "{out}");
    assert!(err.contains(os::SUSPENDED) && err.contains(&os::continues(holder.pid())), "{err}");
    holder.kill();
    assert_eq!(ping(&[]).0, 3);
}

/// A program that runs until the test has seen enough; killed at the end.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    fn start(dir: &Path, args: &[&str]) -> Self {
        let mut command = gateway(dir, args);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out: BufReader<ChildStdout> = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Self { child, lines }
    }

    fn next(&self) -> String {
        self.lines.recv_timeout(WATCHDOG).unwrap()
    }

    /// Reads on until a line has this in it.
    fn until(&self, part: &str) -> String {
        std::iter::repeat_with(|| self.next()).find(|line| line.contains(part)).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn ping_goes_on_over_a_new_holder_and_sums_up_when_interrupted() {
    let dir = directory();
    let mut first = Player::holder(dir.path(), "a");
    let mut ping = Running::start(dir.path(), &["--name", "a", "ping", "-i", "20ms", "--timeout", "1s"]);
    ping.until("pong from");
    first.kill();
    ping.until("nobody holds it: seq=");
    let second = Player::holder(dir.path(), "a");
    ping.until(&format!("another holds it now: pid {}", second.pid()));
    ping.until(&format!("pong from pid {}", second.pid()));
    os::interrupt(ping.child.id());
    ping.until("--- a ping statistics ---");
    ping.until("round trip");
    assert_eq!(ping.child.wait().unwrap().code(), Some(0));
}

#[test]
fn watch_tells_every_change_over_a_restart() {
    let dir = directory();
    let watch =
        Running::start(dir.path(), &["--name", "a", "status", "--watch", "--json", "--timeout", "200ms"]);
    let state =
        |line: &str| serde_json::from_str::<Value>(line).unwrap()["state"].as_str().unwrap().to_owned();
    assert_eq!(state(&watch.next()), "absent");
    let mut first = Player::holder(dir.path(), "a");
    watch.until("\"state\":\"ready\"");
    first.tell("note one");
    let line = watch.until("\"note\":\"one\"");
    assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["holder"]["pid"], first.pid());
    first.stop();
    watch.until("\"state\":\"unresponsive\""); // on a busy machine it may have been late before, too
    os::resume(first.pid());
    watch.until("\"state\":\"ready\"");
    first.kill();
    assert_eq!(state(&watch.until("\"state\":\"crashed\"")), "crashed");
    let second = Player::holder(dir.path(), "a");
    let line = watch.until(&format!("\"pid\":{}", second.pid()));
    assert!(["starting", "ready"].contains(&state(&line).as_str()), "{line}");
}

#[cfg(unix)] // elsewhere nobody can delete the pid file of a holder
#[test]
fn a_silent_listener_without_the_lock_is_neither_alive_nor_dead() {
    let dir = directory();
    let holder = Player::holder(dir.path(), "a");
    holder.stop();
    fs::remove_file(dir.path().join("a.pid")).unwrap(); // its lock is on a file that no path names any more
    let (code, status) = status_json(dir.path(), "a");
    assert_eq!((code, &status["state"]), (4, &"unknown".into()));
    assert_eq!(status["holder"]["pid"], holder.pid());
    assert_eq!(
        (&status["previous"]["end"], &status["previous"]["pid"]),
        (&Value::Null, &holder.pid().into())
    );
    let (code, out, err) = told(&mut gateway(dir.path(), &["--name", "a", "doctor"]));
    assert_eq!(code, 4);
    assert!(out.contains("\nverdict: can't tell\ncannot tell whether `a` is running: "), "{out}");
    assert!(err.contains(&os::continues(holder.pid())), "{err}");
}

#[test]
fn a_holder_that_cannot_write_its_record_is_told_of_by_history_and_doctor() {
    let dir = directory();
    fs::create_dir(dir.path().join("a.json~")).unwrap(); // where the record is written before it is renamed
    let holder = Player::holder(dir.path(), "a");
    let (code, out, err) = told(&mut gateway(dir.path(), &["--name", "a", "history"]));
    assert_eq!((code, out.as_str()), (0, ""));
    let said = format!("gateway: `a` is held by pid {}, of which there is no record\n", holder.pid());
    assert!(err.contains(&said) && !err.contains("nobody has held"), "{err}");
    let (_, status) = status_json(dir.path(), "a");
    let (_, out, _) = told(&mut gateway(dir.path(), &["--name", "a", "doctor"]));
    let problem = out.lines().find(|line| line.starts_with("problem ")).unwrap();
    assert!(problem.contains(status["problem"].as_str().unwrap()), "{problem}");
}

#[test]
fn a_crash_is_said_to_be_so_long_ago_and_no_foreign_clock_is_shown() {
    let dir = directory();
    Player::holder(dir.path(), "a").kill();
    let (_, out, _) = told(&mut gateway(dir.path(), &["--name", "a", "doctor"]));
    assert!(out.lines().last().unwrap().contains(" ago), ended without releasing it"), "{out}");
    let clock =
        |text: &str| text.split([' ', '(', ')']).any(|word| word.contains('T') && word.ends_with('Z'));
    assert!(!clock(&out), "{out}");
    let (_, out, _) = told(&mut gateway(dir.path(), &["--name", "a", "status"]));
    assert!(out.contains(" ago), ended") && !clock(&out), "{out}");
}

#[test]
fn a_history_that_cannot_be_read_is_not_called_an_empty_one() {
    let dir = directory();
    let history = || told(&mut gateway(dir.path(), &["--name", "a", "history"]));
    assert!(history().2.contains("nobody has held `a` yet"));
    for file in ["a.json", "a.history"] {
        std::fs::write(dir.path().join(file), "garbage\n").unwrap();
    }
    let (code, _, said) = history();
    assert!(code == 0 && said.contains("broken") && !said.contains("nobody has held"), "{said}");
}
