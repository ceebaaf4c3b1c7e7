//! What somebody plants in place of a file: made, looked at whether it was harmed, and removed.

#![allow(dead_code)] // every test file uses its own part of it

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::users::{OWNER, STRANGER};

/// A thing to plant: its name, and how it is made at a path, beside a victim.
pub struct Plant {
    pub name: &'static str,
    make: fn(&Path, &Path) -> Kept,
}

/// What lives as long as what was planted.
pub enum Kept {
    Nothing,
    Listener(UnixListener),
    /// It has an attribute that keeps it from being removed.
    Flag(char),
    /// It cannot be made here.
    LeftOut(&'static str),
}

pub const PLANTS: &[Plant] = &[
    Plant { name: "a dangling link", make: |at, _| link(Path::new("nothing"), at) },
    Plant { name: "a link to itself", make: |at, _| link(Path::new(at.file_name().unwrap()), at) },
    Plant { name: "a link to a victim", make: |at, victim| link(victim, at) },
    Plant { name: "a link to a directory", make: |at, _| link(Path::new("/etc"), at) },
    Plant { name: "a link to a device", make: |at, _| link(Path::new("/dev/zero"), at) },
    Plant {
        name: "a hard link to a victim",
        make: |at, victim| {
            fs::hard_link(victim, at).unwrap();
            Kept::Nothing
        },
    },
    Plant {
        name: "a directory",
        make: |at, _| {
            fs::create_dir(at).unwrap();
            given(at, OWNER)
        },
    },
    Plant {
        name: "a full directory",
        make: |at, _| {
            fs::create_dir(at).unwrap();
            fs::write(at.join("inside"), "precious").unwrap();
            given(at, OWNER)
        },
    },
    Plant { name: "a FIFO", make: |at, _| node(at, SFlag::S_IFIFO) },
    Plant { name: "a device", make: |at, _| node(at, SFlag::S_IFCHR) },
    Plant {
        name: "a dead socket",
        make: |at, _| {
            drop(UnixListener::bind(at).unwrap());
            given(at, OWNER)
        },
    },
    Plant {
        name: "a living socket of another user",
        make: |at, _| {
            let listener = UnixListener::bind(at).unwrap();
            given(at, STRANGER);
            Kept::Listener(listener)
        },
    },
    Plant { name: "a file of mode 0000", make: |at, _| file(at, 0o000, OWNER) },
    Plant { name: "a file of mode 0666", make: |at, _| file(at, 0o666, OWNER) },
    Plant { name: "a file of mode 0777", make: |at, _| file(at, 0o777, OWNER) },
    Plant { name: "a file of another user", make: |at, _| file(at, 0o600, STRANGER) },
    Plant { name: "a file of root", make: |at, _| file(at, 0o600, 0) },
    Plant { name: "an immutable file", make: |at, _| flagged(at, 'i') },
    Plant { name: "a file that can only grow", make: |at, _| flagged(at, 'a') },
    Plant {
        name: "a terabyte of nothing",
        make: |at, _| {
            fs::File::create(at).unwrap().set_len(1 << 40).unwrap();
            given(at, OWNER)
        },
    },
];

fn given(at: &Path, uid: u32) -> Kept {
    std::os::unix::fs::lchown(at, Some(uid), Some(uid)).unwrap();
    Kept::Nothing
}

fn link(to: &Path, at: &Path) -> Kept {
    symlink(to, at).unwrap();
    given(at, OWNER)
}

fn node(at: &Path, kind: SFlag) -> Kept {
    // `/dev/null`, as far as it is a device.
    if mknod(at, kind, Mode::from_bits_truncate(0o600), makedev(1, 3)).is_err() {
        return Kept::LeftOut("a device node cannot be made here");
    }
    given(at, OWNER)
}

fn file(at: &Path, mode: u32, uid: u32) -> Kept {
    fs::write(at, "").unwrap();
    fs::set_permissions(at, fs::Permissions::from_mode(mode)).unwrap();
    given(at, uid)
}

fn flagged(at: &Path, flag: char) -> Kept {
    file(at, 0o600, OWNER);
    let set = Command::new("chattr").arg(format!("+{flag}")).arg(at).status();
    if set.is_ok_and(|set| set.success()) {
        Kept::Flag(flag)
    } else {
        fs::remove_file(at).unwrap();
        Kept::LeftOut("the file system has no files that are immutable")
    }
}

/// What was planted, and the victim that it leads to.
pub struct Planted {
    victim: PathBuf,
    kept: Kept,
    facts: (u64, u32, u32),
    victims_facts: Vec<i64>,
    /// As long as it is open no other file gets its number.
    _itself: fs::File,
}

const PRECIOUS: &str = "precious";

impl Plant {
    /// None: it was left out, and said.
    pub fn plant(&self, at: &Path, town: &Path) -> Option<Planted> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let victim = town.join(format!("victim{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        fs::write(&victim, PRECIOUS).unwrap();
        chown(&victim, Some(STRANGER), Some(STRANGER)).unwrap();
        let kept = (self.make)(at, &victim);
        if let Kept::LeftOut(why) = kept {
            crate::os::left_out(why);
            return None;
        }
        let meta = fs::symlink_metadata(at).unwrap();
        let victims_facts = facts(&victim);
        let flags = nix::libc::O_PATH | nix::libc::O_NOFOLLOW;
        let itself = fs::File::options().read(true).custom_flags(flags).open(at).unwrap();
        Some(Planted {
            victim,
            kept,
            facts: (meta.ino(), meta.mode() & 0o170_000, meta.uid()),
            victims_facts,
            _itself: itself,
        })
    }
}

fn facts(path: &Path) -> Vec<i64> {
    let meta = fs::symlink_metadata(path).unwrap();
    let mut facts: Vec<i64> = vec![meta.ino().try_into().unwrap(), meta.mode().into(), meta.uid().into()];
    facts.extend([meta.size().try_into().unwrap(), meta.mtime(), meta.mtime_nsec()]);
    facts
}

impl Planted {
    pub fn victim(&self) -> &Path {
        &self.victim
    }

