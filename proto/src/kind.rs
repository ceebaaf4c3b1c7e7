//! What a frame can be: the byte in the header that names the message.
//!
//! Invariant: a number is never given to another message, and a frozen kind keeps its layout in
//! every version. Requests are below 128, replies above. Proven by `tests/golden.rs`.

/// The kind of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Request [`Ping`](crate::Ping): are you there? Frozen.
    Ping = 1,
    /// Request [`Identify`](crate::Identify): who are you? Frozen.
    Identify = 2,
    /// Request [`Stop`](crate::Stop): please leave. Frozen.
    Stop = 3,
    /// Request [`StatusRequest`](crate::StatusRequest): how are you?
    Status = 4,
    /// Request [`Send`](crate::Send): here is a message for the program.
    Send = 5,
    /// Request [`Watch`](crate::Watch): tell me your status now and at every change.
    Watch = 6,
    /// Request [`Handover`](crate::Handover): what do you hand over?
    Handover = 7,
    /// Request [`Withdraw`](crate::Withdraw): I do not take over after all.
    Withdraw = 8,
    /// Reply [`Pong`](crate::Pong) to a ping. Frozen.
    Pong = 129,
    /// Reply [`Identity`](crate::Identity) to an identify. Frozen.
    Identity = 130,
    /// Reply [`Stopping`](crate::Stopping) to a stop. Frozen.
    Stopping = 131,
    /// Reply [`StatusReply`](crate::StatusReply) to a status or a watch.
    StatusIs = 132,
    /// Reply [`Answer`](crate::Answer) to a send.
    Answer = 133,
    /// Reply [`Progress`](crate::Progress), after an acknowledged stop. Frozen.
    Progress = 134,
    /// Reply [`Offered`](crate::Offered) to a handover; descriptors come beside it.
    Offered = 135,
    /// Reply [`Withdrawn`](crate::Withdrawn) to a withdraw.
    Withdrawn = 136,
    /// Reply [`Refused`](crate::Refused) to any request. Frozen.
    Refused = 254,
    /// Reply [`Unsupported`](crate::Unsupported) to a request of another version. Frozen.
    Unsupported = 255,
}

impl Kind {
    /// Every kind there is, by number.
    pub const ALL: [Self; 18] = [
        Self::Ping,
        Self::Identify,
        Self::Stop,
        Self::Status,
        Self::Send,
        Self::Watch,
        Self::Handover,
        Self::Withdraw,
        Self::Pong,
        Self::Identity,
        Self::Stopping,
        Self::StatusIs,
        Self::Answer,
        Self::Progress,
        Self::Offered,
        Self::Withdrawn,
        Self::Refused,
        Self::Unsupported,
    ];

    /// The kind with this number, if there is one.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.byte() == byte)
    }

    /// The number of the kind in the header.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// Whether the kind is read whatever version the header carries.
    #[must_use]
    pub const fn is_frozen(self) -> bool {
        match self {
            Self::Ping
            | Self::Identify
            | Self::Stop
            | Self::Pong
            | Self::Identity
            | Self::Stopping
            | Self::Progress
            | Self::Refused
            | Self::Unsupported => true,
            Self::Status
            | Self::Send
            | Self::Watch
            | Self::Handover
            | Self::Withdraw
            | Self::StatusIs
            | Self::Answer
            | Self::Offered
            | Self::Withdrawn => false,
        }
    }

    /// Whether the kind is asked, rather than answered.
    #[must_use]
    pub const fn is_request(self) -> bool {
        self.byte() < 128
    }
}
