//! Whatever is planted under each name that the program uses, in its owner's directory, by the owner or another: asked by
//! the owner and by root. Nothing planted is followed, written to, waited for or deleted; a look changes nothing; what
//! cannot be done is said, with the path; and once the thing is gone all is well.
#![cfg(target_os = "linux")] // other users, device nodes and immutable files, as Linux has them
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, unreachable_pub)] // A test fails so.

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/plants.rs"]
mod plants;
#[path = "support/program.rs"]
mod program;
#[path = "support/users.rs"]
mod users;

use std::{
    os::unix::{
        fs::{chown, lchown, symlink},
        net::UnixListener,
    },
    path::{Path, PathBuf},
    process::Command,
};

use gateway::{Ended, Running};
use plants::{PLANTS, Plant, Snapshot};
use users::{OWNER, Town, set_mode};

/// Every name that is used in an instance's directory, temporary ones included.
const FILES: [&str; 11] = [
    "gateway.pid",
    "gateway.sock",
    "gateway.soc~",
    "gateway.json",
    "gateway.json~",
    "gateway.history",
    "gateway.history~",
    "gateway.child",
    "gateway.notify",
    "gateway.notif~",
    "gateway.log",
];

/// What only tells is gone without.
const ONLY_TELLS: [&str; 4] = ["gateway.json", "gateway.json~", "gateway.history", "gateway.history~"];

struct Scene<'a> {
    town: &'a Town,
    dir: PathBuf,
    uid: u32,
}

impl Scene<'_> {
    fn start(&self, words: &[&str]) -> Running {
        let mut command = os::gateway(self.town.path().join("gateway").to_str().unwrap());
        command.env_remove("GATEWAY_NAME").env("GATEWAY_DIR", &self.dir).args(words).current_dir("/");
        let id = format!("{}", self.uid);
        let wrapper = ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"];
        Running::start(&mut program::Program::under(&wrapper, &command))
    }

    fn ask(&self, words: &[&str]) -> Ended {
        self.start(words).end()
    }
}

/// The program, where everybody may run it.
fn install(town: &Town) {
    let installed = Command::new("cp").arg(gateway::PROGRAM).arg(town.path().join("gateway")).status();
    assert!(installed.unwrap().success());
}

