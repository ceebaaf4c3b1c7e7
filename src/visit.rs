//! A conversation with one client, without I/O: bytes in, bytes out, and when it is over.
//!
//! Requests are answered in their order. A client that says nothing, or half a frame, or does not read its answers, is
//! let go of after a while; one that is owed an answer, or watches, may stay. Nothing here touches a disk, and no word
//! comes from a holder that does not hold. Proven by `tests/hostile.rs`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use incumbent_proto::{
    Answer, DirId, FrameBuffer, Handover, Identity, MIN_VERSION, Outcome, Phase, Pong, Progress,
    ProgressPhase, Refused, Reply, Request, Stop, Stopping, VERSION, Why, Withdrawn,
};

use crate::{
    answer::Ticket,
    held::{Answered, Held, Life, StopAsked, Successor},
    offer::{Handing, Offer, Offering},
    platform::{Passable, Peer},
};

/// For so long a connection may say nothing.
const SILENCE: Duration = Duration::from_secs(10);
/// For so long half a frame may stay half, and a reply unread.
const STALLED: Duration = Duration::from_secs(2);
/// So much room for words is kept when they were read.
const FEW_BYTES: usize = 4096;
/// So many requests of one client are answered before others get their turn.
const AT_ONCE: usize = 16;

/// What is being done for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// It asks, and is answered at once.
    Listening,
    /// The program has its message.
    AwaitingAnswer(Ticket),
    /// It is told every change of the status.
    Watching,
    /// It asked for the stop, and is told how that goes.
    Stopping,
}

/// How much a client needs its connection, from the one that can best be done without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// It asks nothing, and can connect anew.
    Idle,
    /// It does not read what it asked for.
    Unread,
    /// It is told changes, and can connect anew.
    Watching,
    /// It waits for an answer, or for the end of a stop.
    Owed,
}

/// A conversation with one client.
#[derive(Debug)]
pub(crate) struct Visit {
    peer: Peer,
    heard: FrameBuffer,
    said: Vec<u8>,
    doing: Doing,
    /// There may be whole requests left in what was heard.
    unfinished: bool,
    /// A change came while the last words were unread; they are not piled up.
    outdated: bool,
    /// When it last said something, or read something, or was put off.
    last_word: Instant,
    over: bool,
    /// It waits to take the holder's place.
    successor: Option<Successor>,
    /// It is going to ask for it, and knows what is handed over.
    handing: Option<Handing>,
    /// What goes with the byte at this place of what is to be written.
    passing: Option<(usize, Arc<Offer>, Vec<usize>)>,
}

impl Visit {
    pub(crate) fn new(peer: Peer, now: Instant) -> Self {
        Self {
            peer,
            heard: FrameBuffer::new(),
            said: Vec::new(),
            doing: Doing::Listening,
            unfinished: false,
            outdated: false,
            last_word: now,
            over: false,
            successor: None,
            handing: None,
            passing: None,
        }
    }

    /// Takes in what the client said, and answers.
    pub(crate) fn hear(&mut self, bytes: &[u8], held: &Arc<Held>, tickets: &mut Ticket, now: Instant) {
        self.last_word = now;
        self.heard.extend(bytes);
        self.go_on(held, tickets);
    }

    /// Answers what was heard, one request after the other, while nothing is owed; the rest when these were read.
    pub(crate) fn go_on(&mut self, held: &Arc<Held>, tickets: &mut Ticket) {
        self.unfinished = true;
        for _ in 0..AT_ONCE {
            if self.doing != Doing::Listening || self.over || self.passing.is_some() {
                return;
            }
            let request = match self.heard.next_frame() {
                Ok(None) => {
                    self.unfinished = false;
                    return;
                }
                Ok(Some(frame)) => Request::decode(&frame),
                Err(malformed) => Err(malformed),
            };
            if *held.life.borrow() != Life::Holding {
                self.over = true;
                return;
            }
            match request {
                Ok(request) => self.grant(request, held, tickets),
                Err(malformed) => {
                    self.say(&malformed.reply());
                    self.over = malformed.is_fatal();
                }
            }
        }
    }

    fn say(&mut self, reply: &Reply) {
        let bytes = reply.encode().or_else(|_| {
            let note = "the answer is longer than the protocol allows".to_owned();
            Reply::Refused(Refused { why: Why::Other, note }).encode()
        });
        self.said.extend(bytes.unwrap_or_default());
    }

    fn refuse(&mut self, why: Why, note: &str) {
        self.say(&Reply::Refused(Refused { why, note: note.to_owned() }));
    }

