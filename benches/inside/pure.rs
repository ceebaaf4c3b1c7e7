//! Messages from bytes and to bytes, the record to its file and back, and the decisions.

use divan::Bencher;
use incumbent_proto::Kind;

use crate::{
    decide::{Goal, Step},
    record::{Past, Record},
    samples, ways,
};

#[divan::bench(args = Kind::ALL)]
fn encode(bencher: Bencher, kind: Kind) {
    let said = samples::said(kind);
    bencher.bench(|| divan::black_box(&said).encode());
}

#[divan::bench(args = Kind::ALL)]
fn decode(bencher: Bencher, kind: Kind) {
    let bytes = samples::said(kind).encode();
    bencher.bench(|| samples::decode(divan::black_box(&bytes)));
}

#[divan::bench]
fn record_write(bencher: Bencher) {
    let dir = tempfile::tempdir().unwrap();
    let (record, path) = (samples::record(), dir.path().join("bench.json"));
    bencher.bench_local(|| record.write(&path).unwrap());
}

#[divan::bench]
fn record_read(bencher: Bencher) {
    let dir = tempfile::tempdir().unwrap();
    let (record, path) = (samples::record(), dir.path().join("bench.json"));
    record.write(&path).unwrap();
    bencher.bench_local(|| {
        let Past::Record(read) = Record::read(&path) else { panic!("what was written is read") };
        read
    });
}

#[divan::bench]
fn decide_claim() -> Step {
    ways::decide(Goal::Claim, divan::black_box(&ways::CLAIM))
}

#[divan::bench]
fn decide_takeover() -> Step {
    ways::decide(Goal::Takeover { force: false }, divan::black_box(&ways::TAKEOVER))
}

#[divan::bench]
fn decide_tick() -> crate::decide::Care {
    ways::care()
}
