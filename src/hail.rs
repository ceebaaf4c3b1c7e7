//! The hail: connect, check who is there, ping, and read the pong, all within one deadline.
//!
//! A pong is proof of life, if it carries the nonce, comes from the right user, and is about *this* instance: the name,
//! and the directory as the holder's own path resolves at that moment. Everything else proves nothing by itself: a
//! refused connection says that nobody listens here, silence says nothing at all. When the pong does not come at once the
//! kernel is asked who listens: if that process has ended, what accepts is an orphan with its descriptor, and no time-out
//! is waited for. This file observes; `decide.rs` decides. Proven by `tests/killed.rs`, `tests/strangers.rs`.

use std::{
    io::ErrorKind,
    path::PathBuf,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use incumbent_proto::{Ping, Pong, Reply, Request, StatusReply};

use crate::{
    answer,
    connection::{Connection, Received},
    decide::Hailed,
    instance_id::InstanceId,
    place::Place,
    platform::{self, Address, FileId, Listening},
    process::{Process, ProcessHandle, ProcessState},
    record::{Past, Record},
};

/// Everything a hail of one address learned.
#[derive(Debug)]
pub(crate) struct Hail {
    /// What it means for a claim.
    pub(crate) met: Hailed,
    /// What is said of it in words, when it is no pong and not simply nobody.
    pub(crate) note: Option<Note>,
    /// The process that listens, where the kernel names it.
    pub(crate) pid: Option<u32>,
    /// Its user.
    pub(crate) uid: Option<u32>,
    /// The answer, and the connection on which more can be asked.
    pub(crate) answer: Option<Box<Answered>>,
}

/// A pong, and the connection that it came on.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) pong: Pong,
    pub(crate) connection: Connection,
    /// From the connect to the pong.
    pub(crate) took: Duration,
    /// The reply to what was sent behind the ping.
    pub(crate) also: Also,
}

/// What came of a request that was sent behind the ping.
#[derive(Debug)]
pub(crate) enum Also {
    /// There was none.
    Unasked,
    Reply(Box<Reply>),
    /// It was not answered in time, so that nothing else can be asked on this connection.
    Owed,
}

impl Also {
    /// The status, if that is what was asked for.
    pub(crate) fn status(self) -> Option<StatusReply> {
        match self {
            Self::Reply(reply) => match *reply {
                Reply::StatusIs(status) => Some(*status),
                _ => None,
            },
            Self::Unasked | Self::Owed => None,
        }
    }
}

/// Why a hail is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// It accepted, and its process has ended.
    Orphan,
    /// A living process accepted, and said nothing.
    Silent,
    /// So many wait to be accepted that no more may.
    Full,
    /// Another user's socket.
    Foreign,
    /// It answers for the same name in another directory.
    OtherDirectory,
    /// It does not speak the protocol.
    NotOurs,
    /// This user may not connect.
    Forbidden,
    /// The system would not connect (no descriptor left, no memory), so nothing was asked.
    Unasked,
    /// What is at the path is no socket.
    NoSocket(&'static str),
}

/// A pong is nearly always there by then. Only if it is not, the kernel is asked who listens, which costs as much as a
/// connect. What is due before the kernel's next tick (4 ms) costs more than that: its timer is set in the hardware.
const AT_ONCE: Duration = Duration::from_millis(5);

/// What comes with the pong is waited for so long, at the least.
const SOON: Duration = Duration::from_millis(10);

/// How long a hail waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For a pong of a process that lives.
    pub(crate) pong: Instant,
    /// For the end of a process that is ending: a gigabyte takes it 70 ms.
    pub(crate) end: Instant,
}

impl Patience {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self { pong: deadline, end: deadline }
    }
}

impl Hail {
    fn met(met: Hailed, note: Option<Note>) -> Self {
        Self { met, note, pid: None, uid: None, answer: None }
    }
}

