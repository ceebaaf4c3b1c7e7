//! From the SIGKILL of a holder with so much memory to the next holder: a `gateway run --wait` that waits for it, beside a
//! bare waiter for a record lock and flock(1), in the same death.
//!
//! 1. The library's holder starts, with its ballast and both locks of `raw`.
//! 2. The three waiters start; they have 200 ms to begin to wait.
//! 3. SIGKILL. Each waiter's line is timed by a thread of its own.
//! 4. The one that holds now is killed, and one start of `gateway run` on what is left is timed: its own start.

use std::{
    io::{BufRead, BufReader},
    os::fd::AsRawFd,
    path::Path,
    process::{Child, Command, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::spawn;

/// Prints a line for each round, in nanoseconds: the record lock, flock(1), `gateway run --wait`, its own start.
pub fn measure(rounds: usize, megabytes: &str, base: &Path, crates: &Path, gateway: &str) {
    for round in 0..rounds {
        let dir = base.join(format!("death-{megabytes}-{round}"));
        std::fs::create_dir(&dir).expect("a directory");
        let mut holder = Command::new(crates.join("incumbent"));
        let (mut holder, said) = start(holder.arg("hold").arg(&dir).arg(megabytes), "holding");
        said.join().expect("a thread").expect("a holder");
        let run = |more: &[&str]| {
            let mut command = Command::new(gateway);
            command.arg("--dir").arg(&dir).arg("run").args(more);
            command
        };
        let raw = dir.join("raw");
        let stopwatch = std::env::current_exe().expect("itself");
        let mut waiters = [
            start(Command::new(stopwatch).arg("wait").arg(&raw), "granted"),
            start(Command::new("flock").arg(&raw).args(["echo", "granted"]), "granted"),
            start(&mut run(&["--wait"]), "holding"),
        ];
        std::thread::sleep(Duration::from_millis(200));
        let killed = Instant::now();
        holder.kill().expect("a kill");
        let times: Vec<u128> = waiters
            .iter_mut()
            .map(|(_, said)| {
                let said = std::mem::replace(said, std::thread::spawn(|| None));
                said.join().expect("a thread").map_or(0, |at| at.duration_since(killed).as_nanos())
            })
            .collect();
        let _ = holder.wait();
        for (child, _) in &mut waiters {
            let _ = child.kill();
            let _ = child.wait();
        }
        let own = spawn::until_line(&mut run(&[]), "holding").unwrap_or(0);
        println!("{} {} {} {own}", times[0], times[1], times[2]);
        let _ = std::fs::remove_dir_all(&dir);
    }
}

type Said = JoinHandle<Option<Instant>>;

/// A process, and the moment of its line.
fn start(command: &mut Command, line: &'static str) -> (Child, Said) {
    let (said, says) = std::io::pipe().expect("a pipe");
    command.stdin(Stdio::null()).stdout(says.try_clone().expect("a copy")).stderr(says);
    let child = command.spawn().expect("a process");
    command.stdout(Stdio::null()).stderr(Stdio::null()); // closes our ends
    let reader = std::thread::spawn(move || {
        let found = BufReader::new(said).lines().map_while(Result::ok).any(|said| said.starts_with(line));
        found.then(Instant::now)
    });
    (child, reader)
}

/// Waits for the record lock of the whole file, and says so.
pub fn wait(file: &Path) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(file).expect("a file");
    // SAFETY: the struct is plain numbers, for which zero is a value; the descriptor is open.
    let granted = unsafe {
        let mut lock: libc::flock = std::mem::zeroed();
        lock.l_type = libc::F_WRLCK as _;
        libc::fcntl(file.as_raw_fd(), libc::F_SETLKW, &lock)
    };
    if granted == 0 {
        println!("granted");
    }
}
