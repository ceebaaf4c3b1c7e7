//! `gateway doctor`: every piece of evidence, the verdict, one sentence, and what to do. Writes nothing.

use std::fmt::Write as _;

use incumbent::{Error, Instance, Verdict, text};

use crate::{args::Which, lines::Lines, output, status, style, words};

/// How long a holder may take to answer: as `status`.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// Lays out the evidence. The hints follow on the standard error, so that the sentence is the output's last line.
pub(crate) fn doctor(instance: &Instance, which: &Which) -> Result<u8, Error> {
    let seen = instance.inspect_blocking(PATIENCE)?;
    let mut lines = Lines::default();
    for evidence in seen.evidence() {
        lines.add(
            evidence.what,
            format!("{} – {}", text::shown(&evidence.found), text::shown(&evidence.means)),
        );
    }
    let verdict = match seen.verdict() {
        Verdict::Alive => "alive",
        Verdict::Dead => "dead",
        Verdict::CannotTell => "can't tell",
    };
    let verdict = style::stdout().state(seen.state(), verdict);
    let mut sentence = seen.sentence();
    if let Some(obstacle) = seen.obstacle().filter(|_| seen.verdict() == Verdict::Dead) {
        let _ = write!(sentence, ", and a claim would be refused: {obstacle}");
    }
    let report = format!("{}\nverdict: {verdict}\n{}.", lines.render(), text::shown(&sentence));
    if output::say(&report)? {
        words::hint_lines(&words::hints_for(&seen, which));
    }
    Ok(status::code_of(seen.state()))
}
