//! `run --replace`, when it is handed something or gets ready first: the takeover in two halves.
//!
//! 1. Begin, on each of the instances, in the order of their names: the claim lock is in hand, and what is handed over has
//!    arrived. What is not to be had ends all of it, and nobody was stopped.
//! 2. The sockets: received, or bound.
//! 3. Exclusive: complete at once. With `--replace=overlap` PROGRAM is started beside the one that runs, and must be ready
//!    within `--ready-timeout` ([`Beside`], driven by `child.rs`); then complete, or withdraw and say why.
//!
//! Proven by `tests/handover.rs`, `tests/handover_ready.rs`.

use std::{future::Future, pin::Pin, time::Duration};

use incumbent::{
    Begun, ChildLock, Claim, Error, Holder, Instance, Listening, Takeover, platform_for_gateway as platform,
};
use tokio::time::{Instant, sleep_until};

use crate::{
    args::{Replace, Run, Which},
    exit,
    holders::{Holders, InTheWay, in_the_way},
    output::complain,
    probe::{Address, Probe},
    sockets::Sockets,
    takeover,
};

/// What a claim has come to.
pub(crate) enum Claimed {
    /// It holds; the sockets, if it has them already.
    Held(Holders, Option<Sockets>),
    /// PROGRAM is to get ready beside the one that runs.
    Beside(Box<Beside>, Sockets),
}

/// Why it has come to nothing.
pub(crate) enum Failed {
    InTheWay(Box<InTheWay>),
    /// It was said; this is the exit code.
    Said(u8),
}

impl From<Box<InTheWay>> for Failed {
    fn from(why: Box<InTheWay>) -> Self {
        Self::InTheWay(why)
    }
}

/// Whether the takeover is one in two halves.
pub(crate) fn is_wanted(args: &Run) -> bool {
    args.overlaps() || (args.replace.is_some() && !args.listen.is_empty())
}

/// Takes over, with what is handed over.
pub(crate) fn claim(
    given: &Which,
    instances: &[(Which, Instance)],
    args: &Run,
    timeout: Option<Duration>,
) -> Result<Claimed, Failed> {
    let mut takeovers: Vec<(Which, Takeover)> = Vec::new();
    let mut received: Vec<Listening> = Vec::new();
    for (which, instance) in instances {
        let instance =
            timeout.map_or_else(|| instance.clone(), |timeout| instance.clone().claim_timeout(timeout));
        let begun = takeover::begin(&instance, args);
        match begun {
            Ok(Begun::Takeover(mut takeover)) => {
                received.extend(takeover.received().listeners);
                takeovers.push((which.clone(), takeover));
            }
            Ok(Begun::Lost(incumbent)) => {
                withdraw(takeovers, "another instance that it wants as well is not to be had");
                return Err(in_the_way(which, Ok(incumbent)).into());
            }
            Err(error) => {
                withdraw(takeovers, "another instance that it wants as well is not to be had");
                return Err(in_the_way(which, Err(error)).into());
            }
        }
    }
    let has_holder = takeovers.iter().any(|(_, takeover)| takeover.has_holder());
    // Where nobody holds, what the last one left behind may listen still: it is ended before that is looked at.
    let sockets = if has_holder {
        warn_of_an_answer_by_the_other(args, &received);
        match Sockets::of(&args.listen, received) {
            Ok(sockets) => {
                sockets.open_again(); // with room in their queues for all who come meanwhile
                Some(sockets)
            }
            Err(why) => {
                withdraw(takeovers, why.sentence());
                return Err(Failed::Said(why.say()));
            }
        }
    } else {
        None
    };
    match (args.replace, sockets) {
        (Some(Replace::Overlap), Some(sockets)) => {
            Ok(Claimed::Beside(Box::new(Beside::new(given, takeovers, args)), sockets))
        }
        (_, sockets) => {
            let mut holders = Vec::new();
            for (which, takeover) in takeovers {
                let claimed = takeover::complete(takeover, given);
                add(&mut holders, given, &which, claimed)?;
            }
            if let Some(sockets) = &sockets {
                sockets.open_again();
            }
            Ok(Claimed::Held(Holders::of(holders), sockets))
        }
    }
}

/// Both accept at what is handed over, so that a probe there may say of the new PROGRAM what is true of the old one.
fn warn_of_an_answer_by_the_other(args: &Run, received: &[Listening]) {
    let Some(probe) = &args.ready_probe else { return };
    let addresses = received.iter().filter_map(|it| platform::listening_address(&it.socket));
    for at in addresses.filter(|at| probe.leads_to(*at)) {
        complain(&format!(
            "warning: the one that runs accepts at {at}, too, and may answer --ready-probe: ask at an address that only PROGRAM has"
        ));
    }
}

/// Puts a holder among the others: the given instance's is the first.
fn add(
    holders: &mut Vec<Holder>,
    given: &Which,
    which: &Which,
    claimed: Result<Claim, Error>,
) -> Result<(), Box<InTheWay>> {
    match claimed {
        Ok(Claim::Won(holder)) if which.name == given.name => holders.insert(0, holder),
        Ok(Claim::Won(holder)) => holders.push(holder),
        Ok(Claim::Lost(incumbent)) => return Err(in_the_way(which, Ok(incumbent))),
        Err(error) => return Err(in_the_way(which, Err(error))),
    }
    Ok(())
}

