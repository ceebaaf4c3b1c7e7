//! Files deleted, moved and replaced under a living holder: on Linux no second one gets in, and the files come back.
//!
//! Windows lets nobody delete or move the pid file of a living holder, and has no socket in the directory.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)] // A test fails so.

#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;

use std::{fs, path::Path, time::Instant};

use incumbent::State;
use program::{Program, WATCHDOG, eventually, instance, lost, won};

#[test]
fn role() {
    let Some((name, dir)) = program::role() else { return };
    match name.as_str() {
        "holder" => program::holder(&dir),
        other => panic!("no role {other}"),
    }
}

fn is_whole(dir: &Path, pid: u32) -> bool {
    os::has_instance(dir, pid)
        && fs::read_to_string(dir.join("a.pid")).is_ok_and(|text| text == format!("{pid}\n"))
        && dir.join("a.json").exists()
        && os::connect(dir, WATCHDOG).is_ok()
}

#[cfg(unix)]
#[test]
fn deleted_files_let_nobody_in_and_come_back_within_two_seconds() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("place");
    let mut holder = Program::role("holder", &dir);
    holder.wait_line("holding");
    let files = ["a.pid", "a.sock", "a.json"];
    let mut cases: Vec<Vec<&str>> = files.iter().map(|file| vec![*file]).collect();
    cases.extend([files.to_vec(), vec!["."]]);
    for case in cases {
        if case == ["."] {
            fs::remove_dir_all(&dir).unwrap();
        } else {
            for file in &case {
                fs::remove_file(dir.join(file)).unwrap();
            }
        }
        let deleted = Instant::now();
        assert_eq!(lost(instance(&dir).claim_blocking()).pid(), Some(holder.pid()), "{case:?}");
        assert_eq!(instance(&dir).inspect_blocking(WATCHDOG).unwrap().state(), State::Starting, "{case:?}");
        eventually("the files are back", || is_whole(&dir, holder.pid()));
        assert!(deleted.elapsed().as_secs() < 10, "{case:?} took {:?}", deleted.elapsed());
        assert_eq!(lost(instance(&dir).claim_blocking()).pid(), Some(holder.pid()), "{case:?}");
    }
    holder.ask("holding?");
    holder.ask("release");
    drop(won(instance(&dir).claim_blocking()));
}

/// A takeover keeps the claim lock while it hails for a holder, whose socket was deleted, say.
#[cfg(unix)]
#[test]
fn a_deleted_socket_comes_back_though_another_keeps_the_claim_lock() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Program::role("holder", dir.path());
    holder.wait_line("holding");
    let claim = os::Lock::take(&dir.path().join("a.pid"), os::CLAIM).unwrap();
    fs::remove_file(dir.path().join("a.sock")).unwrap();
    eventually("the socket is back", || os::connect(dir.path(), WATCHDOG).is_ok());
    drop(claim);
    holder.ask("holding?");
}

#[test]
fn a_record_that_somebody_wrote_over_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Program::role("holder", dir.path());
    holder.wait_line("holding");
    let record = dir.path().join("a.json");
    let own = fs::read_to_string(&record).unwrap();
    for garbage in ["", "not json", "{\"generation\": 99999999999999999999999}"] {
        fs::write(&record, garbage).unwrap();
        eventually("it is its own again", || fs::read_to_string(&record).is_ok_and(|now| now == own));
    }
    holder.ask("holding?");
}

#[cfg(unix)]
#[test]
fn a_pid_file_that_is_moved_away_and_back_is_still_the_holders() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Program::role("holder", dir.path());
    holder.wait_line("holding");
    let (path, aside) = (dir.path().join("a.pid"), dir.path().join("aside"));
    fs::rename(&path, &aside).unwrap();
    eventually("a new one is there", || is_whole(dir.path(), holder.pid()));
    fs::rename(&aside, &path).unwrap();
    eventually("the old one is known again", || is_whole(dir.path(), holder.pid()));
    assert_eq!(lost(instance(dir.path()).claim_blocking()).pid(), Some(holder.pid()));
    holder.ask("release");
    drop(won(instance(dir.path()).claim_blocking()));
}

