//! After `kill -9` of `gateway` its child, and whatever that started, never runs beside the next one: a witness keeps a
//! lock of its own, all that it starts keep it too, and the next witness says whether it was free.
#![cfg(target_os = "linux")] // elsewhere the system does not show who keeps the lock, or a job takes its place
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;
#[path = "support/users.rs"]
mod users;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::{fs::MetadataExt as _, process::ExitStatusExt as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use gateway::{Place, Running, pid_of};
use incumbent::{ChildLock, ChildLockOptions, Error, Process, ProcessState};
use nix::sys::signal::{Signal, kill};
use os::is_there;
use program::{Program, eventually, instance, orders, tell, won};
use rustix::fs::{FlockOperation, flock};
use users::{OWNER, Town};

#[test]
fn role() {
    let Some((name, dir)) = program::role() else { return };
    match name.as_str() {
        "starter" => starter(&dir),
        other => panic!("no role {other}"),
    }
}

/// A holder that takes the child's lock when it is told, and tells what came of it.
fn starter(dir: &Path) {
    tell("ready");
    let mut held = None;
    for order in orders() {
        let answer = match order.split_once(' ').unwrap_or((&order, "")) {
            ("hold", _) => {
                held = Some(won(instance(dir).claim_blocking()));
                "done".to_owned()
            }
            ("child", pid) => {
                held.as_ref().unwrap().set_child(Some((pid.parse().unwrap(), &["job".into()])));
                "done".to_owned()
            }
            ("lock", _) => {
                let options = ChildLockOptions::default().grace(Duration::from_millis(100));
                let lock = held.as_ref().unwrap().child_lock_blocking(&options, |_| {});
                lock.map_or_else(|error| error.to_string(), |_| "had".to_owned())
            }
            (other, _) => panic!("no order {other}"),
        };
        tell(format!("{}: {answer}", order.split(' ').next().unwrap()));
    }
}

/// Says whether the witness's lock was free, and becomes what it is told.
const WITNESS: &str = "
import fcntl, os, signal, sys
if 'loses-descriptors' in sys.argv:
    os.closerange(3, 65536)
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o666)
os.set_inheritable(lock, True)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    said = 'witness alone'
except OSError:
    said = 'witness OVERLAPS'
if 'large' in sys.argv:
    memory = bytearray(int(sys.argv[-1]) << 20)
    memory[::4096] = b'x' * len(memory[::4096])
if 'nobody' in sys.argv:
    os.setgid(65534)
    os.setuid(65534)
if 'parent' in sys.argv:
    os.execvp('sh', ['sh', '-c', 'sleep 1000 & sleep 1000 & echo ' + said + '; wait'])
print(said, flush=True)
signal.pause()
";

/// The same, small and quick.
const QUICK_WITNESS: &str = "exec 9> \"$0\"
if flock -n 9; then echo witness alone; else echo witness OVERLAPS; fi
exec sleep 1000";

/// Kills `gateway` again and again, and looks whether the next child is alone.
fn alone_after_each_kill(rounds: usize, kind: &[&str]) {
    let place = Place::new();
    let witness = place.dir().join("witness");
    let program = if kind.is_empty() { ["sh", "-c", QUICK_WITNESS] } else { ["python3", "-c", WITNESS] };
    let command = [&["run", "--"], &program[..], &[witness.to_str().unwrap()], kind].concat();
    let mut last: Option<Running> = None;
    for round in 0..=rounds * stress() {
        let next = place.hold(&command);
        assert_eq!(next.prints("witness"), "witness alone", "round {round}");
        if let Some(last) = last {
            last.end(); // and that of all that had its output
        }
        next.signal(Signal::SIGKILL);
        last = Some(next);
    }
    // The last one's are ended as well before anybody starts.
    assert_eq!(place.finish(&["run", "--", "true"]).code(), 0);
    last.unwrap().end();
}

fn stress() -> usize {
    std::env::var("STRESS").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    #[allow(clippy::print_stderr)]
    if !is_root {
        eprintln!("left out: only root can play other users");
    }
    is_root
}

#[test]
fn a_killed_gateways_child_never_overlaps_the_next() {
    alone_after_each_kill(20, &[]);
    alone_after_each_kill(20, &["large", "1"]);
}

#[test]
fn a_child_of_a_gigabyte_never_overlaps_the_next() {
    alone_after_each_kill(2, &["large", "1024"]);
}

#[test]
fn grandchildren_never_overlap_the_next_child() {
    alone_after_each_kill(20, &["parent"]);
}

