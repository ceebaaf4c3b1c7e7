//! `run`: become the holder, then run PROGRAM (`child.rs`) or take messages (`messages.rs`).
//!
//! `--detach` does all of it in the background (`detach.rs`), and `--max-starts` may refuse or pause (`starts.rs`).
//!
//! 1. Claim, on the main thread: who is refused builds no runtime and starts no thread.
//! 2. Lost, or somebody is in the way: `--wait` waits (`queue.rs`) and claims again, else it is said who is there.
//! 3. Won: take the signals, say `holding …`, do the work, and release when it is over, before the exit.
//!
//! Proven by `tests/run_commands.rs`.

use std::path::Path;

use incumbent::{Claim, Error, Holder, Incumbent, Instance, State, text};

use crate::{
    args::{IfRunning, Run, Which},
    background, child, detach, exit,
    messages::{self, Printer},
    output::complain,
    queue::{self, Patience},
    send,
    signals::{self, Signals},
    starts, words,
};

/// Becomes the holder, and stays it until its work is over.
#[allow(clippy::needless_pass_by_value)] // every command is called alike
pub(crate) fn run(instance: &Instance, which: &Which, args: Run) -> Result<u8, Error> {
    if args.detach && !background::join(instance)? {
        return detach::start(instance);
    }
    let mut patience = args.wait.map(|limit| Patience::new(instance, limit));
    loop {
        if let Some(code) = starts::refused(instance, which, &args) {
            return Ok(code);
        }
        let claim = match &patience {
            Some(patience) => claim(&instance.clone().claim_timeout(patience.claim_timeout()), args.force),
            None => claim(instance, args.force),
        };
        match (claim, &mut patience) {
            (Ok(Claim::Won(holder)), _) => {
                drop(patience); // and what it shows
                return hold(instance, holder, &args);
            }
            (Ok(Claim::Lost(incumbent)), _) if args.if_running != IfRunning::Fail => {
                return instead(instance, &incumbent, &args, which);
            }
            (Ok(Claim::Lost(incumbent)), None) => return refused(&incumbent, which),
            (Ok(Claim::Lost(incumbent)), Some(patience)) => {
                if !patience.until_gone(&incumbent) {
                    let hints =
                        incumbent.inspect_blocking(queue::GLANCE).map(|seen| words::hints_for(&seen, which));
                    return Ok(patience.over(&hints.unwrap_or_default()));
                }
            }
            (Err(error), Some(patience)) if error.is_busy() => {
                if !patience.goes_on(&error) {
                    return Ok(patience.over(&words::hints(&error, which)));
                }
            }
            (Err(error), _) => return Err(error),
        }
    }
}

fn claim(instance: &Instance, force: bool) -> Result<Claim, Error> {
    if force { instance.claim_forced_blocking() } else { instance.claim_blocking() }
}

/// Another runs already, and that is no failure.
fn instead(instance: &Instance, incumbent: &Incumbent, args: &Run, which: &Which) -> Result<u8, Error> {
    if args.if_running == IfRunning::Send {
        return send::hand_over(incumbent, &args.program, Vec::new(), which);
    }
    let status = incumbent.status_blocking(queue::PATIENCE)?;
    if status.state == State::Draining {
        // `ok` is to make sure that it runs: soon this one will not.
        words::is_stopping(&status, which);
        return Ok(exit::BUSY);
    }
    complain(&format!("`{}` is running already: {}", instance.name(), queue::pid_words(incumbent.pid())));
    Ok(exit::OK)
}

/// Another holds it.
fn refused(incumbent: &Incumbent, which: &Which) -> Result<u8, Error> {
    let status = incumbent.status_blocking(queue::PATIENCE)?;
    if status.state == State::Draining {
        words::is_stopping(&status, which);
    } else {
        words::already_running(&status, which);
    }
    Ok(exit::BUSY)
}

/// Holds the instance until the work is over.
fn hold(instance: &Instance, holder: Holder, args: &Run) -> Result<u8, Error> {
    let dir = instance.dir()?;
    background::won(instance)?;
    let failed = |source| Error::Io { doing: "start the event loop for", path: dir.to_owned(), source };
    let runtime = signals::runtime().map_err(failed)?;
    let code = runtime.block_on(async {
        // Whoever has read `holding` may signal.
        let mut signals = Signals::take().map_err(failed)?;
        holder.set_grace(args.grace);
        let printer = if args.program.is_empty() { Some(Printer::start().map_err(failed)?) } else { None };
        complain(&holding(instance, dir, &holder));
        if let Some(code) = starts::pause(instance, &holder, &mut signals, args).await {
            return Ok(code);
        }
        Ok(match printer {
            Some(printer) => messages::take(&holder, &mut signals, args.grace, printer).await,
            None => child::run(instance, &holder, &mut signals, args).await,
        })
    })?;
    if let Err(error) = holder.release_blocking() {
        complain(&format!("warning: `{}` is free again, but {error}", instance.name()));
    }
    Ok(code)
}

fn holding(instance: &Instance, dir: &Path, holder: &Holder) -> String {
    format!(
        "holding `{}` in {} (pid {}, generation {})",
        instance.name(),
        text::shown_path(dir),
        std::process::id(),
        holder.generation()
    )
}
