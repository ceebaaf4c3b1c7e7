//! `/proc/PID/stat`, one line of numbers around a name that may contain anything (`proc_pid_stat(5)`).
//!
//! The name is in parentheses and unescaped: `a) b (c`, spaces and newlines are all possible, so what follows is found from the *last*
//! parenthesis. Whatever doesn't parse is `None`. The tests hold every state and the worst names against it.

use crate::process::ProcessState;

/// Set when a task is on its way out (`PF_EXITING`, `include/linux/sched.h`); it may still free memory for a while.
const PF_EXITING: u64 = 0x4;

/// What we use of the line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) name: String,
    /// Field 3.
    pub(super) letter: u8,
    /// Field 4.
    pub(super) parent: u32,
    /// Field 9, `PF_EXITING`.
    pub(super) exiting: bool,
    /// Field 20: threads not yet gone, the first one included.
    threads: u64,
    /// Field 22, in clock ticks since the boot.
    pub(super) start_ticks: u64,
}

impl Stat {
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let open = line.iter().position(|&byte| byte == b'(')?;
        let close = line.iter().rposition(|&byte| byte == b')')?;
        let name = line.get(open + 1..close)?;
        let rest = std::str::from_utf8(&line[close + 1..]).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // The first one after the name is field 3.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            name: String::from_utf8_lossy(name).into_owned(),
            letter: *fields.first()?.as_bytes().first()?,
            parent: u32::try_from(number(4)?).ok()?,
            exiting: number(9)? & PF_EXITING != 0,
            threads: number(20)?,
            start_ticks: number(22)?,
        })
    }

    /// This task is dead or dying; that isn't yet so of its process, see [`Self::state`].
    pub(super) fn task_ends(&self) -> bool {
        self.exiting || matches!(self.letter, b'Z' | b'X' | b'x')
    }

    /// The state of the process. The line speaks of its first thread, which may leave and let the others live on: then `others_end` is asked.
    pub(super) fn state(&self, others_end: impl FnOnce() -> bool) -> ProcessState {
        match self.letter {
            _ if self.task_ends() && (self.threads <= 1 || others_end()) => ProcessState::Ending,
            b'T' => ProcessState::Stopped,
            b't' => ProcessState::Traced,
            _ => ProcessState::Running,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A test fails so.
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A line as Linux 6 writes it, with the given name, state, flags and number of threads.
    fn line(name: &[u8], state: char, flags: u64, threads: u64) -> Vec<u8> {
        let mut line = b"4242 (".to_vec();
        line.extend_from_slice(name);
        line.extend_from_slice(
            format!(
                ") {state} 1 4242 4242 0 -1 {flags} 112 0 0 0 0 0 0 0 20 0 {threads} 0 52012719 8519680 417 18446744073709551615 \
                 94 94 140 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 94 94 94 140 140 140 140 0\n"
            )
            .as_bytes(),
        );
        line
    }

    fn state(letter: char, flags: u64) -> ProcessState {
        Stat::parse(&line(b"x", letter, flags, 1)).unwrap().state(|| unreachable!("one thread, no others"))
    }

    #[test]
    fn any_name_is_read_whole() {
        for name in ["sleep", "a) b (c", "", ")", "(", ") Z 1 2 3", "with\nnewline", "42 (x) R"] {
            let stat = Stat::parse(&line(name.as_bytes(), 'S', 0x0040_0000, 1)).unwrap();
            assert_eq!((stat.name.as_str(), stat.letter, stat.start_ticks), (name, b'S', 52_012_719));
        }
        let stat = Stat::parse(&line(b"\xff\xfe)\0", 'R', 0, 1)).unwrap();
        assert_eq!(stat.name, "\u{fffd}\u{fffd})\0");
    }

    #[test]
    fn every_state_is_told() {
        for letter in ['R', 'S', 'D', 'I', 'P', 'W', 'K'] {
            assert_eq!(state(letter, 0x0040_0000), ProcessState::Running, "{letter}");
        }
        assert_eq!(state('T', 0), ProcessState::Stopped);
        assert_eq!(state('t', 0), ProcessState::Traced);
        for letter in ['Z', 'X', 'x'] {
            assert_eq!(state(letter, 0), ProcessState::Ending, "{letter}");
        }
    }

    #[test]
    fn a_process_that_frees_its_memory_is_ending() {
        assert_eq!(state('R', 0x0040_0004), ProcessState::Ending);
        assert_eq!(state('D', PF_EXITING), ProcessState::Ending);
    }

    #[test]
    fn a_process_outlives_its_first_thread() {
        let stat = Stat::parse(&line(b"x", 'Z', PF_EXITING, 3)).unwrap();
        assert_eq!(stat.state(|| false), ProcessState::Running);
        assert_eq!(stat.state(|| true), ProcessState::Ending);
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        let whole = line(b"x", 'S', 0, 1);
        assert_eq!(Stat::parse(b""), None);
        assert_eq!(Stat::parse(b"4242 (x"), None);
        assert_eq!(Stat::parse(b")("), None);
        assert_eq!(Stat::parse(&whole[..40]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = Stat::parse(&bytes);
        }
    }
}
