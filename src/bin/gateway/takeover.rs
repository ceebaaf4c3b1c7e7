//! `run --replace`: asks the one that runs to stop, shows how that goes, and takes its place.
//!
//! With `--detach` it may be asked for from inside the PROGRAM that is replaced: what waits in the foreground ends with that
//! PROGRAM, and what is in the background takes over all the same.
//!
//! Who cannot be asked is reported, and left alone; with `--force` it is ended. Proven by `tests/takeover_commands.rs`,
//! `tests/restarts.rs`.

use std::time::{Duration, Instant};

use incumbent::{
    Begun, CLAIM_TIMEOUT, Claim, Error, Found, Instance, Takeover, TakeoverOptions, TakeoverStep,
    platform_for_gateway as platform, text,
};

use crate::{
    args::{Run, Which},
    background,
    output::complain,
    queue,
    spinner::Spinner,
    stop::Shown,
    times::rounded,
    words,
};

/// A holder on a busy machine may take this long to answer, whatever grace it has.
const LEAST_PATIENCE: Duration = Duration::from_millis(250);

/// Takes the instance over, within the claim timeout of the instance for whatever is in the way.
pub(crate) fn take_over(instance: &Instance, args: &Run) -> Result<Claim, Error> {
    let options = options(instance, args);
    shown(instance.name(), args.wait.is_none(), |show| instance.takeover_blocking(&options, show))
}

/// Begins to take it over.
pub(crate) fn begin(instance: &Instance, args: &Run) -> Result<Begun, Error> {
    let options = options(instance, args).overlap(args.overlaps());
    shown(instance.name(), args.wait.is_none(), |show| instance.begin_takeover_blocking(&options, show))
}

/// Takes over what it has begun with.
pub(crate) fn complete(takeover: Takeover, of: &Which) -> Result<Claim, Error> {
    shown(&of.name, true, |show| takeover.complete_blocking(show))
}

fn options(instance: &Instance, args: &Run) -> TakeoverOptions {
    let mut options = TakeoverOptions::default().force(args.force);
    if let Some(grace) = args.grace {
        options = options.grace(grace);
        if args.force && args.wait.is_none() {
            // One that has so long to stop has no longer to answer, before it is ended for its silence.
            options = options.wait(grace.clamp(LEAST_PATIENCE, CLAIM_TIMEOUT));
        }
    }
    if background::caller_is_terminal().is_some() && is_from_inside(instance) {
        background::outlives_its_caller();
    }
    options
}

/// Shows how it goes. `says`: who is in the way is said when that lasts; with `--wait` the one that waits says it.
fn shown<T>(name: &str, says: bool, take_over: impl FnOnce(&mut dyn FnMut(&TakeoverStep)) -> T) -> T {
    let spinner = Spinner::waiting_for(format!("whoever holds `{name}`"));
    let mut shown = Shown::new(&spinner);
    let mut who = String::new();
    take_over(&mut |step| match step {
        TakeoverStep::Asked { pid, grace } => {
            who = queue::pid_words(*pid);
            let grace = text::duration(rounded(*grace));
            complain(&format!("asked {} to make room: it has {grace}", queue::process_words(*pid)));
        }
        TakeoverStep::InTheWay(who) if says => complain(&format!("waiting: {who}")),
        TakeoverStep::Slowed(fight) => complain(&format!(
            "{}; it is left alone for {}",
            fight.sentence(),
            text::duration(rounded(fight.left))
        )),
        TakeoverStep::Stopping(now) => shown.show(&who, now),
        TakeoverStep::Forcing { pid, grace } => {
            let who = queue::process_words(*pid);
            spinner.set(format!("{who} to end"), Instant::now().checked_add(*grace));
            complain(&words::ending(&who, rounded(*grace)));
        }
        _ => {}
    })
}

/// Whether the holder is the `gateway` whose PROGRAM started this process. One that does not answer ends nobody.
fn is_from_inside(instance: &Instance) -> bool {
    match instance.find_blocking(Duration::from_secs(1)) {
        Ok(Found::Incumbent(incumbent)) => incumbent.pid().is_some_and(platform::descends_from),
        _ => false,
    }
}
