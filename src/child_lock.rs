//! The proof that a child never runs beside its successor: `NAME.child`, kept locked by whoever descends from it.
//!
//! The kernel frees a dead holder's locks *before* it ends the holder's child, and ends no grandchild at all. So the
//! child has a lock of its own: a `flock`, shared, on a descriptor that it inherits. Here the inheritance is wanted: the
//! lock lasts until the last process that kept the descriptor has ended. A holder starts a child only when
//! 1. it had that lock exclusively, on the file that the path names: nobody keeps the descriptor any more, and
//! 2. the child that the last record names (pid, start, boot and pid namespace agree) has ended: that one may have closed
//!    every descriptor.
//!
//! Until then it ends what is left (`leftovers.rs`), or says why it cannot, and starts nothing. Then it shares the lock.
//! flock(2) lets go before it takes anew, and that gap is harmless: only a holder takes this lock, and holders exclude
//! each other; if somebody else got in between, it begins again.
//!
//! What escapes: a descendant that closes every descriptor (a daemon; what Python's `subprocess` starts, unless
//! `close_fds=False`; what `sudo` starts), and whatever keeps the lock of a `NAME.child` that was deleted.
//!
//! On Windows a job object does it, whose name is that of the file's volume and index: all that a child starts is in it,
//! and nothing leaves it. It is free when no process is in it.
//!
//! A lock is tried and never waited for; what is waited for is the end of processes. The file is created once, stays
//! empty, and is never unlinked. Proven by `tests/child_lock.rs`, on Windows by `tests/windows_child.rs`.

use std::{
    collections::HashSet,
    io,
    path::Path,
    process::{Child, Command},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    blocking,
    error::Error,
    held::{DEFAULT_GRACE, Held},
    holder::Holder,
    pid_file::refuse_unless_plain,
    place::Place,
    platform::{
        self, FileId, Kind, PerProcess,
        kept::{self, Kept},
    },
    process::Process,
};

mod leftovers;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(5);

use leftovers::Leftovers;

/// How what an earlier child left behind is ended, when a [`ChildLock`] is taken.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ChildLockOptions {
    /// How long it has to end by itself, from the first moment on, before it is killed; 30 s.
    pub grace: Duration,
    /// The signal that asks it to end; SIGTERM (15). SIGCONT follows, because what is stopped cannot end. On Windows there
    /// is none that would reach it.
    pub stop_signal: i32,
}

impl Default for ChildLockOptions {
    fn default() -> Self {
        Self { grace: DEFAULT_GRACE, stop_signal: 15 }
    }
}

impl ChildLockOptions {
    /// With this grace.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// With this signal.
    #[must_use]
    pub fn stop_signal(mut self, stop_signal: i32) -> Self {
        self.stop_signal = stop_signal;
        self
    }
}

/// The right to start a child: nothing that an earlier child of this instance started is left.
///
/// Start each program that is the holder's child with it ([`ChildLock::spawn`]), and drop it when they have been started:
/// from then on it lasts as long as one of them, or anything that they start. As long as it is kept, this process counts
/// as one of them.
#[derive(Debug)]
#[must_use = "a child is only protected if it is started with the lock"]
pub struct ChildLock {
    kept: Kept,
    _ours: Ours,
}

impl ChildLock {
    /// Starts a program that keeps these locks, and so does all that it starts. Use the command for this one start: it
    /// stays bound to these locks.
    ///
    /// # Errors
    /// As [`Command::spawn`], and when the locks cannot be passed on: nothing was started then.
    ///
    /// # Platform
    /// Unix: the program inherits a descriptor without close-on-exec, with a high number (1000 or the next free one; a
    /// lower one where the limit is lower). Windows: it is put into a job object before it runs, and is killed with all
    /// that it started when this process ends, however that does; it leads a process group of its own, so that
    /// `CTRL_BREAK` reaches it alone.
    pub fn spawn(locks: &[Self], command: &mut Command) -> io::Result<Child> {
        Self::spawn_with(locks, command, |_| Ok(()))
    }

    /// As [`ChildLock::spawn`]; `last` adds what has to come after all else, and its result is kept until the start.
    #[doc(hidden)]
    pub fn spawn_with<T>(
        locks: &[Self],
        command: &mut Command,
        last: impl FnOnce(&mut Command) -> io::Result<T>,
    ) -> io::Result<Child> {
        kept::spawn(locks.iter().map(|lock| &lock.kept), command, last)
    }
}

impl Holder {
    /// Waits until nothing of an earlier holder's child is left, and takes the right to start the next one.
    ///
    /// What is left is asked to end at once, and killed after the grace. `show` is told what is waited for whenever that
    /// changes; of what cannot be seen, nothing. Blocks for some microseconds when nothing is left, and for at most the
    /// grace and ten seconds. This process is never signalled, nor is pid 1; its ancestors are, if they belong to the
    /// earlier child. If this process itself does, it closes the descriptor that it inherited.
    ///
    /// A second one for the same instance, before the first was dropped, is refused.
    ///
    /// # Errors
    /// [`Error::LeftBehind`]: it is still there; start nothing. [`Error::NotHolding`]: the instance was released, or is
    /// held by another. [`Error::InTheWay`], [`Error::HardLinked`], [`Error::Io`]: `NAME.child` cannot be made or locked.
    ///
    /// # Platform
    /// Linux: every visible process that keeps the lock is found (`/proc`), each held by a pidfd. macOS and FreeBSD show
    /// nobody who does: there the child that the record names is ended with its process group, and for others it is only
    /// waited. Windows: every process in the job is found; nothing can be asked of it from another console, so that it is
    /// only waited before it is killed. On a file system that is shared with other machines `flock` may not be inherited (Linux's NFS makes a
    /// record lock of the whole file at the server of it, flock(2)): there nothing is promised for what the child itself
    /// started, and a warning is logged.
    pub fn child_lock_blocking(
        &self,
        options: &ChildLockOptions,
        show: impl FnMut(&[Process]),
    ) -> Result<ChildLock, Error> {
        take(self.held(), options, show, || false)
    }

