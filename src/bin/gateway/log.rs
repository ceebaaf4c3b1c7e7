//! `GATEWAY_LOG=LEVEL` (`error`, `warn`, `info`, `debug`, `trace`): what the library does, on the standard error.
//!
//! Without it nothing is set up.

use incumbent::text;
use tracing_subscriber::filter::LevelFilter;

use crate::output;

/// Starts the log if the environment asks for one; a word that is no level asks for `info`, and that is said.
pub(crate) fn start_if_wanted() {
    let Some(wanted) = std::env::var_os("GATEWAY_LOG").filter(|wanted| !wanted.is_empty()) else { return };
    let level = wanted.to_str().and_then(|word| word.parse().ok()).unwrap_or_else(|| {
        let shown = text::quoted(&wanted);
        let known = "error, warn, info, debug and trace";
        output::complain(&format!("gateway: GATEWAY_LOG={shown} is no level ({known} are): info is meant"));
        LevelFilter::INFO
    });
    // Another log can't be there: this is called once, and first.
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(crate::style::stderr().is_on())
        .try_init();
}
