//! What the child has said of itself, and what that makes of the holders: its state, its note, and what the manager is told.
//!
//! | it says | then |
//! | --- | --- |
//! | `READY=1` | ready (with `--notify` or an overlap; else it is since it was started); a reload is over. With `--ready-after` or `--ready-probe`, and without `--notify`, these tell |
//! | `STATUS=…` | the note |
//! | `RELOADING=1` | the note is `reloading`, unless it gives another, until it is ready again |
//! | `STOPPING=1` | draining; from now on it is watched by its grace |
//! | `EXTEND_TIMEOUT_USEC=n` | passed on; while it is stopping it has that time, if less is left |
//! | `WATCHDOG=1`, `trigger`, `WATCHDOG_USEC=n` | it lives; it is hung; how often it will say so |
//! | `MAINPID=n` | a warning: `gateway` looks after the process that it started |
//!
//! It is heard before anything is judged. Proven by `tests/notify.rs`.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use incumbent::text;
use tokio::time::sleep_until;

use crate::{
    args::Run,
    background,
    holders::Holders,
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
    holders: &'a Holders,
    manager: &'a Manager,
    notify: Option<Notify>,
    next_look: Instant,
    pid: u32,
    grace: Duration,
    ready_by: ReadyBy,
    /// The place is not taken yet: nobody is told.
    is_beside: bool,
    /// `--watchdog`, or what the child said since.
    interval: Option<Duration>,
    watchdog: Option<Watchdog>,
    come: Come,
    /// The last status, and what is shown of it.
    status: String,
    note: String,
    /// That `MAINPID=` is ignored was said.
    has_warned: bool,
}

/// What makes it ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadyBy {
    /// That it was started.
    Start,
    /// Its own word: `--notify`, or an overlap.
    Word,
    /// A clock or a probe, and not its own word.
    Other,
}

impl ReadyBy {
    fn what(args: &Run) -> Self {
        match args.waits_for_ready() {
            true if args.is_ready_by_itself() && !args.notify => Self::Other,
            true => Self::Word,
            false => Self::Start,
        }
    }
}

