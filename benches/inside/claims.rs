//! Claims, won and lost, and talking to a holder in another process.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use divan::{Bencher, counter::ItemsCount};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tempfile::TempDir;

use crate::{Claim, Found, Holder, Incumbent, Instance, decide::Hailed, hail};

const PATIENCE: Duration = Duration::from_secs(5);

/// Whoever is started from now on inherits it.
pub(crate) fn stay_on_one_core() {
    let before = sched_getaffinity(None).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|cpu| before.is_set(*cpu)).unwrap());
    sched_setaffinity(None, &one).unwrap();
}

fn instance(dir: &Path) -> Instance {
    Instance::new("bench").unwrap().in_dir(dir).unwrap()
}

fn won(instance: &Instance) -> Holder {
    match instance.claim_blocking().unwrap() {
        Claim::Won(holder) => holder,
        Claim::Lost(incumbent) => panic!("{:?} holds", incumbent.pid()),
    }
}

fn lost(instance: &Instance) -> Incumbent {
    match instance.claim_blocking().unwrap() {
        Claim::Won(_) => panic!("nobody holds"),
        Claim::Lost(incumbent) => incumbent,
    }
}

/// The role: a program that holds until its standard input ends.
pub(crate) fn hold(dir: &Path) {
    let holder = won(&instance(dir));
    holder.ready("");
    println!("ready");
    std::io::stdout().flush().unwrap();
    std::io::stdin().lines().for_each(drop);
}

/// A process that holds; killed, and reaped, with this value.
struct Held(Child);

impl Held {
    fn start(dir: &Path) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg("holder").arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut held = Self(command.spawn().unwrap());
        let mut said = String::new();
        BufReader::new(held.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n");
        held
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A holder in another process, and its instance.
struct Scene {
    instance: Instance,
    _held: Held,
    _dir: TempDir,
}

fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    Scene { instance: instance(dir.path()), _held: Held::start(dir.path()), _dir: dir }
}

/// The first claim of a process also starts its answering thread.
fn start_the_thread() {
    let dir = tempfile::tempdir().unwrap();
    won(&instance(dir.path())).release_blocking().unwrap();
}

#[divan::bench]
fn claim_and_release_in_an_empty_directory(bencher: Bencher) {
    start_the_thread();
    bencher.with_inputs(|| tempfile::tempdir().unwrap()).bench_values(|dir| {
        won(&instance(dir.path())).release_blocking().unwrap();
        dir
    });
}

#[divan::bench]
fn claim_and_release_after_a_release(bencher: Bencher) {
    let dir = tempfile::tempdir().unwrap();
    let instance = instance(dir.path());
    won(&instance).release_blocking().unwrap();
    bencher.bench_local(|| won(&instance).release_blocking().unwrap());
}

/// On what `kill -9` left. Only the claim: the release comes when the clock stands.
#[divan::bench(sample_count = 200, sample_size = 1)]
fn claim_after_a_crash(bencher: Bencher) {
    start_the_thread();
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().into();
    bencher
        .with_inputs(|| {
            drop(Held::start(&path));
            instance(&path)
        })
        .bench_local_values(|instance| won(&instance));
}

#[divan::bench]
fn lost_claim(bencher: Bencher) {
    let scene = scene();
    bencher.bench_local(|| lost(&scene.instance));
}

/// The hail alone, as each claim begins: connect, who is there, ping, pong, close.
#[divan::bench]
fn hail_of_a_holder(bencher: Bencher) {
    let scene = scene();
    let place = scene.instance.place().unwrap();
    bencher.bench_local(|| {
        let hail = hail::hail(&place, hail::Patience::until(Instant::now() + PATIENCE), None);
        assert_eq!(hail.met, Hailed::Pong);
        hail
    });
}

#[divan::bench]
fn hail_of_nobody_after_a_crash(bencher: Bencher) {
    let dir = tempfile::tempdir().unwrap();
    drop(Held::start(dir.path()));
    let place = instance(dir.path()).place().unwrap();
    bencher.bench_local(|| {
        let hail = hail::hail(&place, hail::Patience::until(Instant::now() + PATIENCE), None);
        assert_eq!(hail.met, Hailed::Nobody);
    });
}

#[divan::bench]
fn ping_over_a_kept_connection(bencher: Bencher) {
    let scene = scene();
    let incumbent = lost(&scene.instance);
    bencher.bench_local(|| incumbent.ping_blocking(PATIENCE).unwrap());
}

/// As many items a second as clients that come, ping and go.
#[divan::bench]
fn connect_ping_close(bencher: Bencher) {
    let scene = scene();
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let found = scene.instance.find_blocking(PATIENCE).unwrap();
        assert!(matches!(found, Found::Incumbent(_)));
    });
}

#[divan::bench]
fn status_over_a_kept_connection(bencher: Bencher) {
    let scene = scene();
    let incumbent = lost(&scene.instance);
    bencher.bench_local(|| incumbent.status_blocking(PATIENCE).unwrap());
}
