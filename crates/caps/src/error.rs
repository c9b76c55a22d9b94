//! What can go wrong.

use std::io;

use crate::CapabilitySet;

/// An error of this crate: which operation failed, and on what.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that is no capability's.
    #[error("unknown capability {name:?}")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The kernel refuses ambient capabilities that are not both permitted and inheritable.
    #[error("ambient but not both permitted and inheritable: {surplus}")]
    Ambient {
        /// The offending capabilities.
        surplus: CapabilitySet,
    },
    /// The kernel refuses effective capabilities that are not permitted.
    #[error("effective but not permitted: {surplus}")]
    Effective {
        /// The offending capabilities.
        surplus: CapabilitySet,
    },
    /// The bounding set could not be reduced.
    #[error("reduce the bounding set to {keep}")]
    Bound {
        /// What should have remained.
        keep: CapabilitySet,
        /// EPERM without `CAP_SETPCAP`.
        source: io::Error,
    },
    /// The other four sets could not be set.
    #[error("set the capabilities (effective {effective}, permitted {permitted})")]
    Set {
        /// The effective set that was asked for.
        effective: CapabilitySet,
        /// The permitted set that was asked for.
        permitted: CapabilitySet,
        /// EPERM for what the thread does not have itself.
        source: io::Error,
    },
    /// A process' sets could not be read.
    #[error("read the capabilities in {path}")]
    Read {
        /// The file.
        path: String,
        /// ENOENT when there is no such process, `InvalidData` when a line is missing.
        source: io::Error,
    },
}
