//! Counter-examples that were found against an earlier state of this library, each once; none may come back.
#![allow(clippy::unwrap_used, clippy::panic)] // A test fails so.

#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;

use std::{fs, time::Duration};

use incumbent::{Instance, State};
use program::{Program, eventually, instance, won};

#[test]
fn role() {
    let Some((name, dir)) = program::role() else { return };
    match name.as_str() {
        "holder" => program::holder(&dir),
        #[cfg(target_os = "linux")]
        "forks-and-releases" => linux::forks_and_releases(&dir),
        #[cfg(target_os = "linux")]
        "closes-one" => linux::closes_one(&dir),
        other => panic!("no role {other}"),
    }
}

#[cfg(unix)] // elsewhere it is locked by nobody who may not write
#[test]
fn the_pid_file_is_nobody_elses_to_lock() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.pid"), "").unwrap();
    fs::set_permissions(dir.path().join("a.pid"), fs::Permissions::from_mode(0o644)).unwrap();
    let holder = won(instance(dir.path()).claim_blocking());
    assert_eq!(fs::metadata(dir.path().join("a.pid")).unwrap().permissions().mode() & 0o777, 0o600);
    drop(holder);
}

#[test]
fn a_record_that_was_copied_from_another_instance_deposes_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Program::role("holder", dir.path());
    holder.wait_line("holding");
    let other = won(Instance::new("b").unwrap().in_dir(dir.path()).unwrap().claim_blocking());
    fs::copy(dir.path().join("b.json"), dir.path().join("a.json")).unwrap();
    eventually("the record is written again", || {
        fs::read_to_string(dir.path().join("a.json")).is_ok_and(|text| text.contains("\"name\": \"a\""))
    });
    holder.ask("holding?");
    drop(other);
}

#[test]
fn a_release_that_could_not_be_recorded_is_no_crash() {
    let dir = tempfile::tempdir().unwrap();
    let holder = won(instance(dir.path()).claim_blocking());
    let running = fs::read_to_string(dir.path().join("a.json")).unwrap();
    drop(holder);
    fs::write(dir.path().join("a.json"), running).unwrap(); // as if the disk had been full at the release
    assert_eq!(instance(dir.path()).inspect_blocking(program::WATCHDOG).unwrap().state(), State::Absent);
    let next = won(instance(dir.path()).claim_blocking());
    let history = fs::read_to_string(dir.path().join("a.history")).unwrap();
    assert!(history.contains("\"released\"") && !history.contains("crashed"), "{history}");
    drop(next);
}

#[test]
fn no_timeout_is_too_long() {
    let dir = tempfile::tempdir().unwrap();
    let patient = instance(dir.path()).claim_timeout(Duration::MAX);
    let holder = won(patient.claim_blocking());
    assert_eq!(patient.inspect_blocking(Duration::MAX).unwrap().state(), State::Starting);
    drop(holder);
}

#[cfg(unix)] // elsewhere it has no socket
#[test]
fn an_own_socket_under_another_kind_is_no_holder() {
    let dir = tempfile::tempdir().unwrap();
    let datagrams = std::os::unix::net::UnixDatagram::bind(dir.path().join("a.sock")).unwrap();
    drop(won(instance(dir.path()).claim_timeout(Duration::ZERO).claim_blocking()));
    drop(datagrams);
}

/// What descriptors, abstract names and duplicates do on Linux.
#[cfg(target_os = "linux")]
mod linux {
    use std::{fs, path::Path, time::Duration};

    use incumbent::State;

    use super::{
        os,
        program::{Program, eventually, instance, lost, orders, tell, won},
    };

    /// Holds, forks a child that keeps every descriptor, and releases.
    pub(super) fn forks_and_releases(dir: &Path) {
        let held = won(instance(dir).claim_blocking());
        // SAFETY: the child makes system calls only.
        match unsafe { nix::unistd::fork() }.unwrap() {
            nix::unistd::ForkResult::Child => {
                // It ends with its parent, which the test kills.
                rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
                    .unwrap();
                loop {
                    nix::unistd::pause();
                }
            }
            nix::unistd::ForkResult::Parent { .. } => {
                held.release_blocking().unwrap();
                tell("released");
                for _ in orders() {}
            }
        }
    }

