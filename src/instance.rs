//! An instance: a name in a directory, and the paths that follow from the two.
//!
//! The directory is resolved once, by one function, so that every process means the same place; nothing is made until a
//! claim. It is refused when somebody else owns it or may write to it: then nothing in it would prove anything.

use std::{
    ffi::OsStr,
    path::{Component, Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use sha2::{Digest as _, Sha256};

use crate::{
    error::{DirectoryFault, Error},
    platform::{self, Address, FileId, Kind},
};

/// How long a claim tries before it gives up on a holder that does not answer.
pub const CLAIM_TIMEOUT: Duration = Duration::from_secs(5);

/// What there may be one of: a name in a directory.
///
/// Cheap to clone; owns nothing. Making one touches no file.
///
/// # Example
/// ```
/// # fn main() -> Result<(), incumbent::Error> {
/// # let dir = tempfile::tempdir().unwrap();
/// let instance = incumbent::Instance::new("hermes-gateway")?.in_dir(dir.path())?;
/// assert_eq!(instance.name(), "hermes-gateway");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Instance {
    name: String,
    dir: OnceLock<Option<PathBuf>>,
    program: Option<String>,
    claim_timeout: Duration,
}

impl Instance {
    /// Names an instance in the user's state directory.
    ///
    /// The name has 1 to 64 of `a-z 0-9 . _ -` and starts with a letter or a digit.
    ///
    /// # Errors
    /// [`Error::InvalidName`].
    ///
    /// # Platform
    /// The directory is `$XDG_STATE_HOME/gateway` or `~/.local/state/gateway`, on macOS
    /// `~/Library/Application Support/gateway`. It is not a runtime directory: those go away at logout and are not the
    /// same under cron or sudo.
    pub fn new(name: &str) -> Result<Self, Error> {
        let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let valid = (1..=64).contains(&name.len())
            && name.starts_with(part)
            && name.chars().all(|c| part(c) || matches!(c, '.' | '_' | '-'));
        if !valid {
            return Err(Error::InvalidName { name: name.chars().take(80).collect() });
        }
        Ok(Self { name: name.to_owned(), dir: OnceLock::new(), program: None, claim_timeout: CLAIM_TIMEOUT })
    }

    /// Names an instance by what it must be alone with, such as a bot's token, without showing the secret.
    ///
    /// The name is `scope` and 32 hexadecimal digits of SHA-256 over scope and secret.
    ///
    /// # Errors
    /// [`Error::InvalidName`] when the scope cannot start a name, or has more than 31 characters.
    pub fn scoped(scope: &str, secret: impl AsRef<[u8]>) -> Result<Self, Error> {
        let digest = digest(&[scope.as_bytes(), secret.as_ref()]);
        Self::new(&format!("{scope}-{}", &digest[..32]))
    }

    /// Puts the instance in this directory, which need not be there yet.
    ///
    /// Links in the path are resolved now, so that it means the same place in every process.
    ///
    /// # Errors
    /// [`Error::Directory`] when the path is empty, or relative and the current directory is gone.
    pub fn in_dir(mut self, dir: impl AsRef<Path>) -> Result<Self, Error> {
        let unusable = |source| Error::Directory {
            path: dir.as_ref().to_owned(),
            fault: DirectoryFault::Unusable(source),
        };
        self.dir = OnceLock::from(Some(resolve(&std::path::absolute(dir.as_ref()).map_err(unusable)?)));
        Ok(self)
    }

    /// Says which version of the program this is, for `status` and for the record.
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.program = Some(version.into());
        self
    }

    /// Sets how long a claim tries before it gives up on a holder that does not answer; 5 s unless set.
    #[must_use]
    pub fn claim_timeout(mut self, timeout: Duration) -> Self {
        self.claim_timeout = timeout;
        self
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory, absolute, its links resolved.
    ///
    /// # Errors
    /// [`Error::NoHome`].
    pub fn dir(&self) -> Result<&Path, Error> {
        let default = || platform::default_state_dir().map(|dir| resolve(&dir));
        self.dir.get_or_init(default).as_deref().ok_or(Error::NoHome)
    }

    pub(crate) fn program_version(&self) -> String {
        self.program.clone().unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned())
    }

    pub(crate) fn timeout(&self) -> Duration {
        self.claim_timeout
    }

    /// Every path of the instance.
    pub(crate) fn place(&self) -> Result<Place, Error> {
        let dir = self.dir()?.to_owned();
        let file = |end: &str| dir.join(format!("{}.{end}", self.name));
        Ok(Place {
            pid: file("pid"),
            record: file("json"),
            history: file("history"),
            plain_socket: file("sock"),
            name: self.name.clone(),
            dir,
        })
    }
}

/// The paths of an instance. What is there is looked at anew each time.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    pub(crate) pid: PathBuf,
    pub(crate) record: PathBuf,
    pub(crate) history: PathBuf,
    /// Where the socket belongs if the path fits; [`Place::socket`] says where it is.
    plain_socket: PathBuf,
}

