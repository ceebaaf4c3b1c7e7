//! The system around this process: macOS and FreeBSD.
//!
//! Sources: `sysctl(3)` (`kern.bootsessionuuid`; FreeBSD `kern.boot_id`, `kern.hostuuid`), `gethostuuid(2)`, `statfs(2)`, `confstr(3)`,
//! `launchd.plist(5)` and `launchctl(1)`.

use std::ffi::{CStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{StatFs, statfs};
use rustix::process::{getppid, getuid};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use crate::platform::unix::{absolute, cpu_time, home_dir, is_own_dir};

use crate::platform::{FileSystem, Supervisor, Usage};

const IS_MAC: bool = cfg!(target_os = "macos");

/// File systems that another kernel may have mounted too; everything in user space among them, since it can't be told.
const SHARED: &[&str] = &[
    "nfs", "smbfs", "webdav", "afpfs", "ftp", "acfs", "fuse", "macfuse", "osxfuse", "fusefs", "p9fs",
    "virtiofs",
];

/// Names this run of the kernel.
pub(crate) fn boot_id() -> Option<String> {
    sysctl(if IS_MAC { c"kern.bootsessionuuid" } else { c"kern.boot_id" })
}

/// There are no pid namespaces.
pub(crate) fn pid_namespace() -> Option<String> {
    None
}

/// When the kernel started, by the clock as it is set now.
pub(crate) fn boot_time() -> Option<SystemTime> {
    let seconds = Some(System::boot_time()).filter(|&seconds| seconds > 0)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Names this machine.
pub(crate) fn machine_id() -> Option<String> {
    #[cfg(target_os = "macos")]
    {
        let mut uuid = [0_u8; 16];
        let no_wait = nix::libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: it writes 16 bytes, and reads the time that it may take.
        let status = unsafe { nix::libc::gethostuuid(uuid.as_mut_ptr(), &raw const no_wait) };
        (status == 0).then(|| format!("{:032x}", u128::from_be_bytes(uuid)))
    }
    #[cfg(not(target_os = "macos"))]
    sysctl(c"kern.hostuuid").filter(|id| id != "00000000-0000-0000-0000-000000000000")
}

/// A short text from the kernel.
fn sysctl(name: &CStr) -> Option<String> {
    let mut buffer = [0_u8; 128];
    let mut length = buffer.len();
    // SAFETY: the name ends with a zero byte, at most `length` bytes are written, and nothing is set.
    let status = unsafe {
        nix::libc::sysctlbyname(
            name.as_ptr(),
            buffer.as_mut_ptr().cast(),
            &raw mut length,
            std::ptr::null_mut(),
            0,
        )
    };
    let text = CStr::from_bytes_until_nul(&buffer).ok()?.to_str().ok()?;
    (status == 0 && !text.is_empty()).then(|| text.to_owned())
}

/// Where an instance lives if nobody says otherwise: it outlasts logouts, and is the same under cron. Nothing is made.
pub(crate) fn default_state_dir() -> Option<PathBuf> {
    let dir = if IS_MAC {
        home_dir()?.join("Library/Application Support")
    } else {
        absolute(std::env::var_os("XDG_STATE_HOME")).or_else(|| Some(home_dir()?.join(".local/state")))?
    };
    Some(dir.join("gateway"))
}

/// A directory of this user for a socket whose path would be too long elsewhere. Nothing is made: the last choice may be missing, or be
/// somebody else's, and whoever uses it must look.
pub(crate) fn runtime_dir(uid: u32) -> PathBuf {
    let variable = |name: &str| -> Option<OsString> { std::env::var_os(name) };
    [absolute(variable("XDG_RUNTIME_DIR")), user_temp_dir(), absolute(variable("TMPDIR"))]
        .into_iter()
        .flatten()
        .find(|dir| is_own_dir(dir, uid))
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/incumbent-{uid}")))
}

/// macOS gives each user a directory of its own below `/var/folders`; `$TMPDIR` names it in a session, this also in a daemon.
fn user_temp_dir() -> Option<PathBuf> {
    #[cfg(target_os = "macos")]
    {
        let mut buffer = [0_u8; 1024];
        // SAFETY: at most as many bytes as the buffer has are written.
        let length = unsafe {
            nix::libc::confstr(nix::libc::_CS_DARWIN_USER_TEMP_DIR, buffer.as_mut_ptr().cast(), buffer.len())
        };
        let text = CStr::from_bytes_until_nul(&buffer).ok()?.to_str().ok()?;
        absolute(Some(text.into())).filter(|_| length > 0 && length <= buffer.len())
    }
    #[cfg(not(target_os = "macos"))]
    None
}

/// What `path` lies on.
///
/// # Errors
/// As `statfs(2)`: nothing is there, or it can't be reached.
pub(crate) fn file_system(path: &Path) -> io::Result<FileSystem> {
    Ok(described(&statfs(path)?))
}

fn described(found: &StatFs) -> FileSystem {
    #[allow(clippy::cast_sign_loss)] // C's char has a sign on some architectures.
    let name: Vec<u8> =
        found.f_fstypename.iter().map(|&byte| byte as u8).take_while(|&byte| byte != 0).collect();
    let name = String::from_utf8_lossy(&name).into_owned();
    // `fusefs.sshfs` on FreeBSD, `fuse-t` and others on macOS.
    let shared = name.is_empty() || name.starts_with("fuse") || SHARED.contains(&name.as_str());
    FileSystem { name, shared }
}

/// The launchd that started this very process: its name for us is not "0", and our parent is process 1.
pub(crate) fn supervisor() -> Option<Supervisor> {
    let label = std::env::var("XPC_SERVICE_NAME").ok().filter(|label| !label.is_empty() && label != "0")?;
    let parent = getppid()?.as_raw_nonzero().get();
    (IS_MAC && parent == 1).then(|| Supervisor {
        kind: "launchd",
        unit: Some(label),
        user: !getuid().is_root(),
    })
}

/// Memory and cpu time of this process.
pub(crate) fn self_usage() -> Usage {
    let id = Pid::from_u32(std::process::id());
    let mut system = System::new();
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[id]),
        false,
        ProcessRefreshKind::nothing().with_memory(),
    );
    let rss_bytes = system.process(id).map(sysinfo::Process::memory).filter(|&bytes| bytes > 0);
    Usage { rss_bytes, cpu_time: cpu_time() }
}
