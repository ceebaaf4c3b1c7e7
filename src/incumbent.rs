//! What everybody else has: the incumbent, a holder that answered, and a connection to talk to it.
//!
//! Everything has a deadline. A holder that goes away while it is talked to is an error that says so, never silence.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use incumbent_proto::{Ping, Refused, Reply, Request, StatusReply, StatusRequest, Watch, Why};

use crate::{
    blocking::deadline_in,
    connection::{Connection, Received},
    error::{Error, Refusal},
    found::Found,
    hail::{self, Also, Answered, Patience},
    inspect,
    inspection::{Inspection, Reached},
    instance_id::InstanceId,
    pid_file,
    place::Place,
    platform::{self, Peer},
    status::{Claiming, Status},
};

/// How long a holder may take to answer, unless the caller says.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// A holder that answered. Cheap to clone; clones share a connection, and take turns on it.
#[derive(Debug, Clone)]
pub struct Incumbent {
    pub(crate) place: Place,
    pub(crate) id: InstanceId,
    peer: Peer,
    took: Duration,
    connection: Arc<Mutex<Option<Kept>>>,
    /// What it said about itself beside its first pong.
    first: Option<Arc<StatusReply>>,
}

/// A connection on which nothing is owed, and since when.
#[derive(Debug)]
struct Kept {
    connection: Connection,
    since: Instant,
}

/// A holder closes a connection on which nothing is said for 10 s, perhaps at the very moment at which something is said:
/// what may not be said twice is said on one that is younger than this.
const FRESH: Duration = Duration::from_secs(5);

/// A holder's answer to a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The exit code that it gives.
    pub code: i32,
    /// What it says.
    pub body: Vec<u8>,
}

impl Incumbent {
    pub(crate) fn new(place: Place, answered: Answered) -> Self {
        let id = InstanceId::from_bytes(answered.pong.instance_id);
        let peer = answered.connection.peer();
        let is_free = !matches!(answered.also, Also::Owed);
        let kept = Kept { connection: answered.connection, since: Instant::now() };
        let connection = Arc::new(Mutex::new(is_free.then_some(kept)));
        let first = answered.also.status().map(Arc::new);
        Self { place, id, peer, took: answered.took, connection, first }
    }

    /// Its instance id: another one is another holder, whatever its pid.
    #[must_use]
    pub fn instance_id(&self) -> InstanceId {
        self.id
    }

