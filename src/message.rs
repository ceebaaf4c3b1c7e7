//! Messages from later instances, as the holder's program gets them: each is answered once, or its sender is told that it
//! was dropped. Proven by `tests/messages.rs` and `tests/releasing.rs`.

use std::{
    ffi::OsString,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use incumbent_proto::Why;
use tokio::sync::mpsc;

use crate::{
    answer::{self, Command, Ticket},
    platform::{self, Peer},
};

/// So many bytes of messages may be with the program, or wait for it, without an answer.
const ROOM: usize = 16 << 20;
/// What a message takes beside its bytes, roundly.
const EACH: usize = 512;

/// Where the answering thread leaves messages for the program.
///
/// A program that takes messages and does not look at them must not cost memory without end: what does not fit is refused,
/// and its sender told to try again later.
#[derive(Debug, Clone)]
pub(crate) struct Inbox {
    sender: mpsc::UnboundedSender<Message>,
    waiting: Arc<AtomicUsize>,
}

/// Room that a message takes up until it is dropped.
#[derive(Debug)]
struct Taken {
    waiting: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl Inbox {
    /// An empty one, and what the program takes messages from.
    pub(crate) fn new() -> (Self, Messages) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender, waiting: Arc::default() }, Messages { receiver })
    }

    /// Leaves a message; or why it cannot be left.
    pub(crate) fn leave(
        &self,
        sent: incumbent_proto::Send,
        peer: Peer,
        ticket: Ticket,
    ) -> Result<(), (Why, &'static str)> {
        let bytes = EACH
            + sent.body.len()
            + sent.cwd.len()
            + sent.args.iter().map(|arg| arg.len() + size_of::<Vec<u8>>()).sum::<usize>();
        // Only the answering thread adds, so nobody else does between this look and the next line.
        if self.waiting.load(Ordering::Acquire) + bytes > ROOM {
            return Err((Why::TooBusy, "too many messages wait for an answer; try again later"));
        }
        self.waiting.fetch_add(bytes, Ordering::AcqRel);
        let taken = Taken { waiting: self.waiting.clone(), bytes };
        let message = Message { sent, peer, ticket: Some(ticket), _taken: taken };
        self.sender.send(message).map_err(|unsent| {
            let mut message = unsent.0;
            message.ticket = None; // nobody has it: its sender is refused, not told that it was dropped
            (Why::NoMessages, "it takes no messages")
        })
    }
}

/// The messages that later instances hand to this one.
///
/// At most 16 MiB of them are kept without an answer; a sender of more is told to try again later.
#[derive(Debug)]
pub struct Messages {
    receiver: mpsc::UnboundedReceiver<Message>,
}

impl Messages {
    /// Waits for the next message. Cancel safe.
    pub async fn next(&mut self) -> Option<Message> {
        self.receiver.recv().await
    }

    /// The next message, if it is there already.
    #[cfg(fuzzing)]
    pub(crate) fn next_there(&mut self) -> Option<Message> {
        self.receiver.try_recv().ok()
    }

    /// Waits for the next message on this thread; not for use inside a runtime.
    pub fn next_blocking(&mut self) -> Option<Message> {
        self.receiver.blocking_recv()
    }
}

/// A message from another process. Dropped without an answer, its sender is told so.
#[derive(Debug)]
pub struct Message {
    sent: incumbent_proto::Send,
    peer: Peer,
    ticket: Option<Ticket>,
    _taken: Taken,
}

impl Message {
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
