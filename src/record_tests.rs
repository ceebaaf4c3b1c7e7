//! The tests of `record`, and the sample that those of `history` share.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::time::UNIX_EPOCH;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::platform::testing;

/// A record with everything in it, of one that still runs.
pub(crate) fn sample() -> Record {
    Record {
        schema: SCHEMA,
        name: "gateway".into(),
        dir: "/srv/state".into(),
        dir_id: Some(DirId { dev: 66305, ino: 1_234_567 }),
        pid_file_id: Some(DirId { dev: 66305, ino: 1_234_568 }),
        pid: 4242,
        start_ticks: Some(987_654),
        boot_id: Some("boot one".into()),
        machine_id: Some("machine".into()),
        host: Some("host".into()),
        uid: Some(1000),
        executable: Some("/usr/bin/gateway".into()),
        command: vec!["gateway".into(), "run".into()],
        version: Some("0.1.0".into()),
        generation: 7,
        instance_id: InstanceId::from_bytes([7; 16]),
        endpoint: Some("/srv/state/gateway.sock".into()),
        child: Some(Child {
            pid: 4243,
            command: vec!["sleep".into(), "9".into()],
            start_ticks: Some(77),
            pid_namespace: Some("4026531836".into()),
        }),
        left_behind: None,
        started_by: Some(Starter {
            pid: Some(1),
            name: Some("systemd".into()),
            start_ticks: Some(3),
            unit: Some("gateway.service".into()),
            session: Some(4242),
        }),
        started_at_us: 1_795_482_123_456_000,
        ended_at_us: None,
        end: None,
        failed_takeovers: Vec::new(),
    }
}

fn read_bytes(bytes: &[u8]) -> Past {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.json");
    fs::write(&path, bytes).unwrap();
    let past = Record::read(&path);
    if let Past::Broken(why) = &past {
        assert!(why.contains(&path.display().to_string()), "{why}");
        assert!(!why.contains('\n'), "{why}");
    }
    past
}

fn read_json(json: &Value) -> Past {
    read_bytes(json.to_string().as_bytes())
}

#[test]
fn written_record_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.json");
    assert_eq!(Record::read(&path), Past::None);
    let mut record = sample();
    for end in [None, Some(End::Released), Some(End::KilledAfterGrace)] {
        record.end = end;
        record.ended_at_us = end.map(|_| 1_795_482_999_000_000);
        record.write(&path).unwrap();
        assert_eq!(Record::read(&path), Past::Record(Box::new(record.clone())));
    }
}

#[test]
fn path_that_is_not_utf8_is_written_and_read_lossily() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.json");
    let odd = testing::path_not_utf8();
    let mut record = sample();
    record.dir.clone_from(&odd);
    record.executable = Some(odd.clone());
    record.endpoint = Some(odd.clone());
    record.write(&path).unwrap();
    let Past::Record(read) = Record::read(&path) else { unreachable!("it was just written") };
    assert_eq!(read.dir, Path::new(&*odd.to_string_lossy()));
}

#[test]
fn record_of_a_holder_with_megabytes_of_arguments_is_still_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.json");
    let mut record = sample();
    record.command = vec!["\u{1}x\"".repeat(500); 3000];
    let command = record.command.clone();
    record.child = Some(Child { pid: 1, command, start_ticks: None, pid_namespace: None });
    record.write(&path).unwrap();
    assert!(matches!(Record::read(&path), Past::Record(_)));
}

#[test]
fn record_that_nobody_could_read_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.json");
    sample().write(&path).unwrap();
    let mut record = sample();
    record.version = Some("9".repeat(LIMIT));
    assert_eq!(record.write(&path).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    assert_eq!(Record::read(&path), Past::Record(Box::new(sample())));
}

#[test]
fn newer_record_with_unknown_keys_is_read() {
    let mut json = serde_json::to_value(sample()).unwrap();
    json["schema"] = json!(2);
    json["colour"] = json!({ "nested": [1, 2] });
    json["child"]["colour"] = json!("red");
    let Past::Record(record) = read_json(&json) else { unreachable!("unknown keys are ignored") };
    assert_eq!(*record, Record { schema: 2, ..sample() });
}

#[test]
fn older_record_without_optional_keys_is_read() {
    let id = "07".repeat(16);
    let json = json!({
        "schema": 1, "name": "gateway", "pid": 1, "generation": 2, "instance_id": id, "started_at_us": 3
    });
    let Past::Record(record) = read_json(&json) else { unreachable!("optional keys may miss") };
    assert_eq!((record.generation, record.boot_id, record.end), (2, None, None));
}

