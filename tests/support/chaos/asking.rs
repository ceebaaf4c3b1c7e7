//! Commands that come to an end by themselves: asked beside everything else, and held against the codes that they may
//! have.

use std::{
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::{Output, Stdio},
    sync::{Arc, mpsc::channel},
    time::Duration,
};

use super::{
    arena::{Arena, text_of},
    places::thaw,
    start::gateway,
    witness::now,
};

/// No command takes so long, whatever is done to it: a grace, and what a holder may be stopped, frozen and starved for.
const WATCHDOG: Duration = Duration::from_secs(90);

fn run(arena: &Arena, words: &[String]) -> Output {
    let mut command = gateway(arena, &[]);
    let child = command.args(words).stdout(Stdio::piped()).spawn().unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    let (done, ended) = channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    ended.recv_timeout(WATCHDOG).map_or_else(
        |_| {
            arena.fault(&format!("{words:?} did not end within {WATCHDOG:?}"));
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            ended.recv().unwrap().unwrap()
        },
        Result::unwrap,
    )
}

/// Asks, on a thread of its own.
pub fn ask(arena: &Arc<Arena>, words: &[&str], codes: &'static [i32]) {
    let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
    let kind = if words.iter().any(|word| word == "--force") { "stop --force" } else { words[0].as_str() };
    arena.shared.count(&format!("asked: {kind}"));
    let arena = arena.clone();
    arena.shared.clone().spawn(move || {
        let begun = now();
        let is_stop = words[0] == "stop";
        let window = is_stop.then(|| {
            let mut asked = arena.asked.lock().unwrap();
            asked.push(((begun, u64::MAX), words.join(" ")));
            asked.len() - 1
        });
        arena.say(&format!("{words:?}"));
        let output = run(&arena, &words);
        if let Some(window) = window {
            arena.asked.lock().unwrap()[window].0.1 = now();
        }
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = output.status.code();
        arena.say(&format!("{words:?} from {begun}: {code:?} {stderr}"));
        if code.is_none_or(|code| !codes.contains(&code)) || stderr.contains("panicked") {
            arena.fault(&format!("{words:?} ended with {:?}/{:?}: {stderr}", code, output.status.signal()));
        }
    });
}

/// Remembers what the history says now.
pub fn harvest(arena: &Arena) {
    arena.harvest(|| {
        let output = run(arena, &["history".to_owned(), "--json".to_owned()]);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    });
}

/// Stops whoever holds, until nobody does.
pub fn stop_all(arena: &Arena) {
    // However quickly each stop returns: a start may be on its way to its own end.
    let watchdog = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while std::time::Instant::now() < watchdog {
        let begun = now();
        let output =
            run(arena, &["stop".to_owned(), "--force".to_owned(), "--grace".to_owned(), "1s".to_owned()]);
        arena.asked.lock().unwrap().push(((begun, now()), "stop --force".to_owned()));
        arena.say(&format!("the last stop: {output:?}"));
        let is_over = arena.starts().iter().all(|start| start.pid().is_none());
        if is_over {
            return;
        }
    }
    arena.fault("it cannot be stopped");
}

/// Ends everything that is still there when this is dropped, also when the test has failed in the middle.
pub struct Ender(pub Vec<Arc<Arena>>);

impl Drop for Ender {
    fn drop(&mut self) {
        for arena in &self.0 {
            arena.shared.over.declare();
            thaw(&arena.dir);
        }
        // Killed parents leave their children to this process.
        for _ in 0..100 {
            let children = orphans();
            if children.is_empty() {
                return;
            }
            for pid in children {
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(10)); // who is to be reaped by a thread that watches it is
        }
    }
}

/// The children of this process that have not ended.
fn orphans() -> Vec<nix::unistd::Pid> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let children = tasks.map(|task| text_of(&task.path().join("children")));
    let pids: Vec<i32> = children
        .flat_map(|pids| pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    let lives = |pid: &i32| !text_of(Path::new(&format!("/proc/{pid}/stat"))).contains(") Z ");
    pids.into_iter().filter(lives).map(nix::unistd::Pid::from_raw).collect()
}
