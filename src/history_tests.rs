//! The tests of `history`.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::platform::testing;
use crate::record::tests::sample;

fn entry(generation: u64) -> Entry {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&generation.to_be_bytes());
    let record = Record { generation, instance_id: InstanceId::from_bytes(id), ..sample() };
    Entry::of(&record, Some((End::Released, Some(1_795_482_999_000_000))))
}

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.history");
    (dir, path)
}

fn generations(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.generation).collect()
}

#[test]
fn absent_history_is_empty_and_no_problem() {
    let (_dir, path) = place();
    assert_eq!(read(&path), (vec![], None));
    assert!(!path.exists(), "looking makes nothing");
}

#[test]
fn added_entries_are_read_back_oldest_first() {
    let (_dir, path) = place();
    for generation in 1..=3 {
        append(&path, &entry(generation)).unwrap();
    }
    assert_eq!(read(&path), (vec![entry(1), entry(2), entry(3)], None));
}

#[test]
fn line_has_exactly_the_keys_of_history_json() {
    let mut running = entry(7);
    let ended = json!({
        "generation": 7, "instance_id": "00000000000000070000000000000000", "pid": 4242, "version": "0.1.0",
        "command": ["gateway", "run"], "started_by": {
            "pid": 1, "name": "systemd", "start_ticks": 3, "unit": "gateway.service", "session": 4242
        }, "started_at": "2026-11-24T01:02:03.456Z",
        "ended_at": "2026-11-24T01:16:39.000Z", "end": "released"
    });
    assert_eq!(serde_json::to_value(&running).unwrap(), ended);
    (running.end, running.ended_at_us) = (None, None);
    let line = serde_json::to_value(&running).unwrap();
    assert!(line["end"].is_null() && line["ended_at"].is_null());
    assert_eq!(line.as_object().unwrap().len(), 9, "null, not absent");
}

