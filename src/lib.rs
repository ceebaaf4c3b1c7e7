//! One live instance of a program per place, provably; and a way to talk to it.
//!
//! An **instance** is a name in a directory ([`Instance`]). One process at a time is its **holder** ([`Holder`]); to
//! everybody else that one is the **incumbent** ([`Incumbent`]). Whoever wants to become the holder **claims**, and wins
//! or loses ([`Claim`]); whoever only wants to know looks ([`Instance::inspect`]), and changes nothing.
//!
//! ```no_run
//! # async fn example() -> Result<(), incumbent::Error> {
//! use incumbent::{Claim, Instance};
//!
//! match Instance::new("hermes-gateway")?.in_dir("/var/lib/hermes")?.claim().await? {
//!     Claim::Won(holder) => {
//!         holder.ready("connected to 4 platforms");
//!         let stop = holder.stop_requested().await;
//!         println!("asked to stop within {:?}", stop.grace());
//!         holder.release().await?;
//!     }
//!     Claim::Lost(incumbent) => println!("already running: {}", incumbent.status().await?),
//! }
//! # Ok(()) }
//! ```
//!
//! Three things are true, in this order, and nothing else decides: a **pong** from the holder's socket proves that it
//! lives; the **instance lock**, a record lock that the kernel holds on the pid file for the process itself, proves when
//! it is free that there is no holder; the **claim lock** says that somebody is claiming. Dead needs both, nobody alive
//! who listens and a free lock. No file is ever unlinked to release or to break anything, and no pid that stands in a file
//! is signalled.
//!
//! A holder may **hand over**: what it offers ([`Holder::offer`]), listening sockets and bytes of its own, reaches whoever takes
//! over before it is asked to make room ([`Instance::begin_takeover`]), so that no connection is refused in between.
//!
//! Everything answers on a thread of its own, so that a program whose loop is blocked still does, and works from any
//! async executor or from none: each `async` function has a twin that ends in `_blocking`.
//!
//! # Platform
//! Linux is run and tested; Windows is tested under Wine; macOS and FreeBSD are type-checked only, and have no abstract
//! sockets: there, deleting the files of a living holder lets a second one in for at most a second. On Windows the lock is
//! `LockFileEx`'s, the socket is a named pipe, and the pid file of a living holder cannot be deleted.

mod answer;
mod blocking;
mod child_lock;
mod claim;
mod connection;
mod contender;
mod decide;
mod endpoint;
mod error;
mod evidence;
mod flapping;
mod force;
mod found;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod hail;
mod handover;
mod held;
pub mod history;
mod holder;
mod incumbent;
mod inspect;
mod inspection;
mod instance;
mod instance_id;
mod lag;
mod log_file;
mod lossy;
mod message;
mod notify_path;
mod offer;
mod overtime;
mod pid_file;
mod place;
mod platform;
mod process;
mod record;
mod release;
mod sentence;
mod serve;
mod starter;
mod status;
mod stopping;
mod takeover;
pub mod text;
mod tick;
mod timestamp;
mod visit;
mod whole_file;
mod won;

#[doc(hidden)]
pub use notify_path::NotifyPath;
#[doc(hidden)]
pub use platform::for_gateway as platform_for_gateway;

pub use child_lock::{ChildLock, ChildLockOptions};
pub use claim::Claim;
pub use error::{DirectoryFault, Error, Refusal, StillThere};
pub use evidence::Evidence;
pub use flapping::{Fight, Side};
pub use found::Found;
pub use handover::{Begun, Takeover};
pub use holder::{Heartbeat, Holder, Stop, Work};
pub use incumbent::{Answer, Incumbent};
pub use inspection::{Doubt, Inspection, State, Verdict};
pub use instance::{CLAIM_TIMEOUT, Instance};
pub use instance_id::{InstanceId, NotAnInstanceId};
pub use message::{Message, Messages};
pub use offer::{FailedTakeover, Listening, Received};
pub use platform::Socket;
pub use process::{Process, ProcessState};
pub use record::End;
pub use starter::Starter;
pub use status::{ChildStatus, Claiming, HolderStatus, PidSource, Previous, Status};
pub use stopping::{StopOptions, Stopped, Stopping};
pub use takeover::{TakeoverOptions, TakeoverStep};

/// The example in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
