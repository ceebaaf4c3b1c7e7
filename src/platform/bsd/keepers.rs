//! Who keeps a `flock`: macOS and FreeBSD show nobody, so that only the child that a record names is found, with its group.

use std::io;
use std::os::fd::RawFd;

use rustix::process::{getpgid, getpgrp, kill_process_group};

use super::kqueue::ProcessHandle;
use crate::platform::unix::files::FileId;
use crate::platform::unix::{most_descriptors, to_pid, to_signal};
use crate::process::Signal;

/// No number beyond is looked at.
const MOST: usize = 1 << 16;

/// None: it is not shown.
pub(crate) fn flock_keepers(_id: FileId) -> Vec<u32> {
    Vec::new()
}

/// Never asked, because nobody is found.
pub(crate) fn keeps_flock(_pid: u32, _id: FileId) -> bool {
    false
}

/// Every number that can be a descriptor: which of them is of the file, the caller finds out. (`/dev/fd` may have three only.)
pub(crate) fn inherited_with_flock(_id: FileId) -> Vec<RawFd> {
    let most = most_descriptors().map_or(MOST, |most| most.min(MOST));
    (3..RawFd::try_from(most).unwrap_or(0)).collect()
}

/// Sends a signal to a process, and to its whole process group if it leads one that this process is not in.
///
/// # Errors
/// As [`ProcessHandle::signal`].
pub(crate) fn signal_with_group(handle: &ProcessHandle, signal: Signal) -> io::Result<()> {
    let leads = |&pid: &_| getpgid(Some(pid)) == Ok(pid) && getpgrp() != pid;
    match handle.pid().and_then(to_pid).filter(leads) {
        Some(group) if !handle.has_ended() => Ok(kill_process_group(group, to_signal(signal)?)?),
        _ => handle.signal(signal),
    }
}
