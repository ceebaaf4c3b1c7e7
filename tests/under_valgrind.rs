//! Under valgrind a program's memory is not laid out as the kernel says: whoever believes the kernel there reads where
//! nothing is.
#![cfg(target_os = "linux")] // valgrind, and the vector in which the kernel says it
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;

use std::process::{Command, Stdio};

use gateway::{PROGRAM, Place, Running};

fn under_valgrind(place: &Place, args: &[&str]) -> Running {
    let plain = place.gateway(args);
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=none"]).arg(PROGRAM).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Running::start(&mut command)
}

#[test]
fn a_program_under_valgrind_holds_and_sees_who_holds() {
    let valgrind = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !valgrind.is_ok_and(|status| status.success()) {
        return os::left_out("a holder under valgrind: valgrind is not installed");
    }
    let place = Place::new();
    let holder = under_valgrind(&place, &["run"]);
    holder.says("holding ");
    let seen = under_valgrind(&place, &["status"]).end();
    assert_eq!(seen.code(), 0, "{seen:?}");
    drop(holder);
}