    fn grant(&mut self, request: Request, held: &Arc<Held>, tickets: &mut Ticket) {
        match request {
            Request::Ping(ping) => {
                let dir = held.place.dir_id().map(|id| DirId { dev: id.dev, ino: id.ino });
                let (name, instance_id) = (held.place.name.clone(), held.id.to_bytes());
                self.say(&Reply::Pong(Pong { nonce: ping.nonce, instance_id, name, dir }));
            }
            Request::Identify(_) => self.say(&Reply::Identity(Identity {
                pid: held.process,
                instance_id: held.id.to_bytes(),
                version: held.version.clone(),
                min_protocol: MIN_VERSION,
                max_protocol: VERSION,
                name: held.place.name.clone(),
                generation: held.generation,
                started_at_us: held.started_at_us,
            })),
            Request::Status(_) => self.say(&Reply::StatusIs(Box::new(held.status()))),
            Request::Watch(_) => {
                self.doing = Doing::Watching;
                self.say(&Reply::StatusIs(Box::new(held.status())));
            }
            Request::Stop(stop) => self.stop(stop, held),
            Request::Send(send) => self.hand_over(send, held, tickets),
            Request::Handover(handover) => self.hand_on(&handover, held),
            Request::Withdraw(withdraw) => {
                if let Some(handing) = self.handing.take() {
                    handing.fails(&withdraw.why);
                }
                self.say(&Reply::Withdrawn(Withdrawn {}));
            }
        }
    }

    /// Passes on what the program offers, to who is going to take its place.
    fn hand_on(&mut self, asked: &Handover, held: &Arc<Held>) {
        if let Some(why) = held.refuses(asked.reason, self.peer.pid) {
            return self.refuse(Why::Other, &why);
        }
        let offer = held.face().offer.clone();
        let offer = match offer {
            Offering::Now(offer) => offer,
            Offering::Soon => return self.refuse(Why::TooBusy, "it has yet to listen"),
            Offering::None => return self.refuse(Why::Other, "it hands nothing over"),
        };
        if self.handing.is_none() {
            self.handing = Handing::begin(held, self.peer.pid, asked);
        }
        if self.handing.is_none() {
            return self.refuse(Why::TooBusy, "another is taking over");
        }
        let (words, which) = offer.say(self.peer.pid);
        let at = self.said.len();
        self.say(&Reply::Offered(words));
        // A second one may not be asked for before the first was read.
        self.passing = (!which.is_empty()).then_some((at, offer, which));
    }

    /// Whether it gets ready beside the program, to ask for the place then.
    pub(crate) fn gets_ready(&self) -> bool {
        self.handing.as_ref().is_some_and(|handing| handing.overlap)
    }

    /// Whether it has closed its end, and waits for no answer.
    pub(crate) fn has_left(&mut self, has_left: bool) {
        if let Some(handing) = &mut self.handing {
            handing.has_left = has_left;
        }
    }

    /// Passes the wish to the program, and says how long it has.
    fn stop(&mut self, stop: Stop, held: &Arc<Held>) {
        if let Some(handing) = self.handing.take_if(|handing| handing.has_left && stop.reason.is_replace()) {
            // It has given up, or is dead; nothing was promised to it, and nobody else would serve.
            handing.fails("it was ready, and went away before it was heard");
            self.over = true;
            return;
        }
        let grace = (stop.grace_ms != Stop::HOLDERS_GRACE).then(|| Duration::from_millis(stop.grace_ms));
        let (reason, pid, command) = (stop.reason, self.peer.pid, stop.command);
        let is_ready = reason.is_replace() && self.gets_ready();
        let asked = StopAsked { reason, grace, at: Instant::now(), pid, command, is_ready };
        // Before the program learns of it, which may be gone the next moment.
        self.successor = reason.is_replace().then(|| Successor::of(held));
        let busy = *held.busy.borrow();
        let (outcome, grace, busy, note) = match held.begin_stop(asked, stop.if_idle) {
            Answered::Goes(grace) => (Outcome::Acknowledged, grace, busy, String::new()),
            Answered::Busy(busy) => (Outcome::Busy, Duration::ZERO, busy, format!("{busy} in flight")),
            Answered::Refused(why) => (Outcome::Refused, Duration::ZERO, busy, why),
        };
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.say(&Reply::Stopping(Stopping { outcome, grace_ms, busy, note }));
        if outcome == Outcome::Acknowledged {
            if let Some(handing) = self.handing.take() {
                handing.succeeds();
            }
            self.doing = Doing::Stopping;
            self.say(&Reply::Progress(progress(held)));
        } else {
            self.successor = None;
        }
    }

    /// Gives the message to the program, if it takes any.
    fn hand_over(&mut self, send: incumbent_proto::Send, held: &Held, tickets: &mut Ticket) {
        let face = held.face();
        let (draining, messages) = (face.draining, face.messages.clone());
        drop(face);
        if draining {
            return self.refuse(Why::Stopping, "it is stopping");
        }
        *tickets += 1;
        let left = match messages {
            Some(inbox) => inbox.leave(send, self.peer, *tickets),
            None => Err((Why::NoMessages, "it takes no messages")),
        };
        match left {
            Ok(()) => self.doing = Doing::AwaitingAnswer(*tickets),
            Err((why, words)) => self.refuse(why, words),
        }
    }

    /// The message that the program has of it.
    pub(crate) fn ticket(&self) -> Option<Ticket> {
        match self.doing {
            Doing::AwaitingAnswer(ticket) => Some(ticket),
            _ => None,
        }
    }