#[test]
fn a_child_that_changed_its_user_never_overlaps_the_next() {
    if is_root() {
        alone_after_each_kill(20, &["nobody"]);
        alone_after_each_kill(5, &["nobody", "parent"]);
    }
}

#[test]
fn a_child_that_changed_its_user_and_closed_every_descriptor_is_found_by_the_record() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    let witness = place.dir().join("witness");
    let kind = ["loses-descriptors", "nobody"];
    let command = [&["run", "--", "python3", "-c", WITNESS, witness.to_str().unwrap()], &kind[..]].concat();
    for _ in 0..5 {
        let holder = place.hold(&command);
        assert_eq!(holder.prints("witness"), "witness alone");
        assert_eq!(place.finish(&["wait", "--ready"]).code(), 0);
        let next = {
            holder.signal(Signal::SIGKILL);
            place.hold(&["run", "--", "flock", "--nonblock", witness.to_str().unwrap(), "echo", "alone"])
        };
        assert_eq!(next.end().stdout, "alone\n");
        holder.end();
    }
}

/// Starts a holder whose child starts what this shell command says, and kills it; the pid that the command prints.
fn left_behind(place: &Place, command: &str) -> (Running, u32) {
    let holder = place.hold(&["run", "--", "sh", "-c", command]);
    let left = holder.prints("left ").split(' ').nth(1).unwrap().parse().unwrap();
    holder.signal(Signal::SIGKILL);
    (holder, left)
}

const DEAF: &str = "trap '' TERM; sleep 1000 & echo left $!; wait";

#[test]
fn what_ignores_the_signal_is_named_and_killed_after_the_grace() {
    let place = Place::new();
    let (killed, left) = left_behind(&place, DEAF);
    let next = place.hold(&["run", "--grace", "500ms", "--", "echo", "started"]);
    let waits = next.says("waiting");
    assert!(waits.contains(&format!("pid {left} (sleep 1000)")), "{waits}");
    let ended = next.end();
    assert_eq!((ended.code(), ended.stdout.as_str()), (0, "started\n"));
    assert!(ended.stderr.contains("is gone after"), "{ended:?}");
    assert!(!ended.stderr.contains("cannot be seen"), "its end is not taken for a riddle: {ended:?}");
    killed.end();
}

#[test]
fn a_signal_or_a_stop_ends_the_waiting() {
    let place = Place::new();
    let (killed, left) = left_behind(&place, DEAF);
    for signalled in [true, false] {
        let next = place.hold(&["run", "--", "echo", "started"]);
        next.says("waiting");
        let status = place.finish(&["status"]).stdout;
        assert!(status.contains("waiting for what the last PROGRAM left behind"), "{status}");
        if signalled {
            next.signal(Signal::SIGTERM);
        } else {
            assert_eq!(place.finish(&["stop"]).code(), 0);
        }
        let ended = next.end();
        assert_eq!((ended.code(), ended.stdout.as_str()), (0, ""), "nothing was started: {ended:?}");
        assert!(is_there(left));
    }
    assert_eq!(place.finish(&["run", "--grace", "0s", "--", "true"]).code(), 0);
    killed.end();
}

#[test]
fn what_is_stopped_is_woken_to_end() {
    let place = Place::new();
    let holder = place.hold(&["run", "--", "sh", "-c", "trap '' HUP; sleep 1000 & echo left $!; wait"]);
    let left: u32 = holder.prints("left ").split(' ').nth(1).unwrap().parse().unwrap();
    kill(pid_of(left), Signal::SIGSTOP).unwrap();
    eventually("it is stopped", || Process::of(left).unwrap().unwrap().state == ProcessState::Stopped);
    holder.signal(Signal::SIGKILL);
    assert_eq!(place.finish(&["run", "--grace", "1h", "--", "true"]).code(), 0);
    holder.end();
}

#[test]
fn what_goes_on_forking_is_ended_too() {
    let place = Place::new();
    let forks = "(trap '' TERM; while :; do sleep 0.01 & wait; done) & echo left $!; wait";
    let (killed, _) = left_behind(&place, forks);
    assert_eq!(place.finish(&["run", "--grace", "300ms", "--", "true"]).code(), 0);
    killed.end();
}

#[test]
fn who_only_reads_the_file_is_left_alone() {
    let place = Place::new();
    let (killed, _) = left_behind(&place, DEAF);
    let mut read = Command::new("sh");
    read.args(["-c", "exec 3< \"$0\"; echo reading; exec cat"]).arg(place.dir().join("gateway.child"));
    let reader = Running::start(&mut read);
    reader.prints("reading");
    assert_eq!(place.finish(&["run", "--grace", "0s", "--", "true"]).code(), 0);
    killed.end();
    assert_eq!(reader.end().code(), 0, "nobody has signalled it");
}

