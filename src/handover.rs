//! A takeover in two halves, so that something can be done between them: receive what the holder hands over, bind, start,
//! get ready; and then take the place.
//!
//! 1. **Begin**: as every takeover up to the asking, with the claim lock in hand, which is kept. The holder is asked what it
//!    hands over, on the connection on which it will be asked to make room, and serves on.
//! 2. Whatever the program does. With [`TakeoverOptions::overlap`] it gets ready beside the holder.
//! 3. **Complete**: ask to make room, wait for the end, claim. One that overlaps is ready, so that the holder lets go of the
//!    instance first and drains then. Or **withdraw** (dropping it is the same, without words): the holder goes on.
//!
//! Nothing of the order of a claim changes: `decide.rs` decides, and between two of its steps time may pass. A holder that
//! ends meanwhile is no obstacle: completing it is an ordinary claim then. Proven by `tests/handover.rs` and
//! `tests/handover_failures.rs`.

use std::time::{Duration, Instant};

use incumbent_proto::{Refused, Reply, Request, StopReason, Why, Withdraw};

use crate::{
    blocking::deadline_in,
    child_lock::{self, ChildLock},
    claim::Claim,
    connection::Received as Heard,
    contender::{Advanced, Contender},
    decide::{Asked, Goal, Hailed, Seen},
    error::{Error, Refusal},
    incumbent::{Incumbent, PATIENCE, unexpected},
    instance::Instance,
    offer::{self, Received},
    platform::Socket,
    stopping,
    takeover::{Shown, TakeoverOptions, TakeoverStep},
};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(5);

/// What came of beginning a takeover.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // there is one at a time
pub enum Begun {
    /// The claim lock is in hand, and the holder, if there is one, has been asked what it hands over.
    Takeover(Takeover),
    /// Another became the holder meanwhile, and answers.
    Lost(Incumbent),
}

/// A takeover that has begun: the claim lock is in hand, and the holder serves on. Dropping it gives it up.
#[derive(Debug)]
#[must_use = "dropping it gives the takeover up"]
pub struct Takeover {
    contender: Contender,
    seen: Seen,
    received: Received,
}

impl Instance {
    /// Begins to take the instance over: everything up to the moment at which the holder is asked to make room.
    ///
    /// Blocks for as long as another contender is in the way ([`TakeoverOptions::wait`]). `show` is told what happens.
    ///
    /// # Errors
    /// As [`Instance::takeover_blocking`]; with [`TakeoverOptions::overlap`] also [`Error::Refused`] when the holder hands
    /// nothing over, or does not know how.
    pub fn begin_takeover_blocking(
        &self,
        options: &TakeoverOptions,
        mut show: impl FnMut(&TakeoverStep),
    ) -> Result<Begun, Error> {
        let mut contender = Contender::new(self, Goal::Takeover { force: options.force }, options.force)?;
        contender.deadline = deadline_in(options.wait.unwrap_or(self.timeout()));
        contender.taking.begin(options);
        contender.place.refuse_foreign()?;
        match contender.advance(Seen::Nothing, true, &mut Shown(Some(&mut show)))? {
            Advanced::Done(Claim::Lost(incumbent)) => Ok(Begun::Lost(incumbent)),
            // It stops before it could win.
            Advanced::Done(Claim::Won(_)) => Err(Error::Disconnected { asked: "hand over" }),
            Advanced::Begun(mut contender, seen) => {
                let received = std::mem::take(&mut contender.taking.received);
                Ok(Begun::Takeover(Takeover { contender, seen, received }))
            }
        }
    }

    /// As [`Instance::begin_takeover_blocking`], on any executor, without the steps.
    ///
    /// # Errors
    /// As [`Instance::begin_takeover_blocking`].
    pub async fn begin_takeover(&self, options: TakeoverOptions) -> Result<Begun, Error> {
        let instance = self.clone();
        crate::blocking::run(move || instance.begin_takeover_blocking(&options, |_| {})).await
    }
}

impl Takeover {
    /// Whether a holder was met, which answers and is going to be asked to make room.
    #[must_use]
    pub fn has_holder(&self) -> bool {
        self.seen == Seen::HailedToAsk(Hailed::Pong)
    }

