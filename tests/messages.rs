//! Messages: from `send` to the one that holds, once each, in order, byte for byte, and back with a code.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)] // a test fails so, a role speaks so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/stand_in.rs"]
mod stand_in;

use std::{collections::BTreeSet, io::Write as _, path::Path, sync::mpsc::channel, thread};

use gateway::{Place, Running, WATCHDOG, role_dir};
use serde_json::{Value, json};

fn printed(holder: &Running) -> Value {
    serde_json::from_str(&holder.prints("{")).unwrap()
}

#[test]
fn stand_in() {
    stand_in::play();
}

#[test]
fn a_message_is_one_json_line() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    let cwd = place.dir().canonicalize().unwrap();
    let mut send = place.gateway(["send", "--", "open", "a b\n", "--flag", ""]);
    let sender = Running::start(send.current_dir(&cwd));
    let pid = sender.pid();
    let ended = sender.end();
    assert_eq!((ended.code(), ended.stdout.as_str(), ended.stderr.as_str()), (0, "", ""));
    let line = printed(&holder);
    let expected = json!({
        "args": ["open", "a b\n", "--flag", ""],
        "cwd": line["cwd"],
        "body": "",
        "from": { "pid": pid, "uid": line["from"]["uid"] },
    });
    assert_eq!(line, expected);
    assert_eq!(Path::new(line["cwd"].as_str().unwrap()).canonicalize().unwrap(), cwd);
    // A user of Windows has no number.
    let uid = incumbent::Process::this().uid.filter(|_| cfg!(unix));
    assert_eq!(line["from"]["uid"], json!(uid));
}

#[test]
fn any_bytes_arrive_as_they_were_sent() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    // Elsewhere an argument is text.
    let (odd, shown, base64) = if cfg!(unix) {
        (os::word(b"a\xff"), "a\u{fffd}", json!(["Yf8=", "LQ=="]))
    } else {
        (os::word("ä\u{1f980}".as_bytes()), "ä\u{1f980}", serde_json::Value::Null)
    };
    let mut sender = Running::start(&mut place.gateway(["send".into(), odd, "-".into()]));
    sender.stdin.take().unwrap().write_all(b"\xff\x00\xfe").unwrap();
    assert_eq!(sender.end().code(), 0);
    let line = printed(&holder);
    assert_eq!(line["args"], json!([shown, "-"]));
    assert_eq!(line["args_base64"], base64);
    assert_eq!(line["body"], json!("\u{fffd}\0\u{fffd}"));
    assert_eq!(line["body_base64"], json!("/wD+"));
}

#[test]
fn a_message_may_be_a_mebibyte_and_not_more() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    let send = |size: usize| {
        let mut sender = place.start(&["send", "-"]);
        let mut stdin = sender.stdin.take().unwrap();
        let writing = thread::spawn(move || drop(stdin.write_all(&vec![b'x'; size])));
        let ended = sender.end();
        writing.join().unwrap();
        ended
    };
    assert_eq!(send((1 << 20) - 4096).code(), 0);
    assert_eq!(printed(&holder)["body"].as_str().unwrap().len(), (1 << 20) - 4096);
    for too_long in [1 << 20, 8 << 20] {
        let ended = send(too_long);
        assert_eq!(ended.code(), 64, "{ended:?}");
        assert!(ended.stderr.contains("1048576 bytes"), "{ended:?}");
    }
}

#[test]
fn two_hundred_messages_arrive_once_each_and_in_order() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    for number in 0..os::rounds(200) {
        assert_eq!(place.finish(&["send", &number.to_string()]).code(), 0);
        assert_eq!(printed(&holder)["args"], json!([number.to_string()]));
    }
}

