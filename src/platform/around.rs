//! What every system says about itself and this process, in the same words.

use std::time::Duration;

/// Memory and cpu time of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Resident memory.
    pub(crate) rss_bytes: Option<u64>,
    /// User and system time of all threads since the start.
    pub(crate) cpu_time: Option<Duration>,
}

/// What a path lies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileSystem {
    /// As the system calls it (`ext4`, `nfs`, `NTFS`); Linux: the magic number in hexadecimal if it's none of those we know.
    pub(crate) name: String,
    /// Another kernel may write to it, with locks that this one doesn't see. True also where it can't be told: a death is then not proven.
    pub(crate) shared: bool,
}

/// The service manager that started this very process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Supervisor {
    /// `systemd` or `launchd`.
    pub(crate) kind: &'static str,
    /// What it calls us (`gateway.service`, a launchd label); none if our cgroup is hidden from us.
    pub(crate) unit: Option<String>,
    /// The user's manager, not the system's.
    pub(crate) user: bool,
}
