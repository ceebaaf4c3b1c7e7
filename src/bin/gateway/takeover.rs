//! `run --replace`: asks the one that runs to stop, shows how that goes, and takes its place.
//!
//! Who cannot be asked is reported, and left alone; with `--force` it is ended. Proven by `tests/takeover_commands.rs`.

use incumbent::{Claim, Error, Instance, TakeoverOptions, TakeoverStep, text};

use crate::{args::Run, output::complain, queue, stop::Shown, times::rounded};

/// Takes the instance over, within the claim timeout of the instance for whatever is in the way.
pub(crate) fn take_over(instance: &Instance, args: &Run) -> Result<Claim, Error> {
    let mut options = TakeoverOptions::default().force(args.force);
    if let Some(grace) = args.grace {
        options = options.grace(grace);
    }
    let mut shown = Shown::default();
    let mut who = String::new();
    instance.takeover_blocking(&options, |step| match step {
        TakeoverStep::Asked { pid, grace } => {
            who = queue::pid_words(*pid);
            complain(&format!(
                "asked {} to make room: it has {}",
                queue::process_words(*pid),
                text::duration(rounded(*grace))
            ));
        }
        TakeoverStep::Slowed(fight) => complain(&format!(
            "{}; it is left alone for {}",
            fight.sentence(),
            text::duration(rounded(fight.left))
        )),
        TakeoverStep::Stopping(now) => shown.show(&who, now),
        TakeoverStep::Forcing { pid, grace } => {
            let grace = text::duration(rounded(*grace));
            complain(&format!("ending {}: SIGTERM, and SIGKILL after {grace}", queue::process_words(*pid)));
        }
        _ => {}
    })
}
