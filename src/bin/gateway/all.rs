//! `gateway status --all`: every instance of the directory, a line each, by name.
//!
//! An instance is what has a pid file or a record. Each is asked as `status` asks; some at a time, so that one that does
//! not answer does not hold up all the others. A line is printed as soon as those before it are.

use std::{collections::BTreeSet, fs, io, path::Path, thread};

use incumbent::{DirectoryFault, Error, Inspection, Instance, text};

use crate::{args, exit, output, status, style};

/// So many are asked at once.
const AT_ONCE: usize = 16;

/// Says how every instance of the directory is. Exits 0 if one runs.
pub(crate) fn all(instance: &Instance, args: &args::Status) -> Result<u8, Error> {
    let dir = instance.dir()?;
    let names: Vec<String> = names(dir)?.into_iter().collect();
    if names.is_empty() && !args.json {
        output::complain(&format!("gateway: no instance in `{}`", text::shown_path(dir)));
    }
    let widest = names.iter().map(String::len).max().unwrap_or(0);
    let mut code = exit::NOBODY;
    for some in names.chunks(AT_ONCE) {
        let looked: Vec<Result<Inspection, Error>> = thread::scope(|scope| {
            let asked: Vec<_> = some.iter().map(|name| scope.spawn(|| look(name, dir, args))).collect();
            asked.into_iter().filter_map(|asked| asked.join().ok()).collect()
        });
        for seen in looked {
            let status = seen?.status();
            if status::code_of(status.state) == exit::OK {
                code = exit::OK;
            }
            let reading = if args.json {
                output::say_json(&status)?
            } else {
                let word = style::stdout().state(status.state, &format!("{:<12}", status.state.as_str()));
                let line = format!("{:<widest$}  {word}  {}", status.name, status::in_one_line(&status));
                output::say(line.trim_end())?
            };
            if !reading {
                return Ok(code);
            }
        }
    }
    Ok(code)
}

fn look(name: &str, dir: &Path, args: &args::Status) -> Result<Inspection, Error> {
    Instance::new(name)?.in_dir(dir)?.inspect_blocking(args.timeout)
}

/// The names of all instances in a directory; a missing directory has none.
fn names(dir: &Path) -> Result<BTreeSet<String>, Error> {
    let failed = |source: io::Error| Error::Directory {
        path: dir.to_owned(),
        fault: match source.kind() {
            io::ErrorKind::PermissionDenied => DirectoryFault::Forbidden(source),
            io::ErrorKind::NotADirectory => DirectoryFault::NotADirectory,
            _ => DirectoryFault::Unusable(source),
        },
    };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = BTreeSet::new();
    for entry in entries {
        let file = entry.map_err(failed)?.file_name();
        let name = file.to_str().and_then(|file| file.strip_suffix(".pid").or(file.strip_suffix(".json")));
        names.extend(name.filter(|name| Instance::new(name).is_ok()).map(str::to_owned));
    }
    Ok(names)
}
