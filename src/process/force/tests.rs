//! Real processes: ended, spared, refused.
use super::*;
use crate::platform::testing::{ASKED_FIRST, End, Subject};
use std::cell::Cell;

const LONG: Duration = Duration::from_secs(20);

/// Answers that the kernel gives one after another, the last one for ever.
fn answers<const N: usize>(all: [LockOwner; N]) -> impl Fn() -> io::Result<LockOwner> {
    let asked = Cell::new(0);
    move || {
        let at = asked.get().min(N - 1);
        asked.set(at + 1);
        Ok(all[at])
    }
}

fn shown(_: u32) -> bool {
    true
}

#[track_caller]
fn assert_refused(outcome: &Forced, because: &str) {
    assert!(matches!(outcome, Forced::Refused(why) if why.contains(because)), "{outcome:?}");
}

#[test]
fn a_stopped_owner_is_ended_without_being_killed_where_it_can_be_asked() {
    let mut process = Subject::idle();
    process.suspend();
    let owner = answers([LockOwner::Pid(process.pid())]);
    assert_eq!(force_end(owner, shown, LONG, LONG).unwrap(), Forced::Ended);
    assert_eq!(process.reap(), ASKED_FIRST);
}

#[test]
fn an_owner_that_does_not_listen_is_killed_after_the_grace() {
    let mut process = Subject::stubborn();
    let owner = answers([LockOwner::Pid(process.pid())]);
    let began = Instant::now();
    let grace = Duration::from_millis(30);
    assert_eq!(force_end(owner, shown, grace, LONG).unwrap(), Forced::Ended);
    assert!(
        began.elapsed() >= grace || ASKED_FIRST == End::Killed,
        "there is no grace for who cannot be asked"
    );
    assert_eq!(process.reap(), End::Killed);
}

#[test]
fn an_owner_that_let_go_of_the_lock_may_live() {
    let mut process = Subject::stubborn();
    let pid = LockOwner::Pid(process.pid());
    let owner = answers([pid, pid, LockOwner::None]);
    assert_eq!(force_end(owner, shown, Duration::ZERO, LONG).unwrap(), Forced::Gone);
    assert!(process.is_untouched());
}

#[test]
fn an_owner_that_changes_is_not_signalled() {
    let mut first = Subject::idle();
    let mut second = Subject::idle();
    let owner = answers([LockOwner::Pid(first.pid()), LockOwner::Pid(second.pid())]);
    assert_refused(&force_end(owner, shown, LONG, LONG).unwrap(), "passed the lock on");
    let owner = answers([LockOwner::Pid(first.pid()), LockOwner::ElsewhereNamespace]);
    assert_refused(&force_end(owner, shown, LONG, LONG).unwrap(), "passed the lock on");
    let owner = answers([LockOwner::Pid(first.pid()), LockOwner::None]);
    assert_eq!(force_end(owner, shown, LONG, LONG).unwrap(), Forced::Gone);
    assert!(first.is_untouched());
    assert!(second.is_untouched());
}

#[test]
fn an_owner_that_does_not_show_the_lock_is_not_signalled() {
    let mut process = Subject::idle();
    let owner = answers([LockOwner::Pid(process.pid())]);
    assert_refused(&force_end(owner, |_| false, LONG, LONG).unwrap(), "does not show");
    assert!(process.is_untouched());
}

#[test]
fn what_is_no_other_process_is_refused() {
    let force = |owner| force_end(answers([owner]), shown, LONG, LONG).unwrap();
    assert_refused(&force(LockOwner::Pid(0)), "not the pid");
    assert_refused(&force(LockOwner::Pid(u32::MAX)), "not the pid");
    assert_refused(&force(LockOwner::Pid(std::process::id())), "this very process");
    assert_refused(&force(LockOwner::ElsewhereNamespace), platform::UNNAMED_PROCESS);
    assert_eq!(force(LockOwner::None), Forced::Gone);

    let ended = Subject::ended();
    let outcome = force(LockOwner::Pid(ended.pid()));
    // As long as somebody has a handle of it, Windows still knows it.
    let is_refused = matches!(&outcome, Forced::Refused(why) if why.contains("no process"));
    assert!(is_refused || outcome == Forced::Ended, "{outcome:?}");
}

#[test]
fn an_owner_that_is_unreaped_has_ended() {
    let mut process = Subject::idle();
    process.kill();
    let handle = ProcessHandle::open(process.pid()).unwrap().unwrap();
    assert!(handle.wait_ended(after(LONG)));
    let owner = answers([LockOwner::Pid(process.pid())]);
    assert_eq!(force_end(owner, shown, LONG, LONG).unwrap(), Forced::Ended);
    assert_eq!(process.reap(), End::Killed);
}

#[test]
fn a_failing_question_is_an_error_and_nothing_is_done() {
    let owner = || Err(io::Error::from(io::ErrorKind::PermissionDenied));
    assert_eq!(force_end(owner, shown, LONG, LONG).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
}

#[test]
fn a_time_that_no_clock_can_express_is_no_panic() {
    assert!(after(Duration::MAX) > Instant::now() + Duration::from_secs(3600));
}
