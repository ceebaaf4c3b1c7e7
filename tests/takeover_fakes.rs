//! Takeovers from holders that are not of this library: a newer protocol, a refusal, a promise that is not kept. And a
//! look at one while its successor writes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, unreachable_pub)] // A test fails so.

#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;

use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::Stdio,
    time::Duration,
};

use incumbent::{Begun, Claim, Error, TakeoverOptions};
use incumbent_proto::{
    DirId, Frame, HEADER_LEN, Header, Identity, Offered, Outcome, Pong, Refused, Reply, Request, StopReason,
    Stopping, Unsupported, Why,
};
use program::{Program, WATCHDOG, instance, lost, tell, won};

/// A version that nobody speaks yet.
const NEWER: u16 = 99;

#[test]
fn role() {
    let Some((name, dir)) = program::role() else { return };
    match name.as_str() {
        "starts" => starting(&dir),
        how => fake(&dir, how),
    }
}

/// Holds the instance lock, answers pings in a newer version, and does with a stop what its name says.
fn fake(dir: &Path, how: &str) {
    // Where its endpoint is to be, and which directory it speaks for, is what a real one before it shows.
    drop(won(instance(dir).claim_blocking()));
    let at = os::dir_id(dir);
    let _lock = os::Lock::take(&dir.join("a.pid"), os::INSTANCE).unwrap();
    serve(dir, how, at);
}

/// Has both locks and answers nobody, as one that is starting on a slow disk; once it is told, it answers.
fn starting(dir: &Path) {
    drop(won(instance(dir).claim_blocking()));
    let at = os::dir_id(dir);
    let _locks = [os::CLAIM, os::INSTANCE].map(|byte| os::Lock::take(&dir.join("a.pid"), byte).unwrap());
    tell("ready");
    for order in program::orders() {
        assert_eq!(order, "answer");
        serve(dir, "does-not-go", at);
    }
}

fn serve(dir: &Path, how: &str, at: (u64, u64)) {
    let listener = os::Listener::bind(dir).unwrap();
    tell("ready");
    let (mut has_broken, mut refusals) = (how != "breaks", 3);
    loop {
        let mut stream = listener.accept().unwrap();
        while let Some(request) = next(&mut stream) {
            let reply = match request {
                Request::Ping(ping) => {
                    let dir = Some(DirId { dev: at.0, ino: at.1 });
                    Reply::Pong(Pong { nonce: ping.nonce, instance_id: [7; 16], name: "a".into(), dir })
                }
                Request::Stop(stop) => {
                    tell(format!("asked {:?}", stop.reason));
                    let said = |outcome, note: &str| Stopping {
                        outcome,
                        grace_ms: 100,
                        busy: 0,
                        note: note.to_owned(),
                    };
                    match how {
                        "refuses" if stop.reason != StopReason::ReplaceAnyway => {
                            Reply::Stopping(said(Outcome::Refused, "not on a Tuesday"))
                        }
                        "does-not-know" => Reply::Unsupported(Unsupported { min: NEWER, max: NEWER }),
                        "goes" | "refuses" | "older" | "breaks" => {
                            let reply = Reply::Stopping(said(Outcome::Acknowledged, ""));
                            stream.write_all(&reply.encode_as(NEWER).unwrap()).unwrap();
                            return;
                        }
                        _ => Reply::Stopping(said(Outcome::Acknowledged, "")),
                    }
                }
                Request::Handover(asked) if how == "breaks" => {
                    tell(format!("hands over, overlap: {}", asked.overlap));
                    let reply = Reply::Offered(Offered { state: b"mine".to_vec(), ..Offered::default() });
                    stream.write_all(&reply.encode().unwrap()).unwrap();
                    if std::mem::replace(&mut has_broken, true) {
                        continue;
                    }
                    break; // which closes the connection
                }
                Request::Handover(_) if how == "goes" && refusals > 0 => {
                    refusals -= 1;
                    Reply::Refused(Refused { why: Why::TooBusy, note: "another is taking over".to_owned() })
                }
                Request::Handover(_) if how == "older" => {
                    Reply::Refused(Refused { why: Why::Malformed, note: "unknown kind 7".to_owned() })
                }
                Request::Identify(_) if how == "is-older" => Reply::Identity(Identity {
                    pid: std::process::id(),
                    instance_id: [7; 16],
                    version: "1".to_owned(),
                    min_protocol: 1,
                    max_protocol: NEWER,
                    name: "a".to_owned(),
                    generation: 1,
                    started_at_us: 1,
                }),
                _ => Reply::Unsupported(Unsupported { min: NEWER, max: NEWER }),
            };
            if stream.write_all(&reply.encode_as(NEWER).unwrap()).is_err() {
                break;
            }
        }
    }
}

