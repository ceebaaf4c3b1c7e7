//! Linux.
mod cgroup;
mod descendants;
mod lock;
mod magic;
mod pidfd;
mod stat;

pub(crate) mod process;
pub(crate) mod system;
