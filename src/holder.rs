//! What the winner of a claim has: the holder. Dropping it releases the instance.
//!
//! Everything here is answered at once, from any thread, executor or none; what is awaited is awaited on channels that
//! need no runtime. In a forked child a holder is an empty shell: it releases, unlinks and answers nothing.

use std::{
    ffi::OsString,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use incumbent_proto::{Child, Phase};

use crate::{
    answer,
    error::Error,
    held::{Held, Life, StopAsked},
    instance_id::InstanceId,
    lag::Lag,
    message::{Inbox, Messages},
    offer::{FailedTakeover, Listening, Offer, Offering},
    overtime::LastWords,
    release,
};

/// The instance, held by this process until the holder is dropped or the process ends, however it ends.
#[derive(Debug)]
#[must_use = "dropping the holder releases the instance"]
pub struct Holder {
    held: Arc<Held>,
}

impl Holder {
    pub(crate) fn new(held: Arc<Held>) -> Self {
        Self { held }
    }

    pub(crate) fn held(&self) -> &Arc<Held> {
        &self.held
    }

    /// The name of the instance.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.held.place.name
    }

    /// Says that the program is ready, and a note that `status` shows.
    pub fn ready(&self, note: impl Into<String>) {
        self.show(|face| {
            face.phase = Phase::Ready;
            face.note = non_empty(note.into());
        });
    }

    /// Changes the note that `status` shows; an empty one takes it away.
    pub fn set_note(&self, note: impl Into<String>) {
        self.show(|face| face.note = non_empty(note.into()));
    }

    /// Says that the program is stopping, of its own accord or on a signal: no work is begun any more.
    pub fn draining(&self) {
        self.show(|face| face.draining = true);
    }

    /// Shows the program that this holder runs; none: it has ended.
    pub fn set_child(&self, child: Option<(u32, &[OsString])>) {
        let words = |command: &[OsString]| command.iter().map(crate::platform::to_bytes).collect();
        let child = child.map(|(pid, command)| Child { pid, command: words(command) });
        self.show(|face| face.child.clone_from(&child));
        release::record_child(&self.held, child);
    }

    fn show(&self, change: impl FnOnce(&mut crate::held::Face)) {
        if !self.held.is_here() {
            return; // a forked child: a lock may have been held when it was forked, and nobody is left to let go of it
        }
        change(&mut self.held.face());
        answer::post_changed(&self.held);
    }

    /// Sets how long this holder gives itself to stop when the asker does not say; 30 s unless set.
    pub fn set_grace(&self, grace: Duration) {
        self.held.face().grace = grace;
    }

    /// Waits until somebody asks this holder to stop. Cancel safe; a wish is never lost.
    pub async fn stop_requested(&self) -> Stop {
        let mut wishes = self.held.stop.subscribe();
        loop {
            let now = wishes.borrow_and_update().clone();
            if let Some(asked) = now {
                return Stop { asked };
            }
            if wishes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until somebody asks this holder to stop sooner than `stop` says. Cancel safe.
    pub async fn stop_hastened(&self, stop: &Stop) -> Stop {
        let mut wishes = self.held.stop.subscribe();
        let sooner = |now: &Option<StopAsked>| {
            now.as_ref().is_some_and(|asked| asked.ends_at() < stop.asked.ends_at())
        };
        let hastened = wishes.wait_for(sooner).await.ok().and_then(|now| now.clone());
        match hastened {
            Some(asked) => Stop { asked },
            None => std::future::pending().await,
        }
    }

    /// Whether somebody has asked this holder to stop.
    #[must_use]
    pub fn stop(&self) -> Option<Stop> {
        self.held.stop.borrow().clone().map(|asked| Stop { asked })
    }

    /// Says how a stop goes: shown as the note, and told to those who asked for it.
    pub fn progress(&self, note: impl Into<String>) {
        self.show(|face| {
            face.draining = true;
            face.note = non_empty(note.into());
        });
    }

    /// Refuses from now on to stop or to make room, with a reason for people; none: not any more.
    ///
    /// Who asks is told at once, by the answering thread. A stop that was acknowledged before is a promise, and goes on;
    /// and who insists ([`crate::TakeoverOptions::force`]) is not refused.
    pub fn refuse<'a>(&self, reason: impl Into<Option<&'a str>>) {
        let reason = reason.into().map(str::to_owned);
        self.show(|face| face.refusal = reason);
    }

    /// Hands these over to whoever takes over from now on, in place of what was offered before: copies of listening sockets,
    /// and at most half a mebibyte of the program's own.
    ///
    /// An offer, also an empty one, says too that a successor may get ready beside this program. Who takes over that way has
    /// got ready when this holder is asked to stop ([`Stop::successor_is_ready`]).
    ///
    /// # Errors
    /// [`Error::TooLong`]; [`Error::Io`] for a socket that cannot be looked at.
    ///
    /// # Platform
    /// Unix: by `SCM_RIGHTS`. Windows: TCP sockets, by `WSADuplicateSocketW`; run under Wine only.
    pub fn offer(&self, listeners: Vec<Listening>, state: impl Into<Vec<u8>>) -> Result<(), Error> {
        let offer = Arc::new(Offer::new(listeners, state.into())?);
        self.show(|face| face.offer = Offering::Now(offer));
        Ok(())
    }

    /// Says that an offer will come: who asks before that is told to ask again, and does for two seconds.
    pub fn will_offer(&self) {
        self.show(|face| face.offer = Offering::Soon);
    }

    /// Waits until one who takes over has got ready beside this program: pass the instance on, and drain then. Cancel safe.
    pub async fn successor_is_ready(&self) {
        let mut wishes = self.held.stop.subscribe();
        let is_ready = |now: &Option<StopAsked>| now.as_ref().is_some_and(|asked| asked.is_ready);
        if wishes.wait_for(is_ready).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Releases the instance, and keeps this holder, which holds nothing from then on. Blocks for a few file operations.
    ///
    /// # Errors
    /// The record could not be written; the instance is free all the same.
    pub fn pass_on_blocking(&self) -> Result<(), Error> {
        let released = release::pass_on(&self.held);
        if self.held.is_here() {
            self.held.face().offer = Offering::None; // whoever was to have it has it
        }
        released
    }

    /// The last takeovers that failed while this program served.
    #[must_use]
    pub fn failed_takeovers(&self) -> Vec<FailedTakeover> {
        self.held.failed.borrow().clone()
    }

    /// Waits until a takeover has failed after that moment ([`FailedTakeover::at_us`]), and says which. Cancel safe.
    pub async fn takeover_failed(&self, after_us: i64) -> FailedTakeover {
        let mut failed = self.held.failed.subscribe();
        let next = |all: &Vec<FailedTakeover>| all.iter().find(|one| one.at_us > after_us).cloned();
        match failed.wait_for(|all| next(all).is_some()).await.ok().and_then(|all| next(&all)) {
            Some(failed) => failed,
            None => std::future::pending().await,
        }
    }

    /// Asks for more time to stop: so long from now, unless more is left anyway. Nothing happens before a stop.
    pub fn extend_grace(&self, by: Duration) {
        if self.held.is_here() {
            self.held.extend_grace(by);
        }
    }

    /// Whether one who asked this holder to make room is connected still, to take its place.
    ///
    /// A program that was replaced ends with 0 then; else nobody runs, and a service manager should start one.
    #[must_use]
    pub fn has_successor(&self) -> bool {
        self.held.successors.load(Ordering::Acquire) > 0
    }

    /// Sets how long after the grace the answering thread ends the process, at once and with code 70, if it still holds
    /// the instance; none: it does not. Unless set, it does when the grace is over.
    ///
    /// `last_words` are said before that, on a thread of their own, and get a tenth of a second.
    pub fn set_overtime(&self, overtime: Option<Duration>, last_words: impl FnOnce() + Send + 'static) {
        self.show(|face| {
            face.overtime = overtime;
            face.last_words = Some(LastWords(Box::new(last_words)));
        });
    }

    /// Says that what this holder runs had to be killed after the grace: so the history will tell.
    pub fn overran(&self) {
        self.show(|face| face.overran = true);
    }

    /// Takes messages from now on; without this, `send` is refused. A second call takes over from the first.
    #[must_use = "dropping it refuses messages again"]
    pub fn messages(&self) -> Messages {
        let (inbox, messages) = Inbox::new();
        self.held.face().messages = Some(inbox);
        messages
    }

    /// Counts a piece of work in flight until the guard is dropped; none: the holder is stopping, begin nothing.
    #[must_use = "the work counts until the guard is dropped"]
    pub fn work(&self) -> Option<Work> {
        let mut face = self.held.face();
        face.counts_work = true;
        if face.draining {
            return None;
        }
        // Under the lock under which a stop decides whether the holder is idle.
        self.held.busy.send_modify(|count| *count += 1);
        drop(face);
        answer::post_changed(&self.held);
        Some(Work { held: self.held.clone() })
    }

    /// Waits until no work is in flight. Begin to stop first, or new work may come.
    pub async fn drained(&self) {
        let mut busy = self.held.busy.subscribe();
        let _ = busy.wait_for(|count| *count == 0).await;
    }

    /// Measures how long this runtime takes to answer; shown as `lag` in the status.
    ///
    /// Once a second a task that does nothing is put on it.
    pub fn watch_loop(&self, runtime: tokio::runtime::Handle) {
        self.held.lag.watch(runtime);
    }

    /// A heartbeat for a loop that is not tokio's; the time since its last beat is shown as `lag` in the status.
    #[must_use]
    pub fn heartbeat(&self) -> Heartbeat {
        let lag = self.held.lag.clone();
        lag.beat();
        Heartbeat { lag }
    }

    /// Grows with every claim that is won: a fencing token for what the holder writes elsewhere.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.held.generation
    }

    /// Random, and new with every claim that is won: it, not the pid, says whether it is the same holder.
    #[must_use]
    pub fn instance_id(&self) -> InstanceId {
        self.held.id
    }

    /// Whether the instance is still held. It changes by release, and when another holds it (see [`Holder::deposed`]).
    #[must_use]
    pub fn is_holding(&self) -> bool {
        self.held.is_holding()
    }

    /// Waits until another process holds the instance. Stop at once then: write nothing more, remove nothing.
    ///
    /// It takes files deleted under a living holder, or a lock lost to a closed descriptor, for it to happen.
    pub async fn deposed(&self) {
        let mut life = self.held.life.subscribe();
        if life.wait_for(|life| *life == Life::Deposed).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Releases the instance: stops believing, stops listening, unlocks, closes connections. Works on any executor.
    ///
    /// # Errors
    /// The record could not be written; the instance is free all the same.
    pub async fn release(self) -> Result<(), Error> {
        crate::blocking::run(move || self.release_blocking()).await
    }

    /// Releases the instance. Blocks for a few file operations.
    ///
    /// # Errors
    /// The record could not be written; the instance is free all the same.
    pub fn release_blocking(self) -> Result<(), Error> {
        release::release(&self.held)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = release::release(&self.held);
    }
}

fn non_empty(note: String) -> Option<String> {
    (!note.is_empty()).then_some(note)
}

/// Somebody asked the holder to stop.
#[derive(Debug, Clone)]
pub struct Stop {
    asked: StopAsked,
}

impl Stop {
    /// The time that is left to stop.
    #[must_use]
    pub fn grace(&self) -> Duration {
        self.asked.remaining()
    }

    /// Whether another wants to take the holder's place.
    #[must_use]
    pub fn is_replace(&self) -> bool {
        self.asked.reason.is_replace()
    }

    /// Whether that one has got ready beside this program ([`Holder::offer`]): let go of the instance first, and finish what
    /// is in flight then.
    #[must_use]
    pub fn successor_is_ready(&self) -> bool {
        self.asked.is_ready
    }

    /// The process that asked, as the kernel says; none: it lives in another pid namespace.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.asked.pid
    }

    /// What that process says it is.
    #[must_use]
    pub fn requester(&self) -> &str {
        &self.asked.command
    }
}

/// A piece of work in flight.
#[derive(Debug)]
#[must_use = "the work counts until the guard is dropped"]
pub struct Work {
    held: Arc<Held>,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.held.busy.send_modify(|count| *count = count.saturating_sub(1));
        answer::post_changed(&self.held);
    }
}

/// Says that the program's loop is alive.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    lag: Lag,
}

impl Heartbeat {
    /// Beats.
    pub fn beat(&self) {
        self.lag.beat();
    }
}
