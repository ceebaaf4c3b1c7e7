//! File systems that are not what they should be: without locks, FUSE, overlay, bound elsewhere, without execution,
//! read-only or gone under a living holder, and one that does not answer. The status is true, the code is the documented
//! one, the sentence names what is wrong, and nobody is let in beside a holder. What cannot be mounted is left out aloud.
#![cfg(target_os = "linux")] // mounted as Linux does it
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, unreachable_pub)] // A test fails so.

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/mounts.rs"]
mod mounts;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use gateway::{Ended, PROGRAM, Running};
use mounts::Mount;
use nix::errno::Errno;
use program::eventually;

fn start(dir: &Path, words: &[&str]) -> Running {
    Running::start(&mut gateway(dir, words))
}

fn ask(dir: &Path, words: &[&str]) -> Ended {
    start(dir, words).end()
}

fn gateway(dir: &Path, words: &[&str]) -> Command {
    let mut command = os::gateway(PROGRAM);
    command.env_remove("GATEWAY_NAME").env("GATEWAY_DIR", dir).args(words);
    command
}

fn hold(dir: &Path, words: &[&str]) -> Running {
    let holder = start(dir, words);
    holder.says("holding ");
    holder
}

fn directory(at: &Path) -> PathBuf {
    fs::create_dir_all(at).unwrap();
    fs::set_permissions(at, fs::Permissions::from_mode(0o700)).unwrap();
    at.to_owned()
}

/// It holds, is found, keeps others out, and when it is killed the next one gets in.
#[track_caller]
fn is_a_place_like_any_other(dir: &Path, what: &str) {
    let holder = hold(dir, &["run"]);
    is_held_by(&holder, dir, what);
    let killed = holder.kill();
    assert_eq!(killed.status.code(), None, "{what}");
    let seen = ask(dir, &["status"]);
    assert_eq!(seen.code(), 1, "{what}: {seen:?}");
    let next = ask(dir, &["run", "--", "true"]);
    assert_eq!(next.code(), 0, "{what}: {next:?}");
    let holder = hold(dir, &["run"]);
    let next = hold(dir, &["run", "--replace"]);
    assert_eq!(holder.end().code(), 0, "{what}");
    let stopped = ask(dir, &["stop"]);
    assert_eq!(stopped.code(), 0, "{what}: {stopped:?}");
    assert_eq!(next.end().code(), 0, "{what}");
}

#[track_caller]
fn is_held_by(holder: &Running, dir: &Path, what: &str) {
    let seen = ask(dir, &["status", "--json"]);
    assert_eq!(seen.code(), 0, "{what}: {seen:?}");
    let pid = format!("\"pid\":{}", holder.pid());
    assert!(seen.stdout.contains(&pid), "{what}: {seen:?}");
    let refused = ask(dir, &["run"]);
    assert_eq!(refused.code(), 75, "{what}: {refused:?}");
    assert!(refused.stderr.contains(&format!("pid {}", holder.pid())), "{what}: {refused:?}");
}

/// What makes a file system without locks of any, for a program that is started with it. None: it cannot be built here.
fn without_locks(outer: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/no_locks.c");
    let built = outer.join("no_locks.so");
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-o"]).arg(&built).arg(source).arg("-ldl");
    if compile.status().is_ok_and(|status| status.success()) {
        return Some(built);
    }
    os::left_out("a file system without locks: `cc` cannot build one here");
    None
}

