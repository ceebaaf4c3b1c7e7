//! Reads afterwards what happened to one instance, and gives what may not be. Knows no process and no clock.
//!
//! 1. No two witnesses of the instance at once: by their own lock, and by their own times.
//! 2. Generations grow in the order in which witnesses began, and no two have the same one.
//! 3. There is always a contender that is willing and whom nobody hinders. So nobody holds for longer than [`BOUND`] only
//!    where the deeds explain it: a contender that was stopped with a lock in hand, a disk that took nothing.
//! 4. The history tells every generation, unless the deeds took it, and once.
//! 5. It tells an end that follows from what was done, the same one every time, and no generation twice.
//! 6. A holder begins its PROGRAM within what the last one's leftovers may take, unless it was asked to stop.

use std::collections::BTreeMap;

use super::witness::Said;

/// Times are nanoseconds on the clock of the witnesses.
pub type Span = (u64, u64);

pub const SECOND: u64 = 1_000_000_000;
/// A contender tries for the claim deadline (5 s) and a holder looks once a second after its files; whatever the two are
/// in the middle of is over then, and whoever waits claims again.
pub const BOUND: u64 = 6 * SECOND;
/// What the last PROGRAM left behind has the grace (at most 1.2 s here) before it is killed, and then a moment to go.
pub const LEFTOVERS: u64 = 4 * SECOND;
/// What was not written is written with the next tick but one at the latest, and a moment.
pub const MENDED: u64 = 2 * SECOND + SECOND / 2;

/// What became of one start of `gateway run` that held.
#[derive(Debug, Clone)]
pub struct Reign {
    pub serial: u32,
    pub generation: u64,
    pub held: u64,
    /// Not before this it had ended, as its parent saw it.
    pub ended: u64,
    /// The ends that follow from what was done to it.
    pub may_have_ended: Vec<&'static str>,
    /// A takeover or a stop may have sent it `SIGTERM`.
    pub is_forced: bool,
    /// Each of its steps was made to take longer.
    pub is_slow: bool,
    /// When it was stopped or starved itself.
    pub hindered: Vec<Span>,
}

/// What the history says of a generation, as often as it was asked: its ends, each once.
pub type History = BTreeMap<u64, Vec<Option<String>>>;

