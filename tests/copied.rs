//! A directory that was copied, with everything in it, from that of a living holder: a backup, a clone, a template. The
//! copy is another instance, whatever its files say, and nothing that is done there reaches the original.
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/stand_in.rs"]
mod stand_in;

use std::{fs, path::Path};

use gateway::{Ended, Place, Running};
use serde_json::Value;

#[test]
fn stand_in() {
    stand_in::play();
}

fn at(place: &Place, dir: &Path, args: &[impl AsRef<str>]) -> Running {
    let dir = ["--dir", dir.to_str().unwrap()].map(str::to_owned);
    place.start(&[&dir[..], &args.iter().map(|arg| arg.as_ref().to_owned()).collect::<Vec<_>>()].concat())
}

fn finish(place: &Place, dir: &Path, args: &[&str]) -> Ended {
    at(place, dir, args).end()
}

/// A holder with a child that lasts, in this directory, and the child's pid.
fn holder_with_child(place: &Place, dir: &Path) -> (Running, u32) {
    let holder = at(place, dir, &stand_in::run(&[], "last"));
    holder.says("holding ");
    let child = holder.prints("child ").split(' ').nth(1).unwrap().parse().unwrap();
    assert_eq!(finish(place, dir, &["wait", "--ready"]).code(), 0);
    (holder, child)
}

fn status(place: &Place, dir: &Path) -> Value {
    serde_json::from_str(&finish(place, dir, &["status", "--json"]).stdout).unwrap()
}

/// Copies what can be copied; a socket cannot.
fn copy_files(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            fs::write(to.join(entry.file_name()), os::silent_read(&entry.path())).unwrap();
        }
    }
}

