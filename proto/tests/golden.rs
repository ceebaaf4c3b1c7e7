//! Every message has its bytes in `PROTOCOL.md`, and the code writes and reads exactly those.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

use std::collections::BTreeMap;

use incumbent_proto::*;

const NONCE: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const INSTANCE_ID: [u8; 16] =
    [0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff];
/// 2026-01-01T00:00:00Z, in microseconds.
const NEW_YEAR: i64 = 1_767_225_600_000_000;

#[test]
fn requests_are_written_as_the_page_says() {
    let page = examples();
    for (name, request) in requests() {
        assert_eq!(hex(&request.encode().unwrap()), hex(&page[name]), "{name}");
    }
}

#[test]
fn requests_are_read_as_the_page_says() {
    let page = examples();
    for (name, request) in requests() {
        let read: Vec<_> = frames(&page[name]).iter().map(Request::decode).collect();
        assert_eq!(read, [Ok(request)], "{name}");
    }
}

#[test]
fn replies_are_written_as_the_page_says() {
    let page = examples();
    for (name, reply) in replies() {
        assert_eq!(hex(&reply.encode().unwrap()), hex(&page[name]), "{name}");
    }
}

#[test]
fn replies_are_read_as_the_page_says() {
    let page = examples();
    for (name, reply) in replies() {
        let read: Vec<_> = frames(&page[name]).iter().map(Reply::decode).collect();
        assert_eq!(read, [Ok(reply)], "{name}");
    }
}

#[test]
fn the_session_on_the_page_is_what_both_sides_say() {
    let page = examples();
    let asked = |name: &str| -> Vec<_> { frames(&page[name]).iter().map(Request::decode).collect() };
    let said = |name: &str| -> Vec<_> { frames(&page[name]).iter().map(Reply::decode).collect() };

    assert_eq!(asked("session-1-asker"), [Ok(request("ping"))]);
    assert_eq!(said("session-1-holder"), [Ok(reply("pong"))]);

    let unsupported = Malformed::Version { kind: Kind::Status.byte(), version: 9 };
    assert_eq!(asked("session-2-asker"), [Err(unsupported.clone())]);
    assert_eq!(said("session-2-holder"), [Ok(unsupported.reply())]);

    assert_eq!(asked("session-3-asker"), [Ok(request("send")), Ok(request("identify"))]);
    assert_eq!(said("session-3-holder"), [Ok(reply("refused")), Ok(reply("identity"))]);
}

#[test]
fn every_kind_has_an_example_and_every_example_is_checked() {
    let mut kinds: Vec<_> = requests().iter().map(|(_, request)| request.kind().byte()).collect();
    kinds.extend(replies().iter().map(|(_, reply)| reply.kind().byte()));
    kinds.dedup();
    kinds.sort_unstable();
    assert_eq!(kinds, Kind::ALL.map(Kind::byte));

    let mut names: Vec<_> = requests().iter().map(|(name, _)| *name).collect();
    names.extend(replies().iter().map(|(name, _)| *name));
    names.sort_unstable();
    let page = examples();
    let on_page: Vec<_> = page.keys().filter(|name| !name.starts_with("session-")).collect();
    assert_eq!(names, on_page);
}

#[test]
fn the_page_names_every_kind_with_its_number_and_whether_it_is_frozen() {
    let page = page();
    for kind in Kind::ALL {
        let row = page.lines().find(|line| line.starts_with(&format!("| {} | {kind:?} |", kind.byte())));
        let row = row.unwrap_or_else(|| panic!("no row for {kind:?}"));
        assert_eq!(row.ends_with("| yes |"), kind.is_frozen(), "{row}");
        assert_eq!(row.contains("| asker |"), kind.is_request(), "{row}");
    }
}

#[test]
fn the_page_states_the_limits_of_the_code() {
    let page = page();
    assert!(page.contains(&format!("| a body | {MAX_BODY} bytes |")));
    assert!(page.contains(&format!("| a list of bytes | {MAX_LIST} entries |")));
    assert!(page.contains(&format!("**version {VERSION}**, the only one")));
    assert!(page.contains(&format!("{} leaves the choice to the holder", Stop::HOLDERS_GRACE)));
    assert_eq!(MIN_VERSION, VERSION);
}

fn request(name: &str) -> Request {
    requests().into_iter().find(|(other, _)| *other == name).unwrap().1
}

fn reply(name: &str) -> Reply {
    replies().into_iter().find(|(other, _)| *other == name).unwrap().1
}

