//! The servers, replaced one way and another while they are asked; a row each.

use std::{
    io::{BufRead as _, BufReader},
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::load::{Load, Report};

const GATEWAY: &str = env!("CARGO_BIN_EXE_gateway");

/// Between two replacements, so that whoever waited in one is answered before the next.
const BETWEEN: Duration = Duration::from_millis(300);

/// How one follows another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Steady,
    Overlap,
    Exclusive,
    StopThenStart,
}

/// A server, and how it is started.
struct Server {
    name: &'static str,
    command: Vec<String>,
}

/// A `gateway` that runs one; stopped with this.
struct Running(Child);

impl Running {
    fn start(dir: &Path, at: SocketAddr, options: &[&str], server: &Server, version: usize) -> Self {
        let mut command = Command::new(GATEWAY);
        command.env("GATEWAY_DIR", dir).args(["run", "--notify", "--listen", &at.to_string()]).args(options);
        command.arg("--").args(&server.command).arg(version.to_string());
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let (mut line, mut all) = (String::new(), String::new());
        while !line.starts_with("holding ") {
            all.push_str(&line);
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "it did not hold: {all}");
        }
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Self(child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SAFETY of numbers: it is this process's child, and not waited for yet.
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.0.id()).unwrap());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

fn run(args: &[&str], dir: &Path) {
    let status =
        Command::new(GATEWAY).env("GATEWAY_DIR", dir).args(args).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{args:?}");
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Asks a server for as long as it is replaced so often, or for so long.
fn measured(server: &Server, how: How, rounds: usize, at_least: Duration) -> (Report, Duration) {
    let dir = tempfile::tempdir().unwrap();
    let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rate = u32::try_from(number("RATE", 2000)).unwrap();
    let mut running = Some(Running::start(dir.path(), at, &[], server, 0));
    run(&["wait", "--ready"], dir.path());
    let load = Load::begin(at, rate);
    let began = Instant::now();
    std::thread::sleep(Duration::from_millis(500));
    for round in 1..=rounds {
        let options: &[&str] = match how {
            How::Steady => break,
            How::Overlap => &["--replace=overlap"],
            How::Exclusive => &["--replace"],
            How::StopThenStart => {
                run(&["stop"], dir.path());
                &[]
            }
        };
        let next = Running::start(dir.path(), at, options, server, round);
        let mut old = running.replace(next).unwrap();
        assert!(old.0.wait().unwrap().success());
        if how != How::Overlap {
            run(&["wait", "--ready"], dir.path());
        }
        std::thread::sleep(BETWEEN);
    }
    let took = began.elapsed();
    std::thread::sleep(at_least.saturating_sub(took).max(Duration::from_millis(500)));
    let lasted = began.elapsed();
    (load.end(), lasted)
}

fn row(server: &Server, how: How, rounds: usize, at_least: Duration) -> Duration {
    let (mut report, lasted) = measured(server, how, rounds, at_least);
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    let (gap, most, longest) = (report.longest_gap(), report.wait(99_900), report.wait(100_000));
    println!(
        "| {} | {how:?} | {} | {} | {} | {} | {} | {} | {} | {} |",
        server.name,
        if how == How::Steady { "-".to_owned() } else { rounds.to_string() },
        report.answered,
        report.refused,
        report.reset,
        report.lost,
        ms(gap),
        ms(most),
        ms(longest),
    );
    lasted
}

pub(crate) fn measure() {
    let rounds = number("ROUNDS", 100);
    let own = std::env::current_exe().unwrap().to_string_lossy().into_owned();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/handover/server.py");
    let servers = [
        Server { name: "Rust", command: vec![own, "serve".to_owned()] },
        Server { name: "Python", command: vec!["python3".to_owned(), script.to_owned()] },
    ];
    println!(
        "| server | replaced by | times | answered | refused | reset | lost | longest gap | 99.9 % waited | longest wait |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for server in servers {
        let lasted = row(&server, How::Overlap, rounds, Duration::ZERO);
        row(&server, How::Steady, 0, lasted);
        row(&server, How::Exclusive, rounds, Duration::ZERO);
        row(&server, How::StopThenStart, rounds.div_ceil(5), Duration::ZERO);
    }
}
