//! A PROGRAM for `run -- PROGRAM` that is the same on every system: the test binary itself, which is told by its arguments
//! what to do. The harness takes them for the names of tests, of which only `stand_in` is one.
//!
//! A test file that uses it has one test that plays it: `#[test] fn stand_in() { stand_in::play() }`.

#![allow(dead_code)] // every test file uses a part of it

use std::{
    fs::File,
    io::{Read as _, Write as _},
    time::Duration,
};

use crate::{
    gateway::{Place, Running},
    os,
};

/// What stands before what it does.
const DOES: &str = "does:";

/// The command line of a PROGRAM that does this: see [`play`] for what there is.
pub(crate) fn program(does: &str) -> Vec<String> {
    let own = std::env::current_exe().unwrap().into_os_string().into_string().unwrap();
    let does = format!("{DOES}{does}");
    [&own, "stand_in", &does, "--exact", "--nocapture", "--test-threads=1"].map(str::to_owned).to_vec()
}

/// The arguments of `gateway` for a `run` of it with these options.
pub(crate) fn run(options: &[&str], does: &str) -> Vec<String> {
    let words = ["run"].iter().chain(options).chain(&["--"]).map(|word| (*word).to_owned());
    words.chain(program(does)).collect()
}

/// A holder, and the pid of its child, which lasts.
pub(crate) fn holder_with_child(place: &Place) -> (Running, u32) {
    let holder = place.hold(&run(&[], "last"));
    let child = holder.prints("child ").split(' ').nth(1).unwrap().parse().unwrap();
    (holder, child)
}

/// Does what the arguments say; nothing without.
pub(crate) fn play() {
    let Some(does) = std::env::args().find_map(|word| word.strip_prefix(DOES).map(str::to_owned)) else {
        return;
    };
    os::be_asked();
    let (verb, rest) = does.split_once(' ').unwrap_or((&does, ""));
    match verb {
        // Says its pid, and lasts.
        "last" => {
            say(&format!("child {}", std::process::id()));
            last();
        }
        // Says a word to each stream, and lasts.
        "speak" => {
            say(rest);
            let _ = writeln!(std::io::stderr(), "err");
            last();
        }
        "exit" => {}
        // Does not listen when it is asked to stop.
        "deaf" => {
            os::be_deaf();
            say("ignoring");
            last();
        }
        // Ends with a code when it is asked to stop.
        "end-with" => {
            os::end_when_asked(rest.parse().unwrap());
            say("ready");
            last();
        }
        // Stops when a file is there, and not before.
        "until" => {
            os::be_deaf();
            say(&format!("child {}", std::process::id()));
            while !std::path::Path::new(rest).exists() {
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        // Ends with its input.
        "read" => drop(std::io::stdin().read_to_end(&mut Vec::new())),
        "show" => {
            let variable = |name| std::env::var(name).unwrap_or_default();
            say(&format!("shown {} {}", variable("GATEWAY_NAME"), variable("GATEWAY_DIR")));
        }
        // Says the words that stand behind those of `program`.
        "words" => {
            let words: Vec<String> = std::env::args().skip(program("").len()).collect();
            say(&format!("words {}", serde_json::json!(words)));
        }
        // Takes a lock of its own, and notes if it cannot: another one lives.
        "witness" => {
            let witness = os::Lock::take("witness".as_ref(), 0);
            if witness.is_err() {
                drop(File::create("overlap").unwrap());
            }
            say("child");
            last();
        }
        other => panic!("it cannot {other}"),
    }
    #[allow(clippy::exit, reason = "it is a program")]
    // Past the harness, which would say how that went.
    std::process::exit(if verb == "exit" { rest.parse().unwrap() } else { 0 });
}

/// Longer than any test.
fn last() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}

/// On a line of its own: the harness has begun one.
fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "\n{what}");
    let _ = out.flush();
}
