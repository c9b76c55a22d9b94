//! What a root file system is put together of, one thing after the other.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

/// One thing that is done to the root file system, in the order in which they are given: what comes
/// later may cover what came before. What is missing of a destination is made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// A file or directory of the host appears, with all that is mounted below it.
    Bind {
        /// The file or directory.
        source: PathBuf,
        /// Where, in the sandbox.
        destination: PathBuf,
        /// What can be done with it.
        access: Access,
    },
    /// An open file or directory of the host appears.
    BindDescriptor {
        /// The file or directory.
        source: Descriptor,
        /// Where, in the sandbox.
        destination: PathBuf,
        /// What can be done with it.
        access: Access,
    },
    /// Directories of the host, one over the other.
    Overlay {
        /// Those that are never changed, the lowest first.
        lowers: Vec<PathBuf>,
        /// Where changes go.
        changes: Changes,
        /// Where, in the sandbox.
        destination: PathBuf,
    },
    /// A new tmpfs.
    Tmpfs {
        /// Where, in the sandbox.
        destination: PathBuf,
        /// Its permission bits; 0755 when not said.
        mode: Option<u32>,
        /// How much it may hold; half of the memory when not said.
        size_bytes: Option<u64>,
    },
    /// A procfs of the sandbox' processes; where it shares the host's processes, the host's procfs.
    Proc {
        /// Where, in the sandbox.
        destination: PathBuf,
    },
    /// A directory with the usual devices, terminals of its own and shared memory.
    Dev {
        /// Where, in the sandbox.
        destination: PathBuf,
    },
    /// The message queues of the sandbox' own IPC namespace.
    MessageQueues {
        /// Where, in the sandbox.
        destination: PathBuf,
    },
    /// A directory, unless there is one.
    Directory {
        /// Where, in the sandbox.
        destination: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A symbolic link; anything there already is an error (EEXIST).
    Symlink {
        /// What it says.
        text: PathBuf,
        /// Where, in the sandbox.
        destination: PathBuf,
    },
    /// A file that is written in the file system that is there.
    File {
        /// What can be read from this goes into it.
        contents: Descriptor,
        /// Where, in the sandbox.
        destination: PathBuf,
        /// The permission bits of a file that was not there.
        mode: u32,
    },
    /// A file of its own that covers what is there.
    BindFile {
        /// What can be read from this goes into it.
        contents: Descriptor,
        /// Where, in the sandbox.
        destination: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What can be done with it.
        access: Access,
    },
    /// Other permission bits.
    Permissions {
        /// What has them, in the sandbox.
        destination: PathBuf,
        /// The bits.
        mode: u32,
    },
    /// A mount becomes read-only; those below it stay as they are.
    ReadOnly {
        /// Where it is mounted, in the sandbox.
        destination: PathBuf,
    },
}

impl Operation {
    /// The place in the sandbox.
    #[must_use]
    pub fn destination(&self) -> &PathBuf {
        match self {
            Self::Bind { destination, .. }
            | Self::BindDescriptor { destination, .. }
            | Self::Overlay { destination, .. }
            | Self::Tmpfs { destination, .. }
            | Self::Proc { destination }
            | Self::Dev { destination }
            | Self::MessageQueues { destination }
            | Self::Directory { destination, .. }
            | Self::Symlink { destination, .. }
            | Self::File { destination, .. }
            | Self::BindFile { destination, .. }
            | Self::Permissions { destination, .. }
            | Self::ReadOnly { destination } => destination,
        }
    }
}

/// Where the changes in an overlay go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// There are none: it can only be read.
    Refused,
    /// To memory, and then away.
    ThrownAway,
    /// To a directory, which belongs to whoever starts the sandbox.
    Kept {
        /// The directory.
        upper: PathBuf,
        /// An empty one on the same mount, for the kernel to work in.
        work: PathBuf,
    },
}

/// What can be done with what is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It can be read, and so can all that is mounted below it.
    ReadOnly,
    /// It can be written.
    Write,
    /// It can be written, and devices in it work.
    Devices,
}

/// A descriptor of the caller's that a plan holds open.
#[derive(Clone, Debug)]
pub struct Descriptor(Arc<OwnedFd>);

impl From<OwnedFd> for Descriptor {
    fn from(descriptor: OwnedFd) -> Self {
        Self(Arc::new(descriptor))
    }
}

impl Descriptor {
    /// The path that what is open has at this moment.
    pub(crate) fn path(&self) -> io::Result<PathBuf> {
        std::fs::read_link(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    /// The numbers of the file system's device and of the inode.
    pub(crate) fn identity(&self) -> io::Result<(u64, u64)> {
        let stat = rustix::fs::fstat(&self.0)?;
        Ok((stat.st_dev, stat.st_ino))
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Two are the same when they are copies of one.
impl PartialEq for Descriptor {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Descriptor {}
