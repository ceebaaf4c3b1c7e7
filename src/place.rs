//! The place of an instance: every path and name that follows from its directory and name, and whether anything can be
//! proven there.
//!
//! A directory is refused when somebody else owns it or may write to it. It is made only for a claim. Proven by
//! `tests/strangers.rs`, `tests/cramped.rs`.

use std::{
    ops::Deref,
    path::{Path, PathBuf},
    sync::Arc,
};

use sha2::{Digest as _, Sha256};

use crate::{
    error::{DirectoryFault, Error},
    platform::{self, Address, FileId, Kind},
};

/// The paths of an instance, made once and shared. What is there is looked at anew each time.
#[derive(Debug, Clone)]
pub(crate) struct Place(Arc<Paths>);

/// What is in a [`Place`].
#[derive(Debug)]
pub(crate) struct Paths {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    pub(crate) pid: PathBuf,
    pub(crate) record: PathBuf,
    pub(crate) history: PathBuf,
    /// Where the socket belongs if it is a file and the path fits; [`Place::socket`] says where it is.
    plain_socket: PathBuf,
}

impl Deref for Place {
    type Target = Paths;

    fn deref(&self) -> &Paths {
        &self.0
    }
}

impl Place {
    pub(crate) fn new(name: &str, dir: &Path) -> Self {
        let file = |end: &str| dir.join(format!("{name}.{end}"));
        Self(Arc::new(Paths {
            pid: file("pid"),
            record: file("json"),
            history: file("history"),
            plain_socket: file("sock"),
            name: name.to_owned(),
            dir: dir.to_owned(),
        }))
    }

    /// What the holder's child, and all that it starts, keep locked.
    pub(crate) fn child(&self) -> PathBuf {
        self.dir.join(format!("{}.child", self.name))
    }

    /// Which directory the path leads to now; none when it is missing.
    pub(crate) fn dir_id(&self) -> Option<FileId> {
        self.there().filter(|facts| facts.kind == Kind::Directory).map(|facts| facts.id)
    }

    /// Who owns the directory that is there now, if that is not who owned it.
    pub(crate) fn foreign_owner(&self, owner: u32) -> Option<u32> {
        self.there()
            .filter(|facts| facts.kind == Kind::Directory && facts.owner != owner)
            .map(|facts| facts.owner)
    }

    /// What is at the directory's path. Its links were resolved once: a link that came since leads somewhere else.
    fn there(&self) -> Option<platform::Facts> {
        platform::at(&self.dir).ok().flatten()
    }

    /// The user that the instance belongs to: the directory's owner, or who would make it.
    pub(crate) fn owner(&self) -> u32 {
        self.dir
            .ancestors()
            .find_map(|dir| platform::behind(dir).ok().flatten().map(|facts| (dir, facts.owner)))
            .map_or_else(platform::effective_user, |(dir, owner)| {
                // Above a missing directory only root takes the owner's place.
                if dir == self.dir || platform::effective_user() == 0 {
                    owner
                } else {
                    platform::effective_user()
                }
            })
    }

    /// The socket: in the directory, or, when that path is too long for an address, in the user's runtime directory
    /// under a hash of directory and name. On Windows a pipe, whose name is that hash.
    pub(crate) fn socket(&self) -> PathBuf {
        self.fitting(&self.plain_socket, "sock")
    }

    /// Where the holder's child says how it is; as [`Place::socket`].
    ///
    /// Of a program that gets ready beside the holder's it has another number, as long as that one listens.
    pub(crate) fn notify(&self, number: u32) -> PathBuf {
        let end = if number == 1 { "notify".to_owned() } else { format!("notify{number}") };
        self.fitting(&self.dir.join(format!("{}.{end}", self.name)), &end)
    }

    #[allow(clippy::absurd_extreme_comparisons)] // no path is too long on Windows
    fn fitting(&self, plain: &Path, end: &str) -> PathBuf {
        if let Some(name) = platform::endpoint_name(|| self.digest(), end) {
            return name;
        }
        if plain.as_os_str().len() <= platform::LONGEST_PATH {
            return plain.to_owned();
        }
        platform::runtime_dir(self.owner()).join(format!("{}.{end}", &self.digest()[..24]))
    }

    /// Tells whether the socket had to go to the runtime directory.
    #[allow(clippy::absurd_extreme_comparisons)] // as above
    pub(crate) fn socket_is_elsewhere(&self) -> bool {
        self.plain_socket.as_os_str().len() > platform::LONGEST_PATH
    }

    /// The name in the abstract namespace (Linux), which no deletion reaches.
    ///
    /// Not of the owner: when the directory is missing he is not known, and root and the user must meet all the same.
    pub(crate) fn abstract_name(&self) -> Address {
        Address::Abstract(format!("incumbent/{}", &self.digest()[..40]).into_bytes())
    }