    /// The victim is as it was, nothing was made where a link leads, and what holds something precious is there.
    pub fn is_unharmed(&self, at: &Path) -> bool {
        let victim = facts(&self.victim) == self.victims_facts;
        let text = fs::read_to_string(&self.victim).is_ok_and(|text| text == PRECIOUS);
        let nothing = !at.with_file_name("nothing").exists();
        let directory =
            self.facts.1 != 0o040_000 || fs::symlink_metadata(at).is_ok_and(|is| is.ino() == self.facts.0);
        // What was there belongs to whom it belonged to, also when root has used it.
        let owner =
            fs::symlink_metadata(at).map_or(true, |is| is.ino() != self.facts.0 || is.uid() == self.facts.2);
        let inside =
            !at.join("inside").is_file() || fs::read_to_string(at.join("inside")).unwrap() == PRECIOUS;
        victim && text && nothing && directory && owner && inside
    }

    pub fn remove(self, at: &Path) {
        if let Kept::Flag(flag) = self.kept {
            // It may have got another name, or none.
            let _ =
                Command::new("chattr").arg("-R").arg(format!("-{flag}")).arg(at.parent().unwrap()).status();
        }
        if fs::symlink_metadata(at).is_ok_and(|is| is.is_dir()) {
            fs::remove_dir_all(at).unwrap();
        } else {
            let _ = fs::remove_file(at);
        }
    }
}

/// Everything that a look must leave as it was.
#[derive(Debug, PartialEq, Eq)]
pub struct Snapshot(Vec<(PathBuf, Vec<i64>)>);

impl Snapshot {
    pub fn of(dir: &Path, victim: &Path) -> Self {
        let mut all = vec![victim.to_owned()];
        let mut left = vec![dir.to_owned()];
        while let Some(path) = left.pop() {
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
            all.push(path);
        }
        all.sort();
        Self(all.into_iter().map(|path| (path.clone(), facts(&path))).collect())
    }
}
