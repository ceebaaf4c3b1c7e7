//! The history, `NAME.history`: one line of JSON per generation that has ended, the last 256.
//!
//! Invariants: a generation is added once, by its successor, who holds the claim lock: there is one writer. The one
//! that runs, or ran last, stands in the record, so that history is the file and the record together (`complete`).
//! A line torn by a crash or a full disk costs that line and no other. Nothing is followed, waited for or overwritten.
//! It does not decide anything, and a history that cannot be written or read never blocks a start.
//! Proven by the tests below: any bytes, torn lines, thousands of generations, every kind of file.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::inspection::{State, Verdict};
use crate::instance::Instance;
use crate::instance_id::InstanceId;
use crate::offer::{FailedTakeover, IN_HISTORY};
use crate::place::Place;
use crate::record::{End, Past, Record};
use crate::starter::Starter;
use crate::whole_file::{self, FileEnd};
use crate::{lossy, platform, text, timestamp};

/// So many generations are remembered.
pub const KEPT: usize = 256;

/// The file has no more lines.
const MOST_LINES: usize = 512;
/// Each time that so many more bytes are full the lines are counted, and only the last [`KEPT`] stay. A line has more than 200
/// bytes, so that no more than [`MOST_LINES`] come together until then.
const STEP: u64 = 48 * 1024;
/// No line is longer, so that even [`MOST_LINES`] of them stay within [`LIMIT`].
const LONGEST_LINE: usize = 8 * 1024;
/// Of a longer file (not ours, then) only the end is read.
const LIMIT: usize = MOST_LINES * LONGEST_LINE;
/// So much of the end has the last line, also behind one that was torn.
const END: usize = 2 * LONGEST_LINE;

/// One generation, with the keys of `history --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Entry {
    /// The fencing token.
    pub generation: u64,
    /// Which holder.
    pub instance_id: InstanceId,
    /// Its pid then.
    pub pid: u32,
    /// The program's version.
    #[serde(default)]
    pub version: Option<String>,
    /// The command line; cut when it is long.
    #[serde(default, serialize_with = "lossy::command")]
    pub command: Vec<String>,
    /// Who started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<Starter>,
    /// When it became the holder, in microseconds since 1970; in JSON RFC 3339, to the millisecond.
    #[serde(rename = "started_at", with = "timestamp::as_text")]
    pub started_at_us: i64,
    /// When it ended; none while it runs, and when nobody was there to see it.
    #[serde(rename = "ended_at", with = "timestamp::as_text_or_null", default)]
    pub ended_at_us: Option<i64>,
    /// How it ended; none while it runs.
    #[serde(default)]
    pub end: Option<End>,
    /// The last takeovers that failed while it served, if some did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_takeovers: Vec<FailedTakeover>,
}

impl Entry {
    /// The generation of a record, while it runs (no end) or after it has ended.
    pub(crate) fn of(record: &Record, end: Option<(End, Option<i64>)>) -> Self {
        Self {
            generation: record.generation,
            instance_id: record.instance_id,
            pid: record.pid,
            version: record.version.clone(),
            command: record.command.clone(),
            started_by: record.started_by.clone(),
            started_at_us: record.started_at_us,
            ended_at_us: end.and_then(|(_, at)| at),
            end: end.map(|(end, _)| end),
            failed_takeovers: record.failed_takeovers.iter().rev().take(IN_HISTORY).rev().cloned().collect(),
        }
    }

    fn is_same_generation(&self, other: &Self) -> bool {
        self.which() == other.which()
    }

    fn which(&self) -> Which {
        Which { generation: self.generation, instance_id: self.instance_id }
    }
}

/// What of a line says which generation it is.
#[derive(PartialEq, Deserialize)]
struct Which {
    generation: u64,
    instance_id: InstanceId,
}

/// Adds a generation that has ended, unless it was the last to be added; only ever under the claim lock.
///
/// # Errors
/// Of the system's kind, with the path; `InvalidInput` for a line that is too long, and for anything that is not a
/// regular file with one name. The entry may have been added although the file could not be shortened then.
pub(crate) fn append(path: &Path, entry: &Entry) -> io::Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    if line.len() >= LONGEST_LINE {
        let error =
            io::Error::new(io::ErrorKind::InvalidInput, format!("a line longer than {LONGEST_LINE} bytes"));
        return Err(whole_file::failed("add to the history", path, &error));
    }
    line.push(b'\n');

    let nothing = FileEnd { bytes: Vec::new(), is_whole: true, len: 0 };
    let before = whole_file::read_end(path, END)?.unwrap_or(nothing);
    // Whoever was killed between this and writing its own record leaves it to the next one to add, who finds it here.
    if lines(&before).rev().find_map(parse).is_some_and(|last: Which| last == entry.which()) {
        return Ok(());
    }
    if before.bytes.last().is_some_and(|last| *last != b'\n') {
        line.insert(0, b'\n');
    }
    platform::open_to_append(path)
        .and_then(|mut file| file.write_all(&line))
        .map_err(|error| whole_file::failed("add to the history", path, &error))?;

    let len = before.len + line.len() as u64;
    let is_long = |all: FileEnd| !all.is_whole || lines(&all).count() > KEPT;
    let is_due = len / STEP > before.len / STEP || len > LIMIT as u64;
    if is_due && whole_file::read_end(path, LIMIT)?.is_some_and(is_long) {
        shorten(path)?;
    }
    Ok(())
}

/// Keeps the last lines that can be read, and keeps them as they are: a newer program's may say more than we know.
fn shorten(path: &Path) -> io::Result<()> {
    let Some(all) = whole_file::read_end(path, LIMIT)? else {
        return Ok(());
    };
    let mut kept: Vec<&[u8]> =
        lines(&all).rev().filter(|line| parse::<Entry>(line).is_some()).take(KEPT).collect();
    kept.reverse();
    let mut bytes = kept.join(&b'\n');
    bytes.push(b'\n');
    whole_file::replace(path, &bytes).map(drop)
}

