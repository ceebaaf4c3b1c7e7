//! `run --max-starts N/DUR`: a program that ends as soon as it has begun is started ever slower, and then not at all.
//!
//! What counts is every generation that began within DUR before now, however it ended: the history says how a claim
//! ended, not whether somebody wanted that. A start that was refused won no claim and does not count, nor does one in the
//! future (the clock was set back).
//!
//! 1. Before each claim: N of them, and nobody holds: refused, with the moment from which on it is allowed again.
//!    Somebody holds: that is the claim's to say.
//! 2. After it was won: none or one: go on. Two: 100 ms, and twice as long with each more, at most DUR/N. The instance is
//!    held meanwhile, so that nobody else starts either; a stop, a signal or a successor ends the pause.
//!
//! Proven by the tests below and by `tests/starts.rs`.

use std::time::{Duration, Instant, SystemTime};

use incumbent::{Instance, history::Entry, text};
use tokio::time::sleep;

use crate::{
    args::{Run, Which},
    durations, exit,
    holders::Holders,
    output::complain,
    signals::{Signals, next_stop},
    spinner::Spinner,
    times::{self, rounded},
    words::{self, say_error},
};

/// The pause before the third start.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// So many starts are free.
const FREE: usize = 2;

/// At most so many starts within so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    most: usize,
    window: Duration,
}

/// Reads a limit: `5/2m`.
pub(crate) fn limit(text: &str) -> Result<Limit, String> {
    durations::limit(text).map(|(most, window)| Limit { most, window })
}

impl Limit {
    /// The generations that count.
    fn counted<'a>(&self, entries: &'a [Entry], now_us: i64) -> Vec<&'a Entry> {
        let since = now_us.saturating_sub(us(self.window));
        let mut counted: Vec<&Entry> =
            entries.iter().filter(|one| since < one.started_at_us && one.started_at_us <= now_us).collect();
        counted.sort_by_key(|one| one.started_at_us);
        counted
    }

    /// When so few of them are left that there may be one more, in microseconds since 1970; none: now.
    fn next_at(&self, counted: &[&Entry]) -> Option<i64> {
        let oldest = counted.len().checked_sub(self.most)?;
        Some(counted[oldest].started_at_us.saturating_add(us(self.window)))
    }

    /// How long to pause when there were so many already.
    fn pause(&self, count: usize) -> Duration {
        let Some(more) = count.checked_sub(FREE) else { return Duration::ZERO };
        let factor = u32::try_from(more).ok().and_then(|more| 2_u32.checked_pow(more)).unwrap_or(u32::MAX);
        let longest = self.window / u32::try_from(self.most).unwrap_or(u32::MAX);
        FIRST_PAUSE.saturating_mul(factor).min(longest)
    }

    /// `5 starts within 2 min`.
    fn words(&self, count: usize) -> String {
        format!("{count} starts within {}", text::duration(self.window))
    }
}

/// Refuses to claim when there were too many starts already: says so. The exit code; none: it may claim.
pub(crate) fn refused(instance: &Instance, which: &Which, args: &Run) -> Option<u8> {
    let limit = args.max_starts?;
    // What keeps it from being read is said by the claim.
    let history = instance.history_blocking().ok()?;
    let runs = |one: &Entry| one.end.is_none();
    if history.unrecorded.is_some() || history.entries.iter().any(runs) {
        return None;
    }
    let now = now_us();
    let counted = limit.counted(&history.entries, now);
    let next = limit.next_at(&counted)?;
    let (name, count) = (instance.name(), limit.words(counted.len()));
    let left = text::duration(rounded(Duration::from_micros(u64::try_from(next - now).unwrap_or(0))));
    say_error(&format!(
        "`{name}` is not started again before {}, in {left}: {count} are enough ({})",
        times::local_us(next),
        ends(&counted)
    ));
    words::hint_lines(&[format!(
        "`{}` shows when each began, and how it ended",
        words::command_line(which, "history")
    )]);
    Some(exit::BUSY)
}

