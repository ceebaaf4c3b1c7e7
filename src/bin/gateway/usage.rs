//! What is said of a command line that cannot be read, and of `--help` and `--version`.

use std::ffi::OsString;

use clap::{
    CommandFactory as _,
    error::{ContextKind, ErrorKind},
};
use incumbent::text;

use crate::{args::Cli, exit, output, words};

/// Prints what clap has to say, and what helps; the exit code.
pub(crate) fn explain(mut error: clap::Error) -> u8 {
    // An option that is not there is not meant for a PROGRAM.
    error.remove(ContextKind::Suggested);
    if error.get(ContextKind::InvalidArg).is_some_and(|arg| arg.to_string() == "--replace") {
        error.remove(ContextKind::SuggestedArg); // what is spelled alike does another thing
    }
    if let Some(variable) = empty_variable(&error) {
        words::say_error(&format!(
            "the environment variable {variable} is empty: unset it, or give it a value"
        ));
        return exit::USAGE;
    }
    let plain = error.render().to_string();
    if plain.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        // It repeats an argument with control characters in it.
        let lines: Vec<String> = plain.lines().map(text::shown).collect();
        output::complain(&lines.join("\n"));
    } else {
        // A closed stream is nobody to tell that to.
        let _ = error.print();
    }
    if error.kind() == ErrorKind::UnknownArgument {
        if let Some(command) = meant_as_program(std::env::args_os().skip(1)) {
            words::hint_lines(&[format!("use `{command}`")]);
        }
    }
    if error.use_stderr() { exit::USAGE } else { exit::OK }
}

/// The variable that clap takes for an option without a value.
fn empty_variable(error: &clap::Error) -> Option<&'static str> {
    if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
        return None;
    }
    let variables = [("GATEWAY_NAME", "--name"), ("GATEWAY_DIR", "--dir")];
    let about = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
    let is_typed = |option: &str| std::env::args().any(|arg| arg.split('=').next() == Some(option));
    variables.into_iter().find_map(|(variable, option)| {
        let is_empty = std::env::var_os(variable).is_some_and(|value| value.is_empty());
        (is_empty && about.starts_with(option) && !is_typed(option)).then_some(variable)
    })
}

/// `run sleep 5` as it was meant: `run -- sleep 5`; and `--replace overlap`: `--replace=overlap`.
fn meant_as_program(args: impl Iterator<Item = OsString>) -> Option<String> {
    let args: Vec<OsString> = args.collect();
    let run = args.iter().position(|arg| arg == "run")?;
    let quoted = |args: &[OsString]| args.iter().map(|arg| text::quoted(arg)).collect::<Vec<_>>().join(" ");
    let options = options_with_values();
    let mut at = run + 1;
    while args.get(at)?.to_string_lossy().starts_with('-') {
        if args[at] == "--" {
            return None;
        }
        let next = args.get(at + 1).and_then(|next| next.to_str());
        if let ("--replace", Some(how @ ("overlap" | "exclusive"))) = (&*args[at].to_string_lossy(), next) {
            let (before, after) = (quoted(&args[..at]), quoted(&args[at + 2..]));
            return Some(format!("{} {before} --replace={how} {after}", words::this_program()));
        }
        at += if options.iter().any(|option| args[at] == **option) { 2 } else { 1 };
    }
    Some(format!("{} {} -- {}", words::this_program(), quoted(&args[..at]), quoted(&args[at..])))
}

/// The options of `run` whose value is the next word.
fn options_with_values() -> Vec<String> {
    let mut cli = Cli::command();
    cli.build();
    let of_run = cli.find_subcommand("run").into_iter().flat_map(clap::Command::get_opts);
    of_run
        .filter(|option| option.get_action().takes_values() && !option.is_require_equals_set())
        .filter_map(|option| Some(format!("--{}", option.get_long()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::meant_as_program;

    #[test]
    fn a_program_without_dashes_is_told_where_they_belong() {
        let meant = |line: &str| {
            let command = meant_as_program(line.split(' ').map(Into::into))?;
            command.split_once(' ').map(|(_, rest)| rest.to_owned())
        };
        assert_eq!(meant("run sleep 5").as_deref(), Some("run -- sleep 5"));
        assert_eq!(
            meant("--name a run --grace 2s --force sleep -x").as_deref(),
            Some("--name a run --grace 2s --force -- sleep -x")
        );
        assert_eq!(
            meant("run --listen 127.0.0.1:80 --ready-after 1s server").as_deref(),
            Some("run --listen 127.0.0.1:80 --ready-after 1s -- server")
        );
        assert_eq!(
            meant("run --notify --replace overlap --also b -- server").as_deref(),
            Some("run --notify --replace=overlap --also b -- server")
        );
        assert_eq!(meant("run --replace"), None);
        assert_eq!(meant("run --replace -- sleep"), None);
        assert_eq!(meant("status x"), None);
    }
}
