//! Clients that mean no good, or are broken: silent ones by the hundred, garbage, half frames, clients that never read.
//! Meanwhile others are answered within a second, and the holder's memory and descriptors stay bounded.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)] // A test fails so.

#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;
#[path = "support/wire.rs"]
mod wire;

use std::{io::Write as _, path::Path};

use incumbent_proto::{Kind, Reply, Request, Why};
use os::Stream;
use program::{Program, eventually, instance, lost};
use wire::{connect, fill, frame, has_let_go, is_closed, is_modest, is_usable, others_are_answered, reply};

#[test]
fn role() {
    let Some((name, dir)) = program::role() else { return };
    match name.as_str() {
        "holder" => program::holder(&dir),
        #[cfg(unix)]
        other => poor::play(other, &dir),
        #[cfg(windows)]
        other => panic!("no role {other}"),
    }
}

fn holder(dir: &Path) -> Program {
    let mut holder = Program::role("holder", dir);
    holder.wait_line("holding");
    holder
}

/// This process has the descriptors that a flood needs.
fn may_have_many_descriptors() {
    #[cfg(unix)]
    poor::limit_descriptors(4096);
}

#[test]
fn four_hundred_silent_clients_keep_nobody_from_being_answered() {
    may_have_many_descriptors();
    let dir = tempfile::tempdir().unwrap();
    let mut holder = holder(dir.path());
    let flood: Vec<Stream> = (0..400).map(|_| connect(dir.path())).collect();
    others_are_answered(dir.path());
    is_modest(holder.pid());
    assert_eq!(lost(instance(dir.path()).claim_blocking()).pid(), Some(holder.pid()));
    others_are_answered(dir.path());
    drop(flood);
    eventually("their descriptors are closed", || has_let_go(holder.pid()));
    holder.ask("holding?");
}

#[test]
fn silent_clients_are_let_go_of_although_nobody_needs_their_place() {
    let dir = tempfile::tempdir().unwrap();
    let holder = holder(dir.path());
    let mut silent = connect(dir.path());
    let mut half = connect(dir.path());
    half.write_all(&wire::ping(1)[..20]).unwrap();
    is_closed(&mut half);
    is_closed(&mut silent);
    assert!(has_let_go(holder.pid()));
}

