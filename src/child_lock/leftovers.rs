//! Ending what an earlier holder's child left behind.
//!
//! 1. Who keeps the lock is looked up (Linux, Windows), each process held by a handle and looked at again: so it kept the lock
//!    after the handle was opened, and cannot be mistaken for a later process of the same number. The child that the
//!    record names is held by a handle before its start is compared.
//! 2. Each is asked to end as soon as it is found, and continued; after the grace it is killed, if it keeps the lock
//!    still.
//! 3. Waited for is the end of all that are known. What they forked meanwhile, and what lets go without ending, is found
//!    by another look, after a pause that grows to 250 ms.
//! 4. When the grace is over, and ten seconds more if anything was killed, it is said what is still there: of a look and a try
//!    for the lock that both began after that, because a look goes through all processes, and on a busy machine it lasts.
//!
//! This process and pid 1 are never signalled; a process that only reads the file is none of them.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    blocking::deadline_in,
    child_lock::ChildLockOptions,
    error::{Error, StillThere},
    platform::{self, FileId, kept},
    process::{Process, ProcessHandle, ProcessState, Signal},
    record,
};

/// How long what was killed may take to be gone: 1 GB takes 70 ms, a dying disk longer.
const KILL_WAIT: Duration = Duration::from_secs(10);
/// The first pause before another look, when there is nobody whose end could be waited for.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
/// The first when there is: the look is for what it may have forked meanwhile.
const PAUSE_FOR_KNOWN: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What is left, as far as it was found.
#[derive(Debug)]
pub(super) struct Leftovers<'a> {
    path: PathBuf,
    options: &'a ChildLockOptions,
    kill_at: Instant,
    known: Vec<Leftover>,
    pause: Duration,
    shown: Option<Vec<u32>>,
    has_killed: bool,
    /// The time was over at the last look; the lock was tried once more since.
    is_last: bool,
}

/// What a process was told so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    ToEnd,
    Killed,
}

#[derive(Debug)]
struct Leftover {
    process: Process,
    handle: ProcessHandle,
    /// The record names it, so that it counts whether it keeps the lock or not.
    is_recorded: bool,
    /// It kept the lock at the last look.
    keeps: bool,
    told: Told,
    may_be_signalled: bool,
}

impl Leftover {
    fn new(process: Process, handle: ProcessHandle, is_recorded: bool) -> Self {
        let may_be_signalled = process.pid > 1;
        Self { process, handle, is_recorded, keeps: true, told: Told::Nothing, may_be_signalled }
    }

    /// The process that the record names, if it is still the same one: pid, start and pid namespace (the boot was
    /// compared when the record was read).
    fn recorded(child: &record::Child) -> io::Result<Option<Self>> {
        if child.pid == std::process::id() || child.pid_namespace != platform::pid_namespace() {
            return Ok(None);
        }
        let Some(handle) = ProcessHandle::open(child.pid)? else { return Ok(None) };
        let is_same = |now: &Process| child.start_ticks.is_some() && now.start_ticks == child.start_ticks;
        let process = Process::of(child.pid)?.filter(is_same);
        Ok(process.filter(|_| !handle.has_ended()).map(|process| Self::new(process, handle, true)))
    }

    /// The process that was seen to keep the lock, if it does so still.
    fn keeper(pid: u32, id: FileId) -> io::Result<Option<Self>> {
        let Some(handle) = ProcessHandle::open(pid)? else { return Ok(None) };
        let Some(process) = Process::of(pid)? else { return Ok(None) };
        let is_it = kept::keeps(pid, id) && !handle.has_ended();
        Ok(is_it.then(|| Self::new(process, handle, false)))
    }

    fn is_ending(&self) -> bool {
        let now = Process::of(self.process.pid).ok().flatten();
        now.is_some_and(|now| now.state == ProcessState::Ending)
    }

    fn counts(&self) -> bool {
        self.is_recorded || self.keeps
    }

