//! Arbitrary messages, for proptest.

use incumbent_proto::*;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Any request.
pub(crate) fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        any::<[u8; 16]>().prop_map(|nonce| Request::Ping(Ping { nonce })),
        Just(Request::Identify(Identify {})),
        stop().prop_map(Request::Stop),
        Just(Request::Status(StatusRequest {})),
        (list(), bytes(), bytes()).prop_map(|(args, cwd, body)| Request::Send(Send { args, cwd, body })),
        Just(Request::Watch(Watch {})),
        (any::<(u8, bool, u32)>(), text()).prop_map(|((reason, overlap, pid), command)| {
            Request::Handover(Handover { reason: reason.into(), overlap, pid, command })
        }),
        text().prop_map(|why| Request::Withdraw(Withdraw { why })),
    ]
}

/// Any reply.
pub(crate) fn reply() -> impl Strategy<Value = Reply> {
    let numbers = any::<(u8, u64, u64, Option<u64>)>;
    prop_oneof![
        pong().prop_map(Reply::Pong),
        identity().prop_map(Reply::Identity),
        (numbers(), text()).prop_map(|((outcome, grace_ms, busy, _), note)| {
            Reply::Stopping(Stopping { outcome: outcome.into(), grace_ms, busy, note })
        }),
        status().prop_map(|status| Reply::StatusIs(Box::new(status))),
        (any::<i32>(), bytes()).prop_map(|(code, body)| Reply::Answer(Answer { code, body })),
        (numbers(), text()).prop_map(|((phase, remaining_ms, _, busy), note)| {
            Reply::Progress(Progress { phase: phase.into(), remaining_ms, busy, note })
        }),
        (any::<u8>(), text()).prop_map(|(why, note)| Reply::Refused(Refused { why: why.into(), note })),
        (list(), list(), bytes(), list()).prop_map(|(names, addresses, state, descriptions)| {
            Reply::Offered(Offered { names, addresses, state, descriptions })
        }),
        Just(Reply::Withdrawn(Withdrawn {})),
        any::<(u16, u16)>().prop_map(|(min, max)| Reply::Unsupported(Unsupported { min, max })),
    ]
}

fn stop() -> impl Strategy<Value = Stop> {
    let numbers = any::<(u8, bool, u64, u32)>();
    (numbers, text()).prop_map(|((reason, if_idle, grace_ms, pid), command)| Stop {
        reason: reason.into(),
        if_idle,
        grace_ms,
        pid,
        command,
    })
}

fn pong() -> impl Strategy<Value = Pong> {
    let numbers = any::<([u8; 16], [u8; 16], Option<(u64, u64)>)>();
    (numbers, text()).prop_map(|((nonce, instance_id, dir), name)| Pong {
        nonce,
        instance_id,
        name,
        dir: dir.map(|(dev, ino)| DirId { dev, ino }),
    })
}

fn identity() -> impl Strategy<Value = Identity> {
    let numbers = any::<(u32, [u8; 16], u16, u16, u64, i64)>();
    (numbers, text(), text()).prop_map(|(numbers, version, name)| Identity {
        pid: numbers.0,
        instance_id: numbers.1,
        version,
        min_protocol: numbers.2,
        max_protocol: numbers.3,
        name,
        generation: numbers.4,
        started_at_us: numbers.5,
    })
}

fn status() -> impl Strategy<Value = StatusReply> {
    let phase = prop_oneof![Just(Phase::Starting), Just(Phase::Ready), Just(Phase::Draining)];
    let numbers = any::<(u32, [u8; 16], u64, i64, u64)>();
    let measures = any::<(Option<u64>, Option<u64>, Option<u64>)>();
    let child = (any::<u32>(), list()).prop_map(|(pid, command)| Child { pid, command });
    let texts = [option::of(text()), option::of(text()), option::of(text())];
    let cpu = option::of(-1e9..1e9);
    (phase, numbers, text(), list(), measures, cpu, option::of(child), texts).prop_map(
        |(phase, numbers, version, command, measures, cpu_percent, child, texts)| {
            let [note, supervisor, problem] = texts;
            StatusReply {
                phase,
                pid: numbers.0,
                instance_id: numbers.1,
                generation: numbers.2,
                started_at_us: numbers.3,
                uptime_us: numbers.4,
                version,
                command,
                note,
                busy: measures.0,
                supervisor,
                rss_bytes: measures.1,
                cpu_percent,
                lag_us: measures.2,
                child,
                problem,
            }
        },
    )
}

fn text() -> impl Strategy<Value = String> {
    ".{0,20}"
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

fn list() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(bytes(), 0..5)
}