#[test]
fn whatever_is_planted_under_any_name_is_not_followed_not_written_to_and_said() {
    let Some(town) = Town::new() else { return };
    install(&town);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let town = &town;
        let each: Vec<_> = FILES
            .iter()
            .map(|file| {
                scope.spawn(move || {
                    let mut wrong = Vec::new();
                    for plant in PLANTS {
                        for uid in [OWNER, 0] {
                            try_one(town, file, plant, uid, &mut wrong);
                        }
                    }
                    wrong
                })
            })
            .collect();
        each.into_iter().flat_map(|each| each.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} faults: {wrong:#?}", wrong.len());
}

fn try_one(town: &Town, file: &str, plant: &Plant, uid: u32, wrong: &mut Vec<String>) {
    let what = format!("{file} as {} by {uid}", plant.name);
    let home = town.directory(&format!("{file} {} {uid}", plant.name.replace('/', " ")), OWNER, 0o700);
    let dir = home.join("place");
    std::fs::create_dir(&dir).unwrap();
    std::os::unix::fs::chown(&dir, Some(OWNER), Some(OWNER)).unwrap();
    let scene = Scene { town, dir, uid };
    let path = scene.dir.join(file);
    let Some(planted) = plant.plant(&path, town.path()) else { return };
    // For root the socket is this process's, which is root and silent.
    let own_pid = format!("pid {}", std::process::id());
    let mut fault = |of: &str, ended: &Ended| wrong.push(format!("{what}: {of}: {ended:?}"));

    let before = Snapshot::of(&home, planted.victim());
    for words in [&["status"][..], &["doctor"], &["history"], &["stop"]] {
        let seen = scene.ask(words);
        eprintln!("{what}: {}: {} {}", words[0], seen.code(), seen.stderr.lines().next().unwrap_or_default());
        if Snapshot::of(&home, planted.victim()) != before {
            fault(&format!("{} changed something", words[0]), &seen);
        }
        if !matches!(seen.code(), 0 | 1 | 3 | 4 | 73 | 75 | 77) {
            fault(words[0], &seen);
        }
    }
    let runs = match file {
        // Only what is in the background has a log.
        "gateway.log" => [&["run", "--detach", "--", "true"][..], &["run", "--", "true"]],
        _ => [&["run", "--", "true"][..], &["run", "--replace", "--grace", "1s", "--", "true"]],
    };
    for words in runs {
        let ran = scene.ask(words);
        if words.contains(&"--detach") {
            scene.ask(&["wait", "--gone"]);
        }
        eprintln!("{what}: {}: {} {}", words.join(" "), ran.code(), ran.stderr.replace('\n', " | "));
        if !planted.is_unharmed(&path) {
            fault(&format!("{} harmed it", words.join(" ")), &ran);
        }
        if !matches!(ran.code(), 0 | 73 | 75 | 77)
            || (ran.code() != 0 && !ran.stderr.contains(file) && !ran.stderr.contains(&own_pid))
        {
            fault(&words.join(" "), &ran);
        }
        if ran.code() != 0 && ONLY_TELLS.contains(&file) {
            fault("what only tells stops somebody", &ran);
        }
    }
    planted.remove(&path);
    let ran = scene.ask(&["run", "--", "true"]);
    if ran.code() != 0 {
        fault("once it is gone", &ran);
    }
}

/// What stands where the directory should be, or above it; and the code of a claim there.
type Standing = (&'static str, fn(&Path), i32);

const IN_PLACE_OF_THE_DIRECTORY: [Standing; 10] = [
    ("a dangling link", |at| symlink("nothing", at).unwrap(), 73),
    ("a link to itself", |at| symlink(at.file_name().unwrap(), at).unwrap(), 73),
    ("a link to another user's directory", |at| symlink("/etc", at).unwrap(), 77),
    ("a file", |at| std::fs::write(at, "precious").unwrap(), 73),
    ("a FIFO", |at| nix::unistd::mkfifo(at, nix::sys::stat::Mode::S_IRWXU).unwrap(), 73),
    ("a socket", |at| drop(UnixListener::bind(at).unwrap()), 73),
    ("a directory of root", |at| directory(at, 0, 0o755), 77),
    ("a directory of mode 0000", |at| directory(at, OWNER, 0o000), 73),
    ("a directory of mode 0500", |at| directory(at, OWNER, 0o500), 73),
    ("a directory of mode 0777", |at| directory(at, OWNER, 0o777), 73),
];

fn directory(at: &Path, uid: u32, mode: u32) {
    std::fs::create_dir(at).unwrap();
    chown(at, Some(uid), Some(uid)).unwrap();
    set_mode(at, mode);
}

#[test]
fn whatever_stands_in_place_of_the_directory_or_above_it_is_said_and_left_alone() {
    let Some(town) = Town::new() else { return };
    install(&town);
    let mut wrong = Vec::new();
    for (what, make, due) in IN_PLACE_OF_THE_DIRECTORY {
        for below in ["", "below"] {
            let home = town.directory(&format!("{what} {below}"), OWNER, 0o700);
            make(&home.join("place"));
            let is_another = what.contains("root") || what.contains("another");
            lchown(home.join("place"), Some(if is_another { 0 } else { OWNER }), None).unwrap();
            let victim = home.clone();
            let scene = Scene { town: &town, dir: home.join("place").join(below), uid: OWNER };
            let before = Snapshot::of(&home, &victim);
            let asked = [&["status"][..], &["doctor"], &["history"], &["stop"], &["run", "--", "true"]];
            for words in asked {
                let ended = scene.ask(words);
                let (code, words) = (ended.code(), words.join(" "));
                eprintln!("{what} {below}: {words}: {code} {}", ended.stderr.replace('\n', " | "));
                let may_make = words.starts_with("run") && !below.is_empty() && code == 0;
                if Snapshot::of(&home, &victim) != before && !may_make {
                    wrong.push(format!("{what} {below}: {words} changed something: {ended:?}"));
                }
                if words.starts_with("run") && below.is_empty() && code != due {
                    wrong.push(format!("{what}: {words}: {due} is due, not {ended:?}"));
                }
                if code != 0 && ended.stderr.is_empty() && ended.stdout.is_empty() {
                    wrong.push(format!("{what} {below}: {words}: nothing was said: {ended:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} faults: {wrong:#?}", wrong.len());
}
