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
    /// What a missing destination is made as, with the directories above it.
    pub create: Option<MountPoint>,
    /// The destination must not be reached through a symbolic link.
    pub no_symlinks: bool,
}

/// What something is mounted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountPoint {
    /// A directory.
    Directory,
    /// An empty file.
    File,
}
