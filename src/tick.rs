//! The tick: once a second the holder looks whether it still is one.
//!
//! It never loops and never delays a stop: what it cannot decide now, the next one will. The look itself is a few system
//! calls on the answering thread; what may wait for a disk or for another process runs on a thread of its own, one at a
//! time. 1. The instance lock again, a no-op when it is held. 2. The paths: they must name my files. 3. The record: a
//! higher generation that won deposes, which also catches a successor that came and went while the lock was lost.
//!
//! Only who judges with the claim lock in hand, or from the record, deposes: a busy lock alone does not, because a
//! contender may only be looking. Proven by `tests/robbed.rs` and `tests/deleted.rs`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use incumbent_proto::{Identify, Reply, Request};

use crate::{
    answer::{self, Command},
    claim,
    decide::{self, Care, Hailed, Judged, Lock, Tick},
    endpoint::Endpoint,
    hail::{self, Patience},
    held::{Core, Held, Life, Problem},
    instance_id::InstanceId,
    pid_file::{Opened, PidFile, Which},
    platform::{self, Address, Listener},
    record::{self, DirId, Past, Record},
    release,
};

/// For so long the owner of the lock may take to answer a judge.
const JUDGES_PATIENCE: Duration = Duration::from_millis(250);

/// Pid files that are kept for who still waits on their locks, when one after the other was replaced.
const MOST_FILES: usize = 8;

/// One look, and what follows from it.
pub(crate) fn tick(held: &Arc<Held>) {
    if !held.is_holding() || !held.begin_mending() {
        return;
    }
    let (care, unwritten) = match held.core.try_lock() {
        Ok(mut core) => {
            regain_abstract_name(held, &mut core);
            (decide::tick(look(held, &core), is_outranked(held, &core)), held.is_unwritten(&core))
        }
        Err(_) => (Care::Wait, false), // it is being released
    };
    match care {
        Care::Nothing if unwritten => {
            // The disk was full, or something was in the way: that may be over.
            let writer = held.clone();
            let begun = std::thread::Builder::new().name("incumbent-write".into()).spawn(move || {
                let _mending = Mending(&writer);
                let mut core = writer.core();
                if writer.is_holding() {
                    release::write_all(&writer, &mut core);
                }
            });
            if begun.is_err() {
                held.end_mending();
            }
        }
        Care::Nothing => {
            held.set_problem(Problem::Paths, None);
            held.end_mending();
        }
        Care::Wait | Care::Record => held.end_mending(),
        Care::StepDown | Care::Heal | Care::Judge => {
            let mender = held.clone();
            let begun = std::thread::Builder::new().name("incumbent-mend".into()).spawn(move || {
                let _mending = Mending(&mender);
                mend(&mender, care);
            });
            if begun.is_err() {
                held.end_mending(); // the next tick tries again
            }
        }
    }
}

/// Ends the mending however it ends.
struct Mending<'a>(&'a Held);

impl Drop for Mending<'_> {
    fn drop(&mut self) {
        self.0.end_mending();
    }
}

fn look(held: &Held, core: &Core) -> Tick {
    let Some(file) = core.files.front() else { return Tick::Moved };
    if !file.is_intact() {
        return Tick::Moved; // the program has closed it underneath, and the lock with it
    }
    file.let_go_of_claim();
    match file.try_lock(Which::Instance) {
        Ok(true) => {}
        Ok(false) => return Tick::Theirs,
        Err(_) => return Tick::Moved,
    }
    let endpoint = core.endpoint.as_ref().is_some_and(|endpoint| endpoint.is_in_place(&held.place));
    // Another's words in the record are replaced; what could not be written is another matter.
    let record = core.record_mark.is_none() || platform::mark_of(&held.place.record) == core.record_mark;
    let text = file.has_text_of(held.process) || held.is_unwritten(core);
    if file.is_at_its_path() && endpoint && record && text { Tick::Ours } else { Tick::Moved }
}

