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
    /// A pipe is in its place when it is made: it has a name, and no file. None: somebody else binds here at the same moment,
    /// so that a lock was lost, or is that of a file that the path does not name any more.
    pub(crate) fn bind(place: &Place) -> Result<Option<Self>, Error> {
        let (path, owner) = (place.socket(), place.owner());
        let listen = |at: &Path| platform::listen_on(&Address::Path(at.to_owned()), owner);
        let (listener, node) = if platform::ENDPOINT_IS_A_FILE {
            let Some((listener, node)) = put_in_place(&path, owner, listen)? else { return Ok(None) };
            (listener, Some(node))
        } else {
            (listen(&path).map_err(|source| Error::io("listen at", &path, source))?, None)
        };
        Ok(Some(Self { listener: Listener::new(listener), node }))
    }

    /// Tells whether it still listens, and its path still leads to it.
    pub(crate) fn is_in_place(&self, place: &Place) -> bool {
        let leads_to = |node| matches!(platform::at(&place.socket()), Ok(Some(facts)) if facts.id == node);
        self.node.is_none_or(leads_to) && self.listener.still_listens()
    }
}

/// Puts a socket at a path: what `bind` binds beside it is given to the owner, and renamed into place. None: somebody else
/// did the same at the same moment, and what is at the path now may be that one's.
pub(crate) fn put_in_place<S>(
    path: &Path,
    owner: u32,
    bind: impl Fn(&Path) -> io::Result<S>,
) -> Result<Option<(S, FileId)>, Error> {
    let Some((socket, node)) = bind_beside(path, owner, bind)? else { return Ok(None) };
    Ok(rename_into_place(path, node)?.then_some((socket, node)))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::io("listen at", path, source)
}

fn in_the_way(path: &Path, kind: Kind) -> Error {
    Error::InTheWay { path: path.to_owned(), what: kind.words(), wanted: "socket" }
}

/// The socket is known by its inode from here on, and not by what is found at the path afterwards.
fn bind_beside<S>(
    path: &Path,
    owner: u32,
    bind: impl Fn(&Path) -> io::Result<S>,
) -> Result<Option<(S, FileId)>, Error> {
    let beside = beside(path);
    let is_taken =
        |bound: &io::Result<S>| bound.as_ref().is_err_and(|error| error.kind() == ErrorKind::AddrInUse);
    let mut bound = bind(&beside);
    if is_taken(&bound) {
        clear(&beside, path)?;
        bound = bind(&beside);
    }
    if is_taken(&bound) {
        return Ok(None);
    }
    let socket = bound.map_err(failed(path))?;
    let Some(facts) = platform::at(&beside).map_err(failed(path))? else { return Ok(None) };
    if platform::effective_user() == 0 && owner != 0 {
        if let Err(error) = platform::give_to(&beside, owner) {
            let _ = std::fs::remove_file(&beside);
            return Err(failed(path)(error));
        }
    }
    Ok(Some((socket, facts.id)))
}

/// Removes what a contender has left that was killed between the binding and the renaming; nobody reaches it.
fn clear(beside: &Path, path: &Path) -> Result<(), Error> {
    match platform::at(beside).map_err(failed(path))? {
        None => Ok(()),
        Some(facts) if facts.kind != Kind::Socket => Err(in_the_way(beside, facts.kind)),
        Some(_) => match std::fs::remove_file(beside) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(path)(error)),
            _ => Ok(()),
        },
    }
}

/// `false`: what was beside is gone, or was another's.
fn rename_into_place(path: &Path, node: FileId) -> Result<bool, Error> {
    let beside = beside(path);
    let renamed = match platform::at(path).map_err(failed(path))? {
        Some(facts) if facts.kind != Kind::Socket => Err(in_the_way(path, facts.kind)),
        _ => match platform::replace_file(&beside, path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            renamed => renamed.map_err(failed(path)),
        },
    };
    if let Err(error) = renamed {
        let _ = std::fs::remove_file(&beside);
        return Err(error);
    }
    Ok(platform::at(path).map_err(failed(path))?.is_some_and(|facts| facts.id == node))
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
    use super::*;

    #[test]
    fn a_socket_that_another_has_bound_beside_is_not_taken_for_ones_own() {
        if !platform::ENDPOINT_IS_A_FILE {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (path, owner) = (dir.path().join("a.sock"), platform::effective_user());
        let listen = |at: &Path| platform::listen_on(&Address::Path(at.to_owned()), owner);
        let (_ours, our_node) = bind_beside(&path, owner, listen).unwrap().unwrap();
        let (_theirs, their_node) = bind_beside(&path, owner, listen).unwrap().unwrap();
        assert!(!rename_into_place(&path, our_node).unwrap(), "it was theirs");
        assert_eq!(platform::at(&path).unwrap().unwrap().id, their_node);
        assert!(!rename_into_place(&path, their_node).unwrap(), "it was gone");
        let (_ours, our_node) = put_in_place(&path, owner, listen).unwrap().unwrap();
        assert_eq!(platform::at(&path).unwrap().unwrap().id, our_node);
    }
}
