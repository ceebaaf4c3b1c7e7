//! The record, `NAME.json`: what the holder wrote about itself, for people and for the post-mortem.
//!
//! Invariants: it is never proof of life, and nothing that stands in its place (random bytes, a link, a FIFO, nothing)
//! blocks a start or makes a reader panic. Unknown keys are ignored and keys that may miss have defaults, so that older
//! and newer programs read each other. It is replaced whole, and never written longer than its readers accept.
//! It does not judge who lives; it says what was, and [`Record::end_as_seen_now`] how that must have ended.
//! Proven by the tests below: any bytes, every kind of file, older and newer keys.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::instance_id::InstanceId;
use crate::offer::FailedTakeover;
use crate::place::Place;
use crate::starter::Starter;
use crate::{
    lossy,
    platform::{self, FileId},
    text, timestamp, whole_file,
};

/// No record is longer, and nothing longer is read as one.
const LIMIT: usize = 64 * 1024;

/// The number of the record's layout; keys are only ever added, so that it is said and not compared.
pub(crate) const SCHEMA: u32 = 1;

/// Generations are microseconds since 1970, or few more: this is the year 10000.
const FIRST_IMPOSSIBLE_GENERATION: u64 = 253_402_300_800_000_000;

/// Tells whether a generation can have been reached; a greater number is damage, and believed by nobody.
pub(crate) fn is_possible(generation: u64) -> bool {
    generation < FIRST_IMPOSSIBLE_GENERATION
}

/// Boot times are computed from two clocks, and a clock that was set moves them.
const BOOT_TIME_SLACK: Duration = Duration::from_secs(60);

/// What a holder wrote about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// [`SCHEMA`] of the program that wrote it.
    pub(crate) schema: u32,
    /// The instance's name.
    pub(crate) name: String,
    /// Its directory, as the holder's path resolved.
    #[serde(default, serialize_with = "lossy::path")]
    pub(crate) dir: PathBuf,
    /// Which directory that is.
    #[serde(default)]
    pub(crate) dir_id: Option<DirId>,
    /// The pid file that it wrote its number into: only this one, emptied, tells of a release that is not recorded here.
    #[serde(default)]
    pub(crate) pid_file_id: Option<DirId>,
    /// The holder's pid, in its own pid namespace.
    pub(crate) pid: u32,
    /// The process's start, in the system's own unit: with the pid and the boot id it names one process.
    #[serde(default)]
    pub(crate) start_ticks: Option<u64>,
    /// Which boot of the host.
    #[serde(default)]
    pub(crate) boot_id: Option<String>,
    /// Which machine.
    #[serde(default)]
    pub(crate) machine_id: Option<String>,
    /// The host's name, for people.
    #[serde(default)]
    pub(crate) host: Option<String>,
    /// The user's number; his name would have to be asked for, perhaps of a server, while the locks are in hand.
    #[serde(default)]
    pub(crate) uid: Option<u32>,
    /// The program's file.
    #[serde(default, serialize_with = "lossy::path_or_null")]
    pub(crate) executable: Option<PathBuf>,
    /// The command line; cut when it is long.
    #[serde(default, serialize_with = "lossy::command")]
    pub(crate) command: Vec<String>,
    /// The program's version.
    #[serde(default)]
    pub(crate) version: Option<String>,
    /// The fencing token.
    pub(crate) generation: u64,
    /// Which holder.
    pub(crate) instance_id: InstanceId,
    /// Where it answers.
    #[serde(default, serialize_with = "lossy::path_or_null")]
    pub(crate) endpoint: Option<PathBuf>,
    /// The program that it runs and watches.
    #[serde(default)]
    pub(crate) child: Option<Child>,
    /// Who started it.
    #[serde(default)]
    pub(crate) started_by: Option<Starter>,
    /// The child of an earlier holder that ended without it, until somebody has seen that it is gone.
    #[serde(default)]
    pub(crate) left_behind: Option<Child>,
    /// When the claim was won, in microseconds since 1970.
    pub(crate) started_at_us: i64,
    /// When it ended, if it lived to write that.
    #[serde(default)]
    pub(crate) ended_at_us: Option<i64>,
    /// How it ended, if it lived to write that.
    #[serde(default)]
    pub(crate) end: Option<End>,
    /// The last takeovers that failed while it served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) failed_takeovers: Vec<FailedTakeover>,
}

/// Names a directory or a file whatever its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DirId {
    /// The device that it is on.
    pub(crate) dev: u64,
    /// Its inode there.
    pub(crate) ino: u64,
}

impl DirId {
    pub(crate) fn of(id: FileId) -> Self {
        Self { dev: id.dev, ino: id.ino }
    }
}

/// The program that a holder runs and watches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Child {
    /// Its pid, and on Unix its process group.
    pub(crate) pid: u32,
    /// Its command line; cut when it is long.
    #[serde(default, serialize_with = "lossy::command")]
    pub(crate) command: Vec<String>,
    /// Its start, in the system's own unit.
    #[serde(default)]
    pub(crate) start_ticks: Option<u64>,
    /// Where its pid means it; none: the system has one namespace.
    #[serde(default)]
    pub(crate) pid_namespace: Option<String>,
}

/// Says how a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum End {
    /// It let go by itself.
    Released,
    /// It made room for a successor that asked.
    Replaced,
    /// It died without letting go.
    Crashed,
    /// Its host was started anew under it.
    #[serde(rename = "host restarted")]
    HostRestarted,
    /// It was asked to stop, did not in time, and was ended.
    #[serde(rename = "killed after grace")]
    KilledAfterGrace,
    /// It lost its files and its lock to another.
    Deposed,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Released => "released",
            Self::Replaced => "replaced",
            Self::Crashed => "crashed",
            Self::HostRestarted => "host restarted",
            Self::KilledAfterGrace => "killed after grace",
            Self::Deposed => "deposed",
        })
    }
}

