//! Stops at every system call of a process, by ptrace: counts it, and at a chosen one kills the process, or tells it that
//! the call failed. What is to be done is said in `traced.rs`.
//!
//! 1. The process is started by the thread that traces it, and asks for that before it becomes the program.
//! 2. Its threads are followed. A process that it forks is followed until it becomes another program.
//! 3. Counting begins where Rust's runtime has prepared the main thread: before that no line of this project has run.
//! 4. At a call's entry it is counted, in all threads together, by its kind. The chosen one is replaced by no call at all
//!    before the process is killed, so that it certainly did not happen, or before it is told an error; or the process is
//!    killed at the call's exit, when it certainly did. `close` happens even if it is told to have failed, as in Linux.
#![allow(dead_code)] // every test file uses its own part of it

use std::{
    collections::{HashMap, HashSet},
    io::Read,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Command, ExitStatus},
    sync::mpsc::Sender,
    thread::{self, JoinHandle},
};

use nix::{
    libc,
    sys::{
        ptrace::{self, Event, Options},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use crate::traced::{Deed, Kind, Shared, pid};

pub(crate) type Started = (u32, [JoinHandle<String>; 2]);

/// Whether a process may be traced here; if not, it is said.
pub(crate) fn is_allowed() -> bool {
    let mut command = Command::new("true");
    // SAFETY: between fork and exec only a system call is made.
    unsafe { command.pre_exec(|| ptrace::traceme().map_err(Into::into)) };
    let traced = command.spawn().is_ok_and(|mut child| {
        let stopped = waitpid(pid(child.id()), Some(WaitPidFlag::__WALL));
        let may_stop = ptrace::syscall(pid(child.id()), None).is_ok();
        let _ = child.kill();
        let _ = child.wait();
        may_stop && matches!(stopped, Ok(WaitStatus::Stopped(_, Signal::SIGTRAP)))
    });
    if !traced {
        crate::os::left_out("what a tracer does at each system call: no process may be traced here");
    }
    traced
}

pub(crate) fn trace(mut command: Command, shared: &Shared, started: &Sender<Started>) {
    // SAFETY: between fork and exec only a system call is made.
    unsafe { command.pre_exec(|| ptrace::traceme().map_err(Into::into)) };
    #[allow(clippy::zombie_processes, reason = "it is waited for below, with its threads")]
    let mut child = command.spawn().expect("it can be started");
    let main = pid(child.id());
    let first = waitpid(main, Some(WaitPidFlag::__WALL)).expect("a child");
    assert_eq!(first, WaitStatus::Stopped(main, Signal::SIGTRAP), "it became the program");
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC
        | Options::PTRACE_O_EXITKILL;
    ptrace::setoptions(main, options).expect("it is traced");
    let stdout = reader(child.stdout.take().expect("piped"));
    let stderr = reader(child.stderr.take().expect("piped"));
    started.send((child.id(), [stdout, stderr])).expect("the test waits");
    let mut tracer = Tracer { main, shared, tasks: HashMap::new(), early: HashSet::new() };
    tracer.tasks.insert(main, Task::default());
    let _ = ptrace::syscall(main, None);
    // Only this thread's: the test's other children are not its business.
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD)) {
        tracer.stopped(status);
    }
}

fn reader(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut all = Vec::new();
        let _ = pipe.read_to_end(&mut all);
        String::from_utf8_lossy(&all).into_owned()
    })
}

/// A thread, or a forked process.
#[derive(Default)]
struct Task {
    forked: bool,
    /// The call it is in, and what is done at its exit.
    inside: Inside,
}

/// Where a thread is.
#[derive(Clone, Copy, Default)]
enum Inside {
    #[default]
    NoCall,
    /// And this is done at the call's exit, if anything.
    Call(Option<Deed>),
}

struct Tracer<'a> {
    main: Pid,
    shared: &'a Shared,
    tasks: HashMap<Pid, Task>,
    /// Those that stopped before it was told who started them.
    early: HashSet<Pid>,
}

