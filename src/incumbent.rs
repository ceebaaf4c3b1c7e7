//! What everybody else has: the incumbent, a holder that answered, and a connection to talk to it.
//!
//! Everything has a deadline. A holder that goes away while it is talked to is an error that says so, never silence.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use incumbent_proto::{
    Outcome, Ping, Progress, ProgressPhase, Refused, Reply, Request, StopReason, Watch, Why,
};

use crate::{
    connection::{Connection, Received},
    error::{Error, Refusal},
    found::Found,
    hail::{Answered, Patience},
    inspect::{self, Inspection, Reached},
    instance::Place,
    instance_id::InstanceId,
    pid_file,
    platform::{Listening, Peer},
    process::LockOwner,
    status::Status,
};

/// How long a holder may take to answer, unless the caller says.
const PATIENCE: Duration = Duration::from_secs(2);

/// A holder that answered. Cheap to clone; clones share a connection, and take turns on it.
#[derive(Debug, Clone)]
pub struct Incumbent {
    place: Place,
    id: InstanceId,
    peer: Peer,
    took: Duration,
    connection: Arc<Mutex<Option<Connection>>>,
}

/// How an incumbent is asked to stop.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StopOptions {
    /// How long it has; none: as long as it wants to give itself.
    pub grace: Option<Duration>,
    /// Only if no work is in flight.
    pub if_idle: bool,
}

impl StopOptions {
    /// With this grace.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// Only if no work is in flight, which the holder decides in one step.
    #[must_use]
    pub fn if_idle(mut self, if_idle: bool) -> Self {
        self.if_idle = if_idle;
        self
    }
}

/// What came of asking an incumbent to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stopped {
    /// It does not hold the instance any more.
    Gone,
    /// It has so much work in flight, and was to stop only if idle.
    Busy(u64),
    /// It still holds the instance after its grace.
    StillThere,
}

/// How a stop goes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stopping {
    /// What it says that it is doing.
    pub note: String,
    /// Pieces of work in flight, if it counts them.
    pub busy: Option<u64>,
    /// What is left of the grace.
    pub remaining: Duration,
    /// Whether it has begun to stop.
    pub draining: bool,
}

