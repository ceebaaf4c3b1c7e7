//! What a holder hands over: listening sockets, and bytes of its program's own; and what becomes of a takeover that asked
//! for it, as the holder sees it.
//!
//! The state is tied to the connection of the one that asked: when it ends without a request to make room, the takeover has
//! failed, and the holder goes on. Proven by `tests/handover_failures.rs`.

use std::{
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

use incumbent_proto::Handover;
use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    held::{Held, Life, Problem},
    platform::{self, Passable, Socket},
    text, timestamp,
};

/// A listening socket that is handed over.
#[derive(Debug)]
pub struct Listening {
    /// What the program calls it.
    pub name: String,
    /// Where it listens, in the program's words: `127.0.0.1:80`, `/run/a.sock`.
    pub address: String,
    /// The socket. It is a copy: as long as one is open that listens, connections are let into its queue.
    pub socket: Socket,
}

/// What a takeover has received from the holder that it is going to replace.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Received {
    /// The listening sockets, in the holder's order.
    pub listeners: Vec<Listening>,
    /// What else the holder's program gives.
    pub state: Vec<u8>,
}

/// A takeover that has failed while the holder served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FailedTakeover {
    /// When, in microseconds since 1970; in JSON RFC 3339.
    #[serde(rename = "at", with = "timestamp::as_text")]
    pub at_us: i64,
    /// The process that wanted to take over; none: in another pid namespace.
    pub pid: Option<u32>,
    /// Why it did not, in its own words if it gave any.
    pub why: String,
}

/// So many of those that failed are remembered.
const REMEMBERED: usize = 8;
/// And so many of them in the line of the history, which has to stay short.
pub(crate) const IN_HISTORY: usize = 3;
/// No reason takes more bytes in JSON.
const LONGEST_WHY: usize = 400;

/// A reason as it is shown and written: without control characters, and short enough.
fn short(why: &str) -> String {
    let mut left = LONGEST_WHY;
    let fits = |c: &char| {
        let escaped = c.len_utf8() + usize::from(matches!(c, '"' | '\\'));
        left.checked_sub(escaped).inspect(|rest| left = *rest).is_some()
    };
    text::shown(why).chars().take_while(fits).collect()
}

/// Whether something is offered.
#[derive(Debug, Clone, Default)]
pub(crate) enum Offering {
    /// Nothing, and no successor may get ready beside the program.
    #[default]
    None,
    /// Something will be, once the program listens.
    Soon,
    Now(Arc<Offer>),
}

/// What is offered, as the answering thread passes it on.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) listeners: Vec<Offered>,
    pub(crate) state: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Offered {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) socket: Passable,
}

impl Offer {
    pub(crate) fn new(listeners: Vec<Listening>, state: Vec<u8>) -> Result<Self, Error> {
        let of = |it: Listening| {
            let path = it.address.clone().into();
            let failed = |source| Error::Io { doing: "offer the socket at", path, source };
            Ok(Offered {
                name: it.name,
                address: it.address,
                socket: Passable::new(it.socket).map_err(failed)?,
            })
        };
        if listeners.len() > incumbent_proto::MAX_OFFERED || state.len() > incumbent_proto::MAX_BODY / 2 {
            return Err(Error::TooLong { limit: incumbent_proto::MAX_BODY / 2 });
        }
        Ok(Self { listeners: listeners.into_iter().map(of).collect::<Result<_, _>>()?, state })
    }

    /// The words for what can still be passed on to that process, and which those are.
    pub(crate) fn say(self: &Arc<Self>, to: Option<u32>) -> (incumbent_proto::Offered, Vec<usize>) {
        let described: Vec<(usize, Option<Vec<u8>>)> = (0..self.listeners.len())
            .filter_map(|at| Some((at, self.listeners[at].socket.describe(to).ok()?)))
            .collect();
        let which: Vec<usize> = described.iter().map(|(at, _)| *at).collect();
        let descriptions = described.into_iter().filter_map(|(_, description)| description).collect();
        let names = which.iter().map(|at| self.listeners[*at].name.clone().into_bytes()).collect();
        let addresses = which.iter().map(|at| self.listeners[*at].address.clone().into_bytes()).collect();
        (incumbent_proto::Offered { names, addresses, state: self.state.clone(), descriptions }, which)
    }
}

/// Pairs the words of a holder with what came beside them; what does not listen is closed.
pub(crate) fn received(offered: incumbent_proto::Offered, mut sockets: Vec<Socket>) -> Received {
    sockets.extend(platform::described(&offered.descriptions));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let words = offered.names.into_iter().map(text).zip(offered.addresses.into_iter().map(text));
    let listeners = words
        .zip(sockets)
        .filter(|(_, socket)| platform::listens(socket))
        .map(|((name, address), socket)| Listening { name, address, socket })
        .collect();
    Received { listeners, state: offered.state }
}

/// A takeover that has asked what is handed over, and has not asked for the place yet: as long as its connection lasts.
#[derive(Debug)]
pub(crate) struct Handing {
    held: Arc<Held>,
    pid: Option<u32>,
    /// It is going to be ready before it asks for the place.
    pub(crate) overlap: bool,
    /// It has closed its end: what it said before that may be heard late, after this process was stopped.
    pub(crate) has_left: bool,
    is_over: bool,
}

impl Handing {
    /// None: another one has, and is there.
    pub(crate) fn begin(held: &Arc<Held>, pid: Option<u32>, asked: &Handover) -> Option<Self> {
        if held.handing.swap(true, Ordering::AcqRel) {
            return None;
        }
        held.set_problem(Problem::Takeover, None);
        Some(Self { held: held.clone(), pid, overlap: asked.overlap, has_left: false, is_over: false })
    }

    /// It was promised the place.
    pub(crate) fn succeeds(mut self) {
        self.is_over = true;
    }

    /// It does not want it any more.
    pub(crate) fn fails(mut self, why: &str) {
        self.note(why);
    }

    fn note(&mut self, why: &str) {
        self.is_over = true;
        // What is asked of one that does not hold any more came too late to fail.
        if *self.held.life.borrow() != Life::Holding {
            return;
        }
        let failed =
            FailedTakeover { at_us: timestamp::of(SystemTime::now()), pid: self.pid, why: short(why) };
        let who =
            failed.pid.map_or_else(|| "in another pid namespace".to_owned(), |pid| format!("by pid {pid}"));
        self.held.set_problem(
            Problem::Takeover,
            Some(format!(
                "a takeover {who} failed on {}: {}; this one goes on",
                timestamp::format(failed.at_us),
                failed.why
            )),
        );
        self.held.failed.send_modify(|all| {
            all.push(failed);
            let surplus = all.len().saturating_sub(REMEMBERED);
            all.drain(..surplus);
        });
    }
}

impl Drop for Handing {
    fn drop(&mut self) {
        if !self.is_over {
            self.note("it went away before it was ready");
        }
        self.held.handing.store(false, Ordering::Release);
        crate::answer::post_changed(&self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_short_in_json_whatever_it_is() {
        for why in ["é", "\"", "\\", "\u{7}", "a", "\u{10348}"] {
            let short = short(&why.repeat(5000));
            let json = serde_json::to_string(&short).unwrap_or_default();
            assert!((LONGEST_WHY - 4..=LONGEST_WHY + 2).contains(&json.len()), "{why}: {}", json.len());
        }
        assert_eq!(short("it ended with 1"), "it ended with 1");
    }
}
