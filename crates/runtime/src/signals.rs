//! Signals of a program in the foreground, to be handed on to its container.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::{Error, sys};

/// The signals that end or steer a command, besides those of real time. Stop signals are left alone:
/// they stop the caller.
const HANDED_ON: [Signal; 8] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGWINCH,
];

/// Signals that arrive at a descriptor instead of acting, until this is dropped.
///
/// The mask is the calling thread's: in a program with several threads they must be blocked in all.
#[derive(Debug)]
#[must_use]
pub struct Signals {
    descriptor: SignalFd,
    before: SigSet,
}

impl Signals {
    /// Blocks the signals in the calling thread, but for those that the caller was told to ignore
    /// (`nohup`); those of real time are taken in any case. See signalfd(2). An ignored SIGCHLD gets its default action, so that the kernel
    /// keeps how the container ended.
    ///
    /// # Errors
    /// [`Error::Wait`] when the kernel refuses a descriptor (EMFILE).
    pub fn block() -> Result<Self, Error> {
        sys::keep_ends_of_children();
        let failed = |errno: nix::errno::Errno| Error::Wait {
            doing: "take the signals",
            source: errno.into(),
        };
        let mut set = SigSet::empty();
        for signal in HANDED_ON {
            if !sys::is_ignored(signal as i32) {
                set.add(signal);
            }
        }
        let set = sys::with_real_time_signals(set);
        let mut before = SigSet::empty();
        pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&set), Some(&mut before)).map_err(failed)?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        let descriptor = SignalFd::with_flags(&set, flags).map_err(failed)?;
        Ok(Self { descriptor, before })
    }

    /// The next signal that has arrived, if any.
    pub(crate) fn next(&self) -> Result<Option<i32>, Error> {
        let read = self.descriptor.read_signal();
        let info = read.map_err(|errno| Error::Wait {
            doing: "read a signal",
            source: io::Error::from(errno),
        })?;
        Ok(info.and_then(|info| i32::try_from(info.ssi_signo).ok()))
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        if let Err(errno) = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&self.before), None) {
            log::warn!("restore the signal mask: {errno}");
        }
    }
}
