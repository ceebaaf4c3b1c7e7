//! `gateway status --watch`: the status at every change, as it happens, until interrupted.
//!
//! 1. Find the incumbent. It answers: it says itself when something changes, on a connection that stays open.
//! 2. Nobody answers: say how it is, if that is new, and look again soon. There is nobody to be told by.
//! 3. A holder that is stopped (SIGSTOP) closes nothing and says nothing: so from time to time it is found anew, and
//!    what it says then is printed only if it is new.
//! 4. All that on a thread of its own: the main thread ends as soon as nobody reads the standard output any more.
//!
//! "New" leaves out what changes all the time: uptime, memory, cpu, lag, and how long the answer took.

use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use incumbent::{Error, Found, Instance, State, Status, platform_for_gateway as platform};

use crate::{args, exit, output, status, style, times};

/// Between two looks while nobody answers.
const PAUSE: Duration = Duration::from_millis(100);

/// Prints changes until interrupted, or nobody reads them any more.
pub(crate) fn watch(instance: &Instance, args: &args::Status) -> Result<u8, Error> {
    // Who waits for the next change would notice only with it that its reader has gone.
    let (tell, told) = mpsc::channel();
    let failed = |source| Error::Io { doing: "start", path: "the watching thread".into(), source };
    let unread = tell.clone();
    let (instance, args) = (instance.clone(), args.clone());
    let start = |run: Box<dyn FnOnce() + Send>| thread::Builder::new().spawn(run).map(drop).map_err(failed);
    start(Box::new(move || {
        platform::until_nobody_reads();
        let _ = unread.send(Ok(exit::OK));
    }))?;
    start(Box::new(move || drop(tell.send(print(&instance, &args)))))?;
    told.recv().unwrap_or(Ok(exit::OK))
}

/// Prints changes until nobody reads them any more.
fn print(instance: &Instance, args: &args::Status) -> Result<u8, Error> {
    let mut screen = Screen { json: args.json, last: None };
    loop {
        let found = instance.find_blocking(args.timeout)?;
        match found {
            Found::Incumbent(incumbent) => {
                let mut reading = Ok(true);
                let again = Instant::now() + args.timeout.max(Duration::from_secs(1));
                let watched = incumbent.watch_blocking(Some(again), |status| {
                    reading = screen.show(&status);
                    matches!(reading, Ok(true))
                });
                if !reading? {
                    return Ok(exit::OK);
                }
                if watched.is_err() {
                    thread::sleep(PAUSE); // it went away between the finding and the asking
                }
            }
            Found::Other(seen) => {
                if !screen.show(&seen.status())? {
                    return Ok(exit::OK);
                }
                thread::sleep(PAUSE);
            }
            _ => thread::sleep(PAUSE),
        }
    }
}

/// What was printed last, and how.
struct Screen {
    json: bool,
    last: Option<Shown>,
}

/// What makes a status new.
#[derive(PartialEq, Eq)]
struct Shown {
    state: State,
    holder: Option<String>,
    pid: Option<u32>,
    note: Option<String>,
    busy: Option<u64>,
    child: Option<u32>,
    problem: Option<String>,
}

impl Screen {
    /// Prints a status that is new. `false`: nobody reads any more.
    fn show(&mut self, status: &Status) -> Result<bool, Error> {
        let holder = status.holder.as_ref();
        let now = Shown {
            state: status.state,
            holder: holder.and_then(|holder| holder.instance_id.clone()),
            pid: holder.and_then(|holder| holder.pid),
            note: holder.and_then(|holder| holder.note.clone()),
            busy: holder.and_then(|holder| holder.busy),
            child: holder.and_then(|holder| holder.child.as_ref()).map(|child| child.pid),
            // How long a process has been up is part of the sentence about it.
            problem: status
                .problem
                .clone()
                .filter(|_| holder.is_some_and(|holder| holder.generation.is_some())),
        };
        if self.last.as_ref() == Some(&now) {
            return Ok(true);
        }
        self.last = Some(now);
        if self.json {
            return output::say_json(status);
        }
        let word = style::stdout().state(status.state, &format!("{:<12}", status.state.as_str()));
        let line = format!("{}  {word}  {}", times::now(), status::in_one_line(status));
        output::say(line.trim_end())
    }
}
