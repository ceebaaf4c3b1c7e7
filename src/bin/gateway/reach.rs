//! Whether the directory's file system answers at all: a network mount whose server is gone, or FUSE whose process hangs,
//! keeps whoever looks there for ever. It is asked once, on a thread of its own, before anything else; but not where the
//! kernel has the directory in memory and a disk under it, as nearly always: a thread would be a tenth of a `status`.
//!
//! A file system that stops answering later keeps the command all the same. Proven by `tests/file_systems.rs`.

use std::{path::Path, sync::mpsc::channel, thread, time::Duration};

use incumbent::{Instance, platform_for_gateway as platform, text};

use crate::{
    args::{Command, Which},
    exit, queue,
    words::say_error,
};

/// So long it may take whatever was said: `--timeout 0` is about the holder, and a thread takes a moment to start.
const LEAST_PATIENCE: Duration = Duration::from_millis(250);

/// Asks the file system of the directory; `Err`: the code, and it was said that there is no answer.
pub(crate) fn reach(command: &Command, which: &Which) -> Result<(), u8> {
    let (patience, code) = match command {
        Command::Completions { .. } | Command::Man => return Ok(()),
        Command::Status(args) => (args.timeout, exit::NO_ANSWER),
        Command::Ping(args) => (args.timeout, exit::NO_ANSWER),
        Command::Send(_) | Command::Doctor | Command::History(_) => (queue::PATIENCE, exit::NO_ANSWER),
        Command::Stop(_) | Command::Wait(_) => (queue::PATIENCE, exit::BUSY),
        Command::Run(_) => (queue::PATIENCE, exit::CANNOT_CREATE),
    };
    let patience = patience.max(LEAST_PATIENCE);
    if platform::answers_from_memory(which.dir.as_deref()) {
        return Ok(());
    }
    let (tell, told) = channel();
    let given = which.dir.clone();
    let asked = thread::Builder::new().name("reach".into()).spawn(move || {
        match given {
            Some(dir) => platform::touch_file_system(&dir),
            // What is the default is looked up, too.
            None => drop(Instance::new("default").map(|any| any.dir().map(platform::touch_file_system))),
        }
        let _ = tell.send(());
    });
    if asked.is_err() || answered(&told, patience) {
        return Ok(()); // without a thread nothing was asked, and nothing is known
    }
    let dir = which.dir.as_deref().map_or_else(|| "the state directory".to_owned(), shown);
    say_error(&format!(
        "the file system of {dir} does not answer (waited {}), so it cannot be told what is there",
        text::duration(patience)
    ));
    Err(code)
}

fn shown(dir: &Path) -> String {
    format!("`{}`", text::shown_path(dir))
}

/// Whether something came, or the thread is gone.
fn answered(told: &std::sync::mpsc::Receiver<()>, patience: Duration) -> bool {
    told.recv_timeout(patience) != Err(std::sync::mpsc::RecvTimeoutError::Timeout)
}
