//! Lines for people on the standard error. Nobody may be there to read them: that stops nothing.

use std::{io::Write as _, time::Duration};

/// A duration without the milliseconds that have passed since it was a round one.
pub(crate) fn rounded(time: Duration) -> Duration {
    let unit = if time < Duration::from_millis(990) { 10 } else { 1000 };
    let half = Duration::from_millis(unit / 2);
    let units = u64::try_from(time.saturating_add(half).as_millis()).map_or(u64::MAX, |ms| ms / unit);
    Duration::from_millis(units.saturating_mul(unit))
}

/// Says what went wrong, on one line.
pub(crate) fn error(line: &str) {
    say(&format!("gateway: {line}"));
}

/// Says one line.
pub(crate) fn say(line: &str) {
    // In one piece, so that lines of several programs on one terminal don't mix.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_is_said_as_it_was_given() {
        for (left, said) in
            [(29_998, 30_000), (30_000, 30_000), (299, 300), (999, 1000), (2, 0), (1_499, 1000)]
        {
            assert_eq!(rounded(Duration::from_millis(left)), Duration::from_millis(said));
        }
    }
}