/// Tells whether the record shows a higher generation than this one. It is read only when it is not as it was written.
fn is_outranked(held: &Held, core: &Core) -> bool {
    let now = platform::mark_of(&held.place.record);
    if now.is_none() || now == core.record_mark {
        return false;
    }
    matches!(
        Record::read(&held.place.record),
        Past::Record(record)
            if record.generation > held.generation
                && record::is_possible(record.generation)
                && record.is_of(&held.place)
    )
}

/// Takes the abstract name when it has come free, or when the program has closed it.
fn regain_abstract_name(held: &Arc<Held>, core: &mut Core) {
    if core.abstract_name.as_ref().is_some_and(Listener::still_listens) {
        return;
    }
    core.abstract_name = None; // or it would keep its own name taken
    match platform::listen_on(&held.place.abstract_name(), held.owner) {
        Ok(listener) => {
            core.abstract_name = Some(Listener::new(listener));
            held.set_problem(Problem::AbstractName, None);
            answer::post(Command::Listen(held.clone()));
        }
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {}
        Err(_) => held.set_problem(Problem::AbstractName, Some(claim::abstract_name_problem().to_owned())),
    }
}

fn mend(held: &Arc<Held>, care: Care) {
    match care {
        Care::StepDown => release::step_down(held),
        Care::Judge => judge(held, None),
        Care::Heal => heal(held),
        Care::Nothing | Care::Wait | Care::Record => {}
    }
}

/// With the claim lock in hand: does the owner of the instance lock answer as the holder, and of which generation?
///
/// `elsewhere`: the file that the path names now, when it is another than the one that was locked.
fn judge(held: &Arc<Held>, elsewhere: Option<&PidFile>) {
    let with_file = |ask: &dyn Fn(&PidFile) -> Judged| match elsewhere {
        Some(file) => ask(file),
        None => held.core().files.front().map_or(Judged::Free, ask),
    };
    let begun = with_file(&|file| match file.try_lock(Which::Claim) {
        Ok(true) => match file.try_lock(Which::Instance) {
            Ok(true) => Judged::Free,
            _ => Judged::Silent,
        },
        _ => Judged::ClaimBusy,
    });
    let seen = match begun {
        Judged::Silent => {
            // Without the core's lock: a release must not wait for a hail.
            let answer = ask_the_other(held);
            with_file(&|file| match file.try_lock(Which::Instance) {
                Ok(true) => Judged::Free,
                _ => answer,
            })
        }
        begun => begun,
    };
    // Whatever else: the next tick takes the lock if it came free, and heals what is to be healed.
    match decide::judge(seen) {
        Care::StepDown => release::step_down(held),
        Care::Record => {
            let mut core = held.core();
            let is_shown =
                core.record_mark.is_some() && platform::mark_of(&held.place.record) == core.record_mark;
            if held.is_holding() && !is_shown {
                release::write_record(held, &mut core);
                if core.record_mark.is_none() {
                    drop(core);
                    release::step_down(held); // the disk is full, say, and the other would never learn of it
                }
            }
        }
        Care::Nothing | Care::Heal | Care::Judge | Care::Wait => {}
    }
    if seen != Judged::ClaimBusy {
        with_file(&|file| {
            file.unlock(Which::Claim);
            seen
        });
    }
}

/// Hails whoever listens at the path, and asks which generation it is.
fn ask_the_other(held: &Held) -> Judged {
    let deadline = Instant::now() + JUDGES_PATIENCE;
    let hail =
        hail::hail_at(&held.place, &Address::Path(held.place.socket()), Patience::until(deadline), None);
    let Some(mut answered) = hail.answer.filter(|_| hail.met == Hailed::Pong) else { return Judged::Silent };
    if InstanceId::from_bytes(answered.pong.instance_id) == held.id {
        return Judged::Silent;
    }
    // Every version answers this.
    match answered.connection.ask(&Request::Identify(Identify {}), "identify", JUDGES_PATIENCE) {
        Ok(Reply::Identity(other)) if other.generation < held.generation => Judged::Outranked,
        Ok(Reply::Identity(_)) => Judged::Answers,
        _ => Judged::Silent,
    }
}

