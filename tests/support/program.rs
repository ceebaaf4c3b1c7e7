//! Programs that a test starts: the test binary itself in a role, or any command. Each says on its standard output when
//! something has happened, is awaited with a watchdog, and is killed and reaped with the test.

// Every test file uses its own part of it; what is cut is a constant of the system's.
#![allow(dead_code, unreachable_pub, clippy::cast_possible_truncation)]

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use incumbent::{Claim, Holder, Instance};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Longer than anything takes on a machine that is busy with another build; a test that waits so long has failed.
pub const WATCHDOG: Duration = Duration::from_secs(60);

/// The variable that says which role the test binary is to play.
const ROLE: &str = "INCUMBENT_TEST_ROLE";
/// The variable that says where the role's instance is.
const DIR: &str = "INCUMBENT_TEST_DIR";

/// The role that this process was started in: its name and the instance's directory.
pub fn role() -> Option<(String, PathBuf)> {
    let name = std::env::var(ROLE).ok()?;
    Some((name, std::env::var_os(DIR)?.into()))
}

/// A program that runs.
pub struct Program {
    pub child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Program {
    /// Starts this test binary in a role; its test `role` plays it.
    pub fn role(name: &str, dir: &Path) -> Self {
        Self::start(&mut Self::role_command(name, dir))
    }

    pub fn role_command(name: &str, dir: &Path) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("the test binary has a path"));
        command.args(["role", "--exact", "--nocapture", "--test-threads=1"]).env(ROLE, name).env(DIR, dir);
        command
    }

    /// Starts this test binary in a role under another program, such as `unshare` with its arguments.
    pub fn role_under(wrapper: &[&str], name: &str, dir: &Path) -> Self {
        Self::start(&mut Self::under(wrapper, &Self::role_command(name, dir)))
    }

    /// The command, run by another program.
    pub fn under(wrapper: &[&str], inner: &Command) -> Command {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(inner.get_program()).args(inner.get_args());
        command.envs(inner.get_envs().filter_map(|(name, value)| value.map(|value| (name, value))));
        command
    }

    pub fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("piped");
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                if line.map(|line| send.send(line)).is_err() {
                    return;
                }
            }
        });
        Self { child, stdin, lines, seen: Vec::new() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that begins so, and gives the rest of it.
    #[track_caller]
    pub fn wait_line(&mut self, start: &str) -> String {
        let deadline = Instant::now() + WATCHDOG;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    // The test harness writes its own words before ours on the same line.
                    if let Some(at) = line.find(start) {
                        return line[at + start.len()..].trim().to_owned();
                    }
                    self.seen.push(line);
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no line `{start}` came; before it: {:#?}", self.seen)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended without a line `{start}`: {:#?}", self.seen)
                }
            }
        }
    }

    /// Writes a line to its standard input.
    pub fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("it has a standard input");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("it reads");
    }

    /// Says something and waits for the same word back.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> String {
        self.say(line);
        self.wait_line(&format!("{}:", line.split(' ').next().unwrap_or(line)))
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).expect("a pid")), signal).expect("it is there");
    }

    /// Stops it, and waits until the kernel says that it is stopped.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a pid"));
        nix::sys::wait::waitpid(pid, Some(nix::sys::wait::WaitPidFlag::WUNTRACED)).expect("it stops");
    }

    pub fn kill_9(&mut self) -> ExitStatus {
        self.signal(Signal::SIGKILL);
        self.child.wait().expect("it is reaped")
    }

    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + WATCHDOG;
        loop {
            // Its standard output ends with it; then it can be reaped.
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().expect("it is reaped"),
                Err(RecvTimeoutError::Timeout) => panic!("it did not end; it said {:#?}", self.seen),
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines that the test says to a role.
pub fn orders() -> impl Iterator<Item = String> {
    std::io::stdin().lines().map_while(Result::ok)
}

/// Says something to the test.
pub fn tell(word: impl AsRef<OsStr>) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", word.as_ref().to_string_lossy());
    let _ = out.flush();
}

pub fn instance(dir: &Path) -> Instance {
    Instance::new("a").and_then(|a| a.in_dir(dir)).expect("a valid instance")
}

#[track_caller]
pub fn won(claim: Result<Claim, incumbent::Error>) -> Holder {
    match claim {
        Ok(Claim::Won(holder)) => holder,
        Ok(Claim::Lost(incumbent)) => panic!("lost to pid {:?}", incumbent.pid()),
        Err(error) => panic!("not won: {error}"),
    }
}

#[track_caller]
pub fn lost(claim: Result<Claim, incumbent::Error>) -> incumbent::Incumbent {
    match claim {
        Ok(Claim::Lost(incumbent)) => incumbent,
        Ok(Claim::Won(_)) => panic!("won, although there is a holder"),
        Err(error) => panic!("neither won nor lost: {error}"),
    }
}

/// Waits for something of which the kernel gives no event (a lock that is taken, a file that is back).
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + WATCHDOG;
    let (_never, pause) = channel::<()>();
    while !is_so() {
        assert!(Instant::now() < deadline, "it never happened: {what}");
        let _ = pause.recv_timeout(Duration::from_millis(5));
    }
}

/// Who owns the instance lock, as the kernel tells this process.
pub fn lock_owner(dir: &Path) -> Option<i32> {
    lock_owner_at(&dir.join("a.pid"), 1 << 30)
}

pub fn lock_owner_at(path: &Path, offset: i64) -> Option<i32> {
    use nix::{fcntl, libc};
    let file = std::fs::File::open(path).ok()?;
    let mut range = libc::flock {
        l_type: libc::F_WRLCK as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: offset,
        l_len: 1,
        l_pid: 0,
    };
    fcntl::fcntl(&file, fcntl::FcntlArg::F_GETLK(&mut range)).expect("locks can be asked for");
    (range.l_type != libc::F_UNLCK as i16).then_some(range.l_pid)
}

/// The role of a holder that does what it is told, and says when it is deposed.
pub fn holder(dir: &Path) {
    let instance = instance(dir);
    let mut held = Some(won(instance.claim_blocking()));
    tell(format!("holding {}", held.as_ref().map_or(0, Holder::generation)));
    for order in orders() {
        match order.as_str() {
            // Closing any descriptor of it loses the process's locks on it: the holder is robbed.
            "rob" => drop(std::fs::File::open(dir.join("a.pid")).expect("it is there")),
            "rob-and-stop" => {
                drop(std::fs::File::open(dir.join("a.pid")).expect("it is there"));
                nix::sys::signal::raise(Signal::SIGSTOP).expect("stopped");
            }
            "claim" => drop(lost(instance.claim_blocking())),
            "inspect" => {
                let seen = instance.inspect_blocking(WATCHDOG).expect("it can be looked at");
                assert_eq!(seen.state(), incumbent::State::Starting);
            }
            "holding?" => assert!(held.as_ref().is_some_and(Holder::is_holding)),
            "wait-deposed" => {
                let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
                runtime.block_on(held.as_ref().expect("held").deposed());
            }
            "release" => held.take().expect("once").release_blocking().expect("released"),
            other => panic!("no order {other}"),
        }
        tell(format!("{order}: done"));
    }
}
