//! How long the program's own loop takes to answer: what the answering thread cannot know otherwise.
//!
//! Given a tokio handle, each tick puts a task on that runtime; the lag is how long it took to run, or for how long it
//! has been waiting now. Given a heartbeat, the lag is how long ago the program's loop last beat.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

/// The lag of one holder's program.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lag(Arc<Mutex<Measured>>);

#[derive(Debug, Default)]
struct Measured {
    handle: Option<tokio::runtime::Handle>,
    waiting_since: Option<Instant>,
    last_us: Option<u64>,
    beat: Option<Instant>,
}

fn micros_since(then: Instant) -> u64 {
    u64::try_from(then.elapsed().as_micros()).unwrap_or(u64::MAX)
}

impl Lag {
    fn measured(&self) -> std::sync::MutexGuard<'_, Measured> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches this runtime from the next tick on.
    pub(crate) fn watch(&self, handle: tokio::runtime::Handle) {
        self.measured().handle = Some(handle);
    }

    /// The program's loop is alive now.
    pub(crate) fn beat(&self) {
        self.measured().beat = Some(Instant::now());
    }

    /// Asks the loop, unless it still owes an answer.
    pub(crate) fn probe(&self) {
        let mut measured = self.measured();
        if measured.waiting_since.is_some() {
            return;
        }
        let Some(handle) = measured.handle.clone() else { return };
        let asked = Instant::now();
        measured.waiting_since = Some(asked);
        drop(measured);
        let lag = self.clone();
        handle.spawn(async move {
            let mut measured = lag.measured();
            measured.last_us = Some(micros_since(asked));
            measured.waiting_since = None;
        });
    }

    /// In microseconds; none: the program gave nothing to measure.
    pub(crate) fn now_us(&self) -> Option<u64> {
        let measured = self.measured();
        let waiting = measured.waiting_since.map(micros_since);
        let looped = waiting.max(measured.last_us);
        measured.beat.map(micros_since).max(looped)
    }
}
