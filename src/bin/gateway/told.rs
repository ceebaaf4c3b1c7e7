//! What the child has said of itself, and what that makes of the holder: its state, its note, and what the manager is told.
//!
//! | it says | then |
//! | --- | --- |
//! | `READY=1` | ready (with `--notify`; else it is since it was started); a reload is over |
//! | `STATUS=…` | the note |
//! | `RELOADING=1` | the note is `reloading`, unless it gives another, until it is ready again |
//! | `STOPPING=1` | draining; from now on it is watched by its grace |
//! | `EXTEND_TIMEOUT_USEC=n` | passed on; while it is stopping it has that time, if less is left |
//! | `WATCHDOG=1`, `trigger`, `WATCHDOG_USEC=n` | it lives; it is hung; how often it will say so |
//! | `MAINPID=n` | a warning: `gateway` looks after the process that it started |
//!
//! It is heard before anything is judged. Proven by `tests/notify.rs`.

use std::time::{Duration, Instant};

use incumbent::{Holder, text};
use tokio::time::sleep_until;

use crate::{
    manager::Manager,
    notify::Notify,
    output::complain,
    said::{Phase, Said},
    watchdog::Watchdog,
};

/// Between two looks whether the path to us is still there.
const LOOK: Duration = Duration::from_secs(1);

/// What a child has said.
#[derive(Debug)]
pub(crate) struct Told<'a> {
    holder: &'a Holder,
    pub(crate) manager: &'a Manager,
    notify: Option<Notify>,
    next_look: Instant,
    pid: u32,
    grace: Duration,
    /// `--watchdog`, or what the child said since.
    interval: Option<Duration>,
    watchdog: Option<Watchdog>,
    is_ready: bool,
    is_reloading: bool,
    /// By itself, or because it was asked to.
    is_stopping: bool,
    /// The last status, and what is shown of it.
    status: String,
    note: String,
    main_pid: Option<u32>,
}

/// What was heard that somebody has to act upon.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// It needs so much time from now.
    pub(crate) more_time: Option<Duration>,
    /// It is hung, and how that shows.
    pub(crate) hung: Option<String>,
}

impl<'a> Told<'a> {
    /// Of a child that is about to be started.
    pub(crate) fn new(
        holder: &'a Holder,
        manager: &'a Manager,
        notify: Option<Notify>,
        grace: Duration,
        interval: Option<Duration>,
    ) -> Self {
        let next_look = Instant::now() + LOOK;
        Self {
            holder,
            manager,
            notify,
            next_look,
            pid: 0,
            grace,
            interval,
            watchdog: None,
            is_ready: false,
            is_reloading: false,
            is_stopping: false,
            status: String::new(),
            note: String::new(),
            main_pid: None,
        }
    }

    /// It was started; `waits`: and is ready only when it says so.
    pub(crate) fn started(&mut self, pid: u32, waits: bool) {
        self.pid = pid;
        if !waits {
            self.ready();
            self.show_ready();
        }
    }

    /// Whether it has been ready.
    pub(crate) fn was_ready(&self) -> bool {
        self.is_ready
    }

    /// It was asked to stop: the watching is left to the grace.
    pub(crate) fn stopping(&mut self) {
        self.is_stopping = true;
        self.watchdog = None;
    }

    /// Waits until there is something to hear, or to look after. Cancel safe.
    pub(crate) async fn next(&self) {
        let Some(notify) = &self.notify else { return std::future::pending().await };
        let look = self.watchdog.map_or(self.next_look, |dog| dog.next_look().min(self.next_look));
        tokio::select! {
            () = notify.readable() => {}
            () = sleep_until(look.into()) => {}
        }
    }

    /// Hears what it has said since, shows it, and only then looks whether it has been silent for too long.
    pub(crate) fn hear(&mut self) -> Heard {
        let mut heard = Heard::default();
        let now = Instant::now();
        let said = self.notify.as_ref().map(Notify::take).unwrap_or_default();
        self.show(said, now, &mut heard);
        if now >= self.next_look {
            self.next_look = now + LOOK;
            let is_heard = self.notify.as_mut().is_none_or(Notify::mend);
            if let Some(dog) = self.watchdog.as_mut().filter(|_| !is_heard) {
                dog.feed(now); // nobody could have heard it
            }
        }
        if let Some(dog) = self.watchdog.as_mut().filter(|_| heard.hung.is_none()) {
            if dog.is_over(now) {
                let silent = text::duration(dog.interval());
                heard.hung = Some(format!("pid {} is hung: no WATCHDOG=1 for {silent}", self.pid));
            }
        }
        if heard.hung.is_some() {
            self.watchdog = None;
        }
        heard
    }

    fn show(&mut self, said: Vec<Said>, now: Instant, heard: &mut Heard) {
        let was = (self.is_ready, self.is_reloading, self.is_stopping);
        let note = self.note.clone();
        for said in said {
            self.take(said, now, heard);
        }
        let (was_ready, was_reloading, was_stopping) = was;
        if self.is_stopping && !was_stopping {
            self.holder.draining();
            self.manager.stopping(None);
        }
        if self.is_ready && !was_ready || was_reloading && !self.is_reloading {
            self.show_ready();
        } else if self.is_reloading && !was_reloading {
            self.manager.reloading();
        }
        if self.note != note {
            self.holder.set_note(self.note.as_str());
            self.manager.status(&self.note);
        }
        if let Some(time) = heard.more_time {
            self.manager.more_time(time);
        }
    }

    fn take(&mut self, said: Said, now: Instant, heard: &mut Heard) {
        match said.phase {
            Some(Phase::Ready) => self.ready(),
            Some(Phase::Reloading) => {
                self.is_reloading = true;
                "reloading".clone_into(&mut self.note);
            }
            Some(Phase::Stopping) if !self.is_stopping => {
                self.is_stopping = true;
                let grace = |dog: Watchdog| Watchdog::new(self.grace.max(dog.interval()), now);
                self.watchdog = self.watchdog.map(grace);
            }
            Some(Phase::Stopping) | None => {}
        }
        if let Some(status) = said.status {
            self.note.clone_from(&status);
            self.status = status;
        }
        if let Some(interval) = said.interval {
            self.interval = Some(interval).filter(|interval| !interval.is_zero());
            self.watch(now);
        }
        if let Some(dog) = self.watchdog.as_mut().filter(|_| said.is_alive) {
            dog.feed(now);
        }
        if said.is_hung {
            heard.hung = Some(format!("pid {} says that it is hung (WATCHDOG=trigger)", self.pid));
        }
        heard.more_time = said.more_time.or(heard.more_time);
        if let Some(other) = said.main_pid.filter(|pid| *pid != self.pid && self.main_pid != Some(*pid)) {
            self.main_pid = Some(other);
            let own = self.pid;
            complain(&format!("warning: MAINPID={other} is ignored: pid {own} is what was started here"));
        }
    }

    fn ready(&mut self) {
        self.is_reloading = false;
        self.note.clone_from(&self.status);
        if !self.is_ready {
            self.is_ready = true;
            self.watch(Instant::now());
        }
    }

    fn show_ready(&self) {
        if !self.is_stopping {
            self.holder.ready(self.note.as_str());
        }
        self.manager.ready();
    }

    /// Begins to watch it, if it is to be watched and can be.
    fn watch(&mut self, now: Instant) {
        let is_watched = self.is_ready && !self.is_stopping;
        self.watchdog = self.interval.filter(|_| is_watched).map(|interval| Watchdog::new(interval, now));
    }
}
