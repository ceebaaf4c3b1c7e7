//! Takeovers with the library: a contender asks, waits and becomes the holder, whatever happens to either meanwhile.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, unreachable_pub)] // A test fails so.

#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;

use std::{fmt::Write as _, path::Path, time::Duration};

use incumbent::{Claim, End, Error, Holder, Instance, TakeoverOptions, TakeoverStep};
use program::{Program, WATCHDOG, eventually, instance, lost, orders, tell, won};

#[test]
fn role() {
    let Some((name, dir)) = program::role() else { return };
    match name.as_str() {
        "actor" => actor(&dir),
        other => panic!("no role {other}"),
    }
}

/// Does what it is told. `takeover [force] [MS]` tells its steps as lines `step …` and then `takeover: …`.
fn actor(dir: &Path) {
    let instance = instance(dir).claim_timeout(Duration::from_secs(2));
    let mut held: Option<Holder> = None;
    tell("ready");
    for order in orders() {
        let (word, rest) = order.split_once(' ').unwrap_or((&order, ""));
        let holder = || held.as_ref().expect("it holds");
        let said = match word {
            "claim" => keep(instance.claim_blocking(), &mut held),
            "takeover" => keep(take_over(&instance, rest), &mut held),
            "progress" | "refuse" | "no-overtime" | "extend" => {
                match word {
                    "progress" => holder().progress(rest),
                    "refuse" => holder().refuse((!rest.is_empty()).then_some(rest)),
                    "extend" => holder().extend_grace(Duration::from_millis(rest.parse().unwrap())),
                    _ => holder().set_overtime(None, || ()),
                }
                String::new()
            }
            "await-stop" => {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let stop = runtime.block_on(holder().stop_requested());
                format!("replace={} pid={:?} grace={}", stop.is_replace(), stop.pid(), stop.grace().as_secs())
            }
            "ignore-terminate" => {
                os::be_deaf();
                String::new()
            }
            "has-successor" => holder().has_successor().to_string(),
            "release" => format!("{:?}", held.take().unwrap().release_blocking()),
            other => panic!("no order {other}"),
        };
        tell(format!("{word}: {said}"));
    }
}

fn take_over(instance: &Instance, how: &str) -> Result<Claim, Error> {
    let mut options = TakeoverOptions::default();
    for word in how.split_whitespace() {
        options = match word {
            "force" => options.force(true),
            ms => options.grace(Duration::from_millis(ms.parse().unwrap())),
        };
    }
    instance.takeover_blocking(&options, |step| {
        tell(match step {
            TakeoverStep::Asked { pid, .. } => format!("step asked {pid:?}"),
            TakeoverStep::Stopping(now) => format!("step stopping {} {}", now.draining, now.note),
            TakeoverStep::Forcing { pid, .. } => format!("step forcing {pid:?}"),
            TakeoverStep::InTheWay(who) => format!("step in the way: {who}"),
            other => panic!("{other:?}"),
        });
    })
}

fn keep(claim: Result<Claim, Error>, held: &mut Option<Holder>) -> String {
    match claim {
        Ok(Claim::Won(holder)) => {
            let words = format!("won {}", holder.generation());
            *held = Some(holder);
            words
        }
        Ok(Claim::Lost(incumbent)) => format!("lost to {:?}", incumbent.pid()),
        Err(error) => {
            let mut words = format!("error busy={} ", error.is_busy());
            let kind = match error {
                Error::StillThere { .. } => "still there",
                Error::Refused { .. } => "refused",
                Error::Unresponsive(_) => "unresponsive",
                Error::Claiming(_) => "claiming",
                Error::NotForced { .. } => "not forced",
                _ => "other",
            };
            let _ = write!(words, "{kind}: {error}");
            words
        }
    }
}

fn start(dir: &Path) -> Program {
    let mut actor = Program::role("actor", dir);
    actor.wait_line("ready");
    actor
}

/// One that holds.
fn holding(dir: &Path) -> Program {
    let mut holder = start(dir);
    assert!(holder.ask("claim").starts_with("won "));
    holder
}

/// One that has asked the holder, and waits for its end.
fn taking_over(dir: &Path, order: &str) -> Program {
    let mut taker = start(dir);
    taker.say(order);
    taker.wait_line("step asked");
    taker
}

fn ends(dir: &Path) -> Vec<Option<End>> {
    instance(dir).history_blocking().unwrap().entries.iter().map(|entry| entry.end).collect()
}

