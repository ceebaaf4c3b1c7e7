//! Linux.
mod cgroup;
mod descendants;
mod keepers;
mod lock;
mod magic;
mod pidfd;
mod stat;

pub(crate) mod process;
pub(crate) mod system;
