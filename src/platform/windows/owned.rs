//! A handle that is closed only while it is still what it was; as on Unix, though few programs close others' handles here.

use std::{io, mem::ManuallyDrop, os::windows::io::AsHandle};

use super::files::{FileId, id_of};

/// What owns a handle of a file, with the identity that it had when it was opened.
#[derive(Debug)]
pub(crate) struct Owned<T: AsHandle> {
    inner: ManuallyDrop<T>,
    id: FileId,
}

impl<T: AsHandle> Owned<T> {
    pub(crate) fn new(inner: T) -> io::Result<Self> {
        let id = id_of(&inner)?;
        Ok(Self { inner: ManuallyDrop::new(inner), id })
    }

    /// Of what was asked already which file it is.
    pub(crate) fn known(inner: T, id: FileId) -> Self {
        Self { inner: ManuallyDrop::new(inner), id }
    }

    /// Tells whether the handle still names what was opened.
    pub(crate) fn is_intact(&self) -> bool {
        id_of(&*self.inner).is_ok_and(|id| id == self.id)
    }

    /// What it owns, or an error when the program has closed it underneath.
    pub(crate) fn get(&self) -> io::Result<&T> {
        if self.is_intact() {
            Ok(&self.inner)
        } else {
            Err(io::Error::other("the program has closed this handle underneath the library"))
        }
    }
}

impl<T: AsHandle> Drop for Owned<T> {
    fn drop(&mut self) {
        if self.is_intact() {
            // SAFETY: dropped once, here; `inner` is not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.inner) }
        }
    }
}