/// Puts back what is not at its paths: pid file and locks, endpoint, record. The old file's locks are kept until the
/// release, for whoever still waits on them.
fn heal(held: &Arc<Held>) {
    if let Err(why) = try_to_heal(held) {
        held.set_problem(
            Problem::Paths,
            Some(format!("the files of this instance cannot be put back: {why}")),
        );
    }
}

fn try_to_heal(held: &Arc<Held>) -> Result<(), crate::Error> {
    if let Some(owner) = held.place.foreign_owner(held.owner) {
        if owner != platform::effective_user() && platform::effective_user() != 0 {
            // Somebody else's directory took the place of mine: nobody of this user can hold here, or ask there.
            release::step_down(held);
        }
        return Err(crate::Error::Directory {
            path: held.place.dir.clone(),
            fault: crate::DirectoryFault::Foreign { owner, user: held.owner },
        });
    }
    held.place.prepare()?;
    let in_place = held.core().files.front().is_some_and(PidFile::is_at_its_path);
    let opened = if in_place { Opened::Ours } else { PidFile::open(&held.place.pid)? };
    let fresh = match opened {
        Opened::File(file) => {
            match claim::try_lock(&file, Which::Claim)? {
                Lock::Taken => {}
                Lock::Busy | Lock::Moved => return Ok(()), // somebody is claiming there: the next tick
            }
            match claim::try_lock(&file, Which::Instance)? {
                Lock::Taken => {}
                Lock::Moved => return Ok(()), // deleted once more: the next tick
                Lock::Busy => {
                    file.unlock(Which::Claim);
                    judge(held, Some(&file));
                    return Ok(());
                }
            }
            Some(file)
        }
        Opened::Ours => None,
    };
    let mut core = held.core();
    if *held.life.borrow() != Life::Holding {
        return Ok(()); // released meanwhile; what was taken here goes with the file
    }
    if is_outranked(held, &core) {
        drop(core);
        release::step_down(held); // another has won since the look, and its record is not to be written over
        return Ok(());
    }
    let claimed = fresh.is_some();
    if let Some(file) = fresh {
        // What the program closed underneath has no locks left to keep.
        core.files.retain(PidFile::is_intact);
        core.files.push_front(file);
        core.files.truncate(MOST_FILES);
    } else {
        // The path names a file of ours: the first one, or an older one that was moved back. Its instance lock is enough:
        // who has the claim lock alone binds nothing, and a takeover that waits with it may be waiting for this socket.
        let at = core.files.iter().position(PidFile::is_at_its_path);
        let Some(file) = at.and_then(|at| core.files.remove(at)) else { return Ok(()) };
        core.files.push_front(file);
        let taken = core.files.front().map(|file| claim::try_lock(file, Which::Instance)).transpose()?;
        if taken != Some(Lock::Taken) {
            return Ok(());
        }
    }
    let healed = put_back(held, &mut core);
    if let Some(file) = core.files.front().filter(|_| claimed) {
        file.unlock(Which::Claim);
    }
    drop(core);
    answer::post(Command::Listen(held.clone()));
    healed?;
    held.set_problem(Problem::Paths, None);
    tracing::info!(instance = %held.place.name, "looked after the files, which were not as they should be");
    Ok(())
}

/// Endpoint, text and record, with the instance lock of the path's file in hand.
fn put_back(held: &Held, core: &mut Core) -> Result<(), crate::Error> {
    if let Some(file) = core.files.front() {
        claim::try_lock(file, Which::Instance)?;
    }
    core.record.dir_id = held.place.dir_id().map(DirId::of);
    core.record.pid_file_id = core.files.front().map(|file| DirId::of(file.id()));
    release::write_all(held, core);
    if !core.endpoint.as_ref().is_some_and(|endpoint| endpoint.is_in_place(&held.place)) {
        // None: another binds here. The next tick tells who that is.
        if let Some(endpoint) = Endpoint::bind(&held.place)? {
            if let Some(old) = core.endpoint.replace(endpoint) {
                old.listener.shut_down();
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)] // a test fails so
#[path = "tick_tests.rs"]
mod tests;
