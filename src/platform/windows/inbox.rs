//! Messages in an event loop of tokio: those that a child writes to our pipe, and those that a `gateway` above is told.
//!
//! Each instance of the pipe serves one writer, by a task of its own; the next instance is made before this one is served,
//! so that the name can always be opened. A write is a message (`PIPE_TYPE_MESSAGE`), whoever makes it. Whose it is says the
//! writer's process; one that has ended already was this user's, because nobody else can open the pipe.
//!
//! Sources: "Named Pipe Type, Read, and Wait Modes", `GetNamedPipeClientProcessId` (Microsoft Learn).

use std::{
    ffi::OsStr,
    io::{self, ErrorKind},
    os::windows::io::AsRawHandle as _,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    net::windows::named_pipe::{ClientOptions, NamedPipeClient, NamedPipeServer, PipeMode, ServerOptions},
    sync::mpsc::{self, Receiver, Sender},
    time::sleep,
};
use windows_sys::Win32::{Foundation::ERROR_MORE_DATA, System::Pipes::GetNamedPipeClientProcessId};

use super::{
    datagrams::{Datagram, Datagrams},
    process::ProcessHandle,
    users::{Private, user_of_process},
    wide::{code_of, succeeded},
};

/// So many messages wait to be taken; then their writers wait.
const WAITING: usize = 64;
/// The longest message, and one byte more, which says that it was cut.
const LONGEST: usize = 4096;
/// Before another instance is tried to be made.
const PAUSE: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Message {
    bytes: Vec<u8>,
    is_cut: bool,
    uid: Option<u32>,
}

/// Where messages arrive.
#[derive(Debug)]
pub struct Inbox(Mutex<Arrived>);

#[derive(Debug)]
struct Arrived {
    from: Receiver<Message>,
    /// It was seen to be there, and not taken yet.
    next: Option<Message>,
}

impl Inbox {
    /// Makes the pipe. Within a runtime.
    ///
    /// # Errors
    /// As `CreateNamedPipeW`: another has the name.
    pub fn new(at: Datagrams) -> io::Result<Self> {
        let first = make(&at, true)?;
        let (arrive, from) = mpsc::channel(WAITING);
        tokio::spawn(listen(at, first, arrive));
        Ok(Self(Mutex::new(Arrived { from, next: None })))
    }

    /// Whether something has arrived; if not, the task is woken when it has.
    pub fn poll_arrived(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut arrived = self.arrived();
        if arrived.next.is_none() {
            match ready!(arrived.from.poll_recv(context)) {
                Some(message) => arrived.next = Some(message),
                None => return Poll::Pending, // nobody listens any more
            }
        }
        Poll::Ready(())
    }

    /// Takes a message without waiting.
    ///
    /// # Errors
    /// `WouldBlock`: none is there.
    pub fn receive(&self, into: &mut [u8]) -> io::Result<Datagram> {
        let mut arrived = self.arrived();
        let next = arrived.next.take().or_else(|| arrived.from.try_recv().ok());
        let Some(Message { bytes, is_cut, uid }) = next else { return Err(ErrorKind::WouldBlock.into()) };
        let len = bytes.len().min(into.len());
        into[..len].copy_from_slice(&bytes[..len]);
        Ok(Datagram { len, is_cut: is_cut || len < bytes.len(), uid })
    }

    fn arrived(&self) -> MutexGuard<'_, Arrived> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make(at: &Datagrams, is_first: bool) -> io::Result<NamedPipeServer> {
    let private = Private::new(at.owner, false)?;
    let mut attributes = private.attributes();
    let mut options = ServerOptions::new();
    options.access_outbound(false).pipe_mode(PipeMode::Message).first_pipe_instance(is_first);
    // SAFETY: the attributes are what they must be, and outlive the call.
    unsafe { options.create_with_security_attributes_raw(&at.name, (&raw mut attributes).cast()) }
}

/// Lets writers in, one after the other, each to be heard on its own.
async fn listen(at: Datagrams, first: NamedPipeServer, arrive: Sender<Message>) {
    let mut waiting = first;
    while !arrive.is_closed() {
        let came = waiting.connect().await;
        let next = loop {
            match make(&at, false) {
                Ok(next) => break next,
                Err(error) => tracing::warn!("no other writer can be let in now: {error}"),
            }
            sleep(PAUSE).await;
        };
        let writer = std::mem::replace(&mut waiting, next);
        if came.is_ok() {
            tokio::spawn(hear(writer, at.owner, arrive.clone()));
        }
    }
}

/// Hears one writer, until it closes its end.
async fn hear(writer: NamedPipeServer, owner: u32, arrive: Sender<Message>) {
    let uid = user_of(&writer).or(Some(owner));
    let mut room = [0; LONGEST + 1];
    loop {
        let (len, is_cut) = match writer.try_read(&mut room) {
            Ok(0) => return,
            Ok(len) => (len, len > LONGEST),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if writer.readable().await.is_err() {
                    return;
                }
                continue;
            }
            Err(error) if code_of(&error) == Some(ERROR_MORE_DATA) => (0, true),
            Err(_) => return,
        };
        let message = Message { bytes: room[..len].to_vec(), is_cut, uid };
        if arrive.send(message).await.is_err() {
            return;
        }
    }
}

/// Whose the writer is; none: its process has ended.
fn user_of(writer: &NamedPipeServer) -> Option<u32> {
    let mut pid = 0;
    // SAFETY: the handle is open, and the number is written to a variable that outlives the call.
    succeeded(unsafe { GetNamedPipeClientProcessId(writer.as_raw_handle(), &raw mut pid) }).ok()?;
    let process = ProcessHandle::open(pid).ok()??;
    user_of_process(process.as_owned()).ok()
}

/// The way to a `gateway` above that wants to be told how it goes.
#[derive(Debug)]
pub struct Teller(NamedPipeClient);

impl Teller {
    /// Opens the pipe that `NOTIFY_SOCKET` names. Within a runtime.
    ///
    /// # Errors
    /// As `CreateFileW`; `InvalidInput`: it is no pipe.
    pub fn to(address: &OsStr) -> io::Result<Self> {
        if !address.to_string_lossy().starts_with(r"\\.\pipe\") {
            return Err(ErrorKind::InvalidInput.into());
        }
        ClientOptions::new().read(false).open(address).map(Self)
    }

    /// Tells it without waiting.
    ///
    /// # Errors
    /// As `WriteFile`; `WouldBlock`: it does not take it now.
    pub fn try_tell(&self, words: &[u8]) -> io::Result<()> {
        self.0.try_write(words).map(drop)
    }

    /// Waits until it may take something.
    ///
    /// # Errors
    /// The event loop ends.
    pub async fn writable(&self) -> io::Result<()> {
        self.0.writable().await
    }
}
