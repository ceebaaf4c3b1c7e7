//! `run --detach` on the built program: when it returns, with what, and what the background process keeps.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/stand_in.rs"]
mod stand_in;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    sync::mpsc::channel,
    time::{Duration, Instant, SystemTime},
};

use gateway::{Ended, Place, Running, WATCHDOG};
use os::is_there;

#[test]
fn stand_in() {
    stand_in::play();
}

/// The background process, ended and reaped with its test.
struct Background {
    pid: u32,
}

impl Background {
    /// Of the line that says that it was started.
    fn of(ended: &Ended) -> Self {
        assert_eq!(ended.code(), 0, "{ended:?}");
        let line = ended.stderr.lines().find(|line| line.starts_with("started ")).unwrap_or_default();
        let (_, rest) = line.split_once("in the background: pid ").unwrap_or_else(|| panic!("{ended:?}"));
        Self { pid: rest.split(',').next().unwrap().parse().unwrap() }
    }

    fn start(place: &Place, args: &[String]) -> (Self, Ended) {
        adopt_orphans();
        let ended = place.finish(args);
        (Self::of(&ended), ended)
    }

    /// Its number may be another's by now.
    fn reaped(self) {
        assert!(!is_there(self.pid));
        std::mem::forget(self);
    }

    fn reap(&self) {
        #[cfg(unix)]
        assert!(nix::sys::wait::waitpid(gateway::pid_of(self.pid), None).is_ok());
        #[cfg(windows)]
        eventually("it has ended", || !is_there(self.pid));
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if is_there(self.pid) {
            os::kill_9(self.pid);
        }
        #[cfg(unix)]
        let _ = nix::sys::wait::waitpid(gateway::pid_of(self.pid), None);
    }
}

/// So that the background processes can be reaped here.
fn adopt_orphans() {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_child_subreaper(true).unwrap();
}

/// Waits for something of which the system gives no event.
#[track_caller]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + WATCHDOG;
    let (_never, pause) = channel::<()>();
    while !is_so() {
        assert!(Instant::now() < deadline, "it never happened: {what}");
        let _ = pause.recv_timeout(Duration::from_millis(5));
    }
}

fn log(place: &Place) -> PathBuf {
    place.dir().join("gateway.log")
}

/// Waits until a file has a line of these words; PROGRAM's harness has written there, too.
fn has_line(path: &Path, line: &str) {
    eventually(line, || fs::read_to_string(path).is_ok_and(|text| text.lines().any(|found| found == line)));
}

/// Twenty starts that were a moment ago: with `--max-starts 200/100h` the next one pauses for half an hour.
fn was_started_often(place: &Place) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    let line = |n: i64| {
        let at = jiff::Timestamp::from_second(now - 30 + n).unwrap();
        format!(
            "{{\"generation\":{n},\"instance_id\":\"{n:032x}\",\"pid\":1,\"started_at\":\"{at}\",\"end\":\"crashed\"}}\n"
        )
    };
    fs::write(place.dir().join("gateway.history"), (0..20).map(line).collect::<Vec<_>>().concat()).unwrap();
}

/// A detached run that pauses before its PROGRAM is started: it holds, and is not ready.
fn pausing(place: &Place) -> (Running, Background) {
    adopt_orphans();
    was_started_often(place);
    let waiting = place.start(&stand_in::run(&["--detach", "--max-starts", "200/100h"], "last"));
    waiting.says("waiting 30 min before the next start: 20 starts within 4 d");
    let pid = fs::read_to_string(place.dir().join("gateway.pid")).unwrap();
    (waiting, Background { pid: pid.trim().parse().unwrap() })
}

