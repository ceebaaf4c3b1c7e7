//! Clients by the thousand that mean no good: a role that attacks an address until it is told to end, and what the kernel
//! says of who is attacked.

#![allow(dead_code)] // every test file uses its own part of it

use std::{
    fs,
    io::{Read as _, Write as _},
    net::Shutdown,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixStream},
    },
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{Receiver, channel},
    },
    time::Duration,
};

use incumbent_proto::{Kind, Request, Send, Watch};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    program::{Program, orders, tell},
    wire::{frame, ping, status},
};

/// So many connections one attacker keeps open.
pub const MANY: usize = 10_000;

/// What is attacked, how often it let somebody in, and until when.
struct Attack {
    address: SocketAddr,
    opened: AtomicUsize,
    turned_away: AtomicUsize,
    is_over: AtomicBool,
}

impl Attack {
    /// A connection, as soon as there is room for one; none when it is over.
    fn connect(&self) -> Option<UnixStream> {
        let stream = loop {
            if self.is_over.load(Ordering::SeqCst) {
                return None;
            }
            if let Ok(stream) = connect_at_once(&self.address) {
                break stream;
            }
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            std::thread::yield_now();
        };
        match self.opened.fetch_add(1, Ordering::Relaxed) {
            20 => tell("begun"),
            MANY => tell("many"),
            _ => {}
        }
        stream.set_nonblocking(false).ok()?;
        stream.set_write_timeout(Some(Duration::from_millis(200))).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(3))).ok()?;
        Some(stream)
    }
}

/// A blocking connect would stand in line, and take no more than its turn.
fn connect_at_once(address: &SocketAddr) -> std::io::Result<UnixStream> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    let address = match (address.as_pathname(), address.as_abstract_name()) {
        (Some(path), _) => SocketAddrUnix::new(path)?,
        (_, name) => SocketAddrUnix::new_abstract_name(name.unwrap_or_default())?,
    };
    connect(&socket, &address)?;
    Ok(socket.into())
}

/// Plays the role: the order is `WAYS ADDRESS`, the ways joined by `+`, a thread each; the next line ends it.
pub fn attacker() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("as many as may be");
    // So that it is the program that is put to the test, and not who gets how much of the processors.
    rustix::process::nice(10).expect("nicer");
    tell("ready");
    let mut orders = orders();
    let order = orders.next().expect("an order");
    let (ways, address) = order.split_once(' ').expect("ways and an address");
    let address = match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(address),
    };
    let attack = Arc::new(Attack {
        address: address.expect("an address"),
        opened: AtomicUsize::new(0),
        turned_away: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
    });
    let (over, ended) = channel::<()>();
    let most = Arc::new(AtomicUsize::new(0));
    for way in ways.split('+').map(str::to_owned) {
        let (attack, over, most) = (attack.clone(), over.clone(), most.clone());
        std::thread::spawn(move || {
            let _over = over;
            let mut kept = Vec::new();
            while let Some(stream) = attack.connect() {
                kept.extend(misbehave(&way, stream, &attack));
                most.fetch_max(kept.len(), Ordering::Relaxed);
                if kept.len() >= room() {
                    kept.drain(..kept.len() / 2);
                }
            }
        });
    }
    drop(over);
    orders.next();
    attack.is_over.store(true, Ordering::SeqCst);
    wait(&ended);
    let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
    let (opened, turned_away) = (count(&attack.opened), count(&attack.turned_away));
    tell(format!("ended: {opened} opened, {turned_away} turned away, {} kept at once", count(&most)));
}

/// How many this process may keep.
fn room() -> usize {
    let most = getrlimit(Resource::Nofile).current.and_then(|most| usize::try_from(most).ok());
    most.map_or(MANY, |most| MANY.min(most.saturating_sub(64)))
}

fn wait(ended: &Receiver<()>) {
    let _ = ended.recv(); // it disconnects with the last thread
}

