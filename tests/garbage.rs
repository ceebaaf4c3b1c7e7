//! Whatever stands in place of an instance's files: no panic, no block; the claim goes through, or says exactly what is
//! in the way. Nobody else's bytes are touched, and what is no socket is never deleted in place of one.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)] // A test fails so.

#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;

use std::{fs, path::Path, sync::mpsc::channel};

use incumbent::{Claim, Error};
use program::{WATCHDOG, instance, lost};
use proptest::prelude::*;

#[cfg(unix)]
const FILES: [&str; 7] = ["a.pid", "a.json", "a.history", "a.sock", "a.soc~", "a.json~", "a.history~"];
/// The endpoint is no file.
#[cfg(windows)]
const FILES: [&str; 5] = ["a.pid", "a.json", "a.history", "a.json~", "a.history~"];

/// What a claim came to, and that it came to something: no block, no panic.
fn claimed(dir: &Path) -> Result<Claim, Error> {
    let (tell, told) = channel();
    let instance = instance(dir);
    let claiming = std::thread::spawn(move || {
        // Looking comes first, with every means there is.
        let seen = instance.inspect_blocking(WATCHDOG).map(|seen| (seen.sentence(), seen.status()));
        if let Ok((_, status)) = seen {
            serde_json::to_string(&status).unwrap();
        }
        tell.send(instance.claim_blocking()).unwrap();
    });
    let came = told.recv_timeout(WATCHDOG).expect("it neither blocks nor panics");
    claiming.join().unwrap();
    came
}

/// Holds and is found, or has said what is in the way.
#[track_caller]
fn holds_or_names(dir: &Path, file: &str, what: &str) -> bool {
    match claimed(dir) {
        Ok(Claim::Won(holder)) => {
            assert_eq!(lost(instance(dir).claim_blocking()).instance_id(), holder.instance_id());
            assert!(holder.is_holding());
            // What could not be written then cannot be written now either; it lets go all the same.
            let _ = holder.release_blocking();
            true
        }
        Ok(Claim::Lost(_)) => panic!("{file} as {what}: lost to nobody"),
        Err(error) => {
            let words = error.to_string();
            assert!(words.contains(file), "{file} as {what}: {words}");
            false
        }
    }
}

fn texts() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty", vec![]),
        ("a byte", vec![0]),
        ("a huge number", b"99999999999999999999999999999999999999999999".to_vec()),
        ("a negative number", b"-1\n".to_vec()),
        ("the first process", b"1\n".to_vec()),
        ("a list", b"[]".to_vec()),
        ("null", b"null\n".to_vec()),
        ("a text", b"\"text\"".to_vec()),
        ("huge values", br#"{"schema":1e400,"pid":99999999999999999999,"generation":-1}"#.to_vec()),
        ("other types", br#"{"schema":"1","name":7,"pid":[],"generation":{},"instance_id":null}"#.to_vec()),
        ("deep", [b"[".repeat(50_000), b"]".repeat(50_000)].concat()),
        ("not UTF-8", b"\xff\xfe\x00\xd8".to_vec()),
        ("ten megabytes", vec![b'x'; 10 << 20]),
        ("ten megabytes of lines", b"{}\n".repeat(10 << 18)),
    ]
}

