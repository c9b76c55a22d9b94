//! What can go wrong.

use std::io;

/// An error of this crate: what was being done, and to what.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused something.
    #[error("{doing}")]
    Io {
        /// What, with its path or its name in the layer.
        doing: String,
        /// ENOENT, EACCES, ENOSPC, … as the call says; no errno when the data ends too soon or can't
        /// be decompressed.
        source: io::Error,
    },
    /// Something in the image is wrong or hostile.
    #[error("{what}: {reason}")]
    Invalid {
        /// The file and field, or the name in the layer.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The contents are not those that the digest promises.
    #[error("{what}: has the digest {found}, and not {expected}")]
    Digest {
        /// The blob, or the contents of a layer.
        what: String,
        /// What the image says.
        expected: String,
        /// What the contents have.
        found: String,
    },
    /// The image needs more than it may.
    #[error("{what}: more than {limit} are not unpacked")]
    TooMuch {
        /// Of what.
        what: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// A layer could not be unpacked.
    #[error("unpack the layer {digest}")]
    Layer {
        /// Of its contents.
        digest: String,
        /// Why.
        source: Box<Error>,
    },
}

impl Error {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// The same for what `rustix` says.
    pub(crate) fn errno(doing: impl Into<String>) -> impl FnOnce(rustix::io::Errno) -> Self {
        let failed = Self::io(doing);
        move |errno| failed(errno.into())
    }

    pub(crate) fn invalid(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid {
            what: what.into(),
            reason: reason.into(),
        }
    }
}
