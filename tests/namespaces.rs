//! Containers: another pid namespace, another mount namespace, another network namespace. The same directory is one
//! instance, whatever the namespaces; another directory is another one, even under the same path.
//!
//! Needs root, and unshare(1) of util-linux; where they are missing the test says so and does nothing.
#![cfg(target_os = "linux")] // only Linux has namespaces
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, unreachable_pub)] // A test fails so.

#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;
#[path = "support/teller.rs"]
mod teller;

use std::{fs, path::Path, process::Command};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use program::{Program, eventually};

const OTHER_PID: [&str; 5] = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
const OTHER_NETWORK: [&str; 2] = ["unshare", "--net"];
const ELSEWHERE: &str = "another pid namespace";

#[test]
fn role() {
    let Some((name, dir)) = program::role() else { return };
    match name.as_str() {
        "teller" => teller::teller(&dir),
        other => panic!("no role {other}"),
    }
}

/// Tells whether a program can be started in such namespaces here, and says so if not.
fn can(wrapper: &[&str]) -> bool {
    let can = Program::under(wrapper, &Command::new("true")).status().is_ok_and(|status| status.success());
    if !can {
        eprintln!("left out: `{}` does not work here", wrapper.join(" "));
    }
    can
}

fn teller(wrapper: &[&str], dir: &Path) -> Program {
    let mut teller = Program::role_under(if wrapper.is_empty() { &["env"] } else { wrapper }, "teller", dir);
    teller.wait_line("ready");
    teller
}

fn here(dir: &Path) -> Program {
    teller(&[], dir)
}

/// The process behind unshare(1), which forks for a pid namespace.
fn inner(program: &Program) -> i32 {
    let pid = program.pid();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.trim().parse().unwrap_or_else(|_| i32::try_from(pid).unwrap())
}

fn stop(program: &Program) {
    let pid = inner(program);
    kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    eventually("it is stopped", || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T "));
}

/// What is common to every pair of pid namespaces: refused while it runs, refused while it is stopped, won after.
fn contends(holder: &mut Program, contender: &mut Program, pid: Option<i32>) {
    let won = holder.ask("claim");
    let id = won.split(' ').nth(2).unwrap_or_else(|| panic!("{won}")).to_owned();
    assert_eq!(contender.ask("claim"), format!("lost {pid:?} {id}"));
    let seen = contender.ask("inspect");
    assert!(seen.starts_with(&format!("starting pid={pid:?} id={id} ")), "{seen}");
    let names = |words: &str| match pid {
        Some(pid) => words.contains(&format!("pid {pid}")),
        None => words.contains(ELSEWHERE),
    };
    assert!(names(&seen), "{seen}");

    stop(holder);
    let refused = contender.ask("claim");
    assert!(refused.starts_with("error not_allowed=false busy=true") && names(&refused), "{refused}");
    let seen = contender.ask("inspect");
    assert!(seen.starts_with("unresponsive ") && names(&seen), "{seen}");
    kill(Pid::from_raw(inner(holder)), Signal::SIGCONT).unwrap();

    assert_eq!(holder.ask("believes?"), "true");
    kill(Pid::from_raw(inner(holder)), Signal::SIGKILL).unwrap();
    let next = contender.ask("claim");
    assert!(next.starts_with("won "), "{next}");
}

#[test]
fn a_holder_in_a_pid_namespace_below_is_refused_by_the_pid_that_it_has_here() {
    if !can(&OTHER_PID) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut holder, mut contender) = (teller(&OTHER_PID, dir.path()), here(dir.path()));
    let pid = inner(&holder);
    contends(&mut holder, &mut contender, Some(pid));
}

#[test]
fn a_holder_above_the_contenders_pid_namespace_is_refused_without_a_pid() {
    if !can(&OTHER_PID) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    contends(&mut here(dir.path()), &mut teller(&OTHER_PID, dir.path()), None);
}

#[test]
fn a_holder_in_a_pid_namespace_beside_the_contenders_is_refused_without_a_pid() {
    if !can(&OTHER_PID) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    contends(&mut teller(&OTHER_PID, dir.path()), &mut teller(&OTHER_PID, dir.path()), None);
}

