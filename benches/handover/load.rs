//! Clients that ask at a fixed rate, each time on a new connection, whether they were answered or not.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// So many stand in line at once at the most.
const CLIENTS: u32 = 128;
/// Who waits for longer was not answered.
const PATIENCE: Duration = Duration::from_secs(20);

/// What became of the requests.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) answered: usize,
    pub(crate) refused: usize,
    pub(crate) reset: usize,
    pub(crate) lost: usize,
    /// From when it was due to its answer.
    pub(crate) waits: Vec<Duration>,
    /// When somebody was answered.
    answers: Vec<Instant>,
}

impl Report {
    /// The longest time in which nobody was answered.
    pub(crate) fn longest_gap(&mut self) -> Duration {
        self.answers.sort_unstable();
        self.answers.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default()
    }

    /// The wait that so many of a hundred thousand did not exceed.
    pub(crate) fn wait(&mut self, of_100_000: usize) -> Duration {
        self.waits.sort_unstable();
        let at = (self.waits.len() * of_100_000).div_ceil(100_000);
        self.waits.get(at.saturating_sub(1)).copied().unwrap_or_default()
    }
}

pub(crate) struct Load {
    is_over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Report>>,
}

impl Load {
    /// So many a second.
    pub(crate) fn begin(at: SocketAddr, rate: u32) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let between = Duration::from_secs(1) * CLIENTS / rate;
        let begin = Instant::now() + Duration::from_millis(50);
        let clients = (0..CLIENTS)
            .map(|number| {
                let is_over = is_over.clone();
                let first = begin + between * number / CLIENTS;
                thread::Builder::new()
                    .stack_size(64 * 1024)
                    .spawn(move || ask_again_and_again(at, first, between, &is_over))
                    .unwrap()
            })
            .collect();
        Self { is_over, clients }
    }

    pub(crate) fn end(self) -> Report {
        self.is_over.store(true, Ordering::SeqCst);
        let mut all = Report::default();
        for client in self.clients {
            let one = client.join().unwrap();
            all.answered += one.answered;
            all.refused += one.refused;
            all.reset += one.reset;
            all.lost += one.lost;
            all.waits.extend(one.waits);
            all.answers.extend(one.answers);
        }
        all
    }
}

fn ask_again_and_again(at: SocketAddr, first: Instant, between: Duration, is_over: &AtomicBool) -> Report {
    let (mut report, mut due) = (Report::default(), first);
    while !is_over.load(Ordering::SeqCst) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        match ask(at) {
            Ok(()) => {
                report.answered += 1;
                report.answers.push(Instant::now());
                report.waits.push(due.elapsed());
            }
            Err(ErrorKind::ConnectionRefused) => report.refused += 1,
            Err(ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => report.reset += 1,
            Err(_) => report.lost += 1,
        }
        due += between;
    }
    report
}

fn ask(at: SocketAddr) -> Result<(), ErrorKind> {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&at, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let is_whole =
            answer.starts_with(b"HTTP/1.1 200 OK") && answer.windows(4).any(|it| it == b"\r\n\r\n");
        if is_whole { Ok(()) } else { Err(std::io::Error::from(ErrorKind::UnexpectedEof)) }
    };
    ask().map_err(|error| error.kind())
}
