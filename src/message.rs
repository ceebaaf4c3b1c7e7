//! Messages from later instances, as the holder's program gets them: each is answered once, or its sender is told that it
//! was dropped. Proven by `tests/messages.rs` and `tests/releasing.rs`.

use std::{ffi::OsString, path::PathBuf};

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

/// A message from another process. Dropped without an answer, its sender is told so.
#[derive(Debug)]
pub struct Message {
    sent: incumbent_proto::Send,
    peer: Peer,
    ticket: Option<Ticket>,
}

impl Message {
    pub(crate) fn new(sent: incumbent_proto::Send, peer: Peer, ticket: Ticket) -> Self {
        Self { sent, peer, ticket: Some(ticket) }
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
