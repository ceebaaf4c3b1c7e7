//! A holder that lost its lock: somebody in its process closed a descriptor of the pid file. It gets the lock back with
//! the next tick; until then its answer, or at least its life, keeps others out; and only a successor deposes it.
//!
//! Windows has nothing to rob: there a lock belongs to one handle, and the library closes that last.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)] // A test fails so.

#[path = "support/os/mod.rs"]
mod os;
#[path = "support/program.rs"]
mod program;

use program::{Program, eventually, instance, won};

#[test]
fn role() {
    let Some((name, dir)) = program::role() else { return };
    match name.as_str() {
        "holder" => program::holder(&dir),
        #[cfg(unix)]
        "thief" => robbers::thief(&dir),
        #[cfg(unix)]
        "lower" => robbers::lower(&dir),
        other => panic!("no role {other}"),
    }
}

#[test]
fn a_higher_generation_in_the_record_deposes() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Program::role("holder", dir.path());
    let generation: u64 = holder.wait_line("holding ").parse().unwrap();
    let record = std::fs::read_to_string(dir.path().join("a.json")).unwrap();
    let higher = record
        .replace(&format!("\"generation\": {generation}"), &format!("\"generation\": {}", generation + 1));
    assert_ne!(record, higher);
    std::fs::write(dir.path().join("a.json"), &higher).unwrap();
    holder.ask("wait-deposed");
    eventually("it lets go", || os::is_free(dir.path()));
    assert_eq!(std::fs::read_to_string(dir.path().join("a.json")).unwrap(), higher, "and wrote nothing more");
    let next = won(instance(dir.path()).claim_blocking());
    assert!(next.generation() > generation + 1);
}

/// Who takes the lock from a holder of Unix.
#[cfg(unix)]
mod robbers {
    use std::{
        fs::File,
        io::{Read as _, Write as _},
        path::Path,
        time::Duration,
    };

    use incumbent::{Error, State};
    use incumbent_proto::{
        DirId, Frame, HEADER_LEN, Header, Identity, Pong, Reply, Request, Unsupported, VERSION,
    };

    use super::{
        os,
        program::{self, Program, eventually, instance, lost, orders, tell},
    };

    /// Takes both locks as a contender does, and lets go of them when it is told: it only looks.
    pub(super) fn thief(dir: &Path) {
        let file = File::options().read(true).write(true).open(dir.join("a.pid")).unwrap();
        for order in orders() {
            let take = match order.as_str() {
                "take" => true,
                "let-go" => false,
                other => panic!("no order {other}"),
            };
            for byte in [os::CLAIM, os::INSTANCE] {
                // The holder's tick may be quicker for once.
                while os::set_lock(&file, byte, take).is_err() {}
            }
            tell(format!("{order}: done"));
        }
    }

    /// Takes the lock and the endpoint as a holder of generation 1 that has won meanwhile, and answers as one.
    pub(super) fn lower(dir: &Path) {
        let file = File::options().read(true).write(true).open(dir.join("a.pid")).unwrap();
        tell("ready");
        // The holder's tick may be quicker for once.
        while os::set_lock(&file, os::INSTANCE, true).is_err() {}
        let listener = os::Listener::bind(dir).unwrap();
        tell("holds");
        let at = os::dir_id(dir);
        loop {
            let mut stream = listener.accept().unwrap();
            while let Some(request) = next(&mut stream) {
                let reply = match request {
                    Request::Ping(ping) => Reply::Pong(Pong {
                        nonce: ping.nonce,
                        instance_id: [7; 16],
                        name: "a".into(),
                        dir: Some(DirId { dev: at.0, ino: at.1 }),
                    }),
                    Request::Identify(_) => Reply::Identity(Identity {
                        pid: std::process::id(),
                        instance_id: [7; 16],
                        version: "1".into(),
                        min_protocol: VERSION,
                        max_protocol: VERSION,
                        name: "a".into(),
                        generation: 1,
                        started_at_us: 1,
                    }),
                    _ => Reply::Unsupported(Unsupported { min: VERSION, max: VERSION }),
                };
                let identified = matches!(reply, Reply::Identity(_));
                if stream.write_all(&reply.encode().unwrap()).is_err() {
                    break;
                }
                if identified {
                    tell("identified");
                }
            }
        }
    }

