//! What the commands say besides their answer: usage, hints, other users, a broken standard output, help.

#![allow(clippy::unwrap_used, reason = "a test fails so")]

mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
};

use support::{Player, WATCHDOG, directory, gateway, os, told};

#[test]
fn role() {
    support::play();
}

#[test]
fn control_characters_never_reach_a_terminal() {
    let dir = directory();
    // No file of Windows has such a name.
    let inner = dir.path().join(if cfg!(unix) { "d\x1b[2Jir" } else { "dir" });
    fs::create_dir(&inner).unwrap();
    let mut holder = Player::holder(&inner, "a");
    holder.tell("note \\e[2Jgone\u{9b}2J\u{202e}");
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["status", "--all"],
        &["doctor"],
        &["history"],
        &["ping", "-c", "1"],
    ] {
        let (_, out, err) = told(gateway(&inner, args).env("GATEWAY_NAME", "a"));
        assert!(!out.is_empty(), "{args:?}");
        check_tame(&format!("{out}{err}"));
    }
    for args in [&["--name", "\x1b[2J", "status"][..], &["\x1b[2J"], &["ping", "-i", "\x1b[2J"]] {
        let (code, _, err) = told(&mut gateway(&inner, args));
        assert_eq!(code, 64, "{args:?}");
        check_tame(&err);
    }
}

fn check_tame(text: &str) {
    let wild = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!text.contains(wild), "{text:?}");
}

#[test]
fn usage_help_and_version_have_their_codes() {
    let dir = directory();
    for wrong in [
        &["no-such-command"][..],
        &[],
        &["status", "--watch", "--all"],
        &["--name", "A", "status"],
        &["wait"],
    ] {
        let (code, out, err) = told(&mut gateway(dir.path(), wrong));
        assert_eq!((code, out.as_str(), err.is_empty()), (64, "", false), "{wrong:?}");
    }
    for asked in [&["--help"][..], &["status", "--help"], &["--version"]] {
        let (code, out, err) = told(&mut gateway(dir.path(), asked));
        assert_eq!((code, out.is_empty(), err.as_str()), (0, false, ""), "{asked:?}");
    }
}

#[test]
fn packagers_get_completions_and_a_man_page() {
    let dir = directory();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, out, _) = told(&mut gateway(dir.path(), &["completions", shell]));
        assert!(code == 0 && out.contains("doctor"), "{shell}");
    }
    let (code, page, _) = told(&mut gateway(dir.path(), &["man"]));
    assert_eq!(code, 0);
    for part in [".TH gateway 1", ".SS status", ".SS stop", ".SH EXIT STATUS", ".SH FILES"] {
        assert!(page.contains(part), "{part} in {page}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let dir = directory();
    let _holder = Player::holder(dir.path(), "a");
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["doctor"],
        &["history"],
        &["man"],
        &["--help"],
        &["ping"],
        &["status", "--watch"],
    ] {
        let (reader, writer) = os::pipe();
        drop(reader);
        let mut command = gateway(dir.path(), args);
        let child = command.env("GATEWAY_NAME", "a").stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        drop(command); // with its end of the pipe
        let pid = child.id();
        let (done, result) = mpsc::channel();
        thread::spawn(move || done.send(child.wait_with_output()));
        let output = result.recv_timeout(WATCHDOG).unwrap_or_else(|_| {
            os::kill_9(pid);
            unreachable!("{args:?} did not end")
        });
        let output = output.unwrap();
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()),
            (Some(0), ""),
            "{args:?}"
        );
    }
}

#[cfg(unix)] // there is no such device elsewhere
#[test]
fn a_full_disk_is_said() {
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let dir = directory();
    let mut command = gateway(dir.path(), &["status"]);
    let output = command.stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(73));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no space left"));
}

#[test]
fn a_hint_carries_what_a_copy_needs() {
    let dir = directory();
    let inner = dir.path().join("it's here");
    fs::create_dir(&inner).unwrap();
    let holder = Player::holder(&inner, "a");
    holder.stop();
    let mut command = gateway(Path::new("it's here"), &["status", "--timeout", "50ms"]);
    let (_, _, err) = told(command.current_dir(dir.path()).env("GATEWAY_NAME", "a"));
    let absolute = dir.path().join("it's here");
    let quoted = format!("--dir {}", os::quoted(absolute.to_str().unwrap()));
    assert!(err.contains(&format!("`gateway --name a {quoted} stop --force` ends it")), "{err}");
}

#[test]
fn doctor_hints_at_nothing_that_would_be_refused() {
    let dir = directory();
    let doctor = || {
        let (code, out, err) = told(&mut gateway(dir.path(), &["doctor"]));
        assert_eq!(code, 3, "{out}");
        (out, err)
    };
    let free = doctor().1;
    assert!(free.starts_with("hint: `gateway --dir ") && free.ends_with(" run` starts one\n"), "{free}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let socket = dir.path().join("gateway.sock");
        fs::write(&socket, "").unwrap();
        let (out, err) = doctor();
        assert!(out.contains("and a claim would be refused: a regular file is in the way"), "{out}");
        assert!(err.starts_with("hint: `mv ") && !err.contains(" run`"), "{err}");
        fs::remove_file(&socket).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(doctor().1.starts_with("hint: `chmod go-w "));
    }
}

