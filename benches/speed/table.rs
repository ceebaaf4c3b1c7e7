//! Times, taken in turns, and shown as a table; and processes that end with their owner.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Times of one thing.
pub(crate) struct Times {
    what: &'static str,
    taken: Vec<Duration>,
}

impl Times {
    pub(crate) fn of(what: &'static str) -> Self {
        Self { what, taken: Vec::new() }
    }

    pub(crate) fn add(&mut self, time: Duration) {
        self.taken.push(time);
    }

    /// The time that this share of all stays under, in microseconds.
    pub(crate) fn at(&mut self, share: f64) -> f64 {
        self.taken.sort_unstable();
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let index = ((self.taken.len() - 1) as f64 * share).round() as usize;
        self.taken[index].as_secs_f64() * 1e6
    }
}

/// Prints one table: the first row is what the others are compared with; each has the ratio that its median should not
/// exceed.
pub(crate) fn show(title: &str, rows: Vec<(Times, Option<f64>)>) {
    show_tails(title, rows.into_iter().map(|(times, target)| (times, target, None)).collect());
}

/// As [`show`]; each row has a second ratio, for what one of a hundred exceeds.
pub(crate) fn show_tails(title: &str, rows: Vec<(Times, Option<f64>, Option<f64>)>) {
    println!("{title}");
    println!(
        "  {:<44} {:>6} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7}  target",
        "µs", "n", "median", "p10", "p90", "p99", "ratio", "at p99"
    );
    let mut floor = None;
    for (mut times, target, tail_target) in rows {
        let (median, p99) = (times.at(0.5), times.at(0.99));
        let (floor, floor_p99) = *floor.get_or_insert((median, p99));
        let (ratio, tail) = (median / floor, p99 / floor_p99);
        let verdict = verdicts(&[(ratio, target, ""), (tail, tail_target, " at p99")]);
        let (p10, p90, n) = (times.at(0.1), times.at(0.9), times.taken.len());
        println!(
            "  {:<44} {n:>6} {median:>9.1} {p10:>9.1} {p90:>9.1} {p99:>9.1} {ratio:>7.2} {tail:>7.2}  {verdict}",
            times.what
        );
    }
    println!();
}

fn verdicts(ratios: &[(f64, Option<f64>, &str)]) -> String {
    let told = ratios.iter().filter_map(|(ratio, target, of_what)| {
        let target = (*target)?;
        Some(format!("≤ {target}{of_what}{}", if *ratio <= target { "" } else { " MISSED" }))
    });
    told.collect::<Vec<_>>().join(", ")
}

/// Prints one table of what is done again and again: operations a second, as they came; the first row is what the others
/// are compared with, and each has the share of it that it should reach.
pub(crate) fn show_rates(title: &str, rows: Vec<(Times, Option<f64>)>) {
    println!("{title}");
    println!("  {:<44} {:>6} {:>9} {:>9} {:>7}  target", "", "n", "a second", "median µs", "ratio");
    let mut floor = None;
    for (mut times, target) in rows {
        let total: Duration = times.taken.iter().sum();
        #[allow(clippy::cast_precision_loss)]
        let rate = times.taken.len() as f64 / total.as_secs_f64();
        let ratio = rate / *floor.get_or_insert(rate);
        let verdict = target.map_or_else(String::new, |target| {
            format!("≥ {target}{}", if ratio >= target { "" } else { " MISSED" })
        });
        let (median, n) = (times.at(0.5), times.taken.len());
        println!("  {:<44} {n:>6} {rate:>9.0} {median:>9.1} {ratio:>7.2}  {verdict}", times.what);
    }
    println!();
}

/// The machine, in one line.
pub(crate) fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let count = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{count} × {}, Linux {}", model.trim_start_matches([' ', '\t', ':']), kernel.trim())
}

/// A number from a file of `/proc` with a name on every line.
pub(crate) fn field(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// A process that is killed and reaped with its owner.
pub(crate) struct Ended(pub(crate) Child);

impl Ended {
    pub(crate) fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts a command, and returns when it has said a line on its standard error that begins like this.
pub(crate) fn start_until(command: &mut Command, line: &str) -> Ended {
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut child = Ended(child);
    let mut said = String::new();
    let mut errors = BufReader::new(child.0.stderr.take().unwrap());
    while !said.starts_with(line) {
        said.clear();
        assert!(errors.read_line(&mut said).unwrap() > 0, "it ended without saying `{line}`");
    }
    child.0.stderr = Some(errors.into_inner());
    child
}
