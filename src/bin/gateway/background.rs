//! The background process of `run --detach`: what it tells the one that waits in the foreground, and where its output
//! goes.
//!
//! 1. [`join`]: the way to the foreground process is where the standard input was; a thread watches its other end. A
//!    foreground process that is gone before this one is ready (Ctrl-C, `kill -9`) ends this one too, as SIGTERM does:
//!    nobody has been told that it runs. Only one that this takeover itself ends, because both are a part of the PROGRAM
//!    that is replaced ([`outlives_its_caller`]), takes nobody along.
//! 2. Until it is ready, what `gateway` says goes to the foreground process, and what it waits for too.
//! 3. [`won`]: only now the standard streams leave the caller's terminal or pipe, for the log, which is emptied. A start
//!    that was refused leaves the log of the one that runs alone.
//! 4. [`ready`]: the way is closed; from now on everything goes to the log.
//!
//! In the foreground nothing here does anything. Proven by `tests/detach.rs`.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use incumbent::{Error, Instance, platform_for_gateway::detached};

use crate::{news::News, spinner};

/// The variable that says that the standard input is the way to the foreground process. PROGRAM does not get it.
pub(crate) const VARIABLE: &str = "GATEWAY_DETACHED";

/// Who waits in the foreground; none: nobody any more, or nobody ever did.
static CALLER: Mutex<Option<Caller>> = Mutex::new(None);

/// The end of the foreground process is the work of this one.
static OUTLIVES: AtomicBool = AtomicBool::new(false);

struct Caller {
    way: detached::Caller,
    /// A person sees there what is waited for.
    is_terminal: bool,
}

/// Finds out whether this is the background process. Call it first, while there is one thread.
///
/// # Errors
/// No thread can be started, or no descriptor is left.
pub(crate) fn join(instance: &Instance) -> Result<bool, Error> {
    let Some(mark) = std::env::var_os(VARIABLE) else { return Ok(false) };
    let Ok((way, watched)) = detached::join(&mark) else { return Ok(false) };
    let failed = |source| Error::Io { doing: "watch the caller of", path: instance.name().into(), source };
    *caller() = Some(Caller { way, is_terminal: spinner::is_drawable() });
    let watch = move || {
        watched.until_gone();
        if !OUTLIVES.load(Ordering::SeqCst) && caller().take().is_some() {
            detached::ask_oneself_to_stop();
        }
    };
    thread::Builder::new().name("foreground".into()).spawn(watch).map_err(failed)?;
    Ok(true)
}

/// From now on the end of the foreground process does not end this one, if there is one: whoever is asked to make room now
/// ends it with all that its PROGRAM started, and this one is to take that place.
pub(crate) fn outlives_its_caller() {
    OUTLIVES.store(true, Ordering::SeqCst);
}

/// Leads the output into the log, where it would go to somebody who does not stay.
///
/// # Errors
/// The log cannot be opened: what stands in its place is left alone.
pub(crate) fn won(instance: &Instance) -> Result<(), Error> {
    lead_into_log(instance, Instance::open_log_blocking)
}

/// As [`won`], for one whose PROGRAM gets ready beside the one that runs: that one's words stay in the log.
///
/// # Errors
/// As [`won`].
pub(crate) fn beside(instance: &Instance) -> Result<(), Error> {
    lead_into_log(instance, Instance::open_log_to_add_blocking)
}

fn lead_into_log(
    instance: &Instance,
    open: impl FnOnce(&Instance) -> Result<std::fs::File, Error>,
) -> Result<(), Error> {
    if caller().is_none() {
        return Ok(());
    }
    let (stdout, stderr) = detached::goes_to_log();
    if stdout || stderr {
        let log = open(instance)?;
        let led = (if stdout { detached::lead_stdout_into(&log) } else { Ok(()) })
            .and_then(|()| if stderr { detached::lead_stderr_into(&log) } else { Ok(()) });
        let path = instance.log_path()?;
        led.map_err(|source| Error::Io { doing: "lead the output into", path, source })?;
    }
    tell(&News::Won);
    Ok(())
}

/// Tells the foreground process that it may go. Call it when the holder has become ready.
pub(crate) fn ready() {
    // Taken first: from now on its end does not end this process.
    let Some(mut caller) = caller().take() else { return };
    let _ = News::Ready.tell(&mut caller.way);
}

/// Says something in the foreground; `false`: nobody is there, say it here.
pub(crate) fn says(lines: &str) -> bool {
    tell(&News::Says(lines.to_owned()))
}

/// Shows in the foreground what is waited for; nothing, if it is empty.
pub(crate) fn tell_wait(what: &str, left: Option<Duration>) {
    tell(&News::Waits(what.to_owned(), left));
}

/// Whether a person sees what is told; none: nobody waits in the foreground.
pub(crate) fn caller_is_terminal() -> Option<bool> {
    caller().as_ref().map(|caller| caller.is_terminal)
}

fn tell(news: &News) -> bool {
    caller().as_mut().is_some_and(|caller| news.tell(&mut caller.way).is_ok())
}

fn caller() -> MutexGuard<'static, Option<Caller>> {
    CALLER.lock().unwrap_or_else(PoisonError::into_inner)
}
