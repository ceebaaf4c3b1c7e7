//! What is said of an error, and what to do about it: the one place where the program names commands.
//!
//! The library says what is the case; here a situation becomes the commands that help in it. A command that a hint names
//! works as it stands there, in any directory: it carries `--name` and `--dir` if they were given, on the command line
//! or through the environment. Commands stand in backquotes. Proven by `tests/said_by_commands.rs`.

use std::{
    io::ErrorKind,
    path::{Path, absolute, is_separator},
    time::Duration,
};

use incumbent::{
    DirectoryFault, Doubt, Error, Fight, Inspection, Instance, Process, ProcessState, Refusal, Side, Starter,
    State, Status, StillThere,
    platform_for_gateway::{
        self as platform,
        hints::{self as commands, SUPERUSER},
    },
    text,
};

use crate::{
    again::{run_again, wants_to_replace},
    args::Which,
    exit,
    holders::InTheWay,
    output, queue, style, times,
};

/// Prints an error on the standard error, on one line, and what helps, a line each.
pub(crate) fn report(error: &Error, which: &Which) {
    if matches!(error, Error::Io { source, .. } if source.kind() == ErrorKind::BrokenPipe) {
        return; // who read this has gone
    }
    if let Some(source) = output::is_own(error) {
        return say_error(&format!("cannot write to the standard output: {}", text::system_words(source)));
    }
    say_error(&error.to_string());
    hint_lines(&hints(error, which));
}

/// Prints what was found, in one sentence, and what helps.
pub(crate) fn situation(seen: &Inspection, which: &Which) {
    say_error(&seen.sentence());
    hint_lines(&hints_for(seen, which));
}

/// Prints that a claim was refused because a holder lives: which process, since when, its command, and what helps.
pub(crate) fn already_running(status: &Status, which: &Which) {
    say_error(&holder_words(status));
    hint_lines(&[
        format!("`{}` says how it is", command_line(which, "status")),
        format!("`{}` takes its place", run_again(which, "--replace")),
        format!("`{}` asks it to stop", command_line(which, "stop")),
        format!("`{}` waits until it has ended", run_again(which, "--wait")),
    ]);
}

/// Prints that the holder does not make room, in its own words, and what insists.
pub(crate) fn was_refused(error: &Error, which: &Which) {
    say_error(&error.to_string());
    hint_lines(&[format!("`{}` insists", run_again(which, "--force"))]);
}

/// Prints that PROGRAM was ready, and the place was not to be had.
pub(crate) fn not_taken(in_the_way: InTheWay) {
    let InTheWay { which, why } = in_the_way;
    match why {
        Ok(incumbent) => match incumbent.status_blocking(queue::PATIENCE) {
            Ok(status) => was_faster(&status, &which),
            Err(error) => report(&error, &which),
        },
        Err(error) => report(&error, &which),
    }
}

/// Whether a holder was asked to hand over, and does not, or does not know how.
pub(crate) fn hands_nothing_over(error: &Error) -> bool {
    matches!(error, Error::Refused { note, .. } if note.contains("hands nothing over") || note.contains("cannot hand over"))
}

/// Prints that the holder does not let another get ready beside it, in its own words, and what works.
pub(crate) fn does_not_overlap(error: &Error, which: &Which) {
    say_error(&format!("`{}` is not replaced: {error}", which.name));
    hint_lines(&[format!("`{}` stops it first", run_again(which, "--replace"))]);
}

/// Prints that another took the place first that this one was about to take.
pub(crate) fn was_faster(status: &Status, which: &Which) {
    say_error(&format!("another was faster: {}", holder_words(status)));
    hint_lines(&[
        format!("`{}` says how it is", command_line(which, "status")),
        format!("`{}` replaces it", run_again(which, "--replace")),
    ]);
}

/// What is done to a process that does not answer.
pub(crate) fn ending(who: &str, grace: Duration) -> String {
    if commands::ASKS_THE_SILENT {
        format!("ending {who}: SIGTERM, and SIGKILL after {}", text::duration(grace))
    } else {
        format!("ending {who}, at once: nothing asks one that does not answer")
    }
}

/// Who may do what this user may not.
pub(crate) fn as_owner(instance: &Instance) -> String {
    let owner = instance.dir().ok().and_then(platform::owner_of).map(text::user);
    owner.map_or_else(
        || format!("run it as the owner or as {SUPERUSER}"),
        |owner| format!("run it as the owner ({owner}) or as {SUPERUSER}"),
    )
}

/// Says that this user may not do that; the exit code.
pub(crate) fn forbidden(instance: &Instance, seen: &Inspection) -> u8 {
    say_error(&seen.sentence());
    hint_lines(&[as_owner(instance)]);
    exit::NOT_ALLOWED
}

