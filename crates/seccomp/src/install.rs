//! Putting a filter on the calling thread.

use std::io;
use std::os::fd::OwnedFd;

use crate::{Error, Filter, Flags, sys};

/// With a listener, the thread that could not take the filter over is an errno, not a number.
const TSYNC_ESRCH: u32 = libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH as u32;
const NEW_LISTENER: u32 = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as u32;

impl Filter {
    /// Installs the filter on the calling thread, for good: the programs it executes and the
    /// processes it makes have it too. See seccomp(2). Linux 3.17.
    ///
    /// Order matters: what a thread does afterwards is filtered. Drop capabilities before, and
    /// allow what is left to do (`execve` at least).
    ///
    /// # Errors
    /// [`Error::ListenerNeeded`] when an action of the profile asks a listener.
    /// [`Error::Install`]: EACCES without no_new_privs and `CAP_SYS_ADMIN`, EINVAL for a flag or an
    /// instruction that the kernel does not know, ENOMEM when all filters of the thread together
    /// become too long. [`Error::Synchronize`] with [`Flags::TSYNC`].
    pub fn install(&self) -> Result<(), Error> {
        if self.needs_listener() {
            return Err(Error::ListenerNeeded);
        }
        // Refused by the kernel where nobody listens.
        let flags = self.flags().bits() & !Flags::WAIT_KILLABLE_RECV.bits();
        match sys::set_filter(self.instructions(), flags) {
            Ok(0) => Ok(()),
            Ok(thread) => Err(Error::Synchronize { thread }),
            Err(source) => Err(refused(source)),
        }
    }

    /// Installs the filter and hands out the listener that [`Action::Notify`](crate::Action::Notify)
    /// asks, see seccomp_unotify(2). Linux 5.0, with [`Flags::TSYNC`] 5.7.
    ///
    /// The thread must not make a call that asks until somebody listens: it would wait for itself.
    ///
    /// # Errors
    /// As [`Filter::install`]; EBUSY when a filter of the thread has a listener already, ESRCH when
    /// another thread could not take the filter over.
    pub fn install_with_listener(&self) -> Result<OwnedFd, Error> {
        let mut flags = self.flags().bits() | NEW_LISTENER;
        if self.flags().contains(Flags::TSYNC) {
            flags |= TSYNC_ESRCH;
        }
        let listener = sys::set_filter(self.instructions(), flags).map_err(refused)?;
        sys::own(listener).map_err(refused)
    }
}

/// Sets the no_new_privs bit of the calling thread, for good: programs that it executes gain
/// nothing by set-user-ID bits or file capabilities. See prctl(2). Linux 3.5.
///
/// # Errors
/// [`Error::NoNewPrivileges`] on older kernels.
pub fn no_new_privileges() -> Result<(), Error> {
    sys::no_new_privileges().map_err(|source| Error::NoNewPrivileges { source })
}

fn refused(source: io::Error) -> Error {
    let cause = match source.raw_os_error() {
        Some(libc::EACCES) => "needs no_new_privs or CAP_SYS_ADMIN",
        Some(libc::EINVAL) => {
            "the kernel does not know a flag or an instruction, or another mode of seccomp is on"
        }
        Some(libc::EBUSY) => "the thread has a filter with a listener already",
        Some(libc::ENOMEM) => "no memory, or the thread's filters are too long together",
        Some(libc::ENOSYS) => "the kernel was built without filters",
        Some(libc::ESRCH) => "another thread has a filter of its own that this one lacks",
        _ => "the kernel refused it",
    };
    Error::Install { cause, source }
}
