//! Durations (`30s`), limits (`5/2m`) and times (RFC 3339): no text surprises, what is written is read as the same, and jiff
//! reads times as we do.
#![no_main]

use std::time::Duration;

use incumbent::{fuzzing, text};
use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../src/bin/gateway/durations.rs"]
mod durations;

fuzz_target!(|input: (i64, i64, &str)| {
    let (one, other, words) = input;
    let (low, high) = (fuzzing::format_time(one.min(other)), fuzzing::format_time(one.max(other)));
    assert!(low <= high, "text sorts as time does");
    let read = fuzzing::parse_time(&low).expect("it was written");
    assert_eq!(fuzzing::format_time(read), low);
    if let Some(us) = fuzzing::parse_time(words) {
        let digits = words.split_once('.').map_or(0, |(_, fraction)| fraction.len() - 1);
        let theirs = words.parse::<jiff::Timestamp>().map(|it| it.as_nanosecond().div_euclid(1000));
        let is_jiffs = digits <= 9 && !words.starts_with("9999-12-3"); // its last days are not in every zone
        assert!(!is_jiffs || theirs.is_ok_and(|theirs| theirs == i128::from(us)), "{words:?} is {us}");
    }
    match durations::duration(words) {
        Ok(time) => {
            assert!(time.as_secs() <= 366 * 86_400);
            let time = time.min(Duration::from_secs(86_399)); // a day is said, and not read
            let said = text::duration(time);
            let again = durations::duration(&said).unwrap_or_else(|error| panic!("{said}: {error}"));
            assert!(
                again <= time && time - again <= time / 2 + Duration::from_micros(1),
                "{words:?} is said as {said}"
            );
        }
        Err(why) => assert_eq!(text::shown(&why), why),
    }
    let is_limit = |(most, window): &(usize, Duration)| (1..=256).contains(most) && !window.is_zero();
    assert!(durations::limit(words).iter().all(is_limit));
});
