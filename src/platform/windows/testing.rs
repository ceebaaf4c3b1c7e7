//! What tests need of Windows: what can be planted in a directory, and processes to do things to.

use std::{
    ffi::OsString,
    fs,
    os::windows::{
        ffi::OsStringExt as _,
        fs::{symlink_dir, symlink_file},
        io::AsRawHandle as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use windows_sys::Win32::System::Threading::TerminateProcess;

use super::process::KILLED;

/// The code of who was spared and is ended by its test.
const SPARED: u32 = 99;

/// Everything that is not a regular file, each with the words for it; links only where this user may make them (Wine says
/// that it made one, and did not).
pub(crate) fn strange_files(dir: &Path, victim: &Path) -> Vec<(PathBuf, &'static str)> {
    let at = |name: &str| dir.join(name);
    fs::create_dir(at("directory")).unwrap();
    let mut all = vec![(at("directory"), "a directory")];
    for (name, to) in [("link", victim), ("dangling", &at("nothing"))] {
        if symlink_file(to, at(name)).is_ok() && is_link(&at(name)) {
            all.push((at(name), "a symbolic link"));
        }
    }
    all
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_symlink())
}

/// Makes a link to a directory; says whether this system lets this user.
pub(crate) fn link_directory(to: &Path, at: &Path) -> bool {
    symlink_dir(to, at).is_ok() && is_link(at)
}

/// Says whether this user can be kept from reading a file of his own: he can always take it back.
pub(crate) fn make_unreadable(_path: &Path) -> bool {
    false
}

/// A path that is not UTF-16.
pub(crate) fn path_not_utf8() -> PathBuf {
    PathBuf::from(OsString::from_wide(&[0x43, 0x3a, 0x5c, 0x63, 0xd800]))
}

/// What the system answers to who may not.
pub(crate) fn denied() -> std::io::Error {
    std::io::Error::from_raw_os_error(5)
}

/// A process that a test does things to; ended with it.
pub(crate) struct Subject(Child);

/// How one ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Killed,
    Otherwise,
}

/// How one ends by force: there is nothing that it could be asked with.
pub(crate) const ASKED_FIRST: End = End::Killed;

impl Subject {
    /// A shell, which waits for its input.
    pub(crate) fn idle() -> Self {
        let mut command = Command::new("cmd");
        command.arg("/q").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// Doesn't end when it is asked to; nobody is.
    pub(crate) fn stubborn() -> Self {
        Self::idle()
    }

    /// One that has ended.
    pub(crate) fn ended() -> Self {
        let mut process = Self::idle();
        process.kill();
        process.0.wait().unwrap();
        process
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// What is suspended is ended like anything else, and not told apart.
    #[allow(clippy::unused_self)] // elsewhere it is used
    pub(crate) fn suspend(&self) {}

    fn end(&self, code: u32) {
        // SAFETY: the handle is open. What has ended keeps its code.
        unsafe { TerminateProcess(self.0.as_raw_handle(), code) };
    }

    pub(crate) fn kill(&mut self) {
        self.end(KILLED);
    }

    /// Waits for its end.
    pub(crate) fn reap(&mut self) -> End {
        let code = self.0.wait().unwrap().code();
        if code == i32::try_from(KILLED).ok() { End::Killed } else { End::Otherwise }
    }

    /// Whether nothing ended it.
    pub(crate) fn is_untouched(&mut self) -> bool {
        self.end(SPARED);
        self.0.wait().unwrap().code() == i32::try_from(SPARED).ok()
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
