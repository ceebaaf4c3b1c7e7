//! Every piece of evidence about an instance, each with what it means: for `gateway doctor`.
//!
//! Nothing here decides anything: the verdict is [`Inspection::verdict`]. Looking makes and writes nothing, and takes no
//! lock. The path and the abstract name are hailed once more, each for itself, so that a socket that is not where it
//! belongs shows. Proven by `tests/looking_commands.rs`.

mod hailed;

use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    hail::{self, Patience},
    history,
    inspection::{Inspection, Verdict},
    instance_id::InstanceId,
    pid_file,
    platform::{self, Address, Facts, Kind},
    process::{LockOwner, Process},
    record::{End, Past},
    sentence, text, whole_file,
};

/// How long each address may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// A piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// What was looked at: "pid file".
    pub what: &'static str,
    /// What was found there.
    pub found: String,
    /// What that means.
    pub means: String,
}

impl Evidence {
    fn new(what: &'static str, found: impl Into<String>, means: impl Into<String>) -> Self {
        Self { what, found: found.into(), means: means.into() }
    }
}

impl Inspection {
    /// Looks once more at everything that speaks for or against a holder. Blocks for at most a second or so.
    #[must_use]
    pub fn evidence(&self) -> Vec<Evidence> {
        let mut all = vec![
            self.directory(),
            self.pid_file(),
            self.lock("instance lock", self.instance_lock()),
            self.lock("claim lock", self.claim_lock()),
            self.socket(),
            self.hailed("hail", &Address::Path(self.place.socket())),
        ];
        if platform::HAS_ABSTRACT_NAMES {
            all.push(self.hailed("abstract name", &self.place.abstract_name()));
        }
        all.extend([self.record(), self.history()]);
        all.extend(self.said_problem());
        all.push(asker());
        all
    }

    fn directory(&self) -> Evidence {
        let path = text::shown_path(&self.place.dir);
        let facts = match platform::behind(&self.place.dir) {
            Ok(Some(facts)) => facts,
            Ok(None) => {
                return Evidence::new(
                    "directory",
                    format!("{path}, missing"),
                    "nobody has held anything here",
                );
            }
            Err(error) => {
                return Evidence::new(
                    "directory",
                    path,
                    format!("cannot be looked at: {}", text::system_words(&error)),
                );
            }
        };
        let user = platform::effective_user();
        let file_system = platform::file_system(&self.place.dir);
        let shared = file_system.as_ref().is_ok_and(|it| it.shared);
        let on = file_system.map_or_else(|_| String::new(), |it| format!(", on {}", it.name));
        let found =
            format!("{path}, of {}, {}{on}", text::user(facts.owner), platform::access_words(facts.mode));
        let (others_write, sticky) = (facts.mode & 0o022 != 0, facts.mode & 0o1000 != 0);
        let means = if facts.owner != user && user != 0 {
            "it belongs to another user: this one can look, and hold nothing here"
        } else if others_write && !sticky {
            "others can write to it, so nothing in it proves anything, and a claim is refused"
        } else if shared {
            "other machines may use it too, and this one does not see their locks"
        } else {
            "only its owner can change what is in it, and its locks are seen by all who share it"
        };
        Evidence::new("directory", found, means)
    }

    fn pid_file(&self) -> Evidence {
        let what = "pid file";
        let path = text::shown_path(&self.place.pid);
        let facts = match platform::at(&self.place.pid) {
            Ok(Some(facts)) => facts,
            Ok(None) => {
                return Evidence::new(
                    what,
                    format!("{path}, missing"),
                    "nobody has held this instance, or it was deleted",
                );
            }
            Err(error) => {
                return Evidence::new(
                    what,
                    path,
                    format!("cannot be looked at: {}", text::system_words(&error)),
                );
            }
        };
        if facts.kind != Kind::File {
            return Evidence::new(
                what,
                format!("{path} is {}", facts.kind.words()),
                "in the way: no claim can succeed",
            );
        }
        let number = match pid_file::text(&self.place.pid) {
            Ok(number) => number.unwrap_or_default(),
            Err(error) => {
                let found = format!("{path}, which cannot be read: {}", text::system_words(&error));
                return Evidence::new(what, found, "nothing is known of what it says");
            }
        };
        let (inode, links) = (facts.id.ino, facts.links);
        let plural = if links == 1 { "" } else { "s" };
        let says =
            if number.is_empty() { "empty".to_owned() } else { format!("says `{}`", text::shown(&number)) };
        let found = format!("{path}, inode {inode}, {links} name{plural}, {says}");
        let means = match (links, self.instance_lock()) {
            (2.., _) => "a lock on it would speak for more than one instance: a claim is refused",
            _ if number.is_empty() => "its text was emptied by a release, or never written",
            (_, LockOwner::Pid(pid)) if number == pid.to_string() => {
                "its text names the owner of the instance lock"
            }
            (_, LockOwner::None) => "its text is left over; only the locks on it say who is there",
            _ => {
                "its text names another than the lock's owner; the lock is right (or tells from another pid namespace)"
            }
        };
        Evidence::new(what, found, means)
    }

