//! Finding the incumbent: a hail that either leads to somebody to talk to, or to what can be said of nobody.

use std::time::{Duration, Instant};

use crate::{
    blocking::deadline_in,
    error::Error,
    hail::{self, Hail, Patience},
    incumbent::Incumbent,
    inspect,
    inspection::Inspection,
    instance::Instance,
    place::Place,
};

/// What a hail found.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // there is one at a time; the sizes differ between systems
#[non_exhaustive]
pub enum Found {
    /// The incumbent, which answered.
    Incumbent(Incumbent),
    /// Nobody, or nobody who answers: its state says which.
    Other(Box<Inspection>),
}

impl Found {
    pub(crate) fn of(place: &Place, mut hail: Hail) -> Self {
        match hail.answer.take() {
            Some(answered) => Self::Incumbent(Incumbent::new(place.clone(), *answered)),
            None => Self::Other(Box::new(inspect::conclude(place.clone(), hail, Instant::now(), false))),
        }
    }
}

impl Instance {
    /// Looks for the incumbent, within the timeout. Blocks its thread until then at the longest; disturbs nothing.
    ///
    /// # Errors
    /// The directory may not be read ([`Error::is_not_allowed`]), or is none.
    pub fn find_blocking(&self, timeout: Duration) -> Result<Found, Error> {
        let (place, deadline) = (self.place()?, deadline_in(timeout));
        inspect::may_look(&place)?;
        let hail = hail::hail(&place, Patience::until(deadline), None);
        if hail.answer.is_some() {
            return Ok(Found::of(&place, hail));
        }
        // What is said of nobody must have been looked at with care.
        let seen = inspect::inspect(&place, deadline)?;
        if seen.reached.is_some() {
            let hail = hail::hail(&place, Patience::until(deadline), None);
            return Ok(Found::of(&place, hail));
        }
        Ok(Found::Other(Box::new(seen)))
    }
}
