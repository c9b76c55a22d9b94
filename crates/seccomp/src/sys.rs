//! The system calls that neither nix nor rustix has.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::{Call, Instruction};

/// `struct sock_fprog`.
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// seccomp(2) with `SECCOMP_SET_MODE_FILTER`; what it answers is up to the flags.
pub(crate) fn set_filter(instructions: &[Instruction], flags: u32) -> io::Result<i64> {
    let length = u16::try_from(instructions.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = Program {
        length,
        instructions: instructions.as_ptr(),
    };
    // SAFETY: the kernel reads the structure and as many instructions as it says, laid out as its
    // own (`repr(C)`); both live until the call is over.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            std::ptr::from_ref(&program),
        )
    };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    #[allow(
        clippy::useless_conversion,
        reason = "c_long is 32 bits on some architectures"
    )]
    Ok(i64::from(answer))
}

/// Takes a descriptor that the kernel has just made.
pub(crate) fn own(descriptor: i64) -> io::Result<OwnedFd> {
    let descriptor = i32::try_from(descriptor).map_err(|_| io::ErrorKind::InvalidData)?;
    // SAFETY: seccomp(2) answered with this new descriptor, close-on-exec, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// prctl(2) with `PR_SET_NO_NEW_PRIVS`.
pub(crate) fn no_new_privileges() -> io::Result<()> {
    // SAFETY: no pointer is passed; the unused arguments are zero, as the kernel demands.
    let answer = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1u64, 0u64, 0u64, 0u64) };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Waits until a call asks; false when none ever will, since nobody has the filter.
pub(crate) fn has_calls(listener: &OwnedFd) -> io::Result<bool> {
    let mut one = libc::pollfd {
        fd: listener.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    loop {
        // SAFETY: the kernel reads and writes this one structure.
        let answer = unsafe { libc::poll(&raw mut one, 1, -1) };
        match answer {
            0.. => return Ok(one.revents & libc::POLLIN != 0),
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// ioctl(2) with `SECCOMP_IOCTL_NOTIF_RECV`.
pub(crate) fn next_call(listener: &OwnedFd) -> io::Result<Call> {
    // SAFETY: zero is a value of this structure of plain numbers, and what the kernel demands.
    let mut asked: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    request(listener, libc::SECCOMP_IOCTL_NOTIF_RECV, &mut asked)?;
    Ok(Call {
        id: asked.id,
        thread: asked.pid,
        audit: asked.data.arch,
        number: asked.data.nr.cast_unsigned(),
        arguments: asked.data.args,
    })
}

/// ioctl(2) with `SECCOMP_IOCTL_NOTIF_ID_VALID`.
pub(crate) fn is_waiting(listener: &OwnedFd, mut id: u64) -> io::Result<()> {
    request(listener, libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &mut id)
}

/// ioctl(2) with `SECCOMP_IOCTL_NOTIF_SEND` and `SECCOMP_USER_NOTIF_FLAG_CONTINUE`.
pub(crate) fn let_through(listener: &OwnedFd, id: u64) -> io::Result<()> {
    let mut reply = libc::seccomp_notif_resp {
        id,
        val: 0,
        error: 0,
        flags: libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE as u32,
    };
    request(listener, libc::SECCOMP_IOCTL_NOTIF_SEND, &mut reply)
}

/// A request of a listener's, whose number says how long the structure is.
fn request<T>(listener: &OwnedFd, number: libc::Ioctl, structure: &mut T) -> io::Result<()> {
    let pointer = std::ptr::from_mut(structure);
    // SAFETY: the kernel reads and writes no more than the structure, whose size is in the number.
    match unsafe { libc::ioctl(listener.as_raw_fd(), number, pointer) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
