//! Points in time as the person at the terminal reads them: local, and how long ago.

use std::time::Duration;

use incumbent::text;
use jiff::{Timestamp, tz::TimeZone};

/// `2026-07-10 14:03:22`, local. What is no time is shown as it is.
pub(crate) fn local(rfc3339: &str) -> String {
    match rfc3339.parse::<Timestamp>() {
        Ok(time) => clock(time),
        Err(_) => text::shown(rfc3339),
    }
}

/// As [`local`], for microseconds since 1970.
pub(crate) fn local_us(us: i64) -> String {
    Timestamp::from_microsecond(us).map_or_else(|_| "?".to_owned(), clock)
}

/// The local time zone. Only its rules matter here, so `/etc/localtime` is read as it is; jiff would go through the whole
/// database of time zones for its name, which takes longer than everything else that a refused `run` does.
fn zone() -> TimeZone {
    if std::env::var_os("TZ").is_none() {
        let rules = std::fs::read("/etc/localtime").ok();
        if let Some(zone) = rules.and_then(|rules| TimeZone::tzif("local", &rules).ok()) {
            return zone;
        }
    }
    TimeZone::system()
}

fn clock(time: Timestamp) -> String {
    time.to_zoned(zone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Now, local: `14:03:22`.
pub(crate) fn now() -> String {
    Timestamp::now().to_zoned(zone()).strftime("%H:%M:%S").to_string()
}

/// `2026-07-10 14:03:22 (2 h 13 min ago)`.
pub(crate) fn local_and_ago(rfc3339: &str) -> String {
    let Ok(time) = rfc3339.parse::<Timestamp>() else { return text::shown(rfc3339) };
    match Duration::try_from(Timestamp::now().duration_since(time)) {
        Ok(past) => format!("{} ({} ago)", clock(time), text::duration(past)),
        Err(_) => format!("{} (in the future: the clock was set)", clock(time)),
    }
}

/// A number of seconds as people say it.
pub(crate) fn seconds(seconds: f64) -> String {
    text::duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// A duration without the milliseconds that have passed since it was a round one.
pub(crate) fn rounded(time: Duration) -> Duration {
    let unit = if time < Duration::from_millis(990) { 10 } else { 1000 };
    let half = Duration::from_millis(unit / 2);
    let units = u64::try_from(time.saturating_add(half).as_millis()).map_or(u64::MAX, |ms| ms / unit);
    Duration::from_millis(units.saturating_mul(unit))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    #[test]
    fn a_grace_is_said_as_it_was_given() {
        for (left, said) in
            [(29_998, 30_000), (30_000, 30_000), (299, 300), (999, 1000), (2, 0), (1_499, 1000)]
        {
            assert_eq!(super::rounded(Duration::from_millis(left)), Duration::from_millis(said));
        }
    }

    #[test]
    fn what_is_no_time_is_shown_without_its_control_characters() {
        assert_eq!(super::local("soon\x1b[2J"), "soon\u{fffd}[2J");
        assert_eq!(super::local_and_ago("\x07"), "\u{fffd}");
        assert_eq!(super::local_us(i64::MAX), "?");
    }
}
