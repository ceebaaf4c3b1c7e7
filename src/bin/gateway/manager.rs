//! The service manager above us, if there is one (`NOTIFY_SOCKET`): it is told what askers are shown, as `sd_notify(3)` says.
//!
//! What is to be told is a state, and a datagram says what has changed in it since the last one: a manager that does not
//! read holds nobody up and misses nothing that still counts. If it wants to know whether we live (`WATCHDOG_USEC`), it is
//! told at half that interval by a task of the program's own loop, so that it learns when that hangs. Proven by
//! `tests/managed.rs`.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt::Write as _,
    future::pending,
    io::{self, ErrorKind},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use incumbent::{
    platform_for_gateway::{self as platform, Teller},
    text,
};
use tokio::{
    sync::Notify as Wake,
    time::{Interval, MissedTickBehavior, interval, timeout},
};

use crate::output::complain;

/// What a manager that does not read may take of our end.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// The end itself takes a moment beyond the grace: so much more is asked for.
const BEYOND_THE_GRACE: Duration = Duration::from_secs(5);

/// Who started us and wants to be told; or nobody.
#[derive(Debug, Clone)]
pub(crate) struct Manager(Option<Arc<Line>>);

/// The way to it.
#[derive(Debug)]
struct Line {
    address: OsString,
    teller: Teller,
    words: Mutex<Words>,
    /// It did not take what was to be told.
    blocked: Wake,
}

#[derive(Debug, Default)]
struct Words {
    told: State,
    now: State,
    /// `EXTEND_TIMEOUT_USEC`, not told yet.
    more_time: Option<Duration>,
    is_broken: bool,
}

/// What a manager is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    is_ready: bool,
    is_reloading: bool,
    is_stopping: bool,
    status: String,
}

impl Manager {
    /// Finds it in the environment. Within a runtime; what is wrong with its address is said, and it is told nothing.
    pub(crate) fn from_env() -> Self {
        let Some(address) = env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty()) else {
            return Self(None);
        };
        match Line::to(address.clone()) {
            Ok(line) => {
                let line = Arc::new(line);
                tokio::spawn(attend(line.clone(), watchdog().map(|every| every / 2)));
                Self(Some(line))
            }
            Err(error) => {
                cannot_tell(&address, &error);
                Self(None)
            }
        }
    }

    /// What runs here is ready, also after a reload.
    pub(crate) fn ready(&self) {
        self.tell(|words| {
            words.now.is_ready = true;
            words.now.is_reloading = false;
        });
    }

    /// It reads its configuration anew; [`Manager::ready`] ends that.
    pub(crate) fn reloading(&self) {
        self.tell(|words| words.now.is_reloading = true);
    }

    /// It stops. With a grace: not because the manager said so, which counts its own time from now on.
    pub(crate) fn stopping(&self, grace: Option<Duration>) {
        self.tell(|words| {
            words.now.is_stopping = true;
            words.more_time = words.more_time.max(grace.map(|grace| grace.saturating_add(BEYOND_THE_GRACE)));
        });
    }

    /// It needs so much time from now, to start or to stop.
    pub(crate) fn more_time(&self, time: Duration) {
        self.tell(|words| words.more_time = words.more_time.max(Some(time)));
    }

    /// The note that askers are shown.
    pub(crate) fn status(&self, note: &str) {
        self.tell(|words| note.clone_into(&mut words.now.status));
    }

    fn tell(&self, change: impl FnOnce(&mut Words)) {
        if let Some(line) = &self.0 {
            change(&mut line.words());
            if !line.deliver() {
                line.blocked.notify_one();
            }
        }
    }

    /// Waits until everything is told, a moment at the most.
    pub(crate) async fn told(&self) {
        if let Some(line) = &self.0 {
            let _ = timeout(LAST_WORDS, line.delivered()).await;
        }
    }
}

impl Line {
    fn to(address: OsString) -> io::Result<Self> {
        let teller = Teller::to(&address)?;
        Ok(Self { address, teller, words: Mutex::default(), blocked: Wake::new() })
    }

    fn words(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells what there is to be told, without waiting. `false`: it does not take it now.
    fn deliver(&self) -> bool {
        let mut words = self.words();
        let said = words.said();
        if said.is_empty() || words.is_broken {
            return true;
        }
        match self.teller.try_tell(said.as_bytes()) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return false,
            Err(error) => {
                words.is_broken = true;
                cannot_tell(&self.address, &error);
            }
            Ok(()) => {}
        }
        words.told = words.now.clone();
        words.more_time = None;
        true
    }

