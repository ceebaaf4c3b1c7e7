//! The answering side of one connection, as the answering thread serves it, over a real pair of sockets; the clock is the
//! caller's to move.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    os::unix::net::UnixStream,
    sync::{Arc, OnceLock, atomic::Ordering},
    time::{Duration, Instant},
};

use crate::{
    Instance,
    answer::{self, Command},
    held::{Face, Held, Life},
    message::{Inbox, Message, Messages},
    platform::{Guest, Peer},
    record::Past,
    serve::Served,
};

/// A client and the holder that answers it.
pub struct Conversation {
    held: Arc<Held>,
    served: Served,
    client: UnixStream,
    /// What the client could not say yet.
    unsaid: Vec<u8>,
    messages: Option<Messages>,
    waiting: Vec<Message>,
    /// The program keeps messages until [`Conversation::answer_all`].
    is_late: bool,
    /// What the client has read.
    pub heard: Vec<u8>,
}

/// One holder serves for all, as new each time: to make one takes longer than a conversation.
fn holder() -> Arc<Held> {
    static HELD: OnceLock<Arc<Held>> = OnceLock::new();
    let held = HELD.get_or_init(|| {
        let instance =
            Instance::new("a").and_then(|it| it.in_dir(std::env::temp_dir())).expect("a directory");
        let place = instance.place().expect("a directory");
        Arc::new(Held::won(&instance, &place, &Past::None, None, None, None))
    });
    *held.face() = Face::new();
    held.stop.send_replace(None);
    held.life.send_replace(Life::Holding);
    held.clone()
}

impl Conversation {
    /// A client has connected. The program has `busy` pieces of work in flight, takes messages or not, answers them at once
    /// or late, and refuses to stop or not.
    #[must_use]
    pub fn begin(busy: u64, takes_messages: bool, is_late: bool, refuses: bool) -> Self {
        let held = holder();
        held.busy.send_replace(busy);
        let (inbox, messages) = Inbox::new();
        let mut face = held.face();
        face.messages = takes_messages.then_some(inbox);
        face.refusal = refuses.then(|| "no".to_owned());
        drop(face);
        let (guest, client) = Guest::pair().expect("a descriptor");
        let mut served = Served::default();
        served.let_in(&held, guest, Peer { uid: Some(0), pid: Some(1) });
        let messages = takes_messages.then_some(messages);
        Self {
            held,
            served,
            client,
            unsaid: Vec::new(),
            messages,
            waiting: Vec::new(),
            is_late,
            heard: Vec::new(),
        }
    }

    /// Says bytes: now as far as there is room, the rest in the turns to come.
    pub fn say(&mut self, bytes: &[u8]) {
        self.unsaid.extend(bytes);
        self.say_on();
    }

    fn say_on(&mut self) -> bool {
        use ErrorKind::{BrokenPipe, ConnectionReset, WouldBlock};
        let count = match self.client.write(&self.unsaid) {
            Ok(count) => count,
            Err(error) if error.kind() == WouldBlock => 0,
            Err(error) => {
                assert!(matches!(error.kind(), BrokenPipe | ConnectionReset), "{error}");
                self.unsaid.len()
            }
        };
        self.unsaid.drain(..count);
        count > 0
    }

    /// Reads at most so many bytes of what is there.
    pub fn read(&mut self, most: usize) -> usize {
        let (mut count, mut piece) = (0, [0; 4096]);
        while count < most {
            let room = piece.len().min(most - count);
            // An error only says that there is no more.
            let Ok(read @ 1..) = self.client.read(&mut piece[..room]) else { break };
            self.heard.extend(&piece[..read]);
            count += read;
        }
        count
    }

    /// One turn of the answering thread and of the program; tells whether anything happened.
    pub fn turn(&mut self) -> bool {
        let moment =
            |served: &Served| served.visits().next().map(|visit| (visit.last_word(), visit.is_unfinished()));
        let before = moment(&self.served);
        self.served.attend(None, Some(Instant::now())).expect("poll");
        let posted = answer::take_posted();
        let happened = !posted.is_empty() || moment(&self.served) != before;
        for command in posted {
            match command {
                Command::Changed(id) => {
                    self.served.changed(id);
                }
                Command::Answered(ticket, answer) => self.served.answered(ticket, answer.as_ref()),
                other => panic!("{other:?} was not asked for"),
            }
        }
        while let Some(message) = self.messages.as_mut().and_then(|messages| messages.next_there()) {
            self.waiting.push(message);
        }
        assert!(self.waiting.len() <= 1, "one message at a time is owed an answer");
        happened | self.say_on() | (!self.is_late && self.answer_all())
    }

    /// Answers the messages that wait, each with its body, and from now on those to come at once.
    pub fn answer_all(&mut self) -> bool {
        self.is_late = false;
        let waiting = std::mem::take(&mut self.waiting);
        let count = waiting.len();
        for message in waiting {
            let body = message.body().to_vec();
            message.answer(7, body);
        }
        count > 0
    }

    /// Lets everything happen that can, and reads all of it.
    pub fn settle(&mut self) {
        while self.turn() | (self.read(usize::MAX) > 0) {}
    }

    /// Lets so much time pass in which nobody says anything, and tells whether the holder keeps the connection.
    pub fn pass(&mut self, time: Duration) -> bool {
        self.served.let_pass(time);
        self.served.visits().next().is_some()
    }

    /// What the holder keeps to be written, in bytes.
    #[must_use]
    pub fn unwritten(&self) -> usize {
        self.served.visits().map(|visit| visit.to_write().len()).sum()
    }

    /// The instance is released, if so: nothing more is said in its name.
    pub fn release_if(&mut self, released: bool) {
        if released {
            self.held.life.send_replace(Life::Released);
        }
    }

    /// The client leaves; nothing of it stays.
    pub fn leave(self) {
        let Self { held, mut served, client, .. } = self;
        drop(client);
        // What was not listened to is still read, piece by piece.
        for _ in 0..100 {
            served.attend(None, Some(Instant::now())).expect("poll");
            if served.visits().next().is_none() {
                break;
            }
        }
        assert_eq!(served.visits().count(), 0, "who has left is forgotten");
        assert_eq!(held.successors.load(Ordering::Acquire), 0);
        drop(answer::take_posted());
    }
}