fn next(stream: &mut os::Stream) -> Option<Request> {
    let mut header = [0; HEADER_LEN];
    stream.read_exact(&mut header).ok()?;
    let header = Header::parse(&header).unwrap();
    let mut body = vec![0; header.length as usize];
    stream.read_exact(&mut body).ok()?;
    Request::decode(&Frame { header, body }).ok()
}

fn start(dir: &Path, how: &str) -> Program {
    let mut fake = Program::role(how, dir);
    fake.wait_line("ready");
    fake
}

fn take_over(dir: &Path, force: bool) -> Result<Claim, Error> {
    let options = TakeoverOptions::default().force(force).grace(Duration::from_millis(100));
    instance(dir).claim_timeout(Duration::from_secs(1)).takeover_blocking(&options, |_| {})
}

#[test]
fn a_holder_of_a_newer_protocol_is_asked_and_succeeded() {
    let dir = tempfile::tempdir().unwrap();
    let mut fake = start(dir.path(), "goes");
    let Ok(Claim::Won(holder)) = take_over(dir.path(), false) else { panic!("not won") };
    assert_eq!(fake.wait_line("asked "), "Replace");
    fake.wait();
    holder.release_blocking().unwrap();
}

#[test]
fn each_way_not_to_go_is_told_apart_and_nothing_is_signalled_without_force() {
    for how in ["refuses", "does-not-know", "does-not-go"] {
        let dir = tempfile::tempdir().unwrap();
        let mut fake = start(dir.path(), how);
        let error = take_over(dir.path(), false).map(drop).unwrap_err();
        match how {
            "refuses" => assert!(
                matches!(&error, Error::Refused { note, .. } if note == "not on a Tuesday"),
                "{error:?}"
            ),
            "does-not-know" => assert!(matches!(error, Error::Protocol { .. }), "{error:?}"),
            _ => assert!(matches!(error, Error::StillThere { .. }), "{error:?}"),
        }
        assert!(os::is_there(fake.pid()) && !os::is_free(dir.path()), "{how}: it lives, and holds");
        let forced = take_over(dir.path(), true);
        if !os::NAMES_OWNERS && how != "refuses" {
            // Who does not say of itself that it has the lock is not ended.
            forced.map(drop).unwrap_err();
            assert!(os::is_there(fake.pid()), "{how}");
            continue;
        }
        let Ok(Claim::Won(holder)) = forced else { panic!("{how}: not forced: {forced:?}") };
        fake.wait();
        holder.release_blocking().unwrap();
    }
}

#[test]
fn one_that_has_yet_to_answer_is_waited_for_and_is_the_holder() {
    for ends in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut starter = start(dir.path(), "starts");
        let patient = instance(dir.path()).claim_timeout(WATCHDOG);
        let mut told = 0;
        let claim = patient.claim_shown_blocking(|who| {
            assert!(who.contains("claim"), "{who}");
            told += 1;
            if ends {
                starter.kill_9();
            } else {
                starter.say("answer");
            }
        });
        assert_eq!(told, 1, "it was waited for, and shown");
        if ends {
            won(claim).release_blocking().unwrap();
        } else {
            let incumbent = lost(claim);
            assert_eq!(incumbent.instance_id().to_string(), "07".repeat(16));
        }
    }
}

