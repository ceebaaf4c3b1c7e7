//! The command line, as clap reads it. What an option means is said here once; the man page and `--help` come of it.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use incumbent::platform_for_gateway as platform;

use crate::{
    addresses::{self, Listen},
    durations::{duration, interval},
    probe,
    starts::{self, Limit},
};

/// Makes a program the only live instance of itself, provably, and lets others talk to it.
#[derive(Debug, Parser)]
#[command(name = "gateway", version, max_term_width = 100, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) which: Which,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which instance is meant.
#[derive(Debug, Clone, Args)]
pub(crate) struct Which {
    /// The instance's name: 1 to 64 of `a-z 0-9 . _ -`
    #[arg(long, global = true, env = "GATEWAY_NAME", default_value = "gateway", value_name = "NAME")]
    pub(crate) name: String,
    /// The instance's directory [default: the user's state directory]
    #[arg(long, global = true, env = "GATEWAY_DIR", value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

// Deferred: the options of the command that was typed are made, and no others.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(crate) enum Command {
    /// Become the holder, and run PROGRAM (or, without one, print messages as JSON lines)
    Run(Run),
    /// Ask the live instance how it is
    Status(Status),
    /// Ask the live instance to stop, and wait until it has
    Stop(Stop),
    /// Measure round trips to the live instance
    Ping(Ping),
    /// Hand a message to the live instance, print its answer, and exit with its code
    Send(Send),
    /// Wait until the instance is ready, or gone
    Wait(Wait),
    /// Lay out every piece of evidence, and what to do
    Doctor,
    /// Show the generations: when, how long, and how they ended
    History(History),
    /// Print a completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man,
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools)] // each is an option of its own
pub(crate) struct Run {
    /// Ask the one that runs to stop, wait until it has, and take its place; `overlap`: start PROGRAM beside it first, and
    /// replace it only when PROGRAM is ready (READY=1, or --ready-after, or --ready-probe)
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "exclusive")]
    pub(crate) replace: Option<Replace>,
    #[arg(long, value_name = "[NAME=]ADDR", requires = "program", value_parser = addresses::listen)]
    #[arg(help = addresses::HELP)]
    pub(crate) listen: Vec<Listen>,
    /// With --replace=overlap: PROGRAM is ready when it has run for so long; its READY=1 counts only with --notify then
    #[arg(long, value_name = "DUR", requires = "replace", value_parser = duration)]
    pub(crate) ready_after: Option<Duration>,
    /// With --replace=overlap: PROGRAM is ready when a GET of this `http://` address is answered with 2xx or 3xx; its
    /// READY=1 counts only with --notify then
    #[arg(long, value_name = "URL", requires = "replace", value_parser = probe::address)]
    pub(crate) ready_probe: Option<probe::Address>,
    /// With --replace=overlap: PROGRAM is ended if it is not ready by then, and the one that runs goes on [default: 30s]
    #[arg(long, value_name = "DUR", requires = "replace", value_parser = interval)]
    pub(crate) ready_timeout: Option<Duration>,
    /// Wait until the instance is free, at most DUR (`30s`, `5m`, `1h30m`) [default: for ever]; with --replace that is how
    /// long others in the way are waited for, and the one that is replaced has its grace beyond it
    #[arg(long, value_name = "DUR", num_args = 0..=1, require_equals = true, value_parser = duration)]
    #[allow(clippy::option_option)] // not at all, for ever, at most so long: as clap says it
    pub(crate) wait: Option<Option<Duration>>,
    /// End what is in the way: a contender that is stopped or hung, and with --replace a holder that refuses, does not
    /// answer or does not go
    #[arg(long)]
    pub(crate) force: bool,
    /// What to do when it runs already
    #[arg(long, value_name = "WHAT", default_value = "fail", conflicts_with = "replace")]
    pub(crate) if_running: IfRunning,
    /// How long PROGRAM has to stop before it is killed, and with --replace the one that is replaced (`30s`, `5m`,
    /// `1h30m`) [default: 30s, and what the one that is replaced gives itself]
    #[arg(long, value_name = "DUR", value_parser = duration)]
    pub(crate) grace: Option<Duration>,
    #[arg(long, requires = "program", help = platform::hints::NOTIFY_HELP)]
    pub(crate) notify: bool,
    #[arg(long, value_name = "DUR", requires = "program", value_parser = interval, help = platform::hints::WATCHDOG_HELP)]
    pub(crate) watchdog: Option<Duration>,
    /// Hold this instance, too, in the same directory: all of them, or none. May be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) also: Vec<String>,
    #[arg(long, value_name = "SIGNAL", default_value = platform::DEFAULT_STOP_SIGNAL, value_parser = stop_signal)]
    #[arg(help = platform::STOP_SIGNAL_HELP)]
    pub(crate) stop_signal: i32,
    /// Hand messages (`gateway send`) to PROGRAM, as JSON lines on its standard input; each is answered 0 when it is
    /// written, whether PROGRAM reads it or not
    #[arg(long, value_name = "WHERE", requires = "program")]
    pub(crate) messages: Option<MessagesTo>,
    /// Return when it is ready, and leave it in the background; its output goes to NAME.log unless it is redirected to a
    /// file
    #[arg(long)]
    pub(crate) detach: bool,
    /// Refuse (75) to start more than N times within DUR (`5/2m`), and pause before the third start and later ones
    #[arg(long, value_name = "N/DUR", value_parser = starts::limit)]
    pub(crate) max_starts: Option<Limit>,
    /// The program to run, and its arguments
    #[arg(last = true, value_name = "PROGRAM")]
    pub(crate) program: Vec<OsString>,
}

