//! Facts about a process from sysinfo, where there is no `/proc`.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System, UpdateKind};

use crate::platform::unix::{exists, to_pid};
use crate::process::{Process, ProcessState};

pub(crate) use super::keepers::{flock_keepers, inherited_with_flock, keeps_flock, signal_with_group};
pub(crate) use super::kqueue::ProcessHandle;
pub(crate) use crate::platform::unix::may_signal;
pub(crate) use crate::platform::whole_look::{name_and_start, own_executable, own_start};

/// The children of this process: not known either.
pub(crate) fn children() -> Vec<u32> {
    Vec::new()
}

/// The descendants of a process: not known, because their orphans are not adopted.
pub(crate) fn descendants_of(_: u32, _: &[u32]) -> Vec<u32> {
    Vec::new()
}

/// The systemd unit that a process is in: there is none.
pub(crate) fn unit_of(_: u32) -> Option<(String, bool)> {
    None
}

/// What is known about the process with this pid; none if there is none.
///
/// # Errors
/// Never here; on Linux if no descriptor is left.
#[allow(clippy::unnecessary_wraps)] // Linux fails.
pub(crate) fn look(pid: u32) -> io::Result<Option<Process>> {
    if to_pid(pid).is_none() {
        return Ok(None);
    }
    let id = Pid::from_u32(pid);
    let wanted = ProcessRefreshKind::nothing()
        .with_cmd(UpdateKind::Always)
        .with_exe(UpdateKind::Always)
        .with_user(UpdateKind::Always);
    let mut system = System::new();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[id]), false, wanted);
    let Some(found) = system.process(id) else {
        // A zombie, or one that is hidden from us.
        return Ok(exists(pid).then(|| Process::unknown(pid)));
    };
    // Seconds since 1970. FreeBSD adds the time of the boot to it and so moves it with the clock: then it no longer agrees, and whoever
    // compares leaves the process alone.
    let started = Some(found.start_time()).filter(|&seconds| seconds > 0);
    Ok(Some(Process {
        pid,
        name: found.name().to_string_lossy().into_owned(),
        command: found.cmd().to_vec(),
        executable: found.exe().map(Path::to_owned).filter(|path| !path.as_os_str().is_empty()),
        uid: found.effective_user_id().or(found.user_id()).map(|uid| **uid),
        started_at: started
            .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))),
        start_ticks: started,
        state: state(found.status()),
    }))
}

fn state(status: ProcessStatus) -> ProcessState {
    match status {
        ProcessStatus::Stop => ProcessState::Stopped,
        ProcessStatus::Tracing => ProcessState::Traced,
        ProcessStatus::Zombie | ProcessStatus::Dead => ProcessState::Ending,
        _ => ProcessState::Running,
    }
}

/// Control groups are Linux's; a process that macOS suspends (App Nap) still answers.
pub(crate) fn is_frozen(_pid: u32) -> bool {
    false
}

/// None: these systems show nobody which process has a lock, besides `F_GETLK` itself.
pub(crate) fn shows_posix_lock(_pid: u32, _dev: u64, _ino: u64, _offset: u64) -> Option<bool> {
    None
}