/// How they ended: `3 crashed, 2 released`.
fn ends(entries: &[&Entry]) -> String {
    let mut ends: Vec<(String, usize)> = Vec::new();
    for end in entries.iter().filter_map(|entry| entry.end).map(|end| end.to_string()) {
        match ends.iter_mut().find(|(known, _)| *known == end) {
            Some((_, count)) => *count += 1,
            None => ends.push((end, 1)),
        }
    }
    ends.iter().map(|(end, count)| format!("{count} {end}")).collect::<Vec<_>>().join(", ")
}

/// Lets some time pass before PROGRAM is started, if there were starts before. The exit code, if it is not to be started.
pub(crate) async fn pause(
    instance: &Instance,
    holders: &Holders,
    signals: &mut Signals,
    args: &Run,
) -> Option<u8> {
    let limit = args.max_starts?;
    let mut entries = instance.history_blocking().ok()?.entries;
    entries.retain(|one| one.generation != holders.first().generation());
    let count = limit.counted(&entries, now_us()).len();
    let pause = limit.pause(count);
    if pause.is_zero() {
        return None;
    }
    let why = limit.words(count);
    let note = format!("waiting {} before the next start: {why}", text::duration(rounded(pause)));
    holders.set_note(&note); // who reads the line may ask at once
    let spinner = Spinner::waiting_for("");
    spinner.set(format!("the next start: {why}"), Instant::now().checked_add(pause));
    if !spinner.is_seen() {
        complain(&note);
    }
    tokio::select! {
        biased;
        () = next_stop(signals) => Some(exit::OK),
        _ = holders.stop_requested() => Some(exit::OK),
        () = holders.deposed() => {
            say_error("another process holds the instance now");
            Some(exit::DEPOSED)
        }
        () = sleep(pause) => None,
    }
}

fn us(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn now_us() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, us)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test fails so
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn began_at(seconds: i64) -> Entry {
        serde_json::from_value(serde_json::json!({
            "generation": seconds, "instance_id": "00000000000000000000000000000000", "pid": 1,
            "started_at": incumbent_time(seconds), "end": "crashed"
        }))
        .unwrap()
    }

    /// RFC 3339.
    fn incumbent_time(seconds: i64) -> String {
        jiff::Timestamp::from_second(seconds).unwrap().to_string()
    }

    #[test]
    fn a_limit_is_a_number_and_a_time() {
        let window = Duration::from_secs(120);
        assert_eq!(limit("5/2m"), Ok(Limit { most: 5, window }));
        assert_eq!(limit("1/120"), Ok(Limit { most: 1, window }));
        for bad in
            ["", "5", "/", "5/", "/2m", "0/2m", "-1/2m", "x/2m", "5/0", "5/-2m", "5/x", "5/2m/3", "257/2m"]
        {
            let error = limit(bad).unwrap_err();
            assert!(error.contains("like") || error.contains("as in"), "{bad}: {error}");
        }
    }

    #[test]
    fn starts_within_the_window_count_and_those_of_the_future_do_not() {
        let limit = limit("3/10s").unwrap();
        let entries: Vec<Entry> = [80, 90, 91, 100, 95, 101, 5000].map(began_at).into();
        let counted = limit.counted(&entries, 100 * SECOND);
        let at: Vec<i64> = counted.iter().map(|one| one.started_at_us / SECOND).collect();
        assert_eq!(at, [91, 95, 100]);
        assert_eq!(limit.next_at(&counted), Some(101 * SECOND));
        assert_eq!(limit.next_at(&counted[1..]), None);
        // More than the limit allows (it was raised before, say): as many as are too many must leave.
        assert_eq!(limit.counted(&entries, 101 * SECOND).len(), 3);
        let four: Vec<Entry> = [91, 92, 93, 94].map(began_at).into();
        assert_eq!(limit.next_at(&four.iter().collect::<Vec<_>>()), Some(102 * SECOND));
    }

    #[test]
    fn pauses_double_and_never_leave_the_window() {
        let limit = limit("5/2m").unwrap();
        let pauses = [0, 1, 2, 3, 4, 40, usize::MAX].map(|count| limit.pause(count).as_millis());
        assert_eq!(pauses, [0, 0, 100, 200, 400, 24_000, 24_000]);
    }
}
