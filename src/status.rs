//! The status of an instance as one JSON object: `gateway status --json`.
//!
//! Keys are only ever added. Times are RFC 3339 in UTC; the keys of `holder` are null where only the kernel speaks.

use std::time::Duration;

use serde::Serialize;

use crate::{
    hail::Note,
    inspection::{Inspection, Reached, State},
    instance_id::InstanceId,
    process::LockOwner,
    record::{End, Past},
    text, timestamp,
};

/// The version of this object.
const SCHEMA: u32 = 1;

/// What is known of an instance.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// 1; it grows only if a key should ever change its meaning.
    pub schema: u32,
    /// The instance's name.
    pub name: String,
    /// Its directory.
    pub dir: String,
    /// What is the case.
    pub state: State,
    /// Who holds it; none: nobody.
    pub holder: Option<HolderStatus>,
    /// How long the pong took, in microseconds; none: there was no pong.
    pub answered_us: Option<u64>,
    /// Who holds the claim lock.
    pub claiming: Option<Claiming>,
    /// The generation before this one, or the last one.
    pub previous: Option<Previous>,
    /// What is wrong, in one sentence.
    pub problem: Option<String>,
}

/// What is known of the holder.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct HolderStatus {
    /// Its process; none: in another pid namespace.
    pub pid: Option<u32>,
    /// Who says so.
    pub pid_source: Option<PidSource>,
    /// A number that grows with every claim that is won.
    pub generation: Option<u64>,
    /// When it became the holder.
    pub started_at: Option<String>,
    /// For how long it has been the holder, in seconds.
    pub uptime_s: Option<f64>,
    /// The program's version.
    pub version: Option<String>,
    /// The program's command line.
    pub command: Option<Vec<String>>,
    /// Random, and new with every claim that is won.
    pub instance_id: Option<String>,
    /// What the program says about itself.
    pub note: Option<String>,
    /// Pieces of work in flight; none: the program does not count them.
    pub busy: Option<u64>,
    /// The service manager that started it: `systemd`, `launchd`.
    pub supervisor: Option<String>,
    /// Memory in use, in bytes.
    pub rss_bytes: Option<u64>,
    /// Processor time used, in percent of one processor.
    pub cpu_percent: Option<f64>,
    /// How long the program's own loop takes to answer, in microseconds.
    pub lag_us: Option<u64>,
    /// The program that `gateway run` runs.
    pub child: Option<ChildStatus>,
}

/// The program that `gateway run -- PROGRAM` runs.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ChildStatus {
    /// Its process.
    pub pid: u32,
    /// Its command line.
    pub command: Vec<String>,
}

/// Who says which process the holder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum PidSource {
    /// The kernel: it owns the lock, or the other end of the connection.
    Kernel,
    /// The holder itself, where the kernel does not tell.
    Pong,
    /// The record, where neither tells.
    Record,
}

/// Who holds the claim lock.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Claiming {
    /// Its process; none: in another pid namespace.
    pub pid: Option<u32>,
}

/// A generation that is over.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Previous {
    /// Its process, as it said itself.
    pub pid: u32,
    /// Its number.
    pub generation: u64,
    /// When it became the holder.
    pub started_at: String,
    /// When it ended, where that is known.
    pub ended_at: Option<String>,
    /// How it ended.
    pub end: Option<End>,
}

impl Claiming {
    pub(crate) fn by(owner: LockOwner) -> Option<Self> {
        match owner {
            LockOwner::None => None,
            LockOwner::Pid(pid) => Some(Self { pid: Some(pid) }),
            LockOwner::ElsewhereNamespace => Some(Self { pid: None }),
        }
    }
}

