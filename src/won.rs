//! What a contender becomes when it has won: the held instance, its record, its pid in the file, and the end of its
//! predecessor in the history. None of this decides anything, so that none of it may fail a claim: a full disk is said
//! in `problem`.

use std::{
    collections::VecDeque,
    ffi::OsString,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::{Instant, SystemTime},
};

use tokio::sync::watch;

use crate::{
    endpoint::Endpoint,
    held::{Core, Face, Held, Life},
    history::{self, Entry},
    instance::Instance,
    instance_id::InstanceId,
    lag::Lag,
    lossy,
    pid_file::PidFile,
    place::Place,
    platform::{self, Listener, PerProcess},
    process,
    record::{self, DirId, End, Past, Record, SCHEMA},
    release,
    starter::Starter,
    timestamp,
};

impl Held {
    /// The instance as it is held from now on; nothing is written yet.
    pub(crate) fn won(
        instance: &Instance,
        place: &Place,
        past: &Past,
        file: Option<PidFile>,
        endpoint: Option<Endpoint>,
        abstract_name: Option<Listener>,
    ) -> Self {
        let started_at_us = timestamp::of(SystemTime::now());
        let command = process::own_command();
        let owner = place.owner();
        let id = InstanceId::random().unwrap_or_else(|_| InstanceId::from_bytes(fallback_id(started_at_us)));
        let record = Record {
            schema: SCHEMA,
            name: place.name.clone(),
            dir: place.dir.clone(),
            dir_id: place.dir_id().map(DirId::of),
            pid_file_id: file.as_ref().map(|file| DirId::of(file.id())),
            pid: std::process::id(),
            start_ticks: platform::process::own_start(),
            boot_id: platform::boot_id(),
            machine_id: platform::machine_id(),
            host: Some(platform::host_name()),
            uid: platform::user_number(platform::effective_user()),
            executable: platform::process::own_executable(),
            command: lossy::shortened(
                &command.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>(),
            ),
            version: Some(instance.program_version()),
            generation: next_generation(past, place, started_at_us),
            instance_id: id,
            endpoint: Some(place.socket()),
            child: None,
            started_by: Some(Starter::of_this()),
            left_behind: match past {
                Past::Record(past) => past.unfinished_child(place),
                Past::None | Past::Broken(_) => None,
            },
            started_at_us,
            ended_at_us: None,
            end: None,
            failed_takeovers: Vec::new(),
        };
        Self {
            place: place.clone(),
            id,
            generation: record.generation,
            began: Instant::now(),
            started_at_us,
            version: instance.program_version(),
            command: command_of_all(command),
            process: std::process::id(),
            owner,
            core: Mutex::new(Core {
                files: file.into_iter().collect::<VecDeque<_>>(),
                endpoint,
                abstract_name,
                record,
                record_mark: None,
                untold: None,
            }),
            face: Mutex::new(Face::new()),
            life: watch::Sender::new(Life::Holding),
            stop: watch::Sender::new(None),
            busy: watch::Sender::new(0),
            lag: Lag::default(),
            supervisor: platform::supervisor(),
            successors: AtomicUsize::new(0),
            mending: AtomicBool::new(false),
            handing: AtomicBool::new(false),
            failed: watch::Sender::new(Vec::new()),
        }
    }

    /// Writes the record, the pid, and how the predecessor ended.
    ///
    /// `forced`: the holder that was ended by force, if one was. To it a `SIGTERM` of a takeover is one like any other.
    pub(crate) fn write_down(&self, past: &Past, forced: Option<InstanceId>) {
        let mut core = self.core();
        if let Past::Record(record) = past {
            let emptied = core
                .files
                .front()
                .is_some_and(|file| file.was_emptied() && record.is_its_pid_file(file.id()));
            let (end, ended_at) = if emptied && record.end.is_none() {
                (End::Released, None) // on a full disk, say: it could not write that down
            } else {
                record.end_as_seen_now(platform::boot_id().as_deref(), platform::boot_time())
            };
            let end = match end {
                End::Crashed if forced == Some(record.instance_id) => End::KilledAfterGrace,
                End::Released if forced == Some(record.instance_id) => End::Replaced,
                end => end,
            };
            // When a crash happened nobody knows; when it was noticed is the best that can be said.
            let ended_at = ended_at.unwrap_or(self.started_at_us);
            core.untold = Some(Entry::of(record, Some((end, Some(ended_at)))));
        }
        release::write_all(self, &mut core);
    }
}

/// The command line, once for all instances of this process: with the names of a thousand in it, a thousand copies would
/// take hundreds of megabytes.
fn command_of_all(command: Vec<OsString>) -> Arc<[OsString]> {
    static KNOWN: PerProcess<Mutex<Arc<[OsString]>>> = PerProcess::new();
    let mut known = KNOWN.get(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    if known[..] != command[..] {
        *known = command.into(); // the first, or one that was changed since
    }
    known.clone()
}

/// The larger of the old generation + 1 and the microseconds since 1970, so that a lost record does not start again.
fn next_generation(past: &Past, place: &Place, now_us: i64) -> u64 {
    let old = match past {
        Past::Record(record) => record.generation,
        Past::None | Past::Broken(_) => history::last(&place.history).map_or(0, |entry| entry.generation),
    };
    // A number that no clock and no count can have reached would leave none for those to come.
    let old = if record::is_possible(old) { old } else { 0 };
    old.saturating_add(1).max(u64::try_from(now_us).unwrap_or(0))
}

/// Where the system gives no random bytes: unlike every other all the same, by process and moment.
fn fallback_id(now_us: i64) -> [u8; 16] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&now_us.to_le_bytes());
    id[8..12].copy_from_slice(&std::process::id().to_le_bytes());
    id
}
