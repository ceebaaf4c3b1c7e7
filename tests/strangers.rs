//! Other users: they can neither see "nobody there" when somebody is, nor stop it, nor be taken for it; and root in a
//! user's directory locks nobody out. Needs root; else each test says that it was left out.
#![cfg(target_os = "linux")] // the other users are played by a root that Linux knows
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, unreachable_pub)] // A test fails so.

#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;
#[path = "support/teller.rs"]
mod teller;
#[path = "support/users.rs"]
mod users;

use std::{
    fs,
    io::Read as _,
    os::unix::{fs::PermissionsExt as _, net::UnixStream},
    path::Path,
    process::Command,
};

use incumbent::Error;
use program::{Program, eventually, instance, lost, won};
use users::{OWNER, STRANGER, Town, abstract_name_of, has, owners, set_mode};

#[test]
fn role() {
    let Some((name, dir)) = program::role() else { return };
    match name.as_str() {
        "teller" => teller::teller(&dir),
        "asker" => users::asker(),
        "squatter" => users::squatter(&dir),
        other => panic!("no role {other}"),
    }
}

const REFUSED: &str = "error not_allowed=true";

fn teller(dir: &Path) -> Program {
    let mut teller = Program::role("teller", dir);
    teller.wait_line("ready");
    teller
}

#[test]
fn a_directory_that_a_user_may_not_read_is_refused_to_him_with_and_without_a_holder() {
    let Some(town) = Town::new() else { return };
    let dir = town.directory("place", 0, 0o700);
    let mut stranger = town.role_as(STRANGER, "teller", &dir);
    let mut holder = teller(&dir);
    for order in ["nothing", "claim", "release"] {
        if order != "nothing" {
            holder.ask(order);
        }
        for asked in ["inspect", "claim", "stop"] {
            let words = stranger.ask(asked);
            assert!(words.starts_with(REFUSED), "{asked} after {order}: {words}");
        }
    }
    assert_eq!(holder.ask("stop-requested"), "false");
}

#[test]
fn a_living_holder_of_another_user_is_never_absent_and_cannot_be_stopped() {
    let Some(town) = Town::new() else { return };
    let dir = town.directory("place", 0, 0o755);
    let mut holder = teller(&dir);
    assert!(holder.ask("claim").starts_with("won "));
    let mut stranger = town.role_as(STRANGER, "teller", &dir);
    let cannot_tell = |words: &str| words.starts_with("unknown ") || words.starts_with(REFUSED);

    let seen = stranger.ask("inspect");
    assert!(cannot_tell(&seen) && seen.contains("may not connect"), "{seen}");
    let claimed = stranger.ask("claim");
    assert!(claimed.starts_with(REFUSED), "{claimed}");
    let stopped = stranger.ask("stop");
    assert!(stopped.starts_with("nobody cannot tell") || stopped.starts_with(REFUSED), "{stopped}");

    // The abstract name has no mode; there he is let in, and sent away without a word.
    let name = abstract_name_of(holder.pid()).expect("it has an abstract name");
    assert_eq!(town.role_as(STRANGER, "asker", &dir).ask(&format!("ask {name}")), "Ok(0)");
    assert_eq!(holder.ask("stop-requested"), "false");
    assert_eq!(holder.ask("believes?"), "true");

    // Not even when the socket is gone, or the directory is empty.
    fs::remove_file(dir.join("a.sock")).unwrap();
    let seen = stranger.ask("inspect");
    assert!(cannot_tell(&seen), "{seen}");
    eventually("the socket is back", || has(&dir, "a.sock"));
    for file in fs::read_dir(&dir).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let seen = stranger.ask("inspect");
    assert!(cannot_tell(&seen), "{seen}");
    // Root, who may ask, is answered all the while.
    assert!(teller(&dir).ask("claim").starts_with("lost "));
}

