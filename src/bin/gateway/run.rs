//! `run`: become the holder, then run PROGRAM (`child.rs`) or take messages (`messages.rs`).
//!
//! `--detach` does all of it in the background (`detach.rs`), and `--max-starts` may refuse or pause (`starts.rs`).
//!
//! 1. Claim, on the main thread: who is refused builds no runtime and starts no thread.
//! 2. Lost, or somebody is in the way: `--wait` waits (`queue.rs`) and claims again, else it is said who is there.
//! 3. Won: take the signals, say `holding …`, do the work, and release when it is over, before the exit.
//!
//! Proven by `tests/run_commands.rs`.

use std::{path::Path, time::Duration};

use incumbent::{Claim, Error, Holder, Incumbent, Instance, State, text};

use crate::{
    args::{IfRunning, Run, Which},
    background,
    beside::{self, Claimed, Failed},
    child::{self, Listens},
    detach, exit,
    holders::{self, Holders, InTheWay},
    manager::Manager,
    messages::{self, Printer},
    notify::Notify,
    output::complain,
    queue::{self, Patience},
    send,
    signals::{self, Signals},
    starts, takeover,
    told::Told,
    words::{self, say_error},
};

/// What PROGRAM's end may take beyond its grace, when it was killed, before the answering thread ends all of it.
const OVERTIME: Duration = Duration::from_secs(1);

/// Becomes the holder, and stays it until its work is over.
#[allow(clippy::needless_pass_by_value)] // every command is called alike
pub(crate) fn run(which: &Which, args: Run) -> Result<u8, Error> {
    let instance = crate::instance(which)?;
    let instances = holders::together(which, &instance, &args.also)?;
    if let Some(why) = args.contradiction() {
        say_error(&why);
        return Ok(exit::USAGE);
    }
    if args.detach && !background::join(&instance)? {
        return detach::start(&instance, &args);
    }
    let mut patience = args.wait.map(|limit| Patience::new(&instance, limit));
    loop {
        if let Some(code) = starts::refused(&instance, which, &args) {
            return Ok(code);
        }
        let timeout = patience.as_ref().map(Patience::claim_timeout);
        let claimed = if beside::is_wanted(&args) {
            beside::claim(which, &instances, &args, timeout)
        } else {
            let claimed = holders::claim_all(which, &instances, |instance| match timeout {
                Some(timeout) => claim(&instance.clone().claim_timeout(timeout), &args, false),
                None => claim(instance, &args, true),
            });
            claimed.map(|holders| Claimed::Held(holders, None)).map_err(Failed::InTheWay)
        };
        let InTheWay { which, why } = match claimed {
            Ok(claimed) => {
                drop(patience); // and what it shows
                return hold(&instance, claimed, &args);
            }
            Err(Failed::Said(code)) => return Ok(code),
            Err(Failed::InTheWay(in_the_way)) => *in_the_way,
        };
        match (why, &mut patience) {
            (Ok(incumbent), _) if args.if_running != IfRunning::Fail => {
                return instead(&incumbent, &args, &which);
            }
            (Ok(incumbent), None) => return refused(&incumbent, &which, args.replace.is_some()),
            (Ok(incumbent), Some(patience)) => {
                if !patience.until_gone(&incumbent) {
                    let hints =
                        incumbent.inspect_blocking(queue::GLANCE).map(|seen| words::hints_for(&seen, &which));
                    return Ok(patience.over(&hints.unwrap_or_default()));
                }
            }
            (Err(error), Some(patience)) if error.is_busy() => {
                if !patience.goes_on(&error) {
                    return Ok(patience.over(&words::hints(&error, &which)));
                }
            }
            (Err(error), _) if args.overlaps() && words::hands_nothing_over(&error) => {
                words::does_not_overlap(&error, &which);
                return Ok(exit::BUSY);
            }
            (Err(error), _) => return not_claimed(error, &which),
        }
    }
}

/// What is in the way, in words, and the code.
fn not_claimed(error: Error, which: &Which) -> Result<u8, Error> {
    match error {
        Error::Refused { .. } => words::was_refused(&error, which),
        // It lives, and speaks differently or not at all.
        Error::Protocol { .. } | Error::Disconnected { .. } | Error::NoAnswer { .. } => {
            words::report(&error, which);
        }
        other => return Err(other),
    }
    Ok(exit::BUSY)
}

/// `says`: who is in the way is said when that lasts; with `--wait` the one that waits says it.
fn claim(instance: &Instance, args: &Run, says: bool) -> Result<Claim, Error> {
    match args {
        Run { replace: Some(_), .. } => takeover::take_over(instance, args),
        Run { force: true, .. } => instance.claim_forced_blocking(),
        _ => instance.claim_shown_blocking(|who| {
            if says {
                complain(&format!("waiting: {who}"));
            }
        }),
    }
}

