//! `gateway`: one live instance of a program, from the command line.
//!
//! A file a command; what is said of errors is in `words`, what code they give in `exit`. Commands that only look use
//! the library's blocking calls and start no runtime: a status is asked for often, and by scripts.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program speaks on its standard streams")]

mod addresses;
mod again;
mod all;
mod args;
mod background;
mod base64;
mod beside;
mod child;
mod completions;
mod detach;
mod doctor;
mod durations;
mod exit;
mod family;
mod history;
mod holders;
mod lines;
mod log;
mod man;
mod manager;
mod messages;
mod news;
mod notify;
mod output;
mod ping;
mod predecessor;
mod probe;
mod program;
mod queue;
mod reach;
mod run;
mod said;
mod send;
mod signals;
mod sockets;
mod spinner;
mod starts;
mod status;
mod stop;
mod style;
mod takeover;
mod times;
mod told;
mod usage;
mod wait;
mod watch;
mod watchdog;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use incumbent::{Error, Instance};

use args::{Cli, Command, Which};

fn main() -> ExitCode {
    let cli = match parsed() {
        Ok(cli) => cli,
        Err(error) => return usage::explain(error).into(),
    };
    log::start_if_wanted();
    let which = cli.which;
    again::is_given(&which);
    if let Err(code) = reach::reach(&cli.command, &which) {
        return code.into();
    }
    match run_command(cli.command, &which) {
        Ok(code) => code.into(),
        Err(error) => {
            words::report(&error, &which);
            exit::of(&error).into()
        }
    }
}

/// The command line. What was made to read it is left to the exit: to take it apart takes as long as to connect.
fn parsed() -> Result<Cli, clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(std::env::args_os());
    let cli = matches.and_then(|mut matches| {
        Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
    });
    std::mem::forget(command);
    cli
}

fn run_command(command: Command, which: &Which) -> Result<u8, Error> {
    match command {
        Command::Completions { shell } => completions::print(shell),
        Command::Man => man::print(),
        Command::Run(args) => run::run(which, args),
        Command::Stop(args) => stop::stop(&instance(which)?, which, args),
        Command::Send(args) => send::send(&instance(which)?, which, args),
        Command::Wait(args) => wait::wait(&instance(which)?, which, args),
        Command::Status(args) => status::status(&instance(which)?, which, &args),
        Command::Ping(args) => ping::ping(&instance(which)?, which, &args),
        Command::Doctor => doctor::doctor(&instance(which)?, which),
        Command::History(args) => history::history(&instance(which)?, which, &args),
    }
}

/// The instance that is meant.
fn instance(which: &Which) -> Result<Instance, Error> {
    let instance = Instance::new(&which.name)?.version(env!("CARGO_PKG_VERSION"));
    match &which.dir {
        Some(dir) => instance.in_dir(dir),
        None => Ok(instance),
    }
}
