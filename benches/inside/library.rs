//! The library, compiled once more into a bench, so that it reaches what is private and nothing has to be public for that.
//!
//! The list is that of `src/lib.rs`: a module that is missing here does not compile. What is measured is the same source, by
//! the same profile, in another crate.

#![allow(dead_code, unused_imports, unreachable_pub, missing_docs)] // a bench uses some of it

#[path = "../../src"]
mod modules {
    pub(crate) mod answer;
    pub(crate) mod blocking;
    pub(crate) mod child_lock;
    pub(crate) mod claim;
    pub(crate) mod connection;
    pub(crate) mod contender;
    pub(crate) mod decide;
    pub(crate) mod endpoint;
    pub(crate) mod error;
    pub(crate) mod evidence;
    pub(crate) mod flapping;
    pub(crate) mod force;
    pub(crate) mod found;
    pub(crate) mod hail;
    pub(crate) mod handover;
    pub(crate) mod held;
    pub(crate) mod history;
    pub(crate) mod holder;
    pub(crate) mod incumbent;
    pub(crate) mod inspect;
    pub(crate) mod inspection;
    pub(crate) mod instance;
    pub(crate) mod instance_id;
    pub(crate) mod lag;
    pub(crate) mod log_file;
    pub(crate) mod lossy;
    pub(crate) mod message;
    pub(crate) mod notify_path;
    pub(crate) mod offer;
    pub(crate) mod overtime;
    pub(crate) mod pid_file;
    pub(crate) mod place;
    pub(crate) mod platform;
    pub(crate) mod process;
    pub(crate) mod record;
    pub(crate) mod release;
    pub(crate) mod sentence;
    pub(crate) mod serve;
    pub(crate) mod starter;
    pub(crate) mod status;
    pub(crate) mod stopping;
    pub(crate) mod takeover;
    pub(crate) mod text;
    pub(crate) mod tick;
    pub(crate) mod timestamp;
    pub(crate) mod visit;
    pub(crate) mod whole_file;
    pub(crate) mod won;
}

pub(crate) use modules::*;

pub(crate) use modules::child_lock::{ChildLock, ChildLockOptions};
pub(crate) use modules::claim::Claim;
pub(crate) use modules::error::{DirectoryFault, Error, Refusal, StillThere};
pub(crate) use modules::evidence::Evidence;
pub(crate) use modules::flapping::{Fight, Side};
pub(crate) use modules::found::Found;
pub(crate) use modules::handover::{Begun, Takeover};
pub(crate) use modules::holder::{Heartbeat, Holder, Stop, Work};
pub(crate) use modules::incumbent::{Answer, Incumbent};
pub(crate) use modules::inspection::{Doubt, Inspection, State, Verdict};
pub(crate) use modules::instance::{CLAIM_TIMEOUT, Instance};
pub(crate) use modules::instance_id::{InstanceId, NotAnInstanceId};
pub(crate) use modules::message::{Message, Messages};
pub(crate) use modules::notify_path::NotifyPath;
pub(crate) use modules::offer::{FailedTakeover, Listening, Received};
pub(crate) use modules::platform::Socket;
pub(crate) use modules::platform::for_gateway as platform_for_gateway;
pub(crate) use modules::process::{Process, ProcessState};
pub(crate) use modules::record::End;
pub(crate) use modules::starter::Starter;
pub(crate) use modules::status::{ChildStatus, Claiming, HolderStatus, PidSource, Previous, Status};
pub(crate) use modules::stopping::{StopOptions, Stopped, Stopping};
pub(crate) use modules::takeover::{TakeoverOptions, TakeoverStep};
