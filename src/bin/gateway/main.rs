//! stub

mod args;
mod base64;
mod child;
mod exit;
mod messages;
mod queue;
mod run;
mod say;
mod send;
mod signals;
mod stop;
mod wait;
mod words;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let which = cli.which.clone();
    match obey(cli) {
        Ok(code) => code.into(),
        Err(error) => {
            words::report(&error, &which);
            exit::of(&error).into()
        }
    }
}

fn obey(cli: args::Cli) -> Result<u8, incumbent::Error> {
    let which = cli.which;
    let mut instance = incumbent::Instance::new(&which.name)?.version(env!("CARGO_PKG_VERSION"));
    if let Some(dir) = &which.dir {
        instance = instance.in_dir(dir)?;
    }
    match cli.command {
        args::Command::Run(args) => run::run(&instance, &which, args),
        args::Command::Stop(args) => stop::stop(&instance, &which, args),
        args::Command::Send(args) => send::send(&instance, &which, args),
        args::Command::Wait(args) => wait::wait(&instance, &which, args),
        _ => {
            say::say(&format!(
                "{:?}",
                instance.inspect_blocking(std::time::Duration::from_secs(2))?.status()
            ));
            Ok(0)
        }
    }
}
