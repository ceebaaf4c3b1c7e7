//! A process under `tracer.rs`: started, told what to do at which call, and awaited.
#![allow(dead_code)] // every test file uses its own part of it

use std::{
    collections::BTreeMap,
    os::unix::process::CommandExt as _,
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, mpsc::channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    errno::Errno,
    libc::c_long,
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use crate::tracer::trace;

/// Which calls are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Kind {
    pub(crate) number: c_long,
    /// Of a process that it forked, and that is not yet another program.
    pub(crate) forked: bool,
    /// Of Rust's hash tables, or of tokio's wakeups: they do not fail as they are made, and their makers panic or do not
    /// look if they do.
    pub(crate) of_the_runtime: bool,
}

/// What is done at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// The process is killed, and the call has not happened.
    KillBefore,
    /// The process is killed, and the call has happened.
    KillAfter,
    Fail(Errno),
    FailTwice(Errno),
    /// This call and all of its kind that come later.
    FailOnwards(Errno),
}

/// What is done at which call: the `nth` (from 1) of its kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) kind: Kind,
    pub(crate) nth: usize,
    pub(crate) deed: Deed,
}

/// What the tracing thread and the test share.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    pub(crate) changed: Condvar,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) plan: Option<Plan>,
    pub(crate) prepared: usize,
    pub(crate) counting: bool,
    pub(crate) counts: BTreeMap<Kind, usize>,
    pub(crate) calls: usize,
    pub(crate) done: usize,
    pub(crate) ended: Option<ExitStatus>,
}

/// A process that is traced.
pub(crate) struct Traced {
    pid: u32,
    shared: Arc<Shared>,
    tracer: Option<JoinHandle<()>>,
    output: Option<[JoinHandle<String>; 2]>,
}

impl Traced {
    /// Starts it, in a group of its own.
    pub(crate) fn start(mut command: Command, plan: Option<Plan>) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let shared = Arc::new(Shared::default());
        shared.state.lock().unwrap().plan = plan;
        let (started, start) = channel();
        let tracers = shared.clone();
        let tracer = thread::spawn(move || trace(command, &tracers, &started));
        let (pid, output) = start.recv().expect("it was started");
        Self { pid, shared, tracer: Some(tracer), output: Some(output) }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// From now on this is done, and calls are counted anew.
    pub(crate) fn arm(&self, plan: Option<Plan>) {
        let mut state = self.shared.state.lock().unwrap();
        state.plan = plan;
        state.counts.clear();
        state.done = 0;
    }

    /// From now on every call is what it is.
    pub(crate) fn disarm(&self) {
        self.shared.state.lock().unwrap().plan = None;
    }

    /// How often each kind was called.
    pub(crate) fn counts(&self) -> BTreeMap<Kind, usize> {
        self.shared.state.lock().unwrap().counts.clone()
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> usize {
        self.shared.state.lock().unwrap().calls
    }

    /// How often the deed was done.
    pub(crate) fn done(&self) -> usize {
        self.shared.state.lock().unwrap().done
    }

    /// How it ended, if it has within this time.
    pub(crate) fn ended_within(&self, time: Duration) -> Option<ExitStatus> {
        let state = self.shared.state.lock().unwrap();
        self.shared.changed.wait_timeout_while(state, time, |state| state.ended.is_none()).unwrap().0.ended
    }

    pub(crate) fn terminate(&self) {
        let _ = kill(pid(self.pid), Signal::SIGTERM);
    }

    /// What it said on stdout and stderr; waits until nobody has them open any more.
    pub(crate) fn said(&mut self) -> (String, String) {
        let [stdout, stderr] = self.output.take().expect("it is asked once");
        (stdout.join().unwrap(), stderr.join().unwrap())
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if self.ended_within(Duration::ZERO).is_none() {
            let _ = killpg(pid(self.pid), Signal::SIGKILL);
        }
        let _ = self.tracer.take().map(JoinHandle::join);
    }
}

pub(crate) fn pid(number: u32) -> Pid {
    Pid::from_raw(number.try_into().expect("a pid"))
}
