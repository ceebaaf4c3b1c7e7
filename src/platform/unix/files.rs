//! Files and directories: opened without following links, told apart by device and inode.
//!
//! Sources: open(2) (`O_NOFOLLOW`, `O_NOATIME`), stat(2), inode(7).

use std::{
    fs::{DirBuilder, File, Metadata, OpenOptions},
    io,
    os::{
        fd::AsFd,
        unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    path::Path,
};

use nix::{errno::Errno, libc};

/// Which file it is, on this system and while it exists: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FileId {
    /// The device.
    pub(crate) dev: u64,
    /// The inode on it.
    pub(crate) ino: u64,
}

/// What kind of thing a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Socket,
    Link,
    Other(&'static str),
}

impl Kind {
    /// With its article, for a sentence.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::File => "a regular file",
            Self::Directory => "a directory",
            Self::Socket => "a socket",
            Self::Link => "a symbolic link",
            Self::Other(words) => words,
        }
    }
}

/// What `stat` says, as far as it matters here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) id: FileId,
    pub(crate) kind: Kind,
    pub(crate) links: u64,
    pub(crate) owner: u32,
    pub(crate) mode: u32,
    pub(crate) len: u64,
}

impl Facts {
    fn from(meta: &Metadata) -> Self {
        let kind = match meta.file_type() {
            kind if kind.is_file() => Kind::File,
            kind if kind.is_dir() => Kind::Directory,
            kind if kind.is_socket() => Kind::Socket,
            kind if kind.is_symlink() => Kind::Link,
            kind => Kind::Other(super::plain_files::kind_of(kind)),
        };
        Self {
            id: FileId { dev: meta.dev(), ino: meta.ino() },
            kind,
            links: meta.nlink(),
            owner: meta.uid(),
            mode: meta.mode() & 0o7777,
            len: meta.len(),
        }
    }
}

/// What is at the path itself, links not followed; `None` when nothing is.
pub(crate) fn at(path: &Path) -> io::Result<Option<Facts>> {
    found(std::fs::symlink_metadata(path))
}

/// What the path leads to, links followed; `None` when nothing is there.
pub(crate) fn behind(path: &Path) -> io::Result<Option<Facts>> {
    found(std::fs::metadata(path))
}

fn found(meta: io::Result<Metadata>) -> io::Result<Option<Facts>> {
    match meta {
        Ok(meta) => Ok(Some(Facts::from(&meta))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What an open file is.
pub(crate) fn of(file: &File) -> io::Result<Facts> {
    file.metadata().map(|meta| Facts::from(&meta))
}

/// A file as it was written: another's has another inode, time or length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    id: FileId,
    modified: (i64, i64),
    len: u64,
}

/// The mark of the file at a path; none: there is no file.
pub(crate) fn mark_of(path: &Path) -> Option<Mark> {
    let meta = std::fs::symlink_metadata(path).ok().filter(Metadata::is_file)?;
    let id = FileId { dev: meta.dev(), ino: meta.ino() };
    Some(Mark { id, modified: (meta.mtime(), meta.mtime_nsec()), len: meta.len() })
}

/// Which file a descriptor is; an error when the number is not open any more.
pub(crate) fn id_of(descriptor: impl AsFd) -> io::Result<FileId> {
    let stat = nix::sys::stat::fstat(descriptor)?;
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)] // the types differ between systems
    Ok(FileId { dev: stat.st_dev as u64, ino: stat.st_ino as u64 })
}

/// Opens the pid file for its locks, making it when it is missing. Never follows a link, never waits.
///
/// Mode 0600: who can open a file for reading can take a read lock on it, and so keep its owner from locking. What root
/// makes belongs to the owner of the directory; what was there before stays whose it is.
pub(crate) fn open_pid_file(path: &Path) -> io::Result<File> {
    let open = || {
        OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY)
            .open(path)
    };
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        opened => return opened,
    }
    match super::plain_files::create_private(path) {
        // Somebody else has made it in between.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open(),
        made => made,
    }
}

/// Makes a directory with mode 0700, and those above it that are missing. What root makes belongs to the owner of what
/// is above.
pub(crate) fn make_private_directory(path: &Path) -> io::Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return DirBuilder::new().recursive(true).mode(0o700).create(path);
    }
    let missing: Vec<&Path> = path.ancestors().take_while(|dir| matches!(behind(dir), Ok(None))).collect();
    for dir in missing.into_iter().rev() {
        match within(dir, make_directory) {
            // Somebody else has made it in between; what stands there may be no directory all the same.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && is_directory(dir) => {}
            made => made?,
        }
    }
    Ok(())
}

