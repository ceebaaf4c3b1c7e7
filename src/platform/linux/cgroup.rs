//! What `/proc/PID/cgroup` leads to: whether the process is frozen, and which systemd unit it is.
//!
//! A frozen process (`systemctl freeze`, `docker pause`) can't answer, and shows no sign of it in its state. Both hierarchies are known:
//! `cgroup.events` of version 2 (kernel: `Documentation/admin-guide/cgroup-v2.rst`), `freezer.state` of version 1
//! (`cgroup-v1/freezer-subsystem.rst`). What can't be read is not frozen.
#![allow(clippy::case_sensitive_file_extension_comparisons)] // Units are no files.

use std::fs;

use super::system::proc_is_ours;

/// A hierarchy's controllers (empty in version 2) and the process's path in it, as in `0::/user.slice`, `4:freezer:/x`.
fn hierarchies(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'))
}

/// Whether the process's cgroup, or one above it, is frozen. Up to four small files: only for a process that doesn't answer.
pub(crate) fn is_frozen(pid: u32) -> bool {
    if !proc_is_ours() {
        return false;
    }
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/cgroup")) else {
        return false;
    };
    hierarchies(&text).any(|(controllers, path)| {
        let reads = |file: &str, line: &str| {
            fs::read_to_string(file).is_ok_and(|text| text.lines().any(|it| it == line))
        };
        if controllers.is_empty() {
            // The second place is where systemd mounts version 2 beside version 1.
            ["", "/unified"]
                .iter()
                .any(|mount| reads(&format!("/sys/fs/cgroup{mount}{path}/cgroup.events"), "frozen 1"))
        } else {
            controllers == "freezer"
                && reads(&format!("/sys/fs/cgroup/freezer{path}/freezer.state"), "FROZEN")
        }
    })
}

/// The unit that this process is in, and whether it is one of the user's manager.
pub(super) fn own_unit() -> Option<(String, bool)> {
    unit_of_text(&fs::read_to_string("/proc/self/cgroup").ok()?)
}

/// The unit that a process is in, as for this one. Reads one small file of `/proc`.
pub(crate) fn unit_of(pid: u32) -> Option<(String, bool)> {
    unit_of_text(&proc_is_ours().then(|| fs::read_to_string(format!("/proc/{pid}/cgroup")).ok())??)
}

fn unit_of_text(text: &str) -> Option<(String, bool)> {
    // In a mixed setup systemd's own hierarchy is the named one of version 1.
    let path = |wanted: &str| {
        hierarchies(text).find(|(controllers, _)| *controllers == wanted).map(|(_, path)| path)
    };
    ["name=systemd", ""].iter().find_map(|wanted| unit_in(path(wanted)?))
}

/// The unit in a cgroup's path: the first component that is no slice, in what lies below `user@UID.service` if there is anything
/// (systemd: `cg_path_get_unit`, `cg_path_get_user_unit` in `src/basic/cgroup-util.c`).
fn unit_in(path: &str) -> Option<(String, bool)> {
    let mut parts = path.split('/').filter(|part| !part.is_empty() && !part.ends_with(".slice"));
    let system = unit_name(parts.next()?)?;
    if !(system.starts_with("user@") && system.ends_with(".service")) {
        return Some((system.to_owned(), false));
    }
    match parts.next() {
        // The user's manager itself and what it keeps to itself (`init.scope`) are one unit of the system.
        None | Some("init.scope") => Some((system.to_owned(), false)),
        Some(part) => Some((unit_name(part)?.to_owned(), true)),
    }
}

/// systemd puts `_` before a name that the kernel would take for a file of its own.
fn unit_name(part: &str) -> Option<&str> {
    let name = part.strip_prefix('_').unwrap_or(part);
    let is_unit = [".service", ".scope"].iter().any(|kind| name.len() > kind.len() && name.ends_with(kind));
    is_unit.then_some(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use super::*;

    #[test]
    fn units_of_both_managers_are_found() {
        let unit = |path| unit_in(path).map(|(unit, user)| format!("{unit} {user}"));
        assert_eq!(unit("/system.slice/gateway.service").as_deref(), Some("gateway.service false"));
        assert_eq!(
            unit("/system.slice/system-gw.slice/gw@1.service/payload").as_deref(),
            Some("gw@1.service false")
        );
        assert_eq!(
            unit("/user.slice/user-1000.slice/user@1000.service/app.slice/gateway.service").as_deref(),
            Some("gateway.service true")
        );
        assert_eq!(
            unit("/user.slice/user-1000.slice/session-3.scope").as_deref(),
            Some("session-3.scope false")
        );
        assert_eq!(
            unit("/user.slice/user-1000.slice/user@1000.service/init.scope").as_deref(),
            Some("user@1000.service false")
        );
        assert_eq!(unit("/system.slice/_cgroup.service").as_deref(), Some("cgroup.service false"));
    }

    #[test]
    fn a_path_without_a_unit_has_none() {
        for path in [
            "",
            "/",
            "/docker/4242",
            "/../..",
            "/system.slice",
            "/.service",
            "/user.slice/user@1.service/app.slice/x",
        ] {
            assert_eq!(unit_in(path), None, "{path}");
        }
    }

    #[test]
    fn lines_of_both_versions_are_split() {
        let text = "12:freezer:/a:b\n1:name=systemd:/x.service\n0::/y\nnonsense\n";
        let all: Vec<_> = hierarchies(text).collect();
        assert_eq!(all, [("freezer", "/a:b"), ("name=systemd", "/x.service"), ("", "/y")]);
    }

    #[test]
    fn this_process_runs_so_it_is_not_frozen() {
        assert!(!is_frozen(std::process::id()));
        assert!(!is_frozen(u32::MAX));
    }
}
