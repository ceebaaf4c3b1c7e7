//! A role that does what it is told and tells what came of it, whatever that is: the test judges.

#![allow(dead_code)] // every test file uses its own part of it

use std::{path::Path, time::Duration};

use incumbent::{Claim, Error, Found, Holder, Inspection, StopOptions};

use crate::program::{instance, orders, tell};

/// One line for what came of a claim; the first word is `won`, `lost` or `error`.
pub fn claim_words(claim: &Result<Claim, Error>) -> String {
    match claim {
        Ok(Claim::Won(holder)) => format!("won {} {}", holder.generation(), holder.instance_id()),
        Ok(Claim::Lost(incumbent)) => format!("lost {:?} {}", incumbent.pid(), incumbent.instance_id()),
        Err(error) => error_words(error),
    }
}

pub fn error_words(error: &Error) -> String {
    format!("error not_allowed={} busy={} {error}", error.is_not_allowed(), error.is_busy())
}

fn inspection_words(seen: &Result<Inspection, Error>) -> String {
    match seen {
        Ok(seen) => {
            let id = seen.instance_id().map_or("none".to_owned(), |id| id.to_string());
            let status = seen.status();
            let pid = status.holder.and_then(|holder| holder.pid);
            let problem = status.problem.unwrap_or_default();
            format!("{} pid={pid:?} id={id} {} problem={problem}", seen.state().as_str(), seen.sentence())
        }
        Err(error) => error_words(error),
    }
}

/// Plays the role: orders are `claim`, `inspect`, `believes?`, `stop`, `release`, `stop-requested`.
pub fn teller(dir: &Path) {
    let mut held: Option<Holder> = None;
    let quick = instance(dir).claim_timeout(Duration::from_secs(2));
    tell("ready");
    for order in orders() {
        let words = match order.as_str() {
            "claim" => {
                let claim = quick.claim_blocking();
                let words = claim_words(&claim);
                if let Ok(Claim::Won(holder)) = claim {
                    held = Some(holder);
                }
                words
            }
            "inspect" => inspection_words(&quick.inspect_blocking(Duration::from_secs(1))),
            "believes?" => held.as_ref().is_some_and(Holder::is_holding).to_string(),
            "stop-requested" => held.as_ref().is_some_and(|held| held.stop().is_some()).to_string(),
            "stop" => match quick.find_blocking(Duration::from_secs(1)) {
                Ok(Found::Incumbent(incumbent)) => {
                    match incumbent.stop_blocking(&StopOptions::default(), |_| {}) {
                        Ok(stopped) => format!("{stopped:?}"),
                        Err(error) => error_words(&error),
                    }
                }
                Ok(Found::Other(seen)) => format!("nobody {}", seen.sentence()),
                Ok(other) => format!("{other:?}"),
                Err(error) => error_words(&error),
            },
            "release" => match held.take().map(Holder::release_blocking) {
                Some(Ok(())) => "released".to_owned(),
                Some(Err(error)) => error_words(&error),
                None => "nothing held".to_owned(),
            },
            other => panic!("no order {other}"),
        };
        tell(format!("{order}: {words}"));
    }
}
