//! The one error type of this crate.

use std::io;

/// Why an operation on a channel failed. A variant is an operation or a rule that the peer broke.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The pair could not be made: EMFILE or ENFILE (too many open files), ENOMEM.
    #[error("create a socket pair")]
    SocketPair {
        /// The kernel's answer.
        source: io::Error,
    },

    /// The descriptor is not one end of a packet channel.
    #[error("use a descriptor as a channel: it is not a unix socket of type SEQPACKET")]
    NotAChannel,

    /// The descriptor could not be examined or prepared.
    #[error("use a descriptor as a channel")]
    Adopt {
        /// The kernel's answer: ENOTSOCK for anything that is not a socket.
        source: io::Error,
    },

    /// A packet could not be sent: EMSGSIZE (larger than the send buffer), ENOBUFS, ETOOMANYREFS
    /// (too many descriptors in flight).
    #[error("send a packet of {length} bytes")]
    Send {
        /// The size of the packet.
        length: usize,
        /// The kernel's answer.
        source: io::Error,
    },

    /// A packet could not be received.
    #[error("receive a packet of {length} bytes")]
    Receive {
        /// The size that was expected.
        length: usize,
        /// The kernel's answer.
        source: io::Error,
    },

    /// The peer is gone: it closed its end, executed another program, or died.
    #[error("the other end of the channel is closed")]
    Closed,

    /// The packet is shorter or longer than the one that was expected.
    #[error("received a packet of {received} bytes where one of {expected} was expected")]
    Length {
        /// The size that was expected.
        expected: usize,
        /// The size of the packet, of which nothing is returned.
        received: usize,
    },

    /// The packet has the size of a boolean, but its value is neither 0 nor 1.
    #[error("received {value} where a boolean (0 or 1) was expected")]
    NotABoolean {
        /// The byte.
        value: u8,
    },

    /// Descriptors or credentials came with a packet that may have none. They were closed.
    #[error("received a packet with descriptors or credentials attached where none were expected")]
    Foreign,

    /// More came with a packet than the one descriptor that it may have. All of it was closed.
    #[error("received a packet with {descriptors} descriptors where at most one was expected")]
    TooManyDescriptors {
        /// How many descriptors came in.
        descriptors: usize,
    },

    /// The kernel could not hand over all that was attached: there was too much, or this process
    /// has no descriptor left (RLIMIT_NOFILE). What did come was closed.
    #[error("what was attached to a received packet did not arrive whole (too many open files?)")]
    AttachmentLost,
}
