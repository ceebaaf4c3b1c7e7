//! A server as PROGRAM, which is the test binary itself, and clients that ask it without a pause: what handing sockets over
//! is tried with.
//!
//! A test file that uses it has one test that plays it: `#[test] fn web() { web::play() }`. Its words after `web:` are a
//! version, which each answer is, and what it does.

#![allow(dead_code)] // every test file uses a part of it

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        fd::{AsRawFd as _, FromRawFd as _},
        unix::net::UnixDatagram,
    },
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

const DOES: &str = "web:";

/// The command line of a server of this version, which does this beside: `never` gets ready, `shuts` its socket down when it
/// stops, `dies` when it is to be ready, is ready `after` this file is there, or says so then and `flees`.
pub(crate) fn program(does: &str) -> Vec<String> {
    let own = std::env::current_exe().unwrap().into_os_string().into_string().unwrap();
    let does = format!("{DOES}{does}");
    [&own, "web", &does, "--exact", "--nocapture", "--test-threads=1"].map(str::to_owned).to_vec()
}

/// The arguments of `gateway` for a `run` of it with these options.
pub(crate) fn run(options: &[&str], does: &str) -> Vec<String> {
    let words = ["run"].iter().chain(options).chain(&["--"]).map(|word| (*word).to_owned());
    words.chain(program(does)).collect()
}

static ASKED_TO_STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn ask_to_stop(_: i32) {
    ASKED_TO_STOP.store(true, Ordering::SeqCst);
}

/// Serves, as the arguments say; nothing without.
pub(crate) fn play() {
    let Some(does) = std::env::args().find_map(|word| word.strip_prefix(DOES).map(str::to_owned)) else {
        return;
    };
    let (version, does) = does.split_once(' ').unwrap_or((&does, ""));
    let flags = SaFlags::SA_RESTART;
    let action = SigAction::new(SigHandler::Handler(ask_to_stop), flags, SigSet::empty());
    // SAFETY: the handler only writes an atomic.
    unsafe { sigaction(Signal::SIGTERM, &action) }.unwrap();
    let variable = |name| std::env::var(name).unwrap_or_default();
    assert_eq!(variable("LISTEN_PID"), std::process::id().to_string(), "it is told its own number");
    let count: i32 = variable("LISTEN_FDS").parse().unwrap();
    assert!(count > 0 && variable("LISTEN_FDNAMES").split(':').count() == usize::try_from(count).unwrap());
    // SAFETY: they are this process's, which was told so.
    let sockets: Vec<TcpListener> =
        (3..3 + count).map(|number| unsafe { TcpListener::from_raw_fd(number) }).collect();
    if does == "dies" {
        say(&format!("dying {version}"));
        end(3);
    }
    if does == "never" {
        say(&format!("waiting {version} as {}", std::process::id()));
        until_asked_to_stop();
        end(0);
    }
    let (after, flees) = (does.strip_prefix("after "), does.strip_prefix("flees "));
    if let Some(path) = after.or(flees) {
        say(&format!("waiting {version} as {}", std::process::id()));
        while !Path::new(path).exists() {
            thread::sleep(Duration::from_millis(5));
        }
    }
    if flees.is_some() {
        tell("READY=1");
        end(3);
    }
    let servers: Vec<JoinHandle<()>> = sockets
        .into_iter()
        .map(|socket| {
            let (version, shuts) = (version.to_owned(), does == "shuts");
            thread::spawn(move || serve(&socket, &version, shuts))
        })
        .collect();
    tell("READY=1");
    say(&format!("serving {version} as {}", std::process::id()));
    for server in servers {
        server.join().unwrap();
    }
    end(0);
}

/// Past the harness, which would say how that went.
fn end(code: i32) -> ! {
    #[allow(clippy::exit, reason = "it is a program")]
    std::process::exit(code);
}

fn until_asked_to_stop() {
    while !ASKED_TO_STOP.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(10));
    }
}

fn tell(what: &str) {
    if let Some(path) = std::env::var_os("NOTIFY_SOCKET") {
        UnixDatagram::unbound().unwrap().send_to(what.as_bytes(), path).unwrap();
    }
}

