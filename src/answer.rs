//! The answering thread: one a process, for all its instances.
//!
//! Because it is not the program's loop, a program whose loop is blocked still answers pings, and the library works from
//! any executor or none. It serves (`serve.rs`), ticks once a second (`tick.rs`), and takes commands from the program's
//! threads through an inbox. Once started it stays, asleep when nothing is held.
//!
//! Everything that it waits for is looked at anew each time, so that a program that closes all its descriptors
//! underneath costs it no more than what was closed: the next tick puts locks and sockets back. Proven by
//! `tests/own_process.rs`.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use crate::{
    held::Held,
    instance_id::InstanceId,
    overtime::Overtime,
    platform::{self, PerProcess, Waker, Wakes},
    serve::{Attended, Served},
    tick,
};

/// How often a holder looks after its lock and its files.
const TICK: Duration = Duration::from_secs(1);

/// For so long instances are looked after, before who asks gets a turn.
const LOOKS: Duration = Duration::from_millis(1);

/// How long a release waits for the last words to its clients.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// What another thread wants of the answering thread.
#[derive(Debug)]
pub(crate) enum Command {
    /// Answer for this instance from now on; told when it does.
    Adopt(Arc<Held>, SyncSender<()>),
    /// Its sockets are others now.
    Listen(Arc<Held>),
    /// Let nobody in any more, and let go of its listeners; told when that is done.
    Unlisten(InstanceId, SyncSender<()>),
    /// What is shown of it has changed.
    Changed(InstanceId),
    /// Say what is still to be said, close its connections, and forget it; told when that is done.
    Forget(InstanceId, Option<SyncSender<()>>),
    /// The program has answered a message, or dropped it.
    Answered(Ticket, Option<(i32, Vec<u8>)>),
}

/// Which message an answer is for.
pub(crate) type Ticket = u64;

static ANSWERING: PerProcess<Mutex<Shared>> = PerProcess::new();

#[derive(Debug, Default)]
struct Shared {
    runs: bool,
    inbox: Vec<Command>,
    waker: Option<Waker>,
    /// What is answered for; here, so that it outlives a panic of the thread's.
    held: Vec<Arc<Held>>,
}

fn shared() -> MutexGuard<'static, Shared> {
    locked(ANSWERING.get(Mutex::default))
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells whether this process answers for anything, or ever did.
pub(crate) fn runs() -> bool {
    shared().runs
}

/// Leaves a command for the answering thread and wakes it. Never blocks.
///
/// What is there already has woken it, and it takes all at once: a thousand answers wake it as often as it looks.
pub(crate) fn post(command: Command) {
    let mut shared = shared();
    let is_first = shared.inbox.is_empty();
    shared.inbox.push(command);
    if let Some(waker) = shared.waker.as_ref().filter(|_| is_first) {
        waker.wake();
    }
}

/// Takes what was left for the answering thread, in its place.
#[cfg(fuzzing)]
pub(crate) fn take_posted() -> Vec<Command> {
    std::mem::take(&mut shared().inbox)
}

/// Says that what is shown of an instance has changed.
pub(crate) fn post_changed(held: &Held) {
    post(Command::Changed(held.id));
}

/// Has nobody let in any more, and waits for that, but not for long: then the listeners are the caller's alone to close.
pub(crate) fn unlisten(held: &Held) {
    post_and_wait(|tell| Command::Unlisten(held.id, tell));
}

/// Has an instance's connections closed, and waits until they are, but not for long: a release must not hang.
pub(crate) fn forget(held: &Held) {
    post_and_wait(|tell| Command::Forget(held.id, Some(tell)));
}

fn post_and_wait(command: impl FnOnce(SyncSender<()>) -> Command) {
    let (tell, told) = sync_channel(1);
    post(command(tell));
    let _ = told.recv_timeout(LAST_WORDS);
}

/// Hands an instance to the answering thread, and returns when it is served.
pub(crate) fn adopt(held: &Arc<Held>) -> io::Result<()> {
    let (tell, told) = sync_channel(1);
    post(Command::Adopt(held.clone(), tell));
    let mut shared = shared();
    if !shared.runs {
        std::thread::Builder::new().name("incumbent".into()).stack_size(256 * 1024).spawn(live)?;
        shared.runs = true;
    }
    drop(shared);
    told.recv().map_err(io::Error::other)
}

