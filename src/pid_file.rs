//! The pid file and its two locks: the instance lock and the claim lock.
//!
//! The locks are one-byte ranges far behind the text. They belong to the process, so a crashed holder with living
//! children leaves nothing stale. Their known weakness is that closing *any* descriptor of the file in the process
//! loses them; hence the table below: it knows every pid file that this process works with, by device and inode, looks
//! before it opens, and keeps what was opened by mistake until the release. A forked child starts with an empty table.
//!
//! Invariants: the file is created once and never unlinked; at most one [`PidFile`] of an inode is in a process; a
//! descriptor is used only while `fstat` says that it still is what it was. Proven by `tests/own_process.rs`.

use std::{
    collections::HashMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::{
    error::Error,
    platform::{self, Facts, FileId, Kind, Owned, PerProcess},
    process::LockOwner,
};

/// Which of the two locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The holder keeps it for life.
    Instance,
    /// Who is claiming keeps it.
    Claim,
}

impl Which {
    /// The locked byte: 1 GiB and 1 GiB + 1, far behind the text, which must stay readable where locks are mandatory.
    pub(crate) const fn offset(self) -> i64 {
        match self {
            Self::Instance => 1 << 30,
            Self::Claim => (1 << 30) + 1,
        }
    }
}

/// The pid files of this process. Kept for life, and made anew in a forked child, whatever a lock's state there.
static TABLE: PerProcess<Mutex<HashMap<FileId, Row>>> = PerProcess::new();

#[derive(Debug)]
struct Row {
    /// The one that is open, also for those who only look.
    file: Arc<Owned<File>>,
    /// Descriptors of the same file that were opened by mistake; closing one would lose the locks.
    kept: Vec<Owned<File>>,
}

impl Row {
    /// Tells whether the program has not closed the file underneath, and its locks with it.
    fn is_intact(&self) -> bool {
        self.file.is_intact()
    }

    fn keep(&mut self, file: File) {
        self.kept.extend(Owned::new(file));
    }
}

fn table() -> MutexGuard<'static, HashMap<FileId, Row>> {
    TABLE.get(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// What came of opening a pid file for a claim.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It is open, and nothing else in this process works with it.
    File(PidFile),
    /// This process works with it already: it holds the instance, or is claiming it.
    Ours,
}

/// A pid file that is open in this process, the only one of its inode here.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    id: FileId,
    /// The table has the file itself, so that it is closed under the table's lock and at no other time.
    file: Weak<Owned<File>>,
    /// Letting go of the claim lock failed.
    keeps_claim: AtomicBool,
    /// There was none when it was about to be opened.
    is_new: bool,
    /// The process that opened it; a forked child is another, and its table does not know the file.
    process: u32,
}

