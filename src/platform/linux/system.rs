//! The system around this process: Linux.
//!
//! Sources: `random(4)` (boot id), `machine-id(5)`, `statfs(2)`, `systemd.exec(5)` and `proc_pid_statm(5)`; directories as in the XDG Base
//! Directory Specification 0.8.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, StatFs, readlinkat_raw, statfs};
use rustix::io::retry_on_intr;
use rustix::time::{ClockId, clock_gettime};

use super::cgroup::own_unit;
use super::magic::name_and_shared;
use crate::platform::unix::{absolute, cpu_time, home_dir, is_own_dir};

use crate::platform::{FileSystem, Supervisor, Usage};

/// Whether `/proc` is there and numbers processes as we do: one mounted from another pid namespace describes strangers.
pub(super) fn proc_is_ours() -> bool {
    // On the stack: this is asked before every look.
    let mut buffer = [0_u8; 16];
    let own = std::process::id().to_string();
    readlinkat_raw(CWD, "/proc/self", &mut buffer[..]).is_ok_and(|length| buffer[..length] == *own.as_bytes())
}

/// Names this run of the kernel: random, new with each boot, the same in every container.
pub(crate) fn boot_id() -> Option<String> {
    static READ: OnceLock<String> = OnceLock::new(); // the same for as long as this process runs
    if READ.get().is_none() {
        let id = word_in("/proc/sys/kernel/random/boot_id")?;
        let _ = READ.set(id);
    }
    READ.get().cloned()
}

/// When the kernel started, by the clock as it is set now.
pub(crate) fn boot_time() -> Option<SystemTime> {
    // The two clocks, not `btime` of /proc/stat: that has whole seconds and costs a file which grows with the number of interrupts.
    let since = |clock| Duration::try_from(clock_gettime(clock)).ok();
    let now = since(ClockId::Realtime)?;
    SystemTime::UNIX_EPOCH.checked_add(now.checked_sub(since(ClockId::Boottime)?)?)
}

/// Names this installation of the system, if it has a name: containers and fresh images may have none, copied images the same.
pub(crate) fn machine_id() -> Option<String> {
    ["/etc/machine-id", "/var/lib/dbus/machine-id"].iter().find_map(|path| {
        let id = word_in(path)?;
        // Anything else is "uninitialized", or a mistake.
        (id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(id)
    })
}

/// What stands in a small file, in one read: an id has 36 bytes at most.
fn word_in(path: &str) -> Option<String> {
    let (file, mut text) = (File::open(path).ok()?, [0; 64]);
    let length = retry_on_intr(|| rustix::io::read(&file, &mut text)).ok()?;
    let word = std::str::from_utf8(&text[..length]).ok()?.trim();
    (!word.is_empty()).then(|| word.to_owned())
}

/// Names the pid namespace of this process (`pid_namespaces(7)`); the same number elsewhere means the same one.
pub(crate) fn pid_namespace() -> Option<String> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    let name = link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?;
    Some(name.to_owned())
}

/// Where an instance lives if nobody says otherwise: it outlasts logouts, and is the same under cron. Nothing is made.
pub(crate) fn default_state_dir() -> Option<PathBuf> {
    state_dir(std::env::var_os("XDG_STATE_HOME"), home_dir)
}

fn state_dir(xdg: Option<OsString>, home: impl FnOnce() -> Option<PathBuf>) -> Option<PathBuf> {
    let state = absolute(xdg).or_else(|| Some(home()?.join(".local/state")));
    state.map(|dir| dir.join("gateway"))
}

/// A directory of this user for a socket whose path would be too long elsewhere. Nothing is made: the last choice may be missing, or be
/// somebody else's, and whoever uses it must look.
pub(crate) fn runtime_dir(uid: u32) -> PathBuf {
    runtime_dir_of(uid, std::env::var_os("XDG_RUNTIME_DIR"), Path::new("/run/user"))
}

fn runtime_dir_of(uid: u32, xdg: Option<OsString>, run_user: &Path) -> PathBuf {
    // After `su` the variable may still name another user's directory.
    [absolute(xdg), Some(run_user.join(uid.to_string()))]
        .into_iter()
        .flatten()
        .find(|dir| is_own_dir(dir, uid))
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/incumbent-{uid}")))
}

/// What `path` lies on.
///
/// # Errors
/// As `statfs(2)`: nothing is there, or it can't be reached.
pub(crate) fn file_system(path: &Path) -> io::Result<FileSystem> {
    Ok(described(&statfs(path)?))
}

fn described(found: &StatFs) -> FileSystem {
    // All numbers have 32 bits; the field has more on some architectures, and a sign on others.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let (name, shared) = name_and_shared(found.f_type as u32);
    FileSystem { name, shared }
}

