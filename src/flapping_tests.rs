//! The tests of `flapping`.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

use proptest::prelude::*;

use super::*;
use crate::record::tests::sample;

const SECOND: i64 = 1_000_000;

fn starter(pid: u32, session: u32) -> Starter {
    Starter { pid: Some(pid), start_ticks: Some(7), session: Some(session), ..Starter::default() }
}

fn side(command: &str, started_by: Starter) -> Side {
    Side { pid: 9, command: vec![command.to_owned()], started_by: Some(started_by) }
}

/// Started by its own manager each, in one session.
fn a() -> Side {
    side("gateway", starter(100, 1))
}

fn b() -> Side {
    side("gateway", starter(200, 1))
}

/// What is in the history when these replaced each other, and each but the last was there for so long; and when that one
/// began.
fn history(sides: &[Side], lasted_us: i64) -> (Vec<Entry>, i64) {
    let mut began = 1_795_482_123_456_000;
    let mut entries = Vec::new();
    for (number, side) in sides.iter().enumerate() {
        let is_last = number + 1 == sides.len();
        let end = (!is_last).then_some((End::Replaced, Some(began + lasted_us)));
        let mut entry = Entry::of(&sample(), end);
        entry.command.clone_from(&side.command);
        entry.started_by.clone_from(&side.started_by);
        entry.started_at_us = began;
        entries.push(entry);
        began += if is_last { 0 } else { lasted_us };
    }
    (entries, began)
}

/// How long the next of the two has to wait, when so many replaced each other in turn and each lasted so long.
fn wait_after(times: usize, lasted_us: i64) -> Flapping {
    let sides: Vec<Side> = (0..=times).map(|n| if (times - n) % 2 == 0 { b() } else { a() }).collect();
    let (entries, began) = history(&sides, lasted_us);
    judge(&entries, &a(), began)
}

fn left(flapping: &Flapping) -> Duration {
    match flapping {
        Flapping::Calm => Duration::ZERO,
        Flapping::Slow(fight) | Flapping::Fighting(fight) => fight.left,
    }
}

#[test]
fn two_that_replace_each_other_are_slowed_and_then_refused() {
    let seconds = |times| (left(&wait_after(times, SECOND / 10)).as_secs(), wait_after(times, SECOND / 10));
    for times in 0..3 {
        assert_eq!(wait_after(times, SECOND / 10), Flapping::Calm, "{times}");
    }
    for (times, pause) in [(3, 1), (4, 2), (5, 4)] {
        assert!(matches!(seconds(times), (left, Flapping::Slow(_)) if left == pause), "{times}");
    }
    for (times, pause) in [(6, 60), (7, 120), (11, 1920), (12, 3600), (13, 3600), (250, 3600)] {
        assert!(matches!(seconds(times), (left, Flapping::Fighting(_)) if left == pause), "{times}");
    }
}

#[test]
fn a_refusal_ends_by_itself_and_comes_back_for_twice_as_long() {
    let (mut entries, began) = history(&[a(), b(), a(), b(), a(), b(), a()], SECOND / 10);
    let at = |seconds: i64| judge(&entries, &b(), began + seconds * SECOND);
    assert_eq!(left(&at(0)).as_secs(), 60);
    assert_eq!(left(&at(59)).as_secs(), 1);
    assert_eq!(at(60), Flapping::Calm);
    // The other did come back after that minute.
    let last = entries.last_mut().unwrap();
    (last.end, last.ended_at_us) = (Some(End::Replaced), Some(began + 60 * SECOND));
    let (mut next, _) = history(&[b()], 0);
    next[0].started_at_us = began + 60 * SECOND;
    entries.append(&mut next);
    assert_eq!(left(&judge(&entries, &a(), began + 60 * SECOND)).as_secs(), 120);
}

#[test]
fn whoever_was_left_in_peace_starts_anew() {
    assert!(matches!(wait_after(6, 5 * 60 * SECOND), Flapping::Fighting(_)), "a slow fight is one");
    assert_eq!(wait_after(100, 10 * 60 * SECOND), Flapping::Calm, "now and then");
    assert_eq!(wait_after(100, 5 * 60 * SECOND + 1), Flapping::Calm);
}