    /// Its process, as the kernel says; none: it lives in another pid namespace.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.peer.pid
    }

    /// How long it took to connect and get the first pong.
    #[must_use]
    pub fn answered_in(&self) -> Duration {
        self.took
    }

    /// Its status as it was when this process lost to it ([`Claim::Lost`](crate::Claim::Lost)): it came with the pong, so that nothing is
    /// waited for. None: it was not asked, or did not say.
    #[must_use]
    pub fn first_status(&self) -> Option<Status> {
        let first = self.first.as_deref()?;
        Some(Status { claiming: claiming(&self.place), ..self.said(first.clone()) })
    }

    /// Pings it: the round trip. Blocks for at most the timeout.
    ///
    /// # Errors
    /// It did not answer in time, or is gone.
    pub fn ping_blocking(&self, timeout: Duration) -> Result<Duration, Error> {
        let nonce = hail::next_nonce();
        let began = Instant::now();
        match self.ask(&Request::Ping(Ping { nonce }), "ping", timeout)? {
            Reply::Pong(pong)
                if pong.nonce == nonce && InstanceId::from_bytes(pong.instance_id) == self.id =>
            {
                Ok(began.elapsed())
            }
            Reply::Pong(_) => Err(Error::Disconnected { asked: "ping" }),
            other => Err(unexpected("ping", other)),
        }
    }

    /// Pings it, within two seconds. Works on any executor.
    ///
    /// # Errors
    /// As [`Incumbent::ping_blocking`].
    pub async fn ping(&self) -> Result<Duration, Error> {
        let incumbent = self.clone();
        crate::blocking::run(move || incumbent.ping_blocking(PATIENCE)).await
    }

    /// Asks for its status. Blocks for at most the timeout.
    ///
    /// # Errors
    /// The directory may not be read any more. A holder that does not answer is a status too.
    pub fn status_blocking(&self, timeout: Duration) -> Result<Status, Error> {
        let deadline = deadline_in(timeout);
        // Of this very holder it is the answer that counts; who is there when it does not answer must be looked at.
        match self.ask(&Request::Status(StatusRequest {}), "status", timeout) {
            // But who is taking over it does not know: the claim lock tells.
            Ok(Reply::StatusIs(status)) => {
                Ok(Status { claiming: claiming(&self.place), ..self.said(*status) })
            }
            _ => inspect::inspect(&self.place, deadline).map(|seen| seen.status()),
        }
    }

    /// What it said about itself.
    fn said(&self, status: StatusReply) -> Status {
        let (instance_id, took, peer) = (status.instance_id, self.took, self.peer);
        let reached = Reached { instance_id, took, peer, status: Some(status), identity: None };
        Status::of(&Inspection::answered(self.place.clone(), reached))
    }

    /// Asks for its status, within two seconds. Works on any executor.
    ///
    /// # Errors
    /// As [`Incumbent::status_blocking`].
    pub async fn status(&self) -> Result<Status, Error> {
        let incumbent = self.clone();
        crate::blocking::run(move || incumbent.status_blocking(PATIENCE)).await
    }

    /// Looks at the instance as it is now.
    ///
    /// # Errors
    /// The directory may not be read any more.
    pub fn inspect_blocking(&self, timeout: Duration) -> Result<Inspection, Error> {
        inspect::inspect(&self.place, deadline_in(timeout))
    }

    /// Hands it a message: this process's arguments, working directory, and a body. It answers with a code and a body.
    ///
    /// Blocks until it has answered: the program may take its time, and the end of the holder ends the waiting. The
    /// connection is kept for the next one. A message goes twice only if the first time it did not arrive whole.
    ///
    /// # Errors
    /// [`Error::Refused`] when it takes no messages; [`Error::Disconnected`] when it went away before it answered.
    pub fn send_blocking(&self, args: &[OsString], cwd: &Path, body: Vec<u8>) -> Result<Answer, Error> {
        let args = args.iter().map(platform::to_bytes).collect();
        let send = incumbent_proto::Send { args, cwd: platform::to_bytes(cwd), body };
        let send = Request::Send(send);
        let mut connection = self.connect()?;
        match connection.say(&send, "send", Instant::now() + PATIENCE) {
            // The holder needed the room, and has not got all of it: nobody acts on half a message.
            Err(Error::Disconnected { .. }) => {
                connection = self.reconnect(Instant::now() + PATIENCE)?;
                connection.say(&send, "send", Instant::now() + PATIENCE)?;
            }
            said => said?,
        }
        match connection.receive(None, None) {
            Ok(Received::Reply(Reply::Answer(answer))) => {
                self.keep(connection);
                Ok(Answer { code: answer.code, body: answer.body })
            }
            Ok(Received::Reply(other)) => Err(unexpected("send", other)),
            _ => Err(Error::Disconnected { asked: "send" }),
        }
    }

    /// Hands it a message. Works on any executor. As [`Incumbent::send_blocking`].
    ///
    /// # Errors
    /// As [`Incumbent::send_blocking`].
    pub async fn send(&self, args: Vec<OsString>, cwd: PathBuf, body: Vec<u8>) -> Result<Answer, Error> {
        let incumbent = self.clone();
        crate::blocking::run(move || incumbent.send_blocking(&args, &cwd, body)).await
    }

    /// Calls `show` with the status now and at every change, until it returns `false` or the holder is gone.
    ///
    /// # Errors
    /// It could not be reached.
    pub fn watch_blocking(
        &self,
        deadline: Option<Instant>,
        mut show: impl FnMut(Status) -> bool,
    ) -> Result<(), Error> {
        let mut connection = self.connect()?;
        connection.say(&Request::Watch(Watch {}), "watch", Instant::now() + PATIENCE)?;
        loop {
            match connection.receive(deadline, None) {
                Ok(Received::Reply(Reply::StatusIs(status))) => {
                    if !show(self.said(*status)) {
                        return Ok(());
                    }
                }
                Ok(Received::Reply(other)) => return Err(unexpected("watch", other)),
                _ => return Ok(()),
            }
        }
    }

    /// The kept connection, or a new one to the same holder.
    pub(crate) fn connect(&self) -> Result<Connection, Error> {
        self.connect_by(Instant::now() + PATIENCE)
    }

    /// As [`Incumbent::connect`], and a new one answers by the deadline.
    pub(crate) fn connect_by(&self, deadline: Instant) -> Result<Connection, Error> {
        match self.kept() {
            Some(kept) if kept.since.elapsed() < FRESH && kept.connection.is_open() => Ok(kept.connection),
            _ => self.reconnect(deadline),
        }
    }

    fn kept(&self) -> Option<Kept> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep(&self, connection: Connection) {
        let kept = Kept { connection, since: Instant::now() };
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }

    fn reconnect(&self, deadline: Instant) -> Result<Connection, Error> {
        let hail = hail::hail(&self.place, Patience::until(deadline), None);
        match Found::of(&self.place, hail) {
            Found::Incumbent(other) if other.id == self.id => other.connect(),
            Found::Incumbent(_) => Err(Error::Disconnected { asked: "hail" }),
            Found::Other(seen) => Err(Error::Unresponsive(seen)),
        }
    }

    /// Asks what may be asked twice, on the kept connection, and keeps it. One that has ended meanwhile is replaced.
    fn ask(&self, request: &Request, asked: &'static str, timeout: Duration) -> Result<Reply, Error> {
        let mut connection = match self.kept() {
            Some(kept) => kept.connection,
            None => self.reconnect(deadline_in(timeout))?,
        };
        let reply = match connection.ask(request, asked, timeout) {
            Err(Error::Disconnected { .. }) => {
                connection = self.reconnect(deadline_in(timeout))?;
                connection.ask(request, asked, timeout)?
            }
            reply => reply?,
        };
        self.keep(connection);
        Ok(reply)
    }
}

fn claiming(place: &Place) -> Option<Claiming> {
    let locks = pid_file::look(&place.pid).ok().flatten()?;
    Claiming::by(locks.claim)
}

pub(crate) fn unexpected(asked: &'static str, reply: Reply) -> Error {
    match reply {
        Reply::Refused(Refused { why, note }) => Error::Refused {
            why: match why {
                Why::NotAllowed => Refusal::NotAllowed,
                Why::NoMessages => Refusal::NoMessages,
                Why::Stopping => Refusal::Stopping,
                Why::TooBusy => Refusal::Busy,
                Why::Malformed | Why::Other => Refusal::Other,
            },
            note,
        },
        Reply::Unsupported(range) => Error::Protocol {
            asked,
            why: format!("it speaks versions {} to {} of the protocol", range.min, range.max),
        },
        other => Error::Protocol { asked, why: format!("a {:?} is no answer to it", other.kind()) },
    }
}
