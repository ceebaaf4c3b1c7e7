//! macOS and FreeBSD: type-checked, not run.
mod kqueue;

pub(crate) mod process;
pub(crate) mod system;
