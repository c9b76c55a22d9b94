//! One packet in, one packet out: the two system calls and every way in which they can go wrong.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, RecvMsg, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::Error;

/// Sends `bytes`, at least one, as one packet, with `attached` if there is one.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    attached: Option<BorrowedFd<'_>>,
) -> Result<(), Error> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    loop {
        let mut control = SendAncillaryBuffer::new(&mut space);
        if let Some(descriptor) = &attached {
            // The space was made for exactly this message, so it always fits.
            control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(
                descriptor,
            )));
        }
        match sendmsg(
            socket,
            &[IoSlice::new(bytes)],
            &mut control,
            SendFlags::NOSIGNAL,
        ) {
            // A packet is sent whole or not at all.
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(Errno::PIPE | Errno::CONNRESET | Errno::CONNREFUSED | Errno::NOTCONN) => {
                return Err(Error::Closed);
            }
            Err(errno) => {
                return Err(Error::Send {
                    length: bytes.len(),
                    source: errno.into(),
                });
            }
        }
    }
}

/// Receives a packet of exactly the size of `bytes`, to which nothing may be attached.
pub(crate) fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<(), Error> {
    // Without room for attachments the kernel drops them before they get a number here.
    let mut control = RecvAncillaryBuffer::default();
    let received = receive_packet(socket, bytes, &mut control)?;
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(Error::Foreign);
    }
    check_length(bytes.len(), received.bytes)
}

/// Receives a packet of exactly the size of `bytes`, to which one descriptor may be attached.
pub(crate) fn receive_with_fd(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
) -> Result<Option<OwnedFd>, Error> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = receive_packet(socket, bytes, &mut control)?;
    // From here on every descriptor has an owner, so each return closes what it does not return.
    let (mut descriptors, foreign) = take_descriptors(&mut control);
    if received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(Error::AttachmentLost);
    }
    if foreign {
        return Err(Error::Foreign);
    }
    check_length(bytes.len(), received.bytes)?;
    if descriptors.len() > 1 {
        return Err(Error::TooManyDescriptors {
            descriptors: descriptors.len(),
        });
    }
    Ok(descriptors.pop())
}

/// Takes ownership of all descriptors; the flag says whether anything else was attached.
fn take_descriptors(control: &mut RecvAncillaryBuffer<'_>) -> (Vec<OwnedFd>, bool) {
    let mut descriptors = Vec::new();
    let mut foreign = false;
    for message in control.drain() {
        match message {
            RecvAncillaryMessage::ScmRights(rights) => descriptors.extend(rights),
            _ => foreign = true,
        }
    }
    (descriptors, foreign)
}

fn receive_packet(
    socket: BorrowedFd<'_>,
    bytes: &mut [u8],
    control: &mut RecvAncillaryBuffer<'_>,
) -> Result<RecvMsg, Error> {
    let length = bytes.len();
    // TRUNC makes the kernel return the packet's own size, also when it exceeds the buffer's.
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::TRUNC;
    loop {
        match recvmsg(socket, &mut [IoSliceMut::new(bytes)], control, flags) {
            // Senders of this crate never send an empty packet, so this is the end of the channel.
            Ok(received) if received.bytes == 0 => return Err(Error::Closed),
            Ok(received) => return Ok(received),
            Err(Errno::INTR) => {}
            // The peer closed its end without having read all that was sent to it. The kernel says
            // so once, *before* it delivers what the peer had sent: its last words come next.
            Err(Errno::CONNRESET) => {}
            Err(errno) => {
                return Err(Error::Receive {
                    length,
                    source: errno.into(),
                });
            }
        }
    }
}

fn check_length(expected: usize, received: usize) -> Result<(), Error> {
    if expected == received {
        Ok(())
    } else {
        Err(Error::Length { expected, received })
    }
}