#[test]
fn messages_sent_at_once_arrive_once_each() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    let each = os::rounds(25);
    thread::scope(|scope| {
        for sender in 0..8 {
            let place = &place;
            scope.spawn(move || {
                for number in 0..each {
                    assert_eq!(place.finish(&["send", &format!("{sender}/{number}")]).code(), 0);
                }
            });
        }
    });
    let mut last = [-1; 8];
    let mut seen = BTreeSet::new();
    for _ in 0..8 * each {
        let arg = printed(&holder)["args"][0].as_str().unwrap().to_owned();
        let (sender, number) = arg.split_once('/').unwrap();
        let (sender, number): (usize, i32) = (sender.parse().unwrap(), number.parse().unwrap());
        assert!(number > last[sender], "{arg} after {}", last[sender]);
        last[sender] = number;
        assert!(seen.insert(arg));
    }
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert!(!holder.end().stdout.contains('{'), "more than was sent");
}

#[test]
fn nobody_a_program_and_a_stopped_holder_take_no_messages() {
    let place = Place::new();
    assert_eq!(place.finish(&["send", "x"]).code(), 3);
    let holder = place.hold(&stand_in::run(&[], "last"));
    let refused = place.finish(&["send", "x"]);
    assert_eq!(refused.code(), 69);
    assert!(refused.stderr.contains("takes no messages"), "{refused:?}");
    assert_eq!(place.finish(&["run", "--if-running", "send", "--", "x"]).code(), 69);
    holder.stop();
    assert_eq!(place.finish(&["send", "x"]).code(), 4);
}

#[test]
fn a_later_run_hands_over_its_program() {
    let place = Place::new();
    let holder = place.hold(&["run"]);
    let sent = place.finish(&["run", "--if-running", "send", "--", "open", "-", "file"]);
    assert_eq!(sent.code(), 0, "{sent:?}");
    assert_eq!(printed(&holder)["args"], json!(["open", "-", "file"]));
}

#[test]
fn send_exits_with_the_answers_code_and_prints_its_body() {
    let place = Place::new();
    let holder = place.role("role_answers");
    holder.prints("ready");
    for (asked, code) in [("0", 0), ("42", 42), ("255", 255), ("256", 1), ("-1", 1), ("-2147483648", 1)] {
        let sent = place.finish(&["send", "--", asked]);
        assert_eq!((sent.code(), sent.stdout), (code, format!("asked for {asked}")));
    }
    let dropped = place.finish(&["send", "drop it"]);
    assert_eq!(dropped.code(), 4, "{dropped:?}");
    let sent = place.finish(&["run", "--if-running", "send", "--", "7"]);
    assert_eq!((sent.code(), sent.stdout.as_str()), (7, "asked for 7"));
    let dying = place.finish(&["send", "die"]);
    assert_eq!(dying.code(), 4, "{dying:?}");
}

#[test]
#[ignore = "a role"]
fn role_answers() {
    let Some(dir) = role_dir() else { return };
    let instance = incumbent::Instance::new("gateway").unwrap().in_dir(dir).unwrap();
    let incumbent::Claim::Won(holder) = instance.claim_blocking().unwrap() else { panic!("lost") };
    let mut messages = holder.messages();
    holder.ready("");
    println!("\nready");
    while let Some(message) = messages.next_blocking() {
        let asked = message.args()[0].to_str().unwrap().to_owned();
        match asked.parse() {
            Ok(code) => message.answer(code, format!("asked for {asked}")),
            Err(_) if asked == "die" => std::process::abort(),
            Err(_) => drop(message),
        }
    }
}

#[test]
fn a_reader_that_is_gone_is_told_to_the_sender_and_ends_nobody() {
    let place = Place::new();
    let (reader, stdout) = os::pipe();
    drop(reader);
    let holder = Running::start_with_stdout(&mut place.gateway(["run"]), stdout);
    holder.says("holding ");
    for _ in 0..2 {
        let sent = place.finish(&["send", "x"]);
        assert_eq!(sent.code(), 74);
        assert!(sent.stdout.starts_with("the message could not be printed: "), "{sent:?}");
    }
    assert_eq!(place.finish(&["stop"]).code(), 0);
    assert_eq!(holder.end().code(), 0);
}

