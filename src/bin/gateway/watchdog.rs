//! The time in which a child must say `WATCHDOG=1` again. Pure.
//!
//! Time in which `gateway` itself did not run does not count: it was stopped, or the machine was, and then so was the
//! child, or what it said waits unread. So the time is looked at in slices, and each look takes away one slice at the
//! most, however late it is.

use std::time::{Duration, Instant};

/// A look every so often at least, for an interval that is long.
const LONGEST_SLICE: Duration = Duration::from_secs(1);

/// A child that is watched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watchdog {
    interval: Duration,
    left: Duration,
    looked: Instant,
}

impl Watchdog {
    pub(crate) fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, left: interval, looked: now }
    }

    /// How often it must say something.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// It has said something.
    pub(crate) fn feed(&mut self, now: Instant) {
        *self = Self::new(self.interval, now);
    }

    /// When to look again.
    pub(crate) fn next_look(&self) -> Instant {
        self.looked + self.slice().min(self.left)
    }

    /// Tells whether it has said nothing for too long. Listen to it first.
    pub(crate) fn is_over(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.looked).min(self.slice());
        self.left = self.left.saturating_sub(passed);
        self.looked = now;
        self.left.is_zero()
    }

    fn slice(&self) -> Duration {
        (self.interval / 4).min(LONGEST_SLICE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(2);

    /// Looks whenever it is time, until it is over: so long that takes.
    fn until_over(dog: &mut Watchdog, from: Instant) -> Duration {
        let mut now = from;
        while !dog.is_over(now) {
            now = dog.next_look();
        }
        now - from
    }

    #[test]
    fn it_is_over_after_the_interval_and_begins_anew_when_fed() {
        let begin = Instant::now();
        let mut dog = Watchdog::new(INTERVAL, begin);
        assert_eq!(until_over(&mut dog, begin), INTERVAL);
        let later = begin + INTERVAL;
        dog.feed(later);
        assert_eq!(until_over(&mut dog, later), INTERVAL);
    }

    #[test]
    fn an_hour_in_which_nobody_looked_takes_away_a_slice() {
        let begin = Instant::now();
        let mut dog = Watchdog::new(INTERVAL, begin);
        let back = begin + Duration::from_secs(3600);
        assert!(!dog.is_over(back));
        assert_eq!(until_over(&mut dog, back), INTERVAL / 4 * 3);
    }

    #[test]
    fn looking_often_wins_no_time() {
        let begin = Instant::now();
        let mut dog = Watchdog::new(INTERVAL, begin);
        let over = (1..3000).map(|ms| begin + Duration::from_millis(ms)).find(|now| dog.is_over(*now));
        assert_eq!(over, Some(begin + INTERVAL));
    }
}
