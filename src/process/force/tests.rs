//! Real processes: ended, spared, refused.
use super::*;
use nix::sys::signal::{Signal as Unix, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::cell::Cell;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

const LONG: Duration = Duration::from_secs(20);

/// A process that is ended and reaped with its test, whatever happens.
struct Guarded(Child);

impl Guarded {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    /// Ends as soon as it is asked to.
    fn sleep() -> Self {
        Self::start(Command::new("sleep").arg("1000"))
    }

    /// Doesn't end when it is asked to; has said that it won't.
    fn stubborn() -> Self {
        let mut process =
            Self::start(Command::new("sh").args(["-c", "trap '' TERM; echo deaf; exec sleep 1000"]));
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "deaf\n");
        process
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn raw(&self) -> Pid {
        Pid::from_raw(self.pid().try_into().unwrap())
    }

    fn stop(&self) {
        kill(self.raw(), Unix::SIGSTOP).unwrap();
        let status = waitpid(self.raw(), Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert_eq!(status, WaitStatus::Stopped(self.raw(), Unix::SIGSTOP));
    }

    /// What it died of.
    fn died_of(&mut self) -> Option<i32> {
        self.0.wait().unwrap().signal()
    }

    /// Whether nothing ends it: neither has it, nor will anything that was already sent.
    fn is_untouched(&mut self) -> bool {
        // One that was sent before this would be the cause of death: of several that wait, the one with the lowest number comes first.
        kill(self.raw(), Unix::SIGVTALRM).unwrap();
        self.died_of() == Some(Unix::SIGVTALRM as i32)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

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
fn a_stopped_owner_is_ended_without_being_killed() {
    let mut process = Guarded::sleep();
    process.stop();
    let owner = answers([LockOwner::Pid(process.pid())]);
    assert_eq!(force_end(owner, shown, LONG, LONG).unwrap(), Forced::Ended);
    assert_eq!(process.died_of(), Some(Unix::SIGTERM as i32));
}

#[test]
fn an_owner_that_does_not_listen_is_killed_after_the_grace() {
    let mut process = Guarded::stubborn();
    let owner = answers([LockOwner::Pid(process.pid())]);
    let began = Instant::now();
    let grace = Duration::from_millis(30);
    assert_eq!(force_end(owner, shown, grace, LONG).unwrap(), Forced::Ended);
    assert!(began.elapsed() >= grace);
    assert_eq!(process.died_of(), Some(Unix::SIGKILL as i32));
}

#[test]
fn an_owner_that_let_go_of_the_lock_may_live() {
    let mut process = Guarded::stubborn();
    let pid = LockOwner::Pid(process.pid());
    let owner = answers([pid, pid, LockOwner::None]);
    assert_eq!(force_end(owner, shown, Duration::ZERO, LONG).unwrap(), Forced::Gone);
    assert!(process.is_untouched());
}

#[test]
fn an_owner_that_changes_is_not_signalled() {
    let mut first = Guarded::sleep();
    let mut second = Guarded::sleep();
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
    let mut process = Guarded::sleep();
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
    assert_refused(&force(LockOwner::ElsewhereNamespace), "another pid namespace");
    assert_eq!(force(LockOwner::None), Forced::Gone);

    let mut ended = Guarded::start(&mut Command::new("true"));
    ended.0.wait().unwrap();
    assert_refused(&force(LockOwner::Pid(ended.pid())), "no process");
}

#[test]
fn an_owner_that_is_unreaped_has_ended() {
    let mut process = Guarded::sleep();
    process.0.kill().unwrap();
    let handle = ProcessHandle::open(process.pid()).unwrap().unwrap();
    assert!(handle.wait_ended(after(LONG)));
    let owner = answers([LockOwner::Pid(process.pid())]);
    assert_eq!(force_end(owner, shown, LONG, LONG).unwrap(), Forced::Ended);
    assert_eq!(process.died_of(), Some(Unix::SIGKILL as i32));
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