impl Status {
    pub(crate) fn of(seen: &Inspection) -> Self {
        Self {
            schema: SCHEMA,
            name: seen.place.name.clone(),
            dir: seen.place.dir.to_string_lossy().into_owned(),
            state: seen.state,
            holder: holder(seen),
            answered_us: seen.reached.as_ref().map(|reached| micros(reached.took)),
            claiming: Claiming::by(seen.claim_lock()),
            previous: previous(seen),
            problem: seen.problem(),
        }
    }
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn words(command: &[Vec<u8>]) -> Vec<String> {
    command.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

fn holder(seen: &Inspection) -> Option<HolderStatus> {
    if let Some(reached) = &seen.reached {
        return Some(answered(reached));
    }
    let pid = match (seen.instance_lock(), seen.state) {
        (LockOwner::Pid(pid), _) => Some(pid),
        (LockOwner::ElsewhereNamespace, _) => None,
        // No lock, but somebody lives and listens: the kernel names who.
        (LockOwner::None, State::Unknown) if seen.hail.note == Some(Note::Silent) => seen.hail.pid,
        (LockOwner::None, _) => return None,
    };
    Some(HolderStatus { pid, pid_source: Some(PidSource::Kernel), ..HolderStatus::default() })
}

#[allow(clippy::cast_precision_loss)] // microseconds of an uptime fit in 52 bits for 142 years
fn answered(reached: &Reached) -> HolderStatus {
    let (pid, pid_source) = reached.pid();
    let base = HolderStatus {
        pid,
        pid_source: Some(pid_source),
        instance_id: Some(InstanceId::from_bytes(reached.instance_id).to_string()),
        ..HolderStatus::default()
    };
    match (&reached.status, &reached.identity) {
        (Some(status), _) => HolderStatus {
            generation: Some(status.generation),
            started_at: Some(timestamp::format(status.started_at_us)),
            uptime_s: Some(status.uptime_us as f64 / 1e6),
            version: Some(status.version.clone()),
            command: Some(words(&status.command)),
            note: status.note.clone(),
            busy: status.busy,
            supervisor: status.supervisor.clone(),
            rss_bytes: status.rss_bytes,
            cpu_percent: status.cpu_percent,
            lag_us: status.lag_us,
            child: status
                .child
                .as_ref()
                .map(|child| ChildStatus { pid: child.pid, command: words(&child.command) }),
            ..base
        },
        (None, Some(identity)) => HolderStatus {
            generation: Some(identity.generation),
            started_at: Some(timestamp::format(identity.started_at_us)),
            version: Some(identity.version.clone()),
            ..base
        },
        (None, None) => base,
    }
}

fn previous(seen: &Inspection) -> Option<Previous> {
    let of_record = match (&seen.past, &seen.reached) {
        // The record is the incumbent's own, or already its successor's: those before it stand in the history.
        (Past::Record(record), Some(reached))
            if record.instance_id == InstanceId::from_bytes(reached.instance_id) || seen.is_outdated() =>
        {
            None
        }
        (Past::Record(record), _) if !seen.holds_as_recorded() => {
            // Where nothing is proven, nobody has crashed.
            let is_open = record.end.is_none() && seen.state == State::Unknown;
            let (end, ended_at_us) = if is_open {
                (None, None)
            } else {
                let (end, at) = Inspection::end_of(record);
                (Some(end), at)
            };
            Some(Previous {
                pid: record.pid,
                generation: record.generation,
                started_at: timestamp::format(record.started_at_us),
                ended_at: ended_at_us.map(timestamp::format),
                end,
            })
        }
        _ => None,
    };
    of_record.or_else(|| {
        crate::history::last(&seen.place.history).map(|entry| Previous {
            pid: entry.pid,
            generation: entry.generation,
            started_at: timestamp::format(entry.started_at_us),
            ended_at: entry.ended_at_us.map(timestamp::format),
            end: entry.end,
        })
    })
}

impl std::fmt::Display for Status {
    /// One line for people: `hermes is ready: pid 4242, version 0.3.0, up 2 h 13 min`, and what is wrong.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is {}", self.name, self.state.as_str())?;
        if let Some(holder) = &self.holder {
            match holder.pid {
                Some(pid) => write!(f, ": pid {pid}")?,
                None => f.write_str(": in another pid namespace")?,
            }
            if let Some(version) = &holder.version {
                write!(f, ", version {}", text::shown(version))?;
            }
            if let Some(up) = holder.uptime_s.and_then(|up| Duration::try_from_secs_f64(up).ok()) {
                write!(f, ", up {}", text::duration(up))?;
            }
            if let Some(note) = &holder.note {
                write!(f, ": {}", text::shown(note))?;
            }
        }
        self.problem.as_ref().map_or(Ok(()), |problem| write!(f, " ({})", text::shown(problem)))
    }
}