    /// Holds, and closes one descriptor after the other as it is told, to see that it still answers without each.
    pub(super) fn closes_one(dir: &Path) {
        let held = won(instance(dir).claim_blocking());
        tell("holding");
        for order in orders() {
            let _ = nix::unistd::close(order.parse::<i32>().unwrap());
            tell(format!("{order}: closed"));
            held.set_note(order);
        }
    }

    #[test]
    fn a_forked_child_that_keeps_the_name_of_a_released_holder_blocks_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let mut program = Program::role("forks-and-releases", dir.path());
        program.wait_line("released");
        drop(won(instance(dir.path()).claim_timeout(Duration::ZERO).claim_blocking()));
    }

    #[test]
    fn an_abstract_name_that_is_bound_and_never_listens_blocks_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let holder = won(instance(dir.path()).claim_blocking());
        let names = fs::read_to_string("/proc/net/unix").unwrap();
        let before: Vec<&str> = names.lines().filter_map(|line| line.split('@').nth(1)).collect();
        drop(holder);
        // Whichever of the names that were there is free now was that of this instance.
        let squats: Vec<_> = before
            .iter()
            .filter(|name| name.starts_with("incumbent/"))
            .filter_map(|name| {
                let socket = nix::sys::socket::socket(
                    nix::sys::socket::AddressFamily::Unix,
                    nix::sys::socket::SockType::Stream,
                    nix::sys::socket::SockFlag::SOCK_CLOEXEC,
                    None,
                )
                .unwrap();
                let address = nix::sys::socket::UnixAddr::new_abstract(name.as_bytes()).unwrap();
                nix::sys::socket::bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &address)
                    .ok()
                    .map(|()| socket)
            })
            .collect();
        assert!(!squats.is_empty(), "the name is known");
        drop(won(instance(dir.path()).claim_timeout(Duration::ZERO).claim_blocking()));
    }

    #[test]
    fn a_listener_that_was_shut_down_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let mut holder = Program::role("holder", dir.path());
        holder.wait_line("holding");
        // Whoever has a duplicate of the socket can do this.
        let pidfd = rustix::process::pidfd_open(
            rustix::process::Pid::from_raw(holder.pid().try_into().unwrap()).unwrap(),
            rustix::process::PidfdFlags::empty(),
        )
        .unwrap();
        let mut shut = 0;
        for number in 3..64 {
            let flags = rustix::process::PidfdGetfdFlags::empty();
            let Ok(descriptor) = rustix::process::pidfd_getfd(&pidfd, number, flags) else { continue };
            if rustix::net::sockopt::socket_acceptconn(&descriptor).unwrap_or(false) {
                rustix::net::shutdown(&descriptor, rustix::net::Shutdown::Both).unwrap();
                shut += 1;
            }
        }
        assert!(shut > 0);
        eventually("it answers again", || {
            let seen = instance(dir.path()).inspect_blocking(Duration::from_millis(200)).unwrap();
            seen.state() == State::Starting
        });
        assert_eq!(lost(instance(dir.path()).claim_blocking()).pid(), Some(holder.pid()));
    }

    #[test]
    fn whichever_descriptor_the_program_closes_it_answers_again_and_burns_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut holder = Program::role("closes-one", dir.path());
        holder.wait_line("holding");
        for number in 3..12 {
            holder.say(&number.to_string());
            holder.wait_line(&format!("{number}: closed"));
            eventually("it answers, locks and shows what it is told", || {
                let status =
                    instance(dir.path()).inspect_blocking(Duration::from_millis(200)).unwrap().status();
                status.holder.is_some_and(|holder| holder.note == Some(number.to_string()))
                    && os::has_instance(dir.path(), holder.pid())
            });
        }
        let ticks = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", holder.pid())).unwrap();
            let times: Vec<u64> =
                stat.rsplit(')').next().unwrap().split(' ').filter_map(|word| word.parse().ok()).collect();
            times[10] + times[11]
        };
        let (before, began) = (ticks(), std::time::Instant::now());
        let incumbent = lost(instance(dir.path()).claim_blocking());
        assert!(!incumbent.wait_gone_blocking(Some(began + Duration::from_secs(1))));
        assert!(ticks() - before < 50, "half a second of processor time in a second of doing nothing");
    }
}
