//! Everything that one `run` holds: the instance that it was given, and those of `--also`, all or none.
//!
//! What is said of it is said by each of them, and whoever asks one of them to stop has asked all. Claimed in the order
//! of their names, so that of two that want the same ones together, one gets them all. Proven by `tests/also.rs`.

use std::{
    cell::{Cell, OnceCell},
    ffi::OsString,
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use incumbent::{Claim, Error, FailedTakeover, Holder, Incumbent, Instance, Messages, Stop};

use crate::args::Which;

/// The holders of one `run`; never none. The first is that of the instance that it was given.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    /// Nothing yet, while a PROGRAM gets ready beside the one that runs.
    holders: OnceCell<Vec<Holder>>,
    /// They were passed on; whether nobody was there any more to take them.
    passed_on: Cell<Option<bool>>,
}

/// What is in the way of holding them all.
#[derive(Debug)]
pub(crate) struct InTheWay {
    /// Which instance is not to be had.
    pub(crate) which: Which,
    /// Who holds it, or why that cannot be told.
    pub(crate) why: Result<Incumbent, Error>,
}

/// The instances that are to be held together: the given one and the others, each once, in the order of their names.
pub(crate) fn together(
    which: &Which,
    given: &Instance,
    also: &[String],
) -> Result<Vec<(Which, Instance)>, Error> {
    let mut names: Vec<&String> = also.iter().chain([&which.name]).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| {
            let other = Which { name: name.clone(), dir: which.dir.clone() };
            let instance = if *name == which.name { given.clone() } else { crate::instance(&other)? };
            Ok((other, instance))
        })
        .collect()
}

/// Claims them, one after the other; if one is not to be had, the others are let go of again.
pub(crate) fn claim_all(
    given: &Which,
    instances: &[(Which, Instance)],
    mut claim: impl FnMut(&Instance) -> Result<Claim, Error>,
) -> Result<Holders, Box<InTheWay>> {
    let mut holders = Vec::new();
    for (which, instance) in instances {
        match claim(instance) {
            Ok(Claim::Won(holder)) if which.name == given.name => holders.insert(0, holder),
            Ok(Claim::Won(holder)) => holders.push(holder),
            Ok(Claim::Lost(incumbent)) => return Err(in_the_way(which, Ok(incumbent))),
            Err(error) => return Err(in_the_way(which, Err(error))),
        }
    }
    Ok(Holders::of(holders))
}

#[allow(clippy::unnecessary_box_returns)] // its size differs between systems
pub(crate) fn in_the_way(which: &Which, why: Result<Incumbent, Error>) -> Box<InTheWay> {
    Box::new(InTheWay { which: which.clone(), why })
}

impl Holders {
    /// That of the instance that was given.
    pub(crate) fn first(&self) -> &Holder {
        &self.all()[0]
    }

    pub(crate) fn of(holders: Vec<Holder>) -> Self {
        Self { holders: OnceCell::from(holders), passed_on: Cell::new(None) }
    }

    /// From now on it holds these.
    pub(crate) fn fill(&self, holders: Vec<Holder>) {
        let _ = self.holders.set(holders);
    }

    fn all(&self) -> &[Holder] {
        self.holders.get().map_or(&[], Vec::as_slice)
    }

    /// Those of `--also`.
    pub(crate) fn others(&self) -> impl Iterator<Item = &Holder> {
        self.all().iter().skip(1)
    }

    /// Each of them.
    pub(crate) fn each(&self) -> impl Iterator<Item = &Holder> {
        self.all().iter()
    }

    pub(crate) fn ready(&self, note: &str) {
        self.each().for_each(|holder| holder.ready(note));
    }

    pub(crate) fn set_note(&self, note: &str) {
        self.each().for_each(|holder| holder.set_note(note));
    }

    pub(crate) fn draining(&self) {
        self.each().for_each(Holder::draining);
    }

    pub(crate) fn set_child(&self, child: Option<(u32, &[OsString])>) {
        self.each().for_each(|holder| holder.set_child(child));
    }