#[test]
fn a_holder_of_a_newer_protocol_runs_for_every_command_and_is_stopped_by_stop() {
    let dir = tempfile::tempdir().unwrap();
    let mut fake = start(dir.path(), "goes");
    let gateway = |args: &[&str]| {
        let mut command = os::gateway(env!("CARGO_BIN_EXE_gateway"));
        os::own(&mut command);
        command.args(["--name", "a", "--dir"]).arg(dir.path()).args(args);
        let ended = os::spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
        let ended = ended.wait_with_output().unwrap();
        let said = [ended.stdout, ended.stderr].concat();
        (ended.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    let running: [(&[&str], i32); 8] = [
        (&["status"], 0),
        (&["status", "--json"], 0),
        (&["doctor"], 0),
        (&["ping", "-c", "1"], 0),
        (&["run"], 75),
        (&["run", "--force"], 75),
        (&["run", "--if-running", "ok"], 0),
        (&["send", "x"], 4), // what it cannot say it does not say
    ];
    for (args, code) in running {
        let (ended, said) = gateway(args);
        assert_eq!(ended, Some(code), "{args:?}: {said}");
        assert!(code == 4 || said.contains(&fake.pid().to_string()), "{args:?}: {said}");
        assert!(os::is_there(fake.pid()) && !os::is_free(dir.path()), "{args:?}");
    }
    assert_eq!(gateway(&["stop"]).0, Some(0));
    assert_eq!(fake.wait_line("asked "), "Stop");
    fake.wait();
    won(instance(dir.path()).claim_blocking()).release_blocking().unwrap();
}

/// Who answered a look may be gone when the record is read: that is its successor's then, who lives.
#[test]
fn a_record_of_a_later_generation_than_the_answer_tells_of_no_crash() {
    for how in ["is-older", "says-only-pong"] {
        let dir = tempfile::tempdir().unwrap();
        let _fake = start(dir.path(), how);
        let path = dir.path().join("a.json");
        let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        record["end"] = serde_json::Value::Null;
        std::fs::write(&path, record.to_string()).unwrap();

        let history = instance(dir.path()).history_blocking().unwrap();
        assert_eq!(history.entries.iter().map(|entry| entry.end).collect::<Vec<_>>(), [None], "{how}");
        let seen = instance(dir.path()).inspect_blocking(program::WATCHDOG).unwrap();
        assert!(seen.status().previous.is_none(), "{how}: {:?}", seen.status());
    }
}

#[test]
fn one_that_does_not_know_a_handover_is_not_overlapped_and_replaced_without() {
    for (how, words) in
        [("older", "of a version that cannot hand over"), ("goes", "speaks versions 99 to 99")]
    {
        let dir = tempfile::tempdir().unwrap();
        let mut fake = start(dir.path(), how);
        let overlap = TakeoverOptions::default().overlap(true);
        let refused = instance(dir.path()).begin_takeover_blocking(&overlap, |_| {}).unwrap_err();
        assert!(refused.to_string().contains(words), "{refused}");
        assert!(os::is_there(fake.pid()) && !os::is_free(dir.path()), "it was asked nothing");

        let begun = instance(dir.path()).begin_takeover_blocking(&TakeoverOptions::default(), |_| {});
        let Ok(Begun::Takeover(mut takeover)) = begun else { panic!("{begun:?}") };
        assert!(takeover.has_holder());
        let received = takeover.received();
        assert!(received.listeners.is_empty() && received.state.is_empty());
        won(takeover.complete_blocking(|_| {})).release_blocking().unwrap();
        assert_eq!(fake.wait_line("asked "), "Replace", "once");
        fake.wait();
    }
}

#[test]
fn one_whose_connection_breaks_learns_on_the_next_one_that_its_successor_is_ready() {
    let dir = tempfile::tempdir().unwrap();
    let mut fake = start(dir.path(), "breaks");
    let overlap = TakeoverOptions::default().overlap(true);
    let begun = instance(dir.path()).begin_takeover_blocking(&overlap, |_| {});
    let Ok(Begun::Takeover(mut takeover)) = begun else { panic!("{begun:?}") };
    assert_eq!(fake.wait_line("hands over, "), "overlap: true");
    assert_eq!(takeover.received().state, b"mine");
    let holder = won(takeover.complete_blocking(|_| {}));
    assert_eq!(fake.wait_line("hands over, "), "overlap: true", "again, before it is asked to go");
    assert_eq!(fake.wait_line("asked "), "Replace");
    fake.wait();
    holder.release_blocking().unwrap();
}
