//! Starting PROGRAM: what it is given, what it is not, and what is said when it cannot be started.
//!
//! It gets the name and the directory of its instance, a way to say how it is (`told.rs`), and nothing that a service
//! manager meant for `gateway`. Without a
//! terminal it leads a process group of its own. At the terminal that controls its session it stays in the group of
//! `gateway`, as any job of a shell does: so it can read the terminal, Ctrl-C reaches both, Ctrl-Z stops both and `fg`
//! lets both go on. In a group of its own it would either not read, or get the Ctrl-C that `gateway` has to count.
//! Proven by `tests/child.rs` and `tests/job_control.rs`.

use std::{
    ffi::OsString,
    io::{self, ErrorKind},
    path::{Path, is_separator},
    process::{Child, Command, Stdio},
};

use incumbent::{ChildLock, Instance, platform_for_gateway as platform, text};

use crate::{background, exit, sockets::Sockets, told::Told, words::say_error};

/// How it is started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// It leads a process group of its own.
    pub(crate) own_group: bool,
    /// Its standard input is a pipe, on which it gets messages.
    pub(crate) takes_messages: bool,
}

/// Starts it, on the main thread: it is killed when the thread ends that started it.
pub(crate) fn start(
    instance: &Instance,
    program: &[OsString],
    how: How,
    locks: &[ChildLock],
    told: &Told<'_>,
    sockets: &Sockets,
) -> io::Result<Child> {
    let mut command = Command::new(&program[0]);
    command.args(&program[1..]).env("GATEWAY_NAME", instance.name());
    if let Ok(dir) = instance.dir() {
        command.env("GATEWAY_DIR", dir);
    }
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_managers(name)) {
        command.env_remove(name);
    }
    command.env_remove(background::VARIABLE);
    told.tell_how(&mut command);
    if how.own_group {
        platform::in_own_group(&mut command);
    }
    if how.takes_messages {
        command.stdin(Stdio::piped());
    }
    platform::die_with_parent(&mut command);
    if sockets.is_empty() {
        return ChildLock::spawn(locks, &mut command);
    }
    ChildLock::spawn_with(locks, &mut command, |command| platform::give_sockets(command, &sockets.given()))
}

/// Whether a service manager has set this variable for `gateway` itself: sockets, readiness and watchdog of `sd_notify(3)`,
/// `sd_listen_fds(3)` and `sd_watchdog_enabled(3)`, and the pid that says who is run by systemd (`systemd.exec(5)`).
fn is_managers(name: &OsString) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("LISTEN_")
        || name.starts_with("WATCHDOG_")
        || matches!(&*name, "NOTIFY_SOCKET" | "SYSTEMD_EXEC_PID")
}

/// Says why it cannot be started; the exit code, as a shell has it.
pub(crate) fn cannot_start(program: &OsString, refused: &io::Error) -> u8 {
    let shown = text::quoted(program);
    // A script whose interpreter is missing is there, and can't be run.
    let is_there = program.to_string_lossy().contains(is_separator) && Path::new(program).exists();
    if refused.kind() == ErrorKind::NotFound && !is_there {
        say_error(&format!("cannot find the program {shown}"));
        return exit::NOT_FOUND;
    }
    let why = if refused.kind() == ErrorKind::NotFound {
        "the interpreter that it names is missing".to_owned()
    } else {
        text::system_words(refused)
    };
    say_error(&format!("cannot run {shown}: {why}"));
    exit::CANNOT_RUN
}
