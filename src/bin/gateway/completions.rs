//! `gateway completions SHELL`: for packagers, and for a line in a shell's start-up file.

use clap::CommandFactory as _;
use clap_complete::Shell;
use incumbent::Error;

use crate::{args::Cli, exit, output};

/// Prints the completion script of a shell.
pub(crate) fn print(shell: Shell) -> Result<u8, Error> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gateway", &mut script);
    output::say(&String::from_utf8_lossy(&script))?;
    Ok(exit::OK)
}
