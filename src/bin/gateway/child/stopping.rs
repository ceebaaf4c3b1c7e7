//! How PROGRAM is asked to stop, and killed when its grace is over: by whom, with which signal, and how long it has.
//!
//! The table is in `child.rs`. Proven by `tests/child.rs`, `tests/job_control.rs`.

use std::{
    io,
    time::{Duration, Instant},
};

use incumbent::{Stop, platform_for_gateway as platform, text};

use super::{KILL_WAIT, Phase, Supervisor};
use crate::{
    output::complain,
    signals::{Caught, Meaning, meaning},
    times::rounded,
};

impl Supervisor<'_> {
    /// Somebody has asked, over the endpoint or as the successor.
    pub(super) fn passed_on(&mut self, stop: Stop, phase: Phase) -> Phase {
        let mut grace = stop.grace();
        if self.asked.is_none() {
            self.family.spare(stop.pid());
            if !matches!(phase, Phase::Clearing { .. }) {
                let asked = self.family.signal(self.args.stop_signal);
                self.told.stopping(Some(grace));
                grace = self.say_stopping(asked, self.args.stop_signal, grace);
            }
        }
        let by = Instant::now() + grace;
        self.asked = Some(stop);
        match phase {
            Phase::Running => Phase::Stopping { by, grace, deposed: false },
            Phase::Stopping { by: before, deposed, .. } if by < before => {
                Phase::Stopping { by, grace, deposed }
            }
            Phase::Clearing { code, by: before, killed: false } if by < before => {
                Phase::Clearing { code, by, killed: false }
            }
            Phase::Stopping { .. } | Phase::Killed { .. } | Phase::Clearing { .. } => phase,
        }
    }

    pub(super) fn caught(&mut self, caught: Caught, phase: Phase) -> Phase {
        match meaning(caught.number) {
            Meaning::Tell => {
                let _ = self.family.tell(caught.number);
                phase
            }
            Meaning::Suspend => {
                self.family.suspend(caught.number);
                platform::stop_oneself();
                self.family.suspend(platform::CONTINUE);
                phase
            }
            Meaning::Stop => self.stop(caught, phase),
        }
    }

    /// Passes a signal on that asks to stop, unless the terminal has sent it to the child too.
    pub(super) fn stop(&mut self, caught: Caught, phase: Phase) -> Phase {
        self.was_signalled = true;
        self.holders.draining();
        self.interrupts += u32::from(caught.from_terminal);
        if self.interrupts > 1 {
            return match phase {
                Phase::Clearing { code, .. } => {
                    self.family.kill();
                    Phase::Clearing { code, by: Instant::now() + KILL_WAIT, killed: true }
                }
                Phase::Killed { .. } => phase,
                Phase::Running | Phase::Stopping { .. } => self.kill("was interrupted twice", false),
            };
        }
        if matches!(phase, Phase::Killed { .. } | Phase::Clearing { .. }) {
            return phase;
        }
        let number = caught.passed_on().unwrap_or(self.args.stop_signal);
        let asked = if caught.has_reached(self.family.child()) { Ok(()) } else { self.family.signal(number) };
        // The system may end all of it sooner.
        let grace = self.args.grace().min(caught.time.unwrap_or(Duration::MAX));
        let by = Instant::now() + grace;
        match phase {
            Phase::Running => {
                self.told.stopping(None);
                let grace = self.say_stopping(asked, number, grace);
                Phase::Stopping { by: Instant::now() + grace, grace, deposed: false }
            }
            Phase::Stopping { by: before, deposed, .. } if caught.time.is_some() && by < before => {
                Phase::Stopping { by, grace, deposed }
            }
            phase => phase,
        }
    }

    /// The time that it has after it was asked to stop: the grace. What cannot be asked is ended at once, and so that it
    /// counts as stopped.
    pub(super) fn given(&self, asked: io::Result<()>, grace: Duration) -> Duration {
        let Err(error) = asked else { return grace };
        let (pid, why) = (self.family.child(), text::system_words(&error));
        complain(&format!("warning: pid {pid} is ended without being asked to stop: {why}"));
        self.family.kill();
        KILL_WAIT
    }

    pub(super) fn kill(&mut self, why: &str, deposed: bool) -> Phase {
        self.family.kill();
        complain(&format!("pid {} {why}: it was killed", self.family.child()));
        Phase::Killed { deposed }
    }

    /// Says that it was asked to stop, if it was; the time that it has.
    pub(super) fn say_stopping(&self, asked: io::Result<()>, signal: i32, grace: Duration) -> Duration {
        let pid = self.family.child();
        if asked.is_ok() {
            let (signal, grace) = (platform::signal_name(signal), text::duration(rounded(grace)));
            complain(&format!("stopping: {signal} to pid {pid}, which has {grace}"));
            self.told.note(&format!("pid {pid} has yet to stop"));
        }
        self.given(asked, grace)
    }
}
