//! Six hours of ticks, or with `STRESS` a week, as fast as they go: nothing that a holder has may grow with its age.
//!
//! The ticks are those of the answering thread, called here; its own go on beside them. Files are deleted again and again,
//! so that most of what can be healed is healed thousands of times. In a process of its own: descriptors, threads and
//! memory are counted, and other tests have their own.

use std::{
    fs,
    path::Path,
    process,
    sync::{Arc, atomic::Ordering, mpsc::sync_channel},
    time::{Duration, Instant},
};

use super::{Command, Held, InstanceId, MOST_FILES, answer, platform, tick};
use crate::{Claim, Instance};

/// The variable that says that this process is to grow old.
const OLD: &str = "INCUMBENT_TEST_GROWS_OLD";
const HOUR: usize = 3600;
/// Ticks between two deletions.
const PEACE: usize = 50;
/// Memory that the allocator may keep for itself, in bytes: two bytes a tick come to more in a week.
const SLACK: usize = 1 << 20;

#[test]
fn after_hours_and_a_week_of_ticks_a_holder_has_no_more_than_after_one_hour() {
    // Wine shows the /proc of the system below it, which counts other things.
    if !platform::ENDPOINT_IS_A_FILE || !Path::new("/proc/self/statm").exists() {
        #[allow(clippy::print_stderr)] // it is to be read
        return eprintln!("\nleft out: a week of ticks, where a process is not told what it has");
    }
    let this = std::env::current_exe().unwrap();
    let mut old = process::Command::new(this);
    old.args(["tick::tests::grow_old", "--exact", "--nocapture", "--test-threads=1"]).env(OLD, "1");
    let ended = old.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success(), "{said}{}", String::from_utf8_lossy(&ended.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

/// What the test above starts, in a process of its own.
#[test]
fn grow_old() {
    if std::env::var_os(OLD).is_none() {
        return;
    }
    let hours = if std::env::var_os("STRESS").is_some() { 7 * 24 } else { 6 };
    let dir = tempfile::tempdir().unwrap();
    let Ok(Claim::Won(holder)) = Instance::new("a").unwrap().in_dir(dir.path()).unwrap().claim_blocking()
    else {
        panic!("it is free")
    };
    let held = holder.held().clone();
    let mut age = 0;
    let mut deleted = 0;
    let mut live_until = |until: usize| {
        while age < until {
            if age % PEACE == 0 {
                delete_and_heal(&held, deleted);
                deleted += 1;
            }
            tick(&held);
            age += 1;
        }
        deleted
    };
    let early_on = live_until(HOUR);
    let young = Belongings::of(&held);
    assert!(early_on > 5 * MOST_FILES, "as many old files are kept by now as ever will be");
    let began = Instant::now();
    let healed = live_until(hours * HOUR);
    let took = began.elapsed();
    let old = Belongings::of(&held);
    #[allow(clippy::print_stdout)] // for whoever runs the week by hand
    {
        println!("{hours} hours, healed {healed} times, in {took:.1?}: {young:?}, then {old:?}");
    }
    assert_eq!((old.descriptors, old.threads), (young.descriptors, young.threads));
    assert_eq!((&old.files, old.history), (&young.files, young.history));
    assert!(old.memory <= young.memory + SLACK, "{young:?}, then {old:?}");
    assert!(holder.is_holding());
    holder.release_blocking().unwrap();
}

/// Deletes one of the files, or all of them, and ticks until they are back. Those ticks are not counted: most of them find
/// that a mender is at work.
fn delete_and_heal(held: &Arc<Held>, number: usize) {
    let socket = held.place.socket();
    let paths = [&held.place.pid, &socket, &held.place.record];
    for (at, path) in paths.iter().enumerate() {
        if number % 4 == at || number % 4 == 3 {
            let _ = fs::remove_file(path);
        }
    }
    let watchdog = Instant::now() + Duration::from_secs(60);
    while paths.iter().any(|path| !path.exists()) || held.mending.load(Ordering::Acquire) {
        tick(held);
        assert!(Instant::now() < watchdog, "it is not healed");
        std::thread::yield_now();
    }
}

/// What a holder has, as the system counts it.
#[derive(Debug)]
struct Belongings {
    descriptors: usize,
    threads: usize,
    memory: usize,
    files: Vec<String>,
    history: usize,
}

impl Belongings {
    fn of(held: &Held) -> Self {
        let watchdog = Instant::now() + Duration::from_secs(60);
        // The last mender may still be on its way out.
        while held.mending.load(Ordering::Acquire) || count("/proc/self/task") > THREADS {
            assert!(Instant::now() < watchdog, "a thread has stayed");
            std::thread::yield_now();
        }
        // And the answering thread may not have closed the last sockets yet: this comes after it.
        let (tell, told) = sync_channel(1);
        answer::post(Command::Unlisten(InstanceId::random().unwrap(), tell));
        told.recv_timeout(Duration::from_secs(60)).unwrap();
        let mut files: Vec<String> = fs::read_dir(&held.place.dir)
            .unwrap()
            .map(|file| file.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        files.sort();
        let history = fs::read_to_string(&held.place.history).unwrap_or_default();
        let resident = fs::read_to_string("/proc/self/statm").unwrap();
        Self {
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            memory: resident.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096,
            files,
            history: history.lines().count(),
        }
    }
}

/// The harness's own, the test's, and the answering thread.
const THREADS: usize = 3;

fn count(dir: &str) -> usize {
    fs::read_dir(dir).unwrap().count()
}