#[test]
fn garbage_ends_the_connection_with_a_reason_and_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let holder = holder(dir.path());
    let mut four_gib = frame(1, Kind::Send.byte(), b"");
    four_gib[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut just_over = frame(1, Kind::Send.byte(), b"");
    just_over[8..12].copy_from_slice(&((1 << 20) + 1_u32).to_le_bytes());
    for (what, bytes) in [
        ("text", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("zeros", vec![0; 100_000]),
        ("noise", (0..100_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect()),
        ("a frame of 4 GiB", four_gib),
        ("a frame just over the limit", just_over),
    ] {
        let mut client = connect(dir.path());
        let _ = client.write_all(&bytes); // it may be closed before all is written
        match reply(&mut client) {
            Some(Reply::Refused(refused)) => assert_eq!(refused.why, Why::Malformed, "{what}"),
            None => assert!(bytes.len() > 8192, "{what}: closed without a word"), // the word was lost with the reset
            other => panic!("{what}: {other:?}"),
        }
        others_are_answered(dir.path());
    }
    is_modest(holder.pid());
}

#[test]
fn a_wrong_body_is_refused_and_the_connection_stays_usable() {
    let dir = tempfile::tempdir().unwrap();
    let _holder = holder(dir.path());
    let mut client = connect(dir.path());
    let long = vec![0xff; 1 << 20];
    for (what, bytes) in [
        ("a truncated body", frame(1, Kind::Ping.byte(), &[1; 7])),
        ("a garbage body", frame(1, Kind::Send.byte(), &[0xff; 99])),
        ("the longest garbage body", frame(1, Kind::Send.byte(), &long)),
        ("an unknown kind", frame(1, 77, b"what is this")),
        ("a reply", frame(1, Kind::Pong.byte(), b"")),
        ("an empty stop", frame(1, Kind::Stop.byte(), b"")),
    ] {
        client.write_all(&bytes).unwrap();
        match reply(&mut client) {
            Some(Reply::Refused(refused)) => assert_eq!(refused.why, Why::Malformed, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
        is_usable(&mut client);
    }
}

#[test]
fn an_unknown_version_is_answered_and_the_connection_stays_usable() {
    let dir = tempfile::tempdir().unwrap();
    let _holder = holder(dir.path());
    let mut client = connect(dir.path());
    for (version, kind) in [(2, Kind::Status.byte()), (0, Kind::Watch.byte()), (u16::MAX, 99)] {
        client.write_all(&frame(version, kind, b"of the future")).unwrap();
        match reply(&mut client) {
            Some(Reply::Unsupported(range)) => assert_eq!((range.min, range.max), (1, 1)),
            other => panic!("version {version}: {other:?}"),
        }
        is_usable(&mut client);
    }
    // What is frozen is understood whatever the version.
    client.write_all(&frame(u16::MAX, Kind::Ping.byte(), &[9; 16])).unwrap();
    assert!(matches!(reply(&mut client), Some(Reply::Pong(pong)) if pong.nonce == [9; 16]));
}

#[test]
fn ten_thousand_pings_in_one_write_are_all_answered_in_their_order() {
    const PINGS: u64 = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let holder = holder(dir.path());
    let mut client = connect(dir.path());
    let all: Vec<u8> = (0..PINGS).flat_map(wire::ping).collect();
    let mut writer = client.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&all));
    others_are_answered(dir.path());
    is_modest(holder.pid());
    for number in 0..PINGS {
        match reply(&mut client) {
            Some(Reply::Pong(pong)) => assert_eq!(pong.nonce[..8], number.to_le_bytes()),
            other => panic!("ping {number}: {other:?}"),
        }
    }
    writing.join().unwrap().unwrap();
    is_usable(&mut client);
}

#[test]
fn clients_that_never_read_are_let_go_of_and_cost_little() {
    may_have_many_descriptors();
    let dir = tempfile::tempdir().unwrap();
    let holder = holder(dir.path());
    let mut greedy: Vec<Stream> = (0..100).map(|_| connect(dir.path())).collect();
    let many: Vec<u8> = (0..200).flat_map(|_| wire::status()).collect();
    for client in &mut greedy {
        fill(client, &many);
    }
    others_are_answered(dir.path());
    is_modest(holder.pid());
    eventually("they are let go of", || has_let_go(holder.pid()));
    others_are_answered(dir.path());
    is_modest(holder.pid());
}

#[test]
fn a_full_house_of_watchers_makes_room() {
    may_have_many_descriptors();
    let dir = tempfile::tempdir().unwrap();
    let mut holder = holder(dir.path());
    let watch = Request::Watch(incumbent_proto::Watch {}).encode().unwrap();
    // Each is told the status once, so that it watches when the next one comes.
    let watchers: Vec<Stream> = (0..300)
        .map(|_| {
            let mut client = connect(dir.path());
            client.write_all(&watch).unwrap();
            assert!(matches!(reply(&mut client), Some(Reply::StatusIs(_))), "watchers are let in");
            client
        })
        .collect();
    others_are_answered(dir.path());
    is_modest(holder.pid());
    holder.ask("holding?");
    drop(watchers);
    eventually("they are gone", || has_let_go(holder.pid()));
}

/// Holders, contenders and lookers with few descriptors: how many a process may have is set by Unix alone.
#[cfg(unix)]
mod poor {
    use std::{fs, path::Path, time::Duration};

    use incumbent::Claim;
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::{
        holder, os,
        os::Stream,
        program::{self, Program, eventually, instance, lost, won},
        wire::{SOON, connect, others_are_answered},
    };

    /// The harness and the runtime have their descriptors already; what is left is for the library.
    pub(super) fn play(role: &str, dir: &Path) {
        if role == "poor-holder" {
            limit_descriptors(40);
            program::holder(dir);
        } else if let Some(count) = role.strip_prefix("contender-with-") {
            contender(dir, count.parse().unwrap());
        } else {
            looker(dir, role.strip_prefix("looker-with-").unwrap().parse().unwrap());
        }
    }

    /// Sets how many descriptors this process may have.
    pub(super) fn limit_descriptors(count: u64) {
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: Some(count), maximum }).unwrap();
    }

    /// Claims with only so many descriptors, and tells what came of it.
    fn contender(dir: &Path, descriptors: u64) {
        limit_descriptors(descriptors);
        let claim = instance(dir).claim_timeout(Duration::from_millis(500)).claim_blocking();
        program::tell(match &claim {
            Ok(Claim::Won(_)) => "came: won".to_owned(),
            Ok(Claim::Lost(incumbent)) => format!("came: lost {:?}", incumbent.pid()),
            Err(error) => format!("came: error {error}"),
        });
    }

    /// Looks with only so many descriptors, and tells what it saw.
    fn looker(dir: &Path, descriptors: u64) {
        limit_descriptors(descriptors);
        let seen = instance(dir).inspect_blocking(SOON);
        program::tell(format!(
            "saw: {}",
            seen.map_or_else(|error| error.to_string(), |seen| seen.sentence())
        ));
    }

    #[test]
    fn a_holder_with_forty_descriptors_answers_through_a_flood_and_heals() {
        let dir = tempfile::tempdir().unwrap();
        let mut holder = Program::role("poor-holder", dir.path());
        holder.wait_line("holding");
        let flood: Vec<Stream> = (0..100).map(|_| connect(dir.path())).collect();
        others_are_answered(dir.path());
        assert!(os::descriptors(holder.pid()).is_none_or(|count| count < 36), "some are left to the program");
        // The program itself can still open files, and its files are put back while the flood lasts.
        holder.ask("rob");
        fs::remove_file(dir.path().join("a.sock")).unwrap();
        eventually("the socket is back", || os::connect(dir.path(), SOON).is_ok());
        eventually("the lock is back", || os::has_instance(dir.path(), holder.pid()));
        others_are_answered(dir.path());
        drop(flood);
        fs::remove_file(dir.path().join("a.pid")).unwrap();
        eventually("the pid file is back", || os::has_instance(dir.path(), holder.pid()));
        holder.ask("holding?");
        assert_eq!(lost(instance(dir.path()).claim_blocking()).pid(), Some(holder.pid()));
    }

    #[test]
    fn a_contender_without_descriptors_never_takes_a_living_holder_for_none() {
        let dir = tempfile::tempdir().unwrap();
        let mut outcomes = Vec::new();
        for count in [40, 16, 12, 10, 9, 8, 7, 6, 5, 4, 3] {
            // Nobody is there: won, or an error that says what is missing.
            let mut alone = Program::role(&format!("contender-with-{count}"), dir.path());
            let came = alone.wait_line("came: ");
            assert!(came == "won" || came.contains("too many open files"), "{count} alone: {came}");
            outcomes.push(came);
            drop(alone);

            let mut holder = holder(dir.path());
            let mut contender = Program::role(&format!("contender-with-{count}"), dir.path());
            let came = contender.wait_line("came: ");
            let expected = format!("lost Some({})", holder.pid());
            assert!(
                came == expected || came.contains("too many open files"),
                "{count} with a holder: {came}"
            );
            holder.ask("holding?");
        }
        assert_eq!(outcomes[0], "won", "forty are enough");
        assert!(outcomes[10].contains("too many open files"), "three are not");
        let next = won(instance(dir.path()).claim_blocking());
        assert!(
            instance(dir.path()).inspect_blocking(SOON).unwrap().instance_id() == Some(next.instance_id())
        );
    }

    #[test]
    fn a_looker_without_descriptors_cannot_tell() {
        let dir = tempfile::tempdir().unwrap();
        let holder = holder(dir.path());
        for count in 3..14 {
            let mut looker = Program::role(&format!("looker-with-{count}"), dir.path());
            let saw = looker.wait_line("saw: ");
            let answered = saw == format!("`a` is starting: pid {}", holder.pid());
            assert!(answered || saw.starts_with("cannot tell"), "{count} descriptors: {saw}");
        }
    }
}
