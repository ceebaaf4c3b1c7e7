//! No space left, a read-only directory, paths that are too long: what can be done is done, and said; what cannot be is
//! an error that names it. The mounts need root; without it the tests say that they are left out.
#![cfg(target_os = "linux")] // the file systems are mounted, and filled, as Linux does it
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, unreachable_pub)] // A test fails so.

#[path = "support/mounts.rs"]
mod mounts;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;
#[path = "support/teller.rs"]
mod teller;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use incumbent::Error;
use mounts::Mount;
use program::{Program, WATCHDOG, eventually, instance, lost, won};

#[test]
fn role() {
    let Some((name, dir)) = program::role() else { return };
    match name.as_str() {
        "teller" => teller::teller(&dir),
        other => panic!("no role {other}"),
    }
}

#[test]
fn a_full_file_system_is_a_warning_where_files_are_and_an_error_where_none_can_be_made() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(dir.path(), "mode=0700,size=256k,nr_inodes=20") else { return };
    mount.fill();
    match instance(dir.path()).claim_blocking() {
        Err(error @ Error::Io { .. }) => {
            assert!(error.to_string().contains("a.pid") && error.to_string().contains("no space"), "{error}");
            assert!(!error.is_not_allowed());
        }
        other => panic!("{other:?}"),
    }
    mount.free();
    drop(won(instance(dir.path()).claim_blocking()));

    // The disk is full, but a name can still be made: the socket needs no more.
    let mut filler = fs::File::create(dir.path().join("filler")).unwrap();
    while filler.write_all(&[0; 4096]).is_ok() {}
    let held = won(instance(dir.path()).claim_blocking());
    let seen = instance(dir.path()).inspect_blocking(WATCHDOG).unwrap();
    assert_eq!(seen.instance_id(), Some(held.instance_id()));
    let problem = seen.status().problem.unwrap_or_default();
    assert!(problem.contains("a.json") && problem.to_lowercase().contains("no space"), "{problem}");
    assert_eq!(lost(instance(dir.path()).claim_blocking()).instance_id(), held.instance_id());

    // Freed: the holder goes on, and what could not be written is.
    drop(filler);
    mount.free();
    eventually("nothing is wrong any more", || {
        instance(dir.path()).inspect_blocking(WATCHDOG).unwrap().status().problem.is_none()
    });
    let record = fs::read_to_string(dir.path().join("a.json")).unwrap();
    assert!(record.contains(&held.instance_id().to_string()), "{record}");
    held.release_blocking().unwrap();
    drop(won(instance(dir.path()).claim_blocking()));
}

#[test]
fn a_read_only_directory_can_be_looked_at_and_not_claimed() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mount) = Mount::new(dir.path(), "mode=0700,size=256k") else { return };
    for held_before in [false, true] {
        if held_before {
            mount.remount("rw");
            drop(won(instance(dir.path()).claim_blocking()));
        }
        mount.remount("ro");
        let error = instance(dir.path()).claim_blocking().unwrap_err();
        assert!(!error.is_not_allowed() && !error.is_busy(), "{error}");
        assert!(error.to_string().to_lowercase().contains("read-only file system"), "{error}");
        let seen = instance(dir.path()).inspect_blocking(WATCHDOG).unwrap();
        assert_eq!(seen.state(), incumbent::State::Absent);
    }
    // Below it nothing can be made either.
    let error = instance(&dir.path().join("below")).claim_blocking().unwrap_err();
    assert!(matches!(error, Error::Directory { .. }) && !error.is_not_allowed(), "{error}");
}

/// A directory whose path is so long that no socket address has room for it.
fn long(dir: &Path) -> PathBuf {
    let deep = dir.canonicalize().unwrap().join("d".repeat(150)).join("e".repeat(150));
    assert!(deep.as_os_str().len() > 300);
    deep
}

fn teller(dir: &Path, runtime: &Path, wrapper: &[&str]) -> Program {
    let mut command = Program::under(wrapper, &Program::role_command("teller", dir));
    let mut teller = Program::start(command.env("XDG_RUNTIME_DIR", runtime));
    teller.wait_line("ready");
    teller
}

#[test]
fn a_path_of_three_hundred_characters_works_and_all_find_each_other() {
    let outer = tempfile::tempdir().unwrap();
    let dir = long(outer.path());
    let runtime = |name: &str| {
        let path = outer.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        path
    };
    let (one, two) = (runtime("one"), runtime("two"));
    let mut holder = teller(&dir, &one, &["env"]);
    let won = holder.ask("claim");
    let id = won.strip_prefix("won ").unwrap_or_else(|| panic!("{won}")).split(' ').nth(1).unwrap();
    let refused = format!("lost {:?} {id}", Some(holder.pid()));
    assert_eq!(fs::read_dir(&one).unwrap().count(), 1, "the socket is in the runtime directory");
    assert!(!dir.join("a.sock").exists());

    assert_eq!(teller(&dir, &one, &["env"]).ask("claim"), refused, "by the same path");
    assert_eq!(teller(&dir, &two, &["env"]).ask("claim"), refused, "by the abstract name");
    let other_network = ["unshare", "--net"];
    let can = Program::under(&other_network, &Command::new("true")).status();
    if can.is_ok_and(|status| status.success()) {
        let mut elsewhere = teller(&dir, &two, &other_network);
        assert_eq!(elsewhere.ask("claim"), refused, "by the record alone");
        assert!(elsewhere.ask("inspect").contains(&format!("id={id}")));
    } else {
        eprintln!("left out: `unshare --net` does not work here");
    }
    assert_eq!(holder.ask("release"), "released");
    let next = teller(&dir, &two, &["env"]).ask("claim");
    assert!(next.starts_with("won "), "{next}");
}

#[test]
fn a_path_component_of_three_hundred_characters_is_an_error_that_says_so() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("x".repeat(300)).join("place");
    let error = instance(&dir).claim_blocking().unwrap_err();
    assert!(matches!(error, Error::Directory { .. }) && !error.is_not_allowed(), "{error}");
    assert!(error.to_string().contains("file name too long"), "{error}");
    let error = instance(&dir).inspect_blocking(WATCHDOG).unwrap_err();
    assert!(error.to_string().contains("file name too long"), "{error}");
}