#[test]
fn it_returns_when_ready_and_keeps_no_pipe_of_its_caller() {
    let place = Place::new();
    // Read to the end: whoever kept a pipe of it open would hold this up.
    let (background, ended) = Background::start(&place, &stand_in::run(&["--detach"], "speak out"));
    assert!(ended.stdout.is_empty(), "{ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{ended:?}");
    assert!(lines[0].starts_with("holding `gateway` in "), "{ended:?}");
    let (start, output) = lines[1].split_once("; output in ").unwrap();
    assert!(
        start.starts_with("started `gateway` in the background: pid ")
            && (start.contains(", ready after ") || start.contains(", running after "))
    );
    assert_eq!(output, os::shown(&log(&place)));

    let status = place.finish(&["status", "--json"]).stdout;
    assert!(status.contains(&format!("\"pid\":{},", background.pid)), "{status}");
    assert!(status.contains("\"state\":\"ready\""), "{status}");
    has_line(&log(&place), "out");
    has_line(&log(&place), "err");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(log(&place)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert!(fs::read_to_string(log(&place)).unwrap().contains("stopping: "), "it goes on to speak there");
}

#[test]
fn a_refused_start_leaves_the_log_of_the_one_that_runs_and_the_next_one_begins_anew() {
    let place = Place::new();
    let detach =
        |word: &str| Background::start(&place, &stand_in::run(&["--detach"], &format!("speak {word}")));
    let (first, _) = detach("precious");
    has_line(&log(&place), "precious");
    let before = fs::read_to_string(log(&place)).unwrap();
    let refused = place.finish(&["run", "--detach", "--", os::TRUE]);
    assert_eq!(refused.code(), 75, "{refused:?}");
    assert!(refused.stderr.contains(&format!("already running: pid {}", first.pid)), "{refused:?}");
    let fine = place.finish(&["run", "--detach", "--if-running", "ok", "--", os::TRUE]);
    assert_eq!(fine.code(), 0, "{fine:?}");
    assert!(!fine.stderr.contains("started"), "{fine:?}");
    assert_eq!(fs::read_to_string(log(&place)).unwrap(), before);

    assert_eq!(place.finish(&["stop"]).code(), 0);
    let (_second, _) = detach("new");
    has_line(&log(&place), "new");
    assert!(!fs::read_to_string(log(&place)).unwrap().contains("precious"));
}

#[test]
fn what_ends_before_it_is_ready_ends_the_caller_with_its_words_and_its_code() {
    let place = Place::new();
    for (program, code, words) in [
        (&["no-such-program"][..], 127, "cannot find the program no-such-program"),
        (&[os::A_DIRECTORY], 126, &format!("cannot run {}: ", os::A_DIRECTORY)),
    ] {
        let ended = place.finish(&[&["run", "--detach", "--"], program].concat());
        assert_eq!(ended.code(), code, "{ended:?}");
        assert!(ended.stderr.contains(words) && !ended.stderr.contains("started"), "{ended:?}");
        assert_eq!(place.finish(&["wait", "--gone", "--timeout", "0"]).code(), 0);
    }
    assert_eq!(place.finish(&["run", "--detach", "--grace", "x"]).code(), 64);
    assert_eq!(place.finish(&["--dir", os::NO_PROGRAM, "run", "--detach"]).code(), 73);
}

#[test]
fn nothing_planted_in_place_of_the_log_is_written_to() {
    let place = Place::new();
    let victim = place.dir().join("victim");
    fs::write(&victim, "precious").unwrap();
    #[cfg(unix)] // only an administrator of Windows can make one
    {
        std::os::unix::fs::symlink(&victim, log(&place)).unwrap();
        let ended = place.finish(&["run", "--detach", "--", "echo", "overwritten"]);
        assert_eq!(ended.code(), 73, "{ended:?}");
        assert!(ended.stderr.contains("a symbolic link is in the way at"), "{ended:?}");
        fs::remove_file(log(&place)).unwrap();
    }
    fs::hard_link(&victim, log(&place)).unwrap();
    assert_eq!(place.finish(&stand_in::run(&["--detach"], "speak overwritten")).code(), 73);
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(place.finish(&["wait", "--gone", "--timeout", "0"]).code(), 0);
}

#[test]
fn output_that_goes_to_a_file_stays_there() {
    let place = Place::new();
    adopt_orphans();
    let out = place.dir().join("out");
    let mut command = place.gateway(stand_in::run(&["--detach"], "speak out"));
    let running = Running::start_with_stdout(&mut command, Stdio::from(File::create(&out).unwrap()));
    let _background = Background::of(&running.end());
    has_line(&out, "out");
    has_line(&log(&place), "err");
}

#[test]
fn output_that_goes_nowhere_needs_no_log() {
    let place = Place::new();
    adopt_orphans();
    let errors = place.dir().join("errors");
    let mut command = place.gateway(stand_in::run(&["--detach"], "last"));
    os::own(&mut command);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&errors).unwrap());
    let status = command.status().unwrap();
    let ended = Ended { status, stdout: String::new(), stderr: fs::read_to_string(&errors).unwrap() };
    let _background = Background::of(&ended);
    assert!(!ended.stderr.contains("output in"), "{ended:?}");
    assert!(!log(&place).exists());
}

