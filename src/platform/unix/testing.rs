//! What tests need of a Unix: what can be planted in a directory, and processes to do things to.

use std::{
    ffi::OsString,
    fs,
    io::{BufRead as _, BufReader},
    os::unix::{
        ffi::OsStringExt as _,
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
        process::ExitStatusExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// Everything that is not a regular file, each with the words for it; the link leads to `victim`.
pub(crate) fn strange_files(dir: &Path, victim: &Path) -> Vec<(PathBuf, &'static str)> {
    let at = |name: &str| dir.join(name);
    fs::create_dir(at("directory")).unwrap();
    symlink(victim, at("link")).unwrap();
    symlink(dir.join("nothing"), at("dangling")).unwrap();
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    drop(UnixListener::bind(at("socket")).unwrap());
    vec![
        (at("directory"), "a directory"),
        (at("link"), "a symbolic link"),
        (at("dangling"), "a symbolic link"),
        (at("fifo"), "a FIFO"),
        (at("socket"), "a socket"),
    ]
}

/// Makes a link to a directory; says whether this system lets this user.
pub(crate) fn link_directory(to: &Path, at: &Path) -> bool {
    symlink(to, at).unwrap();
    true
}

/// Takes every permission away; says whether that keeps this user out (it does not keep root out).
pub(crate) fn make_unreadable(path: &Path) -> bool {
    fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
    fs::File::open(path).is_err()
}

/// A path that is not UTF-8.
pub(crate) fn path_not_utf8() -> PathBuf {
    PathBuf::from(OsString::from_vec(b"/srv/caf\xe9".to_vec()))
}

/// What the system answers to who may not.
pub(crate) fn denied() -> std::io::Error {
    std::io::Error::from_raw_os_error(nix::libc::EACCES)
}

/// A process that a test does things to; ended and reaped with it.
pub(crate) struct Subject(Child);

/// How one ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Asked,
    Killed,
    Otherwise,
}

/// How one ends by force that would listen: it is asked first.
pub(crate) const ASKED_FIRST: End = End::Asked;

impl Subject {
    fn start(command: &mut Command) -> Self {
        Self(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    /// Ends as soon as it is asked to.
    pub(crate) fn idle() -> Self {
        Self::start(Command::new("sleep").arg("1000"))
    }

    /// Doesn't end when it is asked to; has said that it won't.
    pub(crate) fn stubborn() -> Self {
        let mut process =
            Self::start(Command::new("sh").args(["-c", "trap '' TERM; echo deaf; exec sleep 1000"]));
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "deaf\n");
        process
    }

    /// One that has ended, and of which nothing is left.
    pub(crate) fn ended() -> Self {
        let mut process = Self::start(&mut Command::new("true"));
        process.0.wait().unwrap();
        process
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    fn raw(&self) -> Pid {
        Pid::from_raw(self.pid().try_into().unwrap())
    }

    /// Suspends it, and waits until it is.
    pub(crate) fn suspend(&self) {
        kill(self.raw(), Signal::SIGSTOP).unwrap();
        let status = waitpid(self.raw(), Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert_eq!(status, WaitStatus::Stopped(self.raw(), Signal::SIGSTOP));
    }

    pub(crate) fn kill(&mut self) {
        self.0.kill().unwrap();
    }

    /// Waits for its end, and lets nothing be left of it.
    pub(crate) fn reap(&mut self) -> End {
        match self.0.wait().unwrap().signal() {
            Some(signal) if signal == Signal::SIGTERM as i32 => End::Asked,
            Some(signal) if signal == Signal::SIGKILL as i32 => End::Killed,
            _ => End::Otherwise,
        }
    }

    /// Whether nothing ends it: neither has it, nor will anything that was already sent.
    pub(crate) fn is_untouched(&mut self) -> bool {
        // One that was sent before this would be the cause of death: of several that wait, the lowest number comes first.
        kill(self.raw(), Signal::SIGVTALRM).unwrap();
        self.0.wait().unwrap().signal() == Some(Signal::SIGVTALRM as i32)
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_stopped_process_is_shown_as_stopped() {
    use crate::process::{Process, ProcessState};
    let process = Subject::idle();
    process.suspend();
    assert_eq!(Process::of(process.pid()).unwrap().map(|it| it.state), Some(ProcessState::Stopped));
}

#[test]
fn a_program_with_an_awkward_name_is_shown_whole() {
    use crate::process::{Process, ProcessState};
    use std::io::{Read as _, Write as _};
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("a) b (c");
    let cat = ["/bin/cat", "/usr/bin/cat"].into_iter().find(|path| Path::new(path).exists()).unwrap();
    symlink(cat, &program).unwrap();
    let mut child = Subject::start(Command::new(&program).args(["-u", "-"]));
    // A started process has its command line only a moment later: once it echoes, it has.
    child.0.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    child.0.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let process = Process::of(child.pid()).unwrap().unwrap();
    assert_eq!(process.name, "a) b (c");
    assert_eq!(process.command, [program.as_os_str(), "-u".as_ref(), "-".as_ref()]);
    assert_eq!(process.state, ProcessState::Running);
}