#[test]
fn a_file_system_without_locks_is_refused_and_a_living_holder_is_found_there_all_the_same() {
    let outer = tempfile::tempdir().unwrap();
    let Some(library) = without_locks(outer.path()) else { return };
    for error in [Errno::ENOLCK, Errno::ENOSYS, Errno::EOPNOTSUPP, Errno::EINVAL] {
        let dir = directory(&outer.path().join(error.to_string()));
        let there = |words: &[&str]| {
            let mut command = gateway(&dir, words);
            command.env("LD_PRELOAD", &library).env("NO_LOCKS", (error as i32).to_string());
            Running::start(&mut command).end()
        };
        let seen = there(&["status"]);
        assert_eq!(seen.code(), 3, "{error}: nothing is there yet: {seen:?}");
        for words in [&["run", "--", "true"][..], &["run", "--replace", "--force", "--", "true"]] {
            let refused = there(words);
            assert_eq!(refused.code(), 73, "{error}: {words:?}: {refused:?}");
            assert!(refused.stderr.contains("no record locks"), "{error}: {words:?}: {refused:?}");
            assert!(refused.stderr.contains("gateway.pid"), "{error}: {words:?}: {refused:?}");
        }
        for (words, code) in [(&["status"][..], 4), (&["doctor"], 4), (&["stop"], 75)] {
            let seen = there(words);
            assert_eq!(seen.code(), code, "{error}: {words:?}: {seen:?}");
            let said = format!("{}{}", seen.stdout, seen.stderr);
            assert!(
                said.contains("no record locks") && said.contains("--dir"),
                "{error}: {words:?}: {seen:?}"
            );
        }
        // A pong outranks what cannot be asked for.
        let holder = hold(&dir, &["run"]);
        let seen = there(&["status"]);
        assert_eq!(seen.code(), 0, "{error}: {seen:?}");
        let refused = there(&["run"]);
        assert_eq!(refused.code(), 75, "{error}: {refused:?}");
        assert!(refused.stderr.contains(&format!("pid {}", holder.pid())), "{error}: {refused:?}");
        let stopped = there(&["stop", "--grace", "2s"]);
        assert_eq!(holder.end().code(), 0, "{error}: it was asked: {stopped:?}");
    }
}

