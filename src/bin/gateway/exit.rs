//! The exit codes: a stable interface. Every one of them is here, and the one place that turns an error into one.

use std::process::ExitStatus;

use incumbent::{Error, Refusal};

use crate::output::complain;

pub(crate) const OK: u8 = 0;
/// `status`: nobody; the last one crashed.
pub(crate) const CRASHED: u8 = 1;
/// `status`, `ping`, `send`: nobody.
pub(crate) const NOBODY: u8 = 3;
/// `status`, `ping`, `send`: unresponsive, or it can't be told.
pub(crate) const NO_ANSWER: u8 = 4;
pub(crate) const USAGE: u8 = 64;
/// `send`: the holder takes no messages.
pub(crate) const NO_MESSAGES: u8 = 69;
/// The directory or its files can't be made or used.
pub(crate) const CANNOT_CREATE: u8 = 73;
/// Another instance holds it, or is claiming; or it is still there when the time was up.
pub(crate) const BUSY: u8 = 75;
/// `run`: another process holds the instance now.
pub(crate) const DEPOSED: u8 = 76;
pub(crate) const NOT_ALLOWED: u8 = 77;
/// `run`: it was asked to make room, and the one that asked was gone when it did, or goes with it.
pub(crate) const LEFT_ALONE: u8 = 79;
/// `run`: PROGRAM can't be run.
pub(crate) const CANNOT_RUN: u8 = 126;
/// `run`: PROGRAM can't be found.
pub(crate) const NOT_FOUND: u8 = 127;
/// `run`: PROGRAM died of signal N: this and N.
pub(crate) const SIGNAL: u8 = 128;
/// `run`: PROGRAM had to be killed after its grace.
pub(crate) const KILLED: u8 = SIGNAL + 9;
/// `run`: PROGRAM ended with a code that is none of these: Windows has 32 bits of it, and a crash uses them.
pub(crate) const OTHER: u8 = 255;
/// `run`: PROGRAM was hung, and got SIGABRT.
pub(crate) const HUNG: u8 = SIGNAL + 6;

/// The code of a program that ended by itself: its own, whatever it is. One that has no room is said, and is never 0.
pub(crate) fn passed_on(pid: u32, status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or(0);
    u8::try_from(code).unwrap_or_else(|_| {
        complain(&format!("pid {pid} ended with the code {code:#x}"));
        OTHER
    })
}

/// The code for an error that is no outcome of a certain command.
pub(crate) fn of(error: &Error) -> u8 {
    match error {
        _ if error.is_not_allowed() => NOT_ALLOWED,
        Error::InvalidName { .. } | Error::TooLong { .. } => USAGE,
        Error::Unresponsive(_)
        | Error::Claiming(_)
        | Error::OtherMachine(_)
        | Error::NotForced { .. }
        | Error::Fighting(_)
        | Error::LeftBehind { .. }
        | Error::StillThere { .. } => BUSY,
        Error::NotHolding => DEPOSED,
        Error::Refused { why: Refusal::NoMessages, .. } => NO_MESSAGES,
        Error::Refused { .. } => BUSY,
        Error::NoAnswer { .. } | Error::Disconnected { .. } | Error::Protocol { .. } => NO_ANSWER,
        _ => CANNOT_CREATE,
    }
}
