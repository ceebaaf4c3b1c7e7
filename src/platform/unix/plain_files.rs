//! Opening files on Unix so that nothing planted in their place is followed, waited for or overwritten.
//!
//! Invariants: no call here blocks on a FIFO, follows a link in the last component, or gives away a file that was
//! there before. What root makes in somebody's directory belongs to that somebody.
//! It does not judge: `whole_file` and `history` do, from what these calls return. Proven by the tests below.

use std::fs::{File, FileType, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::files::{give_to_owner_of, within};

/// Never through a link, never waiting for a FIFO's other end, never making a terminal ours, never inherited.
const CAREFUL: OFlag =
    OFlag::O_NOFOLLOW.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

#[cfg(any(target_os = "linux", target_os = "android"))]
const NO_TRACE: OFlag = OFlag::O_NOATIME;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const NO_TRACE: OFlag = OFlag::empty();

/// Creates a file with mode 0600 where there is nothing yet (a link counts as something).
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    if !nix::unistd::geteuid().is_root() {
        return OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .custom_flags(CAREFUL.bits())
            .open(path);
    }
    within(path, |directory, name| {
        let flags = CAREFUL | OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL;
        let file = File::from(nix::fcntl::openat(directory, name, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
        give_to_owner_of(directory, &file);
        Ok(file)
    })
}

/// Opens a file to read it and to add to its end; creates it with mode 0600 where there is nothing.
pub(crate) fn open_to_append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).custom_flags(CAREFUL.bits());
    let file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_private(path)?;
            options.open(path)?
        }
        opened => opened?,
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("it is {}", kind_of(metadata.file_type())),
        ));
    }
    if metadata.nlink() > 1 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it has more than one hard link"));
    }
    Ok(file)
}

/// Opens a file to read it, without a trace where the system allows that, and without ever blocking.
pub(crate) fn open_to_look(path: &Path) -> io::Result<File> {
    let open = |flags: OFlag| OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    match open(CAREFUL.union(NO_TRACE)) {
        // open(2): O_NOATIME is for the file's owner and for those with CAP_FOWNER.
        Err(error) if error.raw_os_error() == Some(Errno::EPERM as i32) => open(CAREFUL),
        opened => opened,
    }
}

/// Empties a file that was opened to append.
pub(crate) fn empty(file: &File) -> io::Result<()> {
    file.set_len(0)
}

/// Puts a file, or a socket that listens, under its final name beside it, in place of what was there. Both names are of one
/// directory, by one descriptor: a path that leads elsewhere meanwhile does not take a user's file into root's directory.
///
/// # Platform
/// On Linux a regular file changes places with the one that is there (`RENAME_EXCHANGE`, `renameat2(2)`), which is then removed: ext4 begins to
/// write a file to the disk when it is renamed over another (`auto_da_alloc`, `ext4(5)`), which takes 300 µs and more, and not then.
/// Killed between the two leaves the old one under the temporary name.
pub(crate) fn replace_file(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::renameat;
    let from = Path::new(from.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    within(to, |directory, to| {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{AtFlags, FileType, RenameFlags, renameat_with, statat, unlinkat};
            let there = statat(directory, to, AtFlags::SYMLINK_NOFOLLOW);
            let is_file = there.is_ok_and(|there| FileType::from_raw_mode(there.st_mode).is_file());
            // Not every file system can: FUSE and others say EINVAL.
            if is_file && renameat_with(directory, from, directory, to, RenameFlags::EXCHANGE).is_ok() {
                let _ = unlinkat(directory, from, AtFlags::empty()); // the next one clears it away
                return Ok(());
            }
        }
        Ok(renameat(directory, from, directory, to)?)
    })
}

/// Says what a file is, with its article.
pub(crate) fn kind_of(kind: FileType) -> &'static str {
    if kind.is_file() {
        "a regular file"
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing;
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn created_file_is_for_its_owner_only_and_never_an_existing_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mode = create_private(&path).unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
        assert_eq!(create_private(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        for (planted, _) in testing::strange_files(dir.path(), &path) {
            assert_eq!(
                create_private(&planted).unwrap_err().kind(),
                io::ErrorKind::AlreadyExists,
                "{planted:?}"
            );
        }
    }

    #[test]
    fn what_root_makes_belongs_to_the_owner_of_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(dir.path(), Some(1234), Some(1235)).unwrap();
        }
        let owner = fs::metadata(dir.path()).unwrap();
        let made = create_private(&dir.path().join("file")).unwrap().metadata().unwrap();
        assert_eq!(made.uid(), owner.uid());
    }

    #[test]
    fn nothing_planted_is_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        for (planted, kind) in testing::strange_files(dir.path(), &victim) {
            assert!(open_to_append(&planted).is_err(), "{kind}");
        }
        fs::hard_link(&victim, dir.path().join("second name")).unwrap();
        assert!(open_to_append(&victim).is_err());
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert!(!dir.path().join("nothing").exists());
    }

    #[test]
    fn looking_at_a_fifo_does_not_wait_for_a_writer() {
        let dir = tempfile::tempdir().unwrap();
        testing::strange_files(dir.path(), Path::new("/"));
        let (done, watchdog) = mpsc::channel();
        let fifo = dir.path().join("fifo");
        std::thread::spawn(move || done.send((open_to_look(&fifo).is_ok(), open_to_append(&fifo).is_ok())));
        assert_eq!(watchdog.recv_timeout(Duration::from_secs(20)), Ok((true, false)));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn looking_leaves_no_access_time() {
        use std::io::Read;
        use std::time::SystemTime;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "text").unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        // Older than the modification: a plain read would renew it even under `relatime`.
        let times = fs::FileTimes::new().set_accessed(long_ago);
        File::options().write(true).open(&path).unwrap().set_times(times).unwrap();
        open_to_look(&path).unwrap().read_to_end(&mut Vec::new()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().accessed().unwrap(), long_ago);
    }
}
