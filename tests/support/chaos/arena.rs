//! One instance of the chaos: its places, everything that was started for it, and what was done to it, with the times.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use super::{
    checker::{History, Span},
    start::Start,
    witness::now,
};

/// What is done to an instance beside what is done to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lot {
    /// The wall clock of its processes jumps.
    Clock,
    /// Its files are deleted.
    Deleted,
    /// Its file system gets full.
    Full,
    /// Its file system takes nothing for a while.
    Frozen,
    /// It has hundreds of clients, or hardly a processor.
    Starved,
}

/// Until the chaos is over; whoever waits is woken then.
#[derive(Default)]
pub struct Over {
    is_over: Mutex<bool>,
    changed: Condvar,
}

impl Over {
    /// `false`: it is over.
    pub fn pause(&self, time: Duration) -> bool {
        let is_over = self.is_over.lock().unwrap();
        !*self.changed.wait_timeout_while(is_over, time, |over| !*over).unwrap().0
    }

    pub fn declare(&self) {
        *self.is_over.lock().unwrap() = true;
        self.changed.notify_all();
    }

    pub fn is(&self) -> bool {
        *self.is_over.lock().unwrap()
    }
}

/// What is there of all instances together.
pub struct Shared {
    pub over: Over,
    pub serial: AtomicU32,
    pub counts: Mutex<BTreeMap<String, u32>>,
    pub journal: Mutex<Vec<(u64, String)>>,
    pub faults: Mutex<Vec<String>>,
    /// Threads that do deeds, or watch a process to its end.
    watching: Mutex<Vec<JoinHandle<()>>>,
    /// Threads that undo a deed.
    undoing: Mutex<Vec<JoinHandle<()>>>,
}

impl Shared {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            over: Over::default(),
            serial: AtomicU32::new(0),
            counts: Mutex::default(),
            journal: Mutex::default(),
            faults: Mutex::default(),
            watching: Mutex::default(),
            undoing: Mutex::default(),
        })
    }

    pub fn count(&self, what: &str) {
        *self.counts.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }

    pub fn fault(&self, what: String) {
        self.faults.lock().unwrap().push(what);
    }

    pub fn spawn(&self, run: impl FnOnce() + Send + 'static) {
        add(&self.watching, run);
    }

    /// Waits until everything is undone.
    pub fn join_undoing(&self) {
        join(&self.undoing);
    }

    /// Waits until everybody has ended.
    pub fn join(&self) {
        join(&self.undoing);
        join(&self.watching);
    }
}

fn add(threads: &Mutex<Vec<JoinHandle<()>>>, run: impl FnOnce() + Send + 'static) {
    let handle = std::thread::spawn(run);
    let mut threads = threads.lock().unwrap();
    threads.retain(|handle| !handle.is_finished());
    threads.push(handle);
}

fn join(threads: &Mutex<Vec<JoinHandle<()>>>) {
    loop {
        let Some(handle) = threads.lock().unwrap().pop() else { return };
        handle.join().unwrap();
    }
}

pub struct Arena {
    pub name: String,
    pub dir: PathBuf,
    /// Where the witnesses write and lock; not in the instance's directory.
    pub aside: PathBuf,
    pub lot: Lot,
    /// The wall clock of its processes jumps, by this.
    pub clock_library: Option<PathBuf>,
    pub shared: Arc<Shared>,
    pub starts: Mutex<Vec<Arc<Start>>>,
    pub hindered: Mutex<Vec<Hindrance>>,
    pub lossy: Mutex<Vec<Span>>,
    pub history: Mutex<History>,
    /// When a command asked the holder to go, and which one.
    pub asked: Mutex<Vec<(Span, String)>>,
    /// When `NAME.child` and the record were last deleted.
    pub deleted: Mutex<(u64, u64)>,
    /// Somebody has its turn with the file system or the processor.
    turn: Arc<AtomicBool>,
}

