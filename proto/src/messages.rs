//! Requests and replies: from frames to messages, and back to bytes.
//!
//! Invariant: a frozen kind is read whatever version the header carries, every other only in the
//! versions spoken here; nothing that comes in can panic. Does not check that a reply fits its
//! request. Proven by `tests/decoder.rs` and `tests/malformed.rs`.

use serde::Serialize;

use crate::{
    Answer, Frame, HEADER_LEN, Handover, Header, Identify, Identity, Kind, MIN_VERSION, Malformed, Offered,
    Ping, Pong, Progress, Refused, Send, StatusReply, StatusRequest, Stop, Stopping, TooLong, Unsupported,
    VERSION, Watch, Withdraw, Withdrawn, codec,
};

/// What can be asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Are you there?
    Ping(Ping),
    /// Who are you?
    Identify(Identify),
    /// Please leave.
    Stop(Stop),
    /// How are you?
    Status(StatusRequest),
    /// Here is a message for the program.
    Send(Send),
    /// Tell me your status now and at every change.
    Watch(Watch),
    /// What do you hand over to me, who am going to take your place?
    Handover(Handover),
    /// I do not take your place after all.
    Withdraw(Withdraw),
}

/// What can be answered.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To [`Request::Ping`].
    Pong(Pong),
    /// To [`Request::Identify`].
    Identity(Identity),
    /// To [`Request::Stop`].
    Stopping(Stopping),
    /// To [`Request::Status`], and to [`Request::Watch`] any number of times.
    StatusIs(Box<StatusReply>),
    /// To [`Request::Send`].
    Answer(Answer),
    /// After [`Reply::Stopping`] that acknowledged, any number of times.
    Progress(Progress),
    /// To [`Request::Handover`]; a descriptor for each of its sockets comes beside it.
    Offered(Offered),
    /// To [`Request::Withdraw`].
    Withdrawn(Withdrawn),
    /// To any request.
    Refused(Refused),
    /// To any request that is not frozen.
    Unsupported(Unsupported),
}

impl Request {
    /// What the request is in the header.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Ping(_) => Kind::Ping,
            Self::Identify(_) => Kind::Identify,
            Self::Stop(_) => Kind::Stop,
            Self::Status(_) => Kind::Status,
            Self::Send(_) => Kind::Send,
            Self::Watch(_) => Kind::Watch,
            Self::Handover(_) => Kind::Handover,
            Self::Withdraw(_) => Kind::Withdraw,
        }
    }

    /// Makes the whole frame.
    ///
    /// # Errors
    ///
    /// [`TooLong`]: the message does not fit into a frame.
    pub fn encode(&self) -> Result<Vec<u8>, TooLong> {
        self.encode_as(VERSION)
    }

    /// Makes the whole frame and marks it as of another version; the layout stays that of this one.
    ///
    /// # Errors
    ///
    /// [`TooLong`]: the message does not fit into a frame.
    pub fn encode_as(&self, version: u16) -> Result<Vec<u8>, TooLong> {
        let kind = self.kind();
        match self {
            Self::Ping(message) => frame(version, kind, message),
            Self::Identify(message) => frame(version, kind, message),
            Self::Stop(message) => frame(version, kind, message),
            Self::Status(message) => frame(version, kind, message),
            Self::Send(message) => frame(version, kind, message),
            Self::Watch(message) => frame(version, kind, message),
            Self::Handover(message) => frame(version, kind, message),
            Self::Withdraw(message) => frame(version, kind, message),
        }
    }

    /// Reads the request in a frame.
    ///
    /// # Errors
    ///
    /// [`Malformed::Version`], [`Malformed::Kind`] (a reply is one, too), [`Malformed::Truncated`]
    /// and [`Malformed::Value`]: none is fatal, the next frame can be read.
    pub fn decode(frame: &Frame) -> Result<Self, Malformed> {
        let (byte, body) = (frame.header.kind, &frame.body);
        match known(frame.header)? {
            Kind::Ping => codec::decode(byte, body).map(Self::Ping),
            Kind::Identify => codec::decode(byte, body).map(Self::Identify),
            Kind::Stop => codec::decode(byte, body).map(Self::Stop),
            Kind::Status => codec::decode(byte, body).map(Self::Status),
            Kind::Send => codec::decode(byte, body).map(Self::Send),
            Kind::Watch => codec::decode(byte, body).map(Self::Watch),
            Kind::Handover => codec::decode(byte, body).map(Self::Handover),
            Kind::Withdraw => codec::decode(byte, body).map(Self::Withdraw),
            _ => Err(Malformed::Kind { kind: byte }),
        }
    }
}