#[test]
fn a_reader_that_does_not_read_keeps_nobody_from_stopping() {
    let place = Place::new();
    let (reader, stdout) = os::pipe();
    let holder = Running::start_with_stdout(&mut place.gateway(["run"]), stdout);
    holder.says("holding ");
    let mut sender = place.start(&["send", "-"]);
    let mut stdin = sender.stdin.take().unwrap();
    stdin.write_all(&vec![b'x'; 900_000]).unwrap(); // more than a pipe holds
    drop(stdin);
    let stopped = place.finish(&["stop", "--grace", "300ms"]);
    assert_eq!(stopped.code(), 0, "{stopped:?}");
    assert_eq!(holder.end().code(), 0);
    assert_eq!(sender.end().code(), 4);
    drop(reader);
}

#[test]
fn a_reader_that_does_not_read_is_not_sent_messages_without_end() {
    let place = Place::new();
    let (reader, stdout) = os::pipe();
    let holder = Running::start_with_stdout(&mut place.gateway(["run"]), stdout);
    holder.says("holding ");
    // Sixteen MiB may wait: of forty MiB at least the last third is refused, and the others wait.
    let (senders, refused) = (40, 40 / 3);
    let (tell, told) = channel();
    thread::scope(|scope| {
        for _ in 0..senders {
            let (place, tell) = (&place, tell.clone());
            scope.spawn(move || {
                let mut sender = place.start(&["send", "-"]);
                sender.stdin.take().unwrap().write_all(&vec![b'x'; 1_000_000]).unwrap();
                tell.send(sender.end()).unwrap();
            });
        }
        for _ in 0..refused {
            let refused = told.recv_timeout(WATCHDOG).unwrap();
            assert_eq!(refused.code(), 4, "{refused:?}");
            assert!(refused.stderr.contains("too many messages wait"), "{refused:?}");
        }
        let asked = place.finish(&["status", "--json"]);
        assert_eq!(asked.code(), 0, "{asked:?}");
        assert_eq!(place.finish(&["stop", "--grace", "300ms"]).code(), 0);
    });
    assert_eq!(holder.end().code(), 0);
    drop(reader);
    drop(tell);
    assert!(told.iter().all(|ended| ended.code() == 4), "nothing was printed, nothing is answered with 0");
}

#[test]
fn every_sender_is_answered_or_told_while_the_holder_is_replaced() {
    let place = Place::new();
    let mut holder = place.hold(&["run"]);
    let mut printed = String::new();
    let each = os::rounds(20);
    let codes: Vec<(usize, i32)> = thread::scope(|scope| {
        let senders: Vec<_> = (0..10)
            .map(|sender| {
                let place = &place;
                scope.spawn(move || {
                    let send = |n: usize| (n, place.finish(&["send", &format!("n{n}")]));
                    (sender * each..(sender + 1) * each).map(send).collect::<Vec<_>>()
                })
            })
            .collect();
        for _ in 0..5 {
            let next = place.hold(&["run", "--replace"]);
            let old = std::mem::replace(&mut holder, next).end();
            assert_eq!(old.code(), 0, "{old:?}");
            printed += &old.stdout;
        }
        let ended = senders.into_iter().flat_map(|sender| sender.join().unwrap());
        ended
            .map(|(n, ended)| {
                assert!(ended.code() == 0 || !ended.stderr.is_empty(), "silence: {ended:?}");
                (n, ended.code())
            })
            .collect()
    });
    assert_eq!(place.finish(&["stop"]).code(), 0);
    printed += &holder.end().stdout;
    for (n, code) in codes {
        let count = printed.matches(&format!("\"args\":[\"n{n}\"]")).count();
        // One that was told of an end may have been printed; one that was answered was, once.
        assert!(
            count == 1 || (count == 0 && code != 0),
            "n{n} was printed {count} times, and ended with {code}"
        );
    }
}
