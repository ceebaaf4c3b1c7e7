//! The command line that was typed, once more with another option: for hints of a `run` that was refused.
//!
//! It is made of the words as they were typed, and not of what they mean, so that nothing is lost that was given.
//! Proven by the test below, and typed into a shell by `tests/run_commands.rs`.

use std::{ffi::OsString, sync::OnceLock};

use incumbent::text;

use crate::{args::Which, words::command_line};

/// Which instance was given on the command line, or by the environment; one of `--also` may be in the way instead.
static GIVEN: OnceLock<Which> = OnceLock::new();

/// Remembers which instance was given.
pub(crate) fn is_given(which: &Which) {
    let _ = GIVEN.set(which.clone());
}

/// This `run` once more, with an option: its other options, PROGRAM and its arguments included.
pub(crate) fn run_again(which: &Which, option: &str) -> String {
    let mut line = command_line(GIVEN.get().unwrap_or(which), &format!("run {option}"));
    for word in after_run(std::env::args_os().skip(1), option) {
        line.push(' ');
        line.push_str(&text::quoted(&word));
    }
    line
}

/// Whether the command line that was typed wants to replace the one that runs.
pub(crate) fn wants_to_replace() -> bool {
    let options = after_run(std::env::args_os().skip(1), "");
    options
        .iter()
        .take_while(|word| *word != "--")
        .any(|word| word.to_string_lossy().starts_with("--replace"))
}

/// What stands behind `run` on a command line that says it, without what another option makes pointless: itself, and
/// with `--wait` what to do with one that runs. The name and the directory stand before `run` already.
fn after_run(mut args: impl Iterator<Item = OsString>, option: &str) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut runs = false;
    while let Some(arg) = args.next() {
        let word = arg.to_string_lossy().into_owned();
        let (name, has_value) = word.split_once('=').map_or((word.as_str(), false), |(name, _)| (name, true));
        let is_pointless = name == "--if-running" && option == "--wait";
        if matches!(name, "--name" | "--dir") || is_pointless {
            if !has_value {
                args.next();
            }
            continue;
        }
        match name {
            "--" if runs => {
                kept.push(arg);
                kept.extend(args);
                return kept;
            }
            "run" if !runs => runs = true,
            _ if name == option => {}
            _ if runs => kept.push(arg),
            _ if !name.starts_with('-') => return Vec::new(),
            _ => {}
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::after_run;

    #[test]
    fn a_run_once_more_keeps_its_options_and_its_program() {
        let again = |line: &str, option| {
            let words = after_run(line.split(' ').map(Into::into), option);
            words.join(" ".as_ref()).into_string().unwrap_or_default()
        };
        let typed = "--name a run --grace 2s --if-running ok --force --dir=/d --wait=3s -- sh --force --wait";
        assert_eq!(again(typed, "--wait"), "--grace 2s --force -- sh --force --wait");
        assert_eq!(again(typed, "--force"), "--grace 2s --if-running ok --wait=3s -- sh --force --wait");
        assert_eq!(again("run", "--wait"), "");
        assert_eq!(again("stop --force", "--wait"), "");
    }
}
