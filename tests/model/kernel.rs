//! What the kernel and the directory do: record locks, sockets, paths. Nothing here decides anything.
//!
//! Locks belong to the process and to the inode; a path names one inode, or none. Whatever is deleted lives on for those
//! who have it open. A stopped process keeps locks and sockets; its socket accepts, and nobody answers.

use crate::decide::{Hailed, Lock};
use crate::process::{At, Endpoint, Life, Mend};
use crate::state::{Locks, NONE, State};

/// Which lock.
#[derive(Clone, Copy)]
pub enum Which {
    Instance,
    Claim,
}

impl State {
    fn lock(&mut self, inode: u8, which: Which) -> &mut u8 {
        let Locks { instance, claim } = &mut self.locks[inode as usize - 1];
        match which {
            Which::Instance => instance,
            Which::Claim => claim,
        }
    }

    /// Tries a lock; taking what is held already changes nothing.
    pub fn try_lock(&mut self, who: u8, inode: u8, which: Which) -> bool {
        if inode == 0 {
            return false; // the descriptor was closed underneath
        }
        let lock = self.lock(inode, which);
        if *lock == NONE {
            *lock = who;
        }
        *lock == who
    }

    pub fn unlock(&mut self, who: u8, inode: u8, which: Which) {
        if inode != 0 {
            let lock = self.lock(inode, which);
            if *lock == who {
                *lock = NONE;
            }
        }
    }

    /// Closes the file, and with it both locks go.
    pub fn close(&mut self, who: u8, inode: u8) {
        self.unlock(who, inode, Which::Instance);
        self.unlock(who, inode, Which::Claim);
    }

    pub fn has_locks(&self, who: u8) -> bool {
        self.locks.iter().any(|it| it.instance == who || it.claim == who)
    }

    pub fn is_at_its_path(&self, inode: u8) -> bool {
        inode != 0 && inode == self.path
    }

    /// `claim::try_lock`: the lock, and whether the path names the file by then.
    pub fn take(&mut self, who: u8, inode: u8, which: Which) -> Lock {
        let taken = self.try_lock(who, inode, which);
        match (taken, self.is_at_its_path(inode)) {
            (_, false) => Lock::Moved,
            (true, true) => Lock::Taken,
            (false, true) => Lock::Busy,
        }
    }

    /// Who has a lock of the file that the path names.
    pub fn owner(&self, which: Which) -> u8 {
        match (self.path, which) {
            (0, _) => NONE,
            (inode, Which::Instance) => self.locks[inode as usize - 1].instance,
            (inode, Which::Claim) => self.locks[inode as usize - 1].claim,
        }
    }

    /// Opens the pid file, making it when it is missing.
    pub fn open(&mut self) -> u8 {
        if self.path == 0 {
            self.made += 1;
            self.path = self.made;
        }
        self.path
    }

    /// Who listens at the path or at the abstract name, and what a hail meets there.
    pub fn hail(&self, at_name: bool) -> (Hailed, u8) {
        let who = if at_name { self.name } else { self.socket };
        if who == NONE {
            return (Hailed::Nobody, NONE);
        }
        let it = &self.processes[who as usize];
        let met = match it.life {
            Life::Dead => Hailed::Orphan,
            Life::Stopped | Life::Dying => Hailed::Silent,
            Life::Runs if it.answers() => Hailed::Pong,
            Life::Runs => Hailed::Silent,
        };
        (met, who)
    }

    /// `endpoint::rename_into_place`: what is beside is renamed into place, whoever bound it. `false`: it has gone, or was
    /// another's.
    pub fn rename(&mut self, who: u8) -> bool {
        if self.beside == NONE {
            return false;
        }
        // Whose it is listens only while that process has not closed it.
        let owner = &self.processes[self.beside as usize];
        let binds = owner.at == At::Rename || owner.mend == Mend::Rename;
        let is_ours = self.beside == who;
        let listens = is_ours || owner.life != Life::Dead && binds;
        self.forget_socket();
        self.socket = if listens { self.beside } else { NONE };
        self.beside = NONE;
        if is_ours {
            self.processes[who as usize].endpoint = Endpoint::InPlace;
        }
        is_ours
    }

    /// The path does not name anybody's socket any more.
    pub fn forget_socket(&mut self) {
        self.socket = NONE;
        for it in &mut self.processes {
            if it.endpoint == Endpoint::InPlace {
                it.endpoint = Endpoint::OutOfPlace;
            }
        }
    }

    /// Nobody listens at what this process had at the path.
    pub fn shut_endpoint(&mut self, who: u8) {
        if self.socket == who {
            self.socket = NONE;
        }
        self.processes[who as usize].endpoint = Endpoint::None;
    }

    pub fn drop_name(&mut self, who: u8) {
        if self.name == who {
            self.name = NONE;
        }
    }
}
