//! Serving one process's instances: who is let in, how many, and whose turn it is. What is said is in `visit.rs`.
//!
//! Only the directory's owner and root may speak; others are closed at once. When there are too many connections, or no
//! descriptor is left, one makes room: an idle one, else one that does not read, else one that only watches, of these
//! the one that has been silent for longest. So whoever comes is heard. What they say and do not read costs so much memory
//! together and no more: long requests are read one after the other then, and of those that do not read, the dearest
//! makes room. Proven by `tests/hostile.rs`, `tests/hostile_peers.rs`, `tests/messages.rs`.

mod service;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use service::{Service, waits};

use crate::{
    answer::Ticket,
    held::Held,
    instance_id::InstanceId,
    platform::{self, Awaited, Guest, Peer, Wakes},
};

/// Connections let in before others get their turn.
const AT_ONCE: usize = 64;
/// Of these, connections of other users: anybody may come to the abstract name, but takes no turn from who may speak.
const FOREIGN_AT_ONCE: usize = 8;
/// For so long those who are in are heard, before it is looked who else has come.
const TURN: Duration = Duration::from_millis(1);
/// With more doors than this, those who are in are heard without looking at all doors each time, which would cost more
/// than to answer: a look at one takes some 100 ns. Whoever comes meanwhile is let in after so long for each door at the
/// latest, a millisecond for a thousand instances; when nobody says anything, at once.
const FEW_DOORS: u32 = 32;
const EACH_DOOR: Duration = Duration::from_nanos(500);
/// How long to wait for a descriptor when there is none and nobody is idle.
const NO_ROOM: Duration = Duration::from_millis(20);

