//! Herds: so many at once, of whom one should win. In a directory of their own each time, every row once a round.
//!
//! All are started one after the other, as fast as that goes; the time is from the first start to the end of the last one
//! that was refused. Who wins stays, and says `holding`; a row that is expected to end with 1 has no winner. When nobody
//! ends for five seconds, those who neither won nor ended count as hanging.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    os::unix::process::CommandExt,
    process::Stdio,
    time::{Duration, Instant},
};

use crate::plan::Row;

const PATIENCE: i64 = 5;

/// Prints a line for each herd: the row's index, nanoseconds, winners, ended, of these with the code that was expected,
/// who said `already running`, and who hangs.
pub fn measure(count: usize, rounds: usize, base: &str, rows: &[Row]) {
    for round in 0..rounds {
        for (index, row) in rows.iter().enumerate() {
            let dir = format!("{base}/herd-{round}-{index}");
            std::fs::create_dir(&dir).expect("a directory");
            println!("{index} {}", herd(count, row, &dir));
            let _ = std::fs::remove_dir_all(&dir);
        }
    }
}

#[expect(clippy::zombie_processes, reason = "`waitpid` below takes whoever ended")]
fn herd(count: usize, row: &Row, dir: &str) -> String {
    let words = format!("{dir}/words");
    let code: i32 = row.expect.parse().expect("a code");
    let stays =
        usize::from(code != 1 || !row.command(dir).get_program().to_string_lossy().ends_with("/false"));
    let mut alive = BTreeMap::new();
    let log = OpenOptions::new().create(true).append(true).open(&words).expect("a file");
    block_sigchld();
    let begun = Instant::now();
    for _ in 0..count {
        let mut command = row.command(dir);
        let both = [log.try_clone().expect("a copy"), log.try_clone().expect("a copy")];
        let [out, err] = both;
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        let child = command.spawn().expect("a process");
        alive.insert(child.id(), ());
    }
    let (mut taken, mut ended, mut as_expected) = (Duration::ZERO, 0, 0);
    while ended < count - stays {
        let Some((pid, status)) = next_end() else { if wait_for_sigchld() { continue } else { break } };
        if alive.remove(&pid).is_some() {
            (taken, ended) = (begun.elapsed(), ended + 1);
            as_expected += usize::from(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == code);
        }
    }
    let deadline = Instant::now() + Duration::from_secs(PATIENCE as u64);
    while stays == 1 && count_of(&words, "holding") == 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    let (winners, told) = (count_of(&words, "holding"), count_of(&words, "already running"));
    let hanging = alive.len().saturating_sub(winners);
    for pid in alive.keys() {
        // SAFETY: the group is that of a child that nobody has waited for, so that its number is its own.
        unsafe { libc::kill(-(*pid as i32), libc::SIGKILL) };
    }
    while !alive.is_empty() {
        match next_end() {
            Some((pid, _)) => drop(alive.remove(&pid)),
            None if wait_for_sigchld() => {}
            None => break,
        }
    }
    format!("{} {winners} {ended} {as_expected} {told} {hanging}", taken.as_nanos())
}

fn count_of(path: &str, words: &str) -> usize {
    let text = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().filter(|line| line.contains(words)).count()
}

fn next_end() -> Option<(u32, i32)> {
    let mut status = 0;
    // SAFETY: the status is ours.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
    (pid > 0).then_some((pid as u32, status))
}

fn sigchld() -> libc::sigset_t {
    // SAFETY: `sigemptyset` fills the set in.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        set
    }
}

/// So that it can be waited for; children get an empty mask from the standard library.
fn block_sigchld() {
    // SAFETY: the set is filled in.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &sigchld(), std::ptr::null_mut()) };
}

fn wait_for_sigchld() -> bool {
    let patience = libc::timespec { tv_sec: PATIENCE, tv_nsec: 0 };
    // SAFETY: the set is filled in.
    unsafe { libc::sigtimedwait(&sigchld(), std::ptr::null_mut(), &raw const patience) > 0 }
}