    fn lock(&self, what: &'static str, owner: LockOwner) -> Evidence {
        let is_claim = what == "claim lock";
        match (&self.locks, owner) {
            (Err(error), _) => Evidence::new(
                what,
                format!("cannot be asked for: {}", text::system_words(error)),
                "nothing is proven",
            ),
            (Ok(None), _) => Evidence::new(what, "free", "there is no pid file that could be locked"),
            (Ok(_), LockOwner::None) if is_claim => Evidence::new(what, "free", "nobody is claiming"),
            (Ok(_), LockOwner::None) => {
                Evidence::new(what, "free", "nobody holds the instance, unless somebody who lives listens")
            }
            (Ok(_), LockOwner::ElsewhereNamespace) => Evidence::new(
                what,
                format!("owned by {}", platform::UNNAMED_PROCESS),
                if self.lingers() {
                    "the last holder has ended: the system has yet to free it, or another process keeps it"
                } else {
                    "it lives: the kernel says so"
                },
            ),
            (Ok(_), LockOwner::Pid(pid)) => {
                let process = self.look_at(pid);
                let words = sentence::owner_words(owner, process.as_ref());
                let state = process.map(|process| process.state);
                let runs = matches!(state, Some(crate::ProcessState::Running) | None);
                let found =
                    if runs { words } else { format!("{words}, which {}", sentence::condition(state)) };
                let means = if is_claim && owner == self.instance_lock() {
                    "it holds the instance, and has not finished its claim"
                } else if is_claim {
                    "it is claiming, or waiting to take over; others wait for it"
                } else {
                    "it holds the instance, and it lives: the kernel says so"
                };
                Evidence::new(what, found, means)
            }
        }
    }

    /// What is known of the owner of a lock: looked at with care only where nobody answered.
    fn look_at(&self, pid: u32) -> Option<Process> {
        let known = [self.owner(), self.claimer()].into_iter().flatten().find(|process| process.pid == pid);
        known.cloned().or_else(|| Process::of(pid).ok().flatten())
    }

    fn socket(&self) -> Evidence {
        let what = "socket";
        let socket = self.place.socket();
        let path = text::shown_path(&socket);
        let elsewhere = if self.place.socket_is_elsewhere() {
            " (the path in the directory would be too long)"
        } else {
            ""
        };
        match platform::at_endpoint(&socket) {
            Ok(None) => Evidence::new(what, format!("{path}{elsewhere}, missing"), "nobody can be met there"),
            Err(error) => Evidence::new(
                what,
                format!("{path}{elsewhere}"),
                format!("cannot be looked at: {}", text::system_words(&error)),
            ),
            Ok(Some(Facts { kind: Kind::Socket, owner, mode, .. })) => {
                let means = if !platform::ENDPOINT_IS_A_FILE {
                    "somebody serves it; the hail tells who"
                } else if owner == self.place.owner() || owner == 0 {
                    "a name may be left over; the hail tells who is behind it"
                } else {
                    "somebody else's: it is not believed"
                };
                Evidence::new(
                    what,
                    format!("{path}{elsewhere}, of {}, {}", text::user(owner), platform::access_words(mode)),
                    means,
                )
            }
            Ok(Some(facts)) => Evidence::new(
                what,
                format!("{path}{elsewhere} is {}", facts.kind.words()),
                "in the way: it is left alone, and no claim can succeed",
            ),
        }
    }

