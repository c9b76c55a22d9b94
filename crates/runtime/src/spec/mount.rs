//! `mounts` of the specification.

use std::path::PathBuf;

use super::IdMapping;
use super::property::properties;

properties! {
    /// One mount.
    pub struct Mount {
        /// Where, in the container.
        "destination" => destination: PathBuf,
        /// The file system's type, as in `/proc/filesystems`; it says nothing about a bind mount.
        "type" => fstype: String,
        /// A path of the host for a bind mount, otherwise what mountinfo says.
        "source" => source: PathBuf,
        /// The options, as in the specification. `bind` and `rbind` make it a bind mount.
        "options" => options: Vec<String>,
        /// The user ids with which an `idmap` mount is seen; the container's own when empty.
        "uidMappings" => uid_mappings: Vec<IdMapping>,
        /// The group ids with which an `idmap` mount is seen; the container's own when empty.
        "gidMappings" => gid_mappings: Vec<IdMapping>,
        plus
        /// What a missing destination of a bind is made as before the first bind of a row, so that none
        /// is made in another's source. The specification has no word for it: without it a missing
        /// destination is made in its turn, like what is mounted there.
        create: Option<MountPoint>,
    }
}

impl Mount {
    /// Whether it shows what is there already, or changes how that is shown.
    pub(crate) fn is_bind(&self) -> bool {
        let mut words = self.options.iter();
        words.any(|word| word == "bind" || word == "rbind")
    }
}

/// What something is mounted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountPoint {
    /// A directory.
    Directory,
    /// An empty file.
    File,
}
