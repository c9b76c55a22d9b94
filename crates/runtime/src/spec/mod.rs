//! What a container is to be, in the words of the OCI runtime specification.
//!
//! Whoever asks for a container fills in a [`Spec`]: the [`Sandbox`](crate::Sandbox) builder does,
//! and [`Spec::from_json`] reads one from `config.json`. Nothing below it knows where it came from.
//! Names and meanings are the specification's; an absent value is `None`, never zero. Words are
//! taken as they are: [`Plan::new`](crate::Plan::new) decides about them and names the property.
//! What the specification has no word for stands in [`Extension`].

mod example;
mod hooks;
mod json;
mod linux;
mod mount;
mod operation;
mod process;
mod property;
mod resources;

use std::ffi::OsString;
use std::path::PathBuf;

use crabcan_rootfs::MountAttributes;
use crabcan_seccomp::{Profile, builtin};

use self::property::properties;
pub use crate::landlock::Landlock;
use crate::limits::Limits;

pub use hooks::{Hook, Hooks};
pub use json::{MAX_BYTES, MAX_DEPTH};
pub use linux::{
    Device, IdMapping, IntelRdt, Linux, MemoryPolicy, NamespaceRequest, NetDevice, Personality,
    TimeOffset,
};
pub use mount::{Mount, MountPoint};
pub use operation::{Access, Changes, Descriptor, Operation};
pub use process::{
    Capabilities, ConsoleSize, CpuAffinity, IoPriority, Process, ResourceLimit, Scheduler,
    Terminal, User,
};
pub use property::{Foreign, Map};
pub use resources::{
    BlockIo, CpuLimits, DeviceRule, HugepageLimit, InterfacePriority, MemoryLimits, NetworkClasses,
    PidsLimit, RdmaLimit, Resources, ThrottleDevice, WeightDevice,
};

properties! {
    /// The whole description of a container.
    pub struct Spec {
        /// The version of the specification that it is written for.
        "ociVersion" => oci_version: String,
        /// The program and how it runs.
        "process" => process: Process,
        /// The root file system.
        "root" => root: Root,
        /// The host name, in a UTS namespace of the container's own.
        "hostname" => hostname: Option<String>,
        /// The NIS domain name, in a UTS namespace of the container's own.
        "domainname" => domainname: Option<String>,
        /// The mounts, in their order.
        "mounts" => mounts: Vec<Mount>,
        /// Programs that are run at points of its life.
        "hooks" => hooks: Hooks,
        /// What others know about it.
        "annotations" => annotations: Map<String>,
        /// What only Linux has.
        "linux" => linux: Linux,
        /// What a virtual machine has.
        "vm" => vm: Option<Foreign>,
        /// What Windows has.
        "windows" => windows: Option<Foreign>,
        /// What Solaris has.
        "solaris" => solaris: Option<Foreign>,
        /// What z/OS has.
        "zos" => zos: Option<Foreign>,
        /// What FreeBSD has.
        "freebsd" => freebsd: Option<Foreign>,
        plus
        /// What the specification has no word for.
        extension: Extension,
    }

    /// `root` of the specification.
    pub struct Root {
        /// The directory that becomes the container's `/`; relative to the bundle.
        "path" => path: PathBuf,
        /// Whether nothing in it can be written.
        "readonly" => readonly: bool,
    }
}

/// What crabcan can do and the specification does not speak of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extension {
    /// The container's id.
    pub id: String,
    /// The root is entered without pivot_root(2), which the kernel's first file system refuses.
    pub no_pivot: bool,
    /// The directory that relative paths of `root` and of bind mounts are relative to, absolute.
    pub bundle: Option<PathBuf>,
    /// The root is an overlay: what is written goes to a private tmpfs and is thrown away.
    pub overlay_root: bool,
    /// The root is a new tmpfs with these options, and no directory.
    pub empty_root: Option<Vec<String>>,
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
    /// What is done to the root after the mounts, in this order.
    pub operations: Vec<Operation>,
    /// What they bind to be written belongs to the container's ids, whatever the ids on the disk mean
    /// to the host.
    pub idmap_operations: bool,
    /// Files in the container that init holds a shared lock on as long as it lives.
    pub lock_files: Vec<PathBuf>,
    /// Nobody in the container's user namespace can make another one.
    pub no_user_namespaces: bool,
    /// The user namespace that is joined may have no root: init takes the program's ids at once.
    pub joins_without_root: bool,
    /// What the program is told as its name, in place of the path that is executed.
    pub argv0: Option<OsString>,
    /// Where the program starts when it cannot start in `process.cwd`.
    pub other_directories: Vec<PathBuf>,
    /// The filter of system calls where it is no `linux.seccomp`.
    pub seccomp: Option<SandboxFilter>,
    /// Filters of system calls as the kernel takes them (`struct sock_filter`), installed in this
    /// order before any other.
    pub raw_filters: Vec<Vec<u8>>,
    /// The caller maps the ids of the container's user namespace, and not crabcan.
    pub mapped_by_caller: bool,
    /// A user namespace that is entered when the root is there: the program's, not that of its mounts.
    pub late_user_namespace: Option<PathBuf>,
    /// Every call of the program waits until the listener's owner lets it through.
    pub observed: bool,
    /// The program gets an empty session keyring instead of the caller's, with its keys.
    pub session_keyring: bool,
    /// Init waits for the word of another program, in the FIFO that it is handed as descriptor 5.
    pub await_start: bool,
    /// How many descriptors init is handed behind that: the program gets them as 3, 4, ….
    pub preserved_descriptors: u32,
    /// The kernel kills the program when the thread that made the container ends.
    pub parent_death_signal: Option<i32>,
    /// How many files of a cgroup of v1 init writes itself into, where that is made from the
    /// specification's words: see [`Place::legacy_trees`](crabcan_cgroups::Place::legacy_trees).
    pub task_files: usize,
    /// Somebody else, such as systemd, moves init into its cgroup, and init waits for that.
    pub await_cgroup: bool,
    /// The container's cgroup, in crabcan's own words.
    pub limits: Option<Limits>,
    /// Init notes when each step has ended.
    pub timings: bool,
    /// The second wall, if there is one.
    pub landlock: Option<Landlock>,
    /// Bit N is set when the terminal becomes descriptor N; all three when 0.
    pub terminal_descriptors: u32,
}

/// The filter of a sandbox' system calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SandboxFilter {
    /// [`builtin::sandbox`], whose filter need not be compiled.
    Default,
    /// The filter of another profile.
    Of(Profile),
}

impl SandboxFilter {
    /// What it is made of.
    pub fn profile(&self) -> Profile {
        match self {
            Self::Default => builtin::sandbox(),
            Self::Of(profile) => profile.clone(),
        }
    }
}