/// Answers until it is asked to stop, and finishes what it has begun.
fn serve(socket: &TcpListener, version: &str, shuts: bool) {
    use nix::sys::{
        socket::{setsockopt, shutdown, sockopt},
        time::{TimeVal, TimeValLike as _},
    };
    // The flags of a socket are shared with its other copies, and so are these; but they wake each on its own.
    setsockopt(socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(20)).unwrap();
    let mut answering = Vec::new();
    while !ASKED_TO_STOP.load(Ordering::SeqCst) {
        if let Ok((stream, _)) = socket.accept() {
            let version = version.to_owned();
            answering.push(thread::spawn(move || answer(stream, &version)));
            answering.retain(|one| !one.is_finished());
        }
    }
    if shuts {
        shutdown(socket.as_raw_fd(), nix::sys::socket::Shutdown::Both).unwrap();
    }
    for one in answering {
        let _ = one.join();
    }
}

fn answer(mut stream: TcpStream, version: &str) {
    stream.set_read_timeout(None).unwrap(); // it has that of the socket that it came by
    let (mut request, mut piece) = (Vec::new(), [0; 1024]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(count @ 1..) => request.extend_from_slice(&piece[..count]),
            _ => return, // it left before it had asked
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    // One that takes its time: until this file is there.
    if let Some(path) = request.strip_prefix("GET /until").and_then(|rest| rest.split(' ').next()) {
        std::fs::write(format!("{path}.begun"), "").unwrap();
        while !Path::new(path).exists() {
            thread::sleep(Duration::from_millis(5));
        }
    }
    let length = version.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all((head + version).as_bytes());
}

/// On a line of its own: the harness has begun one.
fn say(what: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "\n{what}");
    let _ = out.flush();
}

/// Asks for a path: the version that answers.
pub(crate) fn ask(at: SocketAddr, path: &str) -> Result<String, String> {
    let failed = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    let mut stream = TcpStream::connect(at).map_err(failed("connect"))?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).map_err(failed("set a time-out"))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed("write"))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed("read"))?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    body.filter(|body| !body.is_empty()).ok_or_else(|| format!("cut short: {answer:?}"))
}

/// Waits for something of which there is no event.
#[track_caller]
pub(crate) fn eventually(what: &str, is_so: impl FnMut() -> bool) {
    eventually_so(|| what.to_owned(), is_so);
}

#[track_caller]
fn eventually_so(what: impl Fn() -> String, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + crate::gateway::WATCHDOG / 2;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never happened: {}", what());
        thread::sleep(Duration::from_millis(5));
    }
}

/// Clients that ask without a pause, each on a new connection every time.
pub(crate) struct Load {
    is_over: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    clients: Vec<JoinHandle<()>>,
}

/// What they have seen.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    pub(crate) answers: usize,
    pub(crate) failures: Vec<String>,
    /// Each version once, in the order in which it answered first.
    pub(crate) versions: Vec<String>,
    pub(crate) longest: Duration,
}

impl Load {
    pub(crate) fn on(at: SocketAddr) -> Self {
        let (is_over, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Seen::default())));
        let clients = (0..4)
            .map(|_| {
                let (is_over, seen) = (is_over.clone(), seen.clone());
                thread::spawn(move || {
                    while !is_over.load(Ordering::SeqCst) {
                        let began = Instant::now();
                        let answer = ask(at, "/");
                        let mut seen = seen.lock().unwrap();
                        seen.longest = seen.longest.max(began.elapsed());
                        match answer {
                            Ok(version) => {
                                seen.answers += 1;
                                if !seen.versions.contains(&version) {
                                    seen.versions.push(version);
                                }
                            }
                            Err(why) => seen.failures.push(why),
                        }
                    }
                })
            })
            .collect();
        Self { is_over, seen, clients }
    }

    pub(crate) fn so_far(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until this version has answered somebody.
    pub(crate) fn meets(&self, version: &str) {
        let what = || format!("{version} answers, but {:?}", self.so_far());
        eventually_so(what, || self.so_far().versions.iter().any(|seen| seen == version));
    }

    /// Ends it: every request was answered.
    #[track_caller]
    pub(crate) fn was_answered(mut self) -> Seen {
        self.is_over.store(true, Ordering::SeqCst);
        for client in self.clients.drain(..) {
            client.join().unwrap();
        }
        let seen = self.so_far();
        let (failed, first) = (seen.failures.len(), seen.failures.first());
        assert!(failed == 0, "{failed} failed beside {} answers: {first:?}", seen.answers);
        assert!(seen.answers > 0);
        seen
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
    }
}
