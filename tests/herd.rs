//! Many claim at once: exactly one wins, and every other one is told who. `STRESS=n` makes it n times as many rounds.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)] // A test fails so.

#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;
#[path = "support/teller.rs"]
mod teller;

use std::{fs, path::Path, sync::Barrier, time::Duration};

use incumbent::{Claim, Found};
use os::rounds;
use program::{Program, eventually, instance, lost, orders, tell, won};

/// A process starts slowly under Wine.
const CLAIMANTS: usize = if cfg!(windows) { 20 } else { 60 };
/// Longer than a claim takes when two processors have sixty of them, and shorter than the watchdog.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn role() {
    let Some((name, dir)) = program::role() else { return };
    match name.as_str() {
        "holder" => program::holder(&dir),
        "claimant" => claimant(&dir),
        "deleter" => deleter(&dir),
        "looker" => looker(&dir),
        other => panic!("no role {other}"),
    }
}

/// Claims when it is told, tells what came of it, and holds what it won until its input ends.
fn claimant(dir: &Path) {
    let instance = instance(dir).claim_timeout(PATIENCE);
    tell("ready");
    let mut orders = orders();
    assert_eq!(orders.next().as_deref(), Some("go"));
    let claim = instance.claim_blocking();
    tell(format!("came: {}", teller::claim_words(&claim)));
    for order in orders {
        let holds = matches!(&claim, Ok(Claim::Won(holder)) if holder.is_holding());
        tell(format!("{order}: {holds}"));
    }
}

/// Deletes the pid file again and again until its input ends.
fn deleter(dir: &Path) {
    let deleting = std::thread::spawn({
        let path = dir.join("a.pid");
        move || {
            loop {
                let _ = fs::remove_file(&path);
                std::thread::yield_now();
            }
        }
    });
    tell("ready");
    orders().for_each(drop);
    assert!(!deleting.is_finished());
}

/// Looks again and again until its input ends.
fn looker(dir: &Path) {
    let looking = std::thread::spawn({
        let instance = instance(dir);
        move || {
            loop {
                instance.inspect_blocking(PATIENCE).unwrap();
            }
        }
    });
    tell("ready");
    orders().for_each(drop);
    assert!(!looking.is_finished());
}

/// Starts them all, and lets them go together once all are ready.
fn stampede(dir: &Path) -> Vec<Program> {
    let mut herd: Vec<Program> = (0..CLAIMANTS).map(|_| Program::role("claimant", dir)).collect();
    for claimant in &mut herd {
        claimant.wait_line("ready");
    }
    for claimant in &mut herd {
        claimant.say("go");
    }
    herd
}

#[track_caller]
fn exactly_one_wins(dir: &Path) {
    let mut herd = stampede(dir);
    let came: Vec<String> = herd.iter_mut().map(|claimant| claimant.wait_line("came: ")).collect();
    let winners: Vec<usize> = (0..CLAIMANTS).filter(|number| came[*number].starts_with("won ")).collect();
    let [winner] = winners[..] else { panic!("{} have won: {came:#?}", winners.len()) };
    let id = came[winner].split(' ').nth(2).unwrap();
    let refused = format!("lost {:?} {id}", Some(herd[winner].pid()));
    for (number, came) in came.iter().enumerate().filter(|(number, _)| *number != winner) {
        assert_eq!(*came, refused, "claimant {number}");
    }
    assert_eq!(herd[winner].ask("holding?"), "true");
}

#[test]
fn of_sixty_that_claim_at_once_one_wins_and_all_others_are_told_who() {
    for _ in 0..rounds(10) {
        let dir = tempfile::tempdir().unwrap();
        exactly_one_wins(dir.path());
    }
}

#[test]
fn what_a_killed_holder_left_behind_changes_nothing_for_a_herd() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..rounds(5) {
        // The winner of the last round was killed with it.
        let mut holder = Program::role("holder", dir.path());
        holder.wait_line("holding");
        holder.kill_9();
        exactly_one_wins(dir.path());
    }
}

#[test]
fn a_pid_file_that_is_deleted_all_the_time_never_makes_two_holders() {
    for _ in 0..rounds(2) {
        let dir = tempfile::tempdir().unwrap();
        let mut deleter = Program::role("deleter", dir.path());
        deleter.wait_line("ready");
        let mut herd = stampede(dir.path());
        let mut came: Vec<String> = Vec::new();
        for claimant in &mut herd {
            came.push(claimant.wait_line("came: "));
        }
        for came in &came {
            assert!(
                came.starts_with("won ") || came.starts_with("lost ") || came.contains("busy=true"),
                "{came}"
            );
        }
        let believers = |herd: &mut Vec<Program>| {
            herd.iter_mut().map(|claimant| claimant.ask("holding?")).filter(|holds| holds == "true").count()
        };
        assert!(believers(&mut herd) <= 1, "{came:#?}");
        drop(deleter);
        let found =
            || matches!(instance(dir.path()).find_blocking(Duration::from_secs(1)), Ok(Found::Incumbent(_)));
        if came.iter().any(|came| came.starts_with("won ")) {
            eventually("the files are back", || dir.path().join("a.pid").exists() && found());
            assert_eq!(believers(&mut herd), 1, "{came:#?}");
        }
    }
}

/// A look that took the lock for an instant would be taken for a holder by whoever starts at that instant.
#[test]
fn nobody_is_refused_because_others_look() {
    let dir = tempfile::tempdir().unwrap();
    let mut lookers: Vec<Program> = (0..4).map(|_| Program::role("looker", dir.path())).collect();
    for looker in &mut lookers {
        looker.wait_line("ready");
    }
    // Windows may take a moment to free a lock.
    let patience = Duration::from_secs(u64::from(cfg!(windows)));
    for _ in 0..rounds(200) {
        let impatient = instance(dir.path()).claim_timeout(patience);
        won(impatient.claim_blocking()).release_blocking().unwrap();
    }
    for mut looker in lookers {
        looker.dismiss();
        assert!(looker.wait().success());
    }
}

#[test]
fn of_sixteen_threads_that_claim_at_once_one_wins_and_the_others_lose_to_their_own_process() {
    for _ in 0..rounds(50) {
        let dir = tempfile::tempdir().unwrap();
        let start = Barrier::new(16);
        let claims: Vec<Claim> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        instance(dir.path()).claim_timeout(PATIENCE).claim_blocking().unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let winners: Vec<_> = claims
            .iter()
            .filter_map(|claim| match claim {
                Claim::Won(holder) => Some(holder.instance_id()),
                Claim::Lost(_) => None,
            })
            .collect();
        let [winner] = winners[..] else { panic!("{} have won", winners.len()) };
        for claim in &claims {
            if let Claim::Lost(incumbent) = claim {
                assert_eq!((incumbent.instance_id(), incumbent.pid()), (winner, Some(std::process::id())));
            }
        }
        let late = lost(instance(dir.path()).claim_blocking());
        assert_eq!(late.instance_id(), winner);
        // Who it was lost to, and since when, came with the answer.
        let holder = late.first_status().unwrap().holder.unwrap();
        assert_eq!((holder.pid, holder.instance_id), (Some(std::process::id()), Some(winner.to_string())));
        drop(claims);
        drop(won(instance(dir.path()).claim_blocking()));
    }
}
