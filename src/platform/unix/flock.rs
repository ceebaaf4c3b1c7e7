//! What a child and all that it starts keep, on Unix: `flock(2)` on a whole file, tried, never waited for, and left to
//! whoever inherits the descriptor.
//!
//! It belongs to the open file description, so that it lasts until the last copy of the descriptor is closed, in
//! whatever process. What that is good for is said in `child_lock.rs`.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
        unix::process::CommandExt as _,
    },
    process::{Child, Command},
    sync::Arc,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
};
use rustix::fs::{FlockOperation, flock};

use super::{
    files::{FileId, id_of},
    owned::Owned,
};
use crate::{platform::process::inherited_with_flock, process::Signal};

pub(crate) use crate::platform::process::{
    flock_keepers as keepers, keeps_flock as keeps, signal_with_group as signal,
};

/// Where the copy for a child goes: far from the numbers that shells and programs choose, as far as the limit of
/// descriptors allows.
const NUMBERS: [RawFd; 4] = [1000, 200, 50, 10];

/// The least number that a copy for a child may get here.
pub(crate) fn least_number() -> RawFd {
    let most = super::most_descriptors().and_then(|most| RawFd::try_from(most).ok()).unwrap_or(RawFd::MAX);
    NUMBERS.into_iter().find(|number| *number < most).unwrap_or(NUMBERS[3])
}

/// A file whose lock is shared with whoever is started with it.
#[derive(Debug)]
pub(crate) struct Kept {
    file: Arc<Owned<File>>,
    id: FileId,
}

impl Kept {
    /// Takes the file, which must be the only descriptor of it that is this process's own.
    pub(crate) fn new(file: File, id: FileId) -> io::Result<Self> {
        Ok(Self { file: Arc::new(Owned::new(file)?), id })
    }

    /// Tells whether nobody keeps it; then nobody can until this is dropped. What this process itself inherited from an
    /// earlier child is closed first.
    pub(crate) fn is_free(&mut self) -> io::Result<bool> {
        if try_flock(self.file.peek())? {
            return Ok(true);
        }
        let closed = close_inherited(&inherited_with_flock(self.id), self.id, self.file.peek());
        Ok(closed > 0 && try_flock(self.file.peek())?)
    }

    /// From now on those who are started with it keep it, too. `false`: somebody took it in between, and it is lost.
    pub(crate) fn share(&mut self) -> io::Result<bool> {
        share_flock(self.file.peek())
    }
}

/// Starts a program that keeps these, and so does all that it starts: each a descriptor without close-on-exec, with a
/// high number.
///
/// It is not started when one of them was dropped before, or no descriptor is left for it.
///
/// `last` may add to the command what has to come after that.
pub(crate) fn spawn<'a, T>(
    kept: impl Iterator<Item = &'a Kept>,
    command: &mut Command,
    last: impl FnOnce(&mut Command) -> io::Result<T>,
) -> io::Result<Child> {
    kept.for_each(|kept| leave_to(command, &kept.file));
    let _until_started = last(command)?;
    command.spawn()
}

/// Tells whether there is a signal of this number.
pub(crate) fn is_signal(number: i32) -> io::Result<()> {
    super::to_signal(Signal::Number(number)).map(drop)
}

/// Tries to lock it exclusively; `false`: somebody else has it. What is held already stays held.
pub(crate) fn try_flock(file: &File) -> io::Result<bool> {
    taken(flock(file, FlockOperation::NonBlockingLockExclusive))
}

/// Makes an exclusive lock a shared one; `false`: somebody took it in between, and it is lost.
///
/// flock(2): "the existing lock is first removed, and then a new lock is established".
fn share_flock(file: &File) -> io::Result<bool> {
    taken(flock(file, FlockOperation::NonBlockingLockShared))
}

fn taken(answer: rustix::io::Result<()>) -> io::Result<bool> {
    match answer {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Closes those of these numbers that are descriptors of this file, except for `ours`; says how many.
///
/// They must be nobody's in this process: inherited, and unknown to whatever runs in it.
fn close_inherited(numbers: &[RawFd], id: FileId, ours: &File) -> usize {
    let is_it = |number: RawFd| {
        // SAFETY: borrowed for one `fstat`, which fails if the number is not open.
        let now = || id_of(unsafe { BorrowedFd::borrow_raw(number) });
        number >= 0 && number != ours.as_raw_fd() && now().is_ok_and(|now| now == id)
    };
    let inherited = numbers.iter().filter(|&&number| is_it(number));
    // SAFETY: the caller says that nothing in this process owns it.
    inherited.map(|&number| drop(unsafe { OwnedFd::from_raw_fd(number) })).count()
}

/// Lets the program that is started inherit a copy of the descriptor, under a high number.
fn leave_to(command: &mut Command, lock: &Arc<Owned<File>>) {
    let lock = Arc::downgrade(lock);
    let copy = move || {
        let lock = lock.upgrade().filter(|lock| lock.is_intact());
        let Some(lock) = lock else { return Err(Errno::EBADF.into()) };
        for least in NUMBERS {
            match fcntl(lock.peek(), FcntlArg::F_DUPFD(least)) {
                Ok(_) => return Ok(()),
                // F_DUPFD: EINVAL is a number above the limit, EMFILE none free from there on.
                Err(Errno::EINVAL | Errno::EMFILE) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(Errno::EMFILE.into())
    };
    // SAFETY: between fork and exec it counts an `Arc` up and down (never to zero: the starter has one) and makes a
    // few system calls; it neither allocates nor locks.
    unsafe { command.pre_exec(copy) };
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use super::*;
    use std::process::Stdio;

    #[test]
    fn the_lock_lasts_as_long_as_a_child_that_was_left_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::options().write(true).open(file.path()).unwrap();
        let mut kept = Kept::new(open(), id_of(file.as_file()).unwrap()).unwrap();
        assert!(kept.is_free().unwrap() && kept.share().unwrap());
        let mut command = Command::new("cat");
        let mut child = spawn([&kept].into_iter(), command.stdin(Stdio::piped()), |_| Ok(())).unwrap();
        drop(kept);
        assert!(!try_flock(&open()).unwrap());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(try_flock(&open()).unwrap());
        assert!(command.spawn().is_err(), "the lock was dropped: nothing is started without it");
    }
}