#[test]
fn a_holder_is_asked_told_who_asks_and_succeeded_when_it_has_released() {
    let dir = tempfile::tempdir().unwrap();
    let mut old = holding(dir.path());
    let mut new = taking_over(dir.path(), "takeover 60000");
    let stop = old.ask("await-stop");
    assert_eq!(stop, format!("replace=true pid=Some({}) grace=59", new.pid()));
    old.ask("progress three jobs left");
    assert_eq!(new.wait_line("step stopping true three"), "jobs left");
    assert_eq!(old.ask("has-successor"), "true");
    assert!(os::has_claim(dir.path(), new.pid()));
    old.ask("release");
    assert!(new.wait_line("takeover:").starts_with("won "));
    assert!(os::has_instance(dir.path(), new.pid()));
    assert!(!os::is_claimed(dir.path()));
    assert_eq!(ends(dir.path()), [Some(End::Replaced), None]);
}

#[test]
fn nobody_to_take_over_from_is_an_ordinary_claim() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = start(dir.path());
    assert!(first.ask("takeover").starts_with("won "));
    first.kill_9();
    assert!(start(dir.path()).ask("takeover").starts_with("won "));
}

#[test]
fn nobody_overtakes_and_a_holder_goes_though_the_one_that_asked_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut old = holding(dir.path());
    let mut taker = taking_over(dir.path(), "takeover 60000");
    for _ in 0..20 {
        let incumbent = lost(instance(dir.path()).claim_blocking());
        assert_eq!(incumbent.pid(), Some(old.pid()));
        let claiming = incumbent.inspect_blocking(WATCHDOG).unwrap().status().claiming.unwrap();
        assert_eq!(claiming.pid, Some(taker.pid()));
    }
    taker.kill_9();
    eventually("the holder knows that nobody will succeed it", || old.ask("has-successor") == "false");
    assert!(old.ask("await-stop").starts_with("replace=true"), "the promise stands");
    assert_eq!(lost(instance(dir.path()).claim_blocking()).pid(), Some(old.pid()));
    old.ask("release");
    let next = won(instance(dir.path()).claim_timeout(Duration::ZERO).claim_blocking());
    next.release_blocking().unwrap();
}

#[test]
fn a_holder_that_is_killed_while_it_was_asked_is_succeeded_at_once() {
    for _ in 0..os::rounds(20) {
        let dir = tempfile::tempdir().unwrap();
        let mut old = holding(dir.path());
        let mut new = taking_over(dir.path(), "takeover 60000");
        os::kill_9(old.pid());
        assert!(new.wait_line("takeover:").starts_with("won "));
        old.wait();
    }
}

#[test]
fn a_holder_that_is_killed_at_any_moment_of_the_takeover_is_succeeded() {
    for round in 0..os::rounds(40) {
        let dir = tempfile::tempdir().unwrap();
        let mut old = holding(dir.path());
        let mut new = start(dir.path());
        new.say("takeover 60000");
        // Anywhere between the order and the waiting: the moments differ by some microseconds each round.
        for _ in 0..round * 2_000 {
            std::hint::spin_loop();
        }
        os::kill_9(old.pid());
        assert!(new.wait_line("takeover:").starts_with("won "));
        old.wait();
    }
}

#[test]
fn one_that_says_it_goes_and_does_not_is_left_alone_unless_forced() {
    let dir = tempfile::tempdir().unwrap();
    let mut old = holding(dir.path());
    old.ask("no-overtime");
    let mut new = start(dir.path());
    let said = new.ask("takeover 100");
    assert!(said.starts_with("error busy=false still there:"), "{said}");
    assert!(said.contains(&format!("pid {}", old.pid())), "{said}");
    assert_eq!(lost(instance(dir.path()).claim_blocking()).pid(), Some(old.pid()), "nothing was signalled");
    assert!(!os::is_claimed(dir.path()), "the claim lock is free again");
    new.say("takeover force 100");
    new.wait_line(&format!("step forcing Some({})", old.pid()));
    assert!(new.wait_line("takeover:").starts_with("won "));
    old.wait();
}

#[test]
fn a_holder_that_outlives_its_grace_is_ended_by_its_own_answering_thread() {
    let dir = tempfile::tempdir().unwrap();
    let mut old = holding(dir.path()); // its only thread waits for orders, and hears nothing of the stop
    let mut new = start(dir.path());
    assert!(new.ask("takeover 100").starts_with("won "));
    assert_eq!(old.wait().code(), Some(70));
    assert_eq!(ends(dir.path()), [Some(End::KilledAfterGrace), None]);
}

