//! Serving one process's instances: who is let in, for how long, and what each request gets.
//!
//! Only the directory's owner and root may speak; others are closed at once. A client that says nothing, or half a
//! frame, costs a descriptor for a while and nobody's answer: when there are too many, the one that has been silent for
//! longest makes room. Nothing here touches a disk. Proven by `tests/hostile.rs`.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    io,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use incumbent_proto::{
    Answer, DirId, FrameBuffer, Identity, MIN_VERSION, Outcome, Phase, Pong, Progress, ProgressPhase,
    Refused, Reply, Request, Stop, Stopping, VERSION, Why,
};
use tokio::{
    sync::{oneshot, watch},
    task::{AbortHandle, spawn_local},
    time::timeout,
};

use crate::{
    answer::Ticket,
    held::{Held, StopAsked},
    holder::Message,
    instance_id::InstanceId,
    platform::{Guest, Listener, Peer},
};

/// Connections that an instance serves at once; beyond that the one that has been silent for longest is closed.
const MOST_GUESTS: usize = 256;
/// For so long a connection may say nothing.
const SILENCE: Duration = Duration::from_secs(10);
/// For so long half a frame may stay half, and a reply unread.
const STALLED: Duration = Duration::from_secs(2);

/// What the answering thread serves.
#[derive(Default)]
pub(crate) struct Served {
    instances: RefCell<HashMap<InstanceId, Rc<Service>>>,
    awaited: RefCell<HashMap<Ticket, oneshot::Sender<Option<(i32, Vec<u8>)>>>>,
    tickets: RefCell<Ticket>,
}

/// One instance as it is served.
struct Service {
    held: Arc<Held>,
    guests: RefCell<BTreeMap<u64, Seat>>,
    seats: RefCell<u64>,
    listening: RefCell<Vec<AbortHandle>>,
    changes: watch::Sender<u64>,
}

/// A connection's place.
struct Seat {
    last_word: Instant,
    /// Something is owed to it: it is not the one that makes room.
    busy: bool,
    task: Option<AbortHandle>,
}

impl Served {
    /// Serves an instance, or listens on its present sockets instead of those that it had.
    pub(crate) fn adopt(self: &Rc<Self>, held: &Arc<Held>) -> io::Result<()> {
        let service = self
            .instances
            .borrow_mut()
            .entry(held.id)
            .or_insert_with(|| {
                Rc::new(Service {
                    held: held.clone(),
                    guests: RefCell::default(),
                    seats: RefCell::default(),
                    listening: RefCell::default(),
                    changes: watch::Sender::new(0),
                })
            })
            .clone();
        let listeners: Vec<Listener> = {
            let core = held.core();
            let endpoint = core.endpoint.as_ref().map(|endpoint| endpoint.listener.clone());
            endpoint.into_iter().chain(core.abstract_name.clone()).filter(Listener::is_intact).collect()
        };
        for task in service.listening.borrow_mut().drain(..) {
            task.abort();
        }
        for listener in listeners {
            let accepting = listener.accepting()?;
            let (served, service_of_task) = (self.clone(), service.clone());
            let task = spawn_local(async move { welcome(&served, &service_of_task, accepting).await });
            service.listening.borrow_mut().push(task.abort_handle());
        }
        Ok(())
    }

    /// Tells those who watch.
    pub(crate) fn changed(&self, id: InstanceId) {
        if let Some(service) = self.instances.borrow().get(&id) {
            service.changes.send_modify(|count| *count += 1);
        }
    }

    /// Closes every connection of an instance, at last.
    pub(crate) fn forget(&self, id: InstanceId) {
        let Some(service) = self.instances.borrow_mut().remove(&id) else { return };
        for task in service.listening.borrow_mut().drain(..) {
            task.abort();
        }
        for seat in std::mem::take(&mut *service.guests.borrow_mut()).into_values() {
            if let Some(task) = seat.task {
                task.abort();
            }
        }
    }

    /// Gives a program's answer to the connection that waits for it.
    pub(crate) fn answered(&self, ticket: Ticket, answer: Option<(i32, Vec<u8>)>) {
        if let Some(waiting) = self.awaited.borrow_mut().remove(&ticket) {
            let _ = waiting.send(answer);
        }
    }

