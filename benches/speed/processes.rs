//! Whole processes, from the spawn to the end (or to `holding`): what a script or a service manager waits for.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use crate::table::{self, Times};

const GATEWAY: &str = env!("CARGO_BIN_EXE_gateway");
const TURNS: usize = 200;
const STARTS: usize = 60;

pub(crate) fn gateway(dir: &Path) -> Command {
    let mut command = Command::new(GATEWAY);
    command.arg("--dir").arg(dir).env_remove("GATEWAY_LOG").env_remove("GATEWAY_NAME");
    command
}

pub(crate) fn run(dir: &Path) -> Command {
    let mut command = gateway(dir);
    command.arg("run");
    command
}

pub(crate) fn measure() {
    let dir = tempfile::tempdir().unwrap();
    short_ones(dir.path());
    starts(dir.path());
}

fn hello(dir: &Path) -> PathBuf {
    let out = dir.join("hello");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/speed/hello.rs");
    let built = Command::new("rustc")
        .args(["-O", "-C", "strip=symbols", "-o"])
        .arg(&out)
        .arg(source)
        .current_dir(dir)
        .status()
        .unwrap();
    assert!(built.success(), "rustc builds {source}");
    out
}

fn short_ones(dir: &Path) {
    let hello = hello(dir);
    let place = dir.join("short");
    let holder = table::start_until(&mut run(&place), "holding ");
    let mut status = gateway(&place);
    status.args(["status", "--json"]);
    let mut rows = [
        (Times::of("a Rust hello"), Command::new(hello), 0),
        (Times::of("gateway status --json, of a living holder"), status, 0),
        (Times::of("gateway run, refused"), run(&place), 75),
    ];
    for _ in 0..TURNS {
        for (times, command, code) in &mut rows {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let began = Instant::now();
            let ended = command.status().unwrap();
            times.add(began.elapsed());
            assert_eq!(ended.code(), Some(*code));
        }
    }
    drop(holder);
    let targets = [None, Some(1.6), Some(1.6)];
    let rows = rows.into_iter().map(|(times, ..)| times).zip(targets).collect();
    table::show("Whole processes, from the spawn to the exit", rows);
}

fn starts(dir: &Path) {
    let mut cold = Times::of("a cold start, in an empty directory");
    let mut next = Times::of("the next one, on what kill -9 left");
    let mut killed = Times::of("from kill -9 (unreaped) to the next one holding");
    for turn in 0..STARTS {
        let place = dir.join(format!("start{turn}"));
        std::fs::create_dir(&place).unwrap();

        let began = Instant::now();
        let mut holder = table::start_until(&mut run(&place), "holding ");
        cold.add(began.elapsed());
        holder.kill();

        let began = Instant::now();
        let mut holder = table::start_until(&mut run(&place), "holding ");
        next.add(began.elapsed());

        let began = Instant::now();
        holder.0.kill().unwrap();
        let successor = table::start_until(&mut run(&place), "holding ");
        killed.add(began.elapsed());
        drop((holder, successor));
    }
    table::show(
        "Starts, from the spawn of `gateway run` (or the kill) to its line `holding …`",
        vec![(cold, None), (next, Some(2.0)), (killed, Some(2.0))],
    );
}