/// The thread's life. A panic would be a fault of ours, and no reason to leave the instances unanswered.
fn live() {
    platform::block_signals_here();
    let shared = ANSWERING.get(Mutex::default);
    loop {
        let turns = std::panic::catch_unwind(|| {
            let mut thread = Thread {
                shared,
                served: Served::default(),
                wakes: None,
                next_tick: Instant::now() + TICK,
                due: VecDeque::new(),
                overtime: Overtime::default(),
            };
            for held in &locked(shared).held.clone() {
                thread.served.adopt(held);
                thread.overtime.note(held);
            }
            loop {
                thread.turn();
            }
        });
        if turns.is_err() {
            tracing::error!("the answering thread has panicked, and starts anew");
            std::thread::sleep(Duration::from_millis(20)); // not to do nothing else if it does it again
        }
    }
}

struct Thread {
    /// This process's: the thread is in no other one, so that which one it is need not be asked on every turn.
    shared: &'static Mutex<Shared>,
    served: Served,
    wakes: Option<Wakes>,
    next_tick: Instant,
    /// What is still to be looked after in this tick: of a thousand instances some at a time.
    due: VecDeque<Arc<Held>>,
    overtime: Overtime,
}

impl Thread {
    fn turn(&mut self) {
        if self.wakes.is_none() {
            let (waker, wakes) = Waker::pair().ok().unzip();
            (locked(self.shared).waker, self.wakes) = (waker, wakes);
        }
        let commands = std::mem::take(&mut locked(self.shared).inbox);
        for command in commands {
            self.obey(command);
        }
        let idle = locked(self.shared).held.is_empty();
        let now = Instant::now();
        if !idle && self.due.is_empty() && now >= self.next_tick {
            self.due.extend(locked(self.shared).held.iter().cloned());
            // Ticks that were missed (a suspended machine) are not made up for.
            self.next_tick = now + TICK;
        }
        self.look_after_some(now);
        let overtime = self.overtime.enforce();
        let mut next = (!idle).then_some(self.next_tick).into_iter().chain(overtime).min();
        if !self.due.is_empty() {
            next = Some(now); // who asks, and then the rest
        }
        if self.wakes.is_none() {
            next = Some(now + Duration::from_millis(20)); // no descriptor was left for a waker
        }
        match self.served.attend(self.wakes.as_ref(), next) {
            Ok(Attended::Waking) => {}
            // The program has closed one end or both: another pair.
            Ok(Attended::Unwakeable) => self.wakes = None,
            Err(_) => std::thread::sleep(Duration::from_millis(20)), // out of memory: only time helps
        }
    }

    fn look_after_some(&mut self, now: Instant) {
        while let Some(held) = self.due.pop_front() {
            held.lag.probe();
            tick::tick(&held);
            self.overtime.note(&held);
            if now.elapsed() >= LOOKS {
                return;
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Adopt(held, tell) => {
                let mut shared = locked(self.shared);
                if shared.held.is_empty() {
                    self.next_tick = Instant::now() + TICK;
                }
                shared.held.push(held.clone());
                drop(shared);
                self.served.adopt(&held);
                let _ = tell.send(());
            }
            Command::Listen(held) => {
                if locked(self.shared).held.iter().any(|known| known.id == held.id) {
                    self.served.adopt(&held);
                }
            }
            Command::Unlisten(id, tell) => {
                self.served.unlisten(id);
                let _ = tell.send(());
            }
            Command::Changed(id) => {
                if let Some(held) = self.served.changed(id) {
                    self.overtime.note(held);
                }
            }
            Command::Forget(id, tell) => {
                locked(self.shared).held.retain(|known| known.id != id);
                self.overtime.forget(id);
                self.served.forget(id);
                if let Some(tell) = tell {
                    let _ = tell.send(());
                }
            }
            Command::Answered(ticket, answer) => self.served.answered(ticket, answer.as_ref()),
        }
    }
}
