//! A client in another language, `proto/examples/client.py`, written from `PROTOCOL.md`, and real holders: each
//! understands the other, and whatever listens instead is told apart.
#![cfg(target_os = "linux")] // the client knows the other Unixes; another user is played by a root that Linux knows
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
    io::{Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
};

use gateway::{Ended, PROGRAM, Place, Running};
use incumbent_proto::{
    FrameBuffer, HEADER_LEN, Identify, Kind, Pong, Refused, Reply, Request, Stop, StopReason, Unsupported,
    Why,
};
use program::{Program, instance, tell, won};
use serde_json::Value;

#[test]
fn role() {
    let Some((name, dir)) = program::role() else { return };
    match name.as_str() {
        "squatter" => return users::squatter(&dir),
        "asker" => return users::asker(),
        _ => {}
    }
    let holder = won(instance(&dir).claim_blocking());
    holder.refuse((name == "refuses").then_some("not on a \x1b[31mTuesday"));
    let _work = (name == "works").then(|| holder.work());
    tell("ready");
    program::orders().for_each(drop);
}

#[test]
fn stand_in() {
    stand_in::play();
}

/// The client, for the instance of this name; none where there is no Python.
fn client(dir: &Path, name: &str, args: &[&str]) -> Option<Ended> {
    let python = Command::new("python3").arg("--version").output();
    if !python.is_ok_and(|python| python.status.success()) {
        os::left_out("the second implementation: there is no python3");
        return None;
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/examples/client.py");
    let mut command = Command::new("python3");
    // No test fails by the clock; a later `--timeout` counts.
    command.arg(file).arg("--dir").arg(dir).args(["--name", name, "--json", "--timeout", "60"]).args(args);
    let ended = Running::start(command.env_remove("GATEWAY_DIR").env_remove("GATEWAY_NAME")).end();
    assert!(!ended.stderr.contains("Traceback"), "{ended:?}");
    Some(ended)
}

fn objects(ended: &Ended) -> Vec<Value> {
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the program says of a holder.
fn status(place: &Place) -> Value {
    serde_json::from_str(&place.finish(&["status", "--json"]).stdout).unwrap()
}

#[test]
fn it_says_of_a_holder_what_the_program_says() {
    let place = Place::new();
    let (_holder, child) = stand_in::holder_with_child(&place);
    let Some(ended) = client(place.dir(), "gateway", &["status"]) else { return };
    let (said, ours) = (objects(&ended).remove(0), status(&place));
    assert_eq!(ended.code(), 0);
    for key in ["name", "dir", "state", "problem"] {
        assert_eq!(said[key], ours[key], "{key}");
    }
    let (holder, our_holder) = (&said["holder"], ours["holder"].as_object().unwrap());
    for (key, value) in our_holder {
        let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{key}: {value}"));
        match key.as_str() {
            "pid_source" => {} // is said by nobody
            "uptime_s" => assert!(number(&holder[key]) > 0.0 && number(&holder[key]) <= number(value)),
            "rss_bytes" | "cpu_percent" => assert!(number(&holder[key]) >= 0.0 && number(value) >= 0.0),
            _ => assert_eq!(&holder[key], value, "{key}"),
        }
    }
    assert_eq!(holder["child"]["pid"], child);

    let ended = client(place.dir(), "gateway", &["ping"]).unwrap();
    assert_eq!(objects(&ended)[0]["instance_id"], our_holder["instance_id"]);
    let ended = client(place.dir(), "gateway", &["identify"]).unwrap();
    let identity = objects(&ended).remove(0);
    for key in ["pid", "instance_id", "version", "generation", "started_at"] {
        assert_eq!(identity[key], our_holder[key], "{key}");
    }
    assert_eq!((&identity["min_protocol"], &identity["name"]), (&1.into(), &"gateway".into()));
}

#[test]
fn it_stops_a_holder_sees_how_that_goes_and_when_it_is_gone() {
    let place = Place::new();
    let (mut holder, child) = stand_in::holder_with_child(&place);
    let id = status(&place)["holder"]["instance_id"].clone();
    let Some(ended) = client(place.dir(), "gateway", &["stop", "--grace", "20"]) else { return };
    assert!(!os::is_locked(&place.dir().join("gateway.pid"), os::INSTANCE), "when it says so, it is");
    assert_eq!(ended.code(), 0, "{ended:?}");
    let said = objects(&ended);
    let (last, progress) = said.split_last().unwrap();
    assert_eq!(last["stopped"], id);
    assert!(progress.iter().any(|it| it["note"].as_str().unwrap().contains(&child.to_string())), "{ended:?}");
    let left: Vec<u64> = progress.iter().map(|it| it["remaining_ms"].as_u64().unwrap()).collect();
    assert!(!left.is_empty() && left.iter().all(|left| *left <= 20_000), "{left:?}");
    assert_eq!(holder.wait().code(), Some(0));
    assert_eq!(client(place.dir(), "gateway", &["status"]).unwrap().code(), 3);
    assert_eq!(client(place.dir(), "gateway", &["stop"]).unwrap().code(), 0, "nothing was running");
}

#[test]
fn a_holder_that_refuses_or_is_busy_goes_on_and_its_words_move_no_cursor() {
    for (how, args, words) in [
        ("refuses", &["stop"][..], "not on a \u{fffd}[31mTuesday"),
        ("works", &["stop", "--if-idle"], "1 in flight"),
    ] {
        let place = Place::new();
        let mut holder = Program::role(how, place.dir());
        holder.wait_line("ready");
        let Some(ended) = client(place.dir(), "a", args) else { return };
        assert_eq!(ended.code(), 75);
        assert!(ended.stderr.contains(words), "{ended:?}");
        assert!(os::has_instance(place.dir(), holder.pid()));
        assert_eq!(client(place.dir(), "a", &["ping"]).unwrap().code(), 0);
    }
}

#[test]
fn a_socket_with_a_short_name_is_found_through_the_record() {
    let outer = Place::new();
    let dir = outer.dir().join("d".repeat(150));
    let runtime = outer.dir().join("runtime");
    std::fs::create_dir(&runtime).unwrap();
    std::fs::set_permissions(&runtime, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let mut command = Command::new(PROGRAM);
    let holder = Running::start(command.arg("--dir").arg(&dir).arg("run").env("XDG_RUNTIME_DIR", &runtime));
    holder.says("holding ");
    assert!(!dir.join("gateway.sock").exists());
    let Some(ended) = client(&dir, "gateway", &["identify"]) else { return };
    assert_eq!(objects(&ended)[0]["pid"], holder.pid());
    assert_eq!(client(&dir, "gateway", &["stop"]).unwrap().code(), 0);
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn nobody_is_told_from_one_who_does_not_answer() {
    let place = Place::new();
    let Some(ended) = client(&place.dir().join("missing"), "a", &["ping"]) else { return };
    assert_eq!(ended.code(), 3);
    assert_eq!(client(place.dir(), "gateway", &["ping"]).unwrap().code(), 3, "nobody ever was");

    let holder = place.hold(&["run"]);
    holder.stop(); // it puts no other socket in the place of this one
    std::fs::remove_file(place.dir().join("gateway.sock")).unwrap();
    let ended = client(place.dir(), "gateway", &["ping"]).unwrap();
    assert!(ended.code() == 4 && ended.stderr.contains(&format!("pid {}", holder.pid())), "{ended:?}");
    holder.kill();
    let killed = place.hold(&["run"]);
    killed.stop();
    for ours in [&["ping", "-c", "1"][..], &["status"], &["stop"]] {
        let ended = client(place.dir(), "gateway", &["--timeout", "0.2", ours[0]]).unwrap();
        assert!(ended.stderr.contains("cannot be told"), "{ended:?}");
        assert_eq!(ended.code(), place.finish(ours).code(), "as the program says it: {ours:?}");
    }
    killed.kill();
    assert_eq!(client(place.dir(), "gateway", &["status"]).unwrap().code(), 3, "it was killed");
}

#[test]
fn what_listens_and_is_not_the_holder_is_never_taken_for_it() {
    let place = Place::new();
    let listener = os::Listener::bind(place.dir()).unwrap();
    let pong = |nonce, name: &str, dir| {
        let pong = Pong { nonce, instance_id: [7; 16], name: name.to_owned(), dir };
        Reply::Pong(pong).encode().unwrap()
    };
    let answers: [(&str, Vec<u8>); 11] = [
        ("is not the answer", pong([0; 16], "a", None)),
        ("none of this protocol", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("none of this protocol", b"INCB\x01\x00\x81\x00\xff\xff\xff\xff".to_vec()),
        ("in the middle", b"INCB\x01\x00\x81\x00\x40\x00\x00\x00abc".to_vec()),
        ("in the middle", b"INCB".to_vec()),
        ("ends too early", b"INCB\x01\x00\x81\x00\x02\x00\x00\x00ab".to_vec()),
        ("not asked for", b"INCB\x01\x00\x82\x00\x00\x00\x00\x00".to_vec()),
        ("without an answer", Vec::new()),
        ("versions 7 to 9", Reply::Unsupported(Unsupported { min: 7, max: 9 }).encode_as(9).unwrap()),
        ("too busy: later", {
            Reply::Refused(Refused { why: Why::TooBusy, note: "later".into() }).encode().unwrap()
        }),
        ("and not here", Vec::from("the nonce")),
    ];
    let count = answers.len();
    let expected: Vec<_> = answers.iter().map(|(words, _)| *words).collect();
    let server = std::thread::spawn(move || {
        for (_, answer) in answers {
            let mut stream = listener.accept().unwrap();
            let mut ping = [0; HEADER_LEN + 16];
            stream.read_exact(&mut ping).unwrap();
            let own = pong(*ping.last_chunk().unwrap(), "a", None); // of another directory
            let _ = stream.write_all(if answer == b"the nonce" { &own } else { &answer });
        }
    });
    for words in expected.into_iter().take(count) {
        let Some(ended) = client(place.dir(), "a", &["ping"]) else { return };
        assert!(ended.code() == if words.starts_with("too busy") { 75 } else { 4 }, "{words}: {ended:?}");
        assert!(ended.stderr.contains(words), "{words}: {ended:?}");
    }
    server.join().unwrap();
}

#[test]
fn an_asker_that_has_said_its_last_word_gets_every_reply() {
    let place = Place::new();
    let (holder, _) = stand_in::holder_with_child(&place);
    let stop = Stop {
        reason: StopReason::Stop,
        if_idle: false,
        grace_ms: Stop::HOLDERS_GRACE,
        pid: 1,
        command: String::new(),
    };
    let mut frames = Request::Identify(Identify {}).encode().unwrap().repeat(20);
    frames.extend(Request::Stop(stop).encode().unwrap());
    let mut stream = UnixStream::connect(place.dir().join("gateway.sock")).unwrap();
    stream.set_read_timeout(Some(program::WATCHDOG)).unwrap();
    stream.write_all(&frames).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut buffer = FrameBuffer::new();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    buffer.extend(&bytes);
    let kinds: Vec<u8> =
        std::iter::from_fn(|| buffer.next_frame().unwrap()).map(|frame| frame.header.kind).collect();
    assert_eq!(kinds[..20], [Kind::Identity.byte(); 20]);
    assert_eq!(kinds[20..22], [Kind::Stopping.byte(), Kind::Progress.byte()]);
    assert_eq!(holder.end().code(), 0, "the stop goes on to its end");
}

#[test]
fn a_perfect_answer_of_another_user_is_not_the_holders() {
    let Some(town) = users::Town::new() else { return };
    let dir: PathBuf = town.directory("state", users::OWNER, 0o777);
    let mut squatter = town.role_as(users::STRANGER, "squatter", &dir);
    squatter.ask("path");
    let Some(ended) = client(&dir, "a", &["stop"]) else { return };
    assert!(ended.code() == 77 && ended.stderr.contains("of user 65534"), "{ended:?}");
}
