//! The two ends of a channel and what can be done with each.

use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::{Error, message};

/// Makes a connected pair of ends, both close-on-exec from birth.
///
/// Each process keeps one end and drops the other **at once**: as long as a process holds both, it
/// can never see the end of the channel and waits for itself.
///
/// See [socketpair(2)](https://man7.org/linux/man-pages/man2/socketpair.2.html) and
/// [unix(7)](https://man7.org/linux/man-pages/man7/unix.7.html).
///
/// # Errors
/// [`Error::SocketPair`]: EMFILE, ENFILE (too many open files) or ENOMEM.
pub fn socketpair() -> Result<(ParentEnd, ChildEnd), Error> {
    let (parent, child) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|errno| Error::SocketPair {
        source: errno.into(),
    })?;
    Ok((ParentEnd(Channel(parent)), ChildEnd(Channel(child))))
}

/// One end of a channel: everything that can be sent and received.
///
/// One call sends or receives one packet, whole or not at all. Every receiving call blocks until
/// there is a packet or the peer is gone; to wait for something else too, poll the descriptor
/// ([`AsFd`]) first. The type may be shared between threads: packets never mix, but which thread
/// receives which is open.
///
/// A packet that breaks the receiver's expectation is consumed, its descriptors are closed, and the
/// call fails; the channel itself stays usable.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl Channel {
    /// Sends one boolean: a packet of the single byte 0 or 1.
    ///
    /// # Errors
    /// [`Error::Closed`] when the peer is gone, else [`Error::Send`].
    pub fn send_boolean(&self, value: bool) -> Result<(), Error> {
        self.send_record(&[u8::from(value)])
    }

    /// Receives one boolean.
    ///
    /// # Errors
    /// [`Error::Closed`] when the peer is gone: the end of the channel is never a value.
    /// [`Error::Length`], [`Error::NotABoolean`] and [`Error::Foreign`] when the packet is not a
    /// boolean; else [`Error::Receive`].
    pub fn recv_boolean(&self) -> Result<bool, Error> {
        match self.recv_record()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [value] => Err(Error::NotABoolean { value }),
        }
    }

    /// Sends `record` as one packet. A record has at least one byte, which the compiler checks: an
    /// empty packet could not be told from the end of the channel.
    ///
    /// # Errors
    /// [`Error::Closed`] when the peer is gone, else [`Error::Send`].
    pub fn send_record<const N: usize>(&self, record: &[u8; N]) -> Result<(), Error> {
        const {
            assert!(
                N > 0,
                "an empty record cannot be told from the end of the channel"
            )
        };
        message::send(self.as_fd(), record, None)
    }

    /// Receives a packet of exactly `N` bytes without a descriptor.
    ///
    /// # Errors
    /// [`Error::Closed`] when the peer is gone; [`Error::Length`] for a packet of another size;
    /// [`Error::Foreign`] when something is attached to it (it is closed); else [`Error::Receive`].
    pub fn recv_record<const N: usize>(&self) -> Result<[u8; N], Error> {
        const {
            assert!(
                N > 0,
                "an empty record cannot be told from the end of the channel"
            )
        };
        let mut record = [0; N];
        message::receive(self.as_fd(), &mut record)?;
        Ok(record)
    }

    /// Sends `record` as one packet and with it a copy of `descriptor` (SCM_RIGHTS).
    ///
    /// # Errors
    /// [`Error::Closed`] when the peer is gone; else [`Error::Send`], with ETOOMANYREFS when too
    /// many descriptors are in flight.
    pub fn send_record_with_fd<const N: usize>(
        &self,
        record: &[u8; N],
        descriptor: BorrowedFd<'_>,
    ) -> Result<(), Error> {
        const {
            assert!(
                N > 0,
                "an empty record cannot be told from the end of the channel"
            )
        };
        message::send(self.as_fd(), record, Some(descriptor))
    }

    /// Receives a packet of exactly `N` bytes, and the descriptor attached to it if there is one.
    /// The descriptor is close-on-exec from birth.
    ///
    /// # Errors
    /// [`Error::Closed`] when the peer is gone; [`Error::Length`] for a packet of another size;
    /// [`Error::TooManyDescriptors`] for more than one descriptor, [`Error::Foreign`] for any other
    /// attachment, [`Error::AttachmentLost`] when the kernel could not deliver it whole (above all
    /// when no descriptor is free here); else [`Error::Receive`]. Whatever came is closed then.
    pub fn recv_record_with_fd<const N: usize>(&self) -> Result<([u8; N], Option<OwnedFd>), Error> {
        const {
            assert!(
                N > 0,
                "an empty record cannot be told from the end of the channel"
            )
        };
        let mut record = [0; N];
        let descriptor = message::receive_with_fd(self.as_fd(), &mut record)?;
        Ok((record, descriptor))
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Takes over an end that came from elsewhere, for example as the standard input of a program, and
/// makes it close-on-exec.
///
/// # Errors
/// [`Error::NotAChannel`] for another kind of socket, [`Error::Adopt`] for what is no socket. The
/// descriptor is closed then.
impl TryFrom<OwnedFd> for Channel {
    type Error = Error;

    fn try_from(descriptor: OwnedFd) -> Result<Self, Error> {
        let adopt = |errno: rustix::io::Errno| Error::Adopt {
            source: errno.into(),
        };
        let kind = sockopt::socket_type(&descriptor).map_err(adopt)?;
        let domain = sockopt::socket_domain(&descriptor).map_err(adopt)?;
        if kind != SocketType::SEQPACKET || domain != AddressFamily::UNIX {
            return Err(Error::NotAChannel);
        }
        fcntl_setfd(&descriptor, FdFlags::CLOEXEC).map_err(adopt)?;
        Ok(Self(descriptor))
    }
}

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.0
    }
}

macro_rules! end {
    ($(#[$documentation:meta])* $name:ident) => {
        $(#[$documentation])*
        #[derive(Debug)]
        pub struct $name(Channel);

        impl Deref for $name {
            type Target = Channel;

            fn deref(&self) -> &Channel {
                &self.0
            }
        }

        impl AsFd for $name {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.as_fd()
            }
        }

        /// Takes over a descriptor as this end, as [`Channel`] does.
        impl TryFrom<OwnedFd> for $name {
            type Error = Error;

            fn try_from(descriptor: OwnedFd) -> Result<Self, Error> {
                Channel::try_from(descriptor).map(Self)
            }
        }

        impl From<$name> for OwnedFd {
            fn from(end: $name) -> Self {
                end.0.into()
            }
        }
    };
}

end! {
    /// The end that the parent keeps. It is a type of its own so that the ends cannot be exchanged
    /// by mistake; what it can do is [`Channel`]'s.
    ParentEnd
}

end! {
    /// The end that the child keeps. It is a type of its own so that the ends cannot be exchanged
    /// by mistake; what it can do is [`Channel`]'s.
    ChildEnd
}
