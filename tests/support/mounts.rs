//! File systems of a test's own, mounted where it says, and unmounted with it.

#![allow(dead_code)] // every test file uses its own part of it

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A file system of the test's own, mounted where it says.
pub struct Mount(PathBuf);

impl Mount {
    /// A tmpfs. None when this user may not mount; it says so.
    pub fn new(at: &Path, options: &str) -> Option<Self> {
        Self::of("a tmpfs", &["mount", "-t", "tmpfs", "-o", options, "none"], at)
    }

    /// What this command mounts, with the place behind its words. None: it says what cannot be mounted here.
    pub fn of(what: &str, command: &[&str], at: &Path) -> Option<Self> {
        let mut mounts = Command::new(command[0]);
        mounts.args(&command[1..]).arg(at).stdin(Stdio::null()).stdout(Stdio::null());
        if nix::unistd::geteuid().is_root() && mounts.status().is_ok_and(|status| status.success()) {
            return Some(Self(at.to_owned()));
        }
        crate::os::left_out(&format!("{what} cannot be mounted here"));
        None
    }

    /// What somebody has mounted there already.
    pub fn there(at: &Path) -> Self {
        Self(at.to_owned())
    }

    pub fn remount(&self, options: &str) {
        let remounted =
            Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status();
        assert!(remounted.expect("mount").success());
    }

    /// Writes until nothing more goes in, and nothing more can be made.
    pub fn fill(&self) {
        for number in 0.. {
            let Ok(mut file) = fs::File::create(self.0.join(format!("filler{number}"))) else { return };
            while file.write_all(&[0; 4096]).is_ok() {}
        }
    }

    pub fn free(&self) {
        for entry in fs::read_dir(&self.0).expect("it is there") {
            let path = entry.expect("an entry").path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("filler")) {
                fs::remove_file(path).expect("it can be removed");
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).stderr(Stdio::null()).status();
    }
}
