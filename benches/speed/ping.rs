//! Pings, over a kept connection and over one each, against a raw blocking client and a tokio server that answers as many
//! bytes. All on one core: unpinned, the scheduler decides whether a round trip takes 8 µs or 45.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use incumbent::{Claim, Found, Instance};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::table::{self, Times};

/// A ping is a header and a nonce; a pong of an instance with a name of four letters.
const ASKED: usize = 12 + 16;
const ANSWERED: usize = 12 + 16 + 16 + (8 + 4) + (1 + 16);
const TURNS: usize = 100;
const PINGS: usize = 200;
const PATIENCE: Duration = Duration::from_secs(5);

fn instance(dir: &Path) -> Instance {
    Instance::new("ping").unwrap().in_dir(dir).unwrap()
}

/// The floor's server: tokio, one thread, as many bytes back as a pong has.
pub(crate) fn serve_floor(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::UnixListener::bind(dir.join("floor.sock")).unwrap();
        eprintln!("ready");
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut asked, answer) = ([0; ASKED], [0; ANSWERED]);
                while client.read_exact(&mut asked).await.is_ok() {
                    client.write_all(&answer).await.unwrap();
                }
            });
        }
    });
}

/// A program that holds, by the library.
pub(crate) fn hold(dir: &Path) {
    let Claim::Won(holder) = instance(dir).claim_blocking().unwrap() else { return };
    holder.ready("");
    eprintln!("ready");
    loop {
        std::thread::park();
    }
}

pub(crate) fn role(role: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(role).arg(dir);
    command
}

/// From now on this process, and whoever it starts, has one core; gives what it had before.
pub(crate) fn stay_on_one_core() -> CpuSet {
    let before = sched_getaffinity(None).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|cpu| before.is_set(*cpu)).unwrap());
    sched_setaffinity(None, &one).unwrap();
    before
}

fn ask(server: &mut UnixStream) {
    server.write_all(&[0; ASKED]).unwrap();
    server.read_exact(&mut [0; ANSWERED]).unwrap();
}

pub(crate) fn measure() {
    let before = stay_on_one_core();
    let dir = tempfile::tempdir().unwrap();
    let servers = [
        table::start_until(&mut role("floor", dir.path()), "ready"),
        table::start_until(&mut role("holder", dir.path()), "ready"),
    ];
    kept(dir.path());
    one_each(dir.path());
    drop(servers);
    sched_setaffinity(None, &before).unwrap();
}

fn kept(dir: &Path) {
    let mut raw = UnixStream::connect(dir.join("floor.sock")).unwrap();
    let Claim::Lost(incumbent) = instance(dir).claim_blocking().unwrap() else { panic!("nobody holds") };
    let mut floor = Times::of("raw blocking client, tokio server");
    let mut ours = Times::of("a ping by the library");
    for _ in 0..TURNS {
        for _ in 0..PINGS {
            let began = Instant::now();
            ask(&mut raw);
            floor.add(began.elapsed());
        }
        for _ in 0..PINGS {
            let began = Instant::now();
            incumbent.ping_blocking(PATIENCE).unwrap();
            ours.add(began.elapsed());
        }
    }
    table::show_tails(
        "One ping over a kept connection, both ends on one core",
        vec![(floor, None, None), (ours, Some(1.2), Some(1.5))],
    );
}

fn one_each(dir: &Path) {
    let (socket, instance) = (dir.join("floor.sock"), instance(dir));
    let mut floor = Times::of("raw blocking client, tokio server");
    let mut ours = Times::of("found and let go of, by the library");
    for _ in 0..TURNS {
        for _ in 0..PINGS / 2 {
            let began = Instant::now();
            let mut raw = UnixStream::connect(&socket).unwrap();
            ask(&mut raw);
            drop(raw);
            floor.add(began.elapsed());
        }
        for _ in 0..PINGS / 2 {
            let began = Instant::now();
            let found = instance.find_blocking(PATIENCE).unwrap();
            assert!(matches!(found, Found::Incumbent(_)));
            drop(found);
            ours.add(began.elapsed());
        }
    }
    table::show_rates("Connect, ping, close; both ends on one core", vec![(floor, None), (ours, Some(0.8))]);
}
