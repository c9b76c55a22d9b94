//! What no safe wrapper does: a process that leads a session with a terminal, and TIOCSTI.

#![allow(
    unsafe_code,
    dead_code,
    reason = "no safe wrapper; each test program uses a part"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes the program lead a new session whose terminal is its standard input, or descriptor 1 if
/// that is none.
pub(crate) fn lead_session(command: &mut Command) {
    let take_terminal = || {
        rustix::process::setsid()?;
        let taken = rustix::process::ioctl_tiocsctty(rustix::stdio::stdin());
        taken.or_else(|_| rustix::process::ioctl_tiocsctty(rustix::stdio::stdout()))?;
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls only, and allocates nothing.
    unsafe { command.pre_exec(take_terminal) };
}

/// Puts a byte into a terminal's input, as if it had been typed there.
pub(crate) fn type_into(terminal: BorrowedFd<'_>, byte: u8) -> io::Result<()> {
    // SAFETY: the kernel reads one byte from the address, which is live for the call.
    let answer = unsafe {
        nix::libc::ioctl(
            terminal.as_raw_fd(),
            nix::libc::TIOCSTI,
            std::ptr::from_ref(&byte),
        )
    };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
