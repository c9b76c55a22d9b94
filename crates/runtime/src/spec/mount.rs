//! `mounts` of the specification.

use std::ffi::OsString;
use std::path::PathBuf;

/// One mount.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Where, in the container.
    pub destination: PathBuf,
    /// The file system's type, as in `/proc/filesystems`; it says nothing about a bind mount.
    pub fstype: String,
    /// A path of the host for a bind mount, otherwise what mountinfo says.
    pub source: OsString,
    /// The options, as in the specification.
    pub options: Vec<String>,
    /// A missing destination is made, with the directories above it.
    pub create: bool,
    /// The destination must not be reached through a symbolic link.
    pub no_symlinks: bool,
}
