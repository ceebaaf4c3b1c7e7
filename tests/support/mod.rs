//! Real processes for the tests: the test binary starts itself again in a role, says when it is ready on a pipe, and is
//! ended with the guard that started it. No sleeps: whatever is awaited has a watchdog.
//!
//! A test file that uses roles has one test that plays them: `#[test] fn role() { support::play() }`.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "each test file uses a part; a test fails so"
)]

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use incumbent::{Claim, Instance};
#[path = "os/mod.rs"]
pub(crate) mod os;

/// So long anything may take before the test fails.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(30);

const ROLE: &str = "INCUMBENT_TEST_ROLE";
const NAME: &str = "INCUMBENT_TEST_NAME";
const DIR: &str = "INCUMBENT_TEST_DIR";
/// What a role says begins with this; the test harness prints on the same pipe.
const SAYS: &str = "role says ";

/// A directory of its own for a test.
pub(crate) fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// The program, with nothing of this process's environment that would speak for it.
pub(crate) fn gateway(dir: &Path, args: &[&str]) -> Command {
    let mut command = os::gateway(env!("CARGO_BIN_EXE_gateway"));
    os::own(&mut command);
    for name in ["GATEWAY_NAME", "GATEWAY_DIR", "GATEWAY_LOG", "CLICOLOR_FORCE"] {
        command.env_remove(name);
    }
    command.env("TZ", "UTC").arg("--dir").arg(dir).args(args).stdin(Stdio::null());
    command
}

/// Runs a command to its end, under the watchdog.
pub(crate) fn output(command: &mut Command) -> Output {
    let child = os::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let pid = child.id();
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(child.wait_with_output()));
    result.recv_timeout(WATCHDOG).map_or_else(
        |_| {
            os::kill_9(pid);
            panic!("{command:?} did not end in time");
        },
        Result::unwrap,
    )
}

/// The exit code, and what was said on both streams.
pub(crate) fn told(command: &mut Command) -> (i32, String, String) {
    let output = output(command);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A process in a role; killed and waited for at the end.
pub(crate) struct Player {
    child: Child,
    stdin: Option<ChildStdin>,
    says: mpsc::Receiver<String>,
}

impl Player {
    /// Starts a holder, and waits until it holds. `dir` and `name` are its instance.
    pub(crate) fn holder(dir: &Path, name: &str) -> Self {
        let player = Self::start("holder", dir, name);
        player.expect("ready");
        player
    }

    /// Starts a process that takes the claim lock and does nothing with it, and waits until it has it.
    pub(crate) fn claimer(dir: &Path, name: &str) -> Self {
        let player = Self::start("claimer", dir, name);
        player.expect("ready");
        player
    }

    fn start(role: &str, dir: &Path, name: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        os::own(&mut command);
        command
            .args(["role", "--exact", "--nocapture"])
            .envs([(ROLE, role), (NAME, name)])
            .env(DIR, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = os::spawn(&mut command);
        let (say, says) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The harness may have written the beginning of the line.
                if let Some((_, said)) = line.split_once(SAYS) {
                    let _ = say.send(said.to_owned());
                }
            }
        });
        let stdin = child.stdin.take();
        Self { child, stdin, says }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tells it to do something, and waits until it has: `note TEXT`, `work`, `release`.
    pub(crate) fn tell(&mut self, order: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{order}").unwrap();
        self.expect("done");
    }

    fn expect(&self, what: &str) {
        assert_eq!(self.says.recv_timeout(WATCHDOG).as_deref(), Ok(what));
    }

    /// Suspends it, as Ctrl-Z does, and waits until it is.
    pub(crate) fn stop(&self) {
        os::suspend(self.pid());
    }

    /// Kills it, and waits until it has ended.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Plays the role that the environment names; nothing without one.
pub(crate) fn play() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (name, dir) = (std::env::var(NAME).unwrap(), PathBuf::from(std::env::var_os(DIR).unwrap()));
    match role.as_str() {
        "holder" => hold(&name, &dir),
        "claimer" => keep_claiming(&name, &dir),
        other => panic!("no role {other}"),
    }
}

fn say(what: &str) {
    println!("{SAYS}{what}");
}

/// The orders, until the test or its guard is gone.
fn orders() -> impl Iterator<Item = String> {
    std::io::stdin().lines().map_while(Result::ok)
}

fn hold(name: &str, dir: &Path) {
    let instance = Instance::new(name).unwrap().in_dir(dir).unwrap().version("1.2.3");
    let Claim::Won(holder) = instance.claim_blocking().unwrap() else { panic!("lost") };
    holder.ready("");
    say("ready");
    let mut in_flight = Vec::new();
    for order in orders() {
        match order.split_once(' ').unwrap_or((&order, "")) {
            ("note", note) => holder.set_note(note.replace("\\e", "\x1b")),
            ("work", _) => in_flight.extend(holder.work()),
            ("release", _) => break,
            _ => panic!("no order {order}"),
        }
        say("done");
    }
    holder.release_blocking().unwrap();
    say("done");
}

fn keep_claiming(name: &str, dir: &Path) {
    let _lock = os::Lock::take(&dir.join(format!("{name}.pid")), os::CLAIM).unwrap();
    say("ready");
    orders().for_each(drop);
}