#[test]
fn a_socket_squatted_by_another_user_is_not_believed_even_if_it_answers_perfectly() {
    let Some(town) = Town::new() else { return };
    let dir = town.directory("place", 0, 0o1777);
    let mut squatter = town.role_as(STRANGER, "squatter", &dir);
    squatter.ask("path");

    let seen = teller(&dir).ask("inspect");
    assert!(seen.starts_with("absent pid=None id=none "), "{seen}");
    assert!(seen.contains("uid 65534") && seen.contains("not believed"), "{seen}");
    let mut holder = teller(&dir);
    let won = holder.ask("claim");
    assert!(won.starts_with("won "), "{won}");
    let id = won.split(' ').nth(2).unwrap();
    assert_eq!(teller(&dir).ask("claim"), format!("lost {:?} {id}", Some(holder.pid())));
}

#[test]
fn an_abstract_name_squatted_by_another_user_is_gone_without_and_said() {
    let Some(town) = Town::new() else { return };
    let dir = town.directory("place", 0, 0o755);
    let mut holder = teller(&dir);
    assert!(holder.ask("claim").starts_with("won "));
    let name = abstract_name_of(holder.pid()).expect("it has an abstract name");
    assert_eq!(holder.ask("release"), "released");
    let mut squatter = town.role_as(STRANGER, "squatter", &dir);
    squatter.ask(&format!("name {name}"));

    assert!(teller(&dir).ask("inspect").starts_with("absent "));
    let won = holder.ask("claim");
    assert!(won.starts_with("won "), "{won}");
    let seen = teller(&dir).ask("inspect");
    assert!(seen.starts_with("starting ") && seen.contains("abstract socket"), "{seen}");
    assert!(teller(&dir).ask("claim").starts_with("lost "));
    squatter.kill_9();
    eventually("the name is taken when it comes free", || teller(&dir).ask("inspect").ends_with("problem="));
}

#[test]
fn a_full_queue_of_another_user_at_the_abstract_name_stops_nobody() {
    let Some(town) = Town::new() else { return };
    let dir = town.directory("place", 0, 0o755);
    let mut holder = teller(&dir);
    assert!(holder.ask("claim").starts_with("won "));
    let name = abstract_name_of(holder.pid()).expect("it has an abstract name");
    assert_eq!(holder.ask("release"), "released");
    let mut squatter = town.role_as(STRANGER, "squatter", &dir);
    squatter.ask(&format!("full {name}"));

    // Nobody can connect, so nobody can ask who it is; the kernel tells it all the same.
    assert!(teller(&dir).ask("inspect").starts_with("absent "));
    let won = holder.ask("claim");
    assert!(won.starts_with("won "), "{won}");
    assert!(teller(&dir).ask("claim").starts_with("lost "));
    squatter.kill_9();
    eventually("the name is taken when it comes free", || teller(&dir).ask("inspect").ends_with("problem="));
}

#[test]
fn a_directory_that_others_can_write_to_is_refused_unless_it_is_sticky() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("place");
    fs::create_dir(&dir).unwrap();
    for mode in [0o777, 0o775, 0o722] {
        set_mode(&dir, mode);
        let error = instance(&dir).claim_blocking().unwrap_err();
        assert!(error.to_string().contains("others can write"), "{mode:o}: {error}");
        assert!(!error.is_not_allowed(), "it is not a matter of who one is");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "nothing was made there");
    }
    for mode in [0o1777, 0o755, 0o700] {
        set_mode(&dir, mode);
        drop(won(instance(&dir).claim_blocking()));
    }
}

#[test]
fn what_is_no_directory_is_refused_and_a_link_to_one_is_the_same_instance() {
    let outer = tempfile::tempdir().unwrap();
    let at = |name: &str| outer.path().join(name);
    fs::write(at("file"), "text").unwrap();
    std::os::unix::fs::symlink(at("nothing"), at("dangling")).unwrap();
    for (name, inspectable) in [("file", false), ("file/below", false), ("dangling", true)] {
        let error = instance(&at(name)).claim_blocking().unwrap_err();
        assert!(matches!(error, Error::Directory { .. }) && !error.is_not_allowed(), "{name}: {error}");
        assert!(error.to_string().contains("no directory"), "{name}: {error}");
        let seen = instance(&at(name)).inspect_blocking(program::WATCHDOG);
        assert_eq!(seen.is_ok(), inspectable, "{name}");
    }
    assert!(!at("nothing").exists(), "the link was not followed to make something");

    fs::create_dir(at("real")).unwrap();
    set_mode(&at("real"), 0o700);
    std::os::unix::fs::symlink(at("real"), at("link")).unwrap();
    let held = won(instance(&at("link")).claim_blocking());
    assert_eq!(lost(instance(&at("real")).claim_blocking()).instance_id(), held.instance_id());
    assert!(at("real").join("a.pid").exists());
}

