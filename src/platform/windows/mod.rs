//! Windows: run under Wine by the tests, where Wine is like it; `README.md` says where it is not.

pub(crate) mod files;
pub(crate) mod locks;
pub(crate) mod owned;
pub(crate) mod pipes;
pub(crate) mod process;
pub(crate) mod served;
pub(crate) mod system;
pub(crate) mod users;
pub(crate) mod users_of_file;
mod wide;
pub(crate) mod words;
