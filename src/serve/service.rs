//! One instance as it is served: who is in, what each costs, and who makes room for another.

use std::{collections::BTreeMap, io, sync::Arc, time::Instant};

use crate::{
    answer::Ticket,
    held::Held,
    platform::{self, Awaited, Guest, Listener, Peer},
    visit::{Need, Visit},
};

/// Connections that an instance serves at once; fewer when the process may have few descriptors.
const MOST_GUESTS: usize = 256;
/// What all of an instance's half requests may cost together, in bytes, and what is unread as well; one alone that costs
/// little is never put off, or asked to make room, for that.
const MOST_BYTES: usize = 16 << 20;
const FEW_BYTES: usize = 64 << 10;

/// One instance as it is served.
pub(super) struct Service {
    pub(super) held: Arc<Held>,
    pub(super) listeners: Vec<Listener>,
    pub(super) guests: BTreeMap<u64, (Guest, Visit)>,
    /// Nobody is let in before: there was no descriptor left.
    pub(super) closed_until: Option<Instant>,
    /// Long requests together cost too much: this guest's is read to its end before the others'.
    pub(super) first: Option<u64>,
}

impl Service {
    pub(super) fn seat(&mut self, number: u64, guest: Guest, peer: Peer, now: Instant) {
        // Half of the descriptors stay the program's own, and that of the tick, which puts files back.
        let most = platform::most_descriptors().map_or(MOST_GUESTS, |most| (most / 2).min(MOST_GUESTS));
        if self.guests.len() < most || self.make_room() {
            self.guests.insert(number, (guest, Visit::new(peer, now)));
        }
    }

    pub(super) fn speak(&mut self, number: u64, tickets: &mut Ticket, now: Instant) {
        let Some((guest, visit)) = self.guests.get_mut(&number) else { return };
        if converse(guest, visit, &self.held, tickets, now).is_err() {
            self.guests.remove(&number);
        } else if visit.unread() > FEW_BYTES {
            self.save_memory();
        }
    }

    /// Lets only the first of those who are in the middle of a long request go on with it, if all of these cost too much.
    pub(super) fn put_off(&mut self, now: Instant) {
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

    /// The connection that can best be done without.
    pub(super) fn least_needed(&self) -> Option<((Need, Instant), u64)> {
        let needs =
            self.guests.iter().map(|(number, (_, visit))| ((visit.need(), visit.last_word()), *number));
        needs.min()
    }

    /// Closes it; `false`: there is none.
    pub(super) fn make_room(&mut self) -> bool {
        self.least_needed().is_some_and(|(_, number)| self.guests.remove(&number).is_some())
    }
}

/// One turn of a conversation; an error: the client has left, or its descriptor is not ours any more.
fn converse(
    guest: &Guest,
    visit: &mut Visit,
    held: &Arc<Held>,
    tickets: &mut Ticket,
    now: Instant,
) -> io::Result<()> {
    if visit.gets_ready() {
        let left = platform::wait_for_any(&[Awaited::Leaving(guest)], Some(now));
        visit.has_left(left.is_ok_and(|left| left == [true]));
    }
    let guest = guest.check()?;
    let mut piece = [0; 8192];
    if visit.is_unfinished() {
        visit.go_on(held, tickets);
    } else if visit.to_write().is_empty() {
        match guest.read(&mut piece)? {
            Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(count) if visit.may_be_heard() => visit.hear(&piece[..count], held, tickets, now),
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
            Some(count) => visit.wrote(count, held, now),
            None => break,
        }
    }
    Ok(())
}

/// Whether this guest's long request is read later, because of that of the first one.
pub(super) fn waits(first: Option<u64>, number: u64, visit: &Visit) -> bool {
    first.is_some_and(|first| first != number) && visit.half_heard() > FEW_BYTES
}