#[test]
fn what_root_makes_in_a_users_directory_is_the_users_who_can_claim_inspect_and_stop() {
    let Some(town) = Town::new() else { return };
    let home = town.directory("home", OWNER, 0o700);
    let dir = home.join("state/place");
    let mut root = teller(&dir);
    // Twice, so that there is a history.
    for _ in 0..2 {
        assert!(root.ask("claim").starts_with("won "));
        assert_eq!(root.ask("release"), "released");
    }
    let won = root.ask("claim");
    let id = won.split(' ').nth(2).unwrap();
    for (path, owner) in owners(&dir).into_iter().chain(owners(&home)) {
        assert_eq!(owner, OWNER, "{}", path.display());
    }
    for (file, mode) in [("a.pid", 0o644), ("a.sock", 0o600), ("a.json", 0o600), ("a.history", 0o600)] {
        let found = fs::symlink_metadata(dir.join(file)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777 & !mode, 0, "{file}");
    }

    let mut user = town.role_as(OWNER, "teller", &dir);
    assert_eq!(user.ask("claim"), format!("lost {:?} {id}", Some(root.pid())));
    assert!(user.ask("inspect").starts_with(&format!("starting pid={:?} id={id}", Some(root.pid()))));
    user.say("stop");
    eventually("root's holder is asked to stop", || root.ask("stop-requested") == "true");
    assert_eq!(root.ask("release"), "released");
    assert_eq!(user.wait_line("stop:"), "Gone");
    let won = user.ask("claim");
    assert!(won.starts_with("won "), "{won}");
    let seen = user.ask("inspect");
    assert!(seen.ends_with("problem="), "{seen}");

    // And the other way round: root meets the user's holder.
    assert!(root.ask("claim").starts_with("lost "));
    user.kill_9();
    assert!(root.ask("inspect").starts_with("crashed "));
    assert!(root.ask("claim").starts_with("won "));
}

/// Something of root's that ran here once, by hand or by another tool: it may live, and nothing of it is deleted.
#[test]
fn a_pid_file_that_only_root_may_open_is_neither_nobodys_nor_deleted() {
    let Some(town) = Town::new() else { return };
    let dir = town.directory("place", OWNER, 0o700);
    let path = dir.join("a.pid");
    fs::write(&path, "").unwrap();
    set_mode(&path, 0o600);
    let number = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(&path).unwrap());
    let before = number();
    for holds in [true, false] {
        let lock = holds.then(|| os::Lock::take(&path, os::INSTANCE).unwrap());
        let mut user = town.role_as(OWNER, "teller", &dir);
        let refused = user.ask("claim");
        assert!(refused.starts_with("error ") && refused.contains("a.pid"), "{holds}: {refused}");
        let seen = user.ask("inspect");
        assert!(seen.starts_with("unknown ") || seen.starts_with("error "), "{holds}: {seen}");
        assert!(user.ask("stop").starts_with("nobody cannot tell"), "{holds}");
        assert_eq!(number(), before);
        drop(lock);
    }
    // A start of root's does not give it away: it may be a file of root's that the user has moved there. Root may.
    assert!(teller(&dir).ask("claim").starts_with("won "));
    assert!(town.role_as(OWNER, "teller", &dir).ask("claim").starts_with("error "));
    std::os::unix::fs::chown(&path, Some(OWNER), None).unwrap();
    assert!(town.role_as(OWNER, "teller", &dir).ask("claim").starts_with("won "));
}

