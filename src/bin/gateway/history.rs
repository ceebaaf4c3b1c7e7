//! `gateway history`: the generations, when, for how long, and how they ended; the newest last.

use std::{fmt::Write as _, time::Duration};

use incumbent::{Error, Instance, history::Entry, text};

use crate::{
    args::{self, Which},
    exit, output, status, style, times, words,
};

/// How much of a command line is shown.
const COMMAND_WIDTH: usize = 60;

/// Prints the generations.
pub(crate) fn history(instance: &Instance, which: &Which, args: &args::History) -> Result<u8, Error> {
    let history = instance.history_blocking()?;
    if let Some(problem) = &history.problem {
        words::say_error(&text::shown(problem));
    }
    if history.is_forbidden {
        words::hint_lines(&[words::as_owner(instance)]);
        return Ok(exit::NOT_ALLOWED);
    }
    if args.json {
        for entry in &history.entries {
            // The keys are the contract's; who started it is for the library to tell two that fight apart.
            let mut shown = entry.clone();
            shown.started_by = None;
            if !output::say_json(&shown)? {
                break;
            }
        }
    } else if history.entries.is_empty() && history.unrecorded.is_none() && history.problem.is_none() {
        output::complain(&format!("gateway: nobody has held `{}` yet", instance.name()));
    } else if !history.entries.is_empty() {
        output::say(&table(&history.entries))?;
    }
    if let Some(who) = &history.unrecorded {
        words::say_error(&format!("`{}` is held by {who}, of which there is no record", instance.name()));
        words::hint_lines(&[format!("`{}` says why", words::command_line(which, "doctor"))]);
    }
    Ok(exit::OK)
}

/// A row for each, under a header; every column but the last as wide as its longest word.
fn table(entries: &[Entry]) -> String {
    let header = ["generation", "started", "lasted", "end", "pid", "version", "command"].map(str::to_owned);
    let rows: Vec<[String; 7]> = std::iter::once(header).chain(entries.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let paint = style::stdout();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        line.push_str(&row[6]);
        text.push_str(&if number == 0 { paint.label(&line) } else { line });
        text.push('\n');
        for failed in number.checked_sub(1).map_or(&[][..], |at| &entries[at].failed_takeovers) {
            let who = failed
                .pid
                .map_or_else(|| "a process in another pid namespace".into(), |pid| format!("pid {pid}"));
            let (at, why) = (times::local_us(failed.at_us), text::shown(&failed.why));
            let _ = writeln!(text, "  {at}: {who} did not take over: {why}");
        }
    }
    text
}

fn row(entry: &Entry) -> [String; 7] {
    let lasted = match (entry.ended_at_us, entry.end) {
        (Some(ended), _) => lasted(entry.started_at_us, ended),
        (None, Some(_)) => "?".to_owned(),
        (None, None) => lasted(entry.started_at_us, now_us()),
    };
    let mut command = status::command_words(&entry.command);
    if command.chars().count() > COMMAND_WIDTH {
        command = command.chars().take(COMMAND_WIDTH - 1).chain(['…']).collect();
    }
    [
        entry.generation.to_string(),
        times::local_us(entry.started_at_us),
        lasted,
        entry.end.map_or_else(|| "runs".to_owned(), |end| end.to_string()),
        entry.pid.to_string(),
        entry.version.as_deref().map_or_else(|| "-".to_owned(), text::shown),
        command,
    ]
}

fn now_us() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

fn lasted(from_us: i64, until_us: i64) -> String {
    // A clock that was set backwards meanwhile leaves nothing to say.
    let lasted = u64::try_from(until_us.saturating_sub(from_us));
    lasted.map_or_else(|_| "?".to_owned(), |us| text::duration(Duration::from_micros(us)))
}
