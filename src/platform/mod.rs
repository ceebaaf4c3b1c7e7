//! What differs between operating systems, as thin as possible; `cfg` and `unsafe` live here and nowhere else.
//!
//! Every platform provides, for files:
//! - `create_private(path)`: a new file for its owner's eyes only, never an existing one, never through a link;
//! - `open_to_append(path)`: the same when nothing is there, else what is there, if it is one regular file;
//! - `open_to_look(path)`: a descriptor to read from that leaves no trace, not even an access time, and never blocks;
//! - `kind_of(type)`: what a file that is not a regular one is, in words.

#[cfg(unix)]
mod unix_files;

#[cfg(unix)]
pub(crate) use unix_files::{create_private, kind_of, open_to_append, open_to_look};

#[cfg(all(test, unix))]
pub(crate) use unix_files::testing;