    /// Tells that the loop runs.
    async fn lives(&self) {
        while matches!(self.teller.try_tell(b"WATCHDOG=1"), Err(error) if error.kind() == ErrorKind::WouldBlock)
        {
            if self.teller.writable().await.is_err() {
                return;
            }
        }
    }

    async fn delivered(&self) {
        while !self.deliver() {
            if self.teller.writable().await.is_err() {
                return;
            }
        }
    }
}

impl Words {
    /// What has changed, line by line. Of `READY`, `RELOADING` and `STOPPING` the last one counts for systemd.
    fn said(&self) -> String {
        let (told, now) = (&self.told, &self.now);
        let mut said = String::new();
        let mut say = |line: std::fmt::Arguments<'_>| {
            let _ = writeln!(said, "{line}");
        };
        if now.is_ready && (!told.is_ready || told.is_reloading && !now.is_reloading) {
            say(format_args!("READY=1"));
        }
        if now.is_reloading && !told.is_reloading {
            say(format_args!("RELOADING=1\nMONOTONIC_USEC={}", platform::monotonic_us()));
        }
        if now.is_stopping && !told.is_stopping {
            say(format_args!("STOPPING=1"));
        }
        if now.status != told.status {
            say(format_args!("STATUS={}", now.status));
        }
        if let Some(time) = self.more_time {
            say(format_args!("EXTEND_TIMEOUT_USEC={}", time.as_micros()));
        }
        said
    }
}

/// Tells that the loop runs, and what the manager would not take at once.
async fn attend(line: Arc<Line>, every: Option<Duration>) {
    let mut ping = every.map(interval);
    if let Some(ping) = &mut ping {
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    loop {
        tokio::select! {
            () = tick(&mut ping) => line.lives().await,
            () = line.blocked.notified() => line.delivered().await,
        }
    }
}

async fn tick(ping: &mut Option<Interval>) {
    match ping {
        Some(ping) => drop(ping.tick().await),
        None => pending().await,
    }
}

/// How often the manager wants to hear from this very process.
fn watchdog() -> Option<Duration> {
    let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let is_ours = env::var_os("WATCHDOG_PID").is_none()
        || number("WATCHDOG_PID") == Some(u64::from(std::process::id()));
    let every = number("WATCHDOG_USEC").map(Duration::from_micros).filter(|every| !every.is_zero());
    every.filter(|_| is_ours)
}

fn cannot_tell(address: &OsStr, error: &io::Error) {
    let why = match error.kind() {
        ErrorKind::InvalidInput => platform::NO_ADDRESS.to_owned(),
        _ => text::system_words(error),
    };
    complain(&format!(
        "warning: the service manager is told nothing: NOTIFY_SOCKET is {}: {why}",
        text::quoted(address)
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(now: State, told: State, more_time: Option<Duration>) -> String {
        Words { told, now, more_time, is_broken: false }.said()
    }

    #[test]
    fn only_what_has_changed_is_told() {
        let ready = State { is_ready: true, ..State::default() };
        let serving = State { status: "serving".into(), ..ready.clone() };
        let stopping = State { is_stopping: true, ..serving.clone() };
        assert_eq!(words(State::default(), State::default(), None), "");
        assert_eq!(words(serving.clone(), State::default(), None), "READY=1\nSTATUS=serving\n");
        assert_eq!(words(serving.clone(), serving.clone(), None), "");
        assert_eq!(words(ready.clone(), serving.clone(), None), "STATUS=\n");
        let time = Some(Duration::from_secs(3));
        assert_eq!(words(stopping.clone(), serving, time), "STOPPING=1\nEXTEND_TIMEOUT_USEC=3000000\n");
        // Ready and stopping since the last time: that it was ready is told too, and that it stops counts.
        assert_eq!(words(stopping, State::default(), None), "READY=1\nSTOPPING=1\nSTATUS=serving\n");
    }

    #[test]
    fn a_reload_is_told_with_its_time_and_ends_with_ready() {
        let ready = State { is_ready: true, ..State::default() };
        let reloading = State { is_reloading: true, ..ready.clone() };
        let told = words(reloading.clone(), ready.clone(), None);
        assert!(told.starts_with("RELOADING=1\nMONOTONIC_USEC=") && !told.contains("READY=1"), "{told}");
        assert_eq!(words(ready, reloading, None), "READY=1\n");
    }
}