/// Prints that a claim was refused because a holder has still to stop, and what helps.
pub(crate) fn is_stopping(status: &Status, which: &Which) {
    let taker = status.claiming.as_ref().map_or_else(String::new, |claiming| {
        format!("; {} is taking over", queue::process_words(claiming.pid))
    });
    say_error(&format!("{}{taker}", holder_words(status)));
    hint_lines(&[
        format!("`{}` begins when it has ended", run_again(which, "--wait")),
        format!("`{}` shows how that goes", command_line(which, "status")),
    ]);
}

/// The command that does this to this instance: `gateway --dir /srv/bot stop --force`.
pub(crate) fn command_line(which: &Which, command: &str) -> String {
    let mut line = this_program();
    // A name that is the default must still be said if the environment has another.
    if which.name != "gateway" || std::env::var_os("GATEWAY_NAME").is_some() {
        line.push_str(" --name ");
        line.push_str(&text::quoted(which.name.as_ref()));
    }
    if let Some(dir) = &which.dir {
        let dir = absolute(dir).unwrap_or_else(|_| dir.clone());
        line.push_str(" --dir ");
        line.push_str(&text::quoted(dir.as_os_str()));
    }
    line.push(' ');
    line.push_str(command);
    line
}

/// `gateway`, or the path that was typed: what is not in `PATH` is found by its path only.
pub(crate) fn this_program() -> String {
    let typed = std::env::args_os().next().filter(|typed| typed.to_string_lossy().contains(is_separator));
    let path = typed.and_then(|typed| absolute(typed).ok());
    path.map_or_else(|| "gateway".to_owned(), |path| shell(&path))
}

/// Prints hints on the standard error.
pub(crate) fn hint_lines(hints: &[String]) {
    if !hints.is_empty() {
        let label = style::stderr().hint("hint:");
        let lines: Vec<String> = hints.iter().map(|hint| format!("{label} {hint}")).collect();
        output::complain(&lines.join("\n"));
    }
}

/// Prints what went wrong on the standard error, on one line.
pub(crate) fn say_error(words: &str) {
    output::complain(&format!("{} {words}", style::stderr().bad("gateway:")));
}

/// What helps against an error.
pub(crate) fn hints(error: &Error, which: &Which) -> Vec<String> {
    match error {
        _ if error.is_exhausted() => vec![commands::MORE_FILES.to_owned()],
        Error::InvalidName { .. } => vec!["name it with --name, or with GATEWAY_NAME".to_owned()],
        Error::NoHome => vec!["name the directory with --dir, or with GATEWAY_DIR".to_owned()],
        Error::Directory { path, fault } => about_directory(path, fault),
        Error::InTheWay { path, .. } => vec![move_away(path)],
        Error::HardLinked { path, .. } => {
            let (dir, file) = (path.parent().unwrap_or(path), shell(path));
            let lists = commands::lists_names(&shell(dir), &file);
            vec![format!("`{lists}` lists its names: remove the other one")]
        }
        Error::NoLocks { .. } => vec!["name a directory on a local file system with --dir".to_owned()],
        Error::Io { path, source, .. } => about_system(path, source.kind()),
        Error::Unresponsive(seen) | Error::OtherMachine(seen) => hints_for(seen, which),
        Error::Claiming(seen) => about_the_claim(seen, which),
        Error::NotForced { .. } => {
            vec![format!("`{}` shows all that is known", command_line(which, "doctor"))]
        }
        Error::Refused { why: Refusal::NotAllowed, .. } => {
            vec![format!("ask as the user who holds it, or as {SUPERUSER}")]
        }
        Error::Fighting(fight) => about_the_fight(fight, which),
        Error::StillThere { .. } => vec![
            format!("`{}` ends it, and goes on", run_again(which, "--force")),
            format!("`{}` says how it is", command_line(which, "status")),
        ],
        Error::LeftBehind { .. } => about_leftovers(error),
        Error::Refused { .. } | Error::TooLong { .. } | Error::NotHolding => Vec::new(),
        _ => vec![
            format!("`{}` says how it is", command_line(which, "status")),
            format!("`{}` shows all that is known", command_line(which, "doctor")),
        ],
    }
}

