//! Terminals and sockets.

use super::{Fd, O_CLOEXEC, address, address_mut, call, fd, new_fd, nr};
use crate::errno::Errno;
use crate::message::LISTENER_MARK;

/// An ioctl(2) whose argument is a number.
pub(crate) fn ioctl(number: i32, request: usize, argument: usize) -> Result<usize, Errno> {
    call(nr::IOCTL, [fd(number), request, argument])
}

/// An ioctl(2) whose argument is a structure that the kernel reads or writes.
pub(crate) fn ioctl_with<T>(number: i32, request: usize, argument: &mut T) -> Result<usize, Errno> {
    call(nr::IOCTL, [fd(number), request, address_mut(argument)])
}

pub(crate) fn datagram_socket() -> Result<Fd, Errno> {
    const AF_INET: usize = 2;
    const SOCK_DGRAM: usize = 2;
    call(nr::SOCKET, [AF_INET, SOCK_DGRAM | O_CLOEXEC as usize, 0]).map(new_fd)
}

#[repr(C)]
pub(super) struct IoVec {
    pub(super) base: usize,
    pub(super) length: usize,
}

#[repr(C)]
pub(super) struct MsgHdr {
    pub(super) name: usize,
    pub(super) name_length: u32,
    pub(super) iov: usize,
    pub(super) iov_count: usize,
    pub(super) control: usize,
    pub(super) control_length: usize,
    pub(super) flags: i32,
}

/// `struct cmsghdr` with room for one descriptor.
#[repr(C)]
#[derive(Default)]
pub(super) struct Control {
    pub(super) length: usize,
    pub(super) level: i32,
    pub(super) kind: i32,
    pub(super) fd: i32,
    pub(super) padding: i32,
}

const SOL_SOCKET: i32 = 1;
const SCM_RIGHTS: i32 = 1;
// Exactly one descriptor: with the trailing padding the kernel would install a second one.
pub(super) const CONTROL_LENGTH: usize = 20;

fn message(iov: &IoVec, control: Option<&mut Control>) -> MsgHdr {
    let (control, control_length) = control.map_or((0, 0), |c| (address_mut(c), CONTROL_LENGTH));
    let iov = address(iov);
    MsgHdr {
        name: 0,
        name_length: 0,
        iov,
        iov_count: 1,
        control,
        control_length,
        flags: 0,
    }
}

const MSG_NOSIGNAL: usize = 0x4000;

/// Sends one packet, with a descriptor when one is given.
pub(crate) fn send(socket: i32, bytes: &[u8], descriptor: Option<i32>) -> Result<(), Errno> {
    send_with(socket, bytes, descriptor, MSG_NOSIGNAL)
}

/// Sends the listener of a filter that may ask for every other call.
pub(crate) fn send_listener(socket: i32, bytes: &[u8], listener: i32) -> Result<(), Errno> {
    let flags = MSG_NOSIGNAL | LISTENER_MARK as usize;
    send_with(socket, bytes, Some(listener), flags)
}

fn send_with(
    socket: i32,
    bytes: &[u8],
    descriptor: Option<i32>,
    flags: usize,
) -> Result<(), Errno> {
    let iov = IoVec {
        base: bytes.as_ptr() as usize,
        length: bytes.len(),
    };
    let mut control = Control {
        length: CONTROL_LENGTH,
        level: SOL_SOCKET,
        kind: SCM_RIGHTS,
        ..Control::default()
    };
    let header = match descriptor {
        Some(number) => {
            control.fd = number;
            message(&iov, Some(&mut control))
        }
        None => message(&iov, None),
    };
    loop {
        match call(nr::SENDMSG, [fd(socket), address(&header), flags]) {
            Err(Errno::EINTR) => {}
            other => return other.map(drop),
        }
    }
}

/// Writes at once all that there is, as files of cgroups and packets want it. For a packet a filter
/// of system calls that forbids this one too is rare.
pub(crate) fn write(number: i32, bytes: &[u8]) -> Result<(), Errno> {
    let args = [fd(number), bytes.as_ptr() as usize, bytes.len()];
    call(nr::WRITE, args).map(drop)
}

/// Receives one packet of one byte, and the descriptor that came with it.
///
/// The peer's end is [`Errno::EPIPE`], a packet of another length [`Errno::EPROTO`].
pub(crate) fn receive(socket: i32) -> Result<(u8, Option<Fd>), Errno> {
    const MSG_CMSG_CLOEXEC: usize = 0x4000_0000;
    let mut bytes = [0u8; 2];
    let iov = IoVec {
        base: address_mut(&mut bytes),
        length: bytes.len(),
    };
    let mut control = Control::default();
    let mut header = message(&iov, Some(&mut control));
    let length = loop {
        match call(
            nr::RECVMSG,
            [fd(socket), address_mut(&mut header), MSG_CMSG_CLOEXEC],
        ) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    let came = header.control_length >= CONTROL_LENGTH
        && (control.level, control.kind) == (SOL_SOCKET, SCM_RIGHTS);
    let descriptor = came.then(|| Fd(control.fd));
    match length {
        0 => Err(Errno::EPIPE),
        1 => Ok((bytes[0], descriptor)),
        _ => Err(Errno::EPROTO),
    }
}
