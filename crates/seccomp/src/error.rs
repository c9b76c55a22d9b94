//! What can go wrong.

use std::io;

use crate::filter::MAX_INSTRUCTIONS;

impl Error {
    /// The error of a profile's field.
    pub(crate) fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Field {
            field: field.into(),
            reason: reason.into(),
        }
    }
}

/// An error of this crate: what is wrong with which rule, or what the kernel refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A word that names no action, operator, architecture or flag.
    #[error("unknown {what} {name:?}")]
    Word {
        /// What it should have named.
        what: &'static str,
        /// The word.
        name: String,
    },
    /// A field of a profile does not make sense.
    #[error("{field}: {reason}")]
    Field {
        /// Which, in the words of the OCI specification whether the profile came from JSON or not:
        /// `defaultAction`, `syscalls[12].args[0].op`.
        field: String,
        /// Why not.
        reason: String,
    },
    /// A profile is not JSON, or not of the right shape.
    #[cfg(feature = "json")]
    #[error("{field}")]
    Json {
        /// Where: `syscalls[12].args[0].value`, or `the document`.
        field: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The profile is for the native architecture, and this machine's is not known.
    #[error("the machine's own architecture has no table of system calls")]
    Native,
    /// The kernel takes programs of up to 4096 instructions.
    #[error(
        "the profile needs {instructions} instructions or more, the kernel takes {MAX_INSTRUCTIONS}"
    )]
    TooLong {
        /// How many it would have been at least.
        instructions: usize,
    },
    /// The filter asks a listener, so it must be installed with one.
    #[error("the filter has the action SCMP_ACT_NOTIFY and needs a listener")]
    ListenerNeeded,
    /// The filter could not be installed.
    #[error("install the filter: {cause}")]
    Install {
        /// What the errno means here.
        cause: &'static str,
        /// EACCES, EINVAL, EBUSY, ENOMEM, EFAULT, ENOSYS of seccomp(2).
        source: io::Error,
    },
    /// Another thread could not take the filter over ([`Flags::TSYNC`](crate::Flags::TSYNC)).
    #[error("install the filter: thread {thread} has a filter of its own that this one lacks")]
    Synchronize {
        /// The thread's number.
        thread: i64,
    },
    /// A listener could not be asked or answered.
    #[error("{doing} the listener of a filter")]
    Listener {
        /// What was to be done.
        doing: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// The no_new_privs bit could not be set.
    #[error("set no_new_privs")]
    NoNewPrivileges {
        /// EINVAL before Linux 3.5.
        source: io::Error,
    },
}