fn withdraw(takeovers: Vec<(Which, Takeover)>, why: &str) {
    for (_, takeover) in takeovers {
        takeover.withdraw_blocking(why);
    }
}

type Completing = Pin<Box<dyn Future<Output = Result<Vec<Holder>, Box<InTheWay>>>>>;

/// A takeover while PROGRAM gets ready beside the one that runs.
pub(crate) struct Beside {
    given: Which,
    takeovers: Vec<(Which, Takeover)>,
    timeout: Duration,
    by: Option<Instant>,
    ready_after: Option<Duration>,
    ready_at: Option<Instant>,
    probes: Option<Address>,
    probe: Option<Probe>,
    completing: Option<Completing>,
    /// Nobody served any more when that was last asked.
    left_alone: bool,
}

/// What has come of it.
pub(crate) enum Step {
    /// PROGRAM is ready, by the clock or by an answer.
    Ready,
    /// It had long enough.
    Overdue,
    /// The place is taken, or not to be had.
    Taken(Result<Vec<Holder>, Box<InTheWay>>),
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ready => "Ready",
            Self::Overdue => "Overdue",
            Self::Taken(Ok(_)) => "Taken",
            Self::Taken(Err(_)) => "NotTaken",
        })
    }
}

impl Beside {
    fn new(given: &Which, takeovers: Vec<(Which, Takeover)>, args: &Run) -> Self {
        Self {
            given: given.clone(),
            takeovers,
            timeout: args.ready_timeout(),
            by: None,
            ready_after: args.ready_after,
            ready_at: None,
            probes: args.ready_probe.clone(),
            probe: None,
            completing: None,
            left_alone: false,
        }
    }

    /// Where nobody is there to be replaced, PROGRAM is ready in the same way.
    pub(crate) fn alone(args: &Run) -> Option<Box<Self>> {
        let nobody = Which { name: String::new(), dir: None };
        args.is_ready_by_itself().then(|| Box::new(Self::new(&nobody, Vec::new(), args)))
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.given.name.is_empty()
    }

    /// The right to start PROGRAM beside the other one's.
    pub(crate) fn child_locks(&self) -> Result<Vec<ChildLock>, Error> {
        self.takeovers.iter().map(|(_, takeover)| takeover.child_lock_blocking()).collect()
    }

    /// PROGRAM was started.
    pub(crate) fn started(&mut self) {
        let now = Instant::now();
        self.by = now.checked_add(self.timeout).filter(|_| !self.is_alone());
        self.ready_at = self.ready_after.and_then(|after| now.checked_add(after));
        self.probe = self
            .probes
            .take()
            .map(|address| Probe::start(address, if self.is_alone() { None } else { Some(self.timeout) }));
        if self.is_alone() {
            return;
        }
        let mut pids: Vec<u32> = self.takeovers.iter().filter_map(|(_, takeover)| takeover.pid()).collect();
        pids.sort_unstable();
        pids.dedup();
        let who: Vec<String> = pids.iter().map(|pid| format!("pid {pid}")).collect();
        let who = if who.is_empty() { "the one that runs".to_owned() } else { who.join(", ") };
        complain(&format!("getting ready beside {who}"));
    }

    /// Whether nobody serves any more whose place it would take: nobody goes on if it does not get ready.
    pub(crate) fn is_left_alone(&mut self) -> bool {
        if !self.takeovers.is_empty() {
            self.left_alone = self.takeovers.iter_mut().all(|(_, takeover)| takeover.holder_has_gone());
        }
        self.left_alone
    }

    /// It may take as long as it likes.
    pub(crate) fn take_your_time(&mut self) {
        self.by = None;
    }

    /// How long it has to be ready.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Waits for what comes of it. Cancel safe.
    pub(crate) async fn next(&mut self) -> Step {
        if let Some(completing) = &mut self.completing {
            let taken = completing.await;
            self.completing = None;
            return Step::Taken(taken);
        }
        let never = Instant::now();
        let probed = async {
            match &mut self.probe {
                Some(probe) => probe.answered().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = probed => Step::Ready,
            () = sleep_until(self.ready_at.unwrap_or(never)), if self.ready_at.is_some() => Step::Ready,
            () = sleep_until(self.by.unwrap_or(never)), if self.by.is_some() => Step::Overdue,
        }
    }

    /// PROGRAM is ready: takes the place, on threads of its own.
    pub(crate) fn complete(&mut self) {
        if self.is_completing() {
            return;
        }
        (self.by, self.ready_at, self.probe) = (None, None, None);
        let (takeovers, given) = (std::mem::take(&mut self.takeovers), self.given.clone());
        self.completing = Some(Box::pin(async move {
            let mut holders = Vec::new();
            for (which, takeover) in takeovers {
                add(&mut holders, &given, &which, takeover.complete().await)?;
            }
            Ok(holders)
        }));
    }

    pub(crate) fn is_completing(&self) -> bool {
        self.completing.is_some()
    }

    /// Tells the one that runs why it is not replaced.
    pub(crate) fn withdraw(&mut self, why: &str) {
        (self.by, self.ready_at, self.probe) = (None, None, None);
        self.is_left_alone();
        withdraw(std::mem::take(&mut self.takeovers), why);
    }
}

/// The code of one that did not take over.
pub(crate) const NOT_TAKEN: u8 = exit::BUSY;
