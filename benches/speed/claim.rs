//! A claim inside a process, on what a crash left: against the least that a guard can do there, which is open, lock,
//! overwrite, bind, listen, and start a thread to answer.
//!
//! Each claims once, as the first thing in a process of its own, and is killed when it has said how long that took: so
//! both find what a killed one left, and none has anything warm that the other has not. All on one core.

use std::{
    fs::{self, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::FileExt as _, net::UnixListener},
    path::Path,
    process::Stdio,
    sync::mpsc,
    time::{Duration, Instant},
};

use incumbent::{Claim, Instance};
use rustix::{
    fs::{FlockOperation, fcntl_lock},
    thread::sched_setaffinity,
};

use crate::{
    ping,
    table::{self, Ended, Times},
};

const TURNS: usize = 200;

/// Says how long it took, and waits to be killed.
fn tell(took: Duration) -> ! {
    println!("{}", took.as_nanos());
    std::io::stdout().flush().unwrap();
    loop {
        std::thread::park();
    }
}

/// The role: the least that a guard can do.
pub(crate) fn raw(dir: &Path) {
    let (file, socket) = (dir.join("raw.pid"), dir.join("raw.sock"));
    let began = Instant::now();
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(file).unwrap();
    fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
    file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0).unwrap();
    let _ = fs::remove_file(&socket); // or binding there would fail
    let listener = UnixListener::bind(&socket).unwrap();
    let (tell_it, told) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        tell_it.send(()).unwrap();
        listener.incoming().for_each(drop);
    });
    told.recv().unwrap();
    tell(began.elapsed());
}

/// The role: a claim by the library.
pub(crate) fn claim(dir: &Path) {
    let instance = Instance::new("claim").unwrap().in_dir(dir).unwrap();
    let began = Instant::now();
    let Claim::Won(_holder) = instance.claim_blocking().unwrap() else { panic!("somebody holds") };
    tell(began.elapsed());
}

/// What it says that it took. It is killed on return.
fn time_of(role: &str, dir: &Path) -> Duration {
    let mut command = ping::role(role, dir);
    let mut child = Ended(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap());
    let mut said = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
    Duration::from_nanos(said.trim().parse().unwrap())
}

pub(crate) fn measure() {
    let before = ping::stay_on_one_core();
    let dir = tempfile::tempdir().unwrap();
    let roles = ["raw-claimer", "claimer"];
    for role in roles {
        time_of(role, dir.path()); // leaves what the first one finds
    }
    let mut floor = Times::of("raw: open, lock, overwrite, bind, listen, thread");
    let mut ours = Times::of("a claim by the library");
    for _ in 0..TURNS {
        floor.add(time_of(roles[0], dir.path()));
        ours.add(time_of(roles[1], dir.path()));
    }
    sched_setaffinity(None, &before).unwrap();
    table::show(
        "A claim inside a process, on the files that a crash left, on one core",
        vec![(floor, None), (ours, Some(1.5))],
    );
}
