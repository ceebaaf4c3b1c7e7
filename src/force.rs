//! Ending the owner of a lock, when it answers nobody and the user says so.
//!
//! The process that is signalled is the one that the kernel says owns the lock, held by a handle that was opened before
//! the kernel was asked again; never a pid from a file. The conditions are in `process/force.rs`.

use std::{path::Path, time::Duration};

use crate::{
    error::Error,
    instance::Instance,
    pid_file::{self, Which},
    platform,
    process::{Forced, LockOwner, force_end},
};

impl Instance {
    /// Ends the process that owns the instance lock: asks it to (`SIGCONT`, `SIGTERM`), and kills it after the grace.
    ///
    /// For a holder that does not answer. Blocks for at most the grace and then as long as `kill_wait`. `false`: nobody
    /// owned the lock.
    ///
    /// # Errors
    /// [`Error::NotForced`] when it could not be proven to be the owner, is another user's or in another pid namespace,
    /// or was killed and is not gone. [`Error::HardLinked`] when the lock may be another instance's.
    pub fn end_holder_blocking(&self, grace: Duration, kill_wait: Duration) -> Result<bool, Error> {
        end_owner(&self.place()?.pid, Which::Instance, grace, kill_wait)
    }
}

/// Ends the owner of one of the two locks.
pub(crate) fn end_owner(
    path: &Path,
    which: Which,
    grace: Duration,
    kill_wait: Duration,
) -> Result<bool, Error> {
    let owner = || {
        Ok(pid_file::look(path)?.map_or(LockOwner::None, |locks| match which {
            Which::Instance => locks.instance,
            Which::Claim => locks.claim,
        }))
    };
    // The owner of a lock on a file with two names may be the holder of the other place.
    let facts = platform::at(path).map_err(|source| Error::io("look at", path, source))?;
    facts.map_or(Ok(()), |facts| pid_file::refuse_unless_plain(path, &facts, "pid file"))?;
    let shows_lock = |pid| {
        let Ok(Some(facts)) = platform::at(path) else { return false };
        if facts.links > 1 {
            return false;
        }
        let offset = u64::try_from(which.offset()).unwrap_or(0);
        // Where the system does not show it, the kernel's answer, asked twice, stands alone.
        platform::process::shows_posix_lock(pid, facts.id.dev, facts.id.ino, offset).unwrap_or(true)
    };
    let lock = match which {
        Which::Instance => "instance lock",
        Which::Claim => "claim lock",
    };
    let file_system = match platform::file_system(path) {
        // Deleted: who has the lock of what was there cannot be asked for any more.
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        known => known.map_err(|source| Error::io("look at", path, source))?,
    };
    if file_system.shared {
        let why = format!(
            "the owner of the {lock} was not ended: on {} it may be on another machine",
            file_system.name
        );
        return Err(Error::NotForced { why });
    }
    match force_end(owner, shows_lock, grace, kill_wait) {
        Ok(Forced::Ended) => Ok(true),
        Ok(Forced::Gone) => Ok(false),
        Ok(Forced::Refused(why)) => {
            Err(Error::NotForced { why: format!("the owner of the {lock} was not ended: {why}") })
        }
        Ok(Forced::KilledNotGone) => Err(Error::NotForced {
            why: format!(
                "the owner of the {lock} was killed, and is not gone: it is frozen, or in the kernel"
            ),
        }),
        Err(source) => Err(Error::io("end the owner of a lock on", path, source)),
    }
}
