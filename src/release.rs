//! Letting go, in the one right order: stop believing, say in the record how it ended, stop listening, unlock, close
//! connections. Nothing is unlinked. Proven by `tests/releasing.rs`.
//!
//! The answering thread gives its listeners back first, so that they are shut down and closed at once: an abstract name that
//! is bound, and at which nobody listens, is one that the next contender goes without.

use std::sync::{Arc, atomic::Ordering};

use incumbent_proto::Child;

use crate::{
    answer::{self, Command},
    error::Error,
    held::{Core, Held, Life, Problem},
    history, platform,
    process::Process,
    record::{self, End},
    timestamp,
};

/// Releases what is held; does nothing in a forked child, or when it does not hold any more.
pub(crate) fn release(held: &Arc<Held>) -> Result<(), Error> {
    let asked = held.stop.borrow().as_ref().is_some_and(|stop| stop.reason.is_replace());
    release_to(held, asked)
}

/// As [`release`], for one who is ready: also of an instance for which he has yet to ask, of several that go together.
pub(crate) fn pass_on(held: &Arc<Held>) -> Result<(), Error> {
    if held.handing.load(Ordering::Acquire) { release_to(held, true) } else { release(held) }
}

fn release_to(held: &Arc<Held>, replaced: bool) -> Result<(), Error> {
    if held.process != std::process::id() {
        return Ok(());
    }
    let mut core = held.core();
    if *held.life.borrow() == Life::Holding {
        held.life.send_replace(Life::Released);
    } else if core.files.is_empty() {
        return Ok(());
    }
    let released = *held.life.borrow() == Life::Released;
    let mut result = Ok(());
    if released {
        core.record.end = Some(match replaced {
            _ if held.face().overran => End::KilledAfterGrace,
            true => End::Replaced,
            false => End::Released,
        });
        core.record.ended_at_us = Some(timestamp::of(std::time::SystemTime::now()));
        core.record.failed_takeovers.clone_from(&held.failed.borrow());
        result = core
            .record
            .write(&held.place.record)
            .map(drop)
            .map_err(|source| Error::io("write the record", &held.place.record, source));
        if let Some(file) = core.files.front() {
            let _ = file.clear();
        }
    }
    drop(core);
    let_go(held);
    answer::forget(held);
    result
}

/// Another holds the instance: write nothing more, remove nothing, and tell the program.
pub(crate) fn step_down(held: &Arc<Held>) {
    let core = held.core();
    if *held.life.borrow() != Life::Holding {
        return;
    }
    tracing::warn!(instance = %held.place.name, "deposed: another process holds the instance");
    held.life.send_replace(Life::Deposed);
    drop(core);
    let_go(held);
    answer::post(Command::Forget(held.id, None));
}

fn let_go(held: &Held) {
    answer::unlisten(held); // without the core's lock, for which the answering thread may wait
    let mut core = held.core();
    for listener in
        core.endpoint.take().map(|endpoint| endpoint.listener).into_iter().chain(core.abstract_name.take())
    {
        listener.shut_down();
    }
    core.files.clear();
}

/// Writes the record anew because the program that the holder runs is another.
pub(crate) fn record_child(held: &Held, child: Option<Child>) {
    if !held.is_here() {
        return;
    }
    let mut core = held.core();
    if !held.is_holding() {
        return;
    }
    core.record.child = child.map(|child| record::Child {
        pid: child.pid,
        command: child.command.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect(),
        start_ticks: Process::of(child.pid).ok().flatten().and_then(|process| process.start_ticks),
        pid_namespace: platform::pid_namespace(),
    });
    write_record(held, &mut core);
}

/// Writes everything that a holder writes about itself: how its predecessor ended, pid, and record.
///
/// In this order: the record names the predecessor until the history does, so that a kill between the two loses nothing;
/// and a record without an end beside an empty pid file means a release that could not be recorded.
pub(crate) fn write_all(held: &Held, core: &mut Core) {
    if let Some(entry) = core.untold.take() {
        let appended = history::append(&held.place.history, &entry);
        if appended.is_err() {
            core.untold = Some(entry);
        }
        held.set_problem(Problem::History, appended.err().map(|error| error.to_string()));
    }
    write_pid(held, core);
    write_record(held, core);
}

/// Writes the record; a failure is a problem to be shown, and no reason not to hold. The tick tries again.
pub(crate) fn write_record(held: &Held, core: &mut Core) {
    core.record.failed_takeovers.clone_from(&held.failed.borrow());
    let written = core.record.write(&held.place.record);
    core.record_mark = written.as_ref().ok().copied().flatten();
    held.set_problem(Problem::Record, written.err().map(|error| error.to_string()));
}

/// Writes the pid into the pid file, for people; a failure is shown, and the tick tries again.
pub(crate) fn write_pid(held: &Held, core: &Core) {
    if let Some(file) = core.files.front() {
        let path = held.place.pid.display();
        let why = |error: std::io::Error| format!("the pid cannot be written to `{path}`: {error}");
        held.set_problem(Problem::PidText, file.write_pid(held.process).err().map(why));
    }
}
