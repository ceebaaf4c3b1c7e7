//! Two that replace each other in turn, noticed in the history: first slowed, then refused.
//!
//! Two service managers that each start the program with `--replace`, and restart it when it ends, replace each other
//! for ever. Here a takeover is judged before the holder is asked to stop. The rule is one number: the more often two
//! have replaced each other in turn, the longer the one that holds is left alone by the other ([`pause`]).
//!
//! In turn: A B A B …, each generation ended as *replaced*, and none of them was left alone for [`LULL`] longer than it
//! had to be. Only the history tells, so that nothing is remembered elsewhere, and a refusal ends by itself: by the time
//! that it names, or when what the history shows is old. Who A and B are is judged in three ways, and the worst counts:
//! 1. by the process that started them (pid, start, unit) and the command: two service managers, two shells in a loop;
//! 2. by session and command, for a starter that is another process each time: `while …; do (gateway run …); done`;
//! 3. by command alone, for those that give it a new session each time (cron, `setsid`), and for one manager with two
//!    programs (supervisord).
//!
//! One starter with one command is never slowed, however fast. Not noticed: two whose commands are the same, and whose
//! starters *and* sessions are new each time; three or more that take turns; and generations that crashed in between.
//! It reads no file and no clock, and decides nothing about who lives. Proven by the tests below, and by
//! `tests/managers.rs` with real loops.

use std::time::Duration;

use crate::{history::Entry, lossy, process, record::End, starter::Starter, text};

/// So often may two replace each other in turn before anything is done: a person who changes their mind, twice.
const FREE: usize = 3;
/// From then on the other is refused. Two managers that restart at once get here within 7 seconds, all pauses included;
/// two that wait 10 seconds before each start (launchd) within a minute and a half.
const REFUSED: usize = 6;
/// No longer pause is asked for: a mistake that was corrected must not keep the program down for a day.
const LONGEST: Duration = Duration::from_secs(3600);
/// Whoever was left alone so much longer than it had to be was at peace. Fights in which each takes minutes to stop have
/// been seen, with five minutes from one start to the next.
const LULL: Duration = Duration::from_secs(5 * 60);

/// How long a holder is left alone by the one that it has replaced, after so many replacements in turn:
/// 1 s, 2 s, 4 s, and then 1 min, 2 min, 4 min … 1 h.
fn pause(times: usize) -> Duration {
    let doubled = |first: u64, by: usize| Duration::from_secs(first << by.min(12));
    match times {
        ..FREE => Duration::ZERO,
        FREE..REFUSED => doubled(1, times - FREE),
        _ => doubled(60, times - REFUSED).min(LONGEST),
    }
}

/// One of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Side {
    /// Its process: the holder, or the one that wants to be.
    pub pid: u32,
    /// The command line; cut when it is long.
    pub command: Vec<String>,
    /// Who started it, where that is known.
    pub started_by: Option<Starter>,
}

/// Two that replace each other in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fight {
    /// The one that wants to take over once more.
    pub me: Side,
    /// The one that holds.
    pub other: Side,
    /// How often one has replaced the other.
    pub times: usize,
    /// Within how long.
    pub within: Duration,
    /// How long the holder has still to be left alone.
    pub left: Duration,
}

/// What is to be done about a takeover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Flapping {
    /// Nothing.
    Calm,
    /// It waits for as long as the holder has still to be left alone.
    Slow(Box<Fight>),
    /// It is refused, unless it is forced.
    Fighting(Box<Fight>),
}

/// Judges a takeover by this one, from the generations with the newest last: the one that holds, which has no end.
pub(crate) fn judge(history: &[Entry], me: &Side, now_us: i64) -> Flapping {
    let Some((holder, before)) = history.split_last() else { return Flapping::Calm };
    // A clock that was set back tells nothing.
    let (Some(held_for), None) = (between(holder.started_at_us, now_us), holder.end) else {
        return Flapping::Calm;
    };
    let ways: [Alike; 3] = [have_same_starter, have_same_session, have_same_command];
    let worst =
        ways.into_iter().map(|alike| turns(before, holder, me, alike)).max_by_key(|turns| turns.times);
    let turns = worst.unwrap_or_default();
    let left = pause(turns.times).saturating_sub(held_for);
    if left.is_zero() {
        return Flapping::Calm;
    }
    let fight = Box::new(Fight {
        me: me.clone(),
        other: Side {
            pid: holder.pid,
            command: holder.command.clone(),
            started_by: holder.started_by.clone(),
        },
        times: turns.times,
        within: between(turns.since_us, now_us).unwrap_or_default(),
        left,
    });
    if turns.times < REFUSED { Flapping::Slow(fight) } else { Flapping::Fighting(fight) }
}