#[derive(Debug, Clone, Default)]
pub struct Case {
    pub name: String,
    pub from: u64,
    pub until: u64,
    pub said: Vec<Said>,
    pub reigns: Vec<Reign>,
    /// When nobody can be expected to begin to hold, and why.
    pub hindered: Vec<(Span, &'static str)>,
    /// When what is written may be lost.
    pub lossy: Vec<Span>,
    pub history: History,
}

/// What there is to be told of a case that is as it should be.
#[derive(Debug, Default)]
pub struct Finding {
    pub faults: Vec<String>,
    /// The longest time that nobody held and nothing hindered, but before one whose every step was made slow.
    pub longest_gap: u64,
    /// And before such a one.
    pub longest_slow: u64,
    /// The longest time that nobody held at all.
    pub longest_free: u64,
    /// The longest time from holding to the beginning of PROGRAM.
    pub longest_beginning: u64,
    pub witnesses: usize,
    pub untold: usize,
}

pub fn check(case: &Case) -> Finding {
    let mut finding = Finding::default();
    let mut reigns = case.reigns.clone();
    reigns.sort_by_key(|reign| reign.held);
    overlaps(case, &mut finding);
    order(case, &reigns, &mut finding);
    gaps(case, &reigns, &mut finding);
    beginnings(case, &reigns, &mut finding);
    history(case, &reigns, &mut finding);
    for fault in &mut finding.faults {
        fault.insert_str(0, &format!("`{}`: ", case.name));
    }
    finding
}

fn overlaps(case: &Case, finding: &mut Finding) {
    let mut running: Option<&Said> = None;
    for said in &case.said {
        match said.what.as_str() {
            "OVERLAP" => finding.faults.push(format!("a witness met another: {said:?}, after {running:?}")),
            "start" => {
                finding.witnesses += 1;
                // Who was killed said nothing at its end; its lock has shown that it was gone.
                running = Some(said);
            }
            "end" => {
                if running.is_none_or(|running| running.pid != said.pid) {
                    finding.faults.push(format!("{said:?} ended in the time of {running:?}"));
                }
                running = None;
            }
            _ => {}
        }
    }
}

fn order(case: &Case, reigns: &[Reign], finding: &mut Finding) {
    let of: BTreeMap<u32, &Reign> = reigns.iter().map(|reign| (reign.serial, reign)).collect();
    let mut last: Option<&Reign> = None;
    for said in case.said.iter().filter(|said| said.what == "start") {
        let Some(reign) = of.get(&said.serial) else {
            finding.faults.push(format!("{said:?} began, and nobody held with its number"));
            continue;
        };
        if said.at < reign.held.saturating_sub(SECOND) {
            finding.faults.push(format!("{said:?} began before its gateway held: {reign:?}"));
        }
        if last.is_some_and(|last| last.generation >= reign.generation) {
            finding.faults.push(format!("generations out of order: {last:?}, and then {reign:?}"));
        }
        last = Some(reign);
    }
}

/// What is left of a span without others.
fn without(span: Span, others: impl Iterator<Item = Span>) -> Vec<Span> {
    let mut left = vec![span];
    for (from, to) in others {
        left = left
            .into_iter()
            .flat_map(|(begin, end)| [(begin, end.min(from)), (begin.max(to), end)])
            .filter(|(begin, end)| begin < end)
            .collect();
    }
    left
}

fn gaps(case: &Case, reigns: &[Reign], finding: &mut Finding) {
    let held = reigns.iter().map(|reign| (reign.held, reign.ended));
    for gap in without((case.from, case.until), held) {
        finding.longest_free = finding.longest_free.max(gap.1 - gap.0);
        for (begin, end) in without(gap, case.hindered.iter().map(|(span, _)| *span)) {
            let is_slow = reigns.iter().any(|reign| reign.held == gap.1 && reign.is_slow);
            let longest = if is_slow { &mut finding.longest_slow } else { &mut finding.longest_gap };
            *longest = (*longest).max(end - begin);
            if end - begin > BOUND {
                let whole = (gap.1 - gap.0) as f64 / SECOND as f64;
                finding.faults.push(format!(
                    "nobody held for {:.2} s from {begin} on, of {whole:.2} s; hindered: {:?}",
                    (end - begin) as f64 / SECOND as f64,
                    case.hindered
                        .iter()
                        .filter(|((from, to), _)| *from < gap.1 && *to > gap.0)
                        .collect::<Vec<_>>()
                ));
            }
        }
    }
}

fn beginnings(case: &Case, reigns: &[Reign], finding: &mut Finding) {
    for reign in reigns {
        let began = case.said.iter().find(|said| said.serial == reign.serial && said.what == "start");
        let until = began.map_or(reign.ended, |said| said.at);
        let hindered = case.hindered.iter().map(|(span, _)| *span).chain(reign.hindered.iter().copied());
        for (begin, end) in without((reign.held, until.max(reign.held)), hindered) {
            finding.longest_beginning = finding.longest_beginning.max(end - begin);
            if end - begin > LEFTOVERS {
                let seconds = (end - begin) as f64 / SECOND as f64;
                finding
                    .faults
                    .push(format!("its PROGRAM had not begun {seconds:.2} s after {begin}: {reign:?}"));
            }
        }
    }
}

/// When what was lost is there again at the latest: the holder puts it back, as soon as nothing hinders it.
fn mended(case: &Case, reign: &Reign, (from, to): Span) -> u64 {
    let mut at = to + MENDED;
    let mut hindered: Vec<Span> =
        case.hindered.iter().map(|(span, _)| *span).chain(reign.hindered.iter().copied()).collect();
    hindered.sort_unstable();
    for (begin, end) in hindered {
        if begin < at && end > from {
            at = at.max(end + MENDED);
        }
    }
    at
}

fn history(case: &Case, reigns: &[Reign], finding: &mut Finding) {
    for (at, reign) in reigns.iter().enumerate() {
        let next = reigns.get(at + 1).map_or(case.until, |next| next.held);
        // What is lost is the record at its end, or what its successor writes of it.
        let is_lossy = case
            .lossy
            .iter()
            .any(|loss| loss.0 < next.max(reign.ended) + MENDED && mended(case, reign, *loss) > reign.ended);
        let Some(ends) = case.history.get(&reign.generation) else {
            finding.untold += usize::from(is_lossy);
            if !is_lossy {
                finding.faults.push(format!("the history lacks {reign:?}"));
            }
            continue;
        };
        let mut ends: Vec<&str> = ends.iter().flatten().map(String::as_str).collect();
        // That it was by force only the one knows that did it, and says so when it holds.
        if reign.is_forced && matches!(ends[..], ["released", "replaced"] | ["crashed", "killed after grace"])
        {
            ends.remove(0);
        }
        // With no room for the successor's record, a look sees an open record and cannot know of the release.
        if ends.len() > 1 && !is_lossy {
            finding.faults.push(format!("the history tells {ends:?} of {reign:?}"));
        }
        if let Some(end) = ends.iter().find(|end| !reign.may_have_ended.contains(end)) {
            if is_lossy {
                finding.untold += 1;
            } else {
                finding.faults.push(format!("the history says `{end}` of {reign:?}"));
            }
        }
        if ends.is_empty() && !is_lossy {
            finding.faults.push(format!("the history tells no end of {reign:?}"));
        }
    }
}