    /// The process of that holder, as the kernel says; none: nobody, or in another pid namespace.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.contender.last_hail.as_ref().filter(|_| self.has_holder()).and_then(|hail| hail.pid)
    }

    /// Whether that holder has ended since, or has let go: nobody goes on if this takeover does not.
    #[must_use]
    pub fn holder_has_gone(&mut self) -> bool {
        let answer = self.contender.last_hail.as_mut().and_then(|hail| hail.answer.as_mut());
        answer.is_none_or(|answered| {
            let heard = answered.connection.receive(Some(Instant::now()), None);
            matches!(heard, Ok(Heard::End | Heard::ProcessEnded) | Err(_))
        })
    }

    /// Takes what the holder has handed over: empty a second time, and when it handed nothing over.
    #[must_use]
    pub fn received(&mut self) -> Received {
        std::mem::take(&mut self.received)
    }

    /// The right to start a child beside that of the holder, which keeps its own: for one that overlaps.
    ///
    /// Blocks for some microseconds, and for at most two seconds when the holder is about to start its own.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::InTheWay`], [`Error::HardLinked`]: `NAME.child` cannot be made or locked.
    pub fn child_lock_blocking(&self) -> Result<ChildLock, Error> {
        child_lock::share(&self.contender.place, Instant::now() + PATIENCE)
    }

    /// Tells the holder why it is not replaced after all, and lets go of the claim lock. Blocks for at most two seconds.
    pub fn withdraw_blocking(mut self, why: &str) {
        let answer = self.contender.last_hail.as_mut().and_then(|hail| hail.answer.as_mut());
        if let Some(answered) = answer {
            let withdraw = Request::Withdraw(Withdraw { why: why.to_owned() });
            let _ = answered.connection.ask(&withdraw, "take back", PATIENCE);
        }
    }

    /// Asks the holder to make room, waits until it has, and holds the instance.
    ///
    /// Blocks as [`Instance::takeover_blocking`]; one that overlaps for some milliseconds, if the holder lets go at once.
    /// When this fails before the holder was asked, it goes on.
    ///
    /// # Errors
    /// As [`Instance::takeover_blocking`].
    pub fn complete_blocking(self, mut show: impl FnMut(&TakeoverStep)) -> Result<Claim, Error> {
        let Self { mut contender, mut seen, .. } = self;
        contender.deadline = deadline_in(contender.taking.patience().unwrap_or(contender.instance.timeout()));
        let mut shown = Shown(Some(&mut show));
        loop {
            match contender.advance(seen, false, &mut shown)? {
                Advanced::Done(claim) => return Ok(claim),
                Advanced::Begun(next, at) => (contender, seen) = (next, at),
            }
        }
    }

    /// As [`Takeover::complete_blocking`], on any executor, without the steps. Dropping the future does not stop it.
    ///
    /// # Errors
    /// As [`Takeover::complete_blocking`].
    pub async fn complete(self) -> Result<Claim, Error> {
        crate::blocking::run(move || self.complete_blocking(|_| {})).await
    }
}

impl Contender {
    /// Asks the holder that the last hail met what it hands over. `Err`: what came of it instead.
    pub(crate) fn ask_to_hand_over(&mut self, shown: &mut Shown<'_>) -> Result<(), Asked> {
        let id = self.judge_target(shown)?;
        let Some(hail) = self.last_hail.as_mut() else { return Err(Asked::Nothing) };
        let Some(answered) = hail.answer.as_mut() else { return Err(Asked::Nothing) };
        let Some((overlap, force)) = self.taking.handover() else { return Ok(()) };
        let reason = if force { StopReason::ReplaceAnyway } else { StopReason::Replace };
        let request = Request::Handover(incumbent_proto::Handover {
            reason,
            overlap,
            pid: std::process::id(),
            command: stopping::own_command(),
        });
        let mut sockets: Vec<Socket> = Vec::new();
        let until = Instant::now() + PATIENCE;
        let answer = loop {
            let answer = answered.connection.ask_with(&request, "hand over", PATIENCE, &mut sockets);
            // The claim lock is ours: that other one has just gone, and the holder has yet to see it; or it has yet to listen.
            match answer {
                Ok(Reply::Refused(Refused { why: Why::TooBusy, .. })) if Instant::now() < until => {
                    std::thread::sleep(PAUSE);
                }
                answer => break answer,
            }
        };
        let refused = match answer {
            Ok(Reply::Offered(offered)) => {
                // Asked again, on another connection, it hands over what is in hand already.
                if !std::mem::replace(&mut self.taking.has_received, true) {
                    self.taking.received = offer::received(offered, sockets);
                }
                self.taking.handed_by = Some(id);
                return Ok(());
            }
            Err(Error::Disconnected { .. } | Error::NoAnswer { .. }) => return Err(Asked::Nothing),
            Ok(Reply::Refused(Refused { why: Why::Malformed, .. })) | Err(Error::Protocol { .. }) => {
                Error::Refused {
                    why: Refusal::Other,
                    note: "it is of a version that cannot hand over".into(),
                }
            }
            Ok(other) => unexpected("hand over", other),
            Err(error) => error,
        };
        // What it says to being replaced it will say again; that it hands nothing over is no obstacle to one that waits.
        if !overlap {
            return Ok(());
        }
        self.taking.why_not = Some(refused);
        Err(Asked::Refused)
    }
}
