//! The other end of a filter that asks.

use std::io;
use std::os::fd::OwnedFd;

use crate::{Architecture, Error, sys};

/// A system call that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The kernel's number of this question.
    pub id: u64,
    /// Which thread asks, as the listener's user sees it; 0 where it can't.
    pub thread: u32,
    /// `AUDIT_ARCH_*`, see [`Architecture::of_call`].
    pub audit: u32,
    /// The call's number there.
    pub number: u32,
    /// What it is called with. Behind a pointer is what the thread, or another one, can change.
    pub arguments: [u64; 6],
}

impl Call {
    /// Of which architecture it is.
    #[must_use]
    pub fn architecture(&self) -> Option<Architecture> {
        Architecture::of_call(self.audit, self.number)
    }
}

/// Who is asked by [`Action::Notify`](crate::Action::Notify): the descriptor that
/// [`Filter::install_with_listener`](crate::Filter::install_with_listener) hands out, see
/// seccomp_unotify(2).
///
/// Every call that asks waits for its answer. When the listener is dropped, each gets ENOSYS.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl From<OwnedFd> for Listener {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl Listener {
    /// Waits for the next call, and gives `None` when nobody has the filter any more. Linux 5.0; the
    /// end is told from 5.9 on.
    ///
    /// # Errors
    /// [`Error::Listener`]: EINVAL for a descriptor that is no listener.
    pub fn receive(&self) -> Result<Option<Call>, Error> {
        let failed = |source| Error::Listener {
            doing: "wait at",
            source,
        };
        while sys::has_calls(&self.0).map_err(failed)? {
            match sys::next_call(&self.0) {
                // Whoever asked was killed meanwhile.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map(Some).map_err(failed),
            }
        }
        Ok(None)
    }

    /// Whether a call still waits: then its thread is still the one with that number, and what was
    /// read of it in `/proc` meanwhile is its own.
    #[must_use]
    pub fn is_waiting(&self, call: &Call) -> bool {
        sys::is_waiting(&self.0, call.id).is_ok()
    }

    /// Has the kernel make the call as if nobody had been asked. It is no decision about what is
    /// behind its pointers: that can change until it is made. Linux 5.5.
    ///
    /// # Errors
    /// [`Error::Listener`]: EINVAL before Linux 5.5. A call that does not wait any more is none.
    pub fn proceed(&self, call: &Call) -> Result<(), Error> {
        match sys::let_through(&self.0, call.id) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            other => other.map_err(|source| Error::Listener {
                doing: "answer by",
                source,
            }),
        }
    }
}
