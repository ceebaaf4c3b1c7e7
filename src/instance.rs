//! An instance: a name in a directory.
//!
//! The directory is resolved once, by one function, so that every process means the same place; nothing is made until a
//! claim. The paths that follow from the two are in `place.rs`.

use std::{
    ffi::OsStr,
    path::{Component, Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use crate::{
    error::{DirectoryFault, Error},
    place::{Place, digest},
    platform,
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
    place: OnceLock<Place>,
    program: Option<String>,
    claim_timeout: Duration,
}

impl Instance {
    /// Names an instance in the user's state directory.
    ///
    /// The name has 1 to 64 of `a-z 0-9 . _ -` and starts with a letter or a digit. On Windows it is none of the names that
    /// stand for a device there, such as `nul` or `com1.x`.
    ///
    /// # Errors
    /// [`Error::InvalidName`].
    ///
    /// # Platform
    /// The directory is `$XDG_STATE_HOME/gateway` or `~/.local/state/gateway`, on macOS
    /// `~/Library/Application Support/gateway`, on Windows `%LOCALAPPDATA%\gateway`. It is not a runtime directory: those go away at logout and are not the
    /// same under cron or sudo.
    pub fn new(name: &str) -> Result<Self, Error> {
        let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let valid = (1..=64).contains(&name.len())
            && name.starts_with(part)
            && name.chars().all(|c| part(c) || matches!(c, '.' | '_' | '-'))
            && !platform::is_reserved(name);
        if !valid {
            return Err(Error::InvalidName { name: name.chars().take(80).collect() });
        }
        Ok(Self {
            name: name.to_owned(),
            dir: OnceLock::new(),
            place: OnceLock::new(),
            program: None,
            claim_timeout: CLAIM_TIMEOUT,
        })
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
        self.place = OnceLock::new();
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
        let dir = self.dir()?;
        Ok(self.place.get_or_init(|| Place::new(&self.name, dir)).clone())
    }
}

/// Resolves the links of the part of a path that exists; the rest is appended as it is, without `.` and `..`.
fn resolve(path: &Path) -> PathBuf {
    let mut rest: Vec<&OsStr> = Vec::new();
    for known in path.ancestors() {
        if let Ok(mut found) = platform::canonical(known) {
            for part in rest.iter().rev() {
                match Path::new(part).components().next() {
                    Some(Component::ParentDir) => drop(found.pop()),
                    Some(Component::Normal(part)) => found.push(part),
                    _ => {}
                }
            }
            // What was appended may be a link after all, when `..` led back.
            return if rest.is_empty() { found } else { platform::canonical(&found).unwrap_or(found) };
        }
        match known.components().next_back() {
            Some(last) => rest.push(last.as_os_str()),
            None => break,
        }
    }
    path.to_owned()
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
        let real = crate::platform::canonical(dir.path())?.join("real");
        std::fs::create_dir(&real)?;
        let has_link = crate::platform::testing::link_directory(&real, &dir.path().join("link"));
        let linked = ["link", "missing/../link", "link/new/../"].into_iter().filter(|_| has_link);
        for written in ["real", "real/.", "real/../real"].into_iter().chain(linked) {
            let instance = Instance::new("a")?.in_dir(dir.path().join(written))?;
            assert_eq!(instance.dir()?, real, "{written}");
        }
        assert_eq!(Instance::new("a")?.in_dir(real.join("x/y"))?.dir()?, real.join("x/y"));
        Ok(())
    }
}
