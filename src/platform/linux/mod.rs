//! Linux.
mod cgroup;
mod descendants;
mod keepers;
pub(crate) mod listeners;
mod lock;
mod magic;
mod pidfd;
pub(crate) mod ports;
mod stat;

pub(crate) mod process;
pub(crate) mod system;
