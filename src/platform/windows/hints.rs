//! The commands that hints name, as `cmd.exe` and PowerShell both take them. Paths come quoted.

/// Who may do everything.
pub const SUPERUSER: &str = "an administrator";

/// What helps when no handle is left.
pub const MORE_FILES: &str = "close other programs or files";

/// Lists the names of a file.
#[must_use]
pub fn lists_names(_: &str, file: &str) -> String {
    format!("fsutil hardlink list {file}")
}

/// Ends a process at once.
#[must_use]
pub fn ends(pid: u32) -> String {
    format!("taskkill /F /PID {pid}")
}

/// Ends processes, which cannot be asked from another console.
#[must_use]
pub fn asks_to_end(pids: &[String]) -> String {
    pids.iter().fold("taskkill /F".to_owned(), |line, pid| format!("{line} /PID {pid}"))
}

/// What is said of those that this process cannot see.
#[must_use]
pub fn names_keepers(_: &str) -> String {
    "it is another user's: sign out as that one, or end it in the Task Manager".to_owned()
}

/// Lets nobody but its owner write to a directory: owner rights, and nothing inherited (`icacls`, "Well-known SIDs").
#[must_use]
pub fn keeps_others_out(dir: &str) -> String {
    format!("icacls {dir} /inheritance:r /grant:r \"*S-1-3-4:(OI)(CI)F\"")
}

/// What shows how much room there is.
#[must_use]
pub fn shows_room(path: &str) -> String {
    format!("`dir {path}` shows how much there is")
}

/// Shows who may do what.
#[must_use]
pub fn shows_access(path: &str) -> String {
    format!("icacls {path}")
}

/// Gives a file another name.
#[must_use]
pub fn moves(from: &str, to: &str) -> String {
    format!("move {from} {to}")
}

/// Whether a process that does not answer can be asked to end: nothing reaches it.
pub const ASKS_THE_SILENT: bool = false;

/// What `stop --help` says of `--force`.
pub const FORCE_HELP: &str = "End one that does not answer, or is still there after its grace, at once";

/// What `run --help` says of `--notify`.
pub const NOTIFY_HELP: &str =
    "Take PROGRAM for ready only when it says so: it writes READY=1 to the pipe that `NOTIFY_SOCKET` names";

/// What `run --help` says of `--watchdog`.
pub const WATCHDOG_HELP: &str = "End PROGRAM when it is hung: when it is ready, and writes no WATCHDOG=1 to the pipe that `NOTIFY_SOCKET` names for DUR (`30s`, `2m`)";
