//! Messages from later instances, as the holder's program gets them: each is answered once, or its sender is told that it
//! was dropped. What the program does not answer costs no more than so much: then more is refused, also when its
//! senders have left. Proven by `tests/messages.rs`, `tests/releasing.rs` and `tests/hostile_peers.rs`.

use std::{
    ffi::OsString,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::mpsc;

use crate::{
    answer::{self, Command, Ticket},
    platform::{self, Peer},
};

/// The messages that later instances hand to this one.
#[derive(Debug)]
pub struct Messages {
    receiver: mpsc::UnboundedReceiver<Message>,
}

impl Messages {
    pub(crate) fn new(receiver: mpsc::UnboundedReceiver<Message>) -> Self {
        Self { receiver }
    }

    /// Waits for the next message. Cancel safe.
    pub async fn next(&mut self) -> Option<Message> {
        self.receiver.recv().await
    }

    /// Waits for the next message on this thread; not for use inside a runtime.
    pub fn next_blocking(&mut self) -> Option<Message> {
        self.receiver.blocking_recv()
    }
}

/// So many messages may be unanswered, with so many bytes together.
const MOST_UNANSWERED: usize = 1024;
const MOST_BYTES: usize = 16 << 20;

/// What the program has not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Unanswered {
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

/// A message's part in what is unanswered, until it is dropped.
#[derive(Debug)]
struct Share {
    of: Arc<Unanswered>,
    bytes: usize,
}

impl Unanswered {
    /// Room for a message of so many bytes; only ever asked for by the answering thread.
    fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let (messages, before) = (self.messages.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        if messages >= MOST_UNANSWERED || before.saturating_add(bytes) > MOST_BYTES {
            return None;
        }
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Some(Share { of: self.clone(), bytes })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.messages.fetch_sub(1, Ordering::Relaxed);
        self.of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A message from another process. Dropped without an answer, its sender is told so.
#[derive(Debug)]
pub struct Message {
    sent: incumbent_proto::Send,
    peer: Peer,
    ticket: Option<Ticket>,
    _share: Share,
}

impl Message {
    /// None: too much is unanswered.
    pub(crate) fn new(
        sent: incumbent_proto::Send,
        peer: Peer,
        ticket: Ticket,
        unanswered: &Arc<Unanswered>,
    ) -> Option<Self> {
        let bytes = sent.body.len() + sent.cwd.len() + sent.args.iter().map(Vec::len).sum::<usize>();
        let share = unanswered.take(bytes)?;
        Some(Self { sent, peer, ticket: Some(ticket), _share: share })
    }

    /// The sender's arguments.
    #[must_use]
    pub fn args(&self) -> Vec<OsString> {
        self.sent.args.iter().cloned().map(platform::from_bytes).collect()
    }

    /// The sender's working directory.
    #[must_use]
    pub fn cwd(&self) -> PathBuf {
        platform::from_bytes(self.sent.cwd.clone()).into()
    }

    /// What came with it: the sender's standard input, say.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.sent.body
    }

    /// The sender's process, as the kernel says; none: it lives in another pid namespace.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.peer.pid
    }

    /// The sender's user, as the kernel says.
    #[must_use]
    pub fn uid(&self) -> Option<u32> {
        self.peer.uid.and_then(platform::user_number)
    }

    /// Answers: an exit code for the sender, and what it prints.
    pub fn answer(mut self, code: i32, body: impl Into<Vec<u8>>) {
        if let Some(ticket) = self.ticket.take() {
            answer::post(Command::Answered(ticket, Some((code, body.into()))));
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            answer::post(Command::Answered(ticket, None));
        }
    }
}
