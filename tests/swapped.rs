//! A directory that is swapped for another by a rename, again and again, while it is claimed, looked at and released:
//! there is one holder at a time all the same; and what root makes in a user's directory never gives that user anything
//! of root's, wherever the path leads meanwhile.
#![cfg(target_os = "linux")] // `RENAME_EXCHANGE`
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, unreachable_pub)] // A test fails so.

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;
#[path = "support/stand_in.rs"]
mod stand_in;
#[path = "support/users.rs"]
mod users;

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use gateway::{PROGRAM, Running};
use program::{orders, tell};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use users::{OWNER, Town, owners};

#[test]
fn role() {
    let Some((name, dir)) = program::role() else { return };
    match name.as_str() {
        "swapper" => swapper(&dir),
        other => panic!("no role {other}"),
    }
}

#[test]
fn stand_in() {
    stand_in::play();
}

fn exchange(one: &Path, other: &Path) {
    renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).unwrap();
}

/// Swaps `state` and `other` of a directory until it is told to end.
fn swapper(dir: &Path) {
    static OVER: AtomicBool = AtomicBool::new(false);
    let dir = dir.to_owned();
    tell("ready");
    let swapping = std::thread::spawn(move || {
        let mut times = 0;
        while !OVER.load(Ordering::Relaxed) || times % 2 == 1 {
            exchange(&dir.join("state"), &dir.join("other"));
            times += 1;
            std::thread::yield_now();
        }
        times
    });
    orders().next();
    OVER.store(true, Ordering::Relaxed);
    tell(format!("swapped: {} times", swapping.join().unwrap()));
}

fn gateway(dir: &Path, cwd: &Path, words: &[String]) -> Running {
    let mut command = os::gateway(PROGRAM);
    command.env_remove("GATEWAY_NAME").env("GATEWAY_DIR", dir).args(words).current_dir(cwd);
    Running::start(&mut command)
}

fn private(at: &Path) -> PathBuf {
    fs::create_dir_all(at).unwrap();
    fs::set_permissions(at, fs::Permissions::from_mode(0o700)).unwrap();
    at.to_owned()
}

#[test]
fn a_directory_that_is_swapped_all_the_time_never_makes_two_holders() {
    let outer = tempfile::tempdir().unwrap();
    let dir = private(&outer.path().join("state"));
    private(&outer.path().join("other"));
    let mut swapper = program::Program::role("swapper", outer.path());
    swapper.wait_line("ready");
    let [won, refused, missed] = [const { AtomicUsize::new(0) }; 3];
    let words = stand_in::run(&[], "witness");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..os::rounds(20) {
                    let run = gateway(&dir, outer.path(), &words);
                    // Either it holds, and its PROGRAM runs, until it is asked to stop; or it ends by itself.
                    if run.has_printed("child") {
                        won.fetch_add(1, Ordering::Relaxed);
                        // Who looks may be told of the directory that is not held, seldom.
                        let seen = gateway(&dir, outer.path(), &["status".to_owned()]).end();
                        missed.fetch_add(usize::from(!matches!(seen.code(), 0 | 4)), Ordering::Relaxed);
                        run.terminate();
                        assert_eq!(run.end().code(), 0);
                    } else {
                        let ended = run.end();
                        assert!(matches!(ended.code(), 73 | 75 | 76), "{ended:?}");
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    swapper.say("end");
    let (won, refused, missed) = (won.into_inner(), refused.into_inner(), missed.into_inner());
    eprintln!("{}; {won} won, {refused} refused, {missed} missed", swapper.wait_line("swapped:"));
    assert!(won > 0, "one at a time can win");
    assert!(missed * 4 <= won, "a look tells of a living holder");
    assert!(!outer.path().join("overlap").exists(), "two held at once");
}

#[test]
fn wherever_a_users_path_leads_meanwhile_root_gives_him_nothing_of_its_own() {
    let Some(town) = Town::new() else { return };
    let home = town.directory("home", OWNER, 0o700);
    let state = home.join("state");
    fs::create_dir(&state).unwrap();
    let place = state.join("place");
    fs::create_dir(&place).unwrap();
    // What is root's: a directory of the same name, with files of the names that are used.
    let roots = town.directory("roots", 0, 0o700);
    let precious = private(&roots.join("place"));
    for name in
        ["gateway.pid", "gateway.child", "gateway.log", "gateway.json", "gateway.history", "passwords"]
    {
        fs::write(precious.join(name), "precious").unwrap();
        fs::set_permissions(precious.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    symlink(&roots, home.join("other")).unwrap();
    for mine in [&state, &place, &home.join("other")] {
        std::os::unix::fs::lchown(mine, Some(OWNER), Some(OWNER)).unwrap();
    }
    let mut swapper = town.role_as(OWNER, "swapper", &home);
    let words = ["run", "--", "true"].map(str::to_owned);
    let mut codes = Vec::new();
    for round in 0..os::rounds(100) {
        // Every other time the directory is missing, and made.
        let dir = if round % 2 == 0 { place.clone() } else { state.join(format!("new{round}")) };
        codes.push(gateway(&dir, Path::new("/"), &words).end().code());
    }
    swapper.say("end");
    let through = codes.iter().filter(|code| **code == 0).count();
    eprintln!("{}; {through} of {} came through", swapper.wait_line("swapped:"), codes.len());
    assert!(codes.contains(&0), "some came through");
    assert_eq!(fs::read_to_string(precious.join("passwords")).unwrap(), "precious");
    let mut theirs = owners(&precious);
    theirs.extend(owners(&roots));
    for (path, owner) in theirs {
        assert_eq!(owner, 0, "{} is root's", path.display());
    }
}
