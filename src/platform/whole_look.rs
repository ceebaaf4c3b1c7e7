//! What Linux tells of a process in a file each, and other systems only with everything else of it.

use std::path::PathBuf;

use super::process::look;

/// The name and the start of the process that has this pid now.
pub(crate) fn name_and_start(pid: u32) -> Option<(String, Option<u64>)> {
    look(pid).ok().flatten().map(|process| (process.name, process.start_ticks))
}

/// The start of this process.
pub(crate) fn own_start() -> Option<u64> {
    name_and_start(std::process::id())?.1
}

/// The program's file of this process.
pub(crate) fn own_executable() -> Option<PathBuf> {
    std::env::current_exe().ok()
}
