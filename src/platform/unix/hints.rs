//! The commands that hints name, as they are typed into a shell. Paths come quoted.

/// Who may do everything.
pub const SUPERUSER: &str = "root";

/// What helps when no descriptor is left.
pub const MORE_FILES: &str = "raise what `ulimit -n` says, or close other files";

/// Lists the names of a file.
#[must_use]
pub fn lists_names(dir: &str, file: &str) -> String {
    format!("find {dir} -samefile {file}")
}

/// Ends a process at once.
#[must_use]
pub fn ends(pid: u32) -> String {
    format!("kill -KILL {pid}")
}

/// Asks processes to end.
#[must_use]
pub fn asks_to_end(pids: &[String]) -> String {
    format!("kill {}", pids.join(" "))
}

/// What names those who keep a file that this process cannot see.
#[must_use]
pub fn names_keepers(path: &str) -> String {
    format!("`fuser -v {path}`, as root and outside of a container, names it")
}

/// Lets nobody but its owner write to a directory.
#[must_use]
pub fn keeps_others_out(dir: &str) -> String {
    format!("chmod go-w {dir}")
}

/// What shows how much room there is.
#[must_use]
pub fn shows_room(path: &str) -> String {
    // The system does not say which of the two it is.
    format!("`df {path}` shows how much there is, `df -i {path}` for how many files")
}

/// Shows who may do what.
#[must_use]
pub fn shows_access(path: &str) -> String {
    format!("ls -ld {path}")
}

/// Gives a file another name.
#[must_use]
pub fn moves(from: &str, to: &str) -> String {
    format!("mv {from} {to}")
}

/// Whether a process that does not answer can be asked to end.
pub const ASKS_THE_SILENT: bool = true;

/// What `stop --help` says of `--force`.
pub const FORCE_HELP: &str =
    "End one that does not answer, or is still there after its grace: SIGTERM, and SIGKILL after the grace";

/// What `run --help` says of `--notify`.
pub const NOTIFY_HELP: &str =
    "Take PROGRAM for ready only when it says so: READY=1 at `$NOTIFY_SOCKET`, as in `sd_notify(3)`";

/// What `run --help` says of `--watchdog`.
pub const WATCHDOG_HELP: &str = "End PROGRAM with SIGABRT when it is hung: when it is ready, and says no WATCHDOG=1 (`sd_notify(3)`) for DUR (`30s`, `2m`)";