/// Hails the path, the abstract name if the path gives no pong, and the recorded endpoint if that is yet another place.
/// What lives outranks what is dead.
///
/// `also` is sent behind the ping, so that its reply comes with the pong, in one round trip.
pub(crate) fn hail(place: &Place, patience: Patience, also: Option<&Request>) -> Hail {
    let addresses: [&dyn Fn() -> Address; 2] = [&|| Address::Path(place.socket()), &|| place.abstract_name()];
    let [path, name] = hail_each(place, addresses, patience, also);
    let path = path.unwrap_or_else(|| Hail::met(Hailed::Nobody, None));
    // Somebody else's abstract name stops nobody, and is said by the holder that had to go without it.
    let found = match name {
        Some(name) if rank(&name) > rank(&path) && name.met != Hailed::Stranger => name,
        _ => path,
    };
    if found.met == Hailed::Pong {
        return found;
    }
    match recorded_elsewhere(place) {
        Some(endpoint) => {
            let recorded = hail_at(place, &Address::Path(endpoint), patience, also);
            if rank(&recorded) > rank(&found) { recorded } else { found }
        }
        None => found,
    }
}

fn rank(hail: &Hail) -> u8 {
    match hail.met {
        Hailed::Pong => 4,
        Hailed::Silent => 3,
        Hailed::Stranger => 2,
        Hailed::Orphan => 1,
        Hailed::Nobody => 0,
    }
}

/// Where the last holder listened, when that is not where this process would: a socket that does not fit into the
/// instance's directory is in a runtime directory, which the environment of the two may name differently.
fn recorded_elsewhere(place: &Place) -> Option<PathBuf> {
    if !place.socket_is_elsewhere() {
        return None;
    }
    match Record::of_place(place) {
        Past::Record(record) => record.endpoint.filter(|path| path.is_absolute() && *path != place.socket()),
        Past::None | Past::Broken(_) => None,
    }
}

/// Hails one address.
pub(crate) fn hail_at(place: &Place, address: &Address, patience: Patience, also: Option<&Request>) -> Hail {
    let [hail] = hail_each(place, [&|| address.clone()], patience, also);
    hail.unwrap_or_else(|| Hail::met(Hailed::Nobody, None))
}

/// So often it must answer for another directory until that is what it is.
const SURELY_ELSEWHERE: u32 = 4;

