//! System calls by name, and which errors each is told.
#![allow(dead_code)] // every test file uses its own part of it

use nix::{
    errno::Errno,
    libc::{self, c_long},
};

use crate::traced::Kind;

macro_rules! named {
    ($($name:ident)*) => { &[$((stringify!($name), libc::$name)),*] };
}

/// Those that the program makes here; another is shown by its number.
const NAMES: &[(&str, c_long)] = named! {
    SYS_accept4 SYS_access SYS_arch_prctl SYS_bind SYS_brk SYS_chdir SYS_chmod SYS_chown SYS_clock_nanosleep SYS_clone
    SYS_clone3 SYS_clock_gettime SYS_close SYS_close_range SYS_connect SYS_dup SYS_dup2 SYS_dup3 SYS_epoll_create1 SYS_epoll_ctl
    SYS_epoll_pwait SYS_epoll_wait SYS_eventfd2 SYS_execve SYS_exit SYS_exit_group SYS_faccessat SYS_faccessat2
    SYS_fchmod SYS_fchmodat SYS_fchown SYS_fchownat SYS_fcntl SYS_fdatasync SYS_flock SYS_fork SYS_fstat SYS_fstatfs
    SYS_fsync SYS_ftruncate SYS_futex SYS_getcwd SYS_getdents64 SYS_getegid SYS_geteuid SYS_getgid SYS_getpeername
    SYS_getpgid SYS_getpgrp SYS_getpid SYS_getppid SYS_getpriority SYS_getrandom SYS_getsid SYS_getsockname
    SYS_getsockopt SYS_gettid SYS_getuid SYS_ioctl SYS_kill SYS_lchown SYS_linkat SYS_listen SYS_lseek SYS_lstat
    SYS_madvise SYS_mkdir SYS_mkdirat SYS_mmap SYS_mprotect SYS_mremap SYS_munmap SYS_nanosleep SYS_newfstatat SYS_open
    SYS_openat SYS_pidfd_getfd SYS_pidfd_open SYS_pidfd_send_signal SYS_pipe2 SYS_poll SYS_ppoll SYS_prctl SYS_pread64
    SYS_prlimit64 SYS_pwrite64 SYS_read SYS_readlink SYS_readlinkat SYS_recvfrom SYS_recvmsg SYS_rename SYS_renameat
    SYS_renameat2 SYS_restart_syscall SYS_rseq SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_rt_sigsuspend
    SYS_sched_getaffinity SYS_sched_yield SYS_sendmsg SYS_sendto SYS_set_robust_list SYS_set_tid_address SYS_setgroups
    SYS_setpgid SYS_setsid SYS_setsockopt SYS_shutdown SYS_sigaltstack SYS_socket SYS_socketpair SYS_stat SYS_statfs
    SYS_statx SYS_symlink SYS_sysinfo SYS_tgkill SYS_umask SYS_uname SYS_unlink SYS_unlinkat SYS_utimensat SYS_vfork
    SYS_wait4 SYS_waitid SYS_write SYS_writev
};

/// The name, as strace says it, with a mark if a forked process called it.
pub(crate) fn name(kind: Kind) -> String {
    let name = NAMES.iter().find(|(_, number)| *number == kind.number);
    let name =
        name.map_or_else(|| format!("call {}", kind.number), |(name, _)| name["SYS_".len()..].to_owned());
    match kind {
        Kind { forked: true, .. } => format!("{name} of a fork"),
        Kind { of_the_runtime: true, .. } => format!("{name} of the runtime"),
        _ => name,
    }
}

/// The errors that every call is told.
pub(crate) const ERRORS: [Errno; 8] = [
    Errno::ENOSPC,
    Errno::EIO,
    Errno::EMFILE,
    Errno::ENOMEM,
    Errno::EINTR,
    Errno::EACCES,
    Errno::ENOLCK,
    Errno::EAGAIN,
];

/// Those that have no error to tell, or end something: whoever calls them does not look.
const NEVER_FAIL: &[c_long] = &[
    libc::SYS_brk, // it tells no error, but where the heap ends; the C library takes a number below zero for that
    libc::SYS_clock_gettime,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpgrp,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_umask,
];

/// Those of the C library's and Rust's own threads, which end the process themselves if they fail.
const OF_THE_RUNTIME: &[c_long] = &[
    libc::SYS_arch_prctl,
    libc::SYS_futex,
    libc::SYS_madvise,
    libc::SYS_munmap,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigprocmask,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_sigaltstack,
];

/// Memory: it can only be used up, and then Rust itself aborts, and says so.
const MEMORY: &[c_long] = &[libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_mremap];

/// Which errors a call of this kind is told.
pub(crate) fn errors(kind: Kind) -> &'static [Errno] {
    if kind.of_the_runtime || NEVER_FAIL.contains(&kind.number) || OF_THE_RUNTIME.contains(&kind.number) {
        &[]
    } else if kind.number == libc::SYS_epoll_wait {
        &[Errno::EINTR] // it has no other of these, and tokio takes none
    } else if is_memory(kind) {
        &[Errno::ENOMEM]
    } else {
        &ERRORS
    }
}

/// Which errors all calls of this kind can be told from then on. Not that of a signal, which is tried again for as long as it
/// takes; and not that nothing is there yet, where it was waited for.
pub(crate) fn lasting_errors(kind: Kind) -> impl Iterator<Item = Errno> {
    const WAITED_FOR: &[c_long] =
        &[libc::SYS_accept4, libc::SYS_recvfrom, libc::SYS_recvmsg, libc::SYS_sendmsg, libc::SYS_sendto];
    errors(kind).iter().copied().filter(move |&errno| {
        errno != Errno::EINTR && (errno != Errno::EAGAIN || !WAITED_FOR.contains(&kind.number))
    })
}

/// Calls of this number, of the program itself.
pub(crate) fn own(number: c_long) -> Kind {
    Kind { number, forked: false, of_the_runtime: false }
}

pub(crate) fn is_memory(kind: Kind) -> bool {
    MEMORY.contains(&kind.number)
}

/// With it things are said: one that fails may leave nothing said.
pub(crate) fn is_for_words(kind: Kind) -> bool {
    [libc::SYS_write, libc::SYS_writev].contains(&kind.number)
}
