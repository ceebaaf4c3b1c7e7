//! The built program, started and watched: every process has a watchdog, and is ended with its test.
#![allow(dead_code)] // every test file uses a part of it

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read, Write as _},
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::os;

/// Longer than anything here takes; whoever runs into it is killed, and the test fails.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(60);

/// The built program.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_gateway");

/// A directory of the test's own, and the program in it.
pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn gateway<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = os::gateway(PROGRAM);
        command.env_remove("GATEWAY_NAME").env("GATEWAY_DIR", self.dir()).args(args);
        command
    }

    /// Starts it.
    pub(crate) fn start(&self, args: &[impl AsRef<OsStr>]) -> Running {
        Running::start(&mut self.gateway(args))
    }

    /// Starts it, and waits until it holds.
    pub(crate) fn hold(&self, args: &[impl AsRef<OsStr>]) -> Running {
        let running = self.start(args);
        running.says("holding ");
        running
    }

    /// Runs it to its end.
    pub(crate) fn finish(&self, args: &[impl AsRef<OsStr>]) -> Ended {
        self.start(args).end()
    }

    /// Types a command of a hint into a shell that finds `gateway`.
    pub(crate) fn type_in(&self, line: &str) -> Running {
        let mut shell = os::shell(line);
        shell.env("PATH", path_with_gateway()).env("GATEWAY_DIR", self.dir());
        Running::start(&mut shell)
    }

    /// Starts the test binary itself again, in one of its roles (an ignored test).
    pub(crate) fn role(&self, role: &str) -> Running {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", role, "--ignored", "--nocapture"]).env("ROLE_DIR", self.dir());
        Running::start(&mut command)
    }
}

/// Where a shell looks for programs, with the built one first.
pub(crate) fn path_with_gateway() -> std::ffi::OsString {
    let own = Path::new(PROGRAM).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(std::iter::once(own).chain(std::env::split_paths(&path))).unwrap()
}

/// The directory of a role; none: somebody runs the ignored tests.
pub(crate) fn role_dir() -> Option<std::path::PathBuf> {
    std::env::var_os("ROLE_DIR").map(Into::into)
}

