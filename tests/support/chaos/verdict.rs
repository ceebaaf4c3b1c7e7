//! From what was done to an instance to the case that the checker reads, and what can be said without it.

use std::{os::unix::process::ExitStatusExt as _, sync::Arc};

use super::{
    arena::{Arena, Lot, text_of},
    checker::{Case, Reign, SECOND, Span},
    start::{Deed, Start},
    witness::{self, Said},
};

/// What a `run` may end with; what a place of a certain kind may add is in [`strange_end`].
const CODES: [i32; 9] = [0, 3, 70, 75, 79, 129, 130, 137, 143];
/// A start that is refused is so within the claim deadline, and a takeover has its graces and those of force beside it.
const LONGEST_REFUSAL: u64 = 20 * SECOND;

/// Where documented files may be in the instance's directory after the end.
const FILES: [&str; 7] = ["pid", "sock", "json", "history", "child", "notify", "log"];

/// `chaos`: from when until when somebody always wants to hold; `until`: when all had ended.
pub fn case(arena: &Arena, chaos: Span, until: u64) -> Case {
    let said = witness::read(&text_of(&arena.log())).unwrap_or_else(|| {
        arena.fault("the witnesses' log is torn");
        Vec::new()
    });
    for said in &said {
        arena.say_at(said.at, &format!("#{} witness {}: {}", said.serial, said.pid, said.what));
    }
    let starts = arena.starts();
    let hindered: Vec<(Span, &'static str)> =
        arena.hindered.lock().unwrap().iter().map(|it| ((it.from, it.to.unwrap_or(until)), it.why)).collect();
    let wishes = Wishes::of(arena, &starts);
    for start in starts.iter() {
        arena.say(&format!("#{} had said: {}", start.serial, start.state().stderr));
        strange_end(arena, &wishes, start, &hindered, until);
    }
    Case {
        name: arena.name.clone(),
        from: chaos.0,
        until: chaos.1,
        reigns: starts.iter().filter_map(|start| reign(arena, &wishes, &said, start, until)).collect(),
        said,
        hindered,
        lossy: arena.lossy.lock().unwrap().clone(),
        history: arena.history.lock().unwrap().clone(),
    }
}

fn reign(arena: &Arena, wishes: &Wishes, said: &[Said], start: &Start, until: u64) -> Option<Reign> {
    let (mut held, ended, hindered) = {
        let state = start.state();
        (state.held?, state.ended.map_or(until, |ended| ended.0), state.hindered.clone())
    };
    // Its words may be read after its PROGRAM has begun, and after its end.
    let began = said.iter().find(|said| said.serial == start.serial).map_or(ended, |said| said.at);
    held.at = held.at.min(began).min(ended);
    Some(Reign {
        serial: start.serial,
        generation: held.generation,
        held: held.at,
        ended,
        may_have_ended: ends(arena, wishes, start, (held.at, ended)),
        is_forced: wishes.forced(start.serial, known((held.at, ended))),
        is_slow: start.order.under.iter().any(|word| word == "strace"),
        hindered,
    })
}

fn meet(one: Span, other: Span) -> bool {
    one.0 < other.1 && other.0 < one.1
}

/// When somebody wanted the holder to go.
struct Wishes {
    /// Of which start, when, and whether by force.
    takeovers: Vec<(u32, Span, bool)>,
    asked: Vec<(Span, String)>,
}

impl Wishes {
    fn of(arena: &Arena, starts: &[Arc<Start>]) -> Self {
        let takeover = |start: &Arc<Start>| {
            let state = start.state();
            let ended = state.ended.map_or(u64::MAX, |ended| ended.0);
            let until = state.held.map_or(ended, |held| held.at.max(start.spawned));
            (start.serial, (start.spawned, until), start.order.has("--force"))
        };
        let takeovers = starts.iter().filter(|start| start.order.has("--replace")).map(takeover).collect();
        Self { takeovers, asked: arena.asked.lock().unwrap().clone() }
    }

    fn replaced(&self, serial: u32, then: Span) -> bool {
        self.takeovers.iter().any(|(by, span, _)| *by != serial && meet(*span, then))
    }

    fn forced(&self, serial: u32, then: Span) -> bool {
        self.takeovers.iter().any(|(by, span, force)| *force && *by != serial && meet(*span, then))
            || self.asked.iter().any(|(span, words)| words.contains("--force") && meet(*span, then))
    }
}

/// That it holds may have been read a moment after others knew it.
fn known(reign: Span) -> Span {
    (reign.0.saturating_sub(SECOND / 2), reign.1)
}

/// The ends that follow from what was done to it.
fn ends(arena: &Arena, wishes: &Wishes, start: &Start, reign: Span) -> Vec<&'static str> {
    let known = known(reign);
    let is_replaced = wishes.replaced(start.serial, known);
    let is_forced = wishes.forced(start.serial, known);
    let is_stopped = wishes.asked.iter().any(|(span, _)| meet(*span, known));

    let state = start.state();
    let did = |deed| state.deeds.iter().any(|(_, done)| *done == deed);
    let manner = start.order.manner;
    // By force it gets `SIGTERM`, and may have written nothing yet by which to know it.
    let goes_by_itself = is_forced
        || is_stopped
        || did(Deed::Asked)
        || did(Deed::WitnessKilled)
        || manner.ends_after.is_some();
    let is_slow = manner.stops_after != Some(0) || manner.has_family || !state.hindered.is_empty();
    let status = state.ended.and_then(|ended| ended.1);
    let is_killed = status.and_then(|status| status.signal()).is_some();
    let code = status.and_then(|status| status.code());
    let last_words = (reign.1.saturating_sub(SECOND / 2), reign.1);
    let is_frozen = arena.lot == Lot::Frozen
        && arena
            .hindered
            .lock()
            .unwrap()
            .iter()
            .any(|it| meet((it.from, it.to.unwrap_or(u64::MAX)), last_words));
    let is_cut_short = start.order.under.iter().any(|word| word == "strace")
        || state.hindered.iter().any(|span| meet(*span, last_words));
    let may = [
        // Its answering thread ended it, and it had not the half second for its last words, or the disk did not take them.
        ("crashed", is_killed && did(Deed::Killed) || code == Some(70) && (is_frozen || is_cut_short)),
        // One that cannot start its PROGRAM (no descriptor is left, say) goes by itself.
        ("released", goes_by_itself || !is_killed && (!is_replaced || matches!(code, Some(73 | 75 | 126)))),
        ("replaced", is_replaced),
        ("killed after grace", is_forced || is_slow || matches!(code, Some(70 | 137))),
    ];
    may.into_iter().filter(|(_, may)| *may).map(|(end, _)| end).collect()
}

