//! What can go wrong.

use std::io;
use std::path::PathBuf;

use crabcan_init::TooLong;

/// An error of this crate: which operation failed, and on what.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The root could not be opened.
    #[error("open the root {}", path.display())]
    OpenRoot {
        /// The directory.
        path: PathBuf,
        /// ENOENT, EACCES, as open(2) says.
        source: io::Error,
    },
    /// The root is a file (ENOTDIR).
    #[error("the root {} is not a directory", path.display())]
    NotDirectory {
        /// The path.
        path: PathBuf,
    },
    /// A path could not be resolved beneath the root.
    #[error("resolve {} beneath {}", path.display(), root.display())]
    Resolve {
        /// The path.
        path: PathBuf,
        /// The root.
        root: PathBuf,
        /// ENOENT, ENOTDIR, EACCES, ELOOP (also for a magic link), as openat2(2) says.
        source: io::Error,
    },
    /// Something could not be made beneath the root.
    #[error("make {what} {} beneath {}", path.display(), root.display())]
    Make {
        /// `the directory`, `the file` or `the link`.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// The root.
        root: PathBuf,
        /// As mkdirat(2), mknodat(2), symlinkat(2) and openat2(2) say.
        source: io::Error,
    },
    /// A string that the kernel can't take.
    #[error("a NUL byte in {text:?}")]
    Nul {
        /// The string, with the offending byte shown.
        text: String,
    },
    /// A path that must be absolute is not.
    #[error("{} is not an absolute path", path.display())]
    NotAbsolute {
        /// The path.
        path: PathBuf,
    },
    /// The plan is full.
    #[error("the plan is too long for another step")]
    TooLong,
    /// What is mounted at a path could not be copied.
    #[error("copy the mount of {}", path.display())]
    OpenTree {
        /// The path.
        path: PathBuf,
        /// EPERM without `CAP_SYS_ADMIN`, else as open_tree(2) says.
        source: io::Error,
    },
    /// Attributes of a detached mount could not be set.
    #[error("set {attributes} on the mount of {}", path.display())]
    SetAttributes {
        /// The path.
        path: PathBuf,
        /// The attributes in words.
        attributes: String,
        /// As mount_setattr(2) says; ENOSYS before Linux 5.12.
        source: io::Error,
    },
    /// A detached mount could not be attached.
    #[error("mount the root at {}", path.display())]
    Attach {
        /// The path.
        path: PathBuf,
        /// EPERM without `CAP_SYS_ADMIN`, else as move_mount(2) says.
        source: io::Error,
    },
    /// A mount could not be taken away.
    #[error("unmount {}", path.display())]
    Detach {
        /// The path.
        path: PathBuf,
        /// EPERM without `CAP_SYS_ADMIN`, else as umount2(2) says.
        source: io::Error,
    },
    /// Something is mounted over a mount that is to be taken away.
    #[error("something else is mounted over {}: unmount that first", path.display())]
    Covered {
        /// The path.
        path: PathBuf,
    },
    /// The kernel does not tell which mount is behind a descriptor.
    #[error("ask for the id of a mount")]
    MountId {
        /// ENOSYS before Linux 5.8, else as statx(2) says.
        source: io::Error,
    },
    /// The ids of a detached mount could not be mapped.
    #[error("map the ids of the mount of {}", path.display())]
    IdMap {
        /// The path.
        path: PathBuf,
        /// EPERM without `CAP_SYS_ADMIN` where the file system was mounted, ENOSYS before Linux
        /// 5.12, else as mount_setattr(2) says.
        source: io::Error,
    },
    /// Mounts could not be locked.
    #[error("{doing} the mounts that are to be locked")]
    Passage {
        /// What was being done.
        doing: &'static str,
        /// EPERM without `CAP_SYS_ADMIN`, else as fsopen(2), move_mount(2), open_tree(2) and
        /// umount2(2) say.
        source: io::Error,
    },
    /// A program could not be put on a tmpfs of its own.
    #[error("put {name} on a tmpfs of its own")]
    ProgramFile {
        /// The name of its file.
        name: &'static str,
        /// EPERM without `CAP_SYS_ADMIN`, ENOSYS before Linux 5.12, else as fsopen(2) and write(2)
        /// say.
        source: io::Error,
    },
    /// The file system can't map ids.
    #[error("the file system {fstype} of {} does not support id-mapped mounts", path.display())]
    IdMapUnsupported {
        /// Where it is mounted.
        path: PathBuf,
        /// Its type, as in mountinfo.
        fstype: String,
        /// EINVAL, as mount_setattr(2) says.
        source: io::Error,
    },
}

impl From<TooLong> for Error {
    fn from(_: TooLong) -> Self {
        Self::TooLong
    }
}
