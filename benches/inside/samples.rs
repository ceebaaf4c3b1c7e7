//! One message of every kind, and a record, as a holder of everyday life says them: what is encoded, decoded, written, read.

use incumbent_proto::{
    Answer, Child, DirId, FrameBuffer, Handover, Identify, Identity, Kind, MIN_VERSION, Offered, Outcome,
    Phase, Ping, Pong, Progress, ProgressPhase, Refused, Reply, Request, Send, StatusReply, StatusRequest,
    Stop, StopReason, Stopping, Unsupported, VERSION, Watch, Why, Withdraw, Withdrawn,
};

use crate::{
    instance_id::InstanceId,
    record::{self, Record, SCHEMA},
    starter::Starter,
};

const ID: [u8; 16] = [0x5a; 16];
const NAME: &str = "hermes-gateway";
/// 2026-01-01T00:00:00Z, in microseconds.
const NEW_YEAR: i64 = 1_767_225_600_000_000;

/// What one side says.
#[derive(Debug)]
pub(crate) enum Said {
    Request(Request),
    Reply(Reply),
}

impl Said {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Request(request) => request.encode().unwrap(),
            Self::Reply(reply) => reply.encode().unwrap(),
        }
    }
}

/// From the bytes of a stream to the message, as both sides do it.
pub(crate) fn decode(bytes: &[u8]) -> Said {
    let mut frames = FrameBuffer::new();
    frames.extend(bytes);
    let frame = frames.next_frame().unwrap().unwrap();
    if frame.header.kind < 128 {
        Said::Request(Request::decode(&frame).unwrap())
    } else {
        Said::Reply(Reply::decode(&frame).unwrap())
    }
}

/// A message of this kind.
pub(crate) fn said(kind: Kind) -> Said {
    match kind {
        Kind::Ping => Said::Request(Request::Ping(Ping { nonce: [7; 16] })),
        Kind::Identify => Said::Request(Request::Identify(Identify {})),
        Kind::Stop => Said::Request(Request::Stop(Stop {
            reason: StopReason::Replace,
            if_idle: false,
            grace_ms: Stop::HOLDERS_GRACE,
            pid: 4_242,
            command: "gateway run --replace -- python3 -m hermes".into(),
        })),
        Kind::Status => Said::Request(Request::Status(StatusRequest {})),
        Kind::Send => Said::Request(Request::Send(Send {
            args: words(&["open", "https://example.org/a/page", "--new-window"]),
            cwd: b"/home/ann/work".into(),
            body: vec![b'x'; 256],
        })),
        Kind::Watch => Said::Request(Request::Watch(Watch {})),
        Kind::Handover => Said::Request(Request::Handover(Handover {
            reason: StopReason::Replace,
            overlap: true,
            pid: 4_242,
            command: "gateway run --replace=overlap --listen 127.0.0.1:8080 -- python3 -m hermes".into(),
        })),
        Kind::Withdraw => {
            Said::Request(Request::Withdraw(Withdraw { why: "its PROGRAM ended with 1".into() }))
        }
        Kind::Offered => Said::Reply(Reply::Offered(Offered {
            names: words(&["http", "admin"]),
            addresses: words(&["127.0.0.1:8080", "/run/hermes/admin.sock"]),
            state: vec![b'z'; 256],
            descriptions: Vec::new(),
        })),
        Kind::Withdrawn => Said::Reply(Reply::Withdrawn(Withdrawn {})),
        Kind::Pong => {
            let dir = Some(DirId { dev: 0x801, ino: 1_234_567 });
            Said::Reply(Reply::Pong(Pong { nonce: [7; 16], instance_id: ID, name: NAME.into(), dir }))
        }
        Kind::Identity => Said::Reply(Reply::Identity(Identity {
            pid: 4_242,
            instance_id: ID,
            version: "0.19.0".into(),
            min_protocol: MIN_VERSION,
            max_protocol: VERSION,
            name: NAME.into(),
            generation: NEW_YEAR.unsigned_abs(),
            started_at_us: NEW_YEAR,
        })),
        Kind::Stopping => Said::Reply(Reply::Stopping(Stopping {
            outcome: Outcome::Acknowledged,
            grace_ms: 30_000,
            busy: 3,
            note: "finishing 3 conversations".into(),
        })),
        Kind::StatusIs => Said::Reply(Reply::StatusIs(Box::new(status()))),
        Kind::Answer => Said::Reply(Reply::Answer(Answer { code: 0, body: vec![b'y'; 256] })),
        Kind::Progress => Said::Reply(Reply::Progress(Progress {
            phase: ProgressPhase::Draining,
            remaining_ms: 29_000,
            busy: Some(2),
            note: "finishing 2 conversations".into(),
        })),
        Kind::Refused => {
            let note = "this program takes no messages".into();
            Said::Reply(Reply::Refused(Refused { why: Why::NoMessages, note }))
        }
        Kind::Unsupported => Said::Reply(Reply::Unsupported(Unsupported { min: 1, max: 1 })),
    }
}

fn status() -> StatusReply {
    StatusReply {
        phase: Phase::Ready,
        pid: 4_242,
        instance_id: ID,
        generation: NEW_YEAR.unsigned_abs(),
        started_at_us: NEW_YEAR,
        uptime_us: 86_400_000_000,
        version: "0.19.0".into(),
        command: words(&["gateway", "run", "--name", NAME, "--", "python3", "-m", "hermes"]),
        note: Some("connected to 4 platforms".into()),
        busy: Some(3),
        supervisor: Some("systemd".into()),
        rss_bytes: Some(5 << 20),
        cpu_percent: Some(0.3),
        lag_us: Some(120),
        child: Some(Child { pid: 4_243, command: words(&["python3", "-m", "hermes"]) }),
        problem: None,
    }
}

fn words(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// A record with everything in it.
pub(crate) fn record() -> Record {
    let command = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    Record {
        schema: SCHEMA,
        name: NAME.into(),
        dir: "/home/ann/.local/state/hermes".into(),
        dir_id: Some(record::DirId { dev: 0x801, ino: 1_234_567 }),
        pid_file_id: Some(record::DirId { dev: 0x801, ino: 1_234_568 }),
        pid: 4_242,
        start_ticks: Some(123_456_789),
        boot_id: Some("0b1e6f9a-6a5b-4c7d-8e9f-0a1b2c3d4e5f".into()),
        machine_id: Some("0123456789abcdef0123456789abcdef".into()),
        host: Some("workstation".into()),
        uid: Some(1_000),
        executable: Some("/usr/local/bin/gateway".into()),
        command: command(&["gateway", "run", "--name", NAME, "--", "python3", "-m", "hermes"]),
        version: Some("0.19.0".into()),
        generation: NEW_YEAR.unsigned_abs(),
        instance_id: InstanceId::from_bytes(ID),
        endpoint: Some("/home/ann/.local/state/hermes/hermes-gateway.sock".into()),
        child: Some(record::Child {
            pid: 4_243,
            command: command(&["python3", "-m", "hermes"]),
            start_ticks: Some(123_456_790),
            pid_namespace: Some("pid:[4026531836]".into()),
        }),
        started_by: Some(Starter {
            pid: Some(1),
            name: Some("systemd".into()),
            start_ticks: Some(9),
            unit: Some("gateway@hermes.service".into()),
            session: Some(4_242),
        }),
        left_behind: None,
        started_at_us: NEW_YEAR,
        ended_at_us: None,
        end: None,
        failed_takeovers: Vec::new(),
    }
}