/// Waits until the starter of a role closes its standard input.
pub(crate) fn until_dismissed() {
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// A process in a group of its own, which is killed when this is dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    stdout: Lines,
    stderr: Lines,
    overdue: Arc<AtomicBool>,
    _alive: Sender<()>,
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("no code: {self:?}"))
    }

    /// The command of the hint that has these words, as it is to be typed.
    pub(crate) fn hinted(&self, words: &str) -> String {
        let hint = self.stderr.lines().find(|line| line.starts_with("hint:") && line.contains(words));
        let hint = hint.unwrap_or_else(|| panic!("no hint `{words}` in {}", self.stderr));
        let command = &hint[hint.find("gateway").unwrap()..];
        let end = command.find('`').or_else(|| command.find("  ")).unwrap_or(command.len());
        command[..end].to_owned()
    }
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_with_stdout(command, Stdio::piped())
    }

    /// Starts it with another standard output than the one that is read here.
    pub(crate) fn start_with_stdout(command: &mut Command, stdout: Stdio) -> Self {
        command.stdin(Stdio::piped()).stdout(stdout).stderr(Stdio::piped());
        os::own(command);
        os::lead(command);
        let mut child = os::spawn(command);
        let pid = child.id();
        let (alive, ended) = channel::<()>();
        let overdue = Arc::new(AtomicBool::new(false));
        let is_overdue = overdue.clone();
        thread::spawn(move || {
            if ended.recv_timeout(WATCHDOG) == Err(RecvTimeoutError::Timeout) {
                is_overdue.store(true, Ordering::SeqCst);
                os::end_group(pid);
            }
        });
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().map_or_else(|| Lines::of(std::io::empty()), Lines::of);
        let stderr = Lines::of(child.stderr.take().unwrap());
        Self { child, stdin, stdout, stderr, overdue, _alive: alive }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line on stderr that begins so.
    pub(crate) fn says(&self, start: &str) -> String {
        self.stderr.wait_for(start, &self.stdout)
    }

    /// The line on stderr that begins so, if it comes within this time.
    pub(crate) fn says_within(&self, time: Duration, start: &str) -> Option<String> {
        self.stderr.within(time, start)
    }

    /// Waits for a line on stdout that begins so; others are skipped.
    pub(crate) fn prints(&self, start: &str) -> String {
        self.stdout.wait_for(start, &self.stderr)
    }

    /// Tells whether such a line comes on stdout before it ends; others are skipped.
    pub(crate) fn has_printed(&self, start: &str) -> bool {
        self.stdout.comes(start)
    }

    /// Sends a signal.
    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(pid_of(self.pid()), signal).unwrap();
    }

    /// Asks it to stop, as a person or a service manager does.
    pub(crate) fn terminate(&self) {
        os::terminate(self.pid());
    }

    /// Asks it to stop, as a person at a terminal does.
    pub(crate) fn interrupt(&self) {
        os::interrupt(self.pid());
    }

    /// Suspends it, and waits until it is.
    pub(crate) fn stop(&self) {
        os::suspend(self.pid());
    }

    /// Waits until it is suspended, by itself or another.
    pub(crate) fn is_stopped(&self) {
        os::is_suspended(self.pid());
    }

    pub(crate) fn resume(&self) {
        os::resume(self.pid());
    }

    /// Writes to its standard input.
    pub(crate) fn type_line(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for its end, and for the end of all that had its standard output.
    pub(crate) fn end(mut self) -> Ended {
        drop(self.stdin.take());
        let status = self.child.wait().unwrap();
        let ended = Ended { status, stdout: self.stdout.rest(), stderr: self.stderr.rest() };
        assert!(!self.overdue.load(Ordering::SeqCst), "the watchdog had to end it: {ended:?}");
        ended
    }

    /// Waits for its own end, whatever still has its output.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Kills it alone (what it started lives or dies by itself), and waits for its end as [`Running::end`].
    pub(crate) fn kill(self) -> Ended {
        os::kill_9(self.pid());
        self.end()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        os::end_group(self.pid());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(unix)]
pub(crate) fn pid_of(pid: u32) -> nix::unistd::Pid {
    nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap())
}

/// What a process says, line by line.
struct Lines {
    lines: Receiver<String>,
}

impl Lines {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let (sender, lines) = channel();
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while pipe.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        Self { lines }
    }

    /// What came on the other stream until then is told, too, when it does not come.
    fn wait_for(&self, start: &str, other: &Self) -> String {
        let mut before = String::new();
        loop {
            match self.lines.recv_timeout(WATCHDOG) {
                Ok(line) if line.starts_with(start) => return line.trim_end().to_owned(),
                Ok(line) => before.push_str(&line),
                Err(why) => {
                    let beside: String = other.lines.try_iter().collect();
                    panic!("no line `{start}…` ({why}), only: {before}; beside it: {beside}");
                }
            }
        }
    }

    fn comes(&self, start: &str) -> bool {
        loop {
            match self.lines.recv_timeout(WATCHDOG) {
                Ok(line) if line.starts_with(start) => return true,
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("neither `{start}…` nor its end"),
            }
        }
    }

    fn within(&self, time: Duration, start: &str) -> Option<String> {
        let deadline = Instant::now() + time;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).ok()?;
            if line.starts_with(start) {
                return Some(line.trim_end().to_owned());
            }
        }
    }

    fn rest(&self) -> String {
        let mut rest = String::new();
        loop {
            match self.lines.recv_timeout(WATCHDOG) {
                Ok(line) => rest.push_str(&line),
                Err(RecvTimeoutError::Disconnected) => return rest,
                Err(RecvTimeoutError::Timeout) => panic!("somebody keeps its output open: {rest}"),
            }
        }
    }
}
