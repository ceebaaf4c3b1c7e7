//! Before PROGRAM is started: nothing of what the last one left behind may be there any more.
//!
//! It is waited for on a thread of its own, so that a signal, a stop and the loss of the instance end the waiting. What
//! is gone within a moment is not spoken of. Proven by `tests/child_lock.rs`.

use std::time::{Duration, Instant};

use incumbent::{ChildLock, ChildLockOptions, Holder, Process, text};
use tokio::{sync::watch, time::sleep};

use crate::{
    args::Run,
    exit,
    holders::Holders,
    output::complain,
    signals::{Signals, next_stop},
    spinner::Spinner,
    words::{about_leftovers, hint_lines, say_error},
};

/// How long it is waited before that is said: a killed program of a gigabyte takes 100 ms to be gone.
const AT_ONCE: Duration = Duration::from_millis(250);

/// Waits until it is gone, for each of the instances, or ends it after the grace; else the exit code.
pub(crate) async fn gone(holders: &Holders, signals: &mut Signals, args: &Run) -> Result<Vec<ChildLock>, u8> {
    let mut locks = Vec::new();
    for holder in holders.each() {
        locks.push(gone_of(holder, holders, signals, args).await?);
    }
    Ok(locks)
}

async fn gone_of(
    holder: &Holder,
    holders: &Holders,
    signals: &mut Signals,
    args: &Run,
) -> Result<ChildLock, u8> {
    let options = ChildLockOptions::default().grace(args.grace()).stop_signal(args.stop_signal);
    let began = Instant::now();
    let (show, mut seen) = watch::channel(None);
    let show = move |left: &[Process]| drop(show.send(Some(words(left))));
    let lock = holder.child_lock(options, show);
    tokio::pin!(lock);
    let mut spinner: Option<Spinner> = None;
    let mut said = false;
    let lock = loop {
        tokio::select! {
            biased;
            () = next_stop(signals) => {
                let left = if said { ", and what was left behind may still run" } else { "" };
                complain(&format!("stopping{left}"));
                return Err(exit::OK);
            }
            _ = holders.stop_requested() => return Err(exit::OK),
            () = holders.deposed() => {
                say_error("another process holds the instance now: stopping");
                return Err(exit::DEPOSED);
            }
            lock = &mut lock => break lock,
            what = changed(&mut seen, began) => {
                let waiting = format!("waiting for {what}");
                holder.set_note(waiting.as_str()); // before it is said: who has read it may ask
                let spinner = spinner.get_or_insert_with(|| Spinner::waiting_for(""));
                spinner.set(what, began.checked_add(args.grace()));
                if !spinner.is_seen() {
                    complain(&waiting);
                }
                said = true;
            }
        }
    };
    drop(spinner);
    match lock {
        Ok(lock) => {
            if said {
                complain(&format!("what was left behind is gone after {}", text::duration(began.elapsed())));
                holder.set_note("");
            }
            Ok(lock)
        }
        Err(error) => {
            say_error(&error.to_string());
            hint_lines(&about_leftovers(&error));
            Err(exit::of(&error))
        }
    }
}

/// What is waited for, when it is another than before and was waited for a moment. Cancel safe.
async fn changed(seen: &mut watch::Receiver<Option<String>>, began: Instant) -> String {
    sleep(AT_ONCE.saturating_sub(began.elapsed())).await;
    loop {
        if seen.changed().await.is_err() {
            std::future::pending::<()>().await; // the waiting is over, which is said elsewhere
        }
        if let Some(what) = seen.borrow_and_update().clone() {
            return what;
        }
    }
}

fn words(left: &[Process]) -> String {
    let who = match left {
        [] => "something that cannot be seen from here".to_owned(),
        left => text::processes(left),
    };
    format!("what the last PROGRAM left behind: {who}")
}
