//! Under Wine a process of Windows is one of Unix, too, and can be ended as such.

use std::process::{Command, Stdio};

use super::os;

/// The one process of Unix that was started with these words; the program is known by its file's name.
pub(crate) fn unix_pid(program: &str, args: &[String]) -> String {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("Z:\\proc").unwrap().flatten() {
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).trim_end_matches('\0').to_owned();
        let words: Vec<&str> = line.split('\0').collect();
        let file = words[0].rsplit(['/', '\\']).next().unwrap_or_default().to_lowercase();
        if file.trim_end_matches(".exe") == program && words[1..] == *args {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    let [pid] = &found[..] else { panic!("not one process of Unix is {program} {args:?}, but {found:?}") };
    pid.clone()
}

/// `kill -9`, as Unix does it. Wine's `start` runs it: who starts a program of Unix himself is given handles that are none,
/// and closes somebody else's with them.
pub(crate) fn kill_9(unix_pid: &str) {
    let mut start = Command::new("start");
    start.args(["/wait", "/unix", "/bin/kill", "-9", unix_pid]).stdin(Stdio::null()).stdout(Stdio::null());
    assert!(os::spawn(&mut start).wait().unwrap().success());
}
