//! What the operating system must provide; the only place with `unsafe` or `cfg`.
//!
//! Each system brings the modules below under the same names, as thin as it can: what can be decided above is decided above. Nothing here
//! keeps state, prints or panics, and a fact that the system doesn't tell is `None`, never a guess.
//!
//! * `process`: facts about a process ([`look`](process::look)), a handle that stays with it whatever becomes of its pid
//!   ([`ProcessHandle`](process::ProcessHandle)), and whether the system shows that it has a certain lock
//!   ([`shows_posix_lock`](process::shows_posix_lock)).
//! * `system`: the boot, the machine, the user, the standard directories, the file system below a path, the service manager, and what this
//!   process uses of memory and cpu.
//!
//! | | Linux | macOS, FreeBSD |
//! | --- | --- | --- |
//! | facts about a process | `/proc` | sysinfo |
//! | handle | pidfd: signals through it | kqueue: says when it ended, a signal goes by number |
//! | which process has a lock | `/proc/PID/fdinfo` | not shown |
//! | proof that it works | the tests, run | type-checked only |
#![allow(dead_code)]

#[cfg(unix)]
mod unix;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
#[allow(unused_imports)]
pub(crate) use linux::{process, system};

#[cfg(all(unix, not(target_os = "linux")))]
mod bsd;
#[cfg(all(unix, not(target_os = "linux")))]
#[allow(unused_imports)]
pub(crate) use bsd::{process, system};
