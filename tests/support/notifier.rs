//! Children that speak `sd_notify(3)` by hand, in Python, step by step as the test orders; and who watches the holder.
#![allow(dead_code)] // every test file uses a part of it

use std::path::PathBuf;

use crate::gateway::{Place, Running};

/// What every such child can: say something, wait for an order, tell the test.
const CAN: &str = "
import os, signal, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def say(*lines):
    lines = [line if isinstance(line, bytes) else line.encode() for line in lines]
    s.sendto(b'\\n'.join(lines), os.environ['NOTIFY_SOCKET'])
def tell(what): print(what, flush=True)
def ordered(): sys.stdin.readline()
def last(): signal.pause()
";

/// `run` with these options and such a child.
pub(crate) fn args(options: &[&str], does: &str) -> Vec<String> {
    let program = ["--", "python3", "-c", &format!("{CAN}{does}")].map(str::to_owned);
    ["run"].iter().chain(options).map(|word| (*word).to_owned()).chain(program).collect()
}

/// Starts it, and waits until it holds.
pub(crate) fn hold(place: &Place, options: &[&str], does: &str) -> Running {
    let running = Running::start(&mut place.gateway(args(options, does)));
    running.says("holding ");
    running
}

/// Where the child of this place's holder says how it is.
pub(crate) fn path(place: &Place) -> PathBuf {
    place.dir().join("gateway.notify")
}

/// `status --watch --json`, read change by change.
pub(crate) struct Watcher {
    running: Running,
    last: Option<(String, String)>,
}

impl Watcher {
    pub(crate) fn of(place: &Place) -> Self {
        Self { running: place.start(&["status", "--watch", "--json"]), last: None }
    }

    /// The next state and note that are new together.
    pub(crate) fn next(&mut self) -> (String, String) {
        loop {
            let line = self.running.prints("{");
            let status: serde_json::Value = serde_json::from_str(&line).unwrap();
            let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let now = (word(&status["state"]), word(&status["holder"]["note"]));
            if self.last.as_ref() != Some(&now) {
                self.last = Some(now.clone());
                return now;
            }
        }
    }

    #[track_caller]
    pub(crate) fn sees(&mut self, state: &str, note: &str) {
        assert_eq!(self.next(), (state.to_owned(), note.to_owned()));
    }
}

/// The state and the note, asked for now.
pub(crate) fn now(place: &Place) -> (String, String) {
    let status = place.finish(&["status", "--json"]);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    (word(&status["state"]), word(&status["holder"]["note"]))
}
