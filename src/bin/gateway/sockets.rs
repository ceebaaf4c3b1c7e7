//! The sockets that PROGRAM is given to listen at: received from the one that is replaced, or bound.
//!
//! | wanted | offered | |
//! | --- | --- | --- |
//! | yes | yes | the offered one, with its queue |
//! | yes | no | bound now; an error has stopped nothing |
//! | no | yes | closed here; the one that is replaced has it until it ends |
//!
//! `gateway` keeps a copy of each for as long as it holds, to offer it to its own successor. A program that shuts a socket
//! down does that to all copies: it is opened again when that program is gone, and in an overlap within a second. Proven by `tests/listen.rs` and
//! `tests/handover.rs`, `tests/handover_failures.rs`.

use std::{
    io::{self, ErrorKind},
    thread,
    time::{Duration, Instant},
};

use incumbent::{Listening, Socket, platform_for_gateway as platform, text};

use crate::{
    addresses::{At, Listen},
    exit,
    holders::Holders,
    output::complain,
    words::{hint_lines, say_error},
};

/// A process that was killed lets go of its locks before its sockets are closed: so long that may take on a busy machine.
const CLOSING: Duration = Duration::from_secs(1);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// What PROGRAM is given, in the order in which it was asked for.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    all: Vec<(Listen, Socket)>,
    /// Another PROGRAM has them, and drains, or did.
    is_shared: bool,
}

/// Why one cannot be listened at.
#[derive(Debug)]
pub(crate) struct CannotListen {
    sentence: String,
    hint: Option<String>,
    code: u8,
}