#[test]
fn holders_of_one_path_in_two_mount_namespaces_do_not_see_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let mount = format!("mount -t tmpfs -o mode=0700 none '{}' && exec \"$@\"", dir.display());
    let own_directory = ["unshare", "--mount", "sh", "-c", &mount, "sh"];
    if !can(&own_directory) {
        return;
    }
    let mut one = teller(&own_directory, &dir);
    let mut two = teller(&own_directory, &dir);
    let id = |won: String| won.strip_prefix("won ").unwrap().split(' ').nth(1).unwrap().to_owned();
    let first = id(one.ask("claim"));
    assert!(two.ask("inspect").starts_with("absent "), "the other's abstract name is not its own");
    let second = id(two.ask("claim"));
    let (seen, other) = (one.ask("inspect"), two.ask("inspect"));
    assert!(seen.contains(&format!("id={first}")) && seen.ends_with("problem="), "{seen}");
    assert!(other.contains(&format!("id={second}")) && other.contains("abstract socket"), "{other}");
    assert!(here(&dir).ask("inspect").starts_with("absent "), "and here is a third directory");

    // Once the name comes free the other one takes it.
    assert_eq!(one.ask("release"), "released");
    eventually("nothing is wrong any more", || two.ask("inspect").ends_with("problem="));
    assert_eq!((one.ask("believes?"), two.ask("believes?")), ("false".to_owned(), "true".to_owned()));
}

/// A volume has one path in its container, and another one outside.
#[test]
fn one_directory_under_two_paths_is_one_instance() {
    let outer = tempfile::tempdir().unwrap();
    let outer = outer.path().canonicalize().unwrap();
    let (inside, outside) = (outer.join("inside"), outer.join("outside"));
    for dir in [&inside, &outside] {
        fs::create_dir(dir).unwrap();
        fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    }
    let mount = format!("mount --bind '{}' '{}' && exec \"$@\"", outside.display(), inside.display());
    let container = ["unshare", "--mount", "sh", "-c", &mount, "sh"];
    if !can(&container) {
        return;
    }
    let (mut holder, mut contender) = (teller(&container, &inside), here(&outside));
    let pid = inner(&holder);
    contends(&mut holder, &mut contender, Some(pid));
    drop((holder, contender));
    let (mut holder, mut contender) = (here(&outside), teller(&container, &inside));
    let pid = inner(&holder);
    contends(&mut holder, &mut contender, Some(pid));
}

#[test]
fn a_holder_in_another_network_namespace_is_found_through_the_path() {
    if !can(&OTHER_NETWORK) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (mut holder, mut contender) = (teller(&OTHER_NETWORK, dir.path()), here(dir.path()));
    let won = holder.ask("claim");
    let id = won.split(' ').nth(2).unwrap();
    assert_eq!(contender.ask("claim"), format!("lost {:?} {id}", Some(holder.pid())));
    let seen = contender.ask("inspect");
    assert!(seen.starts_with(&format!("starting pid={:?} id={id} ", Some(holder.pid()))), "{seen}");
}

#[test]
fn files_deleted_across_network_namespaces_leave_exactly_one_holder() {
    if !can(&OTHER_NETWORK) {
        return;
    }
    let rounds: usize = std::env::var("STRESS").ok().and_then(|times| times.parse().ok()).unwrap_or(1) * 4;
    for round in 0..rounds {
        let dir = tempfile::tempdir().unwrap();
        let (mut holder, mut contender) = (teller(&OTHER_NETWORK, dir.path()), here(dir.path()));
        let generation = |words: &str| words.split(' ').nth(1).unwrap().parse::<u64>().unwrap();
        let first = holder.ask("claim");
        fs::remove_file(dir.path().join("a.pid")).unwrap();
        fs::remove_file(dir.path().join("a.sock")).unwrap();
        if round % 2 == 1 {
            fs::remove_file(dir.path().join("a.json")).unwrap();
        }
        let second = contender.ask("claim");
        let got_in = second.starts_with("won ");
        assert!(got_in || second.starts_with("lost "), "{second}");
        let survivor = if got_in {
            assert!(generation(&second) > generation(&first), "{first}, {second}");
            eventually("the first is deposed", || holder.ask("believes?") == "false");
            &second
        } else {
            &first
        };
        let named = || {
            let record = fs::read(dir.path().join("a.json")).unwrap_or_default();
            let record: serde_json::Value = serde_json::from_slice(&record).unwrap_or_default();
            record["instance_id"].as_str().map(str::to_owned)
        };
        let id = survivor.split(' ').nth(2).unwrap();
        eventually("the files name the survivor", || named().as_deref() == Some(id));
        assert_eq!(contender.ask("believes?"), got_in.to_string());
        assert_eq!(holder.ask("believes?"), (!got_in).to_string());
        let pid = if got_in { contender.pid() } else { holder.pid() };
        eventually("the pid file too", || {
            fs::read_to_string(dir.path().join("a.pid")).is_ok_and(|text| text == format!("{pid}\n"))
        });
        for teller in [&mut holder, &mut contender] {
            assert!(teller.ask("inspect").contains(&format!("id={id}")), "both find the survivor");
        }
    }
}
