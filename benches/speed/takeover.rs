//! A takeover, in its parts: from the old child's end to the new child's start. The child is this program in a role: it
//! says when it starts and when it ends, by the clock that all processes share.

use std::{
    io::{BufRead as _, BufReader, Lines, Write as _},
    path::Path,
    process::{ChildStdout, Command, Stdio},
    time::Duration,
};

use nix::sys::signal::{SigSet, Signal};
use rustix::time::{ClockId, clock_gettime};

use crate::{
    processes::gateway,
    table::{self, Ended, Times},
};

const TURNS: usize = 100;

fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap()
}

/// The child: says when it starts, waits for SIGTERM, and says when it ends.
pub(crate) fn child() {
    let began = now();
    let mut terminate = SigSet::empty();
    terminate.add(Signal::SIGTERM);
    terminate.thread_block().unwrap();
    let mut out = std::io::stdout().lock();
    writeln!(out, "began {}", began.as_nanos()).unwrap();
    out.flush().unwrap();
    terminate.wait().unwrap();
    writeln!(out, "ended {}", now().as_nanos()).unwrap();
    out.flush().unwrap();
}

/// A `gateway run -- child`, and what its child says.
struct Run {
    ended: Ended,
    child: Lines<BufReader<ChildStdout>>,
    holding: Duration,
}

impl Run {
    fn start(dir: &Path) -> Self {
        let mut command = gateway(dir);
        command.args(["run", "--replace", "--"]).arg(std::env::current_exe().unwrap()).arg("child");
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let ended = Ended(child);
        while !said.next().unwrap().unwrap().starts_with("holding ") {}
        let holding = now();
        std::thread::spawn(move || said.for_each(drop));
        Self { ended, child: BufReader::new(stdout).lines(), holding }
    }

    fn says(&mut self, what: &str) -> Duration {
        let line = self.child.next().unwrap().unwrap();
        let at = line.strip_prefix(what).unwrap_or_else(|| panic!("no `{what}`: {line}")).trim().parse();
        Duration::from_nanos(at.unwrap())
    }
}

pub(crate) fn measure() {
    let dir = tempfile::tempdir().unwrap();
    let mut spawn = Times::of("a child started without gateway");
    let mut whole = Times::of("old child's end to new child's start");
    let mut released = Times::of("  of that, until the new one holds");
    let mut started = Times::of("  of that, from then to its child's start");
    let mut old = Run::start(dir.path());
    old.says("began");
    for _ in 0..TURNS {
        let began = now();
        let mut child = Command::new(std::env::current_exe().unwrap());
        let child = child.arg("child").stdout(Stdio::piped()).spawn().unwrap();
        let mut child = Ended(child);
        let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let line = lines.next().unwrap().unwrap();
        let at: u64 = line.trim_start_matches("began ").parse().unwrap();
        spawn.add(Duration::from_nanos(at).saturating_sub(began));

        let mut new = Run::start(dir.path());
        let ended = old.says("ended");
        let began = new.says("began");
        whole.add(began.saturating_sub(ended));
        released.add(new.holding.saturating_sub(ended));
        started.add(began.saturating_sub(new.holding));
        old.ended.0.wait().unwrap();
        old = new;
    }
    table::show(
        "A takeover (the target of the second row: 5 ms)",
        [spawn, whole, released, started].into_iter().map(|times| (times, None)).collect(),
    );
}