impl Place {
    /// Which directory the path leads to now; none when it is missing.
    pub(crate) fn dir_id(&self) -> Option<FileId> {
        platform::behind(&self.dir)
            .ok()
            .flatten()
            .filter(|facts| facts.kind == Kind::Directory)
            .map(|facts| facts.id)
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
    /// under a hash of owner, directory and name.
    pub(crate) fn socket(&self) -> PathBuf {
        if self.plain_socket.as_os_str().len() <= platform::LONGEST_PATH {
            return self.plain_socket.clone();
        }
        let owner = self.owner();
        platform::runtime_dir(owner).join(format!("{}.sock", &self.digest(owner)[..24]))
    }

    /// Tells whether the socket had to go to the runtime directory.
    pub(crate) fn socket_is_elsewhere(&self) -> bool {
        self.plain_socket.as_os_str().len() > platform::LONGEST_PATH
    }

    /// The name in the abstract namespace (Linux), which no deletion reaches.
    pub(crate) fn abstract_name(&self) -> Address {
        Address::Abstract(format!("incumbent/{}", &self.digest(self.owner())[..40]).into_bytes())
    }

    /// What a claim would be refused for, as far as looking tells; makes nothing.
    pub(crate) fn obstacle(&self) -> Option<Error> {
        let facts = platform::behind(&self.dir).ok().flatten()?;
        if let Err(fault) = judge(&facts) {
            return Some(Error::Directory { path: self.dir.clone(), fault });
        }
        if let Ok(Some(facts)) = platform::at(&self.pid) {
            if let Err(error) = crate::pid_file::refuse_unless_plain(&self.pid, &facts) {
                return Some(error);
            }
        }
        let socket = self.socket();
        let facts = platform::at(&socket).ok().flatten()?;
        (facts.kind != Kind::Socket).then(|| Error::InTheWay {
            path: socket,
            what: facts.kind.words(),
            wanted: "socket",
        })
    }

    fn digest(&self, owner: u32) -> String {
        digest(&[&owner.to_le_bytes(), self.dir.as_os_str().as_encoded_bytes(), self.name.as_bytes()])
    }

    /// Refuses a directory of somebody else's before anything is asked there: its holder would not answer.
    pub(crate) fn refuse_foreign(&self) -> Result<(), Error> {
        let fault = |fault| Err(Error::Directory { path: self.dir.clone(), fault });
        let user = platform::effective_user();
        match platform::behind(&self.dir) {
            Ok(Some(facts)) if facts.owner != user && user != 0 => {
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
fn make_safe(dir: &Path) -> Result<(), Error> {
    let fault = |fault| Error::Directory { path: dir.to_owned(), fault };
    let system = |source: std::io::Error| {
        use std::io::ErrorKind::{NotADirectory, PermissionDenied};
        fault(match source.kind() {
            NotADirectory => DirectoryFault::NotADirectory,
            PermissionDenied => DirectoryFault::Forbidden(source),
            _ => DirectoryFault::Unusable(source),
        })
    };
    if platform::behind(dir).map_err(system)?.is_none() {
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
        if platform::effective_user() == 0 {
            let owner =
                above.and_then(|dir| platform::behind(dir).ok().flatten()).map_or(0, |facts| facts.owner);
            for made in missing {
                let _ = platform::give_to(made, owner);
            }
        }
    }
    let Some(facts) = platform::behind(dir).map_err(system)? else {
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

/// Resolves the links of the part of a path that exists; the rest is appended as it is, without `.` and `..`.
fn resolve(path: &Path) -> PathBuf {
    let mut rest: Vec<&OsStr> = Vec::new();
    for known in path.ancestors() {
        if let Ok(mut found) = known.canonicalize() {
            for part in rest.iter().rev() {
                match Path::new(part).components().next() {
                    Some(Component::ParentDir) => drop(found.pop()),
                    Some(Component::Normal(part)) => found.push(part),
                    _ => {}
                }
            }
            // What was appended may be a link after all, when `..` led back.
            return if rest.is_empty() { found } else { found.canonicalize().unwrap_or(found) };
        }
        match known.components().next_back() {
            Some(last) => rest.push(last.as_os_str()),
            None => break,
        }
    }
    path.to_owned()
}

/// Hexadecimal SHA-256 of parts, each with its length, so that no two lists of parts give the same bytes.
fn digest(parts: &[&[u8]]) -> String {
    use std::fmt::Write as _;
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_validated() {
        for good in ["a", "0", "hermes-gateway", "a.b_c-d", &"x".repeat(64)] {
            assert!(Instance::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "_a", "A", "a b", "a/b", "ä", "a\n", "..", &"x".repeat(65)] {
            assert!(matches!(Instance::new(bad), Err(Error::InvalidName { .. })), "{bad:?}");
        }
    }

    #[test]
    fn a_scoped_name_hides_its_secret() {
        let name =
            |secret: &str| Instance::scoped("telegram-token", secret).map(|i| i.name().to_owned()).ok();
        let one = name("123:ABC");
        assert_eq!(one, name("123:ABC"));
        assert_ne!(one, name("123:ABD"));
        assert!(one.is_some_and(|name| !name.contains("123")));
        assert!(Instance::scoped(&"x".repeat(32), "s").is_err());
    }

    #[test]
    fn a_directory_means_the_same_place_however_it_is_written() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let real = dir.path().canonicalize()?.join("real");
        std::fs::create_dir(&real)?;
        std::os::unix::fs::symlink(&real, dir.path().join("link"))?;
        for written in ["link", "real/.", "real/../real", "missing/../link", "link/new/../"] {
            let instance = Instance::new("a")?.in_dir(dir.path().join(written))?;
            assert_eq!(instance.dir()?, real, "{written}");
        }
        assert_eq!(Instance::new("a")?.in_dir(real.join("x/y"))?.dir()?, real.join("x/y"));
        Ok(())
    }
}