/// So many sockets pass from one to the next.
const MOST_SOCKETS: usize = 64;

/// What PROGRAM has to be ready beside another, unless the user says.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// What PROGRAM has to stop, unless the user says.
const GRACE: Duration = Duration::from_secs(30);

impl Run {
    /// Whether PROGRAM is to be ready before the one that runs is replaced.
    pub(crate) fn overlaps(&self) -> bool {
        self.replace == Some(Replace::Overlap)
    }

    /// Whether PROGRAM says by itself when it is ready.
    pub(crate) fn waits_for_ready(&self) -> bool {
        self.notify || self.overlaps()
    }

    /// Whether it is ready by the clock, or by an answer.
    pub(crate) fn is_ready_by_itself(&self) -> bool {
        self.ready_after.is_some() || self.ready_probe.is_some()
    }

    /// How long PROGRAM has to be ready.
    pub(crate) fn ready_timeout(&self) -> Duration {
        self.ready_timeout.unwrap_or(READY_TIMEOUT)
    }

    /// What does not go together, where clap cannot know it; none: all does.
    pub(crate) fn contradiction(&self) -> Option<String> {
        let has = |is: bool, option: &'static str| is.then_some(option);
        let needs_overlap = has(self.ready_after.is_some(), "--ready-after")
            .or_else(|| has(self.ready_probe.is_some(), "--ready-probe"))
            .or_else(|| has(self.ready_timeout.is_some(), "--ready-timeout"))
            .filter(|_| !self.overlaps());
        if let Some(option) = needs_overlap {
            return Some(format!("{option} is for --replace=overlap"));
        }
        if self.overlaps() && self.program.is_empty() {
            return Some(
                "--replace=overlap is for a PROGRAM, which gets ready beside the one that runs".to_owned(),
            );
        }
        let mut addresses: Vec<String> = self.listen.iter().map(Listen::address).collect();
        addresses.sort();
        for (one, next) in addresses.iter().zip(addresses.iter().skip(1)) {
            if one == next && !one.ends_with(":0") {
                return Some(format!("--listen has {} twice", incumbent::text::shown(one)));
            }
        }
        if self.listen.len() > MOST_SOCKETS {
            return Some(format!("at most {MOST_SOCKETS} sockets can be handed over"));
        }
        if !platform::GIVES_SOCKETS && !self.listen.is_empty() {
            return Some("--listen is not there on this system".to_owned());
        }
        if !platform::OVERLAPS && self.overlaps() {
            return Some("--replace=overlap is not there on this system".to_owned());
        }
        None
    }

    /// What PROGRAM has to stop.
    pub(crate) fn grace(&self) -> Duration {
        self.grace.unwrap_or(GRACE)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Replace {
    /// Stop it, and start PROGRAM then
    Exclusive,
    /// Start PROGRAM beside it, and stop it when PROGRAM is ready
    Overlap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IfRunning {
    /// Say who runs, and exit with 75
    Fail,
    /// Exit with 0
    Ok,
    /// Hand PROGRAM and its arguments to the one that runs, and exit with its answer
    Send,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessagesTo {
    /// Its standard input, which is a pipe then
    Stdin,
}

/// A signal by its name or number.
fn stop_signal(text: &str) -> Result<i32, String> {
    platform::signal_number(text).ok_or_else(|| {
        let shown = incumbent::text::shown(text);
        format!("`{shown}` is no signal: say {}", platform::STOP_SIGNALS)
    })
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Status {
    /// Print one JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the status at every change, until interrupted
    #[arg(long, conflicts_with = "all")]
    pub(crate) watch: bool,
    /// Show every instance of the directory
    #[arg(long)]
    pub(crate) all: bool,
    /// How long to wait for an answer (`500ms`, `2s`, `1m`)
    #[arg(long, value_name = "DUR", default_value = "2s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Stop {
    /// How long it has to stop (`30s`, `5m`, `1h30m`) [default: its own, 30s unless it says otherwise]
    #[arg(long, value_name = "DUR", value_parser = duration)]
    pub(crate) grace: Option<Duration>,
    /// Only if no work is in flight
    #[arg(long)]
    pub(crate) if_idle: bool,
    #[arg(long, help = platform::hints::FORCE_HELP)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// Stop after N pings [default: until interrupted]
    #[arg(short = 'c', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// Between two pings (`200ms`, `1s`)
    #[arg(short = 'i', value_name = "DUR", default_value = "1s", value_parser = duration)]
    pub(crate) interval: Duration,
    /// How long to wait for an answer (`500ms`, `2s`, `1m`)
    #[arg(long, value_name = "DUR", default_value = "2s", value_parser = duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// The arguments to hand over; `-` stands for the standard input, which becomes the body
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    pub(crate) args: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(crate) struct Wait {
    #[command(flatten)]
    pub(crate) what: WaitFor,
    /// How long to wait (`30s`, `5m`, `1h30m`) [default: for ever]
    #[arg(long, value_name = "DUR", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct WaitFor {
    /// Until a holder says that it is ready
    #[arg(long)]
    pub(crate) ready: bool,
    /// Until the one that holds it now does not hold it any more
    #[arg(long)]
    pub(crate) gone: bool,
}

#[derive(Debug, Args)]
pub(crate) struct History {
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}
