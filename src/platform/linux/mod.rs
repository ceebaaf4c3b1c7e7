//! Linux.
mod cgroup;
mod magic;

pub(crate) mod system;
