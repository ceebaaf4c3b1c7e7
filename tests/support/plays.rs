//! A scene, played once with something happening to one call, and all that must be true then.
//!
//! 1. The traced process starts, beside or after whoever else is in the scene, until it holds or has ended.
//! 2. If it holds, `status` says so, and it is asked to stop, or replaced.
//! 3. It has ended: of a kill, or with a documented code and a sentence that says why; it never hangs.
//! 4. `status` names who holds, or says that nobody does; never one that is dead.
//! 5. The next one holds, with nothing cleaned by hand; then nobody is left, and never did two witnesses run at a time.
#![allow(dead_code)] // every test file uses its own part of it

use std::{
    collections::BTreeMap, os::unix::process::ExitStatusExt as _, process::ExitStatus, time::Duration,
};

use crate::{
    calls,
    gateway::{Running, WATCHDOG},
    os,
    scenes::{Scene, Stage, WITNESS, until},
    traced::{Deed, Kind, Plan, Traced},
};

/// The grace of every `run` here is shorter.
const LONGER_THAN_THE_GRACE: Duration = Duration::from_secs(10);

/// What was seen of the traced process.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) counts: BTreeMap<Kind, usize>,
    /// How often something happened to a call.
    pub(crate) done: usize,
    pub(crate) status: ExitStatus,
    pub(crate) stderr: String,
}

pub(crate) fn patience() -> Duration {
    std::env::var("PATIENCE").ok().and_then(|s| s.parse().ok()).map_or(WATCHDOG, Duration::from_secs)
}

/// Plays it.
pub(crate) fn play(scene: Scene, crashed: &Stage, plan: Option<Plan>) -> Played {
    let stage = Stage::new();
    if scene == Scene::AfterCrash {
        stage.like(crashed);
    }
    let mut before = (scene == Scene::Contender).then(|| stage.hold());
    let witnesses = match scene {
        Scene::First => 0,
        Scene::AfterCrash | Scene::Replaced => 1,
        Scene::Contender => 2,
    };
    let command = match scene {
        Scene::First => stage.gateway(&["run"]),
        Scene::AfterCrash | Scene::Replaced => stage.run(&[], WITNESS),
        Scene::Contender => stage.run(&["--replace"], WITNESS),
    };
    let mut traced = Traced::start(command, plan);
    let pid = traced.pid();
    let mut asked = false;
    if settles(&stage, pid, witnesses, || traced.ended_within(Duration::ZERO)).is_none() {
        if scene == Scene::Replaced {
            replace(&stage, &traced, plan);
        } else if lasts(plan) {
            stage.names_or_hears_nothing(&traced);
        } else {
            stage.names(&[Some(pid), before.as_ref().map(Running::pid)]);
        }
        asked = true;
        traced.terminate();
    }
    let status = end(&stage, &traced, plan);
    stage.names(&[before.as_ref().map(Running::pid)]);
    stage.next_one(before.is_some());
    if let Some(before) = before.take() {
        let ended = before.end();
        assert!([0, 79].contains(&ended.code()), "the one that was to be replaced: {ended:?}");
    }
    stage.is_clean();
    let (_, stderr) = traced.said();
    ended_well(status, &stderr, asked, plan, traced.done());
    Played { counts: traced.counts(), done: traced.done(), status, stderr }
}

/// Another takes its place; or says why not, and then it is still there.
fn replace(stage: &Stage, traced: &Traced, plan: Option<Plan>) {
    let witnesses = stage.runs() + 1;
    let mut next = Running::start(&mut stage.run(&["--replace"], WITNESS));
    let ended = settles(stage, next.pid(), witnesses, || next.ended());
    if ended.is_none() {
        assert!(traced.ended_within(patience()).is_some(), "replaced, and not gone");
        stage.names(&[Some(next.pid())]);
        next.terminate();
        let ended = next.end();
        assert_eq!(ended.code(), 0, "the successor: {ended:?}");
        return;
    }
    let ended = next.end();
    let fails = plan.is_some_and(|plan| !matches!(plan.deed, Deed::KillBefore | Deed::KillAfter));
    assert!(fails, "the successor did not hold: {ended:?}");
    is_clear(ended.code(), &ended.stderr);
    if lasts(plan) {
        stage.names_or_hears_nothing(traced);
    } else {
        stage.names(&[Some(traced.pid())]);
    }
}

/// Whether calls fail for good.
pub(crate) fn lasts(plan: Option<Plan>) -> bool {
    plan.is_some_and(|plan| matches!(plan.deed, Deed::FailOnwards(_)))
}

