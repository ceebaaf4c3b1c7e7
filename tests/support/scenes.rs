//! What a traced `gateway` is doing while something happens to one of its calls, and what must be true afterwards.
//!
//! Every PROGRAM is a witness: it takes a lock that has nothing to do with this project, writes down if it was not alone,
//! and keeps the lock for as long as it runs.
#![allow(dead_code)] // every test file uses its own part of it

use std::{
    fs,
    os::unix::net::UnixListener,
    path::PathBuf,
    process::Command,
    sync::mpsc::channel,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use crate::{
    gateway::{PROGRAM, Running, WATCHDOG},
    os,
};

/// What the traced process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    /// It claims where nobody ever did, without PROGRAM.
    First,
    /// It claims after a crash, with PROGRAM.
    AfterCrash,
    /// It takes over, with PROGRAM, from one with PROGRAM.
    Contender,
    /// It holds, with PROGRAM, and is replaced by one with PROGRAM.
    Replaced,
}

pub(crate) const SCENES: [Scene; 4] = [Scene::First, Scene::AfterCrash, Scene::Contender, Scene::Replaced];

/// Stays, with its lock.
pub(crate) const WITNESS: &str = "exec 9>>\"$0\"; flock -n 9 || echo overlap >>\"$0.overlaps\"
echo $$ >>\"$0.ran\"; exec sleep 1000";
/// Ends at once, well.
pub(crate) const LOOK: &str = "exec 9>>\"$0\"; flock -n 9 || echo overlap >>\"$0.overlaps\"";

/// Where it happens: the instance's directory, and the witness's files beside it.
pub(crate) struct Stage {
    outer: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self { outer: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.outer.path().join("i")
    }

    fn witness(&self) -> PathBuf {
        self.outer.path().join("w")
    }

    pub(crate) fn gateway(&self, args: &[&str]) -> Command {
        let mut command = os::gateway(PROGRAM);
        for name in ["GATEWAY_LOG", "CLICOLOR_FORCE"] {
            command.env_remove(name);
        }
        command.env("GATEWAY_NAME", "a").env("GATEWAY_DIR", self.dir()).args(args);
        command
    }

    /// `run` with these options and a witness.
    pub(crate) fn run(&self, options: &[&str], program: &str) -> Command {
        let mut command = self.gateway(&["run", "--grace", "5s"]);
        command.args(options).args(["--", "sh", "-c", program]).arg(self.witness());
        command
    }

    /// As a holder that was killed leaves it, at some time.
    pub(crate) fn after_a_crash(&self) {
        let held = Running::start(&mut self.run(&[], WITNESS));
        held.says("holding ");
        self.has_run(1);
        held.kill();
        let _ = fs::remove_file(self.ran());
    }

    /// The same files in another place, quicker.
    pub(crate) fn like(&self, other: &Self) {
        fs::create_dir(self.dir()).unwrap();
        for entry in fs::read_dir(other.dir()).unwrap() {
            let entry = entry.unwrap();
            let here = self.dir().join(entry.file_name());
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), here).unwrap();
            } else {
                drop(UnixListener::bind(here).unwrap());
            }
        }
        fs::set_permissions(self.dir(), fs::metadata(other.dir()).unwrap().permissions()).unwrap();
    }

    fn ran(&self) -> PathBuf {
        self.witness().with_extension("ran")
    }

    pub(crate) fn runs(&self) -> usize {
        fs::read_to_string(self.ran()).map_or(0, |ran| ran.lines().count())
    }

    /// Waits until so many witnesses have begun.
    pub(crate) fn has_run(&self, times: usize) {
        until(WATCHDOG, || (self.runs() >= times).then_some(())).expect("a witness has begun");
    }

    /// `status`: its code and its words.
    pub(crate) fn status(&self) -> (i32, Value) {
        let ended = Running::start(&mut self.gateway(&["status", "--json"])).end();
        let said = serde_json::from_str(&ended.stdout).unwrap_or_else(|why| panic!("{why}: {ended:?}"));
        (ended.code(), said)
    }

    /// Whether it holds, and nobody claims.
    pub(crate) fn holds(&self, pid: u32) -> bool {
        os::has_instance(&self.dir(), pid) && !os::is_claimed(&self.dir())
    }

    /// The next one holds, with nothing cleaned by hand; then nothing is left of anybody.
    pub(crate) fn next_one(&self, replace: bool) {
        let ended = Running::start(&mut self.run(if replace { &["--replace"] } else { &[] }, LOOK)).end();
        assert!(ended.code() == 0 && ended.stderr.contains("holding "), "the next one: {ended:?}");
    }

    /// No overlap ever, no process left, no file that nobody knows.
    pub(crate) fn is_clean(&self) {
        let overlaps = self.witness().with_extension("overlaps");
        assert!(!overlaps.exists(), "two witnesses at a time");
        let lock = fs::File::options().append(true).create(true).open(self.witness()).unwrap();
        let alone = flock(&lock, FlockOperation::NonBlockingLockExclusive);
        assert!(alone.is_ok(), "a witness is left behind: {:?}", fs::read_to_string(self.ran()));
        let mut temporary = Vec::new();
        for entry in fs::read_dir(self.dir()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            match name.as_str() {
                "a.pid" | "a.json" | "a.history" | "a.child" | "a.sock" | "a.notify" => {}
                _ if name.ends_with('~') => temporary.push(name),
                _ => panic!("a file that nobody knows: {name}"),
            }
        }
        assert!(temporary.len() <= 1, "too many left: {temporary:?}");
    }
}

/// Tries until there is something, for this long; the kernel gives no event for these.
pub(crate) fn until<T>(time: Duration, mut found: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + time;
    let (_never, pause) = channel::<()>();
    loop {
        if let Some(found) = found() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        let _ = pause.recv_timeout(Duration::from_millis(5));
    }
}
