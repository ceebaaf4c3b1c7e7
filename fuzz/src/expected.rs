//! What a holder must answer to a stream of requests, said a second time and as plainly as can be: by `PROTOCOL.md`.

use std::time::Duration;

use incumbent_proto::{FrameBuffer, Outcome, Reply, Request, StopReason, Why, Withdrawn};

/// One reply, as far as it is known before.
#[derive(Debug)]
enum Want {
    Pong([u8; 16]),
    Identity,
    Status,
    Stopping(Outcome),
    Answer(Vec<u8>),
    Refused(Why),
    Exactly(Reply),
}

/// What the holder does when all is said.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Then {
    Listens { mid_frame: bool },
    Watched,
    Stops,
    Closes,
}

/// The replies that are due.
#[derive(Debug)]
pub struct Expected {
    wants: Vec<Want>,
    /// So many come before the program has answered its first message.
    before_message: Option<usize>,
    then: Then,
}

impl Expected {
    /// Of a holder with so much work in flight that takes messages or not, and refuses to stop or not.
    pub fn of(stream: &[u8], busy: u64, messages: bool, refuses: bool) -> Self {
        let mut buffer = FrameBuffer::new();
        buffer.extend(stream);
        let mut due = Self { wants: Vec::new(), before_message: None, then: Then::Closes };
        loop {
            let request = match buffer.next_frame() {
                Ok(None) => {
                    due.then = Then::Listens { mid_frame: buffer.is_mid_frame() };
                    return due;
                }
                Ok(Some(frame)) => Request::decode(&frame),
                Err(malformed) => Err(malformed),
            };
            due.wants.push(match request {
                Ok(Request::Ping(ping)) => Want::Pong(ping.nonce),
                Ok(Request::Identify(_)) => Want::Identity,
                Ok(Request::Status(_)) => Want::Status,
                Ok(Request::Watch(_)) => {
                    due.then = Then::Watched;
                    Want::Status
                }
                Ok(Request::Stop(stop)) if refuses && stop.reason != StopReason::ReplaceAnyway => {
                    Want::Stopping(Outcome::Refused)
                }
                Ok(Request::Stop(stop)) if stop.if_idle && busy > 0 => Want::Stopping(Outcome::Busy),
                Ok(Request::Stop(_)) => {
                    due.then = Then::Stops;
                    Want::Stopping(Outcome::Acknowledged)
                }
                Ok(Request::Send(_)) if !messages => Want::Refused(Why::NoMessages),
                Ok(Request::Send(send)) => {
                    due.before_message.get_or_insert(due.wants.len());
                    Want::Answer(send.body)
                }
                // It offers nothing.
                Ok(Request::Handover(_)) => Want::Refused(Why::Other),
                Ok(Request::Withdraw(_)) => Want::Exactly(Reply::Withdrawn(Withdrawn {})),
                Err(malformed) => {
                    due.wants.push(Want::Exactly(malformed.reply()));
                    if malformed.is_fatal() {
                        return due;
                    }
                    continue;
                }
            });
            if due.then != Then::Closes {
                return due;
            }
        }
    }

    /// Holds what was heard against it. `late`: the program has answered nothing yet; `cut`: it may end early.
    pub fn check(&self, heard: &[u8], late: bool, cut: bool) {
        let (frames, fatal, mid_frame) = crate::frames(std::iter::once(heard));
        assert!(fatal.is_none() && !mid_frame, "whole replies");
        let waits = self.before_message.filter(|_| late);
        let wants = &self.wants[..waits.unwrap_or(self.wants.len())];
        for (frame, want) in frames.iter().zip(wants) {
            assert_eq!(frame.header.version, incumbent_proto::VERSION);
            let reply = Reply::decode(frame).expect("a reply");
            let fits = match (&reply, want) {
                (Reply::Pong(pong), Want::Pong(nonce)) => pong.nonce == *nonce && pong.name == "a",
                (Reply::Identity(it), Want::Identity) => it.pid == std::process::id(),
                (Reply::StatusIs(it), Want::Status) => it.pid == std::process::id(),
                (Reply::Stopping(it), Want::Stopping(outcome)) => it.outcome == *outcome,
                (Reply::Answer(it), Want::Answer(body)) => (it.code, &it.body) == (7, body),
                (Reply::Refused(it), Want::Refused(why)) => it.why == *why,
                (reply, Want::Exactly(wanted)) => reply == wanted,
                _ => false,
            };
            assert!(fits, "{reply:?} to {want:?}");
        }
        assert!(cut || frames.len() >= wants.len(), "{} of {} replies", frames.len(), wants.len());
        let more = frames
            .get(wants.len()..)
            .unwrap_or_default()
            .iter()
            .map(|it| Reply::decode(it).expect("a reply"));
        let more: Vec<_> = more.collect();
        match self.then {
            _ if waits.is_some() => assert!(more.is_empty(), "{more:?} before the program's answer"),
            Then::Watched => assert!(more.iter().all(|it| matches!(it, Reply::StatusIs(_))), "{more:?}"),
            Then::Stops => {
                assert!(more.iter().all(|it| matches!(it, Reply::Progress(_))), "{more:?}");
                assert!(cut || !more.is_empty(), "how it goes is said at once");
            }
            Then::Listens { .. } | Then::Closes => assert!(more.is_empty(), "{more:?} to nothing"),
        }
    }

    /// Whether the connection stays when nobody says anything for so long.
    pub fn stays(&self, late: bool, patience: Duration) -> bool {
        match self.then {
            _ if late && self.before_message.is_some() => true,
            Then::Watched | Then::Stops => true,
            Then::Closes => false,
            Then::Listens { mid_frame } => patience < Duration::from_secs(if mid_frame { 2 } else { 10 }),
        }
    }
}
