//! `send`: hands a message to the live instance, prints its answer, and exits with its code.
//!
//! The arguments arrive as they were typed; if one of them is exactly `-`, the standard input is read to its end and
//! becomes the body (the `-` stays among the arguments, so that the receiver sees where it stood).

use std::{
    ffi::OsString,
    io::{Read as _, Write as _},
};

use incumbent::{Error, Found, Incumbent, Instance, Refusal, State};

use crate::{
    args::{Send, Which},
    exit, queue,
    words::{self, say_error},
};

/// Twice what a message may have: what is longer is refused by the library, and not read to its end for that.
const ENOUGH: u64 = 2 << 20;

/// Sends a message. The exit code is the answer's.
#[allow(clippy::needless_pass_by_value)] // every command is called alike
pub(crate) fn send(instance: &Instance, which: &Which, args: Send) -> Result<u8, Error> {
    let incumbent = match instance.find_blocking(queue::PATIENCE)? {
        Found::Incumbent(incumbent) => incumbent,
        Found::Other(seen) => {
            return Ok(match seen.state() {
                State::Absent | State::Crashed => {
                    say_error(&seen.sentence());
                    exit::NOBODY
                }
                _ => {
                    words::report(&Error::Unresponsive(seen), which);
                    exit::NO_ANSWER
                }
            });
        }
        _ => return Ok(exit::NO_ANSWER),
    };
    let body = if args.args.iter().any(|arg| arg == "-") { stdin(instance)? } else { Vec::new() };
    hand_over(&incumbent, &args.args, body, which)
}

fn stdin(instance: &Instance) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    let read = std::io::stdin().lock().take(ENOUGH).read_to_end(&mut body);
    let failed =
        |source| Error::Io { doing: "read the standard input for", path: instance.name().into(), source };
    read.map(|_| body).map_err(failed)
}

/// Hands arguments and a body to this incumbent, and prints its answer. The exit code is the answer's.
pub(crate) fn hand_over(
    incumbent: &Incumbent,
    args: &[OsString],
    body: Vec<u8>,
    which: &Which,
) -> Result<u8, Error> {
    // A directory that was deleted has no name any more; the message is worth sending all the same.
    let cwd = std::env::current_dir().unwrap_or_default();
    match incumbent.send_blocking(args, &cwd, body) {
        Ok(answer) => {
            let mut stdout = std::io::stdout().lock();
            let _ = stdout.write_all(&answer.body).and_then(|()| stdout.flush());
            Ok(u8::try_from(answer.code).unwrap_or(1))
        }
        Err(error @ Error::Refused { why: Refusal::Stopping | Refusal::Busy | Refusal::Other, .. }) => {
            words::report(&error, which);
            Ok(exit::NO_ANSWER)
        }
        Err(error) => Err(error),
    }
}
