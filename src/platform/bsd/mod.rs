//! macOS and FreeBSD: type-checked, not run.
mod keepers;
mod kqueue;

pub(crate) mod process;
pub(crate) mod system;
