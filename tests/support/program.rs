//! Programs that a test starts: the test binary itself in a role, or any command. Each says on its standard output when
//! something has happened, is awaited with a watchdog, and is killed and reaped with the test.

#![allow(dead_code, unreachable_pub)] // every test file uses its own part of it

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use incumbent::{Claim, Holder, Instance};

use crate::os;

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
        os::own(command);
        let mut child = os::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()));
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
        self.wait_line_of(&[start])[start.len()..].trim().to_owned()
    }

    /// Waits for a line that begins in one of these ways, and gives it.
    #[track_caller]
    pub fn wait_line_of(&mut self, starts: &[&str]) -> String {
        let deadline = Instant::now() + WATCHDOG;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    // The test harness writes its own words before ours on the same line.
                    if let Some(at) = starts.iter().find_map(|start| line.find(start)) {
                        return line[at..].to_owned();
                    }
                    self.seen.push(line);
                }
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no line `{starts:?}` came; before it: {:#?}", self.seen)
                }
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("it ended without a line `{starts:?}`: {:#?}", self.seen)
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

    /// Sends a signal.
    #[cfg(unix)]
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.pid()).expect("a pid"));
        nix::sys::signal::kill(pid, signal).expect("it is there");
    }

    /// Asks it to stop, as a person or a service manager does.
    pub fn terminate(&self) {
        os::terminate(self.pid());
    }

    /// Suspends it, and waits until it is.
    pub fn stop(&self) {
        os::suspend(self.pid());
    }

    pub fn resume(&self) {
        os::resume(self.pid());
    }

    /// Ends its standard input, and with it its orders.
    pub fn dismiss(&mut self) {
        drop(self.stdin.take());
    }

    pub fn kill_9(&mut self) -> ExitStatus {
        os::kill_9(self.pid());
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
#[cfg(unix)]
pub fn lock_owner(dir: &Path) -> Option<i32> {
    os::lock_owner_at(&dir.join("a.pid"), os::INSTANCE)
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
                os::suspend_self();
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