    /// What a claim would be refused for, as far as looking tells; makes nothing.
    pub(crate) fn obstacle(&self) -> Option<Error> {
        let facts = self.there()?;
        if let Err(fault) = judge(&facts) {
            return Some(Error::Directory { path: self.dir.clone(), fault });
        }
        if let Ok(Some(facts)) = platform::at(&self.pid) {
            if let Err(error) = crate::pid_file::refuse_unless_plain(&self.pid, &facts, "pid file") {
                return Some(error);
            }
        }
        let socket = self.socket();
        let facts = platform::at_endpoint(&socket).ok().flatten()?;
        (facts.kind != Kind::Socket).then(|| Error::InTheWay {
            path: socket,
            what: facts.kind.words(),
            wanted: "socket",
        })
    }

    fn digest(&self) -> String {
        digest(&[&platform::path_key(&self.dir), self.name.as_bytes()])
    }

    /// Refuses a directory of somebody else's before anything is asked there: its holder would not answer.
    pub(crate) fn refuse_foreign(&self) -> Result<(), Error> {
        let fault = |fault| Err(Error::Directory { path: self.dir.clone(), fault });
        let user = platform::effective_user();
        match platform::at(&self.dir) {
            Ok(Some(facts)) if facts.kind == Kind::Directory && facts.owner != user && user != 0 => {
                fault(DirectoryFault::Foreign { owner: facts.owner, user })
            }
            Err(source) if source.kind() == std::io::ErrorKind::PermissionDenied => {
                fault(DirectoryFault::Forbidden(source))
            }
            _ => Ok(()),
        }
    }

    /// Makes the directory when it is missing, and refuses one in which nothing could be proven.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        make_safe(&self.dir)?;
        if self.socket_is_elsewhere() {
            if let Some(dir) = self.socket().parent() {
                make_safe(dir)?;
            }
        }
        Ok(())
    }
}

/// Makes a directory that only its user may write to, or finds that it is one.
pub(crate) fn make_safe(dir: &Path) -> Result<(), Error> {
    let fault = |fault| Error::Directory { path: dir.to_owned(), fault };
    let system = |source: std::io::Error| {
        use std::io::ErrorKind::{NotADirectory, PermissionDenied};
        fault(match source.kind() {
            NotADirectory => DirectoryFault::NotADirectory,
            PermissionDenied => DirectoryFault::Forbidden(source),
            _ => DirectoryFault::Unusable(source),
        })
    };
    let mut there = platform::at(dir).map_err(system)?;
    if there.is_none() {
        let missing: Vec<&Path> =
            dir.ancestors().take_while(|dir| matches!(platform::behind(dir), Ok(None))).collect();
        let above = missing.last().and_then(|dir| dir.parent());
        platform::make_private_directory(dir).map_err(|source| match source.kind() {
            // A directory of one's own that may not be written to is not a matter of who one is.
            std::io::ErrorKind::PermissionDenied if above.is_some_and(is_own) => {
                fault(DirectoryFault::Unusable(source))
            }
            std::io::ErrorKind::AlreadyExists => fault(DirectoryFault::NotADirectory),
            _ => system(source),
        })?;
        there = platform::at(dir).map_err(system)?;
    }
    let Some(facts) = there else {
        return Err(fault(DirectoryFault::Unusable(std::io::ErrorKind::NotFound.into())));
    };
    judge(&facts).map_err(fault)
}

/// Finds what makes a directory one in which nothing can be proven, for this user.
fn judge(facts: &platform::Facts) -> Result<(), DirectoryFault> {
    let user = platform::effective_user();
    if facts.kind != Kind::Directory {
        return Err(DirectoryFault::NotADirectory);
    }
    if facts.owner != user && user != 0 {
        return Err(DirectoryFault::Foreign { owner: facts.owner, user });
    }
    let (others_write, sticky) = (facts.mode & 0o022 != 0, facts.mode & 0o1000 != 0);
    if others_write && !sticky {
        return Err(DirectoryFault::Writable { mode: facts.mode });
    }
    Ok(())
}

fn is_own(dir: &Path) -> bool {
    matches!(platform::behind(dir), Ok(Some(facts)) if facts.owner == platform::effective_user())
}

/// Hexadecimal SHA-256 of parts, each with its length, so that no two lists of parts give the same bytes.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digits = |byte: u8| [byte >> 4, byte & 15].map(|digit| char::from(DIGITS[usize::from(digit)]));
    hash.finalize().into_iter().flat_map(digits).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    #[test]
    fn many_that_make_one_directory_at_once_all_have_it() {
        const MANY: usize = 8;
        let above = tempfile::tempdir().unwrap();
        for round in 0..100 {
            let dir = above.path().join(format!("{round}/a/b"));
            let barrier = Barrier::new(MANY);
            thread::scope(|scope| {
                for _ in 0..MANY {
                    scope.spawn(|| {
                        barrier.wait();
                        make_safe(&dir).unwrap();
                    });
                }
            });
        }
    }
}
