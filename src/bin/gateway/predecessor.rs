//! Before PROGRAM is started: nothing of what the last one left behind may be there any more.
//!
//! It is waited for on a thread of its own, so that a signal, a stop and the loss of the instance end the waiting. What
//! is gone within a moment is not spoken of. Proven by `tests/child_lock.rs`.

use std::time::{Duration, Instant};

use incumbent::{ChildLock, ChildLockOptions, Holder, Process, text};
use tokio::{sync::watch, time::sleep};

use crate::{
    exit,
    output::complain,
    signals::Signals,
    words::{about_leftovers, hint_lines, say_error},
};

/// How long it is waited before that is said: a killed program of a gigabyte takes 100 ms to be gone.
const AT_ONCE: Duration = Duration::from_millis(250);

/// Waits until it is gone, or ends it after the grace; else the exit code.
pub(crate) async fn gone(
    holder: &Holder,
    signals: &mut Signals,
    options: ChildLockOptions,
) -> Result<ChildLock, u8> {
    let began = Instant::now();
    let (show, mut seen) = watch::channel(None);
    let show = move |left: &[Process]| drop(show.send(Some(words(left))));
    let lock = holder.child_lock(options, show);
    tokio::pin!(lock);
    let mut said = false;
    let lock = loop {
        tokio::select! {
            biased;
            caught = signals.next() => {
                let left = if said { ", and what was left behind may still run" } else { "" };
                complain(&format!("stopping: {}{left}", caught.name()));
                return Err(exit::OK);
            }
            _ = holder.stop_requested() => return Err(exit::OK),
            () = holder.deposed() => {
                say_error("another process holds the instance now: stopping");
                return Err(exit::DEPOSED);
            }
            lock = &mut lock => break lock,
            what = changed(&mut seen, began) => {
                holder.set_note(what.as_str()); // before it is said: who has read it may ask
                complain(&what);
                said = true;
            }
        }
    };
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
    format!("waiting for what the last PROGRAM left behind: {who}")
}
