//! Serving one process's instances: who is let in, how many, and whose turn it is. What is said is in `visit.rs`.
//!
//! Only the directory's owner and root may speak; others are closed at once. When there are too many connections, or no
//! descriptor is left, one makes room: an idle one, else one that does not read, else one that only watches, of these
//! the one that has been silent for longest. So whoever comes is heard. What they say and do not read costs so much memory
//! together and no more: long requests are read one after the other then, and of those that do not read, the dearest
//! makes room. Proven by `tests/hostile.rs`, `tests/hostile_peers.rs`, `tests/messages.rs`.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    answer::Ticket,
    held::Held,
    instance_id::InstanceId,
    platform::{self, Awaited, Guest, Listener, Peer, Wakes},
    visit::Visit,
};

/// Connections that an instance serves at once; fewer when the process may have few descriptors.
const MOST_GUESTS: usize = 256;
/// Connections let in before others get their turn.
const AT_ONCE: usize = 64;
/// Of these, connections of other users: anybody may come to the abstract name, but takes no turn from who may speak.
const FOREIGN_AT_ONCE: usize = 8;
/// What all of an instance's half requests may cost together, in bytes, and what is unread as well; one alone that costs
/// little is never put off, or asked to make room, for that.
const MOST_BYTES: usize = 16 << 20;
const FEW_BYTES: usize = 64 << 10;
/// For so long those who are in are heard, before it is looked who else has come.
const TURN: Duration = Duration::from_millis(1);
/// How long to wait for a descriptor when there is none and nobody is idle.
const NO_ROOM: Duration = Duration::from_millis(20);

/// What the answering thread serves.
#[derive(Default)]
pub(crate) struct Served {
    instances: HashMap<InstanceId, Service>,
    tickets: Ticket,
    /// The next guest's number; older guests have smaller ones.
    seats: u64,
    /// Whose turn it was last.
    last_heard: u64,
}

/// One instance as it is served.
struct Service {
    held: Arc<Held>,
    listeners: Vec<Listener>,
    guests: BTreeMap<u64, (Guest, Visit)>,
    /// Nobody is let in before: there was no descriptor left.
    closed_until: Option<Instant>,
    /// Long requests together cost too much: this guest's is read to its end before the others'.
    first: Option<u64>,
}

/// Whether other threads can still wake this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attended {
    Waking,
    Unwakeable,
}

/// What became ready.
enum Ready {
    Door(InstanceId, usize),
    Guest(InstanceId, u64),
}

impl Served {
    /// Serves an instance, or listens on its present sockets instead of those that it had.
    pub(crate) fn adopt(&mut self, held: &Arc<Held>) {
        let core = held.core();
        let endpoint = core.endpoint.as_ref().map(|endpoint| endpoint.listener.clone());
        let listeners = endpoint.into_iter().chain(core.abstract_name.clone()).collect();
        drop(core);
        let service = self.instances.entry(held.id).or_insert_with(|| Service {
            held: held.clone(),
            listeners: Vec::new(),
            guests: BTreeMap::new(),
            closed_until: None,
            first: None,
        });
        service.listeners = listeners;
    }

    /// Lets nobody in any more; those who are in stay.
    pub(crate) fn unlisten(&mut self, id: InstanceId) {
        if let Some(service) = self.instances.get_mut(&id) {
            service.listeners.clear();
        }
    }

    /// Tells those who watch.
    pub(crate) fn changed(&mut self, id: InstanceId) {
        if let Some(service) = self.instances.get_mut(&id) {
            for (_, visit) in service.guests.values_mut() {
                visit.changed(&service.held);
            }
        }
    }

    /// Closes every connection of an instance, at last.
    ///
    /// What was said already is written as far as there is room: an answer that the program gave before its release
    /// reaches its sender.
    pub(crate) fn forget(&mut self, id: InstanceId) {
        let Some(service) = self.instances.remove(&id) else { return };
        for (guest, visit) in service.guests.values() {
            let _ = guest.check().and_then(|guest| guest.write(visit.to_write()));
        }
    }

    /// Gives a program's answer to the client that waits for it.
    pub(crate) fn answered(&mut self, ticket: Ticket, answer: Option<&(i32, Vec<u8>)>) {
        for service in self.instances.values_mut() {
            for (_, visit) in service.guests.values_mut() {
                visit.answered(ticket, answer, &service.held, &mut self.tickets);
            }
        }
    }

