//! A frozen holder (`docker pause`, `systemctl freeze`): it cannot answer, its state shows nothing, and a signal may not reach it. It
//! is named as what it is, and never succeeded while it has its lock. Both freezers are tried; without root nothing is.
#![cfg(target_os = "linux")] // only Linux has control groups
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use gateway::{Place, Running, WATCHDOG};

/// A control group in which processes can be frozen, thawed and removed with this.
struct Freezer {
    group: PathBuf,
    file: &'static str,
    words: [&'static str; 2],
    /// Where, and how, it is shown that all in it are frozen.
    shows: (&'static str, &'static str),
}

impl Freezer {
    /// Those that this system has, of version 1 and of version 2; that there is none is said.
    fn all() -> Vec<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |version: u8| format!("incumbent-frozen-{version}-{}-{number}", std::process::id());
        let mut found = Vec::new();
        let first = Path::new("/sys/fs/cgroup/freezer").join(name(1));
        if fs::create_dir(&first).is_ok() {
            let shows = ("freezer.state", "FROZEN");
            found.push(Self { group: first, file: "freezer.state", words: ["FROZEN", "THAWED"], shows });
        }
        for root in ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"] {
            let second = Path::new(root).join(name(2));
            if Path::new(root).join("cgroup.controllers").exists() && fs::create_dir(&second).is_ok() {
                let shows = ("cgroup.events", "frozen 1");
                found.push(Self { group: second, file: "cgroup.freeze", words: ["1", "0"], shows });
                break;
            }
        }
        if found.is_empty() {
            os::left_out("no control group can be made here, to freeze a holder in");
        }
        found
    }

    fn freeze(&self, pid: u32) {
        fs::write(self.group.join("cgroup.procs"), pid.to_string()).unwrap();
        fs::write(self.group.join(self.file), self.words[0]).unwrap();
        let (file, line) = self.shows;
        let is_frozen =
            || fs::read_to_string(self.group.join(file)).unwrap().lines().any(|shown| shown == line);
        let deadline = Instant::now() + WATCHDOG;
        while !is_frozen() {
            assert!(Instant::now() < deadline, "it was never frozen");
            std::thread::yield_now();
        }
    }

    fn thaw(&self) {
        let _ = fs::write(self.group.join(self.file), self.words[1]);
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        self.thaw();
        // Who is in it belongs to the test, and ends with it.
        let deadline = Instant::now() + WATCHDOG;
        while fs::remove_dir(&self.group).is_err() && Instant::now() < deadline {
            let procs = fs::read_to_string(self.group.join("cgroup.procs")).unwrap_or_default();
            procs.lines().filter_map(|pid| pid.parse().ok()).for_each(os::kill_9);
            std::thread::yield_now();
        }
    }
}

fn frozen(freezer: &Freezer, place: &Place) -> Running {
    let holder = place.hold(&["run"]);
    freezer.freeze(holder.pid());
    holder
}

#[test]
fn a_frozen_holder_is_named_as_frozen_and_never_succeeded() {
    for freezer in Freezer::all() {
        let place = Place::new();
        let holder = frozen(&freezer, &place);
        let pid = format!("pid {}", holder.pid());
        for (args, code) in [
            (&["status", "--timeout", "200ms"][..], 4),
            (&["run", "--wait=200ms"], 75),
            (&["stop"], 75),
            (&["run", "--replace"], 75),
        ] {
            let told = place.finish(args);
            assert_eq!(told.code(), code, "{args:?}: {told:?}");
            let said = [told.stdout, told.stderr].concat();
            assert!(said.contains(&pid) && said.contains("is frozen"), "{args:?}: {said}");
        }
        freezer.thaw();
        assert_eq!(place.finish(&["status"]).code(), 0, "{pid}: it goes on as if nothing had been");
        assert_eq!(place.finish(&["run"]).code(), 75);
        assert_eq!(place.finish(&["stop"]).code(), 0);
        assert_eq!(holder.end().code(), 0);
    }
}

#[test]
fn a_frozen_holder_that_was_ended_by_force_is_succeeded_when_its_lock_is_free_and_not_before() {
    for freezer in Freezer::all() {
        let place = Place::new();
        let holder = frozen(&freezer, &place);
        let forced = place.finish(&["stop", "--force", "--grace", "10ms"]);
        // The newer freezer lets the dead go; the older one keeps them, with all that they have.
        let is_kept = os::is_there(holder.pid()) && !place_is_free(&place);
        assert_eq!(forced.code(), if is_kept { 75 } else { 0 }, "{forced:?}");
        if is_kept {
            assert!(forced.stderr.contains("was killed, and is not gone"), "{forced:?}");
            assert_eq!(place.finish(&["run", "--wait=200ms"]).code(), 75);
        }
        let waiting = place.start(&["run", "--wait"]);
        freezer.thaw();
        waiting.says("holding ");
        assert!(os::was_killed(holder.end().status));
    }
}

fn place_is_free(place: &Place) -> bool {
    !os::is_locked(&place.dir().join("gateway.pid"), os::INSTANCE)
}