impl Sockets {
    /// Takes those that are wanted from what was received, and binds the others.
    pub(crate) fn of(wanted: &[Listen], mut received: Vec<Listening>) -> Result<Self, CannotListen> {
        let mut all: Vec<(Listen, Socket)> = Vec::new();
        for listen in wanted {
            let at = received.iter().position(|it| is_at(it, listen));
            let socket = match at.map(|at| received.remove(at)) {
                Some(it) => it.socket,
                None => bind(listen)?,
            };
            complain(&format!("listening at {}{}", real_address(listen, &socket), called(listen)));
            all.push((listen.clone(), socket));
        }
        Ok(Self { all, is_shared: false })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// With their names, in their order.
    pub(crate) fn given(&self) -> Vec<(&str, &Socket)> {
        self.all.iter().map(|(listen, socket)| (listen.name.as_str(), socket)).collect()
    }

    /// Opens again what the last PROGRAM has shut down, with as much room in the queue as the system allows: PROGRAM may have
    /// made it short (`listen(2)`).
    pub(crate) fn open_again(&self) {
        for (listen, socket) in &self.all {
            if let Err(error) = platform::listen_again(socket) {
                let why = text::system_words(&error);
                complain(&format!("warning: cannot listen at {} again: {why}", listen.address()));
            }
        }
    }

    /// Another PROGRAM has the same, and drains.
    pub(crate) fn are_shared(&mut self) {
        self.is_shared = true;
    }

    /// Opens again what one that drains has shut down under PROGRAM. What is in the file system stays shut (unix(7)).
    pub(crate) fn open_if_shut(&self) {
        for (listen, socket) in self.all.iter().filter(|_| self.is_shared) {
            let is_shut =
                matches!(listen.at, At::Network(_)) && platform::listening_address(socket).is_none();
            if is_shut && platform::listen_again(socket).is_ok() {
                complain(&format!("listening at {} again: it was shut down", real_address(listen, socket)));
            }
        }
    }

    /// Offers copies of them to whoever takes over, on each of the instances.
    pub(crate) fn offer(&self, holders: &Holders) {
        for holder in holders.each() {
            let copy = |(listen, socket): &(Listen, Socket)| {
                let socket = platform::copy_of(socket)?;
                Ok(Listening { name: listen.name.clone(), address: listen.address(), socket })
            };
            let copies: io::Result<Vec<Listening>> = self.all.iter().map(copy).collect();
            let offered = copies
                .map_err(|error| text::system_words(&error))
                .and_then(|copies| holder.offer(copies, Vec::new()).map_err(|error| error.to_string()));
            if let Err(why) = offered {
                complain(&format!("warning: no successor will be handed the sockets: {why}"));
            }
        }
    }
}

/// Whether what was received is what is wanted: by its words, and by what the kernel says of it.
fn is_at(it: &Listening, wanted: &Listen) -> bool {
    it.address == wanted.address()
        && match &wanted.at {
            At::Network(address) => platform::listening_address(&it.socket).is_some_and(|real| {
                real.ip() == address.ip() && (address.port() == 0 || real.port() == address.port())
            }),
            // One whose path was deleted is reached by nobody.
            At::Path(path) => platform::listens_at_path(&it.socket, path),
        }
}

/// Binds it. One that is in use, and by nobody who can be seen, is that of a process which is about to be gone, or of a
/// connection.
fn bind(listen: &Listen) -> Result<Socket, CannotListen> {
    let until = Instant::now() + CLOSING;
    loop {
        let bound = match &listen.at {
            At::Network(address) => platform::listen_at(*address),
            At::Path(path) => platform::listen_at_path(path),
        };
        let is_seen = || match &listen.at {
            At::Network(address) => !platform::who_listens(*address).is_empty(),
            At::Path(_) => false,
        };
        match bound {
            Err(error) if error.kind() == ErrorKind::AddrInUse && Instant::now() < until && !is_seen() => {
                thread::sleep(PAUSE);
            }
            bound => return bound.map_err(|error| CannotListen::of(listen, &error)),
        }
    }
}

/// Where it listens, with the port that the kernel has chosen.
fn real_address(listen: &Listen, socket: &Socket) -> String {
    match &listen.at {
        At::Network(_) => platform::listening_address(socket).map(|real| real.to_string()),
        At::Path(path) => Some(text::shown_path(path)),
    }
    .unwrap_or_else(|| listen.address())
}

fn called(listen: &Listen) -> String {
    format!(" ({})", text::shown(&listen.name))
}

impl CannotListen {
    fn of(listen: &Listen, error: &io::Error) -> Self {
        let shown = text::shown(&listen.address());
        let (why, hint) = match (error.kind(), &listen.at) {
            (ErrorKind::AddrInUse, At::Network(address)) => {
                let mut who = platform::who_listens(*address);
                // This one has what was handed to it, and what it was told to listen at before.
                let all = who.len();
                who.retain(|process| process.pid != std::process::id());
                let why = match who.len() {
                    0 if all > 0 => "another --listen of this command covers it".to_owned(),
                    0 => "it is in use, and by whom cannot be seen".to_owned(),
                    1 => format!("{} listens there", text::processes(&who)),
                    _ => format!("{} listen there", text::processes(&who)),
                };
                (why, None)
            }
            (ErrorKind::AddrInUse, At::Path(_)) => ("another process listens there".to_owned(), None),
            (ErrorKind::AlreadyExists, At::Path(_)) => {
                ("what is there is no socket, and was left alone".to_owned(), None)
            }
            (ErrorKind::AddrNotAvailable, _) => ("this machine has no such address".to_owned(), None),
            (ErrorKind::PermissionDenied, At::Network(address)) if address.port() < 1024 => (
                text::system_words(error),
                Some("ports below 1024 are root's, unless the system says otherwise".to_owned()),
            ),
            _ => (text::system_words(error), None),
        };
        let code =
            if error.kind() == ErrorKind::PermissionDenied { exit::NOT_ALLOWED } else { exit::CANNOT_CREATE };
        Self { sentence: format!("cannot listen at {shown}: {why}"), hint, code }
    }

    /// Says it; the exit code.
    pub(crate) fn say(&self) -> u8 {
        say_error(&self.sentence);
        hint_lines(self.hint.as_slice());
        self.code
    }

    pub(crate) fn sentence(&self) -> &str {
        &self.sentence
    }
}