    /// Sends signals, one after the other.
    fn send(&mut self, signals: &[Signal]) -> io::Result<()> {
        for &signal in signals {
            match kept::signal(&self.handle, signal) {
                Ok(()) => {}
                Err(_) if self.handle.has_ended() => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    self.may_be_signalled = false;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<'a> Leftovers<'a> {
    /// Begins: the grace runs from here.
    pub(super) fn new(
        path: &Path,
        options: &'a ChildLockOptions,
        recorded: Option<&record::Child>,
    ) -> io::Result<Self> {
        let recorded = recorded.map(Leftover::recorded).transpose()?.flatten();
        Ok(Self {
            path: path.to_owned(),
            options,
            kill_at: deadline_in(options.grace),
            known: recorded.into_iter().collect(),
            pause: FIRST_PAUSE,
            shown: None,
            has_killed: false,
            is_last: false,
        })
    }

    /// Tells whether the child that the record names has ended.
    pub(super) fn recorded_has_ended(&self) -> bool {
        self.known.iter().all(|known| !known.is_recorded || known.handle.has_ended())
    }

    /// Looks who is left, shows them, signals whoever is due, and waits: until all that are known have ended, or the next look.
    pub(super) fn end_some(&mut self, id: FileId, show: &mut impl FnMut(&[Process])) -> Result<(), Error> {
        let failed = |path: &Path, source| Error::io("end what keeps", path, source);
        self.look(id).map_err(|source| failed(&self.path, source))?;
        let left: Vec<Process> = self.left().map(|left| left.process.clone()).collect();
        let pids: Vec<u32> = left.iter().map(|process| process.pid).collect();
        if self.shown.as_ref() != Some(&pids) {
            tracing::info!(?pids, "waiting for what an earlier child left behind");
            show(&left);
            self.shown = Some(pids);
        }
        self.signal().map_err(|source| failed(&self.path, source))?;
        if self.known.iter().any(|known| known.handle.has_ended()) {
            return Ok(()); // quick: the lock may be free already
        }
        let ends_at = self.kill_at + if self.has_killed { KILL_WAIT } else { Duration::ZERO };
        if Instant::now() >= ends_at {
            // What was there when the lock was tried may have ended while it was looked for.
            return if std::mem::replace(&mut self.is_last, true) { Err(self.give_up(left)) } else { Ok(()) };
        }
        self.is_last = false; // something was killed meanwhile, which has its time
        self.wait(ends_at);
        Ok(())
    }

    /// Those that are still to be ended.
    fn left(&self) -> impl Iterator<Item = &Leftover> {
        self.known.iter().filter(|known| known.counts() && !known.handle.has_ended())
    }

    fn look(&mut self, id: FileId) -> io::Result<()> {
        let mut keepers = kept::keepers(id);
        keepers.retain(|&pid| pid != std::process::id());
        // After the look: the number of one that lives still was its own all the time.
        self.known.retain(|known| !known.handle.has_ended());
        for known in &mut self.known {
            // One that is ending closes its descriptors a moment before its end is told.
            known.keeps = keepers.contains(&known.process.pid) || known.is_ending();
        }
        for pid in keepers {
            if self.known.iter().all(|known| known.process.pid != pid) {
                self.known.extend(Leftover::keeper(pid, id)?);
            }
        }
        Ok(())
    }

    fn signal(&mut self) -> io::Result<()> {
        let is_over = Instant::now() >= self.kill_at;
        let due = |known: &&mut Leftover| known.counts() && known.may_be_signalled;
        for left in self.known.iter_mut().filter(due) {
            let pid = left.process.pid;
            if is_over && left.told != Told::Killed {
                tracing::warn!(pid, "did not end in time: killed");
                left.told = Told::Killed;
                left.send(&[Signal::Kill])?;
                self.has_killed |= left.may_be_signalled;
            } else if left.told == Told::Nothing {
                tracing::info!(pid, signal = self.options.stop_signal, "asked to end");
                left.told = Told::ToEnd;
                left.send(&[Signal::Number(self.options.stop_signal), Signal::Continue])?;
            }
        }
        Ok(())
    }

    fn wait(&mut self, ends_at: Instant) {
        let now = Instant::now();
        let phase_ends = if now < self.kill_at { self.kill_at } else { ends_at };
        let until = |pause: Duration| phase_ends.min(now + pause);
        if self.left().next().is_none() {
            std::thread::sleep(until(self.pause).saturating_duration_since(now));
        }
        for left in self.left() {
            left.handle.wait_ended(until(self.pause.max(PAUSE_FOR_KNOWN)));
        }
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    fn give_up(&self, mut left: Vec<Process>) -> Error {
        for process in &mut left {
            process.check_frozen();
        }
        let why = if left.is_empty() {
            StillThere::Unseen
        } else if self.left().any(|left| !left.may_be_signalled) {
            StillThere::NotAllowed
        } else {
            StillThere::Killed
        };
        Error::LeftBehind { path: self.path.clone(), processes: left, why }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_until_the_grace_was_over_is_not_given_up_before_the_lock_was_tried_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let id = platform::of(file.as_file()).unwrap().id;
        let options = ChildLockOptions::default().grace(Duration::ZERO);
        let mut leftovers = Leftovers::new(file.path(), &options, None).unwrap();
        leftovers.end_some(id, &mut |_| ()).unwrap();
        let given_up = leftovers.end_some(id, &mut |_| ());
        assert!(matches!(given_up, Err(Error::LeftBehind { why: StillThere::Unseen, .. })), "{given_up:?}");
    }
}