/// How often two have replaced each other in turn, and since when.
#[derive(Debug, Clone, Copy, Default)]
struct Turns {
    times: usize,
    since_us: i64,
}

/// Counts the replacements by which the holder and this one took turns, up to now, in one way to tell who is who.
fn turns(before: &[Entry], holder: &Entry, me: &Side, alike: Alike) -> Turns {
    let newest_first: Vec<Who> = [Who::of_side(me), Who::of(holder)]
        .into_iter()
        .chain(before.iter().rev().take_while(|entry| was_replaced_after(entry).is_some()).map(Who::of))
        .collect();
    let differ = |a: &Who, b: &Who| !alike(a, b) && !have_same_starter(a, b);
    let in_turn = |three: &&[Who]| {
        alike(&three[0], &three[2]) && differ(&three[0], &three[1]) && differ(&three[1], &three[2])
    };
    let count = newest_first.windows(3).take_while(in_turn).count();

    let mut turns = Turns::default();
    for entry in &before[before.len() - count..] {
        let Some((lasted, ended_at_us)) = was_replaced_after(entry) else { return Turns::default() };
        if lasted > pause(turns.times) + LULL {
            turns.times = 0;
        }
        if turns.times == 0 {
            turns.since_us = ended_at_us;
        }
        turns.times += 1;
    }
    turns
}

/// After how long a generation was replaced, and when; none: it ended otherwise, or its times say nothing.
fn was_replaced_after(entry: &Entry) -> Option<(Duration, i64)> {
    let ended_at_us = entry.ended_at_us.filter(|_| entry.end == Some(End::Replaced))?;
    Some((between(entry.started_at_us, ended_at_us)?, ended_at_us))
}

/// None: the clock was set back in between.
fn between(from_us: i64, until_us: i64) -> Option<Duration> {
    u64::try_from(until_us.checked_sub(from_us)?).ok().map(Duration::from_micros)
}

/// A way to tell whether two generations are of the same side.
type Alike = fn(&Who, &Who) -> bool;

/// What tells a side from the other.
#[derive(Debug, Clone, Copy)]
struct Who<'a> {
    command: &'a [String],
    started_by: Option<&'a Starter>,
}

impl<'a> Who<'a> {
    fn of(entry: &'a Entry) -> Self {
        Self { command: &entry.command, started_by: entry.started_by.as_ref() }
    }

    fn of_side(side: &'a Side) -> Self {
        Self { command: &side.command, started_by: side.started_by.as_ref() }
    }
}

fn have_same_command(a: &Who, b: &Who) -> bool {
    a.command == b.command
}

fn have_same_starter(a: &Who, b: &Who) -> bool {
    have_same_command(a, b) && a.started_by.zip(b.started_by).is_some_and(|(a, b)| a.is(b))
}

fn have_same_session(a: &Who, b: &Who) -> bool {
    let session = |who: &Who| who.started_by.and_then(|starter| starter.session);
    have_same_command(a, b) && session(a).is_some() && session(a) == session(b)
}

impl Side {
    /// This process, as its record would tell it.
    pub(crate) fn this() -> Self {
        let command: Vec<String> =
            process::own_command().iter().map(|word| word.to_string_lossy().into_owned()).collect();
        // As it is read from the record and the history, with which it is compared.
        Self {
            pid: std::process::id(),
            command: lossy::shortened(&command),
            started_by: Some(Starter::of_this()),
        }
    }

    fn words(&self) -> String {
        let command: Vec<_> = self.command.iter().map(Into::into).collect();
        let by =
            self.started_by.as_ref().map_or_else(String::new, |by| format!(", started by {}", by.words()));
        format!("pid {} ({}){by}", self.pid, text::command(&command, 60))
    }
}

impl Fight {
    /// Who replaces whom, in one sentence that names both.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!(
            "two replaced each other in turn, {} times within {}: {}, which holds; and this one, {}",
            self.times,
            text::duration(self.within),
            self.other.words(),
            self.me.words()
        )
    }
}

#[cfg(test)]
#[path = "flapping_tests.rs"]
mod tests;
