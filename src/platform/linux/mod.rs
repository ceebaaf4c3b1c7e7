//! Linux.
mod cgroup;
mod magic;
mod pidfd;
mod stat;

pub(crate) mod process;
pub(crate) mod system;