/// Codes that nobody should see, panics, and a refusal that took too long.
fn strange_end(arena: &Arena, wishes: &Wishes, start: &Start, hindered: &[(Span, &'static str)], until: u64) {
    let state = start.state();
    let words = format!("#{} {:?} {:?}", start.serial, start.order, state.ended);
    if state.stderr.contains("panicked") {
        arena.fault(&format!("{words} panicked: {}", state.stderr));
    }
    let (ended, status) = state.ended.unwrap_or((until, None));
    let is_poor = start.order.under.iter().any(|word| word.contains("nofile"));
    let is_odd = is_poor || arena.lot == Lot::Full;
    if let Some(status) = status {
        arena.shared.count(&format!(
            "ended: {}",
            status.code().map_or_else(|| "by a signal".into(), |code| format!("{code:3}"))
        ));
        let was_killed = state.deeds.iter().any(|(_, deed)| *deed == Deed::Killed);
        let is_right = match status.code() {
            Some(code) => {
                CODES.contains(&code) && !(code == 75 && state.held.is_some())
                    || (is_odd && code == 73)
                    || (is_poor && matches!(code, 126 | 127))
            }
            // Who has a lock and does nothing with it may be ended by force: the disk took nothing, say.
            None => was_killed || state.held.is_some() || wishes.forced(start.serial, (start.spawned, ended)),
        };
        if !is_right {
            arena.fault(&format!("{words}: {}", state.stderr));
        }
    }
    let mine = hindered.iter().map(|(span, _)| *span).chain(state.hindered.iter().copied());
    let waits = start.order.has("--wait") || state.held.is_some();
    let busy: u64 = mine.filter(|span| meet(*span, (start.spawned, ended))).map(|span| span.1 - span.0).sum();
    if !waits && ended - start.spawned > LONGEST_REFUSAL + busy {
        arena.fault(&format!("{words} took too long: {}", state.stderr));
    }
}

/// What is left when everybody has gone.
pub fn leftovers(arena: &Arena) {
    let log = text_of(&arena.file("log"));
    if log.contains("panicked") {
        arena.fault(&log);
    }
    let lock = std::fs::File::open(arena.lock()).unwrap();
    if rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_err() {
        arena.fault("a witness, or what it started, is still there");
    }
    for entry in std::fs::read_dir(&arena.dir).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix(&format!("{}.", arena.name)) else { continue };
        if !FILES.contains(&rest) {
            arena.fault(&format!("left over: {name}"));
        }
    }
}
