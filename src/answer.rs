//! The answering thread: one a process, with a current-thread tokio runtime of its own, for all its instances.
//!
//! Because it is not the program's loop, a program whose loop is blocked still answers pings, and the library works from
//! any executor or none. It serves (`serve.rs`), ticks once a second (`tick.rs`), and takes commands from the program's
//! threads through an inbox. Once started it stays, asleep when nothing is held.
//!
//! The inbox has a waker of its own, because a program may close every descriptor above 2 and get the numbers back for
//! its own files. The runtime panics then, at the latest at the next tick; what it had is left alone, not closed, and a
//! new one is built, whose first tick puts locks and sockets back. Proven by `tests/own_process.rs`.

use std::{
    io,
    panic::AssertUnwindSafe,
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use crate::{
    held::Held,
    instance_id::InstanceId,
    platform::{self, PerProcess, Waker, Wakes},
    serve::Served,
    tick,
};

/// How often a holder looks after its lock and its files.
pub(crate) const TICK: Duration = Duration::from_secs(1);

/// What another thread wants of the answering thread.
#[derive(Debug)]
pub(crate) enum Command {
    /// Answer for this instance from now on; told when it does.
    Adopt(Arc<Held>, SyncSender<io::Result<()>>),
    /// Its sockets are others now.
    Listen(Arc<Held>),
    /// What is shown of it has changed.
    Changed(InstanceId),
    /// Close its connections, and forget it.
    Forget(InstanceId),
    /// The program has answered a message, or dropped it.
    Answered(Ticket, Option<(i32, Vec<u8>)>),
}

/// Which message an answer is for.
pub(crate) type Ticket = u64;

static ANSWERING: PerProcess<Answering> = PerProcess::new();

#[derive(Debug, Default)]
struct Answering {
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    runs: bool,
    inbox: Vec<Command>,
    waker: Option<Waker>,
    /// Everything adopted, for the runtime that may have to be built anew.
    held: Vec<Arc<Held>>,
}

impl Answering {
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answering() -> &'static Answering {
    ANSWERING.get(Answering::default)
}

/// Leaves a command for the answering thread and wakes it. Never blocks.
pub(crate) fn post(command: Command) {
    let mut shared = answering().shared();
    shared.inbox.push(command);
    if let Some(waker) = &shared.waker {
        waker.wake();
    }
}

/// Says that what is shown of an instance has changed.
pub(crate) fn post_changed(held: &Held) {
    post(Command::Changed(held.id));
}

/// Hands an instance to the answering thread, and returns when it is served.
pub(crate) fn adopt(held: &Arc<Held>) -> io::Result<()> {
    let mut shared = answering().shared();
    if !shared.runs {
        std::thread::Builder::new()
            .name("incumbent".into())
            .stack_size(256 * 1024)
            .spawn(|| live(answering()))?;
        shared.runs = true;
    }
    drop(shared);
    let (tell, told) = sync_channel(1);
    post(Command::Adopt(held.clone(), tell));
    told.recv().unwrap_or_else(|_| Err(io::Error::other("the answering thread has ended")))
}

/// The thread's life: one runtime after the other, usually one.
fn live(answering: &'static Answering) {
    platform::block_signals_here();
    loop {
        let mut runtime = None;
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| -> io::Result<()> {
            let built = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
            let tasks = tokio::task::LocalSet::new();
            let (built, tasks) = runtime.insert((built, tasks));
            tasks.block_on(built, answer(answering))
        }));
        // Its descriptors may be the program's by now: they are left as they are.
        std::mem::forget(runtime);
        answering.shared().waker = None;
        if let Ok(Err(error)) = outcome {
            tracing::warn!("the answering thread starts anew: {error}");
            // Out of descriptors or memory: nothing to wait for but time.
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

async fn answer(answering: &'static Answering) -> io::Result<()> {
    let (waker, wakes) = Waker::pair()?;
    let served = Rc::new(Served::default());
    {
        let mut shared = answering.shared();
        shared.waker = Some(waker);
        for held in &shared.held {
            served.adopt(held)?;
        }
    }
    let mut next_tick = Instant::now() + TICK;
    loop {
        for command in std::mem::take(&mut answering.shared().inbox) {
            obey(answering, &served, command)?;
        }
        let idle = answering.shared().held.is_empty();
        woken_before(&wakes, if idle { None } else { Some(next_tick) }).await?;
        if !idle && Instant::now() >= next_tick {
            let held = answering.shared().held.clone();
            for held in held {
                held.lag.probe();
                tick::tick(&held);
            }
            // Ticks that were missed (a suspended machine) are not made up for.
            next_tick = Instant::now() + TICK;
        }
    }
}

async fn woken_before(wakes: &Wakes, deadline: Option<Instant>) -> io::Result<()> {
    match deadline {
        Some(deadline) => tokio::time::timeout_at(deadline.into(), wakes.woken()).await.unwrap_or(Ok(())),
        None => wakes.woken().await,
    }
}

fn obey(answering: &Answering, served: &Rc<Served>, command: Command) -> io::Result<()> {
    match command {
        Command::Adopt(held, tell) => {
            let adopted = served.adopt(&held);
            if adopted.is_ok() {
                answering.shared().held.push(held);
            }
            let _ = tell.send(adopted);
        }
        Command::Listen(held) => served.adopt(&held)?,
        Command::Changed(id) => served.changed(id),
        Command::Forget(id) => {
            answering.shared().held.retain(|known| known.id != id);
            served.forget(id);
        }
        Command::Answered(ticket, answer) => served.answered(ticket, answer),
    }
    Ok(())
}
