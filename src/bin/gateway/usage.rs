//! What is said of a command line that cannot be read, and of `--help` and `--version`.

use incumbent::text;

use crate::exit;

/// Prints what clap has to say; the exit code.
pub(crate) fn explain(error: &clap::Error) -> u8 {
    let plain = error.render().to_string();
    if plain.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        // It repeats an argument with control characters in it.
        let lines: Vec<String> = plain.lines().map(text::shown).collect();
        crate::output::complain(&lines.join("\n"));
    } else {
        // A closed stream is nobody to tell that to.
        let _ = error.print();
    }
    if error.use_stderr() { exit::USAGE } else { exit::OK }
}