    fn hailed(&self, what: &'static str, address: &Address) -> Evidence {
        let hail = hail::hail_at(&self.place, address, Patience::until(Instant::now() + PATIENCE), None);
        let named = match address {
            Address::Path(_) => String::new(),
            Address::Abstract(name) => format!("@{}: ", text::shown(&String::from_utf8_lossy(name))),
        };
        let (found, means) = hailed::words(&hail);
        Evidence::new(what, format!("{named}{found}"), means)
    }

    fn record(&self) -> Evidence {
        let what = "record";
        if let Some(forbidden) = forbidden(what, &self.place.record) {
            return forbidden;
        }
        let path = text::shown_path(&self.place.record);
        let record = match &self.past {
            Past::None => {
                return Evidence::new(
                    what,
                    format!("{path}, missing"),
                    "nobody has held this instance, or it was deleted",
                );
            }
            Past::Broken(why) => {
                return Evidence::new(what, text::shown(why), "it stops nobody; the next holder replaces it");
            }
            Past::Record(record) => record,
        };
        let began = sentence::ago(record.started_at_us);
        let boot = match (record.boot_id.as_deref(), platform::boot_id().as_deref()) {
            (Some(then), Some(now)) if then == now => ", in this boot",
            (Some(_), Some(_)) => ", in another boot",
            _ => "",
        };
        let host = match record.host.as_deref() {
            Some(host) if self.is_on_another_machine(record) => {
                format!(", on the machine `{}`", text::shown(host))
            }
            _ => String::new(),
        };
        let found = format!(
            "{path}, generation {} by pid {}, begun {began}{boot}{host}",
            record.generation, record.pid
        );
        let same =
            self.reached.as_ref().map(|it| InstanceId::from_bytes(it.instance_id) == record.instance_id);
        let means = match (same, self.recorded_one_runs(), Inspection::end_of(record).0) {
            (Some(true), ..) => "written by the one who answers".to_owned(),
            (Some(false), ..) if self.is_outdated() => {
                "written by a later one than the one who answered".to_owned()
            }
            (Some(false), ..) => {
                "not written by the one who answers: that one could not write its own".to_owned()
            }
            (None, true, _) if self.verdict() == Verdict::CannotTell => {
                "whether its writer lives cannot be told".to_owned()
            }
            (None, true, _) => "written by the owner of the lock, as far as can be told".to_owned(),
            (None, false, End::Crashed) => "its writer ended without releasing".to_owned(),
            (None, false, end) => format!("its writer has ended: {end}"),
        };
        Evidence::new(what, found, means)
    }

    /// What the holder says is wrong: a full disk, a name that is taken.
    fn said_problem(&self) -> Option<Evidence> {
        let problem = self.reached.as_ref()?.status.as_ref()?.problem.as_ref()?;
        Some(Evidence::new("problem", text::shown(problem), "the holder says so itself, and lives with it"))
    }

    fn history(&self) -> Evidence {
        if let Some(forbidden) = forbidden("history", &self.place.history) {
            return forbidden;
        }
        let (entries, problem) = history::read(&self.place.history);
        let path = text::shown_path(&self.place.history);
        let plural = if entries.len() == 1 { "" } else { "s" };
        let means =
            problem.map_or_else(|| "for people; it decides nothing".to_owned(), |why| text::shown(&why));
        Evidence::new(
            "history",
            format!("{path}, {} generation{plural} before the recorded one", entries.len()),
            means,
        )
    }
}

/// What is there for others to read: it says nothing to this user, which is not the same as nothing being there.
fn forbidden(what: &'static str, path: &Path) -> Option<Evidence> {
    let refused = whole_file::read_end(path, 1).err();
    refused.filter(|error| error.kind() == io::ErrorKind::PermissionDenied)?;
    let found = format!("{}, which this user may not read", text::shown_path(path));
    Some(Evidence::new(what, found, "nothing is known of what it says"))
}

/// Who asks: what it may see depends on that.
fn asker() -> Evidence {
    let namespace =
        platform::pid_namespace().map_or_else(String::new, |name| format!(", pid namespace {name}"));
    let found = format!("{}, pid {}{namespace}", text::user(platform::effective_user()), std::process::id());
    Evidence::new(
        "asked by",
        found,
        "what it may see, and which processes have a number here, depends on that",
    )
}
