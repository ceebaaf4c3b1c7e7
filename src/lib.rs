//! One live instance of a program per place, provably; and a way to talk to it.

mod answer;
mod blocking;
mod claim;
mod connection;
mod decide;
mod endpoint;
mod error;
mod evidence;
mod force;
mod found;
mod hail;
mod held;
pub mod history;
mod holder;
mod incumbent;
mod inspect;
mod instance;
mod instance_id;
mod lag;
mod lossy;
mod pid_file;
mod platform;
mod process;
mod record;
mod release;
mod sentence;
mod serve;
mod status;
mod stopping;
pub mod text;
mod tick;
mod timestamp;
mod visit;
mod whole_file;
mod won;

#[doc(hidden)]
pub use platform::for_gateway as platform_for_gateway;

pub use claim::Claim;
pub use error::{DirectoryFault, Error, Refusal};
pub use evidence::Evidence;
pub use found::Found;
pub use holder::{Heartbeat, Holder, Message, Messages, Stop, Work};
pub use incumbent::{Answer, Incumbent};
pub use inspect::{Doubt, Inspection, State, Verdict};
pub use instance::{CLAIM_TIMEOUT, Instance};
pub use instance_id::{InstanceId, NotAnInstanceId};
pub use process::{Process, ProcessState};
pub use record::End;
pub use status::{ChildStatus, Claiming, HolderStatus, PidSource, Previous, Status};
pub use stopping::{StopOptions, Stopped, Stopping};
