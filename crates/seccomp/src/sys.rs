//! The system calls that neither nix nor rustix has.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use crate::Instruction;

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