#[test]
fn key_of_another_type_or_size_is_broken_not_fatal() {
    let whole = serde_json::to_value(sample()).unwrap();
    for key in
        ["schema", "pid", "generation", "instance_id", "started_at_us", "dir_id", "command", "child", "end"]
    {
        for value in [json!("text"), json!(-1.5), json!(1e300), json!([[]]), json!({}), json!(true)] {
            let mut json = whole.clone();
            json[key] = value;
            assert!(matches!(read_json(&json), Past::Broken(_)), "{json}");
        }
    }
    for text in ["", " ", "null", "[]", "\"text\"", "12", "{}", "{\"pid\":", "\u{feff}{}"] {
        assert!(matches!(read_bytes(text.as_bytes()), Past::Broken(_)), "{text}");
    }
    let huge = whole.to_string().replace("4242", &"9".repeat(400));
    assert!(matches!(read_bytes(huge.as_bytes()), Past::Broken(_)));
    assert!(matches!(read_bytes("[".repeat(LIMIT).as_bytes()), Past::Broken(_)));
    assert!(matches!(read_bytes(" ".repeat(LIMIT + 1).as_bytes()), Past::Broken(_)));
}

#[test]
fn empty_record_says_that_it_is_cut_short() {
    let Past::Broken(why) = read_bytes(b"") else { unreachable!("an empty file is no record") };
    assert!(why.ends_with("is cut short after 0 bytes"), "{why}");
}

#[test]
fn whatever_stands_in_its_place_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let victim = dir.path().join("victim");
    sample().write(&victim).unwrap();
    for (path, kind) in testing::strange_files(dir.path(), &victim) {
        let Past::Broken(why) = Record::read(&path) else { unreachable!("{kind} is no record") };
        assert!(why.contains(kind), "{why}");
    }
}

#[test]
fn what_is_said_of_a_broken_record_moves_no_cursor() {
    for bytes in [r#"{"end":"\u001b[2J\u202e"}"#, "{\"end\":\"\u{9b}2J\"}"] {
        let Past::Broken(why) = read_bytes(bytes.as_bytes()) else { panic!("no end is called that") };
        assert!(why.contains("2J"), "{why}");
        assert_eq!(text::shown(&why), why);
    }
}

#[test]
fn record_that_may_not_be_read_is_broken_with_that_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.json");
    sample().write(&path).unwrap();
    if testing::make_unreadable(&path) {
        let Past::Broken(why) = Record::read(&path) else { unreachable!("it may not be read") };
        assert!(why.to_lowercase().contains("permission denied"), "{why}");
    } else {
        assert!(matches!(Record::read(&path), Past::Record(_)), "root reads everything");
    }
}

#[test]
fn broken_record_never_keeps_the_next_from_being_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gateway.json");
    fs::write(&path, [0xff; 100]).unwrap();
    sample().write(&path).unwrap();
    assert_eq!(Record::read(&path), Past::Record(Box::new(sample())));
}

#[test]
fn ends_read_as_the_same_words_in_json_and_in_text() {
    let words = ["released", "replaced", "crashed", "host restarted", "killed after grace", "deposed"];
    for word in words {
        let end: End = serde_json::from_value(json!(word)).unwrap();
        assert_eq!(end.to_string(), word);
        assert_eq!(serde_json::to_value(end).unwrap(), json!(word));
    }
}

#[test]
fn end_that_the_holder_wrote_outranks_a_restart_of_the_host() {
    let record = Record { end: Some(End::Replaced), ended_at_us: Some(5), ..sample() };
    assert_eq!(record.end_as_seen_now(Some("boot two"), None), (End::Replaced, Some(5)));
}

#[test]
fn end_that_nobody_wrote_is_told_by_the_boot() {
    let record = sample();
    let anonymous = Record { boot_id: None, ..sample() };
    let at = |offset_s: i64| {
        let us = record.started_at_us + offset_s * 1_000_000;
        Some(UNIX_EPOCH + Duration::from_micros(us.try_into().unwrap()))
    };
    let crashed = (End::Crashed, None);
    let restarted = (End::HostRestarted, None);
    assert_eq!(record.end_as_seen_now(Some("boot one"), at(3600)), crashed, "boot ids outrank clocks");
    assert_eq!(record.end_as_seen_now(Some("boot two"), at(-3600)), restarted);
    assert_eq!(record.end_as_seen_now(None, None), crashed);
    assert_eq!(anonymous.end_as_seen_now(Some("boot two"), None), crashed);
    assert_eq!(anonymous.end_as_seen_now(Some("boot two"), at(3600)), restarted);
    assert_eq!(anonymous.end_as_seen_now(None, at(-3600)), crashed);
    assert_eq!(anonymous.end_as_seen_now(None, at(1)), crashed, "within the slack of a set clock");
    let absurd = Record { started_at_us: i64::MIN, ..anonymous };
    assert_eq!(absurd.end_as_seen_now(None, at(0)), restarted);
}

proptest! {
    #[test]
    fn any_bytes_are_a_record_or_broken_and_the_claim_can_go_on(bytes: Vec<u8>) {
        prop_assert!(!matches!(read_bytes(&bytes), Past::None));
    }

    #[test]
    fn record_torn_or_flipped_anywhere_is_a_record_or_broken(cut in 0_usize..1200, at in 0_usize..1200, to: u8) {
        let mut bytes = serde_json::to_vec_pretty(&sample()).unwrap();
        bytes.truncate(cut);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = to;
        }
        prop_assert!(!matches!(read_bytes(&bytes), Past::None));
    }
}
