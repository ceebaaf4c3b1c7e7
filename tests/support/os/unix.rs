//! Processes: by signals, in groups.

use std::{
    ffi::OsString,
    os::unix::{
        ffi::OsStringExt as _,
        process::{CommandExt as _, ExitStatusExt as _},
    },
    process::{Command, ExitStatus},
    sync::atomic::{AtomicI32, Ordering},
};

use nix::{
    libc,
    sys::{
        signal::{SigHandler, Signal, kill, raise},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// A process that runs as long as the system does.
pub const FIRST_PROCESS: u32 = 1;

/// How a process that was suspended is said to be.
pub const SUSPENDED: &str = "stopped";

/// The hint that makes it go on.
pub fn continues(pid: u32) -> String {
    format!("hint: `kill -CONT {pid}`")
}

/// A word that is quoted for a shell.
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A program that ends well at once.
pub const TRUE: &str = "true";

/// A file that is there and no program, and a directory.
pub const NO_PROGRAM: &str = "/etc/passwd";
pub const A_DIRECTORY: &str = "/";

/// Whether the system names who has a lock.
pub const NAMES_OWNERS: bool = true;

/// Whether this is Wine, which is not Windows.
pub fn is_wine() -> bool {
    false
}

fn of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("a pid"))
}

/// What a test starts is ended by its guard, one by one.
pub fn own(_command: &mut Command) {}

/// Any bytes are a word of a command line.
pub fn word(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

/// Starts it as the leader of a group.
pub fn lead(command: &mut Command) {
    command.process_group(0);
}

/// The program at this path, called `gateway`, whatever its path is.
pub fn gateway(program: &str) -> Command {
    let mut command = Command::new(program);
    command.arg0("gateway");
    command
}

/// A shell that becomes what is typed into it.
pub fn shell(line: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec {line}")]);
    shell
}

/// Ends everything in the group that this process leads.
pub fn end_group(leader: u32) {
    let _ = kill(Pid::from_raw(-of(leader).as_raw()), Signal::SIGKILL);
}

/// Ends it at once: it cannot do anything against that.
pub fn kill_9(pid: u32) {
    kill(of(pid), Signal::SIGKILL).expect("it is there");
}

/// Kills it and waits until it has ended; nobody reaps it.
pub fn kill_unreaped(pid: u32) {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    kill_9(pid);
    let pid = Pid::from_raw(of(pid).as_raw()).expect("a pid");
    waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).expect("a child");
}

/// Asks it to stop, as a service manager does.
pub fn terminate(pid: u32) {
    kill(of(pid), Signal::SIGTERM).expect("it is there");
}

/// Asks it to stop, as a person at a terminal does.
pub fn interrupt(pid: u32) {
    kill(of(pid), Signal::SIGINT).expect("it is there");
}

/// Suspends a child, and waits until it is.
pub fn suspend(pid: u32) {
    kill(of(pid), Signal::SIGSTOP).expect("it is there");
    is_suspended(pid);
}

/// Waits until a child is suspended.
pub fn is_suspended(pid: u32) {
    let status = waitpid(of(pid), Some(WaitPidFlag::WUNTRACED)).expect("a child");
    assert!(matches!(status, WaitStatus::Stopped(..)), "{status:?}");
}

pub fn resume(pid: u32) {
    kill(of(pid), Signal::SIGCONT).expect("it is there");
}

/// Suspends this process itself.
pub fn suspend_self() {
    raise(Signal::SIGSTOP).expect("stopped");
}

/// This process can be asked to stop, as any can.
pub fn be_asked() {}

/// From now on this process does not listen when it is asked to stop.
pub fn be_deaf() {
    // SAFETY: no handler is installed; the signal is only ignored.
    unsafe { nix::sys::signal::signal(Signal::SIGTERM, SigHandler::SigIgn) }.expect("it can be ignored");
}

/// When this process is asked to stop, it ends with this code.
pub fn end_when_asked(code: i32) {
    CODE.store(code, Ordering::SeqCst);
    // SAFETY: the handler does nothing but end the process, in the way that a handler may.
    unsafe { nix::sys::signal::signal(Signal::SIGTERM, SigHandler::Handler(end_now)) }.expect("installed");
}

static CODE: AtomicI32 = AtomicI32::new(0);

extern "C" fn end_now(_: i32) {
    // SAFETY: `_exit` may be called in a handler, and does not return.
    unsafe { libc::_exit(CODE.load(Ordering::SeqCst)) }
}

/// Whether a process has this pid, an unreaped one too.
pub fn is_there(pid: u32) -> bool {
    kill(of(pid), None).is_ok()
}

/// Whether it was ended from outside, and did not end by itself.
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::SIGKILL as i32)
}

/// Whether it ended because it was asked to, without a word of its own to that.
pub fn was_terminated(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::SIGTERM as i32)
}

/// So many descriptors are fewer than a holder has open with connections.
pub const IDLE_DESCRIPTORS: usize = 40;

/// So much memory is modest.
pub const MODEST_KIB: u64 = 32 * 1024;

/// How many descriptors a process has open, where the system shows it.
pub fn descriptors(pid: u32) -> Option<usize> {
    std::fs::read_dir(format!("/proc/{pid}/fd")).ok().map(Iterator::count)
}

/// How much memory of a process is resident, where the system shows it.
pub fn resident_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}
