//! Files and directories: told apart by volume and file id, opened so that no link is followed and readers do not disturb.
//!
//! Whoever looks opens with every sharing mode, so that a look keeps nobody from writing, renaming or deleting. The pid
//! file is opened without `FILE_SHARE_DELETE`: as long as somebody works with it, the system refuses to delete or rename
//! it ("Creating and Opening Files", Microsoft Learn). Others (virus scanners, indexers) may have a file open for a moment
//! in a way that shuts everybody else out: what fails for that is tried again, for a quarter of a second.

use std::{
    fs::{File, FileType, OpenOptions},
    io,
    os::windows::{
        fs::{FileExt as _, OpenOptionsExt as _},
        io::{AsHandle, AsRawHandle as _, FromRawHandle as _},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use windows_sys::Win32::{
    Foundation::{
        ERROR_ACCESS_DENIED, ERROR_CANT_ACCESS_FILE, ERROR_DIRECTORY, ERROR_LOCK_VIOLATION,
        ERROR_SHARING_VIOLATION, GENERIC_READ, GENERIC_WRITE, INVALID_HANDLE_VALUE,
    },
    Security::Authorization::SE_FILE_OBJECT,
    Storage::FileSystem::{
        BY_HANDLE_FILE_INFORMATION, CreateDirectoryW, FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_REPARSE_POINT,
        FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_ID_INFO, FILE_READ_ATTRIBUTES,
        FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, FileIdInfo, GetFileInformationByHandle,
        GetFileInformationByHandleEx, READ_CONTROL, ReOpenFile, WRITE_DAC,
    },
};

use super::{
    users::{Private, access_of, effective_user},
    wide::{code_of, succeeded, wide},
};

/// Which file it is, on this system and while it exists: volume and file id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FileId {
    /// The volume's serial number.
    pub(crate) dev: u64,
    /// The file's number on it.
    pub(crate) ino: u64,
}

/// What kind of thing a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    /// A named pipe, which stands in no directory.
    Socket,
    Link,
}

impl Kind {
    /// With its article, for a sentence.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::File => "a regular file",
            Self::Directory => "a directory",
            Self::Socket => "a pipe",
            Self::Link => "a symbolic link",
        }
    }
}

/// What is there, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) id: FileId,
    pub(crate) kind: Kind,
    pub(crate) links: u64,
    pub(crate) owner: u32,
    /// What others may do, as the bits of a Unix mode: 022 when they can change it, 044 when they can read it.
    pub(crate) mode: u32,
    pub(crate) len: u64,
}

/// So long what may be a virus scanner's doing is tried again.
const SCANNED: Duration = Duration::from_millis(250);

/// Tries again what another program's short look may be in the way of.
pub(super) fn patiently<T>(attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    patiently_while(is_in_use, attempt)
}

fn patiently_while<T>(
    is_passing: impl Fn(&io::Error) -> bool,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let deadline = Instant::now() + SCANNED;
    let mut pause = Duration::from_millis(1);
    loop {
        match attempt() {
            Err(error) if is_passing(&error) && Instant::now() < deadline => std::thread::sleep(pause),
            done => return done,
        }
        pause = (pause * 2).min(Duration::from_millis(30));
    }
}

/// Somebody else has it open, or is deleting it; which of the two, and for how long, the system does not say.
fn is_in_use(error: &io::Error) -> bool {
    matches!(code_of(error), Some(ERROR_SHARING_VIOLATION | ERROR_ACCESS_DENIED | ERROR_LOCK_VIOLATION))
}

fn by_handle(handle: impl AsHandle) -> io::Result<BY_HANDLE_FILE_INFORMATION> {
    // SAFETY: all zeroes is a valid value of this struct of numbers.
    let mut facts = unsafe { std::mem::zeroed() };
    // SAFETY: the handle is open, and the struct outlives the call.
    succeeded(unsafe { GetFileInformationByHandle(handle.as_handle().as_raw_handle(), &raw mut facts) })?;
    Ok(facts)
}

fn joined(high: u32, low: u32) -> u64 {
    (u64::from(high) << 32) | u64::from(low)
}