fn requests() -> Vec<(&'static str, Request)> {
    vec![
        ("ping", Request::Ping(Ping { nonce: NONCE })),
        ("identify", Request::Identify(Identify {})),
        (
            "stop",
            Request::Stop(Stop {
                reason: StopReason::Replace,
                if_idle: false,
                grace_ms: 30_000,
                pid: 4243,
                command: "gateway run --replace".into(),
            }),
        ),
        ("status", Request::Status(StatusRequest {})),
        (
            "send",
            Request::Send(Send {
                args: vec![b"open".to_vec(), b"a.txt".to_vec()],
                cwd: b"/home/ada".to_vec(),
                body: b"hello\n".to_vec(),
            }),
        ),
        ("watch", Request::Watch(Watch {})),
        (
            "handover",
            Request::Handover(Handover {
                reason: StopReason::Replace,
                overlap: true,
                pid: 4243,
                command: "gateway run --replace=overlap".into(),
            }),
        ),
        ("withdraw", Request::Withdraw(Withdraw { why: "its program ended with 1".into() })),
    ]
}

fn replies() -> Vec<(&'static str, Reply)> {
    let pong = Pong {
        nonce: NONCE,
        instance_id: INSTANCE_ID,
        name: "gateway".into(),
        dir: Some(DirId { dev: 2049, ino: 131_074 }),
    };
    let bare = StatusReply {
        phase: Phase::Ready,
        pid: 4242,
        instance_id: INSTANCE_ID,
        generation: NEW_YEAR.unsigned_abs(),
        started_at_us: NEW_YEAR,
        uptime_us: 7_980_000_000,
        version: "0.3.0".into(),
        command: vec![b"gateway".to_vec()],
        note: None,
        busy: None,
        supervisor: None,
        rss_bytes: None,
        cpu_percent: None,
        lag_us: None,
        child: None,
        problem: None,
    };
    let full = StatusReply {
        command: vec![b"gateway".to_vec(), b"run".to_vec()],
        note: Some("connected".into()),
        busy: Some(2),
        supervisor: Some("systemd".into()),
        rss_bytes: Some(8 << 20),
        cpu_percent: Some(1.5),
        lag_us: Some(250),
        child: Some(Child { pid: 4244, command: vec![b"hermes".to_vec()] }),
        problem: Some("disk full".into()),
        ..bare.clone()
    };
    vec![
        ("pong", Reply::Pong(pong.clone())),
        ("pong-without-directory", Reply::Pong(Pong { dir: None, ..pong })),
        (
            "identity",
            Reply::Identity(Identity {
                pid: 4242,
                instance_id: INSTANCE_ID,
                version: "0.3.0".into(),
                min_protocol: 1,
                max_protocol: 1,
                name: "gateway".into(),
                generation: NEW_YEAR.unsigned_abs(),
                started_at_us: NEW_YEAR,
            }),
        ),
        (
            "stopping",
            Reply::Stopping(Stopping {
                outcome: Outcome::Acknowledged,
                grace_ms: 30_000,
                busy: 2,
                note: "finishing 2 requests".into(),
            }),
        ),
        ("status-is", Reply::StatusIs(Box::new(full))),
        ("status-is-bare", Reply::StatusIs(Box::new(bare))),
        ("answer", Reply::Answer(Answer { code: -1, body: b"no such file\n".to_vec() })),
        (
            "progress",
            Reply::Progress(Progress {
                phase: ProgressPhase::Draining,
                remaining_ms: 29_000,
                busy: Some(1),
                note: "finishing 1 request".into(),
            }),
        ),
        (
            "offered",
            Reply::Offered(Offered {
                names: vec![b"http".to_vec()],
                addresses: vec![b"127.0.0.1:8080".to_vec()],
                state: b"42".to_vec(),
                descriptions: vec![],
            }),
        ),
        ("withdrawn", Reply::Withdrawn(Withdrawn {})),
        (
            "refused",
            Reply::Refused(Refused { why: Why::NoMessages, note: "the program takes no messages".into() }),
        ),
        ("unsupported", Reply::Unsupported(Unsupported { min: 1, max: 1 })),
    ]
}

fn page() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/PROTOCOL.md")).unwrap()
}

/// The hex blocks of the page, by name.
fn examples() -> BTreeMap<String, Vec<u8>> {
    let page = page();
    let mut examples = BTreeMap::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("```hex ") else {
            continue;
        };
        let mut bytes = Vec::new();
        for line in lines.by_ref().take_while(|line| *line != "```") {
            let hex = line.split('#').next().unwrap_or_default();
            bytes.extend(hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()));
        }
        assert!(examples.insert(name.to_owned(), bytes).is_none(), "{name} stands there twice");
    }
    examples
}

fn frames(stream: &[u8]) -> Vec<Frame> {
    let mut buffer = FrameBuffer::new();
    buffer.extend(stream);
    let frames = std::iter::from_fn(|| buffer.next_frame().unwrap()).collect();
    assert!(!buffer.is_mid_frame());
    frames
}

/// Shows bytes as the page does, so that a difference can be read.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}