#[test]
fn two_managers_that_start_every_ten_seconds_are_refused_though_never_slowed() {
    for times in 0..6 {
        let sides: Vec<Side> = (0..=times).map(|n| if (times - n) % 2 == 0 { b() } else { a() }).collect();
        let (entries, began) = history(&sides, 10 * SECOND);
        assert_eq!(judge(&entries, &a(), began + 10 * SECOND), Flapping::Calm, "{times}");
    }
    assert!(matches!(wait_after(6, 10 * SECOND), Flapping::Fighting(_)));
}

#[test]
fn a_replacement_by_oneself_or_by_a_third_ends_the_turns() {
    let third = side("gateway", starter(300, 1));
    for odd in [b(), third] {
        let (entries, began) = history(&[a(), b(), a(), b(), odd, b(), a()], SECOND / 10);
        assert!(left(&judge(&entries, &b(), began)).as_secs() <= 1);
    }
}

#[test]
fn a_generation_that_did_not_end_as_replaced_ends_the_turns() {
    let (mut entries, began) = history(&[a(), b(), a(), b(), a(), b(), a()], SECOND / 10);
    for end in [End::Released, End::Crashed, End::HostRestarted, End::KilledAfterGrace, End::Deposed] {
        entries[4].end = Some(end);
        assert_eq!(judge(&entries, &b(), began), Flapping::Calm, "{end}");
    }
}

#[test]
fn nobody_is_refused_when_nobody_holds_or_the_clock_was_set_back() {
    let (mut entries, began) = history(&[a(), b(), a(), b(), a(), b(), a()], SECOND / 10);
    assert_eq!(judge(&entries, &b(), began - 1), Flapping::Calm);
    assert_eq!(judge(&entries, &b(), i64::MIN), Flapping::Calm);
    entries.last_mut().unwrap().end = Some(End::Released);
    assert_eq!(judge(&entries, &b(), began), Flapping::Calm);
    assert_eq!(judge(&[], &b(), began), Flapping::Calm);
}

/// As [`wait_after`] six times, by two that are told by their number in the row.
fn fight(a: impl Fn(u32) -> Side, b: impl Fn(u32) -> Side) -> bool {
    let sides: Vec<Side> = (0..=7).map(|n| if n % 2 == 0 { a(n) } else { b(n) }).collect();
    let (me, before) = sides.split_last().unwrap();
    let (entries, began) = history(before, SECOND / 10);
    matches!(judge(&entries, me, began), Flapping::Fighting(_))
}

#[test]
fn what_tells_two_apart_is_the_starter_the_session_or_the_command() {
    let unit = |unit: &str| {
        let starter = Starter { unit: Some(unit.to_owned()), ..starter(1, 1) };
        side("gateway", starter)
    };
    assert!(fight(|_| unit("a.service"), |_| unit("b.service")), "two units of one manager");
    assert!(fight(|n| side("x", starter(n, 10)), |n| side("x", starter(n, 20))), "subshells of two shells");
    assert!(fight(|n| side("x", starter(n, n)), |n| side("y", starter(n, n))), "two jobs of cron");
    assert!(fight(|_| side("x", starter(1, 1)), |_| side("y", starter(1, 1))), "two programs of supervisord");
    let unknown = |command: &str| Side { started_by: None, ..side(command, Starter::default()) };
    assert!(fight(|_| unknown("x"), |_| unknown("y")), "no starter is known");
    // Not told apart:
    assert!(!fight(|n| side("x", starter(n, 10)), |n| side("x", starter(n, 10))));
    assert!(!fight(|n| side("x", starter(n, n)), |n| side("x", starter(n, n))));
    assert!(!fight(|_| unknown("x"), |_| unknown("x")));
}