/// One connection's misdeed. What it gives is kept open for as long as there is room.
fn misbehave(way: &str, stream: UnixStream, attack: &Attack) -> Option<UnixStream> {
    let huge = |length: u32| {
        let mut header = frame(1, Kind::Send.byte(), b"");
        header[8..12].copy_from_slice(&length.to_le_bytes());
        header
    };
    // Whether it goes in or not is no matter here, nor whether the other side has had enough.
    let say = |bytes: &[u8]| drop((&stream).write_all(bytes));
    match way {
        "keep" => return Some(stream),
        "churn" => return None,
        "half" => {
            say(&ping(1));
            let _ = stream.shutdown(Shutdown::Write);
            return Some(stream);
        }
        "deaf" => {
            say(&status());
            let _ = stream.shutdown(Shutdown::Read);
            return Some(stream);
        }
        "drip" => {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
            for byte in ping(1) {
                say(&[byte]);
                // A byte a second, as long as it is let.
                let answer = (&stream).read(&mut [0; 64]);
                if answer.is_ok() || attack.is_over.load(Ordering::SeqCst) {
                    return None;
                }
            }
        }
        "oversize" => say(&huge(u32::MAX)),
        "almost" => {
            say(&huge(1 << 20));
            say(&vec![7; (1 << 20) - 1]);
            return Some(stream);
        }
        "versions" => {
            for version in [0, 2, 99, u16::MAX] {
                say(&frame(version, Kind::Status.byte(), b"of the future"));
                say(&frame(1, 200, b"of another kind"));
            }
        }
        "garbage" => (0..100).for_each(|_| say(&frame(1, Kind::Stop.byte(), &[0xff; 999]))),
        "pings" => (0..200).for_each(|_| say(&ping(1).repeat(50))),
        "watch" => {
            say(&Request::Watch(Watch {}).encode().expect("it fits"));
            return Some(stream);
        }
        "send" | "note" => {
            let body = vec![1; if way == "send" { (1 << 20) - 99 } else { 99 }];
            let send = Send { args: vec![b"x".to_vec()], cwd: b"/".to_vec(), body };
            say(&Request::Send(send).encode().expect("it fits"));
            return None;
        }
        other => panic!("no way {other}"),
    }
    let _ = (&stream).read(&mut [0; 64]); // until it is let go of, at most
    None
}

/// What a process has cost so far, as the kernel counts.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    pub resident_kib: u64,
    pub peak_kib: u64,
    pub proportional_kib: u64,
    pub descriptors: usize,
}

impl Cost {
    pub fn of(pid: u32) -> Self {
        let number = |file: &str, key: &str| {
            let text = fs::read_to_string(format!("/proc/{pid}/{file}")).expect("it lives");
            let line = text.lines().find_map(|line| line.strip_prefix(key)).expect("it is counted");
            line.trim().trim_end_matches(" kB").parse().expect("a number")
        };
        Self {
            resident_kib: number("status", "VmRSS:"),
            peak_kib: number("status", "VmHWM:"),
            proportional_kib: number("smaps_rollup", "Pss:"),
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").count(),
        }
    }
}

/// Starts attackers, each with its ways, and waits until they have begun.
pub fn attack(attackers: Vec<Program>, ways: &[&str], addresses: &[&str]) -> Vec<Program> {
    let mut begun = Vec::new();
    for ((mut attacker, ways), address) in attackers.into_iter().zip(ways).zip(addresses) {
        attacker.say(&format!("{ways} {address}"));
        begun.push(attacker);
    }
    for attacker in &mut begun {
        attacker.wait_line("begun");
    }
    begun
}

/// Ends them, and tells what they did.
pub fn call_off(attackers: Vec<Program>) -> Vec<String> {
    attackers
        .into_iter()
        .map(|mut attacker| {
            attacker.say("end");
            attacker.wait_line("ended:")
        })
        .collect()
}
