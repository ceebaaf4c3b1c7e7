//! The first instance opens files; a later one hands it the name, and prints its answer.
//!
//! Start it twice: `cargo run --example open_file -- README.md`. The first one opens the file (it says how large it is)
//! and waits for more; Ctrl-C ends it. The second one never opens anything: it asks the first, and leaves.

#![allow(clippy::print_stdout)] // an example shows what it does

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use incumbent::{Claim, Instance};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let cwd = std::env::current_dir()?;
    let dir = std::env::temp_dir().join("incumbent-example");
    let holder = match Instance::new("open-file-example")?.in_dir(dir)?.claim().await? {
        Claim::Won(holder) => holder,
        Claim::Lost(incumbent) => {
            let answer = incumbent.send(args, cwd, Vec::new()).await?;
            print!("{}", String::from_utf8_lossy(&answer.body));
            std::process::exit(answer.code);
        }
    };
    let mut messages = holder.messages();
    holder.ready("waiting for files to open");
    print!("{}", open(&args, &cwd).1);
    loop {
        tokio::select! {
            Some(message) = messages.next() => {
                let (code, said) = open(&message.args(), &message.cwd());
                print!("{said}");
                message.answer(code, said);
            }
            _ = holder.stop_requested() => break,
            () = holder.deposed() => return Err("another process holds the instance now".into()),
            interrupted = tokio::signal::ctrl_c() => { interrupted?; break }
        }
    }
    holder.release().await?;
    Ok(())
}

/// Opens files, whose names are relative to the sender's directory: an exit code, and what to say.
fn open(names: &[OsString], cwd: &Path) -> (i32, String) {
    let mut code = 0;
    let mut said = String::new();
    for path in names.iter().map(|name| -> PathBuf { cwd.join(name) }) {
        let line = match std::fs::metadata(&path) {
            Ok(file) => {
                format!("pid {} opened {}: {} bytes\n", std::process::id(), path.display(), file.len())
            }
            Err(error) => {
                code = 1;
                format!("cannot open {}: {error}\n", path.display())
            }
        };
        said.push_str(&line);
    }
    (code, said)
}