#[test]
fn what_root_left_in_a_users_directory_keeps_nobody_out_for_good() {
    let Some(town) = Town::new() else { return };
    for file in ["a.json", "a.json~", "a.history", "a.history~", "a.sock", "a.soc~"] {
        let dir = town.directory(file, OWNER, 0o700);
        if file.contains("soc") {
            drop(std::os::unix::net::UnixListener::bind(dir.join(file)).unwrap());
        } else {
            fs::write(dir.join(file), "{}\n").unwrap();
        }
        set_mode(&dir.join(file), 0o600);
        let mut user = town.role_as(OWNER, "teller", &dir);
        if file == "a.sock" {
            // He may not connect, so that he cannot know that nobody is behind it. Root can, and mends it by a start.
            assert!(user.ask("inspect").starts_with("unknown "));
            assert!(user.ask("claim").starts_with("error not_allowed=false busy=true cannot tell"));
            assert!(teller(&dir).ask("claim").starts_with("won "));
        }
        for _ in 0..2 {
            let won = user.ask("claim");
            assert!(won.starts_with("won "), "{file}: {won}");
            assert!(teller(&dir).ask("claim").starts_with("lost "), "{file}");
            assert!(user.ask("inspect").starts_with("starting "), "{file}");
            user.ask("release"); // what could not be written cannot be written now either
        }
    }
}

/// Between a bind and a chmod anybody could connect, or lock a file. Seen from beside, by a process that looks all the time.
#[test]
fn nothing_of_an_instance_is_ever_open_to_others_not_even_for_an_instant() {
    use std::os::unix::fs::MetadataExt as _;
    let dir = tempfile::tempdir().unwrap();
    set_mode(dir.path(), 0o755);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = std::collections::BTreeSet::new();
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                for name in ["a.soc~", "a.sock", "a.pid", "a.json~", "a.json", "a.history"] {
                    if let Ok(found) = fs::symlink_metadata(dir.path().join(name)) {
                        seen.insert((name, found.mode() & 0o777));
                    }
                }
            }
            seen
        });
        let wrapper = ["sh", "-c", "umask 0; exec \"$@\"", "sh"];
        let mut holder = Program::role_under(&wrapper, "teller", dir.path());
        holder.wait_line("ready");
        for round in 0..os::rounds(100) {
            assert!(holder.ask("claim").starts_with("won "));
            holder.ask("release");
            if round % 5 == 0 {
                for file in fs::read_dir(dir.path()).unwrap() {
                    fs::remove_file(file.unwrap().path()).unwrap();
                }
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let seen = watcher.join().unwrap();
        assert!(seen.len() >= 4 && seen.iter().all(|(_, mode)| *mode == 0o600), "{seen:?}");
    });
}

#[test]
fn a_peer_without_a_number_in_the_user_namespace_is_nobody() {
    let Some(town) = Town::new() else { return };
    let other_users = ["unshare", "--user"];
    if !Program::under(&other_users, &Command::new("true")).status().is_ok_and(|status| status.success()) {
        eprintln!("left out: `unshare --user` does not work here");
        return;
    }
    let dir = town.directory("place", 0, 0o700);
    let mut holder = Program::role_under(&other_users, "teller", &dir);
    holder.wait_line("ready");
    let won = holder.ask("claim");
    assert!(won.starts_with("won "), "{won}");
    // There every user is 65534, the directory's owner and this process too: that says nothing about who it is.
    let mut client = UnixStream::connect(dir.join("a.sock")).unwrap();
    client.set_read_timeout(Some(program::WATCHDOG)).unwrap();
    std::io::Write::write_all(&mut client, &[0; 12]).ok();
    let mut got = Vec::new();
    let _ = client.read_to_end(&mut got);
    assert!(got.is_empty(), "{got:?}");
    let refused = teller(&dir).ask("claim");
    assert!(refused.starts_with("error not_allowed=false busy=true"), "{refused}");
    let seen = teller(&dir).ask("inspect");
    assert!(seen.starts_with("unresponsive ") || seen.starts_with("unknown "), "{seen}");
    assert_eq!(holder.ask("believes?"), "true");
}
