//! One start of `gateway run`: how it was started, whether it holds, how it ended, and a signal that never reaches another.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::process::ExitStatusExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use nix::sys::signal::{Signal, kill};
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, waitid, waitpid};

use super::{
    arena::{Arena, next_serial},
    checker::Span,
    witness::{self, Manner, now},
};

const GATEWAY: &str = env!("CARGO_BIN_EXE_gateway");

/// How it is started.
#[derive(Debug, Clone, Default)]
pub struct Order {
    pub options: Vec<String>,
    pub manner: Manner,
    /// Another program, with its arguments, that becomes `gateway`.
    pub under: Vec<String>,
    /// By how many seconds the clock of the namespace that `under` makes is ahead.
    pub ahead: u64,
}

impl Order {
    pub fn new(options: &[&str]) -> Self {
        Self { options: options.iter().map(|&option| option.to_owned()).collect(), ..Self::default() }
    }

    pub fn has(&self, option: &str) -> bool {
        self.options.iter().any(|given| given.starts_with(option))
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Held {
    pub at: u64,
    pub generation: u64,
    pub pid: u32,
}

/// What was done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Killed,
    Asked,
    WitnessKilled,
}

#[derive(Debug, Default)]
pub struct State {
    /// The process that is to be signalled; none: it has ended.
    pid: Option<u32>,
    pub held: Option<Held>,
    pub ended: Option<(u64, Option<ExitStatus>)>,
    pub deeds: Vec<(u64, Deed)>,
    pub hindered: Vec<Span>,
    pub stderr: String,
}

#[derive(Debug)]
pub struct Start {
    pub serial: u32,
    pub order: Order,
    pub spawned: u64,
    state: Mutex<State>,
    changed: Condvar,
}

impl Start {
    /// Starts it, and two threads that watch it.
    pub fn spawn(arena: &Arc<Arena>, order: Order) -> Arc<Self> {
        let serial = next_serial(&arena.shared);
        let mut command = command_of(arena, &order, serial);
        let spawned = now();
        let mut child = command.spawn().unwrap();
        let state = State { pid: Some(child.id()), ..State::default() };
        let start =
            Arc::new(Self { serial, order, spawned, state: Mutex::new(state), changed: Condvar::new() });
        arena.say(&format!(
            "#{serial} pid {} {}: run {:?} {:?}",
            child.id(),
            start.order.under.first().map_or("", |under| under),
            start.order.options,
            start.order.manner
        ));
        arena.starts().push(start.clone());

        let (listening, stderr) = (start.clone(), BufReader::new(child.stderr.take().unwrap()));
        let (hears, shared) = (arena.clone(), arena.shared.clone());
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                listening.hears(&hears, &line);
            }
        });
        let (watched, arena) = (start.clone(), arena.clone());
        shared.spawn(move || watched.watch(&arena, child, reader));
        start
    }

    pub fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn holds(&self) -> bool {
        let state = self.state();
        state.held.is_some() && state.ended.is_none()
    }

    /// Waits until it has ended; `false`: the time is over.
    pub fn ends_within(&self, time: Duration) -> bool {
        let state = self.state();
        self.changed.wait_timeout_while(state, time, |state| state.ended.is_none()).unwrap().0.ended.is_some()
    }

    fn hears(&self, arena: &Arena, line: &str) {
        let mut state = self.state();
        state.stderr.push_str(line);
        state.stderr.push('\n');
        if let (Some((pid, generation)), None) = (holding(line), state.held) {
            // From now on it is the one in the background that is meant.
            state.pid = state.pid.map(|_| pid);
            state.held = Some(Held { at: now(), generation, pid });
            arena.say(&format!("#{} holds: pid {pid}, generation {generation}", self.serial));
        }
    }

    /// Waits for its end, and for that of the one in the background.
    fn watch(&self, arena: &Arena, mut child: Child, reader: JoinHandle<()>) {
        let mut reader = Some(reader);
        let mut hear_out = || reader.take().into_iter().for_each(|reader| reader.join().unwrap());
        let is_background = self.order.has("--detach");
        until_ended(child.id());
        if is_background {
            // All that it was told of the other one; that one leads its own output elsewhere.
            hear_out();
        }
        let mut state = self.state();
        let mut status = child.wait().unwrap();
        if let Some(Held { pid, .. }) = state.held.filter(|_| is_background) {
            if status.success() {
                // It is a child of this process now, which adopts orphans.
                drop(state);
                until_ended(pid);
                state = self.state();
                let pid = Pid::from_raw(i32::try_from(pid).unwrap());
                let ended = waitpid(pid, WaitOptions::NOHANG).ok().flatten();
                status = ended.map_or(status, |(_, status)| ExitStatus::from_raw(status.as_raw()));
            } else if status.code() == Some(137) && state.deeds.iter().any(|(_, deed)| *deed == Deed::Killed)
            {
                status = ExitStatus::from_raw(9); // as its parent has told
            }
        }
        state.pid = None;
        state.ended = Some((now(), Some(status)));
        arena.say(&format!("#{} ended: {status:?}", self.serial));
        self.changed.notify_all();
        drop(state);
        hear_out();
    }

    /// Sends a signal, if it is still there; tells whether.
    pub fn signal(&self, signal: Signal, deed: Option<Deed>) -> bool {
        let mut state = self.state();
        let Some(pid) = state.pid else { return false };
        state.deeds.extend(deed.map(|deed| (now(), deed)));
        kill(nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()), signal).is_ok()
    }

    pub fn pid(&self) -> Option<u32> {
        self.state().pid
    }

    /// It could not do anything since then.
    pub fn was_hindered(&self, since: u64) {
        self.state().hindered.push((since, now()));
    }
}

/// Waits until it can be reaped, and leaves that to whoever may signal it.
fn until_ended(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let ended = || waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    while ended().is_err_and(|error| error == rustix::io::Errno::INTR) {}
}

/// Pid and generation in the line of one that holds.
fn holding(line: &str) -> Option<(u32, u64)> {
    let (_, facts) = line.strip_prefix("holding `")?.rsplit_once("(pid ")?;
    let (pid, generation) = facts.strip_suffix(')')?.split_once(", generation ")?;
    Some((pid.parse().ok()?, generation.parse().ok()?))
}

/// `gateway` for this instance, with nothing else said yet.
pub fn gateway(arena: &Arena, under: &[String]) -> Command {
    let mut words = under.iter().map(String::as_str).chain([GATEWAY]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).arg("--name").arg(&arena.name).arg("--dir").arg(&arena.dir);
    for name in ["GATEWAY_NAME", "GATEWAY_DIR", "GATEWAY_LOG", "NOTIFY_SOCKET"] {
        command.env_remove(name);
    }
    if let Some(library) = &arena.clock_library {
        command.env("LD_PRELOAD", library).env("CHAOS_CLOCK", arena.clock());
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn command_of(arena: &Arena, order: &Order, serial: u32) -> Command {
    let mut command = gateway(arena, &order.under);
    command.arg("run").args(&order.options).arg("--").arg(std::env::current_exe().unwrap());
    // A number in the command, so that no two are taken for one that replaces another in turn.
    command.args(["role", "--exact", "--nocapture", "--test-threads=1", &format!("serial-{serial}")]);
    command
        .env("INCUMBENT_TEST_ROLE", "witness")
        .env(witness::MANNER, order.manner.words())
        .env(witness::LOG, arena.log())
        .env(witness::LOCK, arena.lock())
        .env(witness::SERIAL, serial.to_string())
        .env(witness::AHEAD, order.ahead.to_string());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command
}
