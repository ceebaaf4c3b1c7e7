//! Durations (`30s`) and limits (`5/2m`) as people write them on the command line. Pure.
//!
//! Whatever the text is, the answer is a value in its range, or a sentence that says how to write one. Proven by the tests
//! of those who use it, and by the fuzz target `times`.

use std::{str::FromStr as _, time::Duration};

use incumbent::{history::KEPT, text::shown};

/// A year: what is longer was a slip of the finger, and a point in time so far away cannot be reckoned with.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// What is shorter is over before a program can be asked whether it lives.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST_SECONDS: f64 = 366.0 * 86_400.0;

/// A duration in which something is to happen.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    if time < SHORTEST {
        Err(format!("nothing can happen in less than {} ms", SHORTEST.as_millis()))
    } else {
        Ok(time)
    }
}

/// A duration as people write it: `30s`, `5m`, `1h30m`, `250ms`, or a number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let too_long = || {
        let hours = LONGEST.as_secs() / 3600;
        format!("`{}` is more than a year: say at most {hours}h", shown(text))
    };
    let wrong = || format!("`{}` is no duration: write it like 30s, 250ms, 5m or 1h30m", shown(text));
    if let Ok(seconds) = text.parse::<f64>() {
        return match seconds {
            0.0..=LONGEST_SECONDS => Duration::try_from_secs_f64(seconds).map_err(|_| wrong()),
            LONGEST_SECONDS.. => Err(too_long()),
            _ => Err(wrong()),
        };
    }
    // A number that does not fit into what is parsed is no less a duration.
    let has_huge_number = text.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() > 18);
    let parsed: jiff::SignedDuration =
        text.parse().map_err(|_| if has_huge_number { too_long() } else { wrong() })?;
    let time = Duration::try_from(parsed).map_err(|_| wrong())?;
    if time > LONGEST { Err(too_long()) } else { Ok(time) }
}

/// A limit: so many within so long, `5/2m`.
pub(crate) fn limit(text: &str) -> Result<(usize, Duration), String> {
    let shown = shown(text);
    let Some((most, window)) = text.split_once('/') else {
        return Err(format!("`{shown}` is no limit: write it like 5/2m, for 5 starts within 2 minutes"));
    };
    let most = usize::from_str(most).ok().filter(|most| (1..=KEPT).contains(most));
    let Some(most) = most else {
        return Err(format!(
            "`{shown}` is no limit: before the `/` stands a number from 1 to {KEPT}, as in 5/2m"
        ));
    };
    let window = duration(window)?;
    if window.is_zero() {
        return Err(format!("`{shown}` is no limit: behind the `/` stands more than no time, as in 5/2m"));
    }
    Ok((most, window))
}
