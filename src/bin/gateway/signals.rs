//! The signals of `run`: SIGTERM, SIGINT and SIGHUP ask it to stop, SIGUSR1 and SIGUSR2 are for PROGRAM, and SIGTSTP suspends
//! both.
//!
//! One that was ignored when `gateway` began stays ignored (`nohup`, a background job of a script). A Ctrl-C reaches the
//! whole process group of a terminal, so PROGRAM has had it already: [`Caught::from_terminal`] says so, and it is not
//! sent a second time.

use std::{future::pending, io};

use incumbent::platform_for_gateway as platform;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};

/// What a signal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Stop,
    Tell,
    Suspend,
}

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caught {
    /// Its number.
    pub(crate) number: i32,
    /// A terminal sent it to the whole process group.
    pub(crate) from_terminal: bool,
}

impl Caught {
    /// What it is for.
    pub(crate) fn meaning(self) -> Meaning {
        match self.number {
            number if Signals::takes(number) => Meaning::Stop,
            platform::SUSPEND => Meaning::Suspend,
            _ => Meaning::Tell,
        }
    }
}

/// The signals, taken; those that are ignored are none.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
    hang_up: Option<Signal>,
    user: [Option<Signal>; 2],
    suspend: Option<Signal>,
}

/// More than tokio needs of descriptors for its events and for signals.
const DESCRIPTORS: usize = 8;

/// The event loop. Tokio panics where it finds no descriptor for its signals, so that is looked at before.
pub(crate) fn runtime() -> io::Result<Runtime> {
    platform::has_descriptors_left(DESCRIPTORS)?;
    Builder::new_current_thread().enable_all().build()
}

impl Signals {
    /// Takes them, for good.
    pub(crate) fn take() -> io::Result<Self> {
        let take = |kind: SignalKind| {
            if platform::is_ignored(kind.as_raw_value()) { Ok(None) } else { signal(kind).map(Some) }
        };
        if !platform::is_ignored(SignalKind::interrupt().as_raw_value()) {
            platform::note_terminal_interrupts()?;
        }
        Ok(Self {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
            hang_up: take(SignalKind::hangup())?,
            user: [take(SignalKind::user_defined1())?, take(SignalKind::user_defined2())?],
            suspend: None,
        })
    }

    /// Takes Ctrl-Z, too, if the child is not in this process's group and would not get it. Without it the signal does
    /// what it does by itself: at a terminal it has stopped all of the group.
    pub(crate) fn watch_suspensions(&mut self, wanted: bool) {
        if wanted && !platform::is_ignored(platform::SUSPEND) {
            self.suspend = signal(SignalKind::from_raw(platform::SUSPEND)).ok();
        }
    }

    /// Whether a signal of this number asks to stop.
    pub(crate) fn takes(number: i32) -> bool {
        [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()]
            .iter()
            .any(|kind| kind.as_raw_value() == number)
    }

    /// Waits for the next one. Cancel safe.
    pub(crate) async fn next(&mut self) -> Caught {
        let [user1, user2] = &mut self.user;
        let kind = tokio::select! {
            () = received(&mut self.terminate) => SignalKind::terminate(),
            () = received(&mut self.interrupt) => SignalKind::interrupt(),
            () = received(&mut self.hang_up) => SignalKind::hangup(),
            () = received(user1) => SignalKind::user_defined1(),
            () = received(user2) => SignalKind::user_defined2(),
            () = received(&mut self.suspend) => SignalKind::from_raw(platform::SUSPEND),
        };
        let from_terminal = kind == SignalKind::interrupt() && platform::was_interrupted_at_terminal();
        Caught { number: kind.as_raw_value(), from_terminal }
    }
}

impl Signals {
    /// Waits for the next one that asks to stop; the others are for nobody. Cancel safe.
    pub(crate) async fn next_stop(&mut self) {
        while self.next().await.meaning() != Meaning::Stop {}
    }
}

async fn received(signal: &mut Option<Signal>) {
    let came = match signal {
        Some(signal) => signal.recv().await.is_some(),
        None => false,
    };
    if !came {
        pending::<()>().await;
    }
}
