//! What a child says of itself, as `sd_notify(3)` writes it: lines of `KEY=VALUE` in a datagram. Pure.
//!
//! Whatever the bytes are, the answer is a [`Said`]: a line that is unknown says nothing, one that cannot be right is left
//! out with a warning in the log. Within one datagram the last of a kind wins, as with systemd.

use std::time::Duration;

use incumbent::text;

/// What one datagram says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) phase: Option<Phase>,
    /// `STATUS=`, without control characters and not longer than [`LONGEST_STATUS`] characters.
    pub(crate) status: Option<String>,
    /// `WATCHDOG=1`.
    pub(crate) is_alive: bool,
    /// `WATCHDOG=trigger`: it has found out itself that it is hung.
    pub(crate) is_hung: bool,
    /// `WATCHDOG_USEC=`: how often it will say `WATCHDOG=1` from now on; zero: not any more.
    pub(crate) interval: Option<Duration>,
    /// `EXTEND_TIMEOUT_USEC=`.
    pub(crate) more_time: Option<Duration>,
    /// `MAINPID=`.
    pub(crate) main_pid: Option<u32>,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// `READY=1`.
    Ready,
    /// `RELOADING=1`.
    Reloading,
    /// `STOPPING=1`.
    Stopping,
}

/// A longer status is cut.
pub(crate) const LONGEST_STATUS: usize = 1000;
/// A longer time was not meant: systemd writes "for ever" so.
const LONGEST_TIME: Duration = Duration::from_secs(366 * 86_400);

/// Reads a datagram.
pub(crate) fn read(datagram: &[u8]) -> Said {
    let mut said = Said::default();
    for line in datagram.split(|byte| *byte == b'\n') {
        let Some(at) = line.iter().position(|byte| *byte == b'=') else { continue };
        let (key, value) = (&line[..at], std::str::from_utf8(&line[at + 1..]));
        match (key, value) {
            (b"READY", Ok("1")) => said.phase = Some(Phase::Ready),
            (b"RELOADING", Ok("1")) => said.phase = Some(Phase::Reloading),
            (b"STOPPING", Ok("1")) => said.phase = Some(Phase::Stopping),
            (b"STATUS", Ok(status)) => {
                said.status = Some(text::shown(status).chars().take(LONGEST_STATUS).collect());
            }
            (b"WATCHDOG", Ok("1")) => said.is_alive = true,
            (b"WATCHDOG", Ok("trigger")) => said.is_hung = true,
            (b"WATCHDOG_USEC", Ok(usec)) => said.interval = time(key, usec).or(said.interval),
            (b"EXTEND_TIMEOUT_USEC", Ok(usec)) => said.more_time = time(key, usec).or(said.more_time),
            (b"MAINPID", Ok(pid)) => match pid.parse() {
                Ok(pid) => said.main_pid = Some(pid),
                Err(_) => ignored(key),
            },
            (b"READY" | b"RELOADING" | b"STOPPING" | b"STATUS" | b"WATCHDOG", _) => ignored(key),
            (_, Err(_)) => ignored(key),
            // ERRNO=, FDSTORE=1, BARRIER=1 and whatever comes after us.
            (_, Ok(_)) => {}
        }
    }
    said
}

fn time(key: &[u8], usec: &str) -> Option<Duration> {
    let time = usec.parse().ok().map(Duration::from_micros).filter(|time| *time <= LONGEST_TIME);
    if time.is_none() {
        ignored(key);
    }
    time
}

fn ignored(key: &[u8]) {
    let key: String = text::shown(&String::from_utf8_lossy(key)).chars().take(40).collect();
    tracing::warn!("the child says `{key}=` with a value that cannot be right: ignored");
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test fails so
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_programs_say_is_understood() {
        let phase = |phase| Said { phase: Some(phase), ..Said::default() };
        let status = |status: &str| Said { status: Some(status.to_owned()), ..Said::default() };
        let time = |us| Some(Duration::from_micros(us));
        for (bytes, said) in [
            ("READY=1", phase(Phase::Ready)),
            ("READY=1\n", phase(Phase::Ready)),
            ("READY=1\nSTOPPING=1", phase(Phase::Stopping)),
            ("RELOADING=1\nMONOTONIC_USEC=12", phase(Phase::Reloading)),
            ("STATUS=a=b", status("a=b")),
            ("STATUS=one\nSTATUS=", status("")),
            ("STATUS=\x1b[2Jx", status("\u{fffd}[2Jx")),
            ("WATCHDOG=1", Said { is_alive: true, ..Said::default() }),
            ("WATCHDOG=trigger", Said { is_hung: true, ..Said::default() }),
            ("WATCHDOG_USEC=0", Said { interval: time(0), ..Said::default() }),
            ("EXTEND_TIMEOUT_USEC=5000000", Said { more_time: time(5_000_000), ..Said::default() }),
            ("MAINPID=17", Said { main_pid: Some(17), ..Said::default() }),
        ] {
            assert_eq!(read(bytes.as_bytes()), said, "{bytes}");
        }
    }

    #[test]
    fn what_cannot_be_right_says_nothing() {
        for bytes in [
            &b""[..],
            b"=",
            b"READY",
            b"READY=0",
            b"READY= 1",
            b"ready=1",
            b"X\0READY=1",
            b"STATUS=\xff\xfe",
            b"BARRIER=1",
            b"FDSTORE=1\nFDNAME=x",
            b"WATCHDOG_USEC=18446744073709551615",
            b"EXTEND_TIMEOUT_USEC=99999999999999999999999",
            b"EXTEND_TIMEOUT_USEC=-1",
            b"MAINPID=-1",
            b"MAINPID=",
        ] {
            assert_eq!(read(bytes), Said::default(), "{}", bytes.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_and_nothing_moves_a_cursor(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..5000),
                "((READY|STATUS|WATCHDOG_USEC|EXTEND_TIMEOUT_USEC|MAINPID|WATCHDOG)=.{0,2000}\n?){0,3}"
                    .prop_map(String::into_bytes),
            ],
        ) {
            let said = read(&bytes);
            if let Some(status) = said.status {
                prop_assert!(status.chars().count() <= LONGEST_STATUS);
                prop_assert!(!status.contains(char::is_control));
            }
            for time in said.interval.into_iter().chain(said.more_time) {
                prop_assert!(time <= LONGEST_TIME);
            }
        }
    }
}