/// Another runs already, and that is no failure.
fn instead(incumbent: &Incumbent, args: &Run, which: &Which) -> Result<u8, Error> {
    if args.if_running == IfRunning::Send {
        return send::hand_over(incumbent, &args.program, Vec::new(), which);
    }
    let status = incumbent.status_blocking(queue::PATIENCE)?;
    if status.state == State::Draining {
        // `ok` is to make sure that it runs: soon this one will not.
        words::is_stopping(&status, which);
        return Ok(exit::BUSY);
    }
    complain(&format!("`{}` is running already: {}", which.name, queue::pid_words(incumbent.pid())));
    Ok(exit::OK)
}

/// Another holds it; `took_over`: since a moment ago, when this one wanted to.
fn refused(incumbent: &Incumbent, which: &Which, took_over: bool) -> Result<u8, Error> {
    let status = match incumbent.first_status() {
        Some(status) => status,
        None => incumbent.status_blocking(queue::PATIENCE)?,
    };
    if status.state == State::Draining {
        words::is_stopping(&status, which);
    } else if took_over {
        words::was_faster(&status, which);
    } else {
        words::already_running(&status, which);
    }
    Ok(exit::BUSY)
}

/// Holds the instance until the work is over.
fn hold(instance: &Instance, claimed: Claimed, args: &Run) -> Result<u8, Error> {
    let dir = instance.dir()?;
    let (holders, sockets, mut beside) = match claimed {
        Claimed::Held(holders, sockets) => (holders, sockets, None),
        Claimed::Beside(beside, sockets) => (Holders::default(), Some(sockets), Some(beside)),
    };
    match beside {
        None => background::won(instance)?,
        Some(_) => background::beside(instance)?,
    }
    let failed = |source| Error::Io { doing: "start the event loop for", path: dir.to_owned(), source };
    let runtime = signals::runtime().map_err(failed)?;
    let code = runtime.block_on(async {
        // Whoever has read `holding` may signal.
        let mut signals = Signals::take().map_err(failed)?;
        set_up(&holders, args);
        let manager = Manager::from_env();
        let notify = if args.program.is_empty() { Ok(None) } else { Notify::for_child(instance, args) };
        let notify = notify.inspect_err(|error| {
            if let Some(beside) = &mut beside {
                beside.withdraw(&error.to_string());
            }
        })?;
        let printer = if args.program.is_empty() { Some(Printer::start().map_err(failed)?) } else { None };
        // And whoever has read it may send.
        let takes_messages = args.program.is_empty() || args.messages.is_some();
        let mut inbox = (takes_messages && beside.is_none()).then(|| holders.messages());
        if args.program.is_empty() && args.max_starts.is_none() {
            holders.ready(""); // there is nothing to start: whoever has read it finds it so
        }
        if beside.is_none() {
            // Whoever has read it may take over, too.
            if !args.program.is_empty() {
                holders.each().for_each(Holder::will_offer);
            }
            complain(&holding(instance, dir, &holders));
            // What gets ready beside another is none that is started again and again.
            if let Some(code) = starts::pause(instance, &holders, &mut signals, args).await {
                return Ok(code);
            }
        }
        let code = if let (Some(printer), Some(inbox)) = (printer, &mut inbox) {
            messages::take(&holders, inbox, &manager, &mut signals, args.grace(), printer).await
        } else {
            let told = Told::new(&holders, &manager, notify, args);
            child::run(instance, &holders, &mut signals, args, told, inbox, Listens { sockets, beside }).await
        };
        manager.told().await;
        Ok(code)
    })?;
    let code = if code == exit::OK && holders.were_left_alone() {
        complain("the one that asked for the place has gone: nobody runs now");
        exit::LEFT_ALONE
    } else if code == exit::OK && holders.take_the_successor_along() {
        complain(
            "the one that asked for the place ends with this process, which is process 1: nobody runs now",
        );
        exit::LEFT_ALONE
    } else {
        code
    };
    if let Err(error) = holders.release() {
        complain(&format!("warning: `{}` is free again, but {error}", instance.name()));
    }
    Ok(code)
}

/// What every holder is told first.
pub(crate) fn set_up(holders: &Holders, args: &Run) {
    holders.set_grace(args.grace());
    holders.set_overtime(OVERTIME, || {
        complain("gateway: did not end within the grace: ended by its answering thread");
    });
}

/// Says what is held.
pub(crate) fn holding(instance: &Instance, dir: &Path, holders: &Holders) -> String {
    let also: Vec<String> = holders.others().map(|holder| format!("`{}`", holder.name())).collect();
    let also = if also.is_empty() { String::new() } else { format!(" and {}", also.join(", ")) };
    format!(
        "holding `{}`{also} in {} (pid {}, generation {})",
        instance.name(),
        text::shown_path(dir),
        std::process::id(),
        holders.first().generation()
    )
}