#[test]
fn the_sentence_names_both() {
    let unit = |pid, unit: &str| Starter {
        name: Some("systemd".into()),
        unit: Some(unit.into()),
        ..starter(pid, 1)
    };
    let one = || side("gateway run --replace", unit(1, "bot.service"));
    let two = || side("gateway run --replace -- 'bot\u{1b}'", unit(900, "bot.service"));
    let (entries, began) = history(&[one(), two(), one(), two(), one(), two(), one()], SECOND / 2);
    let Flapping::Fighting(fight) = judge(&entries, &two(), began) else { panic!("no fight") };
    let quoted = |line: &str| crate::text::quoted(line.as_ref());
    let (holds, this) = (quoted("gateway run --replace"), quoted("gateway run --replace -- 'bot\u{fffd}'"));
    assert_eq!(
        fight.sentence(),
        format!(
            "two replaced each other in turn, 6 times within 2.5 s: pid 4242 ({holds}), started by systemd \
             (pid 1, unit bot.service), which holds; and this one, pid 9 ({this}), \
             started by systemd (pid 900, unit bot.service)"
        )
    );
}

#[test]
fn this_process_is_a_side_as_its_record_would_tell_it() {
    let this = Side::this();
    assert_eq!(this.pid, std::process::id());
    assert_eq!(this.command, lossy::shortened(&this.command));
    // Under Wine the first process has a parent that is none of Windows.
    let is_known = crate::platform::parent().is_some();
    assert!(this.started_by.is_some_and(|starter| !is_known || starter.is(&Starter::of_this())));
}

/// Any side of a few, so that they meet again.
fn any_side() -> impl Strategy<Value = Side> {
    let few = || prop::option::of(0_u32..3);
    (0_u8..3, prop::option::of((few(), few(), few()))).prop_map(|(command, known)| Side {
        pid: 9,
        command: vec![command.to_string()],
        started_by: known.map(|(pid, ticks, session)| Starter {
            pid,
            start_ticks: ticks.map(Into::into),
            session,
            ..Starter::default()
        }),
    })
}

fn any_end() -> impl Strategy<Value = Option<End>> {
    prop_oneof![
        8 => Just(Some(End::Replaced)),
        1 => Just(Some(End::Crashed)),
        1 => Just(None),
    ]
}

proptest! {
    #[test]
    fn no_history_makes_it_panic(
        entries in prop::collection::vec((any_side(), any_end(), any::<i64>(), any::<Option<i64>>()), 0..12),
        me in any_side(),
        now_us: i64,
    ) {
        let sides: Vec<Side> = entries.iter().map(|(side, ..)| side.clone()).collect();
        let (mut all, _) = history(&sides, 0);
        for (entry, (_, end, started, ended)) in all.iter_mut().zip(entries) {
            (entry.end, entry.started_at_us, entry.ended_at_us) = (end, started, ended);
        }
        judge(&all, &me, now_us);
    }

    #[test]
    fn one_starter_with_one_command_is_always_calm(
        sessions in prop::collection::vec(prop::option::of(0_u32..3), 1..40),
        lasted_us in 0_i64..SECOND,
        waited_us in 0_i64..SECOND,
    ) {
        let one = |session: &Option<u32>| side("x", Starter { session: *session, ..starter(100, 1) });
        let sides: Vec<Side> = sessions.iter().map(one).collect();
        let (entries, began) = history(&sides, lasted_us);
        prop_assert_eq!(judge(&entries, &one(&Some(1)), began + waited_us), Flapping::Calm);
    }

    #[test]
    fn the_longer_the_holder_was_left_alone_the_less_is_left(
        times in 0_usize..40,
        lasted_us in 0_i64..600 * SECOND,
        waited in prop::collection::vec(0_i64..4000 * SECOND, 2),
    ) {
        let sides: Vec<Side> = (0..=times).map(|n| if (times - n) % 2 == 0 { b() } else { a() }).collect();
        let (entries, began) = history(&sides, lasted_us);
        let left_after = |waited| left(&judge(&entries, &a(), began + waited));
        let (less, more) = (waited[0].min(waited[1]), waited[0].max(waited[1]));
        prop_assert!(left_after(more) <= left_after(less));
        prop_assert_eq!(left_after(3600 * SECOND), Duration::ZERO);
    }

    #[test]
    fn the_longer_the_history_the_more_is_left(times in 0_usize..40, lasted_us in 0_i64..600 * SECOND) {
        prop_assert!(left(&wait_after(times, lasted_us)) <= left(&wait_after(times + 1, lasted_us)));
    }
}