/// The systemd manager that started this very process (`SYSTEMD_EXEC_PID`, since systemd 248); none for its children, and for others.
pub(crate) fn supervisor() -> Option<Supervisor> {
    supervisor_if(std::env::var("SYSTEMD_EXEC_PID").ok(), own_unit)
}

fn supervisor_if(
    exec_pid: Option<String>,
    unit: impl FnOnce() -> Option<(String, bool)>,
) -> Option<Supervisor> {
    // A child inherits the variable, with its parent's pid in it.
    exec_pid?.parse().ok().filter(|&pid: &u32| pid == std::process::id())?;
    let (unit, user) = unit().map_or((None, false), |(unit, user)| (Some(unit), user));
    Some(Supervisor { kind: "systemd", unit, user })
}

/// Memory and cpu time of this process: one small file and one clock.
pub(crate) fn self_usage() -> Usage {
    let resident = || {
        // Seven numbers, in one read.
        let mut line = [0; 160];
        let length = File::open("/proc/self/statm").ok()?.read(&mut line).ok()?;
        let mut numbers = std::str::from_utf8(&line[..length]).ok()?.split_ascii_whitespace();
        let pages: u64 = numbers.nth(1)?.parse().ok()?;
        pages.checked_mul(rustix::param::page_size() as u64)
    };
    Usage { rss_bytes: resident(), cpu_time: cpu_time() }
}

/// Tells whether a user id only says that the user has no number in this user namespace (the overflow uid).
///
/// Sources: `user_namespaces(7)`; `/proc/sys/kernel/overflowuid` is 65534 unless somebody changed it. In the first
/// namespace, which maps everything, 65534 is a user like any other.
pub(crate) fn is_nobody_here(uid: u32) -> bool {
    uid == 65534
        && std::fs::read_to_string("/proc/self/uid_map")
            .is_ok_and(|map| map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_boot_has_an_id_and_was_in_the_past() {
        assert_eq!(boot_id().unwrap().len(), 36);
        assert_eq!(boot_id(), boot_id());
        assert!(boot_time().unwrap() < SystemTime::now());
    }

    #[test]
    fn the_state_directory_follows_xdg_then_the_home() {
        let home = || Some(PathBuf::from("/home/u"));
        let dir = |xdg: Option<&str>| state_dir(xdg.map(OsString::from), home).unwrap();
        assert_eq!(dir(Some("/x")), Path::new("/x/gateway"));
        for ignored in [None, Some(""), Some("relative")] {
            assert_eq!(dir(ignored), Path::new("/home/u/.local/state/gateway"));
        }
        assert_eq!(state_dir(None, || None), None);
    }

    #[test]
    fn a_runtime_directory_of_another_user_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let uid = dir.path().metadata().unwrap().uid();
        let given = || Some(dir.path().as_os_str().to_owned());
        assert_eq!(runtime_dir_of(uid, given(), Path::new("/nowhere")), dir.path());
        let stranger = uid + 1;
        assert_eq!(
            runtime_dir_of(stranger, given(), Path::new("/nowhere")),
            PathBuf::from(format!("/tmp/incumbent-{stranger}"))
        );
        let own = dir.path().join(uid.to_string());
        fs::create_dir(&own).unwrap();
        assert_eq!(runtime_dir_of(uid, None, dir.path()), own);
    }

    #[test]
    fn only_what_systemd_started_itself_is_supervised() {
        let pid = std::process::id();
        let unit = || Some(("gateway.service".to_owned(), true));
        let found = supervisor_if(Some(pid.to_string()), unit).unwrap();
        assert_eq!(
            (found.kind, found.unit.as_deref(), found.user),
            ("systemd", Some("gateway.service"), true)
        );
        assert_eq!(supervisor_if(Some((pid + 1).to_string()), unit), None);
        assert_eq!(supervisor_if(Some("x".to_owned()), unit), None);
        assert_eq!(supervisor_if(None, unit), None);
        assert_eq!(supervisor_if(Some(pid.to_string()), || None).unwrap().unit, None);
    }

    #[test]
    fn a_file_system_has_a_name_and_nothing_has_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!file_system(dir.path()).unwrap().name.is_empty());
        assert_eq!(file_system(Path::new("/proc/nobody")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn this_process_uses_some_memory() {
        assert!(self_usage().rss_bytes.unwrap() > 100_000);
        assert!(self_usage().cpu_time.is_some());
    }

    #[test]
    fn proc_is_that_of_this_pid_namespace() {
        assert!(proc_is_ours());
    }
}