    /// Waits until something happens, or until `next` (none: for ever), and attends to it.
    pub(crate) fn attend(&mut self, wakes: Option<&Wakes>, next: Option<Instant>) -> io::Result<Attended> {
        let now = Instant::now();
        self.instances.values_mut().for_each(|service| service.put_off(now));
        let (what, ready) = self.wait(wakes, next)?;
        let attended = match (wakes, ready.last()) {
            // It was the last to be waited for.
            (Some(wakes), Some(true)) if !wakes.clear() => Attended::Unwakeable,
            _ => Attended::Waking,
        };
        let mut waiting = Vec::new();
        for (what, ready) in what.into_iter().zip(ready) {
            match what {
                Ready::Door(id, number) if ready => self.welcome(id, number),
                Ready::Guest(id, number) if ready => waiting.push((number, id)),
                _ => {}
            }
        }
        self.speak_in_turn(waiting);
        self.let_go(Instant::now());
        Ok(attended)
    }

    /// Closes the connections that are over, and those whose time is.
    fn let_go(&mut self, now: Instant) {
        for service in self.instances.values_mut() {
            let first = service.first;
            service.guests.retain(|number, (_, visit)| {
                let may_stay =
                    waits(first, *number, visit) || visit.deadline().is_none_or(|deadline| deadline > now);
                !visit.is_over() && may_stay
            });
        }
    }

    fn wait(&self, wakes: Option<&Wakes>, mut next: Option<Instant>) -> io::Result<(Vec<Ready>, Vec<bool>)> {
        let mut sooner = |deadline: Instant| next = Some(next.map_or(deadline, |next| next.min(deadline)));
        let (mut what, mut awaited) = (Vec::new(), Vec::new());
        let now = Instant::now();
        for (id, service) in &self.instances {
            match service.closed_until {
                Some(until) if until > now => sooner(until),
                _ => {
                    // One that the program has closed is ready too, and found out by accepting.
                    for (number, listener) in service.listeners.iter().enumerate() {
                        what.push(Ready::Door(*id, number));
                        awaited.push(Awaited::Listener(listener));
                    }
                }
            }
            for (number, (guest, visit)) in &service.guests {
                what.push(Ready::Guest(*id, *number));
                let waits = waits(service.first, *number, visit);
                awaited.push(match visit {
                    _ if !visit.to_write().is_empty() || visit.is_unfinished() => Awaited::Writing(guest),
                    _ if visit.may_be_heard() && !waits => Awaited::Reading(guest),
                    _ => Awaited::Leaving(guest),
                });
                visit.deadline().filter(|_| !waits).into_iter().for_each(&mut sooner);
            }
        }
        awaited.extend(wakes.map(Awaited::Wakes));
        let ready = platform::wait_for_any(&awaited, next)?;
        Ok((what, ready))
    }

