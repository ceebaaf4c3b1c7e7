//! Lines for people on the standard error. Nobody may be there to read them: that stops nothing.

use std::{io::Write as _, time::Duration};

/// A duration without the milliseconds that have passed since it was a round one.
pub(crate) fn rounded(time: Duration) -> Duration {
    let half = Duration::from_millis(500);
    if time < half * 2 { time } else { Duration::from_secs(time.saturating_add(half).as_secs()) }
}

/// Says one line.
pub(crate) fn say(line: &str) {
    // In one piece, so that lines of several programs on one terminal don't mix.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}