#[test]
fn one_that_is_stopped_after_its_promise_holds_nobody_up_beyond_its_grace() {
    let dir = tempfile::tempdir().unwrap();
    let mut old = holding(dir.path());
    let mut new = taking_over(dir.path(), "takeover 300");
    old.stop();
    let said = new.wait_line("takeover:");
    assert!(said.starts_with("error busy=false still there:"), "{said}");
    assert!(said.contains(&format!("pid {}", old.pid())), "{said}");
    assert!(os::is_there(old.pid()) && os::has_instance(dir.path(), old.pid()));
    assert!(!os::is_claimed(dir.path()), "the claim lock is free again");
    // It goes on, and its answering thread sees that its time is over.
    old.resume();
    assert_eq!(old.wait().code(), Some(70));
    assert!(start(dir.path()).ask("claim").starts_with("won "));
}

#[test]
fn more_time_that_the_holder_asks_for_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut old = holding(dir.path());
    old.ask("no-overtime");
    let mut new = taking_over(dir.path(), "takeover 60000");
    old.ask("await-stop");
    old.ask("extend 120000");
    let stop = old.ask("await-stop");
    assert!(stop.ends_with("grace=119"), "{stop}");
    old.ask("release");
    assert!(new.wait_line("takeover:").starts_with("won "));
}

#[test]
fn a_holder_that_refuses_says_why_and_stays_unless_forced() {
    let dir = tempfile::tempdir().unwrap();
    let mut old = holding(dir.path());
    old.ask("refuse it is being upgraded");
    let mut new = start(dir.path());
    let said = new.ask("takeover");
    assert!(said.contains("refused:") && said.contains("it is being upgraded"), "{said}");
    assert_eq!(lost(instance(dir.path()).claim_blocking()).pid(), Some(old.pid()));
    new.say("takeover force");
    new.wait_line("step asked");
    assert!(old.ask("await-stop").starts_with("replace=true"));
    old.ask("release");
    assert!(new.wait_line("takeover:").starts_with("won "));
}

#[test]
fn a_stopped_holder_is_reported_and_ended_only_by_force() {
    let dir = tempfile::tempdir().unwrap();
    let mut old = holding(dir.path());
    old.ask("ignore-terminate");
    old.stop();
    let mut new = start(dir.path());
    let said = new.ask("takeover");
    assert!(said.starts_with("error busy=true unresponsive:") && said.contains(os::SUSPENDED), "{said}");
    assert!(os::is_there(old.pid()));
    assert!(new.ask("takeover force 100").starts_with("won "));
    assert_eq!(ends(dir.path()), [Some(End::KilledAfterGrace), None]);
    old.wait();
}

#[cfg(unix)] // elsewhere nobody can delete the pid file of a holder
#[test]
fn a_pid_file_that_is_deleted_while_a_takeover_waits_lets_nobody_in_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut old = holding(dir.path());
    let mut new = taking_over(dir.path(), "takeover 60000");
    std::fs::remove_file(dir.path().join("a.pid")).unwrap();
    eventually("the takeover has the claim lock of the new file", || os::has_claim(dir.path(), new.pid()));
    assert_eq!(lost(instance(dir.path()).claim_blocking()).pid(), Some(old.pid()));
    old.ask("release");
    assert!(new.wait_line("takeover:").starts_with("won "));
    assert!(os::has_instance(dir.path(), new.pid()));
}

#[test]
fn of_ten_that_take_over_at_once_one_wins_and_the_others_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut old = holding(dir.path());
    let mut takers: Vec<Program> = (0..10).map(|_| start(dir.path())).collect();
    for taker in &mut takers {
        taker.say("takeover 60000");
    }
    let mut others = Vec::new();
    // Whoever has asked takes over; each of the others is told so at once.
    let mut winner = None;
    for (number, taker) in takers.iter_mut().enumerate() {
        let said = taker.wait_line_of(&["step asked", "takeover:"]);
        if said.starts_with("step asked") {
            assert_eq!(winner.replace(number), None, "two have asked");
        } else {
            assert!(said.starts_with("takeover: error busy=true claiming:"), "{said}");
            others.push(said);
        }
    }
    let mut winner = takers.swap_remove(winner.expect("one has asked"));
    assert_eq!(others.len(), 9);
    for said in others {
        assert!(said.contains(&format!("pid {}", winner.pid())), "{said}");
    }
    old.ask("await-stop");
    old.ask("release");
    assert!(winner.wait_line("takeover:").starts_with("won "));
    assert!(os::has_instance(dir.path(), winner.pid()));
}
