//! What an inspection found, in sentences: who, which process, since when, and why it cannot be told.
//!
//! Facts only; what to type is the program's to say. Everything from outside is stripped of control characters.

use std::time::{Duration, SystemTime};

use crate::{
    decide::Hailed,
    hail::Note,
    inspection::{Doubt, Inspection, State},
    platform::{self, Supervisor},
    process::{LockOwner, Process, ProcessState},
    record::{End, Past},
    text, timestamp,
};

impl Inspection {
    /// What was found, in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let who = format!("`{}`", self.place.name);
        match self.state {
            State::Absent => format!("{who} is not running"),
            State::Crashed => self.about_the_crash(&who),
            State::Starting | State::Ready | State::Draining => {
                format!("{who} is {}: {}", self.state.as_str(), self.holder_words())
            }
            State::Unresponsive if self.lingers() => self.about_what_lingers(&who),
            State::Unresponsive => {
                let why = condition(self.owner.as_ref().map(|process| process.state));
                format!("{who} is held by {}, which {why}", self.lock_owner_words())
            }
            // Its lock says that it lives, so that this is not about whether.
            State::Unknown if self.is_held() => {
                let why = match self.doubt() {
                    Some(Doubt::NotAllowed) => "this user may not connect to its socket",
                    _ => "this process could not ask: no file descriptor or memory is left",
                };
                format!("cannot tell how {who} is: {} holds it, and {why}", self.lock_owner_words())
            }
            State::Unknown => format!("cannot tell whether {who} is running: {}", self.about_the_doubt()),
        }
    }

    /// Who is claiming, in one sentence: for a contender that kept the claim lock until the deadline.
    #[must_use]
    pub fn about_the_claim(&self) -> String {
        let who = format!("`{}`", self.place.name);
        match (self.claim_lock(), self.claimer.as_ref().map(|process| process.state)) {
            (LockOwner::None, _) => format!("another was claiming {who} until just now"),
            (_, None | Some(ProcessState::Running)) => {
                format!("{who} is being claimed by {}, which has not finished", self.claimer_words())
            }
            (_, state) => {
                format!("{who} is being claimed by {}, which {}", self.claimer_words(), condition(state))
            }
        }
    }

    fn about_the_crash(&self, who: &str) -> String {
        let Past::Record(record) = &self.past else { return format!("{who} is not running") };
        let how = match Inspection::end_of(record).0 {
            End::HostRestarted => "ended when the host restarted",
            _ => "ended without releasing it",
        };
        let began = ago(record.started_at_us);
        format!("{who} is not running: its last holder, pid {} (it began {began}), {how}", record.pid)
    }

    /// Tells whether the instance lock is taken although nobody listens and the last holder has ended: the system has yet to
    /// free it, or another process keeps it. Only where the system does not tell whose it is.
    #[must_use]
    pub fn lingers(&self) -> bool {
        let Past::Record(record) = &self.past else { return false };
        let has_ended = || {
            let now = Process::of(record.pid).ok().flatten();
            now.is_none_or(|now| record.start_ticks.is_some() && now.start_ticks != record.start_ticks)
        };
        !platform::NAMES_OWNERS
            && self.instance_lock() == LockOwner::ElsewhereNamespace
            && matches!(self.hail.met, Hailed::Nobody | Hailed::Orphan)
            && record.end.is_none()
            && has_ended()
    }

    fn about_what_lingers(&self, who: &str) -> String {
        let pid = match &self.past {
            Past::Record(record) => Some(record.pid),
            Past::None | Past::Broken(_) => None,
        };
        let by = if self.keepers.is_empty() {
            "the system does not say who keeps it".to_owned()
        } else {
            format!("{} has the pid file open", text::processes(&self.keepers))
        };
        format!(
            "the lock of {who} is not free yet, though its last holder, {}, has ended: {by}",
            pid_words(pid)
        )
    }

    fn about_the_doubt(&self) -> String {
        match (self.doubt(), &self.locks, &self.past) {
            (Some(Doubt::LocksUnseen), Err(error), _) if platform::means_no_locks(error) => {
                format!("its file system has no record locks ({})", text::system_words(error))
            }
            (Some(Doubt::LocksUnseen), Err(error), _) => {
                format!("its locks cannot be asked for: {}", text::system_words(error))
            }
            (Some(Doubt::NotAllowed), ..) => "this user may not connect to its socket".to_owned(),
            (Some(Doubt::OtherMachine), _, Past::Record(record)) => format!(
                "its last holder is on another machine, `{}`, and did not release it",
                text::shown(record.host.as_deref().unwrap_or("unknown"))
            ),
            (Some(Doubt::Unasked), ..) => {
                "this process could not ask: no file descriptor or memory is left".to_owned()
            }
            (Some(Doubt::Full), ..) => "so many wait at its socket that no more may".to_owned(),
            (Some(Doubt::NotOurs), ..) => {
                format!("{} listens at its socket and does not speak the protocol", self.listener_words())
            }
            _ => format!(
                "the instance lock is free, but {} listens at its socket and {}",
                self.listener_words(),
                condition(self.listener().map(|process| process.state))
            ),
        }
    }

    fn listener_words(&self) -> String {
        self.listener().map_or_else(|| pid_words(self.hail.pid), |process| process_words(&process))
    }

    /// What is at the socket's path, when it is not what belongs there.
    pub(crate) fn about_the_socket(&self) -> String {
        let path = text::shown_path(&self.place.socket());
        match self.hail.note {
            Some(Note::Foreign) => format!(
                "the socket `{path}` is {}'s, and is not believed",
                self.hail.uid.map_or("an unknown user".to_owned(), text::user)
            ),
            Some(Note::NoSocket(what)) => {
                format!("{what} is in the way at `{path}`, where the socket belongs")
            }
            Some(Note::Orphan) => format!(
                "the process that listened at `{path}` has ended; another keeps its socket open, which stops nobody"
            ),
            _ => format!("nothing is wrong with `{path}`"),
        }
    }

    /// Who holds: as the connection says, or else the lock.
    pub(crate) fn holder_words(&self) -> String {
        self.reached.as_ref().map_or_else(|| self.lock_owner_words(), |reached| pid_words(reached.pid().0))
    }

    /// Who owns the instance lock, as the kernel says: pid, command, since when.
    pub(crate) fn lock_owner_words(&self) -> String {
        owner_words(self.instance_lock(), self.owner.as_ref())
    }

    /// Who owns the claim lock, as the kernel says.
    pub(crate) fn claimer_words(&self) -> String {
        owner_words(self.claim_lock(), self.claimer.as_ref())
    }
}

