//! What is ready of many pipes: completion ports by mio, which tells each thing once, so that it is remembered here until it
//! is used up. One for the process; the answering thread alone waits for it.

use std::{
    collections::HashMap,
    io,
    os::windows::io::{FromRawHandle as _, IntoRawHandle as _, OwnedHandle},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use mio::{Events, Interest, Poll, Registry, Token, windows::NamedPipe};

/// What waits for events, and where sources are registered.
pub(super) struct Reactor {
    poll: Mutex<(Poll, Events)>,
    registry: Registry,
    sources: Mutex<HashMap<Token, Weak<Ready>>>,
    next: AtomicUsize,
}

/// What is known to be possible now.
#[derive(Debug, Default)]
pub(super) struct Ready {
    pub(super) to_read: AtomicBool,
    pub(super) to_write: AtomicBool,
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn reactor() -> io::Result<&'static Reactor> {
    static REACTOR: OnceLock<io::Result<Reactor>> = OnceLock::new();
    let made = REACTOR.get_or_init(|| {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        Ok(Reactor {
            poll: Mutex::new((poll, Events::with_capacity(256))),
            registry,
            sources: Mutex::default(),
            next: AtomicUsize::new(0),
        })
    });
    made.as_ref().map_err(|error| error.kind().into())
}

impl Reactor {
    fn token(&self, ready: &Arc<Ready>) -> Token {
        let token = Token(self.next.fetch_add(1, Ordering::Relaxed));
        let mut sources = locked(&self.sources);
        sources.retain(|_, known| known.strong_count() > 0);
        sources.insert(token, Arc::downgrade(ready));
        token
    }

    /// Takes note of what has become possible, waiting for so long (none: for ever).
    pub(super) fn look(&self, timeout: Option<Duration>) -> io::Result<()> {
        let mut poll = locked(&self.poll);
        let (poll, events) = &mut *poll;
        match poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        let sources = locked(&self.sources);
        for event in &*events {
            if let Some(ready) = sources.get(&event.token()).and_then(Weak::upgrade) {
                ready.to_read.fetch_or(event.is_readable() || event.is_read_closed(), Ordering::AcqRel);
                ready.to_write.fetch_or(event.is_writable() || event.is_write_closed(), Ordering::AcqRel);
            }
        }
        Ok(())
    }
}

/// A pipe that is registered, and what is known to be possible with it.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) pipe: NamedPipe,
    pub(super) ready: Arc<Ready>,
}

impl Source {
    pub(super) fn new(pipe: OwnedHandle) -> io::Result<Self> {
        // SAFETY: a named pipe that was made for overlapped calls, owned by mio from here on.
        let mut pipe = unsafe { NamedPipe::from_raw_handle(pipe.into_raw_handle()) };
        let ready = Arc::new(Ready::default());
        let reactor = reactor()?;
        let token = reactor.token(&ready);
        reactor.registry.register(&mut pipe, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { pipe, ready })
    }
}

/// Wakes the answering thread from another.
#[derive(Debug)]
pub(crate) struct Waker {
    waker: mio::Waker,
    is_due: Arc<AtomicBool>,
}

/// The answering thread's end of a [`Waker`].
#[derive(Debug)]
pub(crate) struct Wakes {
    pub(super) ready: Arc<Ready>,
    is_due: Arc<AtomicBool>,
}

impl Waker {
    pub(crate) fn pair() -> io::Result<(Self, Wakes)> {
        let (ready, is_due) = (Arc::new(Ready::default()), Arc::new(AtomicBool::default()));
        let reactor = reactor()?;
        let waker = mio::Waker::new(&reactor.registry, reactor.token(&ready))?;
        Ok((Self { waker, is_due: is_due.clone() }, Wakes { ready, is_due }))
    }

    /// Wakes; a second time before it was noticed changes nothing.
    ///
    /// Each packet that is posted stands in line before everything that is completed after it, and the line has no end: a
    /// program that wakes faster than it is noticed would keep all clients waiting.
    pub(crate) fn wake(&self) {
        if !self.is_due.swap(true, Ordering::AcqRel) && self.waker.wake().is_err() {
            self.is_due.store(false, Ordering::Release);
        }
    }
}

impl Wakes {
    /// Takes note of having been woken.
    pub(crate) fn clear(&self) -> bool {
        self.ready.to_read.store(false, Ordering::Release);
        self.is_due.store(false, Ordering::Release);
        true
    }
}
