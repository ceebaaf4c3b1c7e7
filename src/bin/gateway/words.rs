//! stub

use incumbent::{Error, Status};

use crate::{args::Which, say::say};

pub(crate) fn report(error: &Error, which: &Which) {
    say(&format!("error: {error}"));
    match error {
        Error::Unresponsive(_) | Error::Claiming(_) => {
            hint(which, "status");
            hint(which, "stop --force");
            hint(which, "run --force");
            hint(which, "run --wait");
        }
        _ => {}
    }
}

fn hint(which: &Which, command: &str) {
    say(&format!("hint: `{}`", command_line(which, command)));
}

pub(crate) fn command_line(which: &Which, command: &str) -> String {
    use incumbent::text::quoted;
    let dir = which.dir.as_ref().map_or(String::new(), |dir| format!(" --dir {}", quoted(dir.as_os_str())));
    let name = if which.name == "gateway" { String::new() } else { format!(" --name {}", which.name) };
    format!("gateway{name}{dir} {command}")
}

pub(crate) fn already_running(status: &Status, which: &Which) {
    let pid = status.holder.as_ref().and_then(|holder| holder.pid);
    let holder = status.holder.clone().unwrap_or_default();
    say(&format!(
        "error: `{}` is held by pid {pid:?} since {:?}: {:?}",
        status.name, holder.started_at, holder.command
    ));
    hint(which, "status");
    hint(which, "stop");
    hint(which, "run --wait");
}
