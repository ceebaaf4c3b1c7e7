//! macOS and FreeBSD: type-checked, not run.

pub(crate) mod system;