impl Tracer<'_> {
    fn stopped(&mut self, status: WaitStatus) {
        let mut signal = None;
        let Some(task) = status.pid() else { return };
        match status {
            WaitStatus::PtraceSyscall(_) => self.call(task),
            WaitStatus::PtraceEvent(_, _, event) => {
                if event == Event::PTRACE_EVENT_EXEC as i32 {
                    self.tasks.remove(&task);
                    let _ = ptrace::detach(task, None);
                    return;
                }
                self.start(task, event);
            }
            WaitStatus::Stopped(_, Signal::SIGSTOP) if !self.tasks.contains_key(&task) => {
                self.early.insert(task);
                return;
            }
            // The first stop of each is the kernel's doing, no signal; nobody here sends that one.
            WaitStatus::Stopped(_, Signal::SIGSTOP) => {}
            WaitStatus::Stopped(_, other) => signal = Some(other),
            WaitStatus::Exited(_, code) => return self.ended(task, code << 8),
            WaitStatus::Signaled(_, by, _) => return self.ended(task, by as i32),
            _ => {}
        }
        let _ = ptrace::syscall(task, signal);
    }

    fn start(&mut self, parent: Pid, event: i32) {
        let Ok(started) = ptrace::getevent(parent) else { return };
        let started = Pid::from_raw(started.try_into().expect("a pid"));
        let forked = event != Event::PTRACE_EVENT_CLONE as i32
            || self.tasks.get(&parent).is_some_and(|parent| parent.forked);
        self.tasks.insert(started, Task { forked, inside: Inside::NoCall });
        if self.early.remove(&started) {
            let _ = ptrace::syscall(started, None);
        }
    }

    fn ended(&mut self, task: Pid, status: i32) {
        self.tasks.remove(&task);
        if task == self.main {
            self.shared.state.lock().unwrap().ended = Some(ExitStatus::from_raw(status));
            self.shared.changed.notify_all();
        }
    }

    fn call(&mut self, task: Pid) {
        let Ok(mut regs) = ptrace::getregs(task) else { return };
        let Some(at) = self.tasks.get_mut(&task) else { return };
        let victim = if at.forked { task } else { self.main };
        let Inside::Call(deed) = std::mem::take(&mut at.inside) else {
            let number = number_of(&regs);
            let of_the_runtime = is_of_the_runtime(task, &regs);
            let deed = self.shared.enter(Kind { number, forked: at.forked, of_the_runtime });
            at.inside = Inside::Call(deed);
            let happens = matches!(deed, None | Some(Deed::KillAfter));
            if !happens && number != libc::SYS_close {
                regs.orig_rax = u64::MAX;
                let _ = ptrace::setregs(task, regs);
            }
            if deed == Some(Deed::KillBefore) {
                self.shared.kill(victim);
            }
            return;
        };
        match deed {
            Some(Deed::KillAfter) => self.shared.kill(victim),
            Some(Deed::Fail(errno) | Deed::FailTwice(errno) | Deed::FailOnwards(errno)) => {
                regs.rax = (errno as u64).wrapping_neg();
                let _ = ptrace::setregs(task, regs);
            }
            Some(Deed::KillBefore) | None => {}
        }
    }
}

fn number_of(regs: &libc::user_regs_struct) -> libc::c_long {
    // No call at all has all bits set.
    i64::try_from(regs.orig_rax).unwrap_or(-1)
}

fn is_of_the_runtime(task: Pid, regs: &libc::user_regs_struct) -> bool {
    match number_of(regs) {
        libc::SYS_getrandom => regs.rdx & u64::from(libc::GRND_INSECURE) != 0,
        libc::SYS_write => std::fs::read_link(format!("/proc/{task}/fd/{}", regs.rdi))
            .is_ok_and(|file| file.to_string_lossy().contains("[eventfd]")),
        // The pipe from a signal handler of tokio's to its loop, and Rust's from a fork to its parent.
        libc::SYS_recvfrom => [8, 128].contains(&regs.rdx),
        libc::SYS_sendto if regs.rdx == 1 => {
            ptrace::read(task, regs.rsi as ptrace::AddressType).is_ok_and(|word| word & 0xff == 1)
        }
        _ => false,
    }
}

impl Shared {
    /// Counts a call, and says what is done at it.
    fn enter(&self, kind: Kind) -> Option<Deed> {
        let mut state = self.state.lock().unwrap();
        if !state.counting {
            // The second one sets the main thread's stack for signals; but for handlers, that is all there is to do.
            state.prepared += usize::from(kind.number == libc::SYS_sigaltstack);
            state.counting = state.prepared == 2;
            return None;
        }
        state.calls += 1;
        let count = state.counts.entry(kind).or_default();
        *count += 1;
        let nth = *count;
        let plan = state.plan.filter(|plan| plan.kind == kind)?;
        let due = match plan.deed {
            Deed::FailOnwards(_) => nth >= plan.nth,
            Deed::FailTwice(_) => (plan.nth..plan.nth + 2).contains(&nth),
            _ => nth == plan.nth,
        };
        let fails = !matches!(plan.deed, Deed::KillBefore | Deed::KillAfter);
        state.done += usize::from(due && fails);
        due.then_some(plan.deed)
    }

    fn kill(&self, victim: Pid) {
        self.state.lock().unwrap().done += 1;
        let _ = kill(victim, Signal::SIGKILL);
    }
}
