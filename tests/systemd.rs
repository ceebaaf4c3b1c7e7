//! The units of `contrib/systemd` under a real systemd: readiness, stop, restart, crash, and no loop.
//!
//! They are what a packager installs, except for the paths of the program and of its configuration, and for the time
//! between two starts. Without root or systemd nothing is tested, and it is said.
#![cfg(target_os = "linux")] // only Linux has systemd
#![allow(clippy::unwrap_used, clippy::panic)] // a test fails so

#[path = "support/gateway.rs"]
mod gateway;
#[path = "support/os/mod.rs"]
mod os;
#[path = "support/systemd.rs"]
mod systemd;

use systemd::Systemd;

const UNIT: &str = "gateway@bot.service";

/// The unit as it is installed, with its paths in a directory of the test's own.
fn installed() -> String {
    let unit = include_str!("../contrib/systemd/system/gateway@.service");
    let moved = unit.replace("/usr/bin/gateway", env!("CARGO_BIN_EXE_gateway"));
    let moved = moved.replace("EnvironmentFile=/etc/gateway/%i.env", "Environment=\"PROGRAM=sleep 1000\"");
    assert!(!moved.contains("=/usr/bin") && !moved.contains("=/etc"), "every path was moved: {moved}");
    moved.replace("RestartSec=5s", "RestartSec=50ms")
}

fn with_unit() -> Option<Systemd> {
    Systemd::start(&[("gateway@.service", &installed())])
}

fn started(systemd: &Systemd) -> String {
    let start = systemd.systemctl(&["start", UNIT]);
    assert_eq!(start.code(), 0, "{start:?}");
    assert_eq!(systemd.finish(&["wait", "--ready", "--timeout", "30s"]).code(), 0);
    holder(systemd)
}

/// Which holder, and of which process.
fn holder(systemd: &Systemd) -> String {
    let status = systemd.finish(&["status", "--json"]).stdout;
    let holder = status.split("\"holder\":{").nth(1).unwrap_or_else(|| panic!("no holder: {status}"));
    let word = |key: &str| holder.split(key).nth(1).and_then(|rest| rest.split([',', '"']).next()).unwrap();
    assert_eq!(word("\"supervisor\":\""), "systemd", "{status}");
    assert_eq!(word("\"pid\":"), systemd.property(UNIT, "MainPID"), "{status}");
    word("\"instance_id\":\"").to_owned()
}

#[test]
fn it_is_started_stopped_and_started_again_by_its_manager_alone() {
    let Some(systemd) = with_unit() else { return };
    let first = started(&systemd);
    let by = "\"started_by\":{\"pid\":1,\"name\":\"systemd\"";
    let record: String = systemd.record().split_whitespace().collect();
    assert!(record.contains(by) && record.contains("\"unit\":\"gateway@bot.service\""), "{record}");

    let refused = systemd.finish(&["run", "--replace"]);
    assert_eq!(refused.code(), 75, "{refused:?}");
    assert!(refused.stderr.contains("`systemctl restart gateway@bot.service` replaces it"), "{refused:?}");
    assert_eq!(holder(&systemd), first);

    assert_eq!(systemd.systemctl(&["restart", UNIT]).code(), 0);
    assert_eq!(systemd.finish(&["wait", "--ready"]).code(), 0);
    assert_ne!(holder(&systemd), first);
    assert_eq!(systemd.property(UNIT, "NRestarts"), "0");

    assert_eq!(systemd.systemctl(&["stop", UNIT]).code(), 0);
    assert_eq!(systemd.ends_for_good(UNIT), "inactive");
    assert_eq!(systemd.finish(&["status"]).code(), 3);
    let history = systemd.finish(&["history", "--json"]).stdout;
    assert_eq!(history.matches("\"end\":\"released\"").count(), 2, "{history}");
}

