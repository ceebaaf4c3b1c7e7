//! A hail as evidence: what came back, and what that proves.

use std::time::Duration;

use crate::{
    decide::Hailed,
    hail::{Hail, Note},
    process::Process,
    sentence, text,
};

/// What a hail learned, and what that means.
pub(super) fn words(hail: &Hail) -> (String, &'static str) {
    let who = |verb: &str| {
        let process = hail.pid.and_then(|pid| Process::of(pid).ok().flatten());
        match (process, hail.pid) {
            (Some(process), _) => format!("{} {verb}", sentence::process_words(&process)),
            (None, Some(pid)) => format!("pid {pid} {verb}"),
            (None, None) => format!("a process {verb}"),
        }
    };
    match (hail.met, hail.note) {
        (Hailed::Pong, _) => {
            let took = hail.answer.as_ref().map_or(Duration::ZERO, |answer| answer.took);
            let pid = hail.pid.map_or_else(|| "another pid namespace".to_owned(), |pid| format!("pid {pid}"));
            (
                format!("pong from {pid} in {}", text::duration(took)),
                "proof of life: the right nonce, user and directory",
            )
        }
        (_, Some(Note::Orphan)) => (
            "accepted, but the process that listened has ended".to_owned(),
            "an orphan with its descriptor; it stops nobody",
        ),
        (_, Some(Note::Silent)) => (who("accepts and does not answer"), "it lives, so nobody else may hold"),
        (_, Some(Note::Full)) => {
            ("somebody listens, and its queue is full".to_owned(), "it may live, so nobody else may hold")
        }
        (_, Some(Note::Foreign)) => {
            let user = hail.uid.map_or("an unknown user".to_owned(), text::user);
            (format!("{user} listens"), "another user's: it is not believed, and stops nobody")
        }
        (_, Some(Note::OtherDirectory)) => {
            (who("answers for another directory"), "not the holder of this instance; it stops nobody")
        }
        (_, Some(Note::NotOurs)) => (who("does not speak the protocol"), "it lives, so nobody else may hold"),
        (_, Some(Note::Forbidden)) => ("not allowed to connect".to_owned(), "nothing is proven"),
        (_, Some(Note::NoSocket(kind))) => (format!("{kind}, no socket"), "no holder is to be met there"),
        (_, Some(Note::Unasked)) => (
            "this process could not ask: no file descriptor or memory is left".to_owned(),
            "nothing is known of it",
        ),
        (_, None) => ("nobody listens".to_owned(), "no holder is to be met there"),
    }
}