#[test]
fn any_text_in_any_file_never_blocks_a_claim_for_good() {
    for file in FILES {
        for (what, bytes) in texts() {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(file);
            fs::write(&path, &bytes).unwrap();
            let won = holds_or_names(dir.path(), file, what);
            if file.starts_with("a.soc") {
                assert!(!won, "{file} as {what}: no file is taken for a socket's place");
                assert_eq!(fs::read(&path).unwrap(), bytes, "{file} as {what} is left alone");
            } else {
                assert!(won, "{file} as {what} stops nobody");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_bytes_in_pid_file_record_and_history_stop_nobody(
        pid in proptest::collection::vec(any::<u8>(), 0..200),
        record in proptest::collection::vec(any::<u8>(), 0..400),
        history in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let dir = tempfile::tempdir().unwrap();
        for (file, bytes) in [("a.pid", pid), ("a.json", record), ("a.history", history)] {
            fs::write(dir.path().join(file), bytes).unwrap();
        }
        prop_assert!(holds_or_names(dir.path(), "any", "bytes"));
    }

    #[test]
    fn a_record_with_any_byte_changed_stops_nobody(at in 0_usize..2000, byte in any::<u8>()) {
        let dir = tempfile::tempdir().unwrap();
        drop(claimed(dir.path()).unwrap());
        for file in ["a.json", "a.pid"] {
            let mut bytes = fs::read(dir.path().join(file)).unwrap();
            if let Some(place) = at.checked_rem(bytes.len()) {
                bytes[place] = byte;
            }
            fs::write(dir.path().join(file), bytes).unwrap();
        }
        prop_assert!(holds_or_names(dir.path(), "any", "bytes"));
    }
}

/// What is planted in place of a file, and how.
type Plant = (&'static str, Box<dyn Fn(&Path)>);

fn plants(victim: &Path) -> Vec<Plant> {
    let to_victim = victim.to_owned();
    let mut plants: Vec<Plant> = vec![
        ("a directory", Box::new(|path| fs::create_dir(path).unwrap())),
        (
            "a full directory",
            Box::new(|path| {
                fs::create_dir(path).unwrap();
                fs::write(path.join("inside"), "precious").unwrap();
            }),
        ),
        ("a hard link", Box::new(move |path| fs::hard_link(&to_victim, path).unwrap())),
    ];
    plants.extend(plants_of_the_system(victim));
    plants
}

#[cfg(unix)]
fn plants_of_the_system(victim: &Path) -> Vec<Plant> {
    use std::os::unix::{fs::symlink, net::UnixListener};
    let to_victim = victim.to_owned();
    vec![
        ("a FIFO", Box::new(|path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap())),
        ("a dangling link", Box::new(|path| symlink("nothing", path).unwrap())),
        ("a link to itself", Box::new(|path| symlink(path.file_name().unwrap(), path).unwrap())),
        ("a link to a victim", Box::new(move |path| symlink(&to_victim, path).unwrap())),
        ("a link to a device", Box::new(|path| symlink("/dev/zero", path).unwrap())),
        ("a dead socket", Box::new(|path| drop(UnixListener::bind(path).unwrap()))),
    ]
}

/// Only an administrator of Windows can make links; where that is so, they are planted too.
#[cfg(windows)]
fn plants_of_the_system(victim: &Path) -> Vec<Plant> {
    use std::os::windows::fs::symlink_file;
    let to_victim = victim.to_owned();
    let probe = victim.with_extension("link");
    let made = symlink_file(victim, &probe);
    if !kind(&probe).is_some_and(|kind| kind.is_symlink()) {
        os::left_out(&format!("links in place of files: none can be made here ({made:?})"));
        return Vec::new();
    }
    fs::remove_file(probe).unwrap();
    vec![
        ("a dangling link", Box::new(|path| symlink_file("nothing", path).unwrap())),
        ("a link to a victim", Box::new(move |path| symlink_file(&to_victim, path).unwrap())),
    ]
}

fn kind(path: &Path) -> Option<fs::FileType> {
    fs::symlink_metadata(path).ok().map(|found| found.file_type())
}

#[test]
fn strange_things_in_place_of_a_file_are_named_or_gone_without_and_no_victim_is_touched() {
    for file in FILES {
        let outer = tempfile::tempdir().unwrap();
        let victim = outer.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        for (number, (what, plant)) in plants(&victim).into_iter().enumerate() {
            let dir = outer.path().join(format!("place{number}"));
            fs::create_dir(&dir).unwrap();
            let path = dir.join(file);
            plant(&path);
            let planted = kind(&path);
            let won = holds_or_names(&dir, file, what);
            assert_eq!(fs::read(&victim).unwrap(), b"precious", "{file} as {what}");
            assert!(!dir.join("nothing").exists(), "{file} as {what}: no link is followed to make something");
            if planted.is_some_and(|kind| kind.is_dir()) {
                assert_eq!(kind(&path), planted, "{file} as {what}: no directory is removed");
            }
            if what == "a full directory" {
                assert_eq!(fs::read(path.join("inside")).unwrap(), b"precious");
            }
            match file {
                // The pid file is locked and written to: nothing but a file of its own will do.
                "a.pid" => assert!(!won, "{what}"),
                // What is no socket is somebody's, and is never deleted in place of one.
                "a.sock" | "a.soc~" => assert_eq!(won, what == "a dead socket", "{file} as {what}"),
                // What only tells is gone without.
                _ => assert!(won, "{file} as {what}"),
            }
            if !won {
                assert_eq!(kind(&path), planted, "{file} as {what} is left alone");
                // And once it is out of the way all is well.
                if planted.unwrap().is_dir() {
                    fs::remove_dir_all(&path).unwrap();
                } else {
                    fs::remove_file(&path).unwrap();
                }
                assert!(holds_or_names(&dir, file, what), "{file} after {what}");
            }
        }
    }
}

#[test]
fn what_cannot_be_written_is_said_in_the_status_of_the_holder() {
    for file in ["a.json", "a.json~", "a.history"] {
        let dir = tempfile::tempdir().unwrap();
        drop(claimed(dir.path()).unwrap()); // so that there is a predecessor for the history
        let _ = fs::remove_file(dir.path().join(file));
        fs::create_dir(dir.path().join(file)).unwrap();
        let Ok(Claim::Won(_held)) = claimed(dir.path()) else { panic!("{file} stops nobody") };
        let problem = instance(dir.path()).inspect_blocking(WATCHDOG).unwrap().status().problem;
        assert!(problem.as_ref().is_some_and(|problem| problem.contains(file)), "{file}: {problem:?}");
    }
}

#[test]
fn a_generation_that_cannot_be_is_not_believed_and_the_next_ones_still_grow() {
    let dir = tempfile::tempdir().unwrap();
    let generation_of = |claim: Result<Claim, Error>| match claim {
        Ok(Claim::Won(holder)) => (holder.generation(), holder),
        other => panic!("{other:?}"),
    };
    let (first, held) = generation_of(claimed(dir.path()));
    let damaged = || {
        let record = fs::read_to_string(dir.path().join("a.json")).unwrap();
        let mut record: serde_json::Value = serde_json::from_str(&record).unwrap();
        record["generation"] = u64::MAX.into();
        fs::write(dir.path().join("a.json"), record.to_string()).unwrap();
    };
    damaged();
    held.release_blocking().unwrap();
    damaged();
    let (second, held) = generation_of(claimed(dir.path()));
    assert!(second > first && second < u64::MAX / 2, "{second}");
    drop(held);
    let (third, _held) = generation_of(claimed(dir.path()));
    assert!(third > second);
}
