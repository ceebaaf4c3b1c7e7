//! Overtime: a holder that was asked to stop, and has not when its grace is over, is ended by its own answering thread.
//!
//! So a program whose loop is blocked, or that waits for ever in its end, cannot keep the instance: no signal from outside
//! is needed, and nothing has to be proven, because it is this very process. The record says that it was killed after the
//! grace, if the disk takes that within half a second. Proven by `tests/takeover.rs`.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, mpsc::sync_channel},
    time::{Duration, Instant, SystemTime},
};

use crate::{
    held::{Held, Life},
    instance_id::InstanceId,
    platform,
    record::End,
    timestamp,
};

/// The exit code of a program that its answering thread had to end.
const EXIT_CODE: i32 = 70;

/// So long the last words and the record may take, on a machine that is busy with much else. Whoever asked waits longer
/// than this beyond the grace (`stopping::OVERTIME`).
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What is to be said before the process is ended.
pub(crate) struct LastWords(pub(crate) Box<dyn FnOnce() + Send>);

impl fmt::Debug for LastWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LastWords")
    }
}

/// Those that were asked to stop, and when each is over: nobody else is looked at on every turn of the answering thread.
#[derive(Default)]
pub(crate) struct Overtime(HashMap<InstanceId, (Instant, Arc<Held>)>);

impl Overtime {
    /// Takes note of how it is with an instance: when it was asked something, and on every tick.
    pub(crate) fn note(&mut self, held: &Arc<Held>) {
        match held.is_ended_at() {
            Some(at) => drop(self.0.insert(held.id, (at, held.clone()))),
            None => self.forget(held.id),
        }
    }

    pub(crate) fn forget(&mut self, id: InstanceId) {
        self.0.remove(&id);
    }

    /// Ends the process if the grace of one of these is over; else says when that will be.
    pub(crate) fn enforce(&mut self) -> Option<Instant> {
        let next = self.0.values().map(|(at, _)| *at).min()?;
        let now = Instant::now();
        if next > now {
            return Some(next);
        }
        let over: Vec<Arc<Held>> =
            self.0.values().filter(|(at, _)| *at <= now).map(|(_, held)| held.clone()).collect();
        for held in over {
            if held.is_ended_at().is_some_and(|at| at <= now) {
                end_process(&held);
            }
            self.note(&held); // it has more time by now, or holds no more
        }
        self.0.values().map(|(at, _)| *at).min()
    }
}

/// Says and writes what there is time for, each on a thread that may hang, and ends the process at once.
fn end_process(held: &Arc<Held>) -> ! {
    let by = Instant::now() + LAST_WORDS;
    let (tell, told) = sync_channel(2);
    for last in [write_end, say_why] {
        let (dying, tell) = (held.clone(), tell.clone());
        let _ = std::thread::Builder::new().name("incumbent-end".into()).spawn(move || {
            last(&dying);
            let _ = tell.send(());
        });
    }
    drop(tell);
    // Both, or none could be begun.
    while told.recv_timeout(by.saturating_duration_since(Instant::now())).is_ok() {}
    platform::exit_at_once(EXIT_CODE)
}

/// Waits for whoever is writing the record: the program may be about to say how its child ended.
fn write_end(held: &Arc<Held>) {
    let mut core = held.core();
    if *held.life.borrow() == Life::Holding {
        core.record.end = Some(End::KilledAfterGrace);
        core.record.ended_at_us = Some(timestamp::of(SystemTime::now()));
        let _ = core.record.write(&held.place.record);
    }
}

fn say_why(held: &Arc<Held>) {
    let words = held.face().last_words.take();
    if let Some(LastWords(say)) = words {
        say();
    }
}