    /// Says the program's answer, if it is this client's message that was answered.
    pub(crate) fn answered(
        &mut self,
        ticket: Ticket,
        answer: Option<&(i32, Vec<u8>)>,
        held: &Arc<Held>,
        tickets: &mut Ticket,
    ) {
        if self.doing != Doing::AwaitingAnswer(ticket) {
            return;
        }
        self.doing = Doing::Listening;
        self.last_word = Instant::now();
        match answer {
            Some((code, body)) => self.say(&Reply::Answer(Answer { code: *code, body: body.clone() })),
            None => self.refuse(Why::Other, "it dropped the message without an answer"),
        }
        self.go_on(held, tickets);
    }

    /// Says what has changed, to who wants to know.
    pub(crate) fn changed(&mut self, held: &Held) {
        if !matches!(self.doing, Doing::Watching | Doing::Stopping) {
            return;
        }
        if !self.said.is_empty() {
            self.outdated = true;
            return;
        }
        self.last_word = Instant::now(); // it is not the client's fault that nothing changed
        match self.doing {
            Doing::Watching => self.say(&Reply::StatusIs(Box::new(held.status()))),
            _ => self.say(&Reply::Progress(progress(held))),
        }
    }

    /// What is to be written; up to what sockets go with.
    pub(crate) fn to_write(&self) -> &[u8] {
        match &self.passing {
            Some((at, ..)) if *at > 0 => &self.said[..*at],
            _ => &self.said,
        }
    }

    /// The sockets that go with the first byte of that.
    pub(crate) fn to_pass(&self) -> Vec<&Passable> {
        match &self.passing {
            Some((0, offer, which)) => which.iter().map(|at| &offer.listeners[*at].socket).collect(),
            _ => Vec::new(),
        }
    }

    /// So much of it was written.
    pub(crate) fn wrote(&mut self, count: usize, held: &Held, now: Instant) {
        self.said.drain(..count);
        self.passing = self
            .passing
            .take()
            .filter(|(at, ..)| *at > 0)
            .map(|(at, offer, which)| (at - count, offer, which));
        self.last_word = now;
        if self.said.is_empty() {
            self.said.shrink_to(FEW_BYTES);
            if std::mem::take(&mut self.outdated) {
                self.changed(held);
            }
        }
    }

    /// Tells whether it may speak now: everything said before was read, and nothing is owed.
    pub(crate) fn may_be_heard(&self) -> bool {
        self.said.is_empty() && !self.over && self.doing == Doing::Listening
    }

    /// Tells whether requests that were heard wait for their turn.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.may_be_heard() && self.unfinished
    }

    /// How much it needs its connection, when one must make room.
    pub(crate) fn need(&self) -> Need {
        match self.doing {
            Doing::AwaitingAnswer(_) | Doing::Stopping => Need::Owed,
            _ if !self.said.is_empty() => Need::Unread,
            _ if self.handing.is_some() => Need::Owed,
            Doing::Watching => Need::Watching,
            Doing::Listening if self.unfinished => Need::Owed,
            Doing::Listening => Need::Idle,
        }
    }

    pub(crate) fn last_word(&self) -> Instant {
        self.last_word
    }

    /// How many bytes of a request that is not whole it keeps.
    pub(crate) fn half_heard(&self) -> usize {
        if self.doing == Doing::Listening && !self.unfinished { self.heard.kept() } else { 0 }
    }

    /// How many bytes it keeps beside those: of requests that have not had their turn, and of unread words.
    pub(crate) fn unread(&self) -> usize {
        self.heard.kept() - self.half_heard() + self.said.capacity()
    }

    /// It said nothing because it was not listened to.
    pub(crate) fn was_put_off(&mut self, now: Instant) {
        self.last_word = now;
    }

    /// When it is let go of if nothing happens until then.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.doing {
            _ if !self.said.is_empty() => Some(self.last_word + STALLED),
            Doing::Listening if self.heard.is_mid_frame() => Some(self.last_word + STALLED),
            Doing::Listening if self.handing.is_some() => None,
            Doing::Listening => Some(self.last_word + SILENCE),
            Doing::AwaitingAnswer(_) | Doing::Watching | Doing::Stopping => None,
        }
    }

    /// Tells whether nothing more is to be said.
    pub(crate) fn is_over(&self) -> bool {
        self.over && self.said.is_empty()
    }
}

fn progress(held: &Held) -> Progress {
    let busy = *held.busy.borrow();
    let remaining = held.stop.borrow().as_ref().map_or(Duration::ZERO, StopAsked::remaining);
    let face = held.face();
    Progress {
        phase: match face.phase {
            _ if face.draining => ProgressPhase::Draining,
            Phase::Starting => ProgressPhase::Starting,
            Phase::Ready | Phase::Draining => ProgressPhase::Ready,
        },
        remaining_ms: u64::try_from(remaining.as_millis()).unwrap_or(u64::MAX),
        busy: face.counts_work.then_some(busy),
        note: face.note.clone().unwrap_or_default(),
    }
}
