//! Points in time as people and `jq` read them: RFC 3339, UTC, always with milliseconds.
//!
//! Inside the library a point in time is microseconds since 1970 (`i64`); text is for JSON alone.
//! Invariants: the text sorts as the time does, and no number makes it panic: what lies outside the years 0000 to
//! 9999 is written as their first or last instant. It reads no clock and knows no zone but `Z`, and no leap second.
//! Proven by the tests below, against known dates and by round trip.

use std::time::{SystemTime, UNIX_EPOCH};

const US_PER_DAY: i64 = 86_400_000_000;
/// 0000-01-01T00:00:00Z
const FIRST_US: i64 = -719_528 * US_PER_DAY;
/// 9999-12-31T23:59:59.999999Z
const LAST_US: i64 = 2_932_897 * US_PER_DAY - 1;

/// Writes microseconds since 1970 as `2026-11-24T01:02:03.456Z`.
pub(crate) fn format(us: i64) -> String {
    let us = us.clamp(FIRST_US, LAST_US);
    let (year, month, day) = civil_from_days(us.div_euclid(US_PER_DAY));
    let ms = us.rem_euclid(US_PER_DAY) / 1000;
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
}

/// Reads what [`format()`] wrote, and the same with any number of digits after the point, or none.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let days = days_from_civil(year, month, day);
    if civil_from_days(days) != (year, month, day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let digits = fraction.get(..fraction.len().min(6))?;
    let unread = fraction.get(digits.len()..)?;
    if !unread.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let us = number(&format!("{digits:0<6}"), 6).filter(|_| !digits.is_empty())?;
    Some(days * US_PER_DAY + ((hour * 60 + minute) * 60 + second) * 1_000_000 + us)
}

/// Microseconds since 1970, the clock's own reach clamped to that of `i64`.
pub(crate) fn of(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us),
    }
}

fn numbers<const N: usize>(text: &str, separator: char, lengths: [usize; N]) -> Option<[i64; N]> {
    let mut parts = text.split(separator);
    let mut found = [0; N];
    for (found, length) in found.iter_mut().zip(lengths) {
        *found = number(parts.next()?, length)?;
    }
    parts.next().is_none().then_some(found)
}

fn number(text: &str, length: usize) -> Option<i64> {
    let is_number = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// Days since 1970 of a date of the Gregorian calendar: years begin in March, so that the leap day is their last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let (era, day_of_era) = ((days + 719_468).div_euclid(146_097), (days + 719_468).rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// For `#[serde(with = "timestamp::as_text")]`.
pub(crate) mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    #[allow(clippy::trivially_copy_pass_by_ref)] // the signature that serde calls
    pub(crate) fn serialize<S: Serializer>(us: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::format(*us))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        let text = String::deserialize(deserializer)?;
        super::parse(&text).ok_or_else(|| de::Error::custom("not a time in UTC as RFC 3339 writes it"))
    }
}

/// For `#[serde(with = "timestamp::as_text_or_null", default)]`.
pub(crate) mod as_text_or_null {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    struct Text(#[serde(with = "super::as_text")] i64);

    #[allow(clippy::ref_option)] // the signature that serde calls
    pub(crate) fn serialize<S: Serializer>(us: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        us.map(super::format).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        Ok(Option::<Text>::deserialize(deserializer)?.map(|text| text.0))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn known_dates_are_written_and_read() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("1969-12-31T23:59:59.000Z", -1),
            ("2000-02-29T12:00:00.000Z", 951_825_600),
            ("2000-03-01T00:00:00.000Z", 951_868_800),
            ("2001-09-09T01:46:40.000Z", 1_000_000_000),
            ("2100-02-28T23:59:59.000Z", 4_107_542_399),
            ("2100-03-01T00:00:00.000Z", 4_107_542_400),
            ("0000-01-01T00:00:00.000Z", -62_167_219_200),
            ("9999-12-31T23:59:59.000Z", 253_402_300_799),
        ] {
            assert_eq!(format(seconds * 1_000_000), text);
            assert_eq!(parse(text), Some(seconds * 1_000_000), "{text}");
        }
    }

    #[test]
    fn milliseconds_are_cut_and_other_fractions_are_read() {
        assert_eq!(format(1_999_999), "1970-01-01T00:00:01.999Z");
        assert_eq!(format(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(parse("1970-01-01T00:00:01Z"), Some(1_000_000));
        assert_eq!(parse("1970-01-01T00:00:01.5Z"), Some(1_500_000));
        assert_eq!(parse("1970-01-01T00:00:01.123456789Z"), Some(1_123_456));
    }

    #[test]
    fn what_lies_outside_is_clamped() {
        assert_eq!(format(i64::MIN), "0000-01-01T00:00:00.000Z");
        assert_eq!(format(i64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(of(UNIX_EPOCH - Duration::from_micros(5)), -5);
    }

    #[test]
    fn what_is_no_such_time_is_refused() {
        for text in [
            "",
            "Z",
            "T",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01T00:00:00+00:00",
            "1970-02-29T00:00:00Z",
            "1970-13-01T00:00:00Z",
            "1970-00-01T00:00:00Z",
            "1970-01-00T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:00:60Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.-1Z",
            "1970-01-01T00:00:00.000000xZ",
            "+970-01-01T00:00:00Z",
            "1970-01-01T00:00:00:00Z",
            "1970-01-01T00:00:00.12é45éZ",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_time_survives_to_the_millisecond(us in FIRST_US..=LAST_US) {
            prop_assert_eq!(parse(&format(us)), Some(us.div_euclid(1000) * 1000));
        }

        #[test]
        fn any_number_is_written_and_sorts_as_text(a: i64, b: i64) {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(format(low) <= format(high));
        }

        #[test]
        fn any_text_is_a_time_or_refused(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}
