//! A descriptor that is closed only while it is still what it was.
//!
//! Programs close descriptors that are not theirs (`closefrom(3)`, daemonizing loops) and get the numbers again for
//! files of their own. Closing, reading or writing such a number would hit the program's file, so each use asks
//! `fstat(2)` first. Sockets and files have an inode of their own, which is the identity.

use std::{io, mem::ManuallyDrop, os::fd::AsFd};

use rustix::io::Errno;

use super::files::{FileId, id_of};

/// What owns a descriptor, with the identity that it had when it was opened.
#[derive(Debug)]
pub(crate) struct Owned<T: AsFd> {
    inner: ManuallyDrop<T>,
    id: FileId,
}

impl<T: AsFd> Owned<T> {
    pub(crate) fn new(inner: T) -> io::Result<Self> {
        let id = id_of(&inner)?;
        Ok(Self { inner: ManuallyDrop::new(inner), id })
    }

    /// Of what was asked already which file it is.
    pub(crate) fn known(inner: T, id: FileId) -> Self {
        Self { inner: ManuallyDrop::new(inner), id }
    }

    /// Tells whether the number still names what was opened. That it cannot be told (a remote file, no memory) is no
    /// reason to give up what nobody has taken: then it is believed to be what it was.
    pub(crate) fn is_intact(&self) -> bool {
        self.is_what_it_was().unwrap_or(true)
    }

    fn is_what_it_was(&self) -> io::Result<bool> {
        let ask = || match id_of(&*self.inner) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::BADF) => Ok(false),
            id => id.map(|id| id == self.id),
        };
        ask().or_else(|_| ask()) // a signal, or a moment without memory
    }

    /// What it owns, unchecked: only to wait for it, which changes nothing, whoever's it is by now.
    pub(crate) fn peek(&self) -> &T {
        &self.inner
    }

    /// What it owns, or an error when the program has closed it underneath.
    pub(crate) fn get(&self) -> io::Result<&T> {
        if self.is_what_it_was()? { Ok(&self.inner) } else { Err(lost()) }
    }
}

fn lost() -> io::Error {
    io::Error::other("the program has closed this descriptor underneath the library")
}

impl<T: AsFd> Drop for Owned<T> {
    fn drop(&mut self) {
        // Not when it cannot be told: closing what is another's is worse than not closing.
        if self.is_what_it_was().unwrap_or(false) {
            // SAFETY: dropped once, here; `inner` is not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.inner) }
        }
    }
}
