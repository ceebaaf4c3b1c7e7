//! The signals of `run`: what each of them is for.
//!
//! SIGTERM, SIGINT and SIGHUP ask it to stop, SIGUSR1 and SIGUSR2 are for PROGRAM, and SIGTSTP suspends both. On Windows
//! Ctrl-C, Ctrl-Break, the closing of the console, a logoff and a shutdown ask it to stop.

use std::{io, panic};

use incumbent::platform_for_gateway::{self as platform, signals};
use tokio::runtime::{Builder, Runtime};

pub(crate) use signals::{Caught, Ends, Signals};

/// What a signal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    Stop,
    Tell,
    Suspend,
}

/// What a signal of this number is for.
pub(crate) fn meaning(number: i32) -> Meaning {
    match number {
        number if signals::asks_to_stop(number) => Meaning::Stop,
        platform::SUSPEND => Meaning::Suspend,
        _ => Meaning::Tell,
    }
}

/// Waits for the next one that asks to stop; the others are for nobody. Cancel safe.
pub(crate) async fn next_stop(signals: &mut Signals) {
    while meaning(signals.next().await.number) != Meaning::Stop {}
}

/// More than tokio needs of descriptors for its events and for signals.
const DESCRIPTORS: usize = 8;

/// The event loop. Tokio panics where it finds no descriptor for its signals, so that is looked at before; and where the
/// system has no socket for them, which is an error here as any other.
pub(crate) fn runtime() -> io::Result<Runtime> {
    platform::has_descriptors_left(DESCRIPTORS)?;
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let built = panic::catch_unwind(|| Builder::new_current_thread().enable_all().build());
    panic::set_hook(hook);
    built.unwrap_or_else(|why| {
        let why = why.downcast_ref::<String>().map_or("no socket for signals", String::as_str);
        Err(system_error_in(why).unwrap_or_else(|| io::Error::other(why.to_owned())))
    })
}

/// The system's error that a panic's words show.
fn system_error_in(words: &str) -> Option<io::Error> {
    let (_, code) = words.split_once("Os { code: ")?;
    code.split(',').next()?.parse().ok().map(io::Error::from_raw_os_error)
}