/// How far it has come.
#[derive(Debug, Clone, Copy, Default)]
struct Come {
    is_ready: bool,
    is_reloading: bool,
    /// By itself, or because it was asked to.
    is_stopping: bool,
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
        holders: &'a Holders,
        manager: &'a Manager,
        notify: Option<Notify>,
        args: &Run,
    ) -> Self {
        let next_look = Instant::now() + LOOK;
        Self {
            holders,
            manager,
            notify,
            next_look,
            pid: 0,
            grace: args.grace(),
            interval: args.watchdog,
            ready_by: ReadyBy::what(args),
            is_beside: false,
            watchdog: None,
            come: Come::default(),
            status: String::new(),
            note: String::new(),
            has_warned: false,
        }
    }

    /// Puts into its environment what it needs to say something, in place of what was meant for us.
    ///
    /// What was said before its start was said by another: by what a predecessor left behind, under the same path.
    pub(crate) fn tell_how(&self, command: &mut Command) {
        if let Some(notify) = &self.notify {
            notify.forget();
            command.env("NOTIFY_SOCKET", notify.path());
        }
        if let Some(interval) = self.interval {
            command.env("WATCHDOG_USEC", interval.as_micros().to_string());
        }
    }

    /// It was started.
    pub(crate) fn started(&mut self, pid: u32) {
        self.pid = pid;
        if self.ready_by == ReadyBy::Start {
            self.ready();
            self.show_ready();
        }
    }

    /// It gets ready beside the one that runs.
    pub(crate) fn gets_ready_beside(&mut self) {
        self.is_beside = true;
    }

    /// It is ready, though it has not said so.
    pub(crate) fn became_ready(&mut self) {
        self.ready();
    }

    /// The place is taken: what was said meanwhile is told.
    pub(crate) fn took_over(&mut self) {
        self.is_beside = false;
        if self.come.is_stopping {
            self.holders.draining();
        }
        self.show_ready();
    }

    /// The place is another's.
    pub(crate) fn passed_on(&mut self) {
        if let Some(notify) = &mut self.notify {
            notify.pass_on();
        }
    }

    /// Whether it has been ready.
    pub(crate) fn was_ready(&self) -> bool {
        self.come.is_ready
    }

    /// It is asked to stop: the watching is left to the grace. With a grace: the manager did not ask for it.
    pub(crate) fn stopping(&mut self, grace: Option<Duration>) {
        self.come.is_stopping = true;
        self.watchdog = None;
        self.manager.stopping(grace);
    }

    /// What is said of it while it is stopping; what it says itself comes in its place.
    pub(crate) fn note(&self, note: &str) {
        self.holders.set_note(note);
        self.manager.status(note);
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
        let is_silent = self.watchdog.as_mut().is_some_and(|dog| dog.is_over(now));
        let mut is_heard = true;
        if is_silent || now >= self.next_look {
            self.next_look = now + LOOK;
            is_heard = self.notify.as_mut().is_none_or(Notify::mend);
        }
        match &mut self.watchdog {
            Some(dog) if !is_heard => dog.feed(now), // nobody could have heard it
            Some(dog) if is_silent && heard.hung.is_none() => {
                let silent = text::duration(dog.interval());
                heard.hung = Some(format!("pid {} is hung: no WATCHDOG=1 for {silent}", self.pid));
            }
            _ => {}
        }
        if heard.hung.is_some() {
            self.watchdog = None;
        }
        heard
    }

    fn show(&mut self, said: Vec<Said>, now: Instant, heard: &mut Heard) {
        let before = self.come;
        let noted = self.note.clone();
        for said in said {
            self.take(said, now, heard);
        }
        if self.come.is_stopping && !before.is_stopping {
            self.holders.draining();
            self.manager.stopping(None);
        }
        if self.come.is_ready && !before.is_ready || before.is_reloading && !self.come.is_reloading {
            self.show_ready();
        } else if self.come.is_reloading && !before.is_reloading {
            self.manager.reloading();
        }
        if let Some(time) = heard.more_time {
            self.holders.extend_grace(time); // before the note: who is shown it is shown what is left, too
            self.manager.more_time(time);
        }
        if self.note != noted {
            self.note(&self.note);
        }
    }

    fn take(&mut self, said: Said, now: Instant, heard: &mut Heard) {
        match said.phase {
            Some(Phase::Ready) if self.come.is_ready || self.ready_by != ReadyBy::Other => self.ready(),
            Some(Phase::Reloading) => {
                self.come.is_reloading = true;
                "reloading".clone_into(&mut self.note);
            }
            Some(Phase::Stopping) if !self.come.is_stopping => {
                self.come.is_stopping = true;
                self.watch_for(self.grace, now);
            }
            Some(Phase::Ready | Phase::Stopping) | None => {}
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
        if let Some(time) = said.more_time {
            heard.more_time = heard.more_time.max(Some(time));
            if self.come.is_stopping {
                self.watch_for(time, now);
            }
        }
        if let Some(other) = said.main_pid.filter(|pid| *pid != self.pid && !self.has_warned) {
            self.has_warned = true;
            let own = self.pid;
            complain(&format!("warning: MAINPID={other} is ignored: pid {own} is what was started here"));
        }
    }

    fn ready(&mut self) {
        self.come.is_reloading = false;
        self.note.clone_from(&self.status);
        if !self.come.is_ready {
            self.come.is_ready = true;
            self.watch(Instant::now());
        }
    }

    fn show_ready(&self) {
        if self.is_beside {
            return;
        }
        if !self.come.is_stopping {
            self.holders.ready(&self.note);
            background::ready();
        }
        self.manager.ready();
    }

    /// Gives it so long, or what it has by itself, until it must say something again.
    fn watch_for(&mut self, time: Duration, now: Instant) {
        self.watchdog = self.watchdog.map(|dog| Watchdog::new(dog.interval().max(time), now));
    }

    /// Begins to watch it, if it is to be watched and can be.
    fn watch(&mut self, now: Instant) {
        let is_watched = self.come.is_ready && !self.come.is_stopping;
        self.watchdog = self.interval.filter(|_| is_watched).map(|interval| Watchdog::new(interval, now));
    }
}
