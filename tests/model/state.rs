//! A state of the world: up to three processes, and what the kernel and the directory know of them. It fits into 128
//! bits, so that many millions can be kept.

use crate::process::{ATS, Endpoint, Life, MENDS, Process};

/// Process `NONE` is nobody; the processes are 0, 1 and 2.
pub const NONE: u8 = 3;
/// A takeover's target, beside the number of a process.
pub const NOBODY: u8 = 3;
pub const UNKNOWN: u8 = 4;

/// What may still go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    pub kills: u8,
    pub stops: u8,
    pub deletions: u8,
    pub lost_locks: u8,
    pub time_outs: u8,
    pub leaves: u8,
}

/// The two locks of a pid file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locks {
    pub instance: u8,
    pub claim: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub processes: [Process; 3],
    /// Of the inodes 1, 2 and 3.
    pub locks: [Locks; 3],
    /// Which inode the pid file's path names; 0: none. And how many were made.
    pub path: u8,
    pub made: u8,
    /// Whose socket is at the path, beside it, and whose is the abstract name.
    pub socket: u8,
    pub beside: u8,
    pub name: u8,
    /// The generation in the record; 0: none. And the highest that ever won.
    pub record: u8,
    pub top: u8,
    /// So many rounds, in which each of two that hold had a whole tick, since the last fault.
    pub rounds: u8,
    pub left: Faults,
}

/// Bits, one after the other.
struct Bits {
    value: u128,
    count: u32,
}

impl Bits {
    fn put(&mut self, value: u8, bits: u32) {
        debug_assert!(u32::from(value) < 1 << bits);
        self.value |= u128::from(value) << self.count;
        self.count += bits;
    }

    fn take(&mut self, bits: u32) -> u8 {
        let value = (self.value >> self.count) as u8 & (u8::MAX >> (8 - bits));
        self.count += bits;
        value
    }
}

impl State {
    pub fn pack(&self) -> u128 {
        let mut bits = Bits { value: 0, count: 0 };
        for it in &self.processes {
            bits.put(it.life as u8, 2);
            bits.put(it.at as u8, 6);
            bits.put(it.mend as u8, 4);
            bits.put(it.file | it.fresh << 2 | (it.endpoint as u8) << 4 | it.generation << 6, 8);
            bits.put(it.target | it.peer << 3 | u8::from(it.asked) << 5, 6);
            bits.put(
                if it.has_won() {
                    u8::from(it.double) | u8::from(it.ticked) << 1
                } else {
                    u8::from(it.silent) | u8::from(it.pong) << 1 | u8::from(it.forced) << 2
                },
                3,
            );
        }
        for it in &self.locks {
            bits.put(it.instance | it.claim << 2, 4);
        }
        bits.put(self.path | self.made << 2 | self.socket << 4 | self.beside << 6, 8);
        bits.put(self.name | self.record << 2 | self.top << 4, 6);
        let left = &self.left;
        bits.put(left.kills | left.stops << 2 | left.deletions << 4 | left.lost_locks << 6, 7);
        bits.put(left.time_outs | left.leaves << 1 | self.rounds << 2, 4);
        debug_assert!(bits.count <= 128);
        bits.value
    }

    pub fn unpack(value: u128) -> Self {
        const LIVES: [Life; 4] = [Life::Runs, Life::Stopped, Life::Dying, Life::Dead];
        const ENDPOINTS: [Endpoint; 3] = [Endpoint::None, Endpoint::OutOfPlace, Endpoint::InPlace];
        let mut bits = Bits { value, count: 0 };
        let mut process = || {
            let life = LIVES[bits.take(2) as usize];
            let at = ATS[bits.take(6) as usize];
            let mend = MENDS[bits.take(4) as usize];
            let files = bits.take(8);
            let others = bits.take(6);
            let flags = bits.take(3);
            let mut it = Process {
                life,
                at,
                mend,
                file: files & 3,
                fresh: files >> 2 & 3,
                endpoint: ENDPOINTS[(files >> 4 & 3) as usize],
                generation: files >> 6,
                target: others & 7,
                peer: others >> 3 & 3,
                asked: others >> 5 != 0,
                ..Process::FRESH
            };
            if it.has_won() {
                (it.double, it.ticked) = (flags & 1 != 0, flags & 2 != 0);
            } else {
                (it.silent, it.pong, it.forced) = (flags & 1 != 0, flags & 2 != 0, flags & 4 != 0);
            }
            it
        };
        let processes = [process(), process(), process()];
        let mut locks = || {
            let both = bits.take(4);
            Locks { instance: both & 3, claim: both >> 2 }
        };
        let locks = [locks(), locks(), locks()];
        let paths = bits.take(8);
        let names = bits.take(6);
        let left = bits.take(7);
        let more = bits.take(4);
        Self {
            processes,
            locks,
            path: paths & 3,
            made: paths >> 2 & 3,
            socket: paths >> 4 & 3,
            beside: paths >> 6,
            name: names & 3,
            record: names >> 2 & 3,
            top: names >> 4,
            rounds: more >> 2,
            left: Faults {
                kills: left & 3,
                stops: left >> 2 & 3,
                deletions: left >> 4 & 3,
                lost_locks: left >> 6,
                time_outs: more & 1,
                leaves: more >> 1 & 1,
            },
        }
    }

    /// The same with two processes in each other's places.
    pub fn swapped(&self, a: u8, b: u8) -> Self {
        let mut other = *self;
        other.processes.swap(a as usize, b as usize);
        let turn = |who: &mut u8| match *who {
            it if it == a => *who = b,
            it if it == b => *who = a,
            _ => {}
        };
        for it in &mut other.processes {
            turn(&mut it.target);
            turn(&mut it.peer);
        }
        for it in &mut other.locks {
            turn(&mut it.instance);
            turn(&mut it.claim);
        }
        turn(&mut other.socket);
        turn(&mut other.beside);
        turn(&mut other.name);
        other
    }

    /// Ticks count anew: after a fault, and when there are not two any more.
    pub fn forget_ticks(&mut self) {
        self.rounds = 0;
        self.end_round();
    }

    pub fn end_round(&mut self) {
        for it in &mut self.processes {
            (it.double, it.ticked) = (false, false);
        }
    }

    pub fn believers(&self) -> usize {
        self.processes.iter().filter(|it| it.believes()).count()
    }
}
