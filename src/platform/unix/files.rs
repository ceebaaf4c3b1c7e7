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
/// Mode 0600: who can open a file for reading can take a read lock on it, and so keep its owner from locking.
pub(crate) fn open_pid_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

/// Makes a directory with mode 0700, and those above it that are missing.
pub(crate) fn make_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Lets only this user use the path (for a socket, before it gets its name).
#[cfg(not(target_os = "linux"))] // there the socket has its mode before it has a path
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
}

/// Gives the socket or directory that root made in a user's directory to that user; nothing else, and nothing that has
/// another name: the user may have put something there meanwhile, which may be a name of a file of root's.
///
/// On Linux by a descriptor that names the very file (open(2) `O_PATH`, chownat with `AT_EMPTY_PATH`).
pub(crate) fn give_to(path: &Path, owner: u32) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD, Mode, OFlags, Uid, chownat, openat};
        let this = openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let file = File::from(this);
        let facts = of(&file)?;
        let ours = facts.kind == Kind::Directory || (facts.kind == Kind::Socket && facts.links == 1);
        if ours && facts.owner != owner {
            chownat(&file, "", Some(Uid::from_raw(owner)), None, AtFlags::EMPTY_PATH)?;
        }
        Ok(())
    }
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

/// Gives an open file that root made to the user in whose directory it is.
///
/// Not by its path: the user may put another file there meanwhile, and would be given that.
pub(crate) fn give_file_to(file: &File, owner: u32) -> io::Result<()> {
    std::os::unix::fs::fchown(file, Some(owner), None)
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