    /// As [`Holder::child_lock_blocking`], on any executor. Dropping the future ends the waiting.
    ///
    /// # Errors
    /// As [`Holder::child_lock_blocking`].
    pub async fn child_lock(
        &self,
        options: ChildLockOptions,
        show: impl FnMut(&[Process]) + Send + 'static,
    ) -> Result<ChildLock, Error> {
        let held = self.held().clone();
        let waited_for = GivenUp(Arc::new(AtomicBool::new(false)));
        let given_up = waited_for.0.clone();
        blocking::run(move || take(&held, &options, show, || given_up.load(Ordering::Relaxed))).await
    }
}

/// Says so when it is dropped.
struct GivenUp(Arc<AtomicBool>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn take(
    held: &Held,
    options: &ChildLockOptions,
    mut show: impl FnMut(&[Process]),
    given_up: impl Fn() -> bool,
) -> Result<ChildLock, Error> {
    let path = &held.place.child();
    let io = |source| Error::io("lock", path, source);
    kept::is_signal(options.stop_signal).map_err(io)?;
    if let Ok(file_system) = platform::file_system(&held.place.dir) {
        if file_system.shared {
            tracing::warn!(on = file_system.name, "it may not be seen what a child's children leave behind");
        }
    }
    let recorded = held.core().record.left_behind.clone();
    let mut leftovers = Leftovers::new(path, options, recorded.as_ref()).map_err(io)?;
    let mut opened = None;
    loop {
        if !held.is_holding() || given_up() {
            return Err(Error::NotHolding);
        }
        let (mut kept, ours) = match opened.take() {
            Some(opened) => opened,
            None => open(&held.place)?,
        };
        let is_free = kept.is_free().map_err(io)?;
        if is_free && leftovers.recorded_has_ended() && kept.share().map_err(io)? {
            if is_at(path, ours.id) {
                held.core().record.left_behind = None;
                return Ok(ChildLock { kept, _ours: ours });
            }
            continue; // the path names another file: what keeps that one counts
        }
        let id = ours.id;
        if is_at(path, id) {
            opened = Some((kept, ours));
        }
        leftovers.end_some(id, &mut show)?;
    }
}

/// Takes the right to start a child beside the one of the present holder.
pub(crate) fn share(place: &Place, deadline: Instant) -> Result<ChildLock, Error> {
    let path = &place.child();
    let io = |source| Error::io("lock", path, source);
    loop {
        let (mut kept, ours) = open(place)?;
        // The holder has it for itself for a moment, before it starts its own.
        if kept.share().map_err(io)? && is_at(path, ours.id) {
            return Ok(ChildLock { kept, _ours: ours });
        }
        if Instant::now() >= deadline {
            return Err(io(io::ErrorKind::WouldBlock.into()));
        }
        std::thread::sleep(PAUSE);
    }
}

fn is_at(path: &Path, id: FileId) -> bool {
    matches!(platform::at(path), Ok(Some(facts)) if facts.id == id)
}

/// Opens the file, making it when it is missing.
fn open(place: &Place) -> Result<(Kept, Ours), Error> {
    const WANTED: &str = "child's lock file";
    let path = &place.child();
    let io = |source| Error::io("open the child's lock file", path, source);
    let file = match (platform::open_pid_file(path), platform::at(path)) {
        (Ok(file), _) => file,
        (Err(_), Ok(Some(facts))) if facts.kind != Kind::File => {
            return Err(Error::InTheWay { path: path.clone(), what: facts.kind.words(), wanted: WANTED });
        }
        (Err(error), _) => return Err(io(error)),
    };
    let facts = platform::of(&file).map_err(io)?;
    refuse_unless_plain(path, &facts, WANTED)?;
    if facts.mode & 0o077 != 0 {
        platform::make_file_private(&file); // who can open it can lock it
    }
    let ours = Ours::of(facts.id).ok_or_else(|| {
        io(io::Error::other("this process has it already, and must drop that `ChildLock` first"))
    })?;
    let id = ours.id;
    Ok((Kept::new(file, id).map_err(io)?, ours))
}

/// The files of this kind that this process works with: whatever else is open of one of them was inherited.
static OURS: PerProcess<Mutex<HashSet<FileId>>> = PerProcess::new();

fn all_ours() -> MutexGuard<'static, HashSet<FileId>> {
    OURS.get(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// That this process works with a file: once.
#[derive(Debug)]
struct Ours {
    id: FileId,
    process: u32,
}

impl Ours {
    fn of(id: FileId) -> Option<Self> {
        all_ours().insert(id).then(|| Self { id, process: std::process::id() })
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            all_ours().remove(&self.id);
        }
    }
}