/// What is known of the last holder from its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Past {
    /// There is no record.
    None,
    /// It wrote this.
    Record(Box<Record>),
    /// There is something that cannot be read as a record: one sentence says what, and where.
    Broken(String),
}

/// Tells whether a record's holder is on another machine, whose locks the kernel here does not see.
///
/// Another machine: both machine ids and both boot ids are known, and differ; a container shares the kernel and with it
/// the boot id. Where runs of the kernel have no names, there are no such containers. Its lock is not seen: the directory is
/// on a file system that several kernels write.
pub(crate) fn is_on_another_machine(record: &Record, dir: &Path) -> bool {
    let boot_id = platform::boot_id();
    let differ = |a: &Option<String>, b: Option<String>| matches!((a, b), (Some(a), Some(b)) if *a != b);
    record.end.is_none()
        && (boot_id.is_none() && record.boot_id.is_none() || differ(&record.boot_id, boot_id))
        && differ(&record.machine_id, platform::machine_id())
        && platform::file_system(dir).is_ok_and(|file_system| file_system.shared)
}

impl Record {
    /// The child that this holder did not see the end of, or did not look for; none after a restart of the host, and none
    /// if the record was written for another directory, whatever its path: then it was copied, and the child is somebody's.
    pub(crate) fn unfinished_child(&self, place: &Place) -> Option<Child> {
        let boot_id = platform::boot_id();
        let is_this_boot = boot_id.is_some() && self.boot_id == boot_id;
        let is_here = || self.dir_id.is_none() || self.dir_id == place.dir_id().map(DirId::of);
        self.child.as_ref().or(self.left_behind.as_ref()).filter(|_| is_this_boot && is_here()).cloned()
    }

    /// Reads the record of this place. One of another instance or directory that was copied here is a broken one.
    pub(crate) fn of_place(place: &Place) -> Past {
        match Self::read(&place.record) {
            Past::Record(record) if !record.is_of(place) => Past::Broken(format!(
                "the record `{}` is of `{}` in `{}`",
                text::shown_path(&place.record),
                text::shown(&record.name),
                text::shown_path(&record.dir)
            )),
            past => past,
        }
    }

    /// Tells whether it is of this place: of the name, and of the directory by path or by device and inode. (A directory
    /// that was renamed keeps both; only after a restart a device may have another number. The inode alone says little:
    /// the roots of most file systems have the same one.)
    pub(crate) fn is_of(&self, place: &Place) -> bool {
        let is_this_boot = self.boot_id == platform::boot_id();
        let is_it = |here: DirId| {
            self.dir_id.is_some_and(|id| id.ino == here.ino && (id.dev == here.dev || !is_this_boot))
        };
        let here = || place.dir_id().map(DirId::of);
        self.name == place.name && (self.dir == place.dir || here().is_none_or(is_it))
    }

    /// Reads what stands at `path`. Never blocks, writes nothing, and never fails: a broken record is a value.
    pub(crate) fn read(path: &Path) -> Past {
        let bytes = match whole_file::read_small(path, LIMIT) {
            Ok(None) => return Past::None,
            Ok(Some(bytes)) => bytes,
            Err(error) => return Past::Broken(text::shown(&error.to_string())),
        };
        // What a reader of JSON says of a value that it does not know repeats that value.
        match serde_json::from_slice(&bytes) {
            Ok(record) => Past::Record(Box::new(record)),
            Err(error) if bytes.is_empty() || error.is_eof() => Past::Broken(format!(
                "the record `{}` is cut short after {} bytes",
                text::shown_path(path),
                bytes.len()
            )),
            Err(error) => {
                let why = text::shown(&error.to_string());
                Past::Broken(format!("the record `{}` is broken: {why}", text::shown_path(path)))
            }
        }
    }

    /// Replaces the file at `path` by this record, and gives its mark.
    ///
    /// # Errors
    /// Of the system's kind, with the path; `InvalidInput` when it would be too long to be read. The old one stays.
    pub(crate) fn write(&self, path: &Path) -> io::Result<Option<platform::Mark>> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        if bytes.len() > LIMIT {
            let error =
                io::Error::new(io::ErrorKind::InvalidInput, format!("it would be longer than {LIMIT} bytes"));
            return Err(whole_file::failed("write the record", path, &error));
        }
        whole_file::replace(path, &bytes)
    }

    /// Tells whether this empty pid file is the one that its holder emptied; a record of an older version does not say which.
    /// One that came in its place was never written.
    pub(crate) fn is_its_pid_file(&self, id: FileId) -> bool {
        self.pid_file_id.is_none_or(|its| its == DirId::of(id))
    }

    /// Says how and when this generation ended, for whoever knows that it does not run any more.
    ///
    /// What it wrote itself comes first. Else another boot ended it, as the boot ids say; where one of them is not
    /// known, a start well before the boot says the same. Else it crashed, and nobody knows when.
    pub(crate) fn end_as_seen_now(
        &self,
        boot_id_now: Option<&str>,
        boot_time: Option<SystemTime>,
    ) -> (End, Option<i64>) {
        if let Some(end) = self.end {
            return (end, self.ended_at_us);
        }
        let is_other_boot = match (self.boot_id.as_deref(), boot_id_now) {
            (Some(then), Some(now)) => then != now,
            _ => boot_time
                .and_then(|boot| boot.checked_sub(BOOT_TIME_SLACK))
                .is_some_and(|boot| self.started_at_us < timestamp::of(boot)),
        };
        (if is_other_boot { End::HostRestarted } else { End::Crashed }, None)
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
pub(crate) mod tests;