/// Two replace each other in turn: one of them has to give it up.
fn about_the_fight(fight: &Fight, which: &Which) -> Vec<String> {
    let of = |side: &Side| match &side.started_by {
        Some(Starter { unit: Some(unit), name: Some(name), pid, .. }) if name == "systemd" => {
            let user = if *pid == Some(1) { "" } else { "--user " };
            format!("`systemctl {user}disable --now {}`", text::quoted(unit.as_ref()))
        }
        Some(starter) => format!("stop {}", starter.words()),
        None => format!("stop what starts pid {}", side.pid),
    };
    vec![
        format!("let one of them give it up for good: {}, or {}", of(&fight.other), of(&fight.me)),
        format!("`{}` takes its place all the same", run_again(which, "--force")),
        format!("without that, it is refused for {} more", text::duration(times::rounded(fight.left))),
    ]
}

/// What helps in the situation that was found.
pub(crate) fn hints_for(seen: &Inspection, which: &Which) -> Vec<String> {
    match seen.state() {
        State::Absent | State::Crashed => about_nobody(seen, which),
        State::Unresponsive => about_the_silent(seen, which),
        State::Unknown => about_the_doubt(seen, which),
        _ => vec![
            format!("`{}` says how it is", command_line(which, "status")),
            format!("`{}` asks it to stop", command_line(which, "stop")),
        ],
    }
}

/// Nobody holds: the next claim will be won, unless something is in its way.
fn about_nobody(seen: &Inspection, which: &Which) -> Vec<String> {
    let run = command_line(which, "run");
    if let Some(obstacle) = seen.obstacle() {
        hints(&obstacle, which)
    } else if seen.claimer().is_some_and(|claimer| claimer.state != ProcessState::Running) {
        about_the_claim(seen, which)
    } else if seen.state() == State::Crashed {
        vec![format!("nothing needs to be cleaned up: `{run}` starts the next one")]
    } else {
        vec![format!("`{run}` starts one")]
    }
}

/// One of which the system tells no number.
fn about_the_unnamed() -> String {
    format!("it is {}: continue or end it there", text::unnamed_process())
}

/// A holder that lives and does not answer.
fn about_the_silent(seen: &Inspection, which: &Which) -> Vec<String> {
    if let Some(linked @ Error::HardLinked { .. }) = seen.obstacle() {
        return hints(&linked, which); // whose lock it is is not known
    }
    let Some(owner) = seen.owner() else {
        return vec![if seen.lingers() {
            format!("`{}` holds it as soon as it is free", run_again(which, "--wait"))
        } else {
            about_the_unnamed()
        }];
    };
    let mut hints: Vec<String> = how_to_go_on(owner).into_iter().collect();
    match owner.state {
        ProcessState::Ending => {
            hints.push(format!("it is about to be gone: `{}` waits for that", run_again(which, "--wait")));
        }
        ProcessState::Frozen => {}
        _ if wants_to_replace() => {
            hints.push(format!("`{}` ends it, and takes its place", run_again(which, "--force")));
        }
        _ => hints.push(format!("`{}` ends it", command_line(which, "stop --force"))),
    }
    hints
}

/// What helps against something that an earlier PROGRAM left behind, or that keeps its lock from being taken.
pub(crate) fn about_leftovers(error: &Error) -> Vec<String> {
    match error {
        Error::LeftBehind { path, why: StillThere::Unseen, .. } => {
            vec![commands::names_keepers(&shell(path))]
        }
        Error::LeftBehind { processes, why: StillThere::NotAllowed, .. } => {
            let pids: Vec<String> = processes.iter().map(|process| process.pid.to_string()).collect();
            let ends = commands::asks_to_end(&pids);
            vec![format!("as {SUPERUSER}, or as the user whose it is: `{ends}`")]
        }
        Error::LeftBehind { processes, .. } => processes.iter().filter_map(how_to_go_on).collect(),
        Error::InTheWay { path, .. } => vec![move_away(path)],
        Error::Io { path, source, .. } => about_system(path, source.kind()),
        _ => Vec::new(),
    }
}

/// How a process goes on that cannot run.
fn how_to_go_on(process: &Process) -> Option<String> {
    match process.state {
        ProcessState::Stopped => Some(format!("`kill -CONT {}` lets it go on", process.pid)),
        ProcessState::Traced => Some(format!("let its debugger continue or detach (pid {})", process.pid)),
        ProcessState::Frozen => {
            Some("thaw its control group (`systemctl thaw`, `docker unpause`)".replace('`', ""))
        }
        _ => None,
    }
}

/// A contender that does not finish its claim.
fn about_the_claim(seen: &Inspection, which: &Which) -> Vec<String> {
    let mut hints: Vec<String> = seen.claimer().and_then(how_to_go_on).into_iter().collect();
    if seen.claimer().is_some() {
        hints.push(format!("`{}` ends it, and goes on", run_again(which, "--force")));
    } else {
        hints.push(format!("`{}` waits for it", run_again(which, "--wait")));
    }
    hints
}

