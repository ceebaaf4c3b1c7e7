//! `gateway status`: how the live instance is, for people and as JSON; the exit code says the state.

use std::time::Duration;

use incumbent::{HolderStatus, Inspection, Instance, PidSource, Previous, Process, State, Status, text};

use crate::{
    all,
    args::{self, Which},
    exit,
    lines::Lines,
    output, style, times, watch, words,
};

/// How much of a command line is shown.
const COMMAND_WIDTH: usize = 120;

/// Says how the instance is.
pub(crate) fn status(
    instance: &Instance,
    which: &Which,
    args: &args::Status,
) -> Result<u8, incumbent::Error> {
    if args.all {
        return all::all(instance, args);
    }
    if args.watch {
        return watch::watch(instance, args);
    }
    let seen = instance.inspect_blocking(args.timeout)?;
    if args.json {
        output::say_json(&seen.status())?;
    } else {
        output::say(&in_lines(&seen))?;
        if matches!(seen.state(), State::Unresponsive | State::Unknown) {
            words::hint_lines(&words::hints_for(&seen, which));
        }
    }
    Ok(code_of(seen.state()))
}

/// The exit code for a state.
pub(crate) fn code_of(state: State) -> u8 {
    match state {
        State::Starting | State::Ready | State::Draining => exit::OK,
        State::Crashed => exit::CRASHED,
        State::Absent => exit::NOBODY,
        _ => exit::NO_ANSWER,
    }
}

/// Everything that is known, a line each.
fn in_lines(seen: &Inspection) -> String {
    let status = seen.status();
    let mut lines = Lines::default();
    lines.add("state", style::stdout().state(status.state, status.state.as_str()));
    lines.add("instance", format!("{} in {}", text::shown(&status.name), text::shown(&status.dir)));
    if let Some(holder) = &status.holder {
        lines.add("pid", pid_words(holder, seen.owner()));
        about_the_holder(&mut lines, holder);
    }
    lines.add_some("answered in", status.answered_us.map(micros));
    lines.add_some("claiming", status.claiming.as_ref().map(|it| claiming_words(it.pid)));
    lines.add_some("previous", status.previous.as_ref().map(previous_words));
    lines.add_some("problem", status.problem.as_deref().map(text::shown));
    lines.render()
}

fn about_the_holder(lines: &mut Lines, holder: &HolderStatus) {
    lines.add_some("since", holder.started_at.as_deref().map(|at| since(at, holder.uptime_s)));
    lines.add_some("generation", holder.generation.map(|it| it.to_string()));
    lines.add_some("version", holder.version.as_deref().map(text::shown));
    lines.add_some("note", holder.note.as_deref().map(text::shown));
    lines.add_some("busy", holder.busy.map(|count| format!("{count} in flight")));
    lines.add_some("supervisor", holder.supervisor.as_deref().map(text::shown));
    lines.add_some("memory", holder.rss_bytes.map(bytes));
    lines.add_some("cpu", holder.cpu_percent.map(|percent| format!("{percent:.1} %")));
    lines.add_some("lag", holder.lag_us.map(micros));
    let child = holder.child.as_ref();
    lines.add_some("child", child.map(|it| format!("pid {} ({})", it.pid, command_words(&it.command))));
}

/// A command line, as a shell would read it.
pub(crate) fn command_words(command: &[String]) -> String {
    let words: Vec<std::ffi::OsString> = command.iter().map(Into::into).collect();
    text::command(&words, COMMAND_WIDTH)
}

/// The pid and the command: the holder's own words, or the kernel's where only it speaks.
fn pid_words(holder: &HolderStatus, owner: Option<&Process>) -> String {
    let pid = match (holder.pid, holder.pid_source) {
        (Some(pid), Some(PidSource::Kernel) | None) => pid.to_string(),
        (Some(pid), Some(_)) => format!("{pid} (as it says itself)"),
        (None, _) => "in another pid namespace".to_owned(),
    };
    let command = holder.command.as_deref().map(command_words).or_else(|| {
        let owner = owner?;
        let named = if owner.command.is_empty() {
            text::shown(&owner.name)
        } else {
            text::command(&owner.command, COMMAND_WIDTH)
        };
        Some(named)
    });
    match command.filter(|command| !command.is_empty()) {
        Some(command) => format!("{pid} ({command})"),
        None => pid,
    }
}

fn since(started_at: &str, uptime_s: Option<f64>) -> String {
    // The uptime is of a clock that nobody sets.
    uptime_s.map_or_else(
        || times::local_and_ago(started_at),
        |uptime| format!("{} (up {})", times::local(started_at), times::seconds(uptime)),
    )
}

fn claiming_words(pid: Option<u32>) -> String {
    let Some(pid) = pid else { return text::unnamed_process().to_owned() };
    match Process::of(pid) {
        Ok(Some(process)) if !process.command.is_empty() => {
            format!("pid {pid} ({})", text::command(&process.command, COMMAND_WIDTH))
        }
        _ => format!("pid {pid}"),
    }
}

fn previous_words(previous: &Previous) -> String {
    let end = match (previous.end, previous.ended_at.as_deref()) {
        (Some(end), Some(at)) => format!("{end} {}", times::local(at)),
        (Some(end), None) => end.to_string(),
        (None, _) => "end unknown".to_owned(),
    };
    let started = times::local(&previous.started_at);
    format!("pid {}, generation {}, since {started}: {end}", previous.pid, previous.generation)
}

fn micros(us: u64) -> String {
    text::duration(Duration::from_micros(us))
}

/// `12.3 MB`, in powers of ten as `ls` and disks count.
fn bytes(count: u64) -> String {
    let (tenths, unit) = match count {
        0..1_000_000 => (count / 100, "kB"),
        1_000_000..1_000_000_000 => (count / 100_000, "MB"),
        _ => (count / 100_000_000, "GB"),
    };
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// Who holds it and how it is, on one line: for `--watch` and `--all`.
pub(crate) fn in_one_line(status: &Status) -> String {
    let mut parts = Vec::new();
    if let Some(holder) = &status.holder {
        parts.push(
            holder.pid.map_or_else(|| "in another pid namespace".to_owned(), |pid| format!("pid {pid}")),
        );
        parts.extend(holder.uptime_s.map(|uptime| format!("up {}", times::seconds(uptime))));
        parts.extend(holder.busy.map(|busy| format!("{busy} in flight")));
        parts.extend(holder.child.as_ref().map(|child| format!("child {}", child.pid)));
        parts.extend(holder.note.as_deref().map(text::shown));
    }
    parts.extend(status.problem.as_deref().map(text::shown));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_are_said_with_one_digit_behind_the_point() {
        assert_eq!(super::bytes(512), "0.5 kB");
        assert_eq!(super::bytes(7_912_000), "7.9 MB");
        assert_eq!(super::bytes(1_250_000_000), "1.2 GB");
    }
}
