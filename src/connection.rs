//! A client's connection to whoever listens: frames out, frames in, each by a deadline. Blocks its thread, and only
//! until then; no runtime is needed to ask.

use std::{
    io,
    time::{Duration, Instant},
};

use incumbent_proto::{FrameBuffer, Reply, Request};

use crate::{
    blocking::deadline_in,
    error::Error,
    platform::{Peer, Read, Socket, Stream},
    process::ProcessHandle,
};

/// What came of waiting for a reply.
#[derive(Debug)]
pub(crate) enum Received {
    Reply(Reply),
    /// The other side has closed.
    End,
    /// Nothing came until the deadline.
    Nothing,
    /// Nothing came, and the process that listens has ended.
    ProcessEnded,
}

/// A connection, with what has been read of the next frame.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    frames: FrameBuffer,
    peer: Peer,
}

impl Connection {
    pub(crate) fn new(stream: Stream, peer: Peer) -> Self {
        Self { stream, frames: FrameBuffer::new(), peer }
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    /// Tells whether the other side has not closed yet, as far as it is known.
    pub(crate) fn is_open(&self) -> bool {
        self.stream.is_open()
    }

    /// Writes bytes that are whole frames.
    pub(crate) fn write(&self, frames: &[u8], deadline: Instant) -> io::Result<()> {
        self.stream.write_all(frames, deadline)
    }

    /// Waits for the next reply until the deadline (none: for ever), or until the watched process ends.
    pub(crate) fn receive(
        &mut self,
        deadline: Option<Instant>,
        watched: Option<&ProcessHandle>,
    ) -> io::Result<Received> {
        self.receive_with(deadline, watched, None)
    }

    fn receive_with(
        &mut self,
        deadline: Option<Instant>,
        watched: Option<&ProcessHandle>,
        mut sockets: Option<&mut Vec<Socket>>,
    ) -> io::Result<Received> {
        let invalid = |why| io::Error::new(io::ErrorKind::InvalidData, why);
        let mut piece = [0; 1024]; // zeroed for each reply, and hardly one is longer
        loop {
            if let Some(frame) = self.frames.next_frame().map_err(invalid)? {
                return Reply::decode(&frame).map(Received::Reply).map_err(invalid);
            }
            match self.stream.read(&mut piece, deadline, watched, sockets.as_deref_mut())? {
                Read::Bytes(count) => self.frames.extend(&piece[..count]),
                Read::End => return Ok(Received::End),
                Read::Nothing => return Ok(Received::Nothing),
                Read::ProcessEnded => return Ok(Received::ProcessEnded),
            }
        }
    }

    /// Asks and waits for the answer until `timeout` has passed.
    pub(crate) fn ask(
        &mut self,
        request: &Request,
        asked: &'static str,
        timeout: Duration,
    ) -> Result<Reply, Error> {
        let deadline = deadline_in(timeout);
        self.say(request, asked, deadline)?;
        self.answer(asked, deadline, timeout)
    }

    /// As [`Connection::ask`], and takes the sockets that come beside the answer.
    pub(crate) fn ask_with(
        &mut self,
        request: &Request,
        asked: &'static str,
        timeout: Duration,
        sockets: &mut Vec<Socket>,
    ) -> Result<Reply, Error> {
        let deadline = deadline_in(timeout);
        self.say(request, asked, deadline)?;
        understood(self.receive_with(Some(deadline), None, Some(sockets)), asked, timeout)
    }

    /// Sends a request, without waiting for its answer.
    pub(crate) fn say(
        &mut self,
        request: &Request,
        asked: &'static str,
        deadline: Instant,
    ) -> Result<(), Error> {
        let frame = request.encode().map_err(|_| Error::TooLong { limit: incumbent_proto::MAX_BODY })?;
        self.write(&frame, deadline).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => Error::NoAnswer { asked, waited: Duration::ZERO },
            // Its end is read below: it may have said why before it closed.
            _ => Error::Disconnected { asked },
        })
    }

    /// Waits for the answer to what was asked.
    pub(crate) fn answer(
        &mut self,
        asked: &'static str,
        deadline: Instant,
        waited: Duration,
    ) -> Result<Reply, Error> {
        understood(self.receive(Some(deadline), None), asked, waited)
    }

    /// The process at the other end, held so that its number cannot be mistaken for another's.
    pub(crate) fn listening(&self) -> crate::platform::Listening {
        self.stream.listening(self.peer)
    }
}

fn understood(received: io::Result<Received>, asked: &'static str, waited: Duration) -> Result<Reply, Error> {
    match received {
        Ok(Received::Reply(reply)) => Ok(reply),
        Ok(Received::End | Received::ProcessEnded) => Err(Error::Disconnected { asked }),
        Ok(Received::Nothing) => Err(Error::NoAnswer { asked, waited }),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(Error::Protocol { asked, why: error.to_string() })
        }
        Err(_) => Err(Error::Disconnected { asked }),
    }
}