impl Reply {
    /// What the reply is in the header.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Pong(_) => Kind::Pong,
            Self::Identity(_) => Kind::Identity,
            Self::Stopping(_) => Kind::Stopping,
            Self::StatusIs(_) => Kind::StatusIs,
            Self::Answer(_) => Kind::Answer,
            Self::Progress(_) => Kind::Progress,
            Self::Offered(_) => Kind::Offered,
            Self::Withdrawn(_) => Kind::Withdrawn,
            Self::Refused(_) => Kind::Refused,
            Self::Unsupported(_) => Kind::Unsupported,
        }
    }

    /// Makes the whole frame.
    ///
    /// # Errors
    ///
    /// [`TooLong`]: the message does not fit into a frame.
    pub fn encode(&self) -> Result<Vec<u8>, TooLong> {
        self.encode_as(VERSION)
    }

    /// Makes the whole frame and marks it as of another version; the layout stays that of this one.
    ///
    /// # Errors
    ///
    /// [`TooLong`]: the message does not fit into a frame.
    pub fn encode_as(&self, version: u16) -> Result<Vec<u8>, TooLong> {
        let kind = self.kind();
        match self {
            Self::Pong(message) => frame(version, kind, message),
            Self::Identity(message) => frame(version, kind, message),
            Self::Stopping(message) => frame(version, kind, message),
            Self::StatusIs(message) => frame(version, kind, message.as_ref()),
            Self::Answer(message) => frame(version, kind, message),
            Self::Progress(message) => frame(version, kind, message),
            Self::Offered(message) => frame(version, kind, message),
            Self::Withdrawn(message) => frame(version, kind, message),
            Self::Refused(message) => frame(version, kind, message),
            Self::Unsupported(message) => frame(version, kind, message),
        }
    }

    /// Reads the reply in a frame.
    ///
    /// # Errors
    ///
    /// [`Malformed::Version`], [`Malformed::Kind`] (a request is one, too),
    /// [`Malformed::Truncated`] and [`Malformed::Value`]: none is fatal, the next frame can be
    /// read.
    pub fn decode(frame: &Frame) -> Result<Self, Malformed> {
        let (byte, body) = (frame.header.kind, &frame.body);
        match known(frame.header)? {
            Kind::Pong => codec::decode(byte, body).map(Self::Pong),
            Kind::Identity => codec::decode(byte, body).map(Self::Identity),
            Kind::Stopping => codec::decode(byte, body).map(Self::Stopping),
            Kind::StatusIs => codec::decode(byte, body).map(|message| Self::StatusIs(Box::new(message))),
            Kind::Answer => codec::decode(byte, body).map(Self::Answer),
            Kind::Progress => codec::decode(byte, body).map(Self::Progress),
            Kind::Offered => codec::decode(byte, body).map(Self::Offered),
            Kind::Withdrawn => codec::decode(byte, body).map(Self::Withdrawn),
            Kind::Refused => codec::decode(byte, body).map(Self::Refused),
            Kind::Unsupported => codec::decode(byte, body).map(Self::Unsupported),
            _ => Err(Malformed::Kind { kind: byte }),
        }
    }
}

/// The kind of a frame that may be read: frozen, or of a version spoken here.
fn known(header: Header) -> Result<Kind, Malformed> {
    let (kind, version) = (header.kind, header.version);
    match Kind::from_byte(kind) {
        Some(frozen) if frozen.is_frozen() => Ok(frozen),
        _ if !(MIN_VERSION..=VERSION).contains(&version) => Err(Malformed::Version { kind, version }),
        Some(known) => Ok(known),
        None => Err(Malformed::Kind { kind }),
    }
}

/// What most frames fit into, so that their memory is asked for once.
const USUAL: usize = 256;

fn frame<M: Serialize>(version: u16, kind: Kind, message: &M) -> Result<Vec<u8>, TooLong> {
    let mut frame = Vec::with_capacity(USUAL);
    frame.resize(HEADER_LEN, 0);
    codec::encode(message, &mut frame)?;
    let length = u32::try_from(frame.len() - HEADER_LEN).map_err(|_| TooLong)?;
    frame[..HEADER_LEN].copy_from_slice(&Header { version, kind: kind.byte(), flags: 0, length }.to_bytes());
    Ok(frame)
}