impl PidFile {
    /// Opens the file, making it when it is missing.
    ///
    /// # Errors
    /// Something else than a regular file with one name is there, or the system refused.
    pub(crate) fn open(path: &Path) -> Result<Opened, Error> {
        let io = |source| Error::io("open the pid file", path, source);
        let before = platform::at(path).map_err(io)?;
        if let Some(facts) = &before {
            refuse_unless_plain(path, facts, "pid file")?;
            if table().get(&facts.id).is_some_and(Row::is_intact) {
                return Ok(Opened::Ours);
            }
        }
        let file = match platform::open_pid_file(path) {
            Ok(file) => file,
            Err(error) => {
                return Err(match platform::at(path) {
                    Ok(Some(facts)) if facts.kind != Kind::File && platform::means_in_the_way(&error) => {
                        Error::InTheWay {
                            path: path.to_owned(),
                            what: facts.kind.words(),
                            wanted: "pid file",
                        }
                    }
                    _ => io(error),
                });
            }
        };
        let facts = platform::of(&file).map_err(io)?;
        let mut table = table();
        if let Some(row) = table.get_mut(&facts.id).filter(|row| row.is_intact()) {
            row.keep(file); // the path came to name it between the look and the opening
            return Ok(Opened::Ours);
        }
        refuse_unless_plain(path, &facts, "pid file")?; // closes it, under the table's lock, and nobody here had its locks
        if let Ok(LockOwner::Pid(pid)) = platform::lock_owner(&file, Which::Instance.offset()) {
            if pid == std::process::id() {
                std::mem::forget(file); // another copy of the library in this process holds it: never close
                return Ok(Opened::Ours);
            }
        }
        if facts.mode & 0o077 != 0 {
            platform::make_file_private(&file);
        }
        let file = Arc::new(Owned::known(file, facts.id));
        let weak = Arc::downgrade(&file);
        table.insert(facts.id, Row { file, kept: Vec::new() });
        Ok(Opened::File(Self {
            path: path.to_owned(),
            id: facts.id,
            file: weak,
            keeps_claim: AtomicBool::new(false),
            is_new: before.is_none(),
            process: std::process::id(),
        }))
    }

    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// The file, unless the program has closed it underneath and another was opened in its place.
    fn file(&self) -> io::Result<Arc<Owned<File>>> {
        self.file.upgrade().ok_or_else(|| io::Error::other("the program has closed the pid file underneath"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Tries to take a lock; `false`: another process has it. Taking what is held already changes nothing.
    pub(crate) fn try_lock(&self, which: Which) -> io::Result<bool> {
        platform::try_lock(self.file()?.get()?, which.offset())
    }

    /// Lets go of a lock. If the system refuses twice, [`PidFile::let_go_of_claim`] has still to.
    pub(crate) fn unlock(&self, which: Which) {
        let let_go = || self.file().and_then(|file| platform::unlock(file.get()?, which.offset()));
        let kept = let_go().or_else(|_| let_go()).is_err();
        if which == Which::Claim {
            self.keeps_claim.store(kept, Ordering::Relaxed);
        }
    }

    /// Lets go of a claim lock that could not be let go of: with it a holder would keep everybody from replacing it.
    pub(crate) fn let_go_of_claim(&self) {
        if self.keeps_claim.load(Ordering::Relaxed) {
            self.unlock(Which::Claim);
        }
    }

    /// Tells whether the descriptor is still open, and the path still names its file.
    pub(crate) fn is_at_its_path(&self) -> bool {
        self.is_intact() && self.is_named_by_its_path()
    }

    /// Tells whether the path still names the file. Whether the descriptor is open says each use of it.
    pub(crate) fn is_named_by_its_path(&self) -> bool {
        matches!(platform::at(&self.path), Ok(Some(facts)) if facts.id == self.id())
    }

    /// Tells whether the program has closed the descriptor underneath.
    pub(crate) fn is_intact(&self) -> bool {
        self.file().is_ok_and(|file| file.is_intact())
    }

    /// Writes the text in place and cuts the file to its new length.
    ///
    /// Cutting to zero first would make ext4 flush (measured: 186 to 248 µs against 29).
    pub(crate) fn write_pid(&self, pid: u32) -> io::Result<()> {
        let text = format!("{pid}\n");
        let file = self.file()?;
        let file = file.get()?;
        platform::write_at_start(file, text.as_bytes())?;
        if platform::of(file)?.len != text.len() as u64 {
            file.set_len(text.len() as u64)?;
        }
        Ok(())
    }

    /// Tells whether the text has the length that was written: somebody else may have cut it.
    pub(crate) fn has_text_of(&self, pid: u32) -> bool {
        let facts = self.file().and_then(|file| file.get().and_then(platform::of));
        facts.is_ok_and(|facts| facts.len == format!("{pid}\n").len() as u64)
    }

    /// Tells whether a holder has emptied the text: it released. One that was not there before is empty, too.
    pub(crate) fn was_emptied(&self) -> bool {
        !self.is_new
            && self
                .file()
                .is_ok_and(|file| file.get().and_then(platform::of).is_ok_and(|facts| facts.len == 0))
    }

    /// Empties the text: released.
    pub(crate) fn clear(&self) -> io::Result<()> {
        self.file()?.get()?.set_len(0)
    }
}

/// Refuses what is no regular file with one name.
pub(crate) fn refuse_unless_plain(path: &Path, facts: &Facts, wanted: &'static str) -> Result<(), Error> {
    if facts.kind != Kind::File {
        return Err(Error::InTheWay { path: path.to_owned(), what: facts.kind.words(), wanted });
    }
    if facts.links > 1 {
        return Err(Error::HardLinked { path: path.to_owned(), links: facts.links });
    }
    Ok(())
}

impl Drop for PidFile {
    /// Lets go of both locks and closes the file, with every descriptor of it that was kept.
    fn drop(&mut self) {
        if self.process == std::process::id() {
            let mut table = table();
            self.unlock(Which::Instance);
            self.unlock(Which::Claim);
            // If the program closed it underneath, the row may be that of the file which was opened in its place.
            if table.get(&self.id()).is_some_and(|row| Arc::as_ptr(&row.file) == self.file.as_ptr()) {
                drop(table.remove(&self.id()));
            }
        }
    }
}

/// What looking at a pid file found, without taking anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Locks {
    pub(crate) id: FileId,
    pub(crate) instance: LockOwner,
    pub(crate) claim: LockOwner,
}

/// Asks the kernel who has the two locks; `None` when there is no file. Takes, makes and changes nothing.
pub(crate) fn look(path: &Path) -> io::Result<Option<Locks>> {
    with_file(path, |file, id| {
        Ok(Locks {
            id,
            instance: platform::lock_owner(file, Which::Instance.offset())?,
            claim: platform::lock_owner(file, Which::Claim.offset())?,
        })
    })
}

/// Reads the text of a pid file: for `doctor`, never to decide anything.
pub(crate) fn text(path: &Path) -> io::Result<Option<String>> {
    with_file(path, |file, _| {
        let mut bytes = [0; 64];
        let count = platform::read_at_start(file, &mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes[..count]).trim_end().to_owned())
    })
}

/// Gives the file to `look`, opened if this process does not work with it yet.
///
/// In a process that does, nothing is opened, because closing it again would lose the locks; and if a claim begins
/// here while the file is open to be looked at, it is kept instead of closed.
fn with_file<T>(path: &Path, look: impl FnOnce(&File, FileId) -> io::Result<T>) -> io::Result<Option<T>> {
    let Some(facts) = platform::at(path)? else { return Ok(None) };
    if facts.kind != Kind::File {
        return Err(io::Error::other(format!("{} is there, not a pid file", facts.kind.words())));
    }
    if let Some(row) = table().get(&facts.id).filter(|row| row.is_intact()) {
        return look(row.file.get()?, facts.id).map(Some);
    }
    let file = match platform::open_to_look(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let id = platform::id_of(&file)?;
    let seen = look(&file, id);
    let mut table = table();
    match table.get_mut(&id) {
        Some(row) => row.keep(file),
        None => drop(file), // under the table's lock, so that no claim begins between the look and the closing
    }
    seen.map(Some)
}