/// Which file an open handle is.
///
/// `ReFS` has ids of 128 bits, of which the 64 that all calls know may be the same for two files (`FILE_ID_INFO`, Microsoft
/// Learn): there both halves count.
pub(crate) fn id_of(handle: impl AsHandle) -> io::Result<FileId> {
    let handle = handle.as_handle();
    // SAFETY: all zeroes is a valid value of this struct of numbers.
    let mut id: FILE_ID_INFO = unsafe { std::mem::zeroed() };
    let size = u32::try_from(size_of::<FILE_ID_INFO>()).unwrap_or(0);
    // SAFETY: the handle is open, and the room is as long as is said.
    let told = unsafe {
        GetFileInformationByHandleEx(handle.as_raw_handle(), FileIdInfo, (&raw mut id).cast(), size)
    };
    if told != 0 {
        let half =
            |at: usize| u64::from_le_bytes(id.FileId.Identifier[at..at + 8].try_into().unwrap_or_default());
        return Ok(FileId { dev: id.VolumeSerialNumber, ino: half(0) ^ half(8).rotate_left(32) });
    }
    let facts = by_handle(handle)?;
    Ok(FileId {
        dev: facts.dwVolumeSerialNumber.into(),
        ino: joined(facts.nFileIndexHigh, facts.nFileIndexLow),
    })
}

fn facts_of(file: &File) -> io::Result<Facts> {
    let facts = by_handle(file)?;
    let has = |attribute| facts.dwFileAttributes & attribute != 0;
    let kind = match () {
        () if has(FILE_ATTRIBUTE_REPARSE_POINT) && file.metadata()?.file_type().is_symlink() => Kind::Link,
        () if has(FILE_ATTRIBUTE_DIRECTORY) => Kind::Directory,
        () => Kind::File,
    };
    let access = access_of(file.as_raw_handle(), SE_FILE_OBJECT)?;
    Ok(Facts {
        id: id_of(file)?,
        kind,
        links: facts.nNumberOfLinks.into(),
        owner: access.owner,
        mode: access.mode,
        len: joined(facts.nFileSizeHigh, facts.nFileSizeLow),
    })
}

/// Opens a file or a directory for nothing but to ask what it is.
fn open_to_ask(path: &Path, flags: u32) -> io::Result<File> {
    OpenOptions::new()
        .access_mode(FILE_READ_ATTRIBUTES | READ_CONTROL)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | flags)
        .open(path)
}

/// What is at the path itself, links not followed; `None` when nothing is.
pub(crate) fn at(path: &Path) -> io::Result<Option<Facts>> {
    found(open_to_ask(path, FILE_FLAG_OPEN_REPARSE_POINT))
}

/// What the path leads to, links followed; `None` when nothing is there.
pub(crate) fn behind(path: &Path) -> io::Result<Option<Facts>> {
    found(open_to_ask(path, 0))
}

fn found(opened: io::Result<File>) -> io::Result<Option<Facts>> {
    match opened {
        Ok(file) => facts_of(&file).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What an open file is.
pub(crate) fn of(file: &File) -> io::Result<Facts> {
    facts_of(file)
}

/// A file as it was written: another's has another id, time or length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    id: FileId,
    modified: u64,
    len: u64,
}

/// The mark of the file at a path; none: there is no file.
pub(crate) fn mark_of(path: &Path) -> Option<Mark> {
    let file = open_to_ask(path, FILE_FLAG_OPEN_REPARSE_POINT).ok()?;
    let facts = by_handle(&file).ok()?;
    let modified = joined(facts.ftLastWriteTime.dwHighDateTime, facts.ftLastWriteTime.dwLowDateTime);
    let len = joined(facts.nFileSizeHigh, facts.nFileSizeLow);
    let is_file = facts.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY == 0;
    is_file.then_some(Mark { id: id_of(&file).ok()?, modified, len })
}

/// Opens the pid file for its locks, making it when it is missing. Never follows a link.
///
/// Without `FILE_SHARE_DELETE`: while it is open nobody deletes or renames it.
pub(crate) fn open_pid_file(path: &Path) -> io::Result<File> {
    patiently(|| {
        OpenOptions::new()
            .access_mode(GENERIC_READ | GENERIC_WRITE | READ_CONTROL | WRITE_DAC)
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE)
            .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
            .open(path)
    })
}

fn is_directory(path: &Path) -> bool {
    matches!(behind(path), Ok(Some(facts)) if facts.kind == Kind::Directory)
}

/// Makes a directory for this user alone, and those above it that are missing.
pub(crate) fn make_private_directory(path: &Path) -> io::Result<()> {
    let private = Private::new(effective_user(), true)?;
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|dir| !dir.as_os_str().is_empty() && matches!(behind(dir), Ok(None)))
        .collect();
    for dir in missing.into_iter().rev() {
        let (attributes, name) = (private.attributes(), wide(verbatim(dir)));
        // SAFETY: the name ends with a zero; the attributes are valid as long as `private` is.
        match succeeded(unsafe { CreateDirectoryW(name.as_ptr(), &raw const attributes) }) {
            // Somebody else has made it in between; what stands there may be no directory all the same.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_directory(dir) => {}
            made => made?,
        }
    }
    Ok(())
}