#[cfg(unix)] // there is no such device elsewhere
#[test]
fn a_broken_standard_output_is_not_the_directorys_fault() {
    let Ok(full) = fs::OpenOptions::new().write(true).open("/dev/full") else { return };
    let dir = directory();
    let output = gateway(dir.path(), &["status"]).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said, "gateway: cannot write to the standard output: no space left on device\n");
}

#[test]
fn a_watch_whose_reader_leaves_ends_without_a_change() {
    let dir = directory();
    let _holder = Player::holder(dir.path(), "a");
    let mut watch =
        gateway(dir.path(), &["--name", "a", "status", "--watch"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut reader = BufReader::new(watch.stdout.take().unwrap());
    reader.read_line(&mut line).unwrap();
    assert!(line.contains("ready"), "{line}");
    drop(reader);
    let pid = watch.id();
    let (done, ended) = mpsc::channel();
    thread::spawn(move || done.send(watch.wait()));
    let status = ended.recv_timeout(WATCHDOG).unwrap_or_else(|_| {
        os::kill_9(pid);
        unreachable!("it waits for the next change")
    });
    assert_eq!(status.unwrap().code(), Some(0));
}

#[test]
fn absurd_durations_and_counts_are_usage_errors() {
    let dir = directory();
    for (args, why) in [
        (&["wait", "--gone", "--timeout", "9223372036854775807s"][..], "more than a year"),
        (&["wait", "--gone", "--timeout", "99999999999999999999999999s"], "more than a year"),
        (&["run", "--grace", "9000h", "--", os::TRUE], "more than a year"),
        (&["run", "--wait=1e30", "--", os::TRUE], "more than a year"),
        (&["status", "--timeout", "-1"], "30s"),
        (&["ping", "-c", "0"], "1.."),
    ] {
        let (code, _, err) = told(&mut gateway(dir.path(), args));
        assert_eq!(code, 64, "{args:?}: {err}");
        assert!(err.contains(why) || err.contains("unexpected"), "{args:?}: {err}");
    }
    let year = told(&mut gateway(dir.path(), &["run", "--grace", "8784h", "--", os::TRUE]));
    assert_eq!(year.0, 0, "{}", year.2);
}

#[cfg(unix)] // elsewhere handles have no such limit
#[test]
fn without_descriptors_there_is_an_error_and_no_panic() {
    let dir = directory();
    for limit in 4..32 {
        for command in ["run -- true", "run", "ping -c 1"] {
            let program = env!("CARGO_BIN_EXE_gateway");
            let line = format!("ulimit -n {limit}; exec {program} --dir {} {command}", dir.path().display());
            if command == "run" && limit > 8 {
                continue; // it would hold
            }
            let mut shell = Command::new("sh");
            let (code, _, err) = told(shell.args(["-c", &line]).stdin(Stdio::null()));
            assert!(code != 101 && !err.contains("panicked"), "{limit} {command}: {err}");
        }
    }
}

#[test]
fn a_program_without_dashes_and_what_is_not_there_yet_get_no_misleading_tip() {
    let dir = directory();
    let (code, _, err) = told(&mut gateway(dir.path(), &["run", "sleep", "5"]));
    assert_eq!(code, 64);
    assert!(err.contains(" run -- sleep 5`\n"), "{err}");
    let (code, _, err) = told(&mut gateway(dir.path(), &["run", "--handover"]));
    assert!(code == 64 && !err.contains("tip:") && !err.contains("hint:"), "{err}");
}

#[test]
fn a_wrong_environment_is_named() {
    let dir = directory();
    let (code, _, err) =
        told(Command::new(env!("CARGO_BIN_EXE_gateway")).arg("status").env("GATEWAY_DIR", ""));
    assert!(code == 64 && err.contains("GATEWAY_DIR is empty"), "{err}");
    let (code, _, err) = told(gateway(dir.path(), &["status"]).env("GATEWAY_LOG", "loud"));
    assert!(code == 3 && err.contains("GATEWAY_LOG=loud is no level"), "{err}");
}

#[test]
fn a_program_that_is_not_in_the_path_hints_at_its_path() {
    let dir = directory();
    let program = env!("CARGO_BIN_EXE_gateway");
    let (_, _, err) = told(Command::new(program).arg("--dir").arg(dir.path()).arg("doctor"));
    // The path is written as the system does it.
    let file = Path::new(program).file_name().unwrap().to_str().unwrap();
    let hint = err.lines().find(|line| line.starts_with("hint: `")).unwrap();
    assert!(hint.contains(&format!("{file} --dir ")) && !hint.starts_with("hint: `gateway"), "{err}");
}

#[test]
fn the_man_page_tells_what_is_so() {
    let dir = directory();
    let (_, page, _) = told(&mut gateway(dir.path(), &["man"]));
    for part in
        ["\n70\n", "\n74\n", "\n79\n", "\n130\n", "[\\fB\\-\\-grace\\fR \\fIDUR\\fR]", "|\\fB\\-\\-gone\\fR"]
    {
        assert!(page.contains(part), "{part}");
    }
    let (_, help, _) = told(&mut gateway(dir.path(), &["run", "--help"]));
    assert!(help.contains("1h30m"), "{help}");
}
