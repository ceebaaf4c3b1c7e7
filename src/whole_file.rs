//! A small file that is read whole and replaced whole.
//!
//! Invariants: a reader sees the old text or the new one, never a mixture. A crash leaves at most one temporary file,
//! its name fixed (`NAME~`), and the next write clears it: no litter eats the inodes of a full disk. Reading writes
//! nothing, waits for nothing, and reads nothing but a regular file.
//! It does not flush to the disk (a holder must not wait for one; after a power cut a file may be empty, and its
//! reader says so), and it does not arbitrate: there is one writer at a time, the one who holds the lock.
//! Proven by the tests below, and by those of `record` and `history`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::platform;

/// Replaces the file at `path`, or creates it with mode 0600, so that nobody ever sees half of it. Gives its mark as it
/// was before the renaming: at the path another may have written since.
///
/// # Errors
/// Of the system's kind, and names the path. The file is as it was then, and nothing is left beside it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<Option<platform::Mark>> {
    let temporary = beside(path);
    let mut created = platform::create_private(&temporary);
    if created.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove the left-over", &temporary, &error));
            }
            _ => created = platform::create_private(&temporary),
        }
    }
    let mut file = created.map_err(|error| failed("create", &temporary, &error))?;
    let written = file.write_all(bytes).map_err(|error| failed("write", &temporary, &error));
    drop(file); // Windows renames no open file
    written
        .and_then(|()| {
            let mark = platform::mark_of(&temporary);
            platform::replace_file(&temporary, path).map_err(|error| failed("replace", path, &error))?;
            Ok(mark)
        })
        .inspect_err(|_| {
            let _ = fs::remove_file(&temporary); // the first error is the one to tell
        })
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push("~");
    name.into()
}

/// Reads a regular file of at most `max` bytes; `None` when nothing is there.
///
/// # Errors
/// `InvalidInput` for what is not a regular file, `FileTooLarge` for a longer one, else of the system's kind; each
/// names the path.
pub(crate) fn read_small(path: &Path, max: usize) -> io::Result<Option<Vec<u8>>> {
    let Some(end) = read_end(path, max)? else {
        return Ok(None);
    };
    if end.is_whole {
        return Ok(Some(end.bytes));
    }
    let error = io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {max} bytes"));
    Err(failed("read", path, &error))
}

/// The last bytes of a file.
#[derive(Debug)]
pub(crate) struct FileEnd {
    /// What stands there.
    pub(crate) bytes: Vec<u8>,
    /// Whether this is all there is.
    pub(crate) is_whole: bool,
    /// How long the file was when it was opened.
    pub(crate) len: u64,
}

/// Reads the last `max` bytes of a regular file; `None` when nothing is there.
///
/// # Errors
/// As [`read_small`], but no file is too large.
pub(crate) fn read_end(path: &Path, max: usize) -> io::Result<Option<FileEnd>> {
    let Some((mut file, len)) = open_regular(path)? else {
        return Ok(None);
    };
    let max = u64::try_from(max).unwrap_or(u64::MAX);
    let mut read = || {
        let before = len.saturating_sub(max);
        if before > 0 {
            file.seek(SeekFrom::Start(before))?;
        }
        // Room for all of it at once, and for the byte that says that there is no more.
        let mut bytes = Vec::with_capacity(usize::try_from((len - before).saturating_add(64)).unwrap_or(0));
        // One byte more than wanted tells a file that grew just now.
        (&file).take(max.saturating_add(1)).read_to_end(&mut bytes)?;
        let kept = usize::try_from(max).unwrap_or(usize::MAX);
        let grew = bytes.len() > kept;
        bytes.truncate(kept);
        Ok(FileEnd { bytes, is_whole: before == 0 && !grew, len })
    };
    read().map(Some).map_err(|error: io::Error| failed("read", path, &error))
}

/// Looks before it opens, because opening some things (a tape, a terminal) does something; then once more at what it
/// opened, because the path may have changed hands in between. Gives its length, too.
fn open_regular(path: &Path) -> io::Result<Option<(File, u64)>> {
    let refuse_others = |metadata: &fs::Metadata| {
        let kind = metadata.file_type();
        if kind.is_file() {
            return Ok(());
        }
        let what = format!("it is {}, not a regular file", platform::kind_of(kind));
        Err(io::Error::new(io::ErrorKind::InvalidInput, what))
    };
    let open = || -> io::Result<(File, u64)> {
        refuse_others(&fs::symlink_metadata(path)?)?;
        let file = platform::open_to_look(path)?;
        let metadata = file.metadata()?;
        refuse_others(&metadata)?;
        Ok((file, metadata.len()))
    };
    match open() {
        Ok(opened) => Ok(Some(opened)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path, &error)),
    }
}

/// An error that says what was tried on which path, and keeps its kind.
pub(crate) fn failed(to: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {to} `{}`: {error}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::platform::testing;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn replaced_file_is_read_back_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        assert_eq!(read_small(&path, 9).unwrap(), None);
        for text in [&b"a longer first text"[..], b"short", b""] {
            assert_eq!(replace(&path, text).unwrap(), platform::mark_of(&path));
            assert_eq!(read_small(&path, 19).unwrap().unwrap(), text);
            assert_eq!(names(dir.path()), ["file"]);
        }
    }

    #[test]
    fn left_over_of_a_crash_is_cleared_by_the_next_write() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(dir.path().join("file~"), "torn").unwrap();
        replace(&path, b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(names(dir.path()), ["file"]);
    }

    #[test]
    fn a_link_planted_as_the_temporary_file_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let planted = testing::strange_files(dir.path(), &victim);
        let Some((link, _)) = planted.iter().find(|(_, kind)| *kind == "a symbolic link") else { return };
        fs::rename(link, dir.path().join("file~")).unwrap();
        replace(&dir.path().join("file"), b"text").unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn failed_replacement_names_the_path_and_leaves_everything_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::create_dir(&path).unwrap(); // cannot be replaced by a file
        let error = replace(&path, b"text").unwrap_err();
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        assert_eq!(names(dir.path()), ["file"]);

        let absent = dir.path().join("absent").join("file");
        let error = replace(&absent, b"text").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("absent"), "{error}");
    }

    #[test]
    fn only_a_regular_file_is_read_and_the_error_says_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "text").unwrap();
        for (path, kind) in testing::strange_files(dir.path(), &victim) {
            let error = read_small(&path, 100).unwrap_err();
            assert!(error.to_string().contains(kind), "{error}");
            assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        }
    }

    #[test]
    fn a_file_over_the_limit_is_refused_and_its_end_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "0123456789").unwrap();
        assert_eq!(read_small(&path, 10).unwrap().unwrap(), b"0123456789");
        assert_eq!(read_small(&path, 9).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let end = read_end(&path, 3).unwrap().unwrap();
        assert_eq!((end.bytes.as_slice(), end.is_whole), (&b"789"[..], false));
    }
}