/// Everything that a person would do in the copy while the original runs; the original is as it was.
fn is_another_instance(place: &Place, original: &Path, copy: &Path) {
    let (holder, child) = holder_with_child(place, original);
    let before = status(place, original);
    assert_eq!(before["holder"]["child"]["pid"], child);
    copy_files(original, copy);

    let seen = status(place, copy);
    assert!(["absent", "crashed"].contains(&seen["state"].as_str().unwrap()), "{seen}");
    assert_eq!(seen["holder"], Value::Null, "{seen}");
    for args in [&["stop"][..], &["stop", "--force"], &["wait", "--gone", "--timeout", "0"]] {
        let nobody = finish(place, copy, args);
        assert_eq!(nobody.code(), 0, "{args:?}: {nobody:?}");
    }
    assert_eq!(finish(place, copy, &["ping"]).code(), 3);
    for options in [&[][..], &["--replace", "--force"]] {
        copy_files(original, copy);
        let second = at(place, copy, &stand_in::run(options, "last"));
        second.says("holding ");
        second.prints("child ");
        assert!(os::is_there(child), "{options:?}: the original's child was ended");
        assert_eq!(status(place, copy)["holder"]["pid"], second.pid(), "{options:?}");
        assert_eq!(finish(place, copy, &["stop", "--force"]).code(), 0);
        assert_eq!(second.end().code(), 0, "{options:?}");
    }
    let after = status(place, original);
    for key in ["pid", "instance_id", "generation", "child"] {
        assert_eq!(after["holder"][key], before["holder"][key], "{key}");
    }
    assert_eq!(after["problem"], Value::Null);
    // And what is said of the copy's holders is not written where the original's are.
    assert_eq!(finish(place, original, &["history"]).stdout.lines().count(), 2);
    assert_eq!(finish(place, original, &["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn a_copied_directory_is_another_instance() {
    let place = Place::new();
    let dirs = ["original", "copy"].map(|name| place.dir().join(name));
    for dir in &dirs {
        fs::create_dir(dir).unwrap();
    }
    is_another_instance(&place, &dirs[0], &dirs[1]);
}

/// The socket of such a place is in a runtime directory, and is found through the record: here through a copied one.
#[cfg(unix)] // elsewhere no path is too long for the endpoint
#[test]
fn a_copied_record_of_a_long_path_leads_nobody_to_the_original() {
    let place = Place::new();
    let dirs = ["original", "copy"].map(|name| place.dir().join("d".repeat(120)).join(name));
    for dir in &dirs {
        fs::create_dir_all(dir).unwrap();
    }
    is_another_instance(&place, &dirs[0], &dirs[1]);
}

/// As some backups are made (`cp -al`): a lock on such a file is that of both places.
#[cfg(unix)] // elsewhere the files of a holder have no second name
#[test]
fn a_copy_of_hard_links_is_refused_and_ends_nobody() {
    let place = Place::new();
    let [original, copy] = ["original", "copy"].map(|name| place.dir().join(name));
    let (holder, child) = holder_with_child(&place, &original);
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(&original).unwrap().map(Result::unwrap) {
        fs::hard_link(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let commands: [(&[&str], i32); 6] = [
        (&["status", "--timeout", "200ms"], 4),
        (&["stop"], 75),
        (&["stop", "--force", "--grace", "0"], 73),
        (&["run", "--wait=200ms"], 73),
        (&["run", "--force"], 73),
        (&["run", "--replace", "--force", "--grace", "0"], 73),
    ];
    for (args, code) in commands {
        let told = finish(&place, &copy, args);
        assert_eq!(told.code(), code, "{args:?}: {told:?}");
        assert!(told.stderr.contains("-samefile") && !told.stderr.contains("stop --force"), "{told:?}");
        assert_eq!(status(&place, &original)["holder"]["pid"], holder.pid(), "{args:?}");
        assert!(os::is_there(child), "{args:?}");
    }
    fs::remove_dir_all(&copy).unwrap();
    assert_eq!(finish(&place, &original, &["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
    drop(holder_with_child(&place, &original));
}

#[test]
fn a_record_that_was_copied_over_that_of_a_living_holder_deposes_nobody() {
    let place = Place::new();
    let dirs = ["a", "b"].map(|name| place.dir().join(name));
    let [older, newer] = dirs.each_ref().map(|dir| holder_with_child(&place, dir).0);
    let before = status(&place, &dirs[0]);
    fs::copy(dirs[1].join("gateway.json"), dirs[0].join("gateway.json")).unwrap();
    let own = before["holder"]["instance_id"].as_str().unwrap();
    while !fs::read_to_string(dirs[0].join("gateway.json")).is_ok_and(|text| text.contains(own)) {
        // The holder looks once a second, and writes its own again; a ping takes its time, too.
        assert_eq!(finish(&place, &dirs[0], &["ping", "-c", "1"]).code(), 0);
    }
    assert_eq!(status(&place, &dirs[0])["holder"]["instance_id"], own);
    for (dir, holder) in dirs.iter().zip([older, newer]) {
        assert_eq!(finish(&place, dir, &["stop"]).code(), 0);
        assert_eq!(holder.end().code(), 0);
    }
}

/// The roots of two file systems have the same number: that of a volume, say, and of its copy.
#[cfg(target_os = "linux")] // they are mounted as Linux does it
mod volumes {
    use std::{fs, os::unix::fs::MetadataExt as _, path::PathBuf, process::Command};

    use super::{Place, is_another_instance, os};

    struct Volume(PathBuf);

    impl Volume {
        fn mount(at: PathBuf) -> Option<Self> {
            fs::create_dir(&at).unwrap();
            let mount = |args: &[&str]| {
                Command::new("mount").args(args).arg(&at).status().is_ok_and(|status| status.success())
            };
            if nix::unistd::geteuid().is_root() && mount(&["-t", "tmpfs", "-o", "mode=0700", "none"]) {
                return Some(Self(at));
            }
            os::left_out("a tmpfs cannot be mounted here");
            None
        }
    }

    impl Drop for Volume {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
        }
    }

    #[test]
    fn a_copied_volume_is_another_instance_although_its_root_has_the_same_number() {
        let place = Place::new();
        let volumes = ["original", "copy"].map(|name| Volume::mount(place.dir().join(name)));
        let [Some(original), Some(copy)] = volumes else { return };
        let inode = |volume: &Volume| fs::metadata(&volume.0).unwrap().ino();
        assert_eq!(inode(&original), inode(&copy));
        is_another_instance(&place, &original.0, &copy.0);
    }
}
