//! The log, `NAME.log`: what a program in the background prints, from its start on.
//!
//! Only the holder opens it to write, and empties it then: a claim that is refused leaves the log of the one that runs
//! as it is, and the file does not grow from generation to generation. Whatever else stands in its place is left alone.
//! Proven by `tests/detach.rs`.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use crate::{
    error::Error,
    instance::Instance,
    platform::{self, Kind},
    whole_file,
};

impl Instance {
    /// Where the output of a program in the background goes: `NAME.log` in the instance's directory.
    ///
    /// # Errors
    /// [`Error::NoHome`].
    pub fn log_path(&self) -> Result<PathBuf, Error> {
        Ok(self.dir()?.join(format!("{}.log", self.name())))
    }

    /// Opens the log to add to its end, emptied; made with mode 0600 where it is missing. For the holder.
    ///
    /// Blocks for a few file operations.
    ///
    /// # Errors
    /// [`Error::InTheWay`] for what is there and is not a file with this one name; [`Error::Io`].
    pub fn open_log_blocking(&self) -> Result<File, Error> {
        let log = self.open_log_to_add_blocking()?;
        let path = self.log_path()?;
        platform::empty(&log).map_err(|source| Error::io("write to", &path, source))?;
        Ok(log)
    }

    /// As [`Instance::open_log_blocking`], and leaves what is there: for one that gets ready beside the holder.
    ///
    /// # Errors
    /// As [`Instance::open_log_blocking`].
    pub fn open_log_to_add_blocking(&self) -> Result<File, Error> {
        let path = self.log_path()?;
        refuse_unless_plain(&path)?;
        let failed = |source| Error::io("write to", &path, source);
        platform::open_to_append(&path).map_err(failed)
    }

    /// The last bytes of the log, at most so many; nothing where it cannot be read. Blocks for one read.
    #[must_use]
    pub fn end_of_log_blocking(&self, most: usize) -> Vec<u8> {
        let end = self.log_path().ok().and_then(|path| whole_file::read_end(&path, most).ok().flatten());
        end.map(|end| end.bytes).unwrap_or_default()
    }
}

fn refuse_unless_plain(path: &Path) -> Result<(), Error> {
    let what = match platform::at(path) {
        Ok(Some(facts)) if facts.kind != Kind::File => facts.kind.words(),
        Ok(Some(facts)) if facts.links > 1 => "a file with a second name (a hard link)",
        _ => return Ok(()), // opening it says the rest
    };
    Err(Error::InTheWay { path: path.to_owned(), what, wanted: "log" })
}