/// A turn that ends with this.
pub struct Turn(Arc<AtomicBool>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

#[derive(Debug, Clone)]
pub struct Hindrance {
    pub from: u64,
    /// None: it lasts.
    pub to: Option<u64>,
    pub why: &'static str,
}

impl Arena {
    pub fn new(name: &str, dir: PathBuf, aside: &Path, lot: Lot, shared: &Arc<Shared>) -> Self {
        Self {
            name: name.to_owned(),
            dir,
            aside: aside.to_owned(),
            lot,
            clock_library: None,
            shared: shared.clone(),
            starts: Mutex::default(),
            hindered: Mutex::default(),
            lossy: Mutex::default(),
            history: Mutex::default(),
            asked: Mutex::default(),
            deleted: Mutex::default(),
            turn: Arc::default(),
        }
    }

    /// None: somebody else has it.
    pub fn take_turn(&self) -> Option<Turn> {
        (!self.turn.swap(true, Ordering::SeqCst)).then(|| Turn(self.turn.clone()))
    }

    pub fn say(&self, what: &str) {
        self.say_at(now(), what);
    }

    pub fn say_at(&self, at: u64, what: &str) {
        let (seconds, what) = (at as f64 / 1e9, what.trim_end().replace('\n', " | "));
        self.shared.journal.lock().unwrap().push((at, format!("{seconds:.4} {} {what}", self.name)));
    }

    /// Says it, and counts it.
    pub fn did(&self, deed: &str, details: &str) {
        self.shared.count(deed);
        self.say(&format!("{deed} {details}"));
    }

    pub fn fault(&self, what: &str) {
        self.say(&format!("FAULT {what}"));
        self.shared.fault(format!("`{}`: {what}", self.name));
    }

    pub fn file(&self, extension: &str) -> PathBuf {
        self.dir.join(format!("{}.{extension}", self.name))
    }

    pub fn log(&self) -> PathBuf {
        self.aside.join(format!("{}.witnesses", self.name))
    }

    pub fn lock(&self) -> PathBuf {
        self.aside.join(format!("{}.lock", self.name))
    }

    pub fn clock(&self) -> PathBuf {
        self.aside.join(format!("{}.clock", self.name))
    }

    pub fn starts(&self) -> MutexGuard<'_, Vec<Arc<Start>>> {
        self.starts.lock().unwrap()
    }

    /// The one that holds now, as far as is known.
    pub fn holder(&self) -> Option<Arc<Start>> {
        self.starts().iter().rev().find(|start| start.holds()).cloned()
    }

    /// From now on nobody can be expected to begin to hold, until [`Arena::unhinder`].
    pub fn hinder(&self, why: &'static str) -> usize {
        let mut hindered = self.hindered.lock().unwrap();
        hindered.push(Hindrance { from: now(), to: None, why });
        hindered.len() - 1
    }

    pub fn unhinder(&self, which: usize) {
        self.hindered.lock().unwrap()[which].to = Some(now());
    }

    /// Does something when the time is over, or the chaos is.
    pub fn later(self: &Arc<Self>, time: Duration, run: impl FnOnce(&Arc<Self>) + Send + 'static) {
        let arena = self.clone();
        add(&self.shared.undoing, move || {
            arena.shared.over.pause(time);
            run(&arena);
        });
    }

    /// Remembers what the history says now.
    pub fn harvest(&self, gateway: impl FnOnce() -> Option<String>) {
        let Some(text) = gateway() else { return };
        let mut history = self.history.lock().unwrap();
        for line in text.lines() {
            let Ok(entry) = serde_json::from_str::<serde_json::Value>(line) else {
                self.fault(&format!("a line of the history is no JSON: {line}"));
                continue;
            };
            let generation = entry["generation"].as_u64().unwrap();
            let end = entry["end"].as_str().map(str::to_owned);
            let ends = history.entry(generation).or_default();
            if !ends.contains(&end) {
                ends.push(end);
            }
        }
    }
}

/// The text of a file; nothing, if it is not there.
pub fn text_of(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// A number that no other start of this chaos has.
pub fn next_serial(shared: &Shared) -> u32 {
    shared.serial.fetch_add(1, Ordering::SeqCst) + 1
}