/// The last generation that has ended; cheap, however long the history is.
pub(crate) fn last(path: &Path) -> Option<Entry> {
    let end = whole_file::read_end(path, END).ok().flatten()?;
    lines(&end).rev().find_map(parse)
}

/// The last generations, oldest first, up to the holder that answered with this id: at least eight, however long their
/// commands are. Cheap, however long the history is; what cannot be read is missing.
pub(crate) fn up_to(place: &Place, holder: InstanceId) -> Vec<Entry> {
    let end = whole_file::read_end(&place.history, 8 * LONGEST_LINE).ok().flatten();
    let mut entries: Vec<Entry> = end.iter().flat_map(lines).filter_map(parse).collect();
    tidy(&mut entries);
    let past = Record::of_place(place);
    let runs = matches!(&past, Past::Record(record) if record.instance_id == holder);
    complete(&mut entries, &past, runs, platform::boot_id().as_deref(), None);
    entries
}

/// Reads the last generations that have ended, oldest first, and says in one sentence what could not be read.
///
/// Never blocks, writes nothing, and never fails. Nothing there is an empty history.
pub(crate) fn read(path: &Path) -> (Vec<Entry>, Option<String>) {
    let all = match whole_file::read_end(path, LIMIT) {
        Ok(None) => return (Vec::new(), None),
        Ok(Some(all)) => all,
        Err(error) => return (Vec::new(), Some(text::shown(&error.to_string()))),
    };
    let mut entries: Vec<Entry> = lines(&all).filter_map(parse).collect();
    let broken = lines(&all).count() - entries.len();
    tidy(&mut entries);

    let mut problems = Vec::new();
    if !all.is_whole {
        problems.push(format!("is longer than {} MiB, and only its end was read", LIMIT / 1024 / 1024));
    }
    if broken > 0 {
        problems.push(format!("has {broken} broken {}", if broken == 1 { "line" } else { "lines" }));
    }
    let problem = format!("the history `{}` {}", text::shown_path(path), problems.join("; it "));
    (entries, (!problems.is_empty()).then_some(problem))
}

/// Adds the generation that the record tells of, unless it is there already.
///
/// `runs` says whether that generation is the one that holds now; then it has no end, unless it wrote one itself. Else
/// it ended as [`Record::end_as_seen_now`] says from the two that follow.
pub(crate) fn complete(
    entries: &mut Vec<Entry>,
    past: &Past,
    runs: bool,
    boot_id_now: Option<&str>,
    boot_time: Option<SystemTime>,
) {
    let Past::Record(record) = past else { return };
    let has_ended = !runs || record.end.is_some();
    let last = Entry::of(record, has_ended.then(|| record.end_as_seen_now(boot_id_now, boot_time)));
    if !entries.iter().any(|entry| entry.is_same_generation(&last)) {
        entries.push(last);
        tidy(entries);
    }
}

/// The generations of an instance, as far as they are remembered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct History {
    /// Oldest first, the one that runs included.
    pub entries: Vec<Entry>,
    /// What could not be read, in one sentence.
    pub problem: Option<String>,
    /// This user may not read the history, or the record that ends it: nothing follows from what is missing.
    pub is_forbidden: bool,
    /// The process that holds now and stands in no entry, in words: it could not write its record.
    pub unrecorded: Option<String>,
}

/// How long a holder may take to say that it is the recorded one; without an answer its lock says so.
const PATIENCE: Duration = Duration::from_millis(500);

impl Instance {
    /// Reads the generations of the instance. Blocks for at most half a second; disturbs nothing.
    ///
    /// # Errors
    /// The directory may not be read ([`Error::is_not_allowed`]), or is none.
    pub fn history_blocking(&self) -> Result<History, Error> {
        let seen = self.inspect_blocking(PATIENCE)?;
        let (mut entries, mut problem) = read(&seen.place.history);
        let runs = seen.recorded_one_runs();
        complete(&mut entries, &seen.past, runs, platform::boot_id().as_deref(), platform::boot_time());
        if let Past::Broken(why) = &seen.past {
            problem = Some(problem.map_or_else(|| why.clone(), |other| format!("{other}; {why}")));
        }
        let is_forbidden =
            [&seen.place.history, &seen.place.record].into_iter().any(|path| may_not_read(path));
        let unrecorded = (!runs && seen.verdict() == Verdict::Alive && seen.state() != State::Starting)
            .then(|| seen.holder_words());
        Ok(History { entries, problem, is_forbidden, unrecorded })
    }
}

fn may_not_read(path: &Path) -> bool {
    whole_file::read_end(path, 1).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

/// By generation, each once (as it was told first), the last [`KEPT`].
fn tidy(entries: &mut Vec<Entry>) {
    entries.sort_by_key(|entry| (entry.generation, entry.instance_id)); // stable: the first to be added stays first
    entries.dedup_by(|later, first| later.is_same_generation(first));
    entries.drain(..entries.len().saturating_sub(KEPT));
}

/// The lines that say something; not the rest of one whose beginning was not read.
fn lines(end: &FileEnd) -> impl DoubleEndedIterator<Item = &[u8]> {
    let torn = if end.is_whole { None } else { end.bytes.iter().position(|byte| *byte == b'\n') };
    end.bytes[torn.unwrap_or(0)..].split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty())
}

fn parse<T: for<'de> Deserialize<'de>>(line: &[u8]) -> Option<T> {
    serde_json::from_slice(line).ok()
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
