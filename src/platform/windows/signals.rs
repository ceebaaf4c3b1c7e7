//! What asks `gateway run` to stop, as events of tokio: Ctrl-C, Ctrl-Break, the closing of the console, logoff, shutdown.
//!
//! After the last three the system ends this process as soon as the routine that was told returns, and in any case after
//! five seconds (`HandlerRoutine`, Microsoft Learn); tokio's never returns, so that the time is ours. A program that
//! shares the console is told by the system itself. A service is told of everybody's logoff, which is none of its
//! business, so that in the session of services nobody listens to that.

use std::{
    io,
    os::windows::io::AsHandle as _,
    process::Child,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{
    signal::windows::{
        CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_logoff,
        ctrl_shutdown,
    },
    sync::Notify,
};
use windows_sys::Win32::System::Threading::{INFINITE, WaitForSingleObject};

use super::{
    children::descendants,
    console::{self, BREAK, INTERRUPT, TERMINATE},
};

/// What is left of the system's five seconds when PROGRAM has to have ended.
const TIME: Duration = Duration::from_secs(4);
/// The closing of the console, a logoff, a shutdown.
const CLOSE: i32 = 1001;

/// What came.
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
    /// Whether it has reached this child, too: what ends a console is told to all that share it.
    #[must_use]
    pub fn has_reached(self, _: u32) -> bool {
        self.number == CLOSE && console::is_there()
    }

    /// Whether a child that died of Ctrl-C or `CTRL_BREAK` died of the same.
    #[must_use]
    pub fn explains(self, _: i32) -> bool {
        asks_to_stop(self.number)
    }

    /// None: whatever it is, it is passed on as what asks to stop.
    #[must_use]
    pub fn passed_on(self) -> Option<i32> {
        None
    }
}

/// Whether what has this number asks to stop: all of it does.
#[must_use]
pub fn asks_to_stop(number: i32) -> bool {
    matches!(number, INTERRUPT | TERMINATE | BREAK | CLOSE)
}

/// This process has asked itself to stop.
static ONESELF: Notify = Notify::const_new();
/// Somebody listens to that.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Asks this very process to stop; one that does not listen yet is ended.
pub(super) fn ask_oneself() {
    if IS_TAKEN.load(Ordering::SeqCst) {
        ONESELF.notify_one();
    } else {
        super::system::exit_at_once(128 + TERMINATE);
    }
}

/// What asks to stop, taken.
#[derive(Debug)]
pub struct Signals {
    c: CtrlC,
    by_break: CtrlBreak,
    close: CtrlClose,
    logoff: Option<CtrlLogoff>,
    shutdown: CtrlShutdown,
}

impl Signals {
    /// Takes them, for good. Within a runtime.
    ///
    /// # Errors
    /// As `SetConsoleCtrlHandler`.
    pub fn take() -> io::Result<Self> {
        let is_service = super::system::session() == Some(0);
        let taken = Self {
            c: ctrl_c()?,
            by_break: ctrl_break()?,
            close: ctrl_close()?,
            logoff: if is_service { None } else { Some(ctrl_logoff()?) },
            shutdown: ctrl_shutdown()?,
        };
        IS_TAKEN.store(true, Ordering::SeqCst);
        Ok(taken)
    }

    /// Nothing suspends this program.
    #[allow(clippy::unused_self, clippy::needless_pass_by_ref_mut)] // as on Unix
    pub fn watch_suspensions(&mut self, _: bool) {}

    /// Waits for the next one. Cancel safe.
    pub async fn next(&mut self) -> Caught {
        let logoff = async {
            match &mut self.logoff {
                Some(logoff) => logoff.recv().await,
                None => std::future::pending().await,
            }
        };
        let number = tokio::select! {
            Some(()) = self.c.recv() => INTERRUPT,
            Some(()) = self.by_break.recv() => BREAK,
            Some(()) = self.close.recv() => CLOSE,
            Some(()) = logoff => CLOSE,
            Some(()) = self.shutdown.recv() => CLOSE,
            () = ONESELF.notified() => TERMINATE,
            else => std::future::pending().await,
        };
        let time = (number == CLOSE).then_some(TIME);
        Caught { number, from_terminal: number == INTERRUPT, time }
    }
}

/// That the child has ended, or something that it started.
#[derive(Debug)]
pub struct Ends(Arc<Notify>);

impl Ends {
    /// Before the child is started.
    ///
    /// # Errors
    /// None.
    #[allow(clippy::unnecessary_wraps)] // as on Unix
    pub fn take() -> io::Result<Self> {
        Ok(Self(Arc::default()))
    }

    /// Watches the child that was started, and when that has ended what is left, one after the other, until nothing is.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn of(&self, child: &Child) -> io::Result<()> {
        let (process, ends) = (child.as_handle().try_clone_to_owned()?, self.0.clone());
        let watch = move || {
            use std::os::windows::io::AsRawHandle as _;
            // SAFETY: the handle is open.
            unsafe { WaitForSingleObject(process.as_raw_handle(), INFINITE) };
            ends.notify_one();
            while let Some(one) = descendants(&[]).first() {
                one.until_ended();
                ends.notify_one();
            }
            ends.notify_one();
        };
        thread::Builder::new().name("child".into()).spawn(watch).map(drop)
    }

    /// Waits until one more may have ended. Cancel safe.
    pub async fn next(&mut self) {
        self.0.notified().await;
    }
}