/// How long ago that is, by the clock: clock times are for the program to say, which knows the time zone.
pub(crate) fn ago(us: i64) -> String {
    let now = timestamp::of(SystemTime::now());
    let past = u64::try_from(now.saturating_sub(us)).map(Duration::from_micros);
    past.map_or_else(
        |_| "in the future: the clock was set".to_owned(),
        |past| format!("{} ago", text::duration(past)),
    )
}

/// Why a process does not answer, as the end of a sentence.
pub(crate) fn condition(state: Option<ProcessState>) -> &'static str {
    match state {
        Some(ProcessState::Stopped) => "is stopped (SIGSTOP or Ctrl-Z)",
        Some(ProcessState::Traced) => "is stopped by a debugger",
        Some(ProcessState::Frozen) => "is frozen (cgroup)",
        Some(ProcessState::Ending) => "is ending",
        Some(ProcessState::Running) | None => "does not answer",
    }
}

/// Why a holder that a service manager runs does not make room, and what works instead.
pub(crate) fn supervised_by(supervisor: &Supervisor) -> String {
    let Supervisor { kind, unit, user } = supervisor;
    let name = unit.as_deref().map_or_else(String::new, text::shown);
    let command = match (*kind, unit) {
        ("launchd", _) => {
            let domain =
                if *user { format!("gui/{}", platform::effective_user()) } else { "system".to_owned() };
            format!("launchctl kickstart -k {domain}/{name}")
        }
        (_, Some(_)) => format!("systemctl {}restart {name}", if *user { "--user " } else { "" }),
        (_, None) => "systemctl restart".to_owned(),
    };
    let run_by = if name.is_empty() { (*kind).to_owned() } else { format!("{kind} ({name})") };
    format!("it is run by {run_by}, which would start it again: `{command}` replaces it")
}

fn pid_words(pid: Option<u32>) -> String {
    pid.map_or_else(|| platform::UNNAMED_PROCESS.to_owned(), |pid| format!("pid {pid}"))
}

pub(crate) fn owner_words(owner: LockOwner, process: Option<&Process>) -> String {
    match (owner, process) {
        (LockOwner::None, _) => "nobody".to_owned(),
        (LockOwner::Pid(_), Some(process)) => process_words(process),
        (LockOwner::Pid(pid), None) => pid_words(Some(pid)),
        (LockOwner::ElsewhereNamespace, _) => pid_words(None),
    }
}

/// A process as a person wants it named: pid, command, since when.
pub(crate) fn process_words(process: &Process) -> String {
    let command = if process.command.is_empty() {
        text::shown(&process.name)
    } else {
        text::command(&process.command, 60)
    };
    let since = process
        .started_at
        .and_then(|at| at.elapsed().ok())
        .map_or_else(String::new, |up| format!("up {}", text::duration(up)));
    let both = [command, since].into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join(", ");
    if both.is_empty() { format!("pid {}", process.pid) } else { format!("pid {} ({both})", process.pid) }
}