#[test]
fn fuse_and_overlay_and_mounts_without_execution_are_places_like_any_other() {
    let outer = tempfile::tempdir().unwrap();
    let at = |name: &str| directory(&outer.path().join(name));
    let (real, upper, work) = (at("real"), at("upper"), at("work"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (fuse, overlay, bare) = (at("fuse"), at("overlay"), at("bare"));
    let layers = format!("lowerdir={},upperdir={},workdir={}", text(&real), text(&upper), text(&work));
    let mounts = [
        ("fuse (bindfs)", Mount::of("fuse (bindfs)", &["bindfs", &text(&real)], &fuse), fuse),
        (
            "overlay",
            Mount::of("an overlay", &["mount", "-t", "overlay", "-o", &layers, "none"], &overlay),
            overlay,
        ),
        ("noexec", Mount::new(&bare, "mode=0700,noexec,nosuid,nodev"), bare),
    ];
    for (what, mount, at) in &mounts {
        if mount.is_some() {
            is_a_place_like_any_other(&directory(&at.join("place")), what);
        }
    }
}

#[test]
fn a_directory_that_is_mounted_elsewhere_too_is_one_instance() {
    let outer = tempfile::tempdir().unwrap();
    let (real, other) = (directory(&outer.path().join("real")), directory(&outer.path().join("other")));
    let Some(_mount) = Mount::of("a bind mount", &["mount", "--bind", real.to_str().unwrap()], &other) else {
        return;
    };
    let holder = hold(&real, &["run"]);
    is_held_by(&holder, &other, "by its other path");
    // Also when the socket there does not answer for it: it has the lock.
    fs::remove_file(real.join("gateway.sock")).unwrap();
    is_held_by(&holder, &real, "without its socket");
    eventually("it is back", || real.join("gateway.sock").exists());
    let stopped = ask(&other, &["stop"]);
    assert_eq!(stopped.code(), 0, "{stopped:?}");
    assert_eq!(holder.end().code(), 0);
}

/// An ext4 of its own, which its kernel makes read-only at the first error, and the file that makes such an error.
fn fragile(outer: &Path, at: &Path) -> Option<(Mount, PathBuf)> {
    let image = outer.join("image");
    fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-O", "^has_journal"]).arg(&image).status();
    if !made.is_ok_and(|made| made.success()) {
        os::left_out("a file system that becomes read-only: there is no mkfs.ext4");
        return None;
    }
    let image = image.to_str().unwrap().to_owned();
    let mount = Mount::of("an ext4", &["mount", "-o", "loop,errors=remount-ro", &image], at)?;
    let mounted = fs::read_to_string("/proc/self/mounts").unwrap();
    let device = mounted.lines().find_map(|line| {
        let (device, rest) = line.split_once(' ')?;
        (rest.split(' ').next() == at.to_str()).then(|| device.trim_start_matches("/dev/").to_owned())
    });
    let trigger = Path::new("/sys/fs/ext4").join(device.unwrap()).join("trigger_fs_error");
    if !trigger.exists() {
        os::left_out("a file system that becomes read-only: the kernel makes no such error");
        return None;
    }
    Some((mount, trigger))
}

#[test]
fn a_holder_whose_file_system_becomes_read_only_holds_on_says_so_and_can_be_stopped() {
    let outer = tempfile::tempdir().unwrap();
    let at = directory(&outer.path().canonicalize().unwrap().join("at"));
    let Some((_mount, trigger)) = fragile(outer.path(), &at) else { return };
    let dir = directory(&at.join("place"));
    let before = hold(&dir, &["run"]);
    let holder = hold(&dir, &["run", "--replace"]);
    assert_eq!(before.end().code(), 0);
    let _ = fs::write(&trigger, "1"); // it fails, as everything that is written from now on
    assert!(fs::write(at.join("more"), "text").is_err(), "it is read-only");

    is_held_by(&holder, &dir, "read-only");
    let refused = ask(&dir, &["run", "--replace", "--grace", "2s", "--", "true"]);
    assert_eq!(refused.code(), 73, "{refused:?}");
    assert!(refused.stderr.to_lowercase().contains("read-only file system"), "{refused:?}");
    is_held_by(&holder, &dir, "after a takeover that could not be");
    let stopped = ask(&dir, &["stop"]);
    assert_eq!(stopped.code(), 0, "{stopped:?}");
    let ended = holder.end();
    assert_eq!(ended.code(), 0, "{ended:?}");
    assert!(
        ended.stderr.to_lowercase().contains("read-only file system"),
        "it says what is missing: {ended:?}"
    );
    let refused = ask(&dir, &["run", "--", "true"]);
    assert_eq!(refused.code(), 73, "{refused:?}");
    assert!(refused.stderr.to_lowercase().contains("read-only file system"), "{refused:?}");
    // That it released could not be written: what is left reads like a crash, and nobody is there.
    let seen = ask(&dir, &["status"]);
    assert_eq!(seen.code(), 1, "{seen:?}");
}

#[test]
fn a_holder_whose_file_system_is_unmounted_stays_the_only_one_and_finds_its_path_again() {
    let outer = tempfile::tempdir().unwrap();
    let at = directory(&outer.path().join("at"));
    let Some(mount) = Mount::new(&at, "mode=0700") else { return };
    let holder = hold(&at, &["run"]);
    drop(mount); // lazily: what is open stays open
    // Now the path leads to the directory below: the abstract name answers, and the next tick heals.
    is_held_by(&holder, &at, "unmounted");
    eventually("its files are back", || at.join("gateway.sock").exists());
    is_held_by(&holder, &at, "healed");
    let stopped = ask(&at, &["stop"]);
    assert_eq!(stopped.code(), 0, "{stopped:?}");
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn a_file_system_that_does_not_answer_is_said_in_time_and_its_holder_is_there_when_it_does_again() {
    let outer = tempfile::tempdir().unwrap();
    let (real, at) = (directory(&outer.path().join("real")), directory(&outer.path().join("at")));
    let Some(it_can_be) = Mount::of("fuse (bindfs)", &["bindfs", real.to_str().unwrap()], &at) else {
        return;
    };
    drop(it_can_be);
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    let before = device(&at);
    let server = Running::start(Command::new("bindfs").arg("-f").args([&real, &at]));
    eventually("it is mounted", || device(&at) != before);
    let _mount = Mount::there(&at);
    let dir = directory(&at.join("place"));
    let holder = hold(&dir, &["run"]);
    server.stop();
    let asked = [
        (&["status", "--json", "--timeout", "1s"][..], 4),
        (&["ping", "-c", "1", "--timeout", "1s"], 4),
        (&["doctor"], 4),
        (&["history"], 4),
        (&["stop"], 75),
        (&["run", "--", "true"], 73),
        (&["run", "--replace", "--force", "--", "true"], 73),
    ];
    let seen: Vec<(_, Ended)> = asked.iter().map(|(words, code)| ((words, code), ask(&dir, words))).collect();
    server.resume();
    for ((words, code), seen) in seen {
        assert_eq!(seen.code(), *code, "{words:?}: {seen:?}");
        assert!(
            seen.stderr.contains("does not answer") && seen.stderr.contains("place"),
            "{words:?}: {seen:?}"
        );
    }
    is_held_by(&holder, &dir, "when it answers again");
    let stopped = ask(&dir, &["stop"]);
    assert_eq!(stopped.code(), 0, "{stopped:?}");
    assert_eq!(holder.end().code(), 0);
}
