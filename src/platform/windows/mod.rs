//! Windows: run under Wine by the tests, where Wine is like it; `README.md` says where it is not.

pub(crate) mod children;
pub(crate) mod console;
pub(crate) mod datagrams;
pub mod detached;
pub(crate) mod files;
pub mod for_gateway;
pub mod hints;
#[cfg(feature = "cli")]
pub(crate) mod inbox;
mod job;
pub(crate) mod kept;
pub(crate) mod listening;
pub(crate) mod locks;
pub(crate) mod owned;
pub(crate) mod passing;
pub(crate) mod pipes;
pub(crate) mod process;
pub(crate) mod reactor;
pub(crate) mod served;
#[cfg(feature = "cli")]
pub mod signals;
pub(crate) mod system;
#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test fails so
pub(crate) mod testing;
pub(crate) mod users;
pub(crate) mod users_of_file;
mod wide;
pub(crate) mod words;
