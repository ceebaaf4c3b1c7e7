//! What is counted, on the thread that does it. It comes out alike in every run, in any directory: what would not, is done a
//! hundred times (messages), or left out: a release, which waits for the answering thread (6 % between runs), and what
//! that thread does, which depends on when it is woken.

use std::{
    hint::black_box,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use gungraun::{library_benchmark, library_benchmark_group};
use incumbent_proto::Kind;
use tempfile::TempDir;

use crate::{
    Claim, Holder, Incumbent, Instance,
    decide::{Care, Goal, Hailed, Seen, Step},
    hail::{Hail, Patience},
    place::Place,
    record::{Past, Record},
    samples::{self, Said},
    ways,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// So often that it does not matter what the allocator had at hand when it began: one message more or less is a tenth.
const TIMES: usize = 100;

#[library_benchmark(setup = samples::said)]
#[bench::ping(Kind::Ping)]
#[bench::identify(Kind::Identify)]
#[bench::stop(Kind::Stop)]
#[bench::status(Kind::Status)]
#[bench::send(Kind::Send)]
#[bench::watch(Kind::Watch)]
#[bench::pong(Kind::Pong)]
#[bench::identity(Kind::Identity)]
#[bench::stopping(Kind::Stopping)]
#[bench::status_is(Kind::StatusIs)]
#[bench::answer(Kind::Answer)]
#[bench::progress(Kind::Progress)]
#[bench::refused(Kind::Refused)]
#[bench::unsupported(Kind::Unsupported)]
fn encode(said: Said) -> Said {
    for _ in 0..TIMES {
        black_box(black_box(&said).encode());
    }
    said
}

fn bytes_of(kind: Kind) -> Vec<u8> {
    samples::said(kind).encode()
}

#[library_benchmark(setup = bytes_of)]
#[bench::ping(Kind::Ping)]
#[bench::identify(Kind::Identify)]
#[bench::stop(Kind::Stop)]
#[bench::status(Kind::Status)]
#[bench::send(Kind::Send)]
#[bench::watch(Kind::Watch)]
#[bench::pong(Kind::Pong)]
#[bench::identity(Kind::Identity)]
#[bench::stopping(Kind::Stopping)]
#[bench::status_is(Kind::StatusIs)]
#[bench::answer(Kind::Answer)]
#[bench::progress(Kind::Progress)]
#[bench::refused(Kind::Refused)]
#[bench::unsupported(Kind::Unsupported)]
fn decode(bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..TIMES {
        black_box(samples::decode(black_box(&bytes)));
    }
    bytes
}

/// A record in its file.
struct Written {
    record: Record,
    path: PathBuf,
    _dir: TempDir,
}

fn written() -> Written {
    let dir = tempfile::tempdir().unwrap();
    let (record, path) = (samples::record(), dir.path().join("bench.json"));
    record.write(&path).unwrap();
    Written { record, path, _dir: dir }
}

#[library_benchmark(setup = written)]
#[bench::over_another()]
fn record_write(written: Written) -> Written {
    written.record.write(black_box(&written.path)).unwrap();
    written
}

#[library_benchmark(setup = written)]
#[bench::whole()]
fn record_read(written: Written) -> (Written, Past) {
    let past = Record::read(black_box(&written.path));
    (written, past)
}

#[library_benchmark]
#[bench::claim(Goal::Claim, &ways::CLAIM)]
#[bench::takeover(Goal::Takeover { force: false }, &ways::TAKEOVER)]
fn decide(goal: Goal, way: &[Seen]) -> Step {
    ways::decide(black_box(goal), black_box(way))
}

#[library_benchmark]
#[bench::all()]
fn decide_tick() -> Care {
    ways::care()
}

fn instance(dir: &Path) -> Instance {
    Instance::new("bench").unwrap().in_dir(dir).unwrap()
}

/// An instance, and the process that holds it; that is killed with this value, and not counted.
struct Scene {
    instance: Instance,
    place: Place,
    held: Child,
    _dir: TempDir,
}

impl Scene {
    fn kill(&mut self) {
        let _ = self.held.kill();
        let _ = self.held.wait();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.kill();
    }
}

fn held() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gateway"));
    command.args(["--name", "bench", "run", "--dir"]).arg(dir.path());
    let mut held = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(held.stderr.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.starts_with("holding "), "{said}");
    let instance = instance(dir.path());
    Scene { place: instance.place().unwrap(), instance, held, _dir: dir }
}

fn left_over() -> Scene {
    let mut scene = held();
    scene.kill();
    scene
}

#[library_benchmark(setup = held)]
#[bench::holder()]
#[bench::nobody(setup = left_over)]
fn hail(scene: Scene) -> (Scene, Hail) {
    let hail = crate::hail::hail(&scene.place, Patience::until(Instant::now() + PATIENCE), None);
    assert!(matches!(hail.met, Hailed::Pong | Hailed::Nobody));
    (scene, hail)
}

fn lost() -> (Scene, Incumbent) {
    let scene = held();
    let Claim::Lost(incumbent) = scene.instance.claim_blocking().unwrap() else { panic!("nobody holds") };
    (scene, incumbent)
}

#[library_benchmark(setup = lost)]
#[bench::kept()]
fn ping(lost: (Scene, Incumbent)) -> (Scene, Incumbent) {
    lost.1.ping_blocking(PATIENCE).unwrap();
    lost
}

#[library_benchmark(setup = held)]
#[bench::lost()]
#[bench::left_over(setup = left_over)]
fn claim(scene: Scene) -> (Scene, Claim) {
    let claim = scene.instance.claim_blocking().unwrap();
    (scene, claim)
}

fn free() -> (TempDir, Instance) {
    let dir = tempfile::tempdir().unwrap();
    let instance = instance(dir.path());
    (dir, instance)
}

#[library_benchmark(setup = free)]
#[bench::in_an_empty_directory()]
fn claim_free(free: (TempDir, Instance)) -> (TempDir, Holder) {
    let Claim::Won(holder) = free.1.claim_blocking().unwrap() else { panic!("somebody holds") };
    (free.0, holder)
}

library_benchmark_group!(name = messages, benchmarks = [encode, decode]);
library_benchmark_group!(name = records, benchmarks = [record_write, record_read]);
library_benchmark_group!(name = decisions, benchmarks = [decide, decide_tick]);
library_benchmark_group!(name = claims, benchmarks = [hail, ping, claim, claim_free]);