#[test]
fn a_crash_is_started_again_and_a_stop_by_gateway_is_not() {
    let Some(systemd) = with_unit() else { return };
    let first = started(&systemd);
    let until_gone = systemd.gateway(&["wait", "--gone"]);
    assert_eq!(systemd.systemctl(&["kill", "-s", "KILL", "--kill-who=main", UNIT]).code(), 0);
    assert_eq!(until_gone.end().code(), 0);
    assert_eq!(systemd.finish(&["wait", "--ready", "--timeout", "30s"]).code(), 0);
    assert_ne!(holder(&systemd), first);
    assert_eq!(systemd.property(UNIT, "NRestarts"), "1");

    assert_eq!(systemd.finish(&["stop"]).code(), 0);
    assert_eq!(systemd.ends_for_good(UNIT), "inactive");
    assert_eq!(systemd.finish(&["status"]).code(), 3);
}

#[test]
fn a_second_unit_of_the_same_instance_is_told_and_not_started_again() {
    let second = installed().replace("%i", "bot");
    let replacing = second.replace("gateway run ", "gateway run --replace ");
    let units =
        [("gateway@.service", installed()), ("second.service", second), ("replacing.service", replacing)];
    let Some(systemd) = Systemd::start(&units.each_ref().map(|(name, text)| (*name, text.as_str()))) else {
        return;
    };
    let first = started(&systemd);
    for unit in ["second.service", "replacing.service"] {
        systemd.systemctl(&["start", unit]);
        assert_eq!(systemd.ends_for_good(unit), "failed");
        assert_eq!(systemd.property(unit, "ExecMainStatus"), "75");
        assert_eq!(systemd.property(unit, "NRestarts"), "0");
        assert_eq!(holder(&systemd), first, "{unit}");
    }
}

#[test]
fn a_program_that_says_when_it_is_ready_is_waited_for() {
    let waits = "PROGRAM=sh -c 'cat /run/there && systemd-notify --ready --status=connected && exec sleep 1000'\" \
                 \"OPTIONS=--notify";
    let unit = installed().replace("PROGRAM=sleep 1000", waits);
    let Some(systemd) = Systemd::start(&[("gateway@.service", &unit)]) else { return };
    assert_eq!(systemd.start_in(&["mkfifo", "/run/there"]).end().code(), 0);
    let starting = systemd.start_in(&["systemctl", "start", UNIT]);
    // Before it has read this it cannot be ready.
    let wrote =
        systemd.start_in(&["sh", "-c", "exec 3> /run/there; systemctl show gateway@bot -P ActiveState"]);
    assert_eq!(wrote.end().stdout, "activating\n");
    assert_eq!(starting.end().code(), 0);
    systemd.until(UNIT, "StatusText", |text| text == "connected");
    assert_eq!(systemd.property(UNIT, "WatchdogUSec"), "1min");
}

#[test]
fn what_program_leaves_behind_is_gone_with_its_unit() {
    let leaves = "PROGRAM=sh -c 'setsid sleep 1001 < /run/there & exec sleep 1000'";
    let unit = installed().replace("PROGRAM=sleep 1000", leaves);
    let Some(systemd) = Systemd::start(&[("gateway@.service", &unit)]) else { return };
    assert_eq!(systemd.start_in(&["mkfifo", "/run/there"]).end().code(), 0);
    started(&systemd);
    // It can be written to as soon as the one that is left behind has opened it.
    assert_eq!(systemd.start_in(&["sh", "-c", "echo > /run/there"]).end().code(), 0);
    assert_eq!(systemd.systemctl(&["stop", UNIT]).code(), 0);
    assert_eq!(systemd.start_in(&["pgrep", "-f", "sleep 1001"]).end().code(), 1);
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let dir = tempfile::tempdir().unwrap();
    for (manager, unit) in [
        ("--system", include_str!("../contrib/systemd/system/gateway@.service")),
        ("--user", include_str!("../contrib/systemd/user/gateway@.service")),
    ] {
        let path = dir.path().join("gateway@bot.service");
        std::fs::write(&path, unit.replace("/usr/bin/gateway", env!("CARGO_BIN_EXE_gateway"))).unwrap();
        let mut analyze = std::process::Command::new("systemd-analyze");
        analyze.args([manager, "--man=no", "verify"]).arg(&path).env("XDG_RUNTIME_DIR", dir.path());
        let Ok(said) = analyze.output() else { return systemd::left_out() };
        let about = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.status.success() && !about.contains("gateway@"), "{manager}: {about}");
    }
}
