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

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::flock as kept;
#[cfg(unix)]
pub use unix::for_gateway;
#[cfg(all(test, unix))]
pub(crate) use unix::plain_files::testing;
#[cfg(unix)]
pub(crate) use unix::{
    Supervisor, block_signals_here,
    datagrams::bind_datagrams,
    effective_user, exit_at_once,
    files::{
        Facts, FileId, Kind, Mark, at, behind, give_file_to, give_to, id_of, make_file_private,
        make_private_directory, mark_of, means_in_the_way, of, open_pid_file, read_at_start, write_at_start,
    },
    from_bytes, host_name, is_exhaustion as means_no_room,
    locks::{means_no_locks, owner as lock_owner, try_lock, unlock},
    most_descriptors,
    owned::Owned,
    parent,
    per_process::PerProcess,
    plain_files::{create_private, kind_of, open_to_append, open_to_look},
    served::{Awaited, Guest, Listener, Waker, Wakes, wait_for_any},
    session,
    socket::{
        Address, HAS_ABSTRACT_NAMES, LONGEST_PATH, Listening, Peer, Read, Stream, TELLS_PEER_PID, connect,
        listen_on, means_nobody, rename_into_place,
    },
    to_bytes, user_name,
};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::{
    process,
    system::{
        boot_id, boot_time, default_state_dir, file_system, is_nobody_here, machine_id, pid_namespace,
        runtime_dir, self_usage, supervisor,
    },
};

#[cfg(all(unix, not(target_os = "linux")))]
mod bsd;
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) use bsd::{
    process,
    system::{
        boot_id, boot_time, default_state_dir, file_system, machine_id, pid_namespace, runtime_dir,
        self_usage, supervisor,
    },
};