fn about_the_doubt(seen: &Inspection, which: &Which) -> Vec<String> {
    let owner = format!("ask as the user who holds it, or as {SUPERUSER}");
    match seen.doubt() {
        Some(Doubt::NotAllowed | Doubt::LocksUnseen) => match seen.obstacle() {
            Some(Error::Directory { fault: DirectoryFault::Foreign { owner, .. }, .. }) => {
                vec![format!("run it as the owner ({}) or as {SUPERUSER}", text::user(owner))]
            }
            Some(obstacle) => hints(&obstacle, which),
            None => vec![owner],
        },
        Some(Doubt::OtherMachine) => {
            vec![format!("when you know that that machine is off: `{}`", run_again(which, "--force"))]
        }
        Some(Doubt::Full) => vec![format!("when fewer ask: `{}`", command_line(which, "status"))],
        _ => match seen.listener() {
            Some(process) => {
                let mut hints: Vec<String> = how_to_go_on(&process).into_iter().collect();
                // It owns no lock, so that `stop --force` has nobody to end.
                let ends = commands::ends(process.pid);
                hints.push(format!("if you know it and it should not be there: `{ends}`"));
                hints
            }
            None => {
                vec![about_the_unnamed()]
            }
        },
    }
}

fn about_directory(path: &Path, fault: &DirectoryFault) -> Vec<String> {
    let elsewhere = || "name another directory with --dir".to_owned();
    match fault {
        DirectoryFault::Foreign { owner, .. } => {
            vec![format!("run this as {}, or name another directory with --dir", text::user(*owner))]
        }
        DirectoryFault::Writable { .. } => {
            let keeps_out = commands::keeps_others_out(&shell(path));
            vec![format!("`{keeps_out}`, once you have looked what is in it"), elsewhere()]
        }
        DirectoryFault::Forbidden(_) => {
            vec!["run this as the user it belongs to, or name another directory with --dir".to_owned()]
        }
        DirectoryFault::Unusable(source) => match about_system(path, source.kind()) {
            nothing if nothing.is_empty() => vec![elsewhere()],
            hints => hints,
        },
        _ => vec![elsewhere()],
    }
}

/// What helps when the system refused something at a path.
fn about_system(path: &Path, kind: ErrorKind) -> Vec<String> {
    let elsewhere = || "or name another directory with --dir".to_owned();
    match kind {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            let there = path.ancestors().find(|path| path.exists()).unwrap_or(path);
            vec![format!("make room ({})", commands::shows_room(&shell(there))), elsewhere()]
        }
        ErrorKind::ReadOnlyFilesystem => {
            vec!["name a directory that can be written to with --dir".to_owned()]
        }
        ErrorKind::PermissionDenied => {
            // What is not there, or not to be seen, was refused by what is above it.
            let there = path.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(path);
            vec![format!("`{}` shows who may", commands::shows_access(&shell(there))), elsewhere()]
        }
        _ if is_too_long(path) => vec!["name a directory with a shorter path with --dir".to_owned()],
        _ => Vec::new(),
    }
}

/// Longer than any system takes; the kind of that error is newer than the oldest compiler that is supported.
fn is_too_long(path: &Path) -> bool {
    path.as_os_str().len() >= 4096 || path.iter().any(|part| part.len() > 255)
}

fn move_away(path: &Path) -> String {
    let mut away = path.as_os_str().to_owned();
    away.push(".away");
    let moves = commands::moves(&shell(path), &text::quoted(&away));
    format!("`{moves}` makes room, once you know what it is")
}

fn shell(path: &Path) -> String {
    text::quoted(path.as_os_str())
}

/// Who holds it, in one sentence: pid, command, since when.
fn holder_words(status: &Status) -> String {
    let name = text::shown(&status.name);
    let Some(holder) = &status.holder else { return format!("`{name}` is already running") };
    let pid = holder.pid.map_or_else(|| text::unnamed_process().to_owned(), |pid| format!("pid {pid}"));
    let command = holder.command.as_deref().map(crate::status::command_words).unwrap_or_default();
    let command = if command.is_empty() { command } else { format!(" ({command})") };
    let since = holder.started_at.as_deref().map_or_else(String::new, |at| {
        let up = holder.uptime_s.map_or_else(String::new, |up| format!(", up {}", times::seconds(up)));
        format!(", since {}{up}", times::local(at))
    });
    if status.state == State::Draining {
        let note = holder.note.as_deref().map_or_else(String::new, |note| format!(": {}", text::shown(note)));
        return format!("`{name}` is stopping: {pid}{command}{since}{note}");
    }
    format!("`{name}` is already running: {pid}{command}{since}")
}
