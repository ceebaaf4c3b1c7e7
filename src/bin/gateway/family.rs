//! The child and everything that it started: how all of it is reached, and how it is known that nothing is left.
//!
//! Linux: `gateway` adopts orphans, so that whatever PROGRAM started is found by the chain of parents, though it has
//! another session, group or no descriptors. Windows: all of it is in a job object, which nothing leaves. Elsewhere its
//! process group is all that is known. The child stays unreaped until its group was signalled, so that its number is its
//! own. Proven by `tests/descendants.rs`, on Windows by `tests/windows_child.rs`.

use std::{
    io::{self, ErrorKind},
    process::ExitStatus,
};

use incumbent::{
    platform_for_gateway::{self as platform, Descendant},
    text,
};

/// The child and everything that it started.
#[derive(Debug)]
pub(crate) struct Family {
    child: u32,
    own_group: bool,
    is_reaped: bool,
    /// What is not PROGRAM's: processes that were there before, and one that asked for the stop.
    strangers: Vec<u32>,
}

impl Family {
    /// Adopts orphans from now on. Call it before the child is started: what is there already is not its doing.
    pub(crate) fn before_the_start() -> Vec<u32> {
        // Elsewhere the group is all that is known.
        let adopts = platform::adopt_orphans();
        if adopts && platform::reap_others(None) { pids(&platform::descendants(&[])) } else { Vec::new() }
    }

    pub(crate) fn new(child: u32, own_group: bool, strangers: Vec<u32>) -> Self {
        Self { child, own_group, is_reaped: false, strangers }
    }

    /// The child's number.
    pub(crate) fn child(&self) -> u32 {
        self.child
    }

    /// Spares a process, and what it started: one that takes over from inside must not end with what it replaces.
    pub(crate) fn spare(&mut self, pid: Option<u32>) {
        self.strangers.extend(pid);
    }

    /// Sends a signal to the child alone.
    pub(crate) fn tell(&self, signal: i32) -> io::Result<()> {
        if self.is_reaped { Ok(()) } else { platform::signal_child(self.child, signal) }
    }

    /// Sends a signal to the child and what is with it, and lets those go on that are stopped.
    ///
    /// # Errors
    /// The system has no way to tell them anything (Windows, without a console).
    pub(crate) fn signal(&self, signal: i32) -> io::Result<()> {
        let told = self.send(signal);
        let _ = self.send(platform::CONTINUE);
        // Whatever else goes wrong, the grace says what comes of it.
        told.or_else(|error| if error.kind() == ErrorKind::Unsupported { Err(error) } else { Ok(()) })
    }

    fn send(&self, signal: i32) -> io::Result<()> {
        if self.has_group() {
            return platform::signal_group(self.child, signal);
        }
        let told = self.tell(signal);
        self.each_other().iter().map(|other| other.signal(signal)).fold(told, Result::and)
    }

    /// Stops or continues the child's group, for the job control of a terminal that it does not read from.
    pub(crate) fn suspend(&self, signal: i32) {
        if self.has_group() {
            let _ = platform::signal_group(self.child, signal);
        }
    }

    /// Kills all of it.
    pub(crate) fn kill(&self) {
        if self.has_group() {
            let _ = platform::signal_group(self.child, platform::KILL);
        }
        let _ = self.tell(platform::KILL);
        platform::kill_children(&self.strangers);
        self.each_other().iter().for_each(|other| drop(other.signal(platform::KILL)));
    }

    /// Whether the child's group is its own, and nobody else is in it: at a terminal all of the job is.
    fn has_group(&self) -> bool {
        let in_it = |pid: &u32| platform::is_in_group(*pid, self.child);
        let is_its = platform::KEEPS_NUMBERS || !self.is_reaped;
        self.own_group && is_its && !self.strangers.iter().any(in_it)
    }

    fn each_other(&self) -> Vec<Descendant> {
        let mut but = self.strangers.clone();
        // Its descendants are found through it, so that it cannot be left out of the chain.
        but.retain(|pid| *pid != self.child);
        let mut others = platform::descendants(&but);
        others.retain(|other| other.process.pid != self.child);
        others
    }

    /// How the child ended; none: it has not. Orphans that have ended are reaped.
    pub(crate) fn end(&self) -> Option<ExitStatus> {
        let _ = platform::reap_others(Some(self.child));
        match platform::end_of(self.child) {
            Ok(ended) => ended,
            Err(error) => {
                // Nobody else may wait for it: then it is gone, and how it ended is lost.
                tracing::warn!("cannot wait for the child: {error}");
                Some(ExitStatus::default())
            }
        }
    }

    /// Whether nothing is left, after a look that saw these. What forks and ends faster than it can be looked at is a child
    /// of this process all the same, as every orphan is.
    pub(crate) fn is_gone(&self, left: &[Descendant]) -> bool {
        let has_strangers =
            || pids(&platform::descendants(&[])).iter().any(|pid| self.strangers.contains(pid));
        left.is_empty() && (!platform::reap_others(None) || has_strangers())
    }

    /// What is left of it after the child has ended, which is reaped now.
    pub(crate) fn left(&mut self) -> Vec<Descendant> {
        if !self.is_reaped {
            platform::reap(self.child);
            self.is_reaped = true;
        }
        if !platform::reap_others(None) {
            return Vec::new();
        }
        let left = self.each_other();
        let _ = platform::reap_others(None); // those that ended while it was looked at
        left
    }
}

impl Drop for Family {
    /// What is spared lives on without us.
    fn drop(&mut self) {
        if !self.strangers.is_empty() {
            platform::leave_the_rest();
        }
    }
}

fn pids(descendants: &[Descendant]) -> Vec<u32> {
    descendants.iter().map(|descendant| descendant.process.pid).collect()
}

/// Some processes by number and name; not all, if they are many.
pub(crate) fn named(some: &[Descendant]) -> String {
    const SHOWN: usize = 3;
    if some.is_empty() {
        return "processes that start each other and end at once".to_owned();
    }
    let mut words: Vec<String> = some
        .iter()
        .take(SHOWN)
        .map(|it| format!("pid {} ({})", it.process.pid, text::shown(&it.process.name)))
        .collect();
    if some.len() > SHOWN {
        words.push(format!("and {} more", some.len() - SHOWN));
    }
    words.join(", ")
}