/// What the answering thread serves.
#[derive(Default)]
pub(crate) struct Served {
    instances: HashMap<InstanceId, Service>,
    /// Those with guests: of a thousand instances, few have any.
    visited: HashSet<InstanceId>,
    /// How many doors there are, roundly, and when all were last looked at.
    doors: u32,
    doors_seen: Option<Instant>,
    /// Somebody has said something, or wanted something, the last time.
    is_busy: bool,
    tickets: Ticket,
    /// Who waits for which answer; until the program has given or dropped it, also of one who has left.
    awaiting: HashMap<Ticket, (InstanceId, u64)>,
    /// The next guest's number; older guests have smaller ones.
    seats: u64,
    /// Whose turn it was last.
    last_heard: u64,
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
        self.doors = u32::try_from(2 * self.instances.len()).unwrap_or(u32::MAX);
    }

    /// Lets nobody in any more; those who are in stay.
    pub(crate) fn unlisten(&mut self, id: InstanceId) {
        if let Some(service) = self.instances.get_mut(&id) {
            service.listeners.clear();
        }
    }

    /// Tells those who watch; gives the instance, if it is served.
    pub(crate) fn changed(&mut self, id: InstanceId) -> Option<&Arc<Held>> {
        let service = self.instances.get_mut(&id)?;
        for (_, visit) in service.guests.values_mut() {
            visit.changed(&service.held);
        }
        Some(&service.held)
    }

    /// Closes every connection of an instance, at last.
    ///
    /// What was said already is written as far as there is room: an answer that the program gave before its release
    /// reaches its sender.
    pub(crate) fn forget(&mut self, id: InstanceId) {
        let Some(service) = self.instances.remove(&id) else { return };
        self.visited.remove(&id);
        self.doors = self.doors.saturating_sub(2);
        for (guest, visit) in service.guests.values() {
            let _ = guest.check().and_then(|guest| guest.write(visit.to_write()));
        }
    }

    /// Gives a program's answer to the client that waits for it.
    pub(crate) fn answered(&mut self, ticket: Ticket, answer: Option<&(i32, Vec<u8>)>) {
        let Some((id, number)) = self.awaiting.remove(&ticket) else { return };
        let Some(service) = self.instances.get_mut(&id) else { return };
        let Some((_, visit)) = service.guests.get_mut(&number) else { return };
        visit.answered(ticket, answer, &service.held, &mut self.tickets);
        self.speak(id, number, Instant::now()); // at once: there is room for it, most often
    }

    fn seat(&mut self, id: InstanceId, guest: Guest, peer: Peer, now: Instant) {
        self.seats += 1;
        if let Some(service) = self.instances.get_mut(&id) {
            service.seat(self.seats, guest, peer, now);
            self.visited.insert(id);
        }
    }

    /// One guest's turn.
    fn speak(&mut self, id: InstanceId, number: u64, now: Instant) {
        let Some(service) = self.instances.get_mut(&id) else { return };
        service.speak(number, &mut self.tickets, now);
        if let Some(ticket) = service.guests.get(&number).and_then(|(_, visit)| visit.ticket()) {
            self.awaiting.insert(ticket, (id, number));
        }
    }

    /// Waits until something happens, or until `next` (none: for ever), and attends to it.
    pub(crate) fn attend(&mut self, wakes: Option<&Wakes>, next: Option<Instant>) -> io::Result<Attended> {
        let now = Instant::now();
        for id in &self.visited {
            if let Some(service) = self.instances.get_mut(id) {
                service.put_off(now);
            }
        }
        let doors_until = self.doors_seen.map(|seen| seen + EACH_DOOR * self.doors);
        let put_off = doors_until
            .filter(|until| *until > now && self.doors > FEW_DOORS)
            .filter(|_| self.is_busy || next.is_some_and(|next| next <= now));
        let next = next.into_iter().chain(put_off).min();
        let (what, ready) = self.wait(wakes, next, put_off.is_none(), now)?;
        let now = Instant::now();
        if put_off.is_none() {
            self.doors_seen = Some(now);
        }
        self.is_busy = ready.contains(&true);
        let attended = match (wakes, ready.last()) {
            // It was the last to be waited for.
            (Some(wakes), Some(true)) if !wakes.clear() => Attended::Unwakeable,
            _ => Attended::Waking,
        };
        let mut waiting = Vec::new();
        for (what, ready) in what.into_iter().zip(ready) {
            match what {
                Ready::Door(id, number) if ready => self.welcome(id, number, now),
                Ready::Guest(id, number) if ready => waiting.push((number, id)),
                _ => {}
            }
        }
        self.speak_in_turn(waiting);
        self.let_go(now);
        Ok(attended)
    }

    /// Closes the connections that are over, and those whose time is.
    fn let_go(&mut self, now: Instant) {
        let instances = &mut self.instances;
        self.visited.retain(|id| {
            let Some(service) = instances.get_mut(id) else { return false };
            let first = service.first;
            service.guests.retain(|number, (_, visit)| {
                let may_stay =
                    waits(first, *number, visit) || visit.deadline().is_none_or(|deadline| deadline > now);
                !visit.is_over() && may_stay
            });
            !service.guests.is_empty()
        });
    }

    /// Waits for the guests, and for the doors if those are wanted.
    fn wait(
        &self,
        wakes: Option<&Wakes>,
        mut next: Option<Instant>,
        doors: bool,
        now: Instant,
    ) -> io::Result<(Vec<Ready>, Vec<bool>)> {
        let mut sooner = |deadline: Instant| next = Some(next.map_or(deadline, |next| next.min(deadline)));
        let (mut what, mut awaited) = (Vec::new(), Vec::new());
        for (id, service) in self.instances.iter().filter(|_| doors) {
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
        }
        for id in &self.visited {
            let Some(service) = self.instances.get(id) else { continue };
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
    fn welcome(&mut self, id: InstanceId, door: usize, now: Instant) {
        let mut foreign = 0;
        for _ in 0..AT_ONCE {
            let Some(service) = self.instances.get_mut(&id) else { return };
            let Some(listener) = service.listeners.get(door).cloned() else { return };
            match listener.accept() {
                Ok(Some(guest)) => {
                    if let Some(peer) = may_speak(&guest, service.held.owner) {
                        self.seat(id, guest, peer, now);
                        // What it has said already is answered before it could have to make room for the next one.
                        self.speak(id, self.seats, now);
                    } else {
                        foreign += 1;
                        if foreign == FOREIGN_AT_ONCE {
                            break;
                        }
                    }
                    if !listener.has_more() {
                        return listener.is_crowded(false);
                    }
                }
                Ok(None) => return listener.is_crowded(false),
                Err(error) if platform::means_no_room(&error) => {
                    if !self.make_room() {
                        return self.close_for_a_while(id);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                // It was shut down, or is not ours any more: then the tick puts another in its place.
                Err(_) if !listener.still_listens() => {
                    service.listeners.remove(door);
                    return;
                }
                Err(_) => return self.close_for_a_while(id),
            }
        }
        // There may be more than can be let in soon: who comes now is not to stand behind thousands.
        if let Some(listener) = self.instances.get(&id).and_then(|service| service.listeners.get(door)) {
            listener.is_crowded(true);
        }
    }

    fn close_for_a_while(&mut self, id: InstanceId) {
        if let Some(service) = self.instances.get_mut(&id) {
            service.closed_until = Some(Instant::now() + NO_ROOM);
        }
    }

    /// Closes the connection that can best be done without, whichever instance's: descriptors are those of the process.
    /// `false`: there is none.
    fn make_room(&mut self) -> bool {
        let of = |id| self.instances.get(id)?.least_needed().map(|(need, number)| (need, *id, number));
        let least = self.visited.iter().filter_map(of).min_by_key(|(need, ..)| *need);
        least.is_some_and(|(_, id, number)| {
            self.instances.get_mut(&id).is_some_and(|service| service.guests.remove(&number).is_some())
        })
    }

    /// Reads what guests say, writes what they are told: one after the other, from where it stopped the last time. Who
    /// comes anew does not wait for all of them.
    fn speak_in_turn(&mut self, mut waiting: Vec<(u64, InstanceId)>) {
        waiting.sort_unstable();
        let next = waiting.partition_point(|(number, _)| *number <= self.last_heard);
        waiting.rotate_left(next);
        let mut now = Instant::now();
        let until = now + TURN;
        for (number, id) in waiting {
            self.speak(id, number, now);
            self.last_heard = number;
            now = Instant::now();
            if now >= until {
                return;
            }
        }
    }
}

fn may_speak(guest: &Guest, owner: u32) -> Option<Peer> {
    guest.peer().ok().filter(|peer| peer.uid.is_some_and(|uid| uid == 0 || uid == owner))
}

#[cfg(fuzzing)]
impl Served {
    /// Lets in who has connected already.
    pub(crate) fn let_in(&mut self, held: &Arc<Held>, guest: Guest, peer: Peer) {
        self.adopt(held);
        self.seat(held.id, guest, peer, Instant::now());
    }

    /// Lets so much time pass in which nothing happens.
    pub(crate) fn let_pass(&mut self, time: Duration) {
        self.let_go(Instant::now() + time);
    }

    /// The conversations that go on.
    pub(crate) fn visits(&self) -> impl Iterator<Item = &crate::visit::Visit> {
        self.instances.values().flat_map(|service| service.guests.values().map(|(_, visit)| visit))
    }
}