#[cfg(unix)]
#[test]
fn a_file_that_comes_in_place_of_the_socket_is_left_alone_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Program::role("holder", dir.path());
    holder.wait_line("holding");
    let socket = dir.path().join("a.sock");
    fs::remove_file(&socket).unwrap();
    fs::write(&socket, "somebody's").unwrap();
    let incumbent = lost(instance(dir.path()).claim_blocking());
    eventually("it says what is in the way", || {
        let problem = incumbent.status_blocking(WATCHDOG).unwrap().problem;
        problem.is_some_and(|problem| problem.contains("regular file is in the way"))
    });
    assert_eq!(fs::read_to_string(&socket).unwrap(), "somebody's");
    fs::remove_file(&socket).unwrap();
    eventually("all is well", || incumbent.status_blocking(WATCHDOG).unwrap().problem.is_none());
}

#[cfg(windows)]
#[test]
fn what_windows_lets_nobody_delete_stays_and_the_rest_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Program::role("holder", dir.path());
    holder.wait_line("holding");
    let pid_file = dir.path().join("a.pid");
    let asides = [dir.path().join("aside"), dir.path().join("b.pid")];
    for round in 0..3 {
        // <https://learn.microsoft.com/windows/win32/fileio/creating-and-opening-files>: it is open without FILE_SHARE_DELETE.
        fs::remove_file(&pid_file).unwrap_err();
        for aside in &asides {
            fs::rename(&pid_file, aside).unwrap_err();
        }
        fs::write(dir.path().join("other"), "4\n").unwrap();
        fs::rename(dir.path().join("other"), &pid_file).unwrap_err();
        fs::remove_dir_all(dir.path()).unwrap_err();
        let _ = fs::remove_file(dir.path().join("a.json")); // it went with the directory's contents, or not
        let began = Instant::now();
        assert_eq!(lost(instance(dir.path()).claim_blocking()).pid(), Some(holder.pid()), "round {round}");
        let seen = instance(dir.path()).inspect_blocking(WATCHDOG).unwrap();
        assert_eq!(seen.state(), State::Starting, "round {round}: {}", seen.sentence());
        eventually("the files are back", || is_whole(dir.path(), holder.pid()));
        assert!(began.elapsed().as_secs() < 10, "it took {:?}", began.elapsed());
    }
    holder.ask("holding?");
    holder.ask("release");
    drop(won(instance(dir.path()).claim_blocking()));
}

#[test]
fn a_pid_file_that_is_cut_or_written_over_is_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Program::role("holder", dir.path());
    holder.wait_line("holding");
    for text in ["", "1\n", "garbage that is longer than any number of a process\n"] {
        fs::write(dir.path().join("a.pid"), text).unwrap();
        assert_eq!(lost(instance(dir.path()).claim_blocking()).pid(), Some(holder.pid()), "{text:?}");
        eventually("it is its own again", || is_whole(dir.path(), holder.pid()));
    }
    holder.ask("holding?");
}

/// A contender makes the file anew, and is told that somebody holds; so it is empty, and was never written.
#[cfg(unix)]
#[test]
fn who_is_killed_after_its_pid_file_was_deleted_has_crashed_and_not_released() {
    for is_made_anew in [false, true] {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("place");
        let mut holder = Program::role("holder", &dir);
        holder.wait_line("holding");
        holder.stop(); // or it would put the file back
        fs::remove_file(dir.join("a.pid")).unwrap();
        if is_made_anew {
            fs::write(dir.join("a.pid"), "").unwrap();
        }
        os::kill_unreaped(holder.pid());
        let seen = instance(&dir).inspect_blocking(WATCHDOG).unwrap();
        assert_eq!(seen.state(), State::Crashed, "made anew: {is_made_anew}");
        drop(won(instance(&dir).claim_blocking()));
        let history = instance(&dir).history_blocking().unwrap().entries;
        assert_eq!(history[0].end, Some(incumbent::End::Crashed), "made anew: {is_made_anew}");
    }
}