#[test]
fn with_wait_it_waits_in_the_background_and_returns_when_it_is_its_turn() {
    let place = Place::new();
    adopt_orphans();
    let holder = place.hold(&["run"]);
    let waiting = place.start(&stand_in::run(&["--detach", "--wait"], "last"));
    let line = waiting.says("waiting");
    assert!(line.contains(&format!("pid {}", holder.pid())), "{line}");
    assert_eq!(place.finish(&["stop"]).code(), 0);
    let _background = Background::of(&waiting.end());
    assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
}

#[test]
fn a_caller_that_is_gone_before_it_is_ready_takes_it_along() {
    let ways: [fn(&Running); 3] =
        [Running::interrupt, Running::terminate, |waiting| os::kill_9(waiting.pid())];
    for end in ways {
        // While it waits for its turn.
        let place = Place::new();
        let _holder = place.hold(&["run"]);
        let waiting = place.start(&["run", "--detach", "--wait"]);
        waiting.says("waiting");
        end(&waiting);
        waiting.end(); // and the end of its standard error, which the background process had too

        // While it holds, and is not ready.
        let place = Place::new();
        let (waiting, background) = pausing(&place);
        end(&waiting);
        waiting.end();
        assert_eq!(place.finish(&["wait", "--gone"]).code(), 0);
        let history = place.finish(&["history", "--json"]).stdout;
        assert!(history.lines().last().unwrap().contains("\"end\":\"released\""), "{history}");
        background.reap();
        background.reaped();
    }
}

#[test]
fn it_holds_while_it_is_not_ready_and_its_end_ends_the_caller() {
    let place = Place::new();
    let (waiting, background) = pausing(&place);
    let status = place.finish(&["status", "--json"]).stdout;
    assert!(status.contains("\"state\":\"starting\"") && status.contains("20 starts within 4 d"), "{status}");
    assert_eq!(place.finish(&["run"]).code(), 75);
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(waiting.end().code(), 0);
    background.reaped();

    let place = Place::new();
    let (waiting, background) = pausing(&place);
    os::kill_9(background.pid);
    let ended = waiting.end();
    assert_eq!(ended.code(), 128 + 9, "{ended:?}");
    assert!(ended.stderr.contains(&format!("pid {} ", background.pid)), "{ended:?}");
    assert!(cfg!(windows) || ended.stderr.contains("died of SIGKILL"), "{ended:?}");
    background.reaped();
}

/// A session, and descriptors that are inherited.
#[cfg(unix)]
mod unix {
    use std::fs::{self, File};

    use nix::{
        sys::stat::Mode,
        unistd::{getsid, mkfifo},
    };

    use super::{
        Background, adopt_orphans,
        gateway::{PROGRAM, Place, Running, pid_of},
    };

    #[test]
    fn it_has_a_session_of_its_own_no_input_and_no_descriptor_of_its_caller() {
        let place = Place::new();
        // A pipe that PROGRAM writes to when it has come so far.
        let fifo = place.dir().join("fifo");
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        adopt_orphans();
        // A lock of somebody else, and a second name for the pipe that is read to its end.
        let lock = place.dir().join("lock");
        File::create(&lock).unwrap();
        let show = format!(
            "{{ pwd; readlink /proc/self/fd/0 /proc/$PPID/fd/0; env | grep DETACH; \
             readlink /proc/self/fd/* /proc/$PPID/fd/*; }} > {}; exec sleep 1000",
            fifo.display()
        );
        fs::write(place.dir().join("show"), show).unwrap();
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", "exec \"$0\" run --detach -- sh ./show 8<lock 9>&1"])
            .arg(PROGRAM)
            .current_dir(place.dir())
            .env("GATEWAY_DIR", place.dir());
        let running = Running::start(&mut shell);
        let background = Background::of(&running.end());
        assert_eq!(getsid(Some(pid_of(background.pid))).unwrap(), pid_of(background.pid));
        let shown = fs::read_to_string(&fifo).unwrap();
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[0], place.dir().canonicalize().unwrap().to_str().unwrap());
        assert_eq!(lines[1..3], ["/dev/null", "/dev/null"], "{shown}");
        assert!(!shown.contains("DETACH") && !shown.contains("/lock"), "{shown}");
    }
}