/// Waits for the end of one that was asked to stop. What fails for good may keep it from stopping, and then it is said, and
/// it stops when that is over.
pub(crate) fn end(stage: &Stage, traced: &Traced, plan: Option<Plan>) -> ExitStatus {
    let mut status = traced.ended_within(if lasts(plan) { LONGER_THAN_THE_GRACE } else { patience() });
    if let (None, Some(plan)) = (status, plan.filter(|_| lasts(plan))) {
        println!("cannot stop before it is over: {:?} {}", plan.deed, calls::name(plan.kind));
        traced.disarm();
        traced.terminate();
        status = traced.ended_within(patience());
    }
    status.unwrap_or_else(|| panic!("it hangs: {:?}", stage.status()))
}

/// Waits until it holds and so many witnesses have begun; or how it ended.
pub(crate) fn settles(
    stage: &Stage,
    pid: u32,
    witnesses: usize,
    mut ended: impl FnMut() -> Option<ExitStatus>,
) -> Option<ExitStatus> {
    let settled = until(patience(), || {
        if let Some(status) = ended() {
            return Some(Some(status));
        }
        (stage.holds(pid) && is_ready_to_stop(pid) && stage.runs() >= witnesses).then_some(None)
    });
    settled.unwrap_or_else(|| panic!("it hangs, neither holding nor ended: {:?}", stage.status()))
}

/// Whether it has a handler for SIGTERM, which it installs when it holds.
fn is_ready_to_stop(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).is_some_and(|bits| bits >> 14 & 1 == 1)
}

/// How the traced process may end.
fn ended_well(status: ExitStatus, stderr: &str, asked: bool, plan: Option<Plan>, done: usize) {
    let said = || format!("it ended with {status}, and said: {stderr}");
    if plan.is_some_and(|plan| calls::is_memory(plan.kind)) && status.signal() == Some(6) {
        // Rust's own ways to say that there is no memory.
        let words =
            ["memory allocation of", "failed to allocate an alternative", "failed to set up alternative"];
        return assert!(words.iter().any(|words| stderr.contains(words)), "{}", said());
    }
    assert!(!stderr.contains("panicked"), "{}", said());
    let Some(plan) = plan.filter(|_| done > 0) else {
        return assert_eq!(status.code(), Some(0), "nothing happened to it, yet {}", said());
    };
    match plan.deed {
        // It may have been ending already, on another thread.
        Deed::KillBefore | Deed::KillAfter if !plan.kind.forked => {
            assert!(status.signal() == Some(9) || asked && status.code() == Some(0), "{}", said());
        }
        Deed::KillBefore | Deed::KillAfter => {
            assert!([Some(0), Some(137)].contains(&status.code()), "{}", said());
        }
        _ => {
            let code = status.code().unwrap_or_else(|| panic!("{}", said()));
            assert!(code != 0 || asked, "nobody asked it to stop: {}", said());
            if !calls::is_for_words(plan.kind) {
                is_clear(code, stderr);
            }
        }
    }
}

/// A documented code, and a sentence.
pub(crate) fn is_clear(code: i32, stderr: &str) {
    let said = || format!("it ended with {code}, and said: {stderr}");
    assert!(!stderr.contains("panicked"), "{}", said());
    if code == 0 {
        return;
    }
    assert!([70, 73, 75, 76, 77, 79, 126, 127, 137].contains(&code), "{}", said());
    let sentence = stderr.lines().find_map(|line| line.strip_prefix("gateway: "));
    // The codes say it themselves; the last words of one that its answering thread ends are said if there is time.
    let needs_no_words = [70, 79, 137].contains(&code);
    assert!(needs_no_words || sentence.is_some_and(|words| words.len() > 20), "{}", said());
}

impl Stage {
    /// Starts a holder with a witness, and waits until both are there.
    fn hold(&self) -> Running {
        let held = Running::start(&mut self.run(&[], WITNESS));
        held.says("holding ");
        self.has_run(1);
        held
    }

    /// `status` names it; or says that it does not answer.
    pub(crate) fn names_or_hears_nothing(&self, traced: &Traced) {
        let (code, said) = self.status();
        if traced.ended_within(Duration::ZERO).is_some() {
            return self.names(&[]);
        }
        let is_it = said["holder"]["pid"].as_u64() == Some(u64::from(traced.pid()));
        assert!(code == 0 && is_it || code == 4, "`status` ended with {code}: {said}");
    }

    /// `status` names one of these, or says that there is nobody.
    pub(crate) fn names(&self, living: &[Option<u32>]) {
        let (code, said) = self.status();
        let pid = said["holder"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        let is_true = match code {
            0 => pid.is_some() && living.contains(&pid),
            1 | 3 => pid.is_none() && os::is_free(&self.dir()),
            _ => false,
        };
        assert!(is_true, "`status` ended with {code}, of {living:?}: {said}");
    }
}