/// The path in the form in which it may be longer than 260 characters ("Maximum Path Length Limitation", Microsoft Learn).
fn verbatim(path: &Path) -> PathBuf {
    let is_special = path.as_os_str().as_encoded_bytes().starts_with(br"\\");
    if path.as_os_str().len() > 240 && path.is_absolute() && !is_special {
        Path::new(r"\\?\").join(path)
    } else {
        path.to_owned()
    }
}

/// What this user makes is its own: nobody is given anything.
#[allow(clippy::unnecessary_wraps)] // elsewhere it may fail
pub(crate) fn give_to(_: &Path, _: u32) -> io::Result<()> {
    Ok(())
}

/// Takes an open file away from everybody but its owner and root, as far as this user may.
pub(crate) fn make_file_private(file: &File) {
    let _ = Private::new(effective_user(), false).and_then(|private| private.apply_to(file.as_raw_handle()));
}

/// Tells whether opening failed because there is a link, a directory or a device where a file belongs.
pub(crate) fn means_in_the_way(error: &io::Error) -> bool {
    matches!(code_of(error), Some(ERROR_ACCESS_DENIED | ERROR_CANT_ACCESS_FILE | ERROR_DIRECTORY))
}

/// Reads from the start of a file, wherever its cursor is.
pub(crate) fn read_at_start(file: &File, into: &mut [u8]) -> io::Result<usize> {
    file.seek_read(into, 0)
}

/// Writes over the start of a file, wherever its cursor is.
pub(crate) fn write_at_start(file: &File, bytes: &[u8]) -> io::Result<()> {
    match file.seek_write(bytes, 0)? {
        count if count == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WriteZero.into()),
    }
}

/// Creates a file where there is nothing yet (a link counts as something), for this user as its directory is.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    patiently(|| OpenOptions::new().read(true).write(true).create_new(true).open(path))
}

/// Opens a file to read it and to add to its end; creates it where there is nothing.
pub(crate) fn open_to_append(path: &Path) -> io::Result<File> {
    let file = patiently(|| {
        OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
            .open(path)
    })?;
    let refused = |why: String| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    match facts_of(&file)? {
        Facts { kind: Kind::File, links: 0 | 1, .. } => Ok(file),
        Facts { kind: Kind::File, .. } => refused("it has more than one hard link".to_owned()),
        Facts { kind, .. } => refused(format!("it is {}", kind.words())),
    }
}

/// Empties a file that was opened to append, which is no right to cut it: by another handle of the very same file.
pub(crate) fn empty(file: &File) -> io::Result<()> {
    let sharing = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
    // SAFETY: the handle is open; the new one is owned from here on.
    let opened = unsafe { ReOpenFile(file.as_raw_handle(), GENERIC_WRITE, sharing, 0) };
    if opened == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    unsafe { File::from_raw_handle(opened) }.set_len(0)
}

/// Opens a file to read it, and keeps nobody from doing with it what he likes meanwhile. One that another program has for
/// itself alone is tried again; what may not be read is not.
pub(crate) fn open_to_look(path: &Path) -> io::Result<File> {
    let is_taken = |error: &io::Error| code_of(error) == Some(ERROR_SHARING_VIOLATION);
    let open = || OpenOptions::new().read(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT).open(path);
    patiently_while(is_taken, open)
}

/// Puts a file in the place of another, which somebody may be reading at this moment.
pub(crate) fn replace_file(from: &Path, to: &Path) -> io::Result<()> {
    patiently(|| std::fs::rename(from, to))
}

/// Says what a file is, with its article.
pub(crate) fn kind_of(kind: FileType) -> &'static str {
    if kind.is_file() {
        "a regular file"
    } else if kind.is_dir() {
        "a directory"
    } else {
        "a symbolic link"
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_file_that_a_scanner_has_for_itself_for_a_moment_is_read_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        std::fs::write(&path, "text").unwrap();
        let scanner = OpenOptions::new().read(true).share_mode(0).open(&path).unwrap();
        assert!(File::open(&path).is_err(), "it has it for itself");
        let (tell, told) = channel();
        let reader = std::thread::spawn(move || {
            tell.send(()).unwrap();
            open_to_look(&path).map(drop)
        });
        told.recv().unwrap();
        drop(scanner);
        reader.join().unwrap().unwrap();
    }
}
