//! Which of many rounds are played here: all with `STRESS`, else a share that is the same every time; and what came of them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// Plays a share of the rounds, or all with `STRESS`; panics with all that was wrong. `AT_ONCE` (how many at a time) and
/// `ONLY` (a part of a round's name) are for who looks for a fault.
pub(crate) fn play_all<T: Sync>(
    what: &str,
    rounds: &[T],
    (share, at_once): (usize, usize),
    name: impl Fn(&T) -> String + Sync,
    play: impl Fn(&T) + Sync,
) {
    let all = std::env::var_os("STRESS").is_some();
    let step = if all { 1 } else { rounds.len().div_ceil(share).max(1) };
    let only = std::env::var("ONLY").ok();
    let due: Vec<&T> = match &only {
        Some(only) => rounds.iter().filter(|round| name(round).contains(only)).collect(),
        None => rounds.iter().skip(step / 2).step_by(step).collect(),
    };
    println!("{what}: {} of {} rounds, every {step}. one; STRESS=1 plays all", due.len(), rounds.len());
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    let work = || {
        while let Some(round) = due.get(next.fetch_add(1, Ordering::SeqCst)) {
            if let Err(why) = catch_unwind(AssertUnwindSafe(|| play(round))) {
                let why = why.downcast::<String>().map_or_else(|_| "no words".to_owned(), |why| *why);
                println!("WRONG {}: {why}", name(round));
                wrong.lock().unwrap().push(format!("{}: {why}", name(round)));
            }
        }
    };
    let at_once = std::env::var("AT_ONCE").ok().and_then(|n| n.parse().ok()).unwrap_or(at_once);
    thread::scope(|scope| (0..at_once).for_each(|_| drop(scope.spawn(work))));
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), due.len(), wrong.join("\n"));
}