#[test]
fn a_successor_that_descends_from_the_old_child_does_not_wait_for_itself() {
    let place = Place::new();
    let fifo = place.dir().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let successor = "exec \"$0\" run --grace 1h -- sh -c 'echo second; exec sleep 1000'";
    for successor in [successor.to_owned(), successor.replace("exec \"$0\"", "\"$0\"") + "; :"] {
        let script = format!(
            "sh -c 'read go < \"$1\"; {}' \"$0\" \"$1\" & echo first; wait",
            successor.replace('\'', r"'\''")
        );
        let program = env!("CARGO_BIN_EXE_gateway");
        let first = place.hold(&["run", "--", "sh", "-c", &script, program, fifo.to_str().unwrap()]);
        first.prints("first");
        first.signal(Signal::SIGKILL);
        assert_eq!(place.finish(&["wait", "--gone"]).code(), 0);
        fs::write(&fifo, "go\n").unwrap();
        first.prints("second");
        assert_eq!(place.finish(&["stop"]).code(), 0);
        first.end();
    }
}

#[test]
fn a_daemon_that_closes_every_descriptor_escapes() {
    let place = Place::new();
    let daemon = "
import os, signal
if os.fork() == 0:
    os.setsid()
    os.closerange(3, 65536)
    print('left', os.getpid(), flush=True)
    os.closerange(0, 3)
signal.pause()";
    let holder = place.hold(&["run", "--", "python3", "-c", daemon]);
    let left: u32 = holder.prints("left ").split(' ').nth(1).unwrap().parse().unwrap();
    holder.signal(Signal::SIGKILL);
    let next = place.finish(&["run", "--", "true"]);
    holder.end();
    let lives = is_there(left);
    let _ = kill(pid_of(left), Signal::SIGKILL);
    assert!(lives && next.code() == 0, "the README says so: {next:?}");
}

#[test]
fn another_users_leftover_is_refused_with_a_sentence() {
    let Some(town) = Town::new() else { return };
    let dir = town.directory("place", OWNER, 0o700);
    let start = || {
        let mut holder = town.role_as(OWNER, "starter", &dir);
        holder.ask("hold");
        holder
    };
    let mut first = start();
    assert_eq!(first.ask("lock"), "had");

    let locked = fs::File::options().write(true).open(dir.join("a.child")).unwrap();
    flock(&locked, FlockOperation::LockShared).unwrap(); // this process is root's
    let refused = first.ask("lock");
    assert!(refused.contains("cannot be seen from here") && refused.contains("another user's"), "{refused}");
    drop(locked);
    assert_eq!(first.ask("lock"), "had");

    let mut job = Command::new("sleep").arg("1000").spawn().unwrap();
    first.ask(&format!("child {}", job.id()));
    first.kill_9();
    let mut second = start();
    let refused = second.ask("lock");
    assert!(refused.contains(&format!("pid {} (sleep 1000) is not this user's", job.id())), "{refused}");
    job.kill().unwrap();
    job.wait().unwrap();
    assert_eq!(second.ask("lock"), "had");
}

#[test]
fn what_is_above_the_pid_namespace_is_not_seen_and_not_run_beside() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let inside = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let mut holder = Program::role_under(&inside, "starter", dir.path());
    holder.ask("hold");
    assert_eq!(holder.ask("lock"), "had");
    let locked = fs::File::open(dir.path().join("a.child")).unwrap();
    flock(&locked, FlockOperation::LockShared).unwrap();
    let refused = holder.ask("lock");
    assert!(refused.contains("in another pid namespace"), "{refused}");
}

#[test]
fn a_child_is_not_found_by_a_number_that_another_has_now() {
    a_stranger_is_left_alone_by(|record| {
        let ticks = record["child"]["start_ticks"].as_u64().unwrap();
        record["child"]["start_ticks"] = (ticks - 1).into();
    });
}

#[test]
fn a_child_of_another_boot_namespace_or_directory_is_not_found_though_number_and_start_agree() {
    a_stranger_is_left_alone_by(|record| record["boot_id"] = "another".into());
    a_stranger_is_left_alone_by(|record| record["child"]["pid_namespace"] = "another".into());
    a_stranger_is_left_alone_by(|record| record["dir_id"]["ino"] = 1.into());
    a_stranger_is_left_alone_by(|record| record["dir_id"]["dev"] = 1.into());
}

