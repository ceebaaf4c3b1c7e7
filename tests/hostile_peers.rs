//! Floods: ten thousand connections, of the owner and of another user, and every kind of bad client at once. Meanwhile the
//! owner's `status` is answered within the second that it gives itself, and the holder's memory and descriptors stay
//! bounded. The numbers are printed; no test depends on them but through `--timeout`.
#![cfg(target_os = "linux")] // abstract names, other users and `/proc` are how it is attacked and measured
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, unreachable_pub)] // A test fails so.

#[path = "support/flood.rs"]
mod flood;
#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;
#[path = "support/stand_in.rs"]
mod stand_in;
#[path = "support/users.rs"]
mod users;
#[path = "support/wire.rs"]
mod wire;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use flood::{Cost, attack, attacker, call_off};
use gateway::{Ended, Place, Running};
use program::{Program, eventually};
use users::{STRANGER, Town, abstract_name_of};

/// So much more than before a holder may use, in KiB, whatever is done to it.
const MORE_KIB: u64 = 64 * 1024;
/// So many descriptors a holder may have, whatever is done to it.
const MOST_DESCRIPTORS: usize = 300;

#[test]
fn role() {
    let Some((name, _)) = program::role() else { return };
    match name.as_str() {
        "attacker" => attacker(),
        other => panic!("no role {other}"),
    }
}

#[test]
fn stand_in() {
    stand_in::play();
}

fn attackers(count: usize, place: &Place) -> Vec<Program> {
    (0..count)
        .map(|_| {
            let mut attacker = Program::role("attacker", place.dir());
            attacker.wait_line("ready");
            attacker
        })
        .collect()
}

fn socket(place: &Place) -> String {
    place.dir().join("gateway.sock").to_str().unwrap().to_owned()
}

/// The owner asks again and again, and is answered within the second that it has (each time, unless the machine is
/// overloaded); so is whoever claims.
/// What it cost the holder at most.
fn is_answered_throughout(what: &str, place: &Place, holder: &Running) -> Cost {
    let mut took: Vec<Duration> = Vec::new();
    let mut late = 0;
    let mut most = Cost::of(holder.pid());
    let before = most;
    for _ in 0..os::rounds(20) {
        let began = Instant::now();
        let mut asked = place.finish(&["status", "--json", "--timeout", "1s"]);
        took.push(began.elapsed());
        if asked.code() == 4 {
            // On a machine that is busy with other things who asks, or the holder, may not have had its turn.
            late += 1;
            asked = place.finish(&["status", "--json", "--timeout", "20s"]);
        }
        assert_eq!(asked.code(), 0, "{what}: {asked:?}");
        assert!(asked.stdout.contains(&format!("\"pid\":{}", holder.pid())), "{what}: {asked:?}");
        let now = Cost::of(holder.pid());
        most.descriptors = most.descriptors.max(now.descriptors);
        most.proportional_kib = most.proportional_kib.max(now.proportional_kib);
        most.peak_kib = now.peak_kib;
    }
    let refused = place.finish(&["run"]);
    assert_eq!(refused.code(), 75, "{what}: {refused:?}");
    assert!(refused.stderr.contains(&format!("pid {}", holder.pid())), "{what}: {refused:?}");
    took.sort_unstable();
    assert!(late * 4 <= took.len(), "{what}: {late} of {} were not answered within a second", took.len());
    eprintln!(
        "{what}: {late} late; status {:?} in the middle, {:?} at most; resident {} KiB, at most {} KiB; {} descriptors at most",
        took[took.len() / 2],
        took[took.len() - 1],
        before.resident_kib,
        most.peak_kib,
        most.descriptors
    );
    most
}

/// What it may cost, before and after.
#[track_caller]
fn was_modest(what: &str, place: &Place, holder: Running, before: Cost, most: Cost) -> Ended {
    assert!(most.peak_kib < before.peak_kib + MORE_KIB, "{what}: {before:?}, {most:?}");
    assert!(most.descriptors < MOST_DESCRIPTORS, "{what}: {most:?}");
    eventually("its descriptors are closed", || Cost::of(holder.pid()).descriptors < os::IDLE_DESCRIPTORS);
    let after = Cost::of(holder.pid());
    eprintln!("{what}: before {before:?}\n{what}: after {after:?}");
    let stopped = place.finish(&["stop"]);
    assert_eq!(stopped.code(), 0, "{what}: {stopped:?}");
    holder.end()
}

fn storm(what: &str, place: &Place, holder: Running, attackers: Vec<Program>, ways: &[&str], at: &[&str]) {
    let before = Cost::of(holder.pid());
    let mut attackers = attack(attackers, ways, at);
    is_answered_throughout(what, place, &holder);
    // They go on: those that are let go of come again.
    for attacker in &mut attackers {
        attacker.wait_line("many");
    }
    let most = is_answered_throughout(what, place, &holder);
    for did in call_off(attackers) {
        eprintln!("{what}: an attacker ended: {did}");
    }
    assert_eq!(was_modest(what, place, holder, before, most).code(), 0);
}

#[test]
fn ten_thousand_connections_of_its_own_user_keep_nobody_from_being_answered() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    let at = socket(&place);
    storm("own", &place, holder, attackers(2, &place), &["keep", "churn"], &[&at, &at]);
}

#[test]
fn ten_thousand_connections_of_another_user_keep_nobody_from_being_answered() {
    let Some(town) = Town::new() else { return };
    let place = Place::new();
    let holder = place.hold(&["run"]);
    let at = format!("@{}", abstract_name_of(holder.pid()).unwrap());
    let strangers = (0..2).map(|_| town.role_as(STRANGER, "attacker", Path::new("/"))).collect();
    storm("foreign", &place, holder, strangers, &["keep", "churn"], &[&at, &at]);
}

#[test]
fn every_kind_of_bad_client_at_once_costs_little_and_keeps_nobody_from_being_answered() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    let at = socket(&place);
    let name = format!("@{}", abstract_name_of(holder.pid()).unwrap());
    let ways = ["half+deaf+drip+oversize+versions", "pings+watch+garbage+almost+send"];
    storm("all kinds", &place, holder, attackers(2, &place), &ways, &[&at, &name]);
}

#[test]
fn messages_that_nobody_collects_cost_so_much_and_then_are_refused() {
    let place = Place::new();
    let holder = place.hold(&stand_in::run(&["--messages", "stdin"], "last"));
    let before = Cost::of(holder.pid());
    let attackers = attack(attackers(1, &place), &["send+send+note"], &[&socket(&place)]);
    // One that is not refused waits for its answer, and is let go of again.
    eventually("more is refused", || {
        let refused = place.start(&["send", "more"]).says_within(Duration::from_millis(300), "gateway:");
        refused.is_some_and(|error| error.contains("too many messages"))
    });
    let refused = place.finish(&["send", "more"]);
    assert_eq!(refused.code(), 4, "{refused:?}");
    let most = is_answered_throughout("messages", &place, &holder);
    for did in call_off(attackers) {
        eprintln!("messages: {did}");
    }
    was_modest("messages", &place, holder, before, most);
}
