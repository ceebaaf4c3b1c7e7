//! What the fuzz targets of `fuzz/` reach of the inside; compiled only with `--cfg fuzzing`, which cargo-fuzz sets, and no API.
//!
//! Each function takes whatever comes, and asserts what must hold of it: a panic is a finding.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::{
    Claim, Instance,
    history::{self, Entry, KEPT},
    instance_id::InstanceId,
    offer::FailedTakeover,
    place::Place,
    record::{self, End, Past, Record},
    timestamp,
};

mod conversation;

pub use conversation::Conversation;

/// Writes microseconds since 1970 as the library does.
#[must_use]
pub fn format_time(us: i64) -> String {
    timestamp::format(us)
}

/// Reads a time as the library does.
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    timestamp::parse(text)
}

/// Every path of an instance of this name in this directory, if the name is one.
#[must_use]
pub fn paths(name: &str, dir: &Path) -> Option<Vec<PathBuf>> {
    let place = Place::new(Instance::new(name).ok()?.name(), dir);
    Some(vec![
        place.child(),
        place.notify(1),
        place.notify(2),
        place.socket(),
        place.pid.clone(),
        place.record.clone(),
        place.history.clone(),
        dir.join(format!("{name}.log")),
    ])
}

fn is_one_safe_line(words: &str) -> bool {
    !words.is_empty() && crate::text::shown(words) == words
}

/// What stands in the record's place is a record or a sentence; a record is written as it was read.
pub fn read_record(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("a scratch file");
    let record = match Record::read(path) {
        Past::None => panic!("something is there"),
        Past::Broken(why) => return assert!(is_one_safe_line(&why), "{why:?}"),
        Past::Record(record) => record,
    };
    let (end, at) = record.end_as_seen_now(Some("this boot"), Some(SystemTime::now()));
    let expected =
        if record.boot_id.is_some() { [End::HostRestarted; 2] } else { [End::Crashed, End::HostRestarted] };
    assert!(record.end.map_or(at.is_none() && expected.contains(&end), |own| own == end));

    let mut entries = Vec::new();
    for runs in [true, false, true] {
        history::complete(&mut entries, &Past::Record(record.clone()), runs, None, None);
    }
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].end.is_none(), record.end.is_none());

    if record.write(path).is_err() {
        return; // longer, in our layout, than a reader accepts
    }
    let written = fs::read(path).expect("a scratch file");
    let Past::Record(again) = Record::read(path) else { panic!("what was written is read") };
    let facts = |it: &Record| {
        let (end, times) = ((it.end, it.ended_at_us), (it.start_ticks, it.started_at_us));
        (
            it.name.clone(),
            it.pid,
            it.generation,
            it.instance_id,
            it.boot_id.clone(),
            it.dir.clone(),
            end,
            times,
        )
    };
    assert_eq!(facts(&again), facts(&record));
    again.write(path).expect("no longer than before");
    assert_eq!(fs::read(path).expect("a scratch file"), written);
}

/// Of any file at most [`KEPT`] generations are read, in order; one more is added whatever the file was, and costs none.
pub fn read_history(path: &Path, bytes: &[u8], added: (u64, [u8; 16], i64)) {
    let _ = fs::remove_file(path);
    fs::write(path, bytes).expect("a scratch file");
    let before = check_history(path);
    let newest = Entry {
        generation: added.0,
        instance_id: InstanceId::from_bytes(added.1),
        pid: 1,
        version: Some("1".into()),
        command: vec!["program".into(), "é\u{0}\"".repeat(900)],
        started_by: None,
        started_at_us: added.2,
        ended_at_us: Some(added.2),
        end: Some(End::Released),
        failed_takeovers: vec![FailedTakeover { at_us: added.2, pid: None, why: "é\u{0}\"".into() }],
    };
    history::append(path, &newest).expect("a scratch file");
    let after = check_history(path);
    let names =
        |entries: &[Entry]| entries.iter().map(|it| (it.generation, it.instance_id)).collect::<Vec<_>>();
    let added = (newest.generation, newest.instance_id);
    assert_eq!(history::last(path).map(|last| (last.generation, last.instance_id)), Some(added));
    let mut wanted = names(&before);
    if let Err(at) = wanted.binary_search(&added) {
        wanted.insert(at, added);
    }
    if bytes.split(|byte| *byte == b'\n').count() <= KEPT {
        assert_eq!(names(&after), &wanted[wanted.len().saturating_sub(KEPT)..]);
    }
    history::append(path, &newest).expect("a scratch file");
    assert_eq!(check_history(path), after, "added once");
}

fn check_history(path: &Path) -> Vec<Entry> {
    let (entries, problem) = history::read(path);
    assert!(entries.len() <= KEPT);
    assert!(entries.is_sorted_by(|a, b| (a.generation, a.instance_id) < (b.generation, b.instance_id)));
    assert!(problem.is_none_or(|problem| is_one_safe_line(&problem)));
    for entry in &entries {
        let json = serde_json::to_string(entry).expect("an entry");
        let again: Entry = serde_json::from_str(&json).expect("an entry that was written");
        assert_eq!(serde_json::to_string(&again).expect("an entry"), json);
    }
    entries
}

/// Whatever a dead holder's files say, the next one starts, with a higher generation, and writes files that are read.
pub fn start_over(dir: &Path, record: &[u8], history: &[u8], pid: &[u8]) {
    let instance = Instance::new("a").and_then(|it| it.in_dir(dir)).expect("a scratch directory");
    let place = instance.place().expect("a scratch directory");
    for (path, bytes) in [(&place.record, record), (&place.history, history), (&place.pid, pid)] {
        fs::write(path, bytes).expect("a scratch file");
    }
    let past = Record::of_place(&place);
    let seen = instance.inspect_blocking(Duration::from_secs(5)).expect("it can be looked at");
    assert!(!seen.is_held());
    assert!(seen.problem().is_none_or(|problem| is_one_safe_line(&problem)));
    assert!(seen.evidence().iter().all(|it| is_one_safe_line(&it.found) && is_one_safe_line(&it.means)));
    let holder = match instance.claim_blocking() {
        Ok(Claim::Won(holder)) => holder,
        Ok(Claim::Lost(_)) => panic!("nobody else is there"),
        Err(error) => panic!("files refused a start: {error}"),
    };
    if let Past::Record(past) = &past {
        assert!(holder.generation() > past.generation || !record::is_possible(past.generation));
    }
    assert!(record::is_possible(holder.generation()));
    let Past::Record(own) = Record::of_place(&place) else { panic!("its own record is read") };
    assert_eq!(own.generation, holder.generation());
    holder.release_blocking().expect("a scratch directory");
    assert!(check_history(&place.history).len() <= KEPT);
}
