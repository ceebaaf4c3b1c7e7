//! `gateway status --all`: every instance of the directory, a line each, by name.
//!
//! An instance is what has a pid file or a record. Each is asked as `status` asks, some at a time, and a line is printed as
//! soon as those before it are. One that lets the others wait has its line later, when it has answered or when its time is
//! over; and another is asked in its place meanwhile, so that many that do not answer take not much longer than one.
//! Proven by `tests/scale.rs`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use incumbent::{DirectoryFault, Error, Inspection, Instance, text};

use crate::{args, exit, output, status, style};

/// So many that answer are asked at once, and so many in all; each takes a thread and a few descriptors.
const AT_ONCE: usize = 16;
const AT_MOST: usize = 256;

/// For so long others wait for a line that is before theirs: some hundred times what a holder takes to answer.
const PATIENCE: Duration = Duration::from_millis(300);

/// The instances of a directory, and what is known of them.
struct All<'a> {
    dir: &'a Path,
    args: &'a args::Status,
    names: Vec<String>,
    /// How many have been begun with.
    begun: AtomicUsize,
}

type Looked = Box<Result<Inspection, Error>>;

/// What those who ask tell, each with its place in the order.
enum Told {
    Asking(usize, Instant),
    Seen(usize, Looked),
}

/// Says how every instance of the directory is. Exits 0 if one runs.
pub(crate) fn all(instance: &Instance, args: &args::Status) -> Result<u8, Error> {
    let dir = instance.dir()?;
    let names: Vec<String> = names(dir)?.into_iter().collect();
    if names.is_empty() && !args.json {
        output::complain(&format!("gateway: no instance in `{}`", text::shown_path(dir)));
    }
    let all = All { dir, args, names, begun: AtomicUsize::new(0) };
    let mut lines = Lines {
        missing: (0..all.names.len()).collect(),
        widest: all.names.iter().map(String::len).max().unwrap_or(0),
        code: exit::NOBODY,
        ..Lines::default()
    };
    let (tell, told) = channel();
    thread::scope(|scope| {
        let mut asking = 0;
        let mut reading = Ok(true);
        while matches!(reading, Ok(true)) && !lines.missing.is_empty() {
            let wanted = (AT_ONCE + lines.late()).min(AT_MOST);
            while asking < wanted && all.begun.load(Ordering::Relaxed) < all.names.len() {
                let (all, teller) = (&all, tell.clone());
                if thread::Builder::new().spawn_scoped(scope, move || all.ask(&teller)).is_err() {
                    if asking == 0 {
                        all.ask(&tell); // there is no room for a thread: on this one, then
                    }
                    break;
                }
                asking += 1;
            }
            match told.recv_timeout(PATIENCE / 8) {
                Ok(Told::Asking(number, since)) => drop(lines.asked.insert(number, since)),
                Ok(Told::Seen(number, seen)) => {
                    lines.asked.remove(&number);
                    lines.seen.insert(number, seen);
                }
                Err(_) => {} // nothing new, but what is late by now lets others pass
            }
            reading = lines.print(args);
        }
        all.begun.store(all.names.len(), Ordering::Relaxed); // nothing more is asked if nobody reads any more
        reading.map(|_| lines.code)
    })
}

impl All<'_> {
    /// Asks one after the other, as long as there are any.
    fn ask(&self, tell: &Sender<Told>) {
        loop {
            let number = self.begun.fetch_add(1, Ordering::Relaxed);
            let Some(name) = self.names.get(number) else { return };
            let _ = tell.send(Told::Asking(number, Instant::now()));
            let _ = tell.send(Told::Seen(number, Box::new(self.look(name))));
        }
    }

    fn look(&self, name: &str) -> Result<Inspection, Error> {
        Instance::new(name)?.in_dir(self.dir)?.inspect_blocking(self.args.timeout)
    }
}

/// What is still to be printed.
#[derive(Default)]
struct Lines {
    /// Those without a line yet.
    missing: BTreeSet<usize>,
    /// Of these, those that are being asked, and since when.
    asked: BTreeMap<usize, Instant>,
    /// And those that are known.
    seen: BTreeMap<usize, Looked>,
    widest: usize,
    code: u8,
}

impl Lines {
    fn is_late(&self, number: usize) -> bool {
        self.asked.get(&number).is_some_and(|since| since.elapsed() >= PATIENCE)
    }

    fn late(&self) -> usize {
        self.asked.keys().filter(|number| self.is_late(**number)).count()
    }

    /// Prints what has not to wait for a line before it. `false`: nobody reads it.
    fn print(&mut self, args: &args::Status) -> Result<bool, Error> {
        while let Some(first) = self.missing.iter().copied().find(|number| !self.is_late(*number)) {
            let Some(seen) = self.seen.remove(&first) else { return Ok(true) };
            self.missing.remove(&first);
            if !self.line(&(*seen)?, args)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn line(&mut self, seen: &Inspection, args: &args::Status) -> Result<bool, Error> {
        let status = seen.status();
        if status::code_of(status.state) == exit::OK {
            self.code = exit::OK;
        }
        if args.json {
            return output::say_json(&status);
        }
        let word = style::stdout().state(status.state, &format!("{:<12}", status.state.as_str()));
        let (name, widest) = (&status.name, self.widest);
        output::say(format!("{name:<widest$}  {word}  {}", status::in_one_line(&status)).trim_end())
    }
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
