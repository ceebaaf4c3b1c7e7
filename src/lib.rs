//! One live instance of a program per place, provably; and a way to talk to it.

pub mod history;
mod instance_id;
mod lossy;
mod platform;
mod record;
mod timestamp;
mod whole_file;

pub use instance_id::{InstanceId, NotAnInstanceId};
pub use record::End;