/// Hails one address after the other, those again where another try may meet something else, until one gives a pong or
/// the time is up: two are two queues, and what is in the way at one need not be at the other.
fn hail_each<const N: usize>(
    place: &Place,
    addresses: [&dyn Fn() -> Address; N],
    patience: Patience,
    also: Option<&Request>,
) -> [Option<Hail>; N] {
    let (mut hails, mut known) = ([const { None }; N], [const { None }; N]);
    let (mut again, mut elsewhere) = ([true; N], [0; N]);
    let mut pause = Duration::from_millis(1);
    loop {
        let began = Instant::now();
        for at in (0..N).filter(|at| again[*at]).collect::<Vec<_>>() {
            let turn = patience.pong.min(Instant::now() + pause);
            let address = known[at].get_or_insert_with(addresses[at]);
            let (hail, may_change) = hail_once(place, address, turn, patience, also);
            // A directory that was swapped between the pong and the look looks like another one.
            elsewhere[at] += u32::from(hail.note == Some(Note::OtherDirectory));
            again[at] = may_change || (1..SURELY_ELSEWHERE).contains(&elsewhere[at]);
            let is_pong = hail.met == Hailed::Pong;
            hails[at] = Some(hail);
            if is_pong {
                return hails;
            }
        }
        let now = Instant::now();
        if now >= patience.pong || !again.contains(&true) {
            return hails;
        }
        // Less what a turn in a queue has taken already.
        std::thread::sleep(pause.saturating_sub(began.elapsed()).min(patience.pong - now));
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// One connection, for which it queues until `turn` if need be. `true`: it was closed or is not let in yet, so that
/// another may meet something else.
fn hail_once(
    place: &Place,
    address: &Address,
    turn: Instant,
    patience: Patience,
    also: Option<&Request>,
) -> (Hail, bool) {
    let began = Instant::now();
    // A link would be followed by connecting, to whatever listens there.
    if let Some(hail) = in_the_way(address) {
        return (hail, false);
    }
    let stream = match platform::connect(address, turn) {
        Ok(stream) => stream,
        Err(error) => {
            return match error.kind() {
                // Another user's lets nobody in, too, if he wants that: it is not the incumbent's, and stops nobody.
                ErrorKind::WouldBlock | ErrorKind::PermissionDenied if is_foreign(place, address) => {
                    let uid = platform::listeners_user(address);
                    (Hail { uid, ..Hail::met(Hailed::Stranger, Some(Note::Foreign)) }, false)
                }
                ErrorKind::WouldBlock => (Hail::met(Hailed::Silent, Some(Note::Full)), true),
                ErrorKind::PermissionDenied => (Hail::met(Hailed::Silent, Some(Note::Forbidden)), false),
                _ if platform::means_nobody(&error) => (Hail::met(Hailed::Nobody, None), false),
                // Only what the system says of the address proves that nobody is there.
                _ => (Hail::met(Hailed::Silent, Some(Note::Unasked)), true),
            };
        }
    };
    let Ok(peer) = stream.peer() else {
        return (Hail::met(Hailed::Silent, Some(Note::Unasked)), true);
    };
    let mut seen = Hail { pid: peer.pid, uid: peer.uid, ..Hail::met(Hailed::Stranger, Some(Note::Foreign)) };
    if !peer.uid.is_some_and(|uid| uid == 0 || uid == place.owner()) {
        return (seen, false);
    }
    let mut connection = Connection::new(stream, peer);

    let before = place.dir_id();
    let nonce = next_nonce();
    let mut frames = Request::Ping(Ping { nonce }).encode().unwrap_or_default();
    frames.extend(also.and_then(|request| request.encode().ok()).unwrap_or_default());
    let mut received = if peer.pid.is_some_and(platform::is_gone) {
        Ok(Received::Nothing)
    } else {
        connection
            .write(&frames, patience.pong)
            .or_else(|error| if error.kind() == ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
            .and_then(|()| connection.receive(Some(patience.pong.min(Instant::now() + AT_ONCE)), None))
    };
    let mut process = None;
    if !matches!(received, Ok(Received::Reply(_))) {
        (received, process) = match (listener(place, &connection), received) {
            (Listener::Ended, _) => (Ok(Received::ProcessEnded), None),
            (Listener::Lives(process), Ok(Received::Nothing)) => {
                (connection.receive(Some(patience.pong), process.as_ref()), process)
            }
            (Listener::Lives(process), received) => (received, process),
        };
    }
    let process = process.as_ref();
    (seen.met, seen.note) = match received {
        Ok(Received::Reply(Reply::Pong(pong))) if pong.nonce == nonce => {
            let there = pong.dir.map(|dir| FileId { dev: dir.dev, ino: dir.ino });
            if pong.name == place.name && (there == before || there == place.dir_id()) {
                let took = began.elapsed();
                let also = also.map_or(Also::Unasked, |_| {
                    let left = patience.pong.saturating_duration_since(Instant::now()).max(SOON);
                    let reply = connection.answer("status", Instant::now() + left, left);
                    reply.map_or(Also::Owed, |reply| Also::Reply(Box::new(reply)))
                });
                seen.answer = Some(Box::new(Answered { pong, connection, took, also }));
                (Hailed::Pong, None)
            } else {
                (Hailed::Stranger, Some(Note::OtherDirectory))
            }
        }
        Ok(Received::ProcessEnded) => (Hailed::Orphan, Some(Note::Orphan)),
        // A wrong nonce, an unknown reply, no frame at all: whoever lives there may be anything.
        Ok(Received::Reply(_)) => (Hailed::Silent, Some(Note::NotOurs)),
        Err(error) if error.kind() == ErrorKind::InvalidData => (Hailed::Silent, Some(Note::NotOurs)),
        // A holder closes on whoever may not speak, without a word; to ask it again would change nothing.
        Ok(Received::End) | Err(_) if !may_be_answered(place) => (Hailed::Silent, Some(Note::Forbidden)),
        Ok(Received::End) | Err(_) => {
            return match ending(process, patience) {
                Ending::Ended => (Hail { met: Hailed::Orphan, note: Some(Note::Orphan), ..seen }, false),
                // It let go of this connection, and may have let go of its socket.
                Ending::Lives => (Hail { met: Hailed::Silent, note: Some(Note::Silent), ..seen }, true),
            };
        }
        Ok(Received::Nothing) => match ending(process, patience) {
            Ending::Ended => (Hailed::Orphan, Some(Note::Orphan)),
            Ending::Lives => (Hailed::Silent, Some(Note::Silent)),
        },
    };
    (seen, false)
}

/// What a ping carries, and its pong: unlike that of every other ping of this process.
///
/// Random from the first one on, and counted: it tells pongs apart, and is no secret to whoever listens.
pub(crate) fn next_nonce() -> [u8; 16] {
    static FIRST: OnceLock<u128> = OnceLock::new();
    static PINGS: AtomicU64 = AtomicU64::new(0);
    let random = || InstanceId::random().map_or([7; 16], InstanceId::to_bytes);
    let first = FIRST.get_or_init(|| u128::from_le_bytes(random()));
    (first ^ u128::from(PINGS.fetch_add(1, Ordering::Relaxed))).to_le_bytes()
}

/// The process that listens.
enum Listener {
    /// It lives, for all that is known; with what can be watched.
    Lives(Option<ProcessHandle>),
    Ended,
}

/// Asks the kernel who listens at the other end.
fn listener(place: &Place, connection: &Connection) -> Listener {
    let pid = connection.peer().pid;
    match connection.listening() {
        Listening::Ended => Listener::Ended,
        // This very process listens, and does not serve: it was the holder before it replaced itself by exec.
        _ if pid == Some(std::process::id()) && !answer::runs() => Listener::Ended,
        Listening::Process { is_proven: false, .. } if has_new_owner(place, pid) => Listener::Ended,
        Listening::Process { process, .. } => Listener::Lives(Some(process)),
        Listening::Unknown => Listener::Lives(None),
    }
}

/// Tells whether a holder of this place speaks with this user.
fn may_be_answered(place: &Place) -> bool {
    let user = platform::effective_user();
    user == 0 || user == place.owner()
}

/// Tells whether it is known that another user listens there, although he lets nobody in who could ask.
fn is_foreign(place: &Place, address: &Address) -> bool {
    platform::listeners_user(address).is_some_and(|uid| uid != 0 && uid != place.owner())
}

/// What is at the address, if it is no socket.
fn in_the_way(address: &Address) -> Option<Hail> {
    let Address::Path(path) = address else { return None };
    if !platform::ENDPOINT_IS_A_FILE {
        return None;
    }
    let facts = platform::at_endpoint(path).ok().flatten()?;
    (facts.kind != platform::Kind::Socket)
        .then(|| Hail::met(Hailed::Nobody, Some(Note::NoSocket(facts.kind.words()))))
}

/// Where the kernel only gives a number (Linux before 6.5, macOS): tells whether the process that the record names with
/// it has ended, and the number was given to another, which started at another moment.
fn has_new_owner(place: &Place, pid: Option<u32>) -> bool {
    let Past::Record(record) = Record::of_place(place) else { return false };
    let now = pid.and_then(|pid| Process::of(pid).ok().flatten()).and_then(|process| process.start_ticks);
    // Where runs of the kernel have no names, the start is one that no other run has.
    let same_boot = record.boot_id == platform::boot_id();
    Some(record.pid) == pid
        && same_boot
        && record.start_ticks.is_some()
        && now.is_some()
        && now != record.start_ticks
}

enum Ending {
    Ended,
    Lives,
}

/// Tells whether the silent process has ended; one that is ending is waited for.
fn ending(process: Option<&ProcessHandle>, patience: Patience) -> Ending {
    let Some(process) = process else { return Ending::Lives };
    if process.has_ended() {
        return Ending::Ended;
    }
    let state = process.pid().and_then(|pid| Process::of(pid).ok().flatten()).map(|process| process.state);
    if state == Some(ProcessState::Ending) && process.wait_ended(patience.end) {
        return Ending::Ended;
    }
    Ending::Lives
}
