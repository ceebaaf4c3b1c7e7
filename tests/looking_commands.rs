//! The commands that look: `status`, `doctor`, `history`, `ping`, and those for packagers, on the built program.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails so")]

mod support;

#[test]
fn role() {
    support::play();
}