fn is_directory(path: &Path) -> bool {
    matches!(behind(path), Ok(Some(facts)) if facts.kind == Kind::Directory)
}

/// Makes a directory in another and gives it to whose that is. The user may put another in its place meanwhile: one that
/// is not as it was made is left as it is.
fn make_directory(above: &File, name: &Path) -> io::Result<()> {
    use rustix::fs::{Dir, Mode, OFlags, mkdirat, openat};
    mkdirat(above, name, Mode::RWXU)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = File::from(openat(above, name, flags, Mode::empty())?);
    let is_new = of(&made)?.owner == 0
        && Dir::read_from(&made)?
            .all(|entry| entry.is_ok_and(|entry| matches!(entry.file_name().to_bytes(), b"." | b"..")));
    if is_new {
        give_to_owner_of(above, &made);
    }
    Ok(())
}

/// Does something in the directory that a path leads to, by one descriptor: what is made there belongs to the owner of
/// that very directory, whatever the path leads to by then.
pub(super) fn within<T>(path: &Path, work: impl FnOnce(&File, &Path) -> io::Result<T>) -> io::Result<T> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let directory = OpenOptions::new()
        .read(true)
        .custom_flags(TO_WORK_IN | libc::O_DIRECTORY | libc::O_CLOEXEC)
        .open(above)?;
    work(&directory, Path::new(name))
}

/// A directory that may not be read can be worked in.
#[cfg(target_os = "linux")]
const TO_WORK_IN: i32 = libc::O_PATH;
#[cfg(not(target_os = "linux"))]
const TO_WORK_IN: i32 = libc::O_SEARCH;

/// Gives what root has made in a directory to the directory's owner. Only ever what was just made: anything else may be
/// a file of somebody else's, or have another name.
///
/// Refused on a file system that squashes root, or without `CAP_CHOWN`; it can be used all the same.
pub(super) fn give_to_owner_of(directory: &File, made: &File) {
    use std::os::unix::fs::fchown;
    if let Ok(owner) = directory.metadata() {
        if owner.uid() != 0 {
            let _ = fchown(made, Some(owner.uid()), Some(owner.gid()));
        }
    }
}

/// Lets only this user use the path (for a socket, before it gets its name).
#[cfg(not(target_os = "linux"))] // there the socket has its mode before it has a path
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

/// Gives the socket that root has bound in a user's directory to that user; nothing else, nothing that has another name,
/// and nothing in a directory of somebody else's: the user may have put something there meanwhile, or another directory.
///
/// On Linux by descriptors that name the very directory and socket (open(2) `O_PATH`, chownat with `AT_EMPTY_PATH`).
pub(crate) fn give_to(path: &Path, owner: u32) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    return within(path, |directory, name| {
        use rustix::fs::{AtFlags, Mode, OFlags, Uid, chownat, openat};
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(directory, name, flags, Mode::empty())?);
        let facts = of(&file)?;
        let is_ours = facts.kind == Kind::Socket && facts.links == 1 && of(directory)?.owner == owner;
        if is_ours && facts.owner != owner {
            chownat(&file, "", Some(Uid::from_raw(owner)), None, AtFlags::EMPTY_PATH)?;
        }
        Ok(())
    });
    #[cfg(not(target_os = "linux"))]
    match at(path)? {
        Some(facts) if facts.owner != owner => std::os::unix::fs::lchown(path, Some(owner), None),
        _ => Ok(()),
    }
}

/// Takes an open file away from everybody but its owner, as far as this user may.
pub(crate) fn make_file_private(file: &File) {
    use std::os::unix::fs::PermissionsExt as _;
    let _ = file.set_permissions(std::fs::Permissions::from_mode(0o600));
}

/// Tells whether opening failed because there is a link, a directory or a device where a file belongs.
pub(crate) fn means_in_the_way(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error().map(Errno::from_raw),
        Some(Errno::ELOOP | Errno::EISDIR | Errno::ENXIO | Errno::ENODEV | Errno::EMLINK)
    )
}

/// Reads from the start of a file, wherever its cursor is.
pub(crate) fn read_at_start(file: &File, into: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, into, 0)
}

/// Writes over the start of a file, wherever its cursor is.
pub(crate) fn write_at_start(file: &File, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, 0)
}
