//! Signals, and waiting for them.

use core::mem::size_of;

use super::{Fd, O_CLOEXEC, address, address_mut, call, fd, new_fd, nr};
use crate::errno::Errno;

/// Blocks just the signals whose bits are set; bit 0 is signal 1.
pub(crate) fn set_blocked_signals(signals: u64) -> Result<(), Errno> {
    const SIG_SETMASK: usize = 2;
    call(
        nr::RT_SIGPROCMASK,
        [SIG_SETMASK, address(&signals), 0, size_of::<u64>()],
    )
    .map(drop)
}

/// Gives every signal its default action.
pub(crate) fn default_signal_actions() {
    // `struct kernel_sigaction`: handler (0 is SIG_DFL), flags, restorer, mask.
    let default = [0usize; 4];
    for signal in 1..=64 {
        // SIGKILL and SIGSTOP refuse with EINVAL, which is what they should do.
        let _ = call(
            nr::RT_SIGACTION,
            [signal, address(&default), 0, size_of::<u64>()],
        );
    }
}

/// What asks a process to end: SIGHUP, SIGINT, SIGQUIT, SIGTERM.
const REQUESTS_TO_END: [usize; 4] = [1, 2, 3, 15];

/// Ends this process when it is asked to. The kernel keeps from the first process of a pid namespace
/// every signal that it has no handler for; execve(2) takes these away.
pub(crate) fn end_when_asked() -> Result<(), Errno> {
    extern "C" fn end(signal: i32) -> ! {
        super::exit(128 + signal)
    }
    // On x86_64 the kernel wants a restorer, which nothing returns to.
    const SA_RESTORER: usize = 0x0400_0000;
    let handler = end as *const () as usize;
    let action = [handler, SA_RESTORER, handler, 0];
    for signal in REQUESTS_TO_END {
        let args = [signal, address(&action), 0, size_of::<u64>()];
        call(nr::RT_SIGACTION, args)?;
    }
    Ok(())
}

/// Blocks every signal but those that ask this process to end.
pub(crate) fn unblock_requests_to_end() -> Result<(), Errno> {
    let requests = REQUESTS_TO_END.into_iter();
    set_blocked_signals(!requests.fold(0, |all, signal| all | 1 << (signal - 1)))
}

/// Gives the end of a child its default action, which is to wait until it is reaped.
pub(crate) fn keep_children_that_ended() -> Result<(), Errno> {
    const SIGCHLD: usize = 17;
    let default = [0usize; 4];
    call(
        nr::RT_SIGACTION,
        [SIGCHLD, address(&default), 0, size_of::<u64>()],
    )
    .map(drop)
}

/// Forgets the blocked signals that wait for this process.
pub(crate) fn discard_pending_signals() -> Result<(), Errno> {
    let all = u64::MAX;
    let at_once = [0u64; 2];
    let args = [address(&all), 0, address(&at_once), size_of::<u64>()];
    loop {
        match call(nr::RT_SIGTIMEDWAIT, args) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
}

/// A descriptor from which every signal can be read; all are blocked already.
pub(crate) fn signalfd() -> Result<Fd, Errno> {
    let all = u64::MAX;
    let args = [
        usize::MAX,
        address(&all),
        size_of::<u64>(),
        O_CLOEXEC as usize,
    ];
    call(nr::SIGNALFD4, args).map(new_fd)
}

#[repr(C)]
pub(super) struct PollFd {
    pub(super) fd: i32,
    pub(super) events: i16,
    pub(super) revents: i16,
}

/// Waits until one of two descriptors can be read or its peer is gone; which of them is so.
pub(crate) fn poll_two(first: i32, second: i32) -> Result<(bool, bool), Errno> {
    const POLLIN: i16 = 1;
    let watch = |fd| PollFd {
        fd,
        events: POLLIN,
        revents: 0,
    };
    let mut fds = [watch(first), watch(second)];
    loop {
        match call(nr::PPOLL, [address_mut(&mut fds), 2, 0, 0, 0]) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(_) => return Ok((fds[0].revents != 0, fds[1].revents != 0)),
        }
    }
}

/// Waits until a descriptor can be read, for some milliseconds, or for ever if these are 0;
/// whether it can. The clock is one that nobody sets.
pub(crate) fn poll_for(number: i32, milliseconds: u32) -> Result<bool, Errno> {
    const POLLIN: i16 = 1;
    let mut polled = PollFd {
        fd: number,
        events: POLLIN,
        revents: 0,
    };
    // The kernel writes to it how much is left, so an interruption does not begin it again.
    let mut left = [
        u64::from(milliseconds / 1000),
        u64::from(milliseconds % 1000) * 1_000_000,
    ];
    let time = match milliseconds {
        0 => 0,
        _ => address_mut(&mut left),
    };
    loop {
        match call(nr::PPOLL, [address_mut(&mut polled), 1, time, 0, 0]) {
            Err(Errno::EINTR) => {}
            other => return other.map(|ready| ready != 0),
        }
    }
}

/// Whether the other end of a socket is closed, without waiting.
pub(crate) fn peer_is_gone(socket: i32) -> Result<bool, Errno> {
    const POLLHUP: i16 = 0x10;
    let mut polled = PollFd {
        fd: socket,
        events: 0,
        revents: 0,
    };
    // The kernel may write to it how much is left.
    let mut at_once = [0u64; 2];
    call(
        nr::PPOLL,
        [address_mut(&mut polled), 1, address_mut(&mut at_once), 0, 0],
    )?;
    Ok(polled.revents & POLLHUP != 0)
}

/// `struct signalfd_siginfo`, of which one field is read.
#[repr(C)]
pub(super) struct SignalInfo {
    pub(super) signal: u32,
    pub(super) rest: [u8; 124],
}

/// Reads one signal's number from a signal descriptor.
pub(crate) fn read_signal(signals: i32) -> Result<i32, Errno> {
    let mut info = SignalInfo {
        signal: 0,
        rest: [0; 124],
    };
    call(
        nr::READ,
        [fd(signals), address_mut(&mut info), size_of::<SignalInfo>()],
    )?;
    Ok(info.signal as i32)
}