    /// Lets in who waits at a door.
    fn welcome(&mut self, id: InstanceId, door: usize) {
        let Some(service) = self.instances.get_mut(&id) else { return };
        let mut foreign = 0;
        for _ in 0..AT_ONCE {
            let Some(listener) = service.listeners.get(door).cloned() else { return };
            match listener.accept() {
                Ok(Some(guest)) => {
                    if let Some(peer) = may_speak(&guest, service.held.owner) {
                        self.seats += 1;
                        service.seat(self.seats, guest, peer);
                        // What it has said already is answered before it could have to make room for the next one.
                        service.speak(self.seats, &mut self.tickets);
                    } else {
                        foreign += 1;
                        if foreign == FOREIGN_AT_ONCE {
                            break;
                        }
                    }
                }
                Ok(None) => {
                    listener.is_crowded(false);
                    return;
                }
                Err(error) if platform::means_no_room(&error) => {
                    if !service.make_room() {
                        service.closed_until = Some(Instant::now() + NO_ROOM);
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                // It was shut down, or is not ours any more: then the tick puts another in its place.
                Err(_) if !listener.still_listens() => {
                    service.listeners.remove(door);
                    return;
                }
                Err(_) => {
                    service.closed_until = Some(Instant::now() + NO_ROOM);
                    return;
                }
            }
        }
        // There may be more than can be let in soon: who comes now is not to stand behind thousands.
        if let Some(listener) = service.listeners.get(door) {
            listener.is_crowded(true);
        }
    }

    /// Reads what guests say, writes what they are told: one after the other, from where it stopped the last time. Who
    /// comes anew does not wait for all of them.
    fn speak_in_turn(&mut self, mut waiting: Vec<(u64, InstanceId)>) {
        waiting.sort_unstable();
        let next = waiting.partition_point(|(number, _)| *number <= self.last_heard);
        waiting.rotate_left(next);
        let until = Instant::now() + TURN;
        for (number, id) in waiting {
            if let Some(service) = self.instances.get_mut(&id) {
                service.speak(number, &mut self.tickets);
            }
            self.last_heard = number;
            if Instant::now() >= until {
                return;
            }
        }
    }
}

/// One turn of a conversation; an error: the client has left, or its descriptor is not ours any more.
fn converse(guest: &Guest, visit: &mut Visit, held: &Arc<Held>, tickets: &mut Ticket) -> io::Result<()> {
    let guest = guest.check()?;
    let mut piece = [0; 8192];
    if visit.is_unfinished() {
        visit.go_on(held, tickets);
    } else if visit.to_write().is_empty() {
        match guest.read(&mut piece)? {
            Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(count) if visit.may_be_heard() => visit.hear(&piece[..count], held, tickets, Instant::now()),
            Some(_) | None => {} // what is said while it watches is not listened to
        }
    }
    while !visit.to_write().is_empty() {
        let sockets = visit.to_pass();
        let written = if sockets.is_empty() {
            guest.write(visit.to_write())
        } else {
            guest.write_with(visit.to_write(), &sockets)
        };
        match written? {
            Some(count) => visit.wrote(count, held, Instant::now()),
            None => break,
        }
    }
    Ok(())
}

/// Whether this guest's long request is read later, because of that of the first one.
fn waits(first: Option<u64>, number: u64, visit: &Visit) -> bool {
    first.is_some_and(|first| first != number) && visit.half_heard() > FEW_BYTES
}

fn may_speak(guest: &Guest, owner: u32) -> Option<Peer> {
    guest.peer().ok().filter(|peer| peer.uid.is_some_and(|uid| uid == 0 || uid == owner))
}

impl Service {
    fn seat(&mut self, number: u64, guest: Guest, peer: Peer) {
        // Half of the descriptors stay the program's own, and that of the tick, which puts files back.
        let most = platform::most_descriptors().map_or(MOST_GUESTS, |most| (most / 2).min(MOST_GUESTS));
        if self.guests.len() < most || self.make_room() {
            self.guests.insert(number, (guest, Visit::new(peer, Instant::now())));
        }
    }

    fn speak(&mut self, number: u64, tickets: &mut Ticket) {
        let Some((guest, visit)) = self.guests.get_mut(&number) else { return };
        if converse(guest, visit, &self.held, tickets).is_err() {
            self.guests.remove(&number);
        } else if visit.unread() > FEW_BYTES {
            self.save_memory();
        }
    }

    /// Lets only the first of those who are in the middle of a long request go on with it, if all of these cost too much.
    fn put_off(&mut self, now: Instant) {
        let long = self.guests.iter().filter(|(_, (_, visit))| visit.half_heard() > FEW_BYTES);
        let together: usize = long.clone().map(|(_, (_, visit))| visit.half_heard()).sum();
        let first = long.map(|(number, _)| *number).next().filter(|_| together > MOST_BYTES);
        let before = std::mem::replace(&mut self.first, first);
        for (number, (_, visit)) in &mut self.guests {
            if waits(before, *number, visit) || waits(first, *number, visit) {
                visit.was_put_off(now);
            }
        }
    }

    /// Closes the connections with most that is unread, of those the one that has been silent for longest, until all cost
    /// little enough.
    fn save_memory(&mut self) {
        let unread = |guests: &BTreeMap<u64, (Guest, Visit)>| {
            guests.values().map(|(_, visit)| visit.unread()).sum::<usize>()
        };
        while unread(&self.guests) > MOST_BYTES {
            let dearest = self
                .guests
                .iter()
                .max_by_key(|(_, (_, visit))| (visit.unread(), std::cmp::Reverse(visit.last_word())))
                .map(|(number, _)| *number);
            let Some(dearest) = dearest else { return };
            self.guests.remove(&dearest);
        }
    }

    /// Closes the connection that can best be done without; `false`: there is none.
    fn make_room(&mut self) -> bool {
        let least = self.guests.iter().min_by_key(|(_, (_, visit))| (visit.need(), visit.last_word()));
        let least = least.map(|(number, _)| *number);
        least.is_some_and(|number| self.guests.remove(&number).is_some())
    }
}

#[cfg(fuzzing)]
impl Served {
    /// Lets in who has connected already.
    pub(crate) fn let_in(&mut self, held: &Arc<Held>, guest: Guest, peer: Peer) {
        self.adopt(held);
        self.seats += 1;
        if let Some(service) = self.instances.get_mut(&held.id) {
            service.seat(self.seats, guest, peer);
        }
    }

    /// Lets so much time pass in which nothing happens.
    pub(crate) fn let_pass(&mut self, time: Duration) {
        self.let_go(Instant::now() + time);
    }

    /// The conversations that go on.
    pub(crate) fn visits(&self) -> impl Iterator<Item = &Visit> {
        self.instances.values().flat_map(|service| service.guests.values().map(|(_, visit)| visit))
    }
}