    fn await_answer(&self) -> (Ticket, oneshot::Receiver<Option<(i32, Vec<u8>)>>) {
        let (tell, told) = oneshot::channel();
        let ticket = {
            let mut tickets = self.tickets.borrow_mut();
            *tickets += 1;
            *tickets
        };
        self.awaited.borrow_mut().insert(ticket, tell);
        (ticket, told)
    }
}

/// Lets clients in, until the socket is shut down.
async fn welcome(served: &Rc<Served>, service: &Rc<Service>, accepting: crate::platform::Accepting) {
    loop {
        match accepting.accept().await {
            Ok(guest) => {
                if let Some(peer) = may_speak(&guest, service.held.owner) {
                    service.seat(served, guest, peer);
                }
            }
            Err(_) if !service.held.is_holding() => return,
            Err(error) if crate::platform::means_no_room(&error) => {
                // Out of descriptors: the silent make room; if there are none, only time does.
                if !service.make_room() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // The socket is not ours any more; the next tick puts another in its place.
            Err(_) => return,
        }
    }
}

fn may_speak(guest: &Guest, owner: u32) -> Option<Peer> {
    guest.peer().ok().filter(|peer| peer.uid.is_some_and(|uid| uid == 0 || uid == owner))
}

impl Service {
    fn seat(self: &Rc<Self>, served: &Rc<Served>, guest: Guest, peer: Peer) {
        while self.guests.borrow().len() >= MOST_GUESTS && self.make_room() {}
        if self.guests.borrow().len() >= MOST_GUESTS {
            return; // all of them are owed something
        }
        let number = {
            let mut seats = self.seats.borrow_mut();
            *seats += 1;
            *seats
        };
        self.guests.borrow_mut().insert(number, Seat { last_word: Instant::now(), busy: false, task: None });
        let (served, service) = (served.clone(), self.clone());
        let task = spawn_local(async move {
            let mut visit = Visit { served, service: service.clone(), guest, peer, number };
            let _ = visit.attend().await;
            service.guests.borrow_mut().remove(&number);
        });
        if let Some(seat) = self.guests.borrow_mut().get_mut(&number) {
            seat.task = Some(task.abort_handle());
        }
    }

    /// Closes the connection that has been silent for longest; `false`: none is idle.
    fn make_room(&self) -> bool {
        let mut guests = self.guests.borrow_mut();
        let idle = guests.iter().filter(|(_, seat)| !seat.busy).min_by_key(|(_, seat)| seat.last_word);
        let Some(number) = idle.map(|(number, _)| *number) else { return false };
        if let Some(Seat { task: Some(task), .. }) = guests.remove(&number) {
            task.abort();
        }
        true
    }

    fn set_busy(&self, number: u64, busy: bool) {
        if let Some(seat) = self.guests.borrow_mut().get_mut(&number) {
            seat.busy = busy;
            seat.last_word = Instant::now();
        }
    }
}

/// One connection while it is attended to.
struct Visit {
    served: Rc<Served>,
    service: Rc<Service>,
    guest: Guest,
    peer: Peer,
    number: u64,
}

impl Visit {
    /// Answers requests in their order, until the client leaves, stalls, or the holder does not hold any more.
    async fn attend(&mut self) -> io::Result<()> {
        let mut frames = FrameBuffer::new();
        let mut piece = vec![0; 8192];
        loop {
            let patience = if frames.is_mid_frame() { STALLED } else { SILENCE };
            let count = timeout(patience, self.guest.read(&mut piece)).await??;
            if count == 0 {
                return Ok(());
            }
            frames.extend(&piece[..count]);
            loop {
                let request = match frames.next_frame() {
                    Ok(None) => break,
                    Ok(Some(frame)) => Request::decode(&frame),
                    Err(malformed) => Err(malformed),
                };
                if !self.service.held.is_holding() {
                    return Ok(()); // no word from one that does not hold
                }
                self.service.set_busy(self.number, true);
                match request {
                    Ok(request) => self.grant(request).await?,
                    Err(malformed) => {
                        self.reply(&malformed.reply()).await?;
                        if malformed.is_fatal() {
                            return Ok(());
                        }
                    }
                }
                self.service.set_busy(self.number, false);
            }
        }
    }

    async fn reply(&self, reply: &Reply) -> io::Result<()> {
        let bytes = reply.encode().unwrap_or_else(|_| {
            let note = "the answer is longer than the protocol allows".to_owned();
            Reply::Refused(Refused { why: Why::Other, note }).encode().unwrap_or_default()
        });
        timeout(STALLED, self.guest.write_all(&bytes)).await?
    }

    async fn refuse(&self, why: Why, note: &str) -> io::Result<()> {
        self.reply(&Reply::Refused(Refused { why, note: note.to_owned() })).await
    }

    async fn grant(&mut self, request: Request) -> io::Result<()> {
        let held = self.service.held.clone();
        match request {
            Request::Ping(ping) => {
                let dir = held.place.dir_id().map(|id| DirId { dev: id.dev, ino: id.ino });
                let (name, instance_id) = (held.place.name.clone(), held.id.to_bytes());
                self.reply(&Reply::Pong(Pong { nonce: ping.nonce, instance_id, name, dir })).await
            }
            Request::Identify(_) => {
                let identity = Identity {
                    pid: held.process,
                    instance_id: held.id.to_bytes(),
                    version: held.version.clone(),
                    min_protocol: MIN_VERSION,
                    max_protocol: VERSION,
                    name: held.place.name.clone(),
                    generation: held.generation,
                    started_at_us: held.started_at_us,
                };
                self.reply(&Reply::Identity(identity)).await
            }
            Request::Status(_) => self.reply(&Reply::StatusIs(Box::new(held.status()))).await,
            Request::Stop(stop) => self.stop(&held, stop).await,
            Request::Send(send) => self.send(&held, send).await,
            Request::Watch(_) => self.watch(&held).await,
        }
    }

    /// Passes the wish to the program, says how long it has, and then how it goes, until the holder is gone.
    async fn stop(&self, held: &Held, stop: Stop) -> io::Result<()> {
        let grace = (stop.grace_ms != Stop::HOLDERS_GRACE).then(|| Duration::from_millis(stop.grace_ms));
        let asked = StopAsked {
            reason: stop.reason,
            grace,
            at: Instant::now(),
            pid: self.peer.pid,
            command: stop.command,
        };
        let stopping = match held.begin_stop(asked, stop.if_idle) {
            Ok(grace) => Stopping {
                outcome: Outcome::Acknowledged,
                grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
                busy: *held.busy.borrow(),
                note: String::new(),
            },
            Err(busy) => {
                Stopping { outcome: Outcome::Busy, grace_ms: 0, busy, note: format!("{busy} in flight") }
            }
        };
        let acknowledged = stopping.outcome == Outcome::Acknowledged;
        self.reply(&Reply::Stopping(stopping)).await?;
        if !acknowledged {
            return Ok(());
        }
        let mut changes = self.service.changes.subscribe();
        loop {
            self.reply(&Reply::Progress(progress(held))).await?;
            changes.changed().await.map_err(io::Error::other)?;
        }
    }

    async fn send(&self, held: &Held, send: incumbent_proto::Send) -> io::Result<()> {
        let messages = {
            let face = held.face();
            if face.draining { Err(Why::Stopping) } else { face.messages.clone().ok_or(Why::NoMessages) }
        };
        let messages = match messages {
            Ok(messages) => messages,
            Err(Why::Stopping) => return self.refuse(Why::Stopping, "it is stopping").await,
            Err(why) => return self.refuse(why, "it takes no messages").await,
        };
        let (ticket, told) = self.served.await_answer();
        if messages.send(Message::new(send, self.peer, ticket)).is_err() {
            self.served.answered(ticket, None);
            return self.refuse(Why::NoMessages, "it takes no messages any more").await;
        }
        match told.await {
            Ok(Some((code, body))) => self.reply(&Reply::Answer(Answer { code, body })).await,
            _ => self.refuse(Why::Other, "it dropped the message without an answer").await,
        }
    }

    /// Status now and at every change, until the client leaves.
    async fn watch(&self, held: &Held) -> io::Result<()> {
        let mut changes = self.service.changes.subscribe();
        let mut nothing = [0; 64];
        loop {
            self.reply(&Reply::StatusIs(Box::new(held.status()))).await?;
            let changed = std::pin::pin!(changes.changed());
            let left = std::pin::pin!(self.guest.read(&mut nothing));
            if !crate::race::first(changed, left).await {
                return Ok(());
            }
        }
    }
}

fn progress(held: &Held) -> Progress {
    let busy = *held.busy.borrow();
    let stop = held.stop.borrow().clone();
    let remaining = stop.map_or(Duration::ZERO, |stop| stop.remaining());
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
