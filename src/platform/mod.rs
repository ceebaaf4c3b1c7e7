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
//! | | Linux | macOS, FreeBSD | Windows |
//! | --- | --- | --- | --- |
//! | facts about a process | `/proc` | sysinfo | its handle |
//! | handle | pidfd: signals through it | kqueue: says when it ended, a signal goes by number | process handle |
//! | locks | record locks (`fcntl`) | the same | `LockFileEx` |
//! | which process has a lock | `F_GETLK`, `/proc/PID/fdinfo` | `F_GETLK` | what the owner says of itself, in a way that ends with it |
//! | endpoint | socket, abstract socket | socket | named pipe |
//! | proof that it works | the tests, run | type-checked only | the tests, run under Wine |

mod around;
mod per_process;
#[cfg(not(target_os = "linux"))]
mod whole_look;

pub(crate) use around::{FileSystem, Supervisor, Usage};
pub(crate) use per_process::PerProcess;

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::flock as kept;
#[cfg(all(test, unix))]
pub(crate) use unix::testing;
#[cfg(unix)]
pub(crate) use unix::{
    block_signals_here,
    datagrams::bind_datagrams,
    effective_user, exit_at_once,
    files::{
        Facts, FileId, Kind, Mark, at, behind, give_to, id_of, make_file_private, make_private_directory,
        mark_of, means_in_the_way, of, open_pid_file, read_at_start, write_at_start,
    },
    from_bytes, host_name, is_exhaustion as means_no_room,
    locks::{NAMES_OWNERS, means_no_locks, owner as lock_owner, try_lock, unlock, who_has_open},
    most_descriptors,
    owned::Owned,
    parent,
    passing::{Passable, described, listens},
    plain_files::{create_private, empty, kind_of, open_to_append, open_to_look, replace_file},
    served::{Awaited, Guest, Listener, Waker, Wakes, wait_for_any},
    session,
    socket::{
        Address, ENDPOINT_IS_A_FILE, HAS_ABSTRACT_NAMES, LONGEST_PATH, Listening, Peer, Read, Stream,
        TELLS_PEER_PID, at_endpoint, connect, endpoint_name, is_gone, listen_on, listeners_user,
        means_nobody,
    },
    to_bytes, user_name,
    words::{
        UNNAMED_PROCESS, access_words, canonical, is_reserved, path_key, quoted, user_number, user_words,
        writable_words,
    },
};
#[cfg(unix)]
pub use unix::{for_gateway, passing::Socket};

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::{
    listeners, ports, process,
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

#[cfg(windows)]
mod windows;
#[cfg(all(test, windows))]
pub(crate) use windows::testing;
#[cfg(windows)]
pub(crate) use windows::{
    datagrams::bind_datagrams,
    files::{
        Facts, FileId, Kind, Mark, at, behind, create_private, empty, give_to, id_of, kind_of,
        make_file_private, make_private_directory, mark_of, means_in_the_way, of, open_pid_file,
        open_to_append, open_to_look, read_at_start, replace_file, write_at_start,
    },
    kept,
    locks::{NAMES_OWNERS, means_no_locks, owner as lock_owner, try_lock, unlock},
    owned::Owned,
    passing::{Passable, described, listens},
    pipes::{
        Address, ENDPOINT_IS_A_FILE, HAS_ABSTRACT_NAMES, LONGEST_PATH, Listening, Peer, Read, Stream,
        TELLS_PEER_PID, at_endpoint, connect, endpoint_name, is_gone, listeners_user, means_nobody,
    },
    process,
    reactor::{Waker, Wakes},
    served::{Awaited, Guest, Listener, listen_on, wait_for_any},
    system::{
        block_signals_here, boot_id, boot_time, default_state_dir, exit_at_once, file_system, from_bytes,
        host_name, machine_id, means_no_room, most_descriptors, parent, pid_namespace, runtime_dir,
        self_usage, session, supervisor, to_bytes,
    },
    users::{effective_user, user_name},
    users_of_file::who_has_open,
    words::{
        UNNAMED_PROCESS, access_words, canonical, is_reserved, path_key, quoted, user_number, user_words,
        writable_words,
    },
};
#[cfg(windows)]
pub use windows::{for_gateway, passing::Socket};
