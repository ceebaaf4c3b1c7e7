//! The place of the holder, as the one that watches PROGRAM takes it and passes it on: taken when PROGRAM is ready beside the
//! one that runs, passed on to one that is ready beside this one.
//!
//! | PROGRAM gets ready | then |
//! | --- | --- |
//! | it is ready | the place is taken; from then on all is as if it had been from the start |
//! | it ends, is asked to stop by a signal, or has not been ready in time | the one that runs is told why, and goes on |
//! | it has not been ready in time, and the one that ran has ended | it is waited for |
//! | the place is not to be had | PROGRAM is asked to stop |
//!
//! Proven by `tests/handover_failures.rs`.

use std::{process::ExitStatus, time::Instant};

use incumbent::{FailedTakeover, Holder, platform_for_gateway as platform, text};

use super::{Phase, Supervisor};
use crate::{
    beside::Step,
    output::complain,
    queue, run,
    sockets::Sockets,
    words::{self, say_error},
};

impl Supervisor<'_> {
    /// PROGRAM has said that it is ready: takes the place. It has begun to stop: there is nothing to take it for.
    pub(super) fn get_on_beside(&mut self) {
        let Some(beside) = self.beside.as_mut().filter(|beside| !beside.is_alone()) else { return };
        match self.phase {
            // What has ended is ready for nothing, whatever it said before.
            Phase::Running if self.told.was_ready() && self.family.end().is_none() => beside.complete(),
            Phase::Running => {}
            _ if self.is_hung => beside.withdraw("its PROGRAM is hung"),
            _ => beside.withdraw("it was asked to stop"),
        }
    }

    pub(super) fn stepped(&mut self, step: Step, phase: Phase) -> Phase {
        let Some(beside) = &mut self.beside else { return phase };
        match step {
            Step::Ready => {
                self.told.became_ready();
                if beside.is_alone() {
                    self.beside = None;
                    self.told.took_over();
                } else {
                    beside.complete();
                }
                phase
            }
            Step::Overdue if beside.is_left_alone() => {
                let within = text::duration(beside.timeout());
                beside.take_your_time();
                complain(&format!(
                    "pid {} was not ready within {within}, and is waited for: nobody else runs any more",
                    self.family.child()
                ));
                phase
            }
            Step::Overdue => {
                let within = text::duration(beside.timeout());
                beside.withdraw(&format!("its PROGRAM was not ready within {within}"));
                self.beside = None;
                say_error(&format!(
                    "pid {} was not ready within {within}: the one that runs goes on",
                    self.family.child()
                ));
                self.end_it(phase)
            }
            Step::Taken(Ok(holders)) => {
                self.beside = None;
                self.take(holders);
                phase
            }
            Step::Taken(Err(in_the_way)) => {
                self.beside = None;
                words::not_taken(*in_the_way);
                self.end_it(phase)
            }
        }
    }

    /// It holds now: what is said of it, and to whom.
    fn take(&mut self, taken: Vec<Holder>) {
        self.has_taken = true;
        self.sockets.are_shared();
        self.holders.fill(taken);
        run::set_up(self.holders, self.args);
        self.sockets.offer(self.holders);
        self.holders.set_child(Some((self.family.child(), &self.args.program)));
        if self.args.messages.is_some() {
            self.messages = Some(self.holders.messages());
        }
        if let Ok(dir) = self.instance.dir() {
            complain(&run::holding(self.instance, dir, self.holders));
        }
        self.told.took_over();
    }

    /// PROGRAM is not wanted any more.
    fn end_it(&mut self, phase: Phase) -> Phase {
        if !matches!(phase, Phase::Running) {
            return phase;
        }
        let (asked, grace) = (self.family.signal(self.args.stop_signal), self.args.grace());
        self.told.stopping(None);
        let grace = self.say_stopping(asked, self.args.stop_signal, grace);
        Phase::Stopping { by: Instant::now() + grace, grace, deposed: false }
    }

    /// Lets go of the instance for one who is ready: PROGRAM drains after that.
    pub(super) fn pass_on(&mut self) {
        let to = self.holders.asked().and_then(|stop| stop.pid());
        let passed = self.holders.pass_on();
        self.sockets = Sockets::default(); // what the other one did not want is PROGRAM's alone now, to close
        self.told.passed_on();
        complain(&format!("passed on to {}, which is ready", queue::process_words(to)));
        if let Err(error) = passed {
            complain(&format!("warning: `{}` is free, but {error}", self.instance.name()));
        }
    }

    /// PROGRAM has ended before the place was taken. One that is being taken is awaited.
    pub(super) async fn ended_beside(&mut self, status: ExitStatus) {
        let Some(mut beside) = self.beside.take().filter(|beside| !beside.is_alone()) else { return };
        if beside.is_completing() {
            if let Step::Taken(Ok(holders)) = beside.next().await {
                self.take(holders);
            }
            return;
        }
        let how = match (platform::signal_of(status), status.code()) {
            (Some(signal), _) => format!("died of {}", platform::signal_name(signal)),
            (None, Some(code)) => format!("ended with {code}"),
            (None, None) => "ended".to_owned(),
        };
        let then = if beside.is_left_alone() { "nobody runs any more" } else { "the one that runs goes on" };
        beside.withdraw(&format!("its PROGRAM {how} before it was ready"));
        complain(&format!("pid {} {how} before it was ready: {then}", self.family.child()));
    }
}

/// Says that another did not take over.
pub(super) fn say_failed(failed: &FailedTakeover) {
    let who = queue::process_words(failed.pid);
    complain(&format!("{who} did not take over: {}", text::shown(&failed.why)));
}
