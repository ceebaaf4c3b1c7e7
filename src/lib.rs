//! One live instance of a program per place, provably; and a way to talk to it.

mod platform;
mod process;

pub use process::{Process, ProcessState};
