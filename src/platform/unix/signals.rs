//! The signals of `gateway run`, as events of tokio: SIGTERM, SIGINT and SIGHUP, SIGUSR1 and SIGUSR2, SIGTSTP, SIGCHLD.
//!
//! One that was ignored when `gateway` began stays ignored (`nohup`, a background job of a script). A Ctrl-C reaches the
//! whole process group of a terminal: [`Caught::has_reached`] says so. What a signal means is decided in `gateway`.

use std::{future::pending, io, process::Child, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};

use super::for_gateway::{
    SUSPEND, is_ignored, note_terminal_interrupts, shares_group, was_interrupted_at_terminal,
};

/// After so long it is looked whether a child has ended without a word.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// A signal that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caught {
    /// Its number.
    pub number: i32,
    /// A person typed it at a terminal.
    pub from_terminal: bool,
    /// The system ends this process after so long.
    pub time: Option<Duration>,
}

impl Caught {
    /// Whether it has reached this child, too.
    #[must_use]
    pub fn has_reached(self, child: u32) -> bool {
        self.from_terminal && shares_group(child)
    }

    /// Whether a child that died of this signal died of the same one.
    #[must_use]
    pub fn explains(self, signal: i32) -> bool {
        self.number == signal
    }

    /// The signal that passes it on; none: the one that asks to stop.
    #[must_use]
    pub fn passed_on(self) -> Option<i32> {
        Some(self.number).filter(|&number| number != SignalKind::terminate().as_raw_value())
    }
}

/// Whether a signal of this number asks to stop.
#[must_use]
pub fn asks_to_stop(number: i32) -> bool {
    [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()]
        .iter()
        .any(|kind| kind.as_raw_value() == number)
}

/// The signals, taken; those that are ignored are none.
#[derive(Debug)]
pub struct Signals {
    terminate: Option<Signal>,
    interrupt: Option<Signal>,
    hang_up: Option<Signal>,
    user: [Option<Signal>; 2],
    suspend: Option<Signal>,
}

impl Signals {
    /// Takes them, for good. Within a runtime.
    ///
    /// # Errors
    /// As `sigaction(2)`.
    pub fn take() -> io::Result<Self> {
        let take = |kind: SignalKind| {
            if is_ignored(kind.as_raw_value()) { Ok(None) } else { signal(kind).map(Some) }
        };
        if !is_ignored(SignalKind::interrupt().as_raw_value()) {
            note_terminal_interrupts()?;
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
    pub fn watch_suspensions(&mut self, wanted: bool) {
        if wanted && !is_ignored(SUSPEND) {
            self.suspend = signal(SignalKind::from_raw(SUSPEND)).ok();
        }
    }

    /// Waits for the next one. Cancel safe.
    pub async fn next(&mut self) -> Caught {
        let [user1, user2] = &mut self.user;
        let kind = tokio::select! {
            () = received(&mut self.terminate) => SignalKind::terminate(),
            () = received(&mut self.interrupt) => SignalKind::interrupt(),
            () = received(&mut self.hang_up) => SignalKind::hangup(),
            () = received(user1) => SignalKind::user_defined1(),
            () = received(user2) => SignalKind::user_defined2(),
            () = received(&mut self.suspend) => SignalKind::from_raw(SUSPEND),
        };
        let from_terminal = kind == SignalKind::interrupt() && was_interrupted_at_terminal();
        Caught { number: kind.as_raw_value(), from_terminal, time: None }
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

/// That children of this process have ended (SIGCHLD): the one that it started, or orphans that it adopted.
#[derive(Debug)]
pub struct Ends(Signal);

impl Ends {
    /// Takes them, before the child is started. Within a runtime.
    ///
    /// # Errors
    /// As `sigaction(2)`.
    pub fn take() -> io::Result<Self> {
        signal(SignalKind::child()).map(Self)
    }

    /// Says which child was started.
    ///
    /// # Errors
    /// None.
    #[allow(clippy::unnecessary_wraps, clippy::unused_self)] // elsewhere there is something to do
    pub fn of(&self, _: &Child) -> io::Result<()> {
        Ok(())
    }

    /// Waits until one more may have ended: until the signal comes, and at the most a second, because a signal that found no
    /// memory on its way is lost. Cancel safe.
    pub async fn next(&mut self) {
        if let Ok(None) = timeout(LOST_AFTER, self.0.recv()).await {
            pending::<()>().await;
        }
    }
}
