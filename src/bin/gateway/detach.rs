//! `run --detach`: the same command once more in the background, and a wait until it is ready.
//!
//! 1. Start this very program with the same arguments, in a session of its own, with a way to this one as its standard
//!    input and no other descriptor but the two standard streams, which it keeps only until it has won (`background.rs`).
//! 2. Print what it says, show what it waits for, until it is ready: say so, and exit with 0.
//! 3. It ended before: show the last lines of its output, and exit with its code.
//!
//! Ended by a signal before it is ready, this process takes the
//! background one along: its caller was never told that it runs. Proven by `tests/detach.rs`.

use std::{
    io::BufReader,
    process::{Child, ExitStatus},
    time::Instant,
};

use incumbent::{
    Error, Instance,
    platform_for_gateway::{
        self as platform,
        detached::{self, Started},
    },
    text,
};

use crate::{args::Run, background, exit, news::News, output::complain, spinner::Spinner, words::say_error};

/// So much of the output of a program that ended too soon is looked at, and so many lines of it shown.
const END_OF_LOG: usize = 8 * 1024;
const LAST_LINES: usize = 10;

/// Runs the same command in the background, and returns when it is ready or has ended.
pub(crate) fn start(instance: &Instance, args: &Run) -> Result<u8, Error> {
    let dir = instance.dir()?;
    let began = Instant::now();
    let failed = |source| Error::Io { doing: "start the background process for", path: dir.into(), source };
    // In an overlap the one that runs writes there, too, and what stands there stays.
    let before = if args.overlaps() { length_of_log(instance) } else { 0 };
    let again = detached::same_command().map_err(failed)?;
    let Started { mut child, news, warning } =
        detached::start(again, background::VARIABLE).map_err(failed)?;
    if let Some(warning) = warning {
        complain(&format!("warning: pid {} {warning}", child.id()));
    }
    let mut news = BufReader::new(news);
    let its_start = format!("`{}` to be ready", instance.name());
    let waiting = Spinner::waiting_for(&its_start);
    let mut has_log = false;
    while let Some(news) = News::next(&mut news) {
        match news {
            News::Says(lines) => complain(&lines),
            News::Waits(what, left) => {
                let until = left.and_then(|left| Instant::now().checked_add(left));
                waiting.set(if what.is_empty() { &its_start } else { &what }, until);
            }
            News::Won => has_log = detached::goes_to_log() != (false, false),
            News::Ready => {
                drop(waiting);
                complain(&started(instance, args, child.id(), began, has_log)?);
                return Ok(exit::OK);
            }
        }
    }
    let status = child.wait().map_err(failed)?;
    drop(waiting);
    ended(instance, &child, status, has_log.then_some(before))
}

fn started(
    instance: &Instance,
    args: &Run,
    pid: u32,
    began: Instant,
    has_log: bool,
) -> Result<String, Error> {
    let took = text::duration(began.elapsed());
    // Of a program that says nothing it is only known that it has been started.
    let ready = if args.program.is_empty() || args.waits_for_ready() { "ready" } else { "running" };
    let output = if has_log {
        format!("; output in {}", text::shown_path(&instance.log_path()?))
    } else {
        String::new()
    };
    Ok(format!("started `{}` in the background: pid {pid}, {ready} after {took}{output}", instance.name()))
}

fn length_of_log(instance: &Instance) -> usize {
    let length =
        instance.log_path().ok().and_then(|path| std::fs::metadata(path).ok()).map_or(0, |it| it.len());
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// It ended before it was ready. What `gateway` had to say of that was said already; PROGRAM's words are in the log, behind so
/// many bytes.
fn ended(instance: &Instance, child: &Child, status: ExitStatus, log: Option<usize>) -> Result<u8, Error> {
    let code = match platform::signal_of(status) {
        Some(signal) => {
            let (pid, signal_name) = (child.id(), platform::signal_name(signal));
            say_error(&format!("pid {pid} died of {signal_name} in the background before it was ready"));
            u8::try_from(signal).map_or(u8::MAX, |signal| exit::SIGNAL.saturating_add(signal))
        }
        None => exit::passed_on(child.id(), status),
    };
    let last = log.map_or_else(Vec::new, |before| {
        let end = instance.end_of_log_blocking(END_OF_LOG);
        let since = length_of_log(instance).saturating_sub(before);
        last_lines(&end[end.len().saturating_sub(since)..])
    });
    if !last.is_empty() {
        let path = text::shown_path(&instance.log_path()?);
        say_error(&format!("it ended before it was ready; the last of its output in {path}:"));
        complain(&format!("  {}", last.join("\n  ")));
    }
    Ok(code)
}

/// The last lines, safe to show; not one that was cut off at its beginning.
fn last_lines(end: &[u8]) -> Vec<String> {
    let whole = match end.iter().position(|byte| *byte == b'\n') {
        Some(first) if end.len() >= END_OF_LOG => &end[first..],
        _ => end,
    };
    let text = String::from_utf8_lossy(whole);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.iter().rev().take(LAST_LINES).rev().map(|line| text::shown(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_whole_and_move_no_cursor() {
        assert_eq!(last_lines(b"one\n\ntwo \x1b[2J\n"), ["one", "two \u{fffd}[2J"]);
        assert_eq!(last_lines(b""), Vec::<String>::new());
        let many = (0..5000).map(|n| n.to_string()).collect::<Vec<_>>().join("\n");
        let end = &many.as_bytes()[many.len() - END_OF_LOG..];
        assert_eq!(last_lines(end), (4990..5000).map(|n| n.to_string()).collect::<Vec<_>>());
        let long = vec![b'x'; END_OF_LOG];
        assert_eq!(last_lines(&long).len(), 1);
    }
}