    fn next(stream: &mut os::Stream) -> Option<Request> {
        let mut header = [0; HEADER_LEN];
        stream.read_exact(&mut header).ok()?;
        let header = Header::parse(&header).unwrap();
        let mut body = vec![0; header.length as usize];
        stream.read_exact(&mut body).ok()?;
        Request::decode(&Frame { header, body }).ok()
    }

    #[test]
    fn a_lower_generation_that_has_the_lock_and_answers_does_not_depose() {
        let dir = tempfile::tempdir().unwrap();
        let mut holder = Program::role("holder", dir.path());
        let generation = holder.wait_line("holding ");
        let mut lower = Program::role("lower", dir.path());
        lower.wait_line("ready");
        holder.ask("rob");
        lower.wait_line("holds");
        std::fs::write(dir.path().join("a.json"), "the record of the other").unwrap();
        lower.wait_line("identified");
        lower.wait_line("identified"); // the second look came after all that followed from the first
        holder.ask("holding?");
        let own = format!("\"generation\": {generation}");
        let record = || std::fs::read_to_string(dir.path().join("a.json")).unwrap_or_default();
        eventually("it tells the other by the record", || record().contains(&own));
        lower.kill_9();
        eventually("it has its lock again", || os::has_instance(dir.path(), holder.pid()));
        eventually("and its socket", || os::connect(dir.path(), program::WATCHDOG).is_ok());
        holder.ask("holding?");
    }

    #[test]
    fn where_no_record_can_be_written_the_one_without_the_lock_gives_way() {
        let dir = tempfile::tempdir().unwrap();
        let mut holder = Program::role("holder", dir.path());
        holder.wait_line("holding");
        let mut lower = Program::role("lower", dir.path());
        lower.wait_line("ready");
        std::fs::remove_file(dir.path().join("a.json")).unwrap();
        std::fs::create_dir(dir.path().join("a.json")).unwrap();
        holder.ask("rob");
        lower.wait_line("holds");
        holder.ask("wait-deposed");
        assert!(os::has_instance(dir.path(), lower.pid()), "one is left");
        lower.kill_9();
    }

    #[test]
    fn a_robbed_holder_that_is_stopped_is_not_succeeded() {
        let dir = tempfile::tempdir().unwrap();
        let mut holder = Program::role("holder", dir.path());
        holder.wait_line("holding");
        holder.say("rob-and-stop");
        os::is_suspended(holder.pid());
        assert!(os::is_free(dir.path()));

        let quick = instance(dir.path()).claim_timeout(Duration::from_millis(300));
        match quick.claim_blocking() {
            Err(Error::Unresponsive(seen)) => {
                assert_eq!(seen.state(), State::Unknown);
                assert!(seen.sentence().contains(&format!("pid {}", holder.pid())), "{}", seen.sentence());
                assert!(seen.sentence().contains("stopped"), "{}", seen.sentence());
            }
            other => panic!("{other:?}"),
        }
        holder.resume();
        holder.wait_line("rob-and-stop:");
        assert_eq!(lost(instance(dir.path()).claim_blocking()).pid(), Some(holder.pid()));
        eventually("it has its lock again", || os::has_instance(dir.path(), holder.pid()));
    }

    #[test]
    fn a_contender_that_only_looks_while_the_lock_is_robbed_deposes_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let mut holder = Program::role("holder", dir.path());
        holder.wait_line("holding");
        let mut thief = Program::role("thief", dir.path());
        // The thief waits for the locks in a loop, so that it has them before the next tick.
        thief.say("take");
        holder.ask("rob");
        thief.wait_line("take:");
        assert!(os::has_instance(dir.path(), thief.pid()));
        // Long enough for two ticks, which are seen from outside as nothing: pings go on all the time.
        let incumbent = lost(instance(dir.path()).claim_blocking());
        let until = std::time::Instant::now() + Duration::from_millis(2500);
        while std::time::Instant::now() < until {
            incumbent.ping_blocking(program::WATCHDOG).unwrap();
        }
        holder.ask("holding?");
        thief.ask("let-go");
        eventually("it has its lock again", || os::has_instance(dir.path(), holder.pid()));
        holder.ask("holding?");
    }
}