/// A killed holder's record names a process that lives, and is then changed.
#[track_caller]
fn a_stranger_is_left_alone_by(change: impl FnOnce(&mut serde_json::Value)) {
    let dir = tempfile::tempdir().unwrap();
    let mut first = Program::role("starter", dir.path());
    first.ask("hold");
    let mut stranger = Killed(Command::new("sleep").arg("1000").spawn().unwrap());
    first.ask(&format!("child {}", stranger.0.id()));
    first.kill_9();
    let path = dir.path().join("a.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut record);
    fs::write(&path, record.to_string()).unwrap();
    let mut second = Program::role("starter", dir.path());
    second.ask("hold");
    assert_eq!(second.ask("lock"), "had");
    assert_eq!(stranger.0.try_wait().unwrap(), None, "it lives");
}

#[test]
fn the_lock_is_taken_once_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let options = ChildLockOptions::default().grace(Duration::from_secs(3600));
    let mut holder = won(instance(dir.path()).claim_blocking());
    for _ in 0..3 {
        let lock = holder.child_lock_blocking(&options, |_| panic!("nobody is left")).unwrap();
        let again = holder.child_lock_blocking(&options, |_| {}).unwrap_err();
        assert!(again.to_string().contains("must drop"), "{again}");
        holder.release_blocking().unwrap();
        holder = won(instance(dir.path()).claim_blocking());
        drop(lock);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    drop(runtime.block_on(holder.child_lock(options.clone(), |_| {})).unwrap());
    let unknown = holder.child_lock_blocking(&options.clone().stop_signal(4242), |_| {}).unwrap_err();
    assert!(matches!(unknown, Error::Io { .. }), "{unknown}");
}

#[test]
fn the_lock_is_shown_with_who_keeps_it_and_lasts_as_long_as_they_do() {
    let dir = tempfile::tempdir().unwrap();
    let options = ChildLockOptions::default().grace(Duration::from_millis(50));
    let holder = won(instance(dir.path()).claim_blocking());
    let mut keeper = {
        let lock = holder.child_lock_blocking(&options, |_| {}).unwrap();
        let mut command = Command::new("sh");
        // It does not become another program: who is looked for in that moment is not seen.
        command
            .args(["-c", "trap '' TERM; echo ready; read line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        Killed(ChildLock::spawn(&[lock], &mut command).unwrap())
    };
    let mut line = String::new();
    BufReader::new(keeper.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let mut shown = Vec::new();
    let show = |left: &[Process]| shown.push(left.iter().map(|it| it.pid).collect::<Vec<_>>());
    drop(holder.child_lock_blocking(&options, show).unwrap());
    assert_eq!(shown, [[keeper.0.id()]]);
    assert_eq!(keeper.0.wait().unwrap().signal(), Some(9));
}

/// A child that is killed with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn who_was_deposed_starts_no_child() {
    let dir = tempfile::tempdir().unwrap();
    let holder = won(instance(dir.path()).claim_blocking());
    let path = dir.path().join("a.json");
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["generation"] = (record["generation"].as_u64().unwrap() + 1).into();
    fs::write(dir.path().join("successor"), record.to_string()).unwrap();
    fs::rename(dir.path().join("successor"), &path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(holder.deposed());
    let refused = holder.child_lock_blocking(&ChildLockOptions::default(), |_| {}).unwrap_err();
    assert!(matches!(refused, Error::NotHolding), "{refused}");
}

#[test]
fn strange_things_in_place_of_the_file_are_left_alone_and_nothing_is_started() {
    let place = Place::new();
    if is_root() {
        std::os::unix::fs::chown(place.dir(), Some(OWNER), Some(OWNER)).unwrap();
    }
    let path = place.dir().join("gateway.child");
    let victim = place.dir().join("victim");
    fs::write(&victim, "precious").unwrap();
    let plant: [fn(&Path, &Path); 4] = [
        |path, _| fs::create_dir(path).unwrap(),
        |path, victim| std::os::unix::fs::symlink(victim, path).unwrap(),
        |path, _| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        |path, victim| fs::hard_link(victim, path).unwrap(),
    ];
    for plant in plant {
        plant(&path, &victim);
        let ended = place.finish(&["run", "--", "echo", "started"]);
        assert_eq!((ended.code(), ended.stdout.as_str()), (73, ""), "{ended:?}");
        assert!(ended.stderr.contains("gateway.child"), "{ended:?}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        fs::remove_dir(&path).or_else(|_| fs::remove_file(&path)).unwrap();
    }
    assert_eq!(place.finish(&["run", "--", "true"]).code(), 0);
    let made = fs::metadata(&path).unwrap();
    assert_eq!((made.len(), made.mode() & 0o777), (0, 0o600));
    assert_eq!(made.uid(), fs::metadata(place.dir()).unwrap().uid(), "it is the directory's owner's");
}