impl Stopping {
    fn of(progress: Progress) -> Self {
        Self {
            note: progress.note,
            busy: progress.busy,
            remaining: Duration::from_millis(progress.remaining_ms),
            draining: matches!(progress.phase, ProgressPhase::Draining | ProgressPhase::Gone),
        }
    }
}

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
        let connection = Arc::new(Mutex::new(Some(answered.connection)));
        Self { place, id, peer, took: answered.took, connection }
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

    /// Pings it: the round trip. Blocks for at most the timeout.
    ///
    /// # Errors
    /// It did not answer in time, or is gone.
    pub fn ping_blocking(&self, timeout: Duration) -> Result<Duration, Error> {
        let nonce = InstanceId::random().map_or([0; 16], InstanceId::to_bytes);
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
        inspect::inspect(self.place.clone(), Instant::now() + timeout).map(|seen| seen.status())
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
        inspect::inspect(self.place.clone(), Instant::now() + timeout)
    }

    /// Hands it a message: this process's arguments, working directory, and a body. It answers with a code and a body.
    ///
    /// Blocks until it has answered: the program may take its time, and the end of the holder ends the waiting.
    ///
    /// # Errors
    /// [`Error::Refused`] when it takes no messages; [`Error::Disconnected`] when it went away before it answered.
    pub fn send_blocking(&self, args: &[OsString], cwd: PathBuf, body: Vec<u8>) -> Result<Answer, Error> {
        let args = args.iter().map(|arg| arg.clone().into_vec()).collect();
        let send = incumbent_proto::Send { args, cwd: cwd.into_os_string().into_vec(), body };
        let mut connection = self.connect()?;
        connection.say(&Request::Send(send), "send", Instant::now() + PATIENCE)?;
        match connection.receive(None, None) {
            Ok(Received::Reply(Reply::Answer(answer))) => Ok(Answer { code: answer.code, body: answer.body }),
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
        crate::blocking::run(move || incumbent.send_blocking(&args, cwd, body)).await
    }

    /// Asks it to stop, shows how that goes, and returns when the instance lock is free or its time is up.
    ///
    /// # Errors
    /// [`Error::Refused`] in the holder's words; [`Error::NoAnswer`] when it did not even acknowledge.
    pub fn stop_blocking(
        &self,
        options: &StopOptions,
        mut show: impl FnMut(&Stopping),
    ) -> Result<Stopped, Error> {
        let grace_ms = options.grace.map_or(incumbent_proto::Stop::HOLDERS_GRACE, |grace| {
            u64::try_from(grace.as_millis()).unwrap_or(u64::MAX - 1)
        });
        let request = Request::Stop(incumbent_proto::Stop {
            reason: StopReason::Stop,
            if_idle: options.if_idle,
            grace_ms,
            pid: std::process::id(),
            command: crate::text::command(&std::env::args_os().collect::<Vec<_>>(), 200),
        });
        let mut connection = self.connect()?;
        let stopping = match connection.ask(&request, "stop", PATIENCE)? {
            Reply::Stopping(stopping) => stopping,
            other => return Err(unexpected("stop", other)),
        };
        match stopping.outcome {
            Outcome::Acknowledged => {}
            Outcome::Busy => return Ok(Stopped::Busy(stopping.busy)),
            Outcome::Refused => return Err(Error::Refused { why: Refusal::Other, note: stopping.note }),
        }
        // What it has, and a moment for the end itself: a gigabyte takes 70 ms.
        let deadline =
            Instant::now() + Duration::from_millis(stopping.grace_ms.min(1 << 40)) + Duration::from_secs(1);
        while let Ok(Received::Reply(reply)) = connection.receive(Some(deadline), None) {
            if let Reply::Progress(progress) = reply {
                show(&Stopping::of(progress));
            }
        }
        Ok(if self.gone_before(deadline, &connection) { Stopped::Gone } else { Stopped::StillThere })
    }

    /// Asks it to stop. Works on any executor. As [`Incumbent::stop_blocking`], without the progress.
    ///
    /// # Errors
    /// As [`Incumbent::stop_blocking`].
    pub async fn stop(&self, options: StopOptions) -> Result<Stopped, Error> {
        let incumbent = self.clone();
        crate::blocking::run(move || incumbent.stop_blocking(&options, |_| {})).await
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
                    let reached = Reached {
                        instance_id: status.instance_id,
                        took: self.took,
                        peer: self.peer,
                        status: Some(*status),
                        identity: None,
                    };
                    if !show(Status::of(&Inspection::answered(self.place.clone(), reached))) {
                        return Ok(());
                    }
                }
                Ok(Received::Reply(other)) => return Err(unexpected("watch", other)),
                _ => return Ok(()),
            }
        }
    }

    /// Waits until this holder does not hold the instance any more; `false`: it does at the deadline (none: for ever).
    pub fn wait_gone_blocking(&self, deadline: Option<Instant>) -> bool {
        let soon = |deadline: Option<Instant>| {
            let soon = Instant::now() + PATIENCE;
            deadline.map_or(soon, |deadline| deadline.min(soon))
        };
        loop {
            // The end of the connection is the event; a holder that closes it for another reason is asked again.
            if let Ok(mut connection) = self.connect_by(soon(deadline)) {
                if connection.say(&Request::Watch(Watch {}), "watch", Instant::now() + PATIENCE).is_ok() {
                    while let Ok(Received::Reply(_)) = connection.receive(deadline, None) {}
                }
                if self.gone_before(soon(deadline), &connection) {
                    return true;
                }
            } else if self.has_gone() {
                return true;
            } else {
                std::thread::sleep(Duration::from_millis(20)); // it lives and does not let anybody in
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return self.has_gone();
            }
        }
    }

    /// Whether this holder does not hold any more: the instance lock is free, or another answers.
    #[must_use]
    pub fn has_gone(&self) -> bool {
        match pid_file::look(&self.place.pid) {
            Ok(None) => !self.answers(),
            Ok(Some(locks)) if locks.instance == LockOwner::None => !self.answers(),
            Ok(Some(_)) => self.another_answers(),
            Err(_) => false,
        }
    }

    fn hailed_id(&self) -> Option<InstanceId> {
        let deadline = Instant::now() + Duration::from_millis(100);
        let hail = crate::hail::hail(&self.place, Patience::until(deadline), None);
        hail.answer.map(|answered| InstanceId::from_bytes(answered.pong.instance_id))
    }

    fn answers(&self) -> bool {
        self.hailed_id() == Some(self.id)
    }

    fn another_answers(&self) -> bool {
        self.hailed_id().is_some_and(|id| id != self.id)
    }

    /// After the end of the connection: the lock comes free at the latest when the process has ended.
    fn gone_before(&self, deadline: Instant, connection: &Connection) -> bool {
        let process = match connection.listening() {
            Listening::Process(process) => Some(process),
            Listening::Ended | Listening::Unknown => None,
        };
        let mut pause = Duration::from_millis(1);
        loop {
            if self.has_gone() {
                return true;
            }
            let now = Instant::now();
            if now >= deadline {
                return false;
            }
            let until = deadline.min(now + pause);
            match &process {
                Some(process) if !process.has_ended() => drop(process.wait_ended(until)),
                _ => std::thread::sleep(until - now),
            }
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// The kept connection, or a new one to the same holder.
    fn connect(&self) -> Result<Connection, Error> {
        self.connect_by(Instant::now() + PATIENCE)
    }

    fn connect_by(&self, deadline: Instant) -> Result<Connection, Error> {
        let kept = self.connection.lock().unwrap_or_else(PoisonError::into_inner).take();
        match kept {
            Some(connection) if connection.is_open() => Ok(connection),
            _ => self.reconnect(deadline),
        }
    }

    fn reconnect(&self, deadline: Instant) -> Result<Connection, Error> {
        let hail = crate::hail::hail(&self.place, Patience::until(deadline), None);
        match Found::of(&self.place, hail) {
            Found::Incumbent(other) if other.id == self.id => other.connect(),
            Found::Incumbent(_) => Err(Error::Disconnected { asked: "hail" }),
            Found::Other(seen) => Err(Error::Unresponsive(seen)),
        }
    }

    /// Asks on the kept connection, and keeps it.
    fn ask(&self, request: &Request, asked: &'static str, timeout: Duration) -> Result<Reply, Error> {
        let mut connection = self.connect()?;
        let reply = connection.ask(request, asked, timeout)?;
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        Ok(reply)
    }
}

fn unexpected(asked: &'static str, reply: Reply) -> Error {
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
