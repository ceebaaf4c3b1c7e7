//! What a person sees of a wait: the standard error of the built program is a terminal here, and is read.
#![cfg(unix)] // what is read here is a terminal of Unix; Windows has none that a test could read
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;

use std::{
    fs::{self, File},
    io::Read as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use gateway::{Place, Running, WATCHDOG, pid_of};
use nix::{
    pty::{OpenptyResult, Winsize, openpty},
    sys::{
        signal::{Signal, kill},
        stat::Mode,
    },
    unistd::mkfifo,
};

/// A program whose standard error is a terminal of 120 columns.
struct OnTerminal {
    child: Child,
    bytes: Receiver<Vec<u8>>,
    seen: String,
}

impl OnTerminal {
    fn start(command: &mut Command) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(&size, None).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(slave));
        if command.get_envs().all(|(name, _)| name != "TERM") {
            command.env("TERM", "xterm");
        }
        let child = command.env("LC_ALL", "C.UTF-8").spawn().unwrap();
        command.stderr(Stdio::null()); // the terminal is the child's alone
        let (sender, bytes) = channel();
        thread::spawn(move || {
            let mut master = File::from(master);
            let mut piece = vec![0; 4096];
            // The end of a terminal is an error (EIO).
            while let Ok(count @ 1..) = master.read(&mut piece) {
                if sender.send(piece[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, bytes, seen: String::new() }
    }

    /// Reads until these words have been there; whoever waits in vain sees what was.
    fn shows(&mut self, words: &str) {
        while !self.seen.contains(words) {
            self.shows_more();
        }
    }

    /// Reads until the time that is left has been three different ones.
    fn counts_down(&mut self) {
        let mut times = std::collections::BTreeSet::new();
        while times.len() < 3 {
            let seen = self.seen.len();
            self.shows_more();
            for (at, _) in self.seen[seen..].match_indices(" left)") {
                let before = &self.seen[..seen + at];
                times.insert(before[before.rfind('(').unwrap()..].to_owned());
            }
        }
    }

    fn shows_more(&mut self) {
        match self.bytes.recv_timeout(WATCHDOG) {
            Ok(piece) => self.seen.push_str(&String::from_utf8_lossy(&piece)),
            Err(why) => panic!("no more ({why}) after {:?}", self.seen),
        }
    }

    fn signal(&self, signal: Signal) {
        kill(pid_of(self.child.id()), signal).unwrap();
    }

    /// Reads to the end: what was written, and what is on the screen at last.
    fn end(mut self) -> (ExitStatus, String, Vec<String>) {
        loop {
            match self.bytes.recv_timeout(WATCHDOG) {
                Ok(piece) => self.seen.push_str(&String::from_utf8_lossy(&piece)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it keeps the terminal: {:?}", self.seen),
            }
        }
        let seen = std::mem::take(&mut self.seen);
        (self.child.wait().unwrap(), seen.clone(), screen(&seen))
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a terminal shows when all that was written: lines, carriage returns, and the few sequences that move or erase.
fn screen(written: &str) -> Vec<String> {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0, 0);
    let mut rest = written.chars();
    while let Some(c) = rest.next() {
        match c {
            '\r' => column = 0,
            '\n' => row += 1,
            '\x1b' => {
                let mut sequence = String::new();
                while !sequence.ends_with(|c: char| c.is_ascii_alphabetic()) {
                    sequence.push(rest.next().unwrap());
                }
                match sequence.as_str() {
                    "[2K" => lines[row].clear(),
                    _ => panic!("a sequence that this does not know: {sequence:?} in {written:?}"),
                }
            }
            c => {
                if lines[row].len() <= column {
                    lines[row].resize(column + 1, ' ');
                }
                lines[row][column] = c;
                column += 1;
            }
        }
        if lines.len() <= row {
            lines.resize(row + 1, Vec::new());
        }
    }
    let lines = lines.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

/// A holder whose PROGRAM ends when somebody opens the pipe, and not before.
fn stubborn(place: &Place) -> (Running, std::path::PathBuf) {
    let fifo = place.dir().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let program = format!("trap '' TERM; echo ready; read _ < {}", fifo.display());
    let holder = place.hold(&["run", "--", "sh", "-c", &program]);
    holder.prints("ready");
    (holder, fifo)
}

#[test]
fn a_wait_that_is_soon_over_shows_nothing() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    let began = Instant::now();
    let (status, seen, screen) = OnTerminal::start(&mut place.gateway(["stop"])).end();
    assert!(status.success());
    let was_soon_over = began.elapsed() < Duration::from_millis(500); // on a machine that is not too busy
    assert!(!was_soon_over || !seen.contains('⠋'), "{seen:?}");
    assert_eq!(screen.len(), 1, "{seen:?}");
    assert!(screen[0].starts_with(&format!("stopped `gateway` (pid {}) after", holder.pid())), "{seen:?}");
}

#[test]
fn a_long_wait_shows_what_for_and_how_long_it_has_and_nothing_of_it_stays() {
    let place = Place::new();
    let (holder, fifo) = stubborn(&place);
    let mut stop = OnTerminal::start(place.gateway(["stop", "--grace", "50s"]).env("NO_COLOR", "1"));
    let start = format!("waiting for pid {} to stop: pid ", holder.pid());
    stop.shows(&start);
    // It counts on, though nothing is said meanwhile.
    stop.counts_down();
    fs::write(&fifo, "go\n").unwrap();
    let (status, seen, screen) = stop.end();
    assert!(status.success());
    assert!(seen.contains('⠋') && !seen.contains("[3") && !seen.contains("[0m"), "{seen:?}");
    assert_eq!(screen.len(), 1, "{screen:?}");
    assert!(screen[0].starts_with("stopped `gateway` "), "{screen:?}");
}

#[test]
fn where_no_line_can_be_drawn_anew_lines_are_said_as_ever() {
    let place = Place::new();
    let (holder, fifo) = stubborn(&place);
    let line = format!("pid {} is stopping: pid ", holder.pid());
    let mut dumb = OnTerminal::start(place.gateway(["stop"]).env("TERM", "dumb"));
    let piped = place.start(&["stop"]);
    dumb.shows(&line);
    piped.says(&line);
    fs::write(&fifo, "go\n").unwrap();
    let (_, seen, _) = dumb.end();
    let ended = piped.end();
    for text in [&seen, &ended.stderr] {
        assert!(!text.contains('\x1b') && !text.contains('⠋'), "{text:?}");
        assert!(text.contains("stopped `gateway`"), "{text:?}");
    }
}

#[test]
fn what_is_said_meanwhile_stands_on_lines_of_its_own() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    let mut waiting = OnTerminal::start(&mut place.gateway(["run", "--wait"]));
    let who = format!("pid {}", holder.pid());
    waiting.shows(&format!("waiting for {who} to end ("));
    holder.stop();
    waiting.shows("which is stopped");
    holder.kill();
    waiting.shows("holding ");
    waiting.signal(Signal::SIGTERM);
    let (_, seen, screen) = waiting.end();
    let starts =
        ["waiting: `gateway` is held by ", "waiting: `gateway` is held by ", "holding `gateway` in "];
    assert_eq!(screen.len(), starts.len(), "{screen:?}");
    assert!(screen.iter().zip(starts).all(|(line, start)| line.starts_with(start)), "{screen:?}");
    assert!(!seen.contains("waiting for 1 s already"), "the time is shown: {seen:?}");
}

#[test]
fn wait_shows_for_whom_and_for_how_long() {
    let place = Place::new();
    let mut ready = OnTerminal::start(&mut place.gateway(["wait", "--ready", "--timeout", "50s"]));
    ready.shows("waiting for `gateway` to be ready (4");
    let holder = place.hold(&["run"]);
    let (status, _, screen) = ready.end();
    assert!(status.success() && screen.is_empty(), "{screen:?}");
    let mut gone = OnTerminal::start(&mut place.gateway(["wait", "--gone"]));
    gone.shows(&format!("waiting for pid {} to be gone", holder.pid()));
    holder.kill();
    let (status, _, screen) = gone.end();
    assert!(status.success() && screen.is_empty(), "{screen:?}");
}

#[test]
fn what_the_background_waits_for_is_shown_in_the_foreground() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    let mut waiting = OnTerminal::start(&mut place.gateway(["run", "--detach", "--wait=50s", "--", "false"]));
    waiting.shows(&format!("waiting for pid {} to end (4", holder.pid()));
    assert_eq!(place.finish(&["stop"]).code(), 0);
    let (status, _, screen) = waiting.end();
    assert!(status.success(), "{screen:?}");
    let starts =
        ["waiting at most 50 s: `gateway` is held by ", "holding `gateway` in ", "started `gateway` "];
    assert_eq!(screen.len(), starts.len(), "{screen:?}");
    assert!(screen.iter().zip(starts).all(|(line, start)| line.starts_with(start)), "{screen:?}");
}
