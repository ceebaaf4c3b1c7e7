//! Peers that answer, and lie: somebody else's nonce, a pong that was heard before, one of another instance, half a pong
//! a byte at a time, streams without an end. None is believed, none is waited for beyond the deadline, and what is said of
//! them is said in words.
#![cfg(target_os = "linux")] // what listens is a socket, also in the abstract namespace
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, unreachable_pub)] // A test fails so.

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;
#[path = "support/users.rs"]
mod users;
#[path = "support/wire.rs"]
mod wire;

use std::{
    io::{Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::mpsc::channel,
    time::Duration,
};

use gateway::{Ended, Place};
use incumbent::{Claim, Instance};
use incumbent_proto::{DirId, FrameBuffer, Kind, Pong, Refused, Reply, Request, Why};
use program::{Program, tell};

#[test]
fn role() {
    let Some((how, dir)) = program::role() else { return };
    match how.as_str() {
        "squatter" => users::squatter(&dir),
        how => fake(&dir, how),
    }
}

/// Every lie, each told to whoever connects.
const LIES: [&str; 12] = [
    "silent",
    "closes",
    "half-closes",
    "replayed",
    "other nonce",
    "pong before ping",
    "other nonce first",
    "a byte at a time",
    "endless noise",
    "endless refusals",
    "a huge frame",
    "a mebibyte",
];

/// Answers of a holder, but of another one.
const OF_ANOTHER: [&str; 3] = ["other instance", "other directory", "no directory"];

/// Listens where a holder would, and lies.
fn fake(dir: &Path, how: &str) {
    let listener = UnixListener::bind(dir.join("gateway.sock")).unwrap();
    tell("ready");
    let at = os::dir_id(dir);
    let dir = Some(DirId { dev: at.0, ino: at.1 });
    // What a holder said to somebody else, a moment ago.
    let heard_before = pong([1; 16], "gateway", dir);
    for stream in listener.incoming() {
        let (how, heard_before) = (how.to_owned(), heard_before.clone());
        std::thread::spawn(move || lie(&how, stream.unwrap(), &heard_before, dir));
    }
}

fn pong(nonce: [u8; 16], name: &str, dir: Option<DirId>) -> Vec<u8> {
    Reply::Pong(Pong { nonce, instance_id: [7; 16], name: name.to_owned(), dir }).encode().unwrap()
}

fn nonce_of(stream: &mut UnixStream) -> Option<[u8; 16]> {
    let (mut frames, mut piece) = (FrameBuffer::new(), [0; 512]);
    loop {
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        frames.extend(&piece[..count]);
        while let Ok(Some(frame)) = frames.next_frame() {
            if let Ok(Request::Ping(ping)) = Request::decode(&frame) {
                return Some(ping.nonce);
            }
        }
    }
}

fn lie(how: &str, mut stream: UnixStream, heard_before: &[u8], dir: Option<DirId>) {
    let other = [9; 16];
    if how == "pong before ping" {
        let _ = stream.write_all(&pong(other, "gateway", dir));
    }
    if how == "closes" {
        return;
    }
    let Some(nonce) = nonce_of(&mut stream) else { return };
    let right = pong(nonce, "gateway", dir);
    let refusal = Reply::Refused(Refused { why: Why::TooBusy, note: String::new() }).encode().unwrap();
    // Whoever asked may have had enough.
    let mut say = |bytes: &[u8]| stream.write_all(bytes).is_ok();
    let _ = match how {
        "replayed" => say(heard_before),
        "other nonce" => say(&pong(other, "gateway", dir)),
        "a pong alone" => say(&right),
        "other nonce first" => say(&pong(other, "gateway", dir)) && say(&right),
        "other instance" => say(&pong(nonce, "gatewax", dir)),
        "other directory" => say(&pong(nonce, "gateway", dir.map(|at| DirId { ino: at.ino + 1, ..at }))),
        "no directory" => say(&pong(nonce, "gateway", None)),
        "a byte at a time" => {
            let (_never, pause) = channel::<()>();
            right.iter().all(|byte| {
                let _ = pause.recv_timeout(Duration::from_millis(200));
                say(&[*byte])
            })
        }
        "endless noise" => {
            while say(&[0x5a; 4096]) {}
            true
        }
        "endless refusals" => {
            while say(&refusal) {}
            true
        }
        "a huge frame" => {
            let mut header = wire::frame(1, Kind::Pong.byte(), b"");
            header[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
            say(&header)
        }
        "a mebibyte" => say(&wire::frame(1, Kind::Pong.byte(), &vec![1; 1 << 20])),
        "half-closes" => stream.shutdown(std::net::Shutdown::Write).is_ok(),
        _ => true,
    };
    let _ = stream.read_to_end(&mut Vec::new()); // until it has had enough
}

/// The commands, each with the code that DESIGN.md gives for "it can't be told".
const ASKED: [(&[&str], i32); 6] = [
    (&["status", "--timeout", "1s"], 4),
    (&["ping", "-c", "1"], 4),
    (&["doctor"], 4),
    (&["stop", "--grace", "1s"], 75),
    (&["run"], 75),
    (&["run", "--replace", "--grace", "1s"], 75),
];

/// A lie, who told it, and what came of each command.
type Told = (&'static str, u32, Vec<(String, Ended)>);

#[test]
fn no_lie_is_believed_nor_taken_for_nobody_and_each_command_ends_with_its_code() {
    let told: Vec<Told> = std::thread::scope(|scope| {
        let each = LIES.map(|how| {
            scope.spawn(move || {
                let place = Place::new();
                let mut liar = Program::role(how, place.dir());
                liar.wait_line("ready");
                let ask = |(words, _): &(&[&str], i32)| (words.join(" "), place.finish(words));
                (how, liar.pid(), ASKED.iter().map(ask).collect())
            })
        });
        each.map(|each| each.join().unwrap()).into()
    });
    let mut wrong = Vec::new();
    for (how, pid, all) in told {
        for ((words, ended), (_, code)) in all.iter().zip(ASKED) {
            eprintln!(
                "{how}: {words}: {} {}",
                ended.code(),
                ended.stderr.lines().next().unwrap_or(&ended.stdout)
            );
            let names_it =
                [&ended.stdout, &ended.stderr].iter().any(|said| said.contains(&format!("pid {pid}")));
            if ended.code() != code || !names_it {
                wrong.push(format!("{how}: {words}: {code} is due, not {ended:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_answer_for_another_instance_is_said_and_stops_nobody() {
    for how in OF_ANOTHER {
        let place = Place::new();
        let mut liar = Program::role(how, place.dir());
        liar.wait_line("ready");
        let seen = place.finish(&["status"]);
        assert_eq!(seen.code(), 3, "{how}: {seen:?}");
        let doctor = place.finish(&["doctor"]);
        assert!(doctor.stdout.contains("another"), "{how}: {doctor:?}");
        let holder = place.hold(&["run"]);
        assert!(place.finish(&["status"]).stdout.contains(&holder.pid().to_string()), "{how}");
    }
}

#[test]
fn a_holder_that_says_nothing_beside_its_pong_is_lost_to_all_the_same() {
    let place = Place::new();
    let mut terse = Program::role("a pong alone", place.dir());
    terse.wait_line("ready");
    let instance = Instance::new("gateway").unwrap().in_dir(place.dir()).unwrap();
    let Ok(Claim::Lost(incumbent)) = instance.claim_timeout(Duration::from_millis(300)).claim_blocking()
    else {
        panic!("it has answered the ping");
    };
    assert_eq!(incumbent.pid(), Some(terse.pid()));
    assert!(incumbent.first_status().is_none());
    let refused = place.finish(&["run"]);
    assert_eq!(refused.code(), 75, "{refused:?}");
    assert!(refused.stderr.contains(&format!("pid {}", terse.pid())), "{refused:?}");
}

#[test]
fn a_full_queue_at_the_path_hides_no_answer_at_the_abstract_name() {
    let place = Place::new();
    let holder = place.hold(&["--name", "a", "run"]);
    let name = users::abstract_name_of(holder.pid()).unwrap();
    assert_eq!(place.finish(&["--name", "a", "stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
    let mut answers = Program::role("squatter", place.dir());
    answers.wait_line("ready");
    answers.ask(&format!("name {name}"));
    let mut full = Program::role("squatter", place.dir());
    full.wait_line("ready");
    std::fs::remove_file(place.dir().join("a.sock")).unwrap();
    full.ask("full-path");

    let seen = place.finish(&["--name", "a", "status", "--json", "--timeout", "2s"]);
    assert_eq!(seen.code(), 0, "{seen:?}");
    assert!(seen.stdout.contains(&format!("\"pid\":{}", answers.pid())), "{seen:?}");
    // And where nobody answers, it is said what is in the way.
    drop(answers);
    let seen = place.finish(&["--name", "a", "status", "--timeout", "1s"]);
    assert_eq!(seen.code(), 4, "{seen:?}");
    assert!(seen.stdout.contains("so many wait at its socket"), "{seen:?}");
}
