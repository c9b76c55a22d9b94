//! What a container is to be, in the words of the OCI runtime specification.
//!
//! Whoever asks for a container fills in a [`Spec`]: the [`Sandbox`](crate::Sandbox) builder does,
//! and `config.json` will. Nothing below it knows where it came from. Names and meanings are the
//! specification's; an absent value is `None`, never zero. What the specification has no word for
//! stands in [`Extension`].

mod linux;
mod mount;
mod process;

use std::path::PathBuf;

use crabcan_rootfs::MountAttributes;
use crabcan_seccomp::Profile;

pub use linux::{Linux, NamespaceRequest};
pub use mount::{Mount, MountPoint};
pub use process::{Process, ResourceLimit, Terminal, User};

/// The whole description of a container.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    /// The program and how it runs.
    pub process: Process,
    /// The root file system.
    pub root: Root,
    /// The host name, in a UTS namespace of the container's own.
    pub hostname: Option<String>,
    /// The mounts, in their order.
    pub mounts: Vec<Mount>,
    /// What only Linux has.
    pub linux: Linux,
    /// What the specification has no word for.
    pub extension: Extension,
}

/// `root` of the specification.
#[derive(Clone, Debug, Default)]
pub struct Root {
    /// The directory that becomes the container's `/`.
    pub path: PathBuf,
    /// Whether nothing in it can be written.
    pub readonly: bool,
}

/// What crabcan can do and the specification does not speak of.
#[derive(Clone, Debug, Default)]
pub struct Extension {
    /// The root is an overlay: what is written goes to a private tmpfs and is thrown away.
    pub overlay_root: bool,
    /// The mounts below the root directory come with it.
    pub recursive_root: bool,
    /// Attributes of the root's mounts.
    pub root_attributes: MountAttributes,
    /// The root belongs to the container's ids, whatever the ids on the disk mean to the host.
    pub idmap_root: bool,
    /// The program runs under init as pid 1, which reaps orphans and reports how it ended.
    pub reaper: bool,
    /// `/dev` is made with the default devices, links and file systems, before the mounts.
    pub default_dev: bool,
    /// The filter of system calls where it is no `linux.seccomp`.
    pub seccomp: Option<Profile>,
    /// The program gets an empty session keyring instead of the caller's, with its keys.
    pub session_keyring: bool,
    /// The kernel kills the program when the thread that made the container ends.
    pub parent_death_signal: Option<i32>,
}
