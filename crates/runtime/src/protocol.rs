//! The parent's side of the conversation with init.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crabcan_init::message::{DESCRIPTOR, Message};
use crabcan_ipc::ParentEnd;

use crate::Error;

/// The channel to init.
#[derive(Debug)]
pub(crate) struct Protocol {
    channel: ParentEnd,
}

/// What init said, with the terminal's master if it came with that.
#[derive(Debug)]
pub(crate) enum Heard {
    Message(Message),
    Console(OwnedFd),
    /// The channel's other end is closed.
    Closed,
}

impl Protocol {
    pub(crate) fn new(channel: ParentEnd) -> Self {
        Self { channel }
    }

    /// Tells init to go on: the tutorial's boolean.
    pub(crate) fn proceed(&self) -> Result<(), crabcan_ipc::Error> {
        self.channel.send_boolean(true)
    }

    /// Hands a detached mount to the step that waits for one.
    pub(crate) fn send_mount(&self, mount: BorrowedFd<'_>) -> Result<(), crabcan_ipc::Error> {
        self.channel.send_record_with_fd(&[DESCRIPTOR], mount)
    }

    /// Waits for what init says next.
    pub(crate) fn hear(&self, doing: &'static str) -> Result<Heard, Error> {
        let received = self.channel.recv_record_with_fd::<{ Message::LENGTH }>();
        let (record, descriptor) = match received {
            Err(crabcan_ipc::Error::Closed) => return Ok(Heard::Closed),
            other => other.map_err(|source| Error::Channel { doing, source })?,
        };
        match (Message::from_bytes(&record), descriptor) {
            (Some(Message::Console), Some(master)) => Ok(Heard::Console(master)),
            (Some(message), None) if message != Message::Console => Ok(Heard::Message(message)),
            _ => Err(Error::Protocol {
                message: format!("{record:?}"),
                doing,
            }),
        }
    }
}

impl AsFd for Protocol {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}
