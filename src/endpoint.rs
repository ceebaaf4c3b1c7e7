//! The endpoint in the file system: the socket on which the holder answers.
//!
//! A path never names a socket that has yet to listen: it is bound beside, listens, and is renamed into place. What is
//! at the path and is no socket is somebody's, and is left alone. Proven by `tests/garbage.rs`, `tests/deleted.rs`.

use std::{
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use crate::{
    error::Error,
    place::Place,
    platform::{self, Address, FileId, Kind, Listener},
};

/// The socket in the file system, while it is held.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) listener: Listener,
    /// What the path must name; none: the name is the listener's own.
    node: Option<FileId>,
}

impl Endpoint {
    /// Binds beside, listens, and renames into place. What is at the path and is no socket is left alone.
    ///
    /// A pipe is in its place when it is made: it has a name, and no file.
    pub(crate) fn bind(place: &Place) -> Result<Self, Error> {
        let (path, owner) = (place.socket(), place.owner());
        let listen = |at: &Path| platform::listen_on(&Address::Path(at.to_owned()), owner);
        let (listener, node) = if platform::ENDPOINT_IS_A_FILE {
            let (listener, node) = put_in_place(&path, owner, listen)?;
            (listener, Some(node))
        } else {
            (listen(&path).map_err(|source| Error::io("listen at", &path, source))?, None)
        };
        Ok(Self { listener: Listener::new(listener), node })
    }

    /// Tells whether it still listens, and its path still leads to it.
    pub(crate) fn is_in_place(&self, place: &Place) -> bool {
        let leads_to = |node| matches!(platform::at(&place.socket()), Ok(Some(facts)) if facts.id == node);
        self.node.is_none_or(leads_to) && self.listener.still_listens()
    }
}

/// Puts a socket at a path: what `bind` binds beside it is given to the owner, and renamed into place.
///
/// # Errors
/// `NotFound` also when somebody else put another in place of it meanwhile; then none of it is left.
pub(crate) fn put_in_place<S>(
    path: &Path,
    owner: u32,
    bind: impl FnOnce(&Path) -> io::Result<S>,
) -> Result<(S, FileId), Error> {
    let failed = |source| Error::io("listen at", path, source);
    let in_the_way = |path: &Path, kind: Kind| Error::InTheWay {
        path: path.to_owned(),
        what: kind.words(),
        wanted: "socket",
    };
    let beside = beside(path);
    if let Some(facts) = platform::at(&beside).map_err(failed)? {
        if facts.kind != Kind::Socket {
            return Err(in_the_way(&beside, facts.kind));
        }
        // Left over by a contender that was killed between the binding and the renaming; nobody reaches it.
        std::fs::remove_file(&beside).map_err(failed)?;
    }
    let socket = bind(&beside).map_err(failed)?;
    let own = platform::at(&beside).map_err(failed)?.map(|facts| facts.id);
    let place_it = || {
        if platform::effective_user() == 0 {
            platform::give_to(&beside, owner).map_err(failed)?;
        }
        match platform::at(path).map_err(failed)? {
            Some(facts) if facts.kind != Kind::Socket => Err(in_the_way(path, facts.kind)),
            _ => platform::replace_file(&beside, path).map_err(failed),
        }
    };
    if let Err(error) = place_it() {
        let _ = std::fs::remove_file(&beside);
        return Err(error);
    }
    // What was renamed may be another's by then: who believed it to be its own would never be met there.
    match platform::at(path).map_err(failed)?.map(|facts| facts.id) {
        Some(node) if Some(node) == own => Ok((socket, node)),
        _ => Err(failed(ErrorKind::NotFound.into())),
    }
}

/// A name beside the final one, and no longer: the last character becomes `~`, which no instance's name has.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    name.pop();
    name.push('~');
    path.with_file_name(name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use std::fs::{self, File};

    use super::*;

    /// Two contenders that have locks on two files, because the first file was deleted, have one name to bind at.
    #[test]
    fn what_another_took_away_meanwhile_is_not_found_and_nothing_is_left_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let owner = platform::effective_user();
        let taken = put_in_place(&path, owner, |beside| {
            drop(File::create(beside)?);
            fs::remove_file(beside)
        });
        assert!(matches!(taken, Err(Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let (_own, node) = put_in_place(&path, owner, |beside| File::create(beside)).unwrap();
        assert_eq!(platform::at(&path).unwrap().unwrap().id, node);
    }
}