#[test]
fn entry_that_was_the_last_to_be_added_is_not_added_again() {
    let (_dir, path) = place();
    for generation in [1, 2, 2] {
        append(&path, &entry(generation)).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
}

#[test]
fn line_torn_by_a_full_disk_costs_that_line_only() {
    let (_dir, path) = place();
    append(&path, &entry(1)).unwrap();
    let whole = fs::read(&path).unwrap();
    for torn in 1..whole.len() {
        fs::write(&path, [&whole[..], &whole[..torn]].concat()).unwrap();
        append(&path, &entry(3)).unwrap();
        let (entries, problem) = read(&path);
        assert_eq!(generations(&entries), [1, 3], "torn after {torn} bytes");
        // Torn before the newline alone, it can still be read, and is the same generation again.
        assert_eq!(problem.is_none(), torn == whole.len() - 1, "{problem:?}");
    }
}

#[test]
fn broken_lines_are_counted_in_the_problem() {
    let (_dir, path) = place();
    append(&path, &entry(1)).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{{\n\n{good}[]\n")).unwrap();
    let (entries, problem) = read(&path);
    assert_eq!(entries, [entry(1)]);
    assert_eq!(problem.unwrap(), format!("the history `{}` has 2 broken lines", path.display()));
}

#[test]
fn six_hundred_generations_are_shortened_to_the_last() {
    let (dir, path) = place();
    for generation in 1..=600 {
        append(&path, &entry(generation)).unwrap();
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= MOST_LINES);
    }
    let lines = fs::read_to_string(&path).unwrap().lines().count();
    assert!((KEPT..=MOST_LINES).contains(&lines), "{lines}");
    let (entries, problem) = read(&path);
    assert_eq!(generations(&entries), (345..=600).collect::<Vec<_>>());
    assert_eq!(problem, None);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn long_command_lines_neither_fill_the_disk_nor_shorten_the_memory() {
    let (_dir, path) = place();
    for generation in 1..=300 {
        let mut long = entry(generation);
        long.command = vec!["argument".repeat(1000); 1000];
        append(&path, &long).unwrap();
    }
    let (entries, problem) = read(&path);
    assert_eq!((entries.len(), problem), (KEPT, None));
    assert!(fs::metadata(&path).unwrap().len() < (KEPT * LONGEST_LINE) as u64);
}

#[test]
fn keys_of_a_newer_program_survive_the_shortening() {
    let (_dir, path) = place();
    let mut line = serde_json::to_value(entry(1)).unwrap();
    line["colour"] = json!("red");
    fs::write(&path, format!("garbage\n{line}\n")).unwrap();
    shorten(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{line}\n"));
}

#[test]
fn line_too_long_for_its_readers_is_not_written() {
    let (_dir, path) = place();
    let mut long = entry(1);
    long.version = Some("9".repeat(LONGEST_LINE));
    assert_eq!(append(&path, &long).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert!(!path.exists());
}

#[test]
fn of_a_file_that_is_too_long_the_end_counts_and_the_next_writer_shortens_it() {
    let (_dir, path) = place();
    append(&path, &entry(1)).unwrap();
    let good = fs::read(&path).unwrap();
    fs::write(&path, [vec![b'x'; LIMIT], b"\n".to_vec(), good].concat()).unwrap();
    let (entries, problem) = read(&path);
    assert_eq!(generations(&entries), [1]);
    assert!(problem.unwrap().ends_with("is longer than 4 MiB, and only its end was read"));
    append(&path, &entry(2)).unwrap();
    assert_eq!(read(&path), (vec![entry(1), entry(2)], None));
}

#[test]
fn whatever_stands_in_its_place_is_named_and_not_written_to() {
    let (dir, victim) = place();
    append(&victim, &entry(1)).unwrap();
    let precious = fs::read(&victim).unwrap();
    for (path, kind) in testing::strange_files(dir.path(), &victim) {
        let (entries, problem) = read(&path);
        assert!(entries.is_empty() && problem.unwrap().contains(kind));
        let error = append(&path, &entry(2)).unwrap_err();
        assert!(error.to_string().contains(kind), "{error}");
    }
    assert_eq!(fs::read(&victim).unwrap(), precious);
}

#[test]
fn entries_told_twice_count_once_as_they_were_told_first() {
    let (_dir, path) = place();
    let mut again = entry(1);
    again.end = Some(End::HostRestarted);
    for entry in [entry(1), entry(2), again] {
        append(&path, &entry).unwrap();
    }
    assert_eq!(read(&path).0, [entry(1), entry(2)]);
}

#[test]
fn record_completes_the_history() {
    let past = |record: Record| Past::Record(Box::new(record));
    let last = |past: &Past, runs| {
        let mut entries = vec![entry(5)];
        complete(&mut entries, past, runs, Some("boot two"), None);
        entries.last().map(|last| (last.generation, last.end, last.ended_at_us)).unwrap()
    };
    assert_eq!(last(&past(sample()), true), (7, None, None));
    assert_eq!(last(&past(sample()), false), (7, Some(End::HostRestarted), None));
    let released = Record { end: Some(End::Released), ended_at_us: Some(9), ..sample() };
    assert_eq!(last(&past(released.clone()), false), (7, Some(End::Released), Some(9)));
    assert_eq!(
        last(&past(released), true),
        (7, Some(End::Released), Some(9)),
        "its own word outranks a guess"
    );
    assert_eq!(last(&Past::None, true).0, 5);
    assert_eq!(last(&Past::Broken("why".into()), true).0, 5);
}

#[test]
fn record_that_is_in_the_history_already_is_not_added() {
    let mut entries = vec![Entry::of(&sample(), Some((End::Crashed, None)))];
    complete(&mut entries, &Past::Record(Box::new(sample())), false, Some("boot two"), None);
    assert_eq!((entries.len(), entries[0].end), (1, Some(End::Crashed)));
}

#[test]
fn completed_history_has_no_more_than_is_kept() {
    let mut entries: Vec<Entry> = (1000..1256).map(entry).collect();
    let record = Record { generation: 2000, ..sample() };
    complete(&mut entries, &Past::Record(Box::new(record)), true, None, None);
    assert_eq!((entries.len(), entries[0].generation), (KEPT, 1001));
}

proptest! {
    #[test]
    fn any_bytes_are_read_and_added_to(bytes: Vec<u8>, lines in prop::collection::vec("[\\PC\n]*", 0..4)) {
        let (_dir, path) = place();
        fs::write(&path, [lines.join("\n").as_bytes(), &bytes].concat()).unwrap();
        prop_assert!(read(&path).0.is_empty());
        append(&path, &entry(1)).unwrap();
        prop_assert_eq!(read(&path).0, [entry(1)]);
    }

    #[test]
    fn history_flipped_or_torn_anywhere_keeps_its_other_lines(at in 0_usize..1000, cut in 0_usize..1000, to: u8) {
        let (_dir, path) = place();
        for generation in 1..=3 {
            append(&path, &entry(generation)).unwrap();
        }
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(cut);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = to;
        }
        fs::write(&path, &bytes).unwrap();
        let whole_lines = bytes.split(|byte| *byte == b'\n').count() - 1;
        prop_assert!(read(&path).0.len() + 2 >= whole_lines.min(3));
        append(&path, &entry(4)).unwrap();
        prop_assert!(read(&path).0.contains(&entry(4)));
    }
}

#[test]
fn the_longest_generation_with_all_its_failed_takeovers_is_one_line() {
    let (_dir, path) = place();
    let failed = FailedTakeover { at_us: 1_795_482_999_000_000, pid: Some(u32::MAX), why: "é".repeat(200) };
    let command = vec!["é".repeat(20_000)];
    let record = Record { failed_takeovers: vec![failed; 8], command, ..sample() };
    let entry = Entry::of(&record, Some((End::Released, Some(1_795_482_999_000_000))));
    append(&path, &entry).unwrap();
    assert_eq!(read(&path).0[0].failed_takeovers.len(), IN_HISTORY);
}
