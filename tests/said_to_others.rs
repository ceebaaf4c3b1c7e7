//! What the commands say to other users: that they may not, who may, and nothing that they cannot know. For root only,
//! who can become another user.

#![cfg(unix)] // the other users are played by root
#![allow(clippy::unwrap_used, reason = "a test fails so")]

mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use support::{Player, directory, told};

#[test]
fn role() {
    support::play();
}

#[test]
fn a_directory_that_may_not_be_read_is_not_one_with_nobody() {
    if !nix::unistd::geteuid().is_root() {
        return; // only root can become another user
    }
    let dir = directory();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let _holder = Player::holder(dir.path(), "a");
    // For somebody else there is no way to the program where it is built.
    let bin = directory();
    fs::set_permissions(bin.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = bin.path().join("gateway");
    copy_program(&copy);
    for args in
        [&["status"][..], &["status", "--json"], &["status", "--all"], &["doctor"], &["history"], &["ping"]]
    {
        let mut command = std::process::Command::new(&copy);
        command.arg("--dir").arg(dir.path()).args(args).uid(65534).gid(65534);
        let (code, out, err) = told(&mut command);
        assert_eq!((code, out.as_str()), (77, ""), "{args:?}: {err}");
        assert!(err.starts_with("gateway: ") && err.contains("\nhint: "), "{err}");
    }
}

/// Copies the program, in another process: a descriptor that writes to it would be inherited by whatever another test
/// starts at that moment, and the program could not be run as long as that has not begun (`ETXTBSY`).
fn copy_program(to: &Path) {
    let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_gateway")).arg(to).status().unwrap();
    assert!(copied.success());
}

/// A directory that others may look into, of this user, with a holder in it of the same user; for root only.
struct Theirs {
    dir: tempfile::TempDir,
    program: PathBuf,
    holder: Option<Child>,
}

const OWNER: u32 = 54321;
const STRANGER: u32 = 65534;

impl Theirs {
    fn new() -> Option<Self> {
        if !nix::unistd::geteuid().is_root() {
            return None; // only root can become another user
        }
        let dir = directory();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        // For somebody else there is no way to the program where it is built.
        let program = dir.path().join("gateway");
        copy_program(&program);
        let instance = dir.path().join("d");
        fs::create_dir(&instance).unwrap();
        fs::set_permissions(&instance, fs::Permissions::from_mode(0o755)).unwrap();
        chown(&instance, Some(OWNER), Some(OWNER)).unwrap();
        let mut theirs = Self { dir, program, holder: None };
        let mut run = theirs.as_user(OWNER, &["run"]);
        let mut holder =
            run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stderr.take().unwrap()).read_line(&mut line).unwrap();
        theirs.holder = Some(holder);
        assert!(line.starts_with("holding "), "{line}");
        Some(theirs)
    }

    fn as_user(&self, user: u32, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--dir").arg(self.dir.path().join("d")).args(args).uid(user).gid(user).arg0("gateway");
        command
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        if let Some(holder) = &mut self.holder {
            let _ = holder.kill();
            let _ = holder.wait();
        }
    }
}

#[test]
fn another_user_is_told_at_once_who_may_and_nothing_is_announced() {
    let Some(theirs) = Theirs::new() else { return };
    let commands: [&[&str]; 5] =
        [&["stop"], &["stop", "--force"], &["wait", "--gone"], &["wait", "--ready"], &["history"]];
    for args in commands {
        let (code, out, err) = told(&mut theirs.as_user(STRANGER, args));
        assert_eq!((code, out.as_str()), (77, ""), "{args:?}: {err}");
        assert!(err.contains("hint: run it as the owner (uid 54321) or as root"), "{args:?}: {err}");
        assert!(!err.contains("SIGTERM") && !err.contains("nobody has held"), "{args:?}: {err}");
    }
    for args in [&["status"][..], &["ping", "-c", "1"], &["send", "x"], &["doctor"]] {
        assert_eq!(told(&mut theirs.as_user(STRANGER, args)).0, 4, "{args:?}");
    }
}

#[test]
fn another_users_doctor_does_not_contradict_itself() {
    let Some(theirs) = Theirs::new() else { return };
    let (_, out, _) = told(&mut theirs.as_user(STRANGER, &["doctor"]));
    let record = out.lines().find(|line| line.starts_with("record")).unwrap();
    assert!(record.contains("may not read") && !record.contains("stops nobody"), "{out}");
    // He may not even ask the kernel about the locks, so that nothing is proven to him, and nothing is claimed.
    assert!(out.contains("\nverdict: can't tell\ncannot tell whether `gateway` is running"), "{out}");
    assert!(!out.contains("it holds the instance"), "{out}");
}

/// The program as this user starts it who has set nothing but, perhaps, a home.
fn bare(program: &Path, user: u32, home: Option<&str>, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.env_clear().args(args).uid(user).gid(user).current_dir(program.parent().unwrap());
    command.envs(home.map(|home| ("HOME", home)));
    command
}

/// A directory with the program in it, in which everybody may do what they like.
fn commons() -> Option<(tempfile::TempDir, PathBuf)> {
    if !nix::unistd::geteuid().is_root() {
        return None; // only root can become another user
    }
    let dir = directory();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let program = dir.path().join("gateway");
    copy_program(&program);
    Some((dir, program))
}

#[test]
fn a_user_without_a_home_is_told_so_and_no_other_directory_is_taken() {
    let Some((dir, program)) = commons() else { return };
    for home in [None, Some(""), Some("relative")] {
        for args in [&["run"][..], &["status"], &["stop"]] {
            let (code, out, err) = told(&mut bare(&program, OWNER, home, args));
            assert_eq!((code, out.as_str()), (73, ""), "{args:?}: {err}");
            assert!(err.contains("home directory of this user is not known"), "{args:?}: {err}");
            assert!(err.contains("hint: name the directory with --dir"), "{args:?}: {err}");
        }
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing was made");
}

#[test]
fn two_users_with_the_same_default_name_hold_side_by_side() {
    let Some((dir, program)) = commons() else { return };
    let home = |user: u32| {
        let home = dir.path().join(user.to_string());
        fs::create_dir(&home).unwrap();
        chown(&home, Some(user), Some(user)).unwrap();
        home.into_os_string().into_string().unwrap()
    };
    let mut holders: Vec<(u32, String, Killed)> = Vec::new();
    for user in [OWNER, STRANGER] {
        let home = home(user);
        let mut run = bare(&program, user, Some(&home), &["run"]);
        let run = run.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut holder = Killed(run.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(holder.0.stderr.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("holding `gateway` in "), "{line}");
        holders.push((user, home, holder));
    }
    let is_own = |(user, home, holder): &(u32, String, Killed)| {
        let (code, out, err) = told(&mut bare(&program, *user, Some(home), &["status", "--json"]));
        assert!(code == 0 && out.contains(&format!("\"pid\":{},", holder.0.id())), "{out}{err}");
    };
    holders.iter().for_each(is_own);
    let (user, home, first) = &mut holders[0];
    assert_eq!(told(&mut bare(&program, *user, Some(home), &["stop"])).0, 0);
    assert_eq!(first.0.wait().unwrap().code(), Some(0));
    is_own(&holders[1]);
}

/// Killed and reaped with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