    pub(crate) fn set_grace(&self, grace: Duration) {
        self.each().for_each(|holder| holder.set_grace(grace));
    }

    /// Asks for more time to stop; nothing happens before a stop.
    pub(crate) fn extend_grace(&self, by: Duration) {
        self.each().for_each(|holder| holder.extend_grace(by));
    }

    /// What was asked of them, as it is now.
    pub(crate) fn asked(&self) -> Option<Stop> {
        self.each().filter_map(Holder::stop).min_by_key(Stop::grace)
    }

    /// Sets how long after the grace their answering thread ends the process.
    pub(crate) fn set_overtime(&self, overtime: Duration, last_words: fn()) {
        self.each().for_each(|holder| holder.set_overtime(Some(overtime), last_words));
    }

    /// Says that PROGRAM had to be killed.
    pub(crate) fn overran(&self) {
        self.each().for_each(Holder::overran);
    }

    /// The messages of the given instance; the others take none.
    pub(crate) fn messages(&self) -> Messages {
        self.first().messages()
    }

    /// Waits until one of them is asked to stop.
    pub(crate) async fn stop_requested(&self) -> Stop {
        first_of(self.each().map(Holder::stop_requested)).await
    }

    /// Waits until one of them is asked to stop sooner than `stop` says.
    pub(crate) async fn stop_hastened(&self, stop: &Stop) -> Stop {
        first_of(self.each().map(|holder| holder.stop_hastened(stop))).await
    }

    /// Waits until one who takes over has got ready beside this one.
    pub(crate) async fn successor_is_ready(&self) {
        first_of(self.each().map(Holder::successor_is_ready)).await;
    }

    /// Waits until a takeover has failed after that moment. Of all of them it is one and the same.
    pub(crate) async fn takeover_failed(&self, after_us: i64) -> FailedTakeover {
        match self.each().next() {
            Some(first) => first.takeover_failed(after_us).await,
            None => std::future::pending().await,
        }
    }

    /// Lets go of all of them for one who is ready, and goes on without; the first error.
    pub(crate) fn pass_on(&self) -> Result<(), Error> {
        self.passed_on.set(Some(!self.each().any(Holder::has_successor)));
        self.each().map(Holder::pass_on_blocking).fold(Ok(()), Result::and)
    }

    pub(crate) fn were_passed_on(&self) -> bool {
        self.passed_on.get().is_some()
    }

    /// Waits until another process holds one of them.
    pub(crate) async fn deposed(&self) {
        first_of(self.each().map(Holder::deposed)).await;
    }

    /// Whether one was asked to make room, and nobody is there to take it.
    pub(crate) fn were_left_alone(&self) -> bool {
        if let Some(alone) = self.passed_on.get() {
            return alone;
        }
        let replaced = |holder: &&Holder| holder.stop().is_some_and(|stop| stop.is_replace());
        let mut replaced = self.each().filter(replaced).peekable();
        replaced.peek().is_some() && !replaced.any(Holder::has_successor)
    }

    /// Whether the one that asked for the place ends with this process: the first process of a pid namespace, a container's,
    /// takes along whoever has a number there.
    pub(crate) fn take_the_successor_along(&self) -> bool {
        let from_within = |stop: Stop| stop.is_replace() && stop.pid().is_some();
        std::process::id() == 1 && self.each().any(|holder| holder.stop().is_some_and(from_within))
    }

    /// Lets go of all of them; the first error.
    pub(crate) fn release(self) -> Result<(), Error> {
        self.holders
            .into_inner()
            .into_iter()
            .flatten()
            .map(Holder::release_blocking)
            .fold(Ok(()), Result::and)
    }
}

/// Waits for whichever is done first.
async fn first_of<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> T {
    let mut futures: Vec<Pin<Box<_>>> = futures.map(Box::pin).collect();
    poll_fn(|context| {
        for future in &mut futures {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                return Poll::Ready(value);
            }
        }
        Poll::Pending
    })
    .await
}
