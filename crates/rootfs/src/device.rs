//! A `/dev` of the container's own.

use std::path::{Path, PathBuf};

use crabcan_init::{PlanWriter, Step};

use crate::mount::{Bind, NewMount, Target, c_path};
use crate::{Error, MountAttributes};

/// A character device that every container has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name in `/dev`.
    pub name: &'static str,
    /// The major number, of the driver.
    pub major: u32,
    /// The minor number, of the device.
    pub minor: u32,
}

impl Device {
    const fn new(name: &'static str, major: u32, minor: u32) -> Self {
        Self { name, major, minor }
    }

    /// The number as makedev(3) composes it.
    #[must_use]
    pub const fn number(self) -> u64 {
        number(self.major, self.minor)
    }
}

const fn number(major: u32, minor: u32) -> u64 {
    let (major, minor) = (major as u64, minor as u64);
    (major & 0xfff) << 8 | minor & 0xff | (minor & !0xff) << 12 | (major & !0xfff) << 32
}

/// The devices that the runtime specification asks for.
pub const DEFAULT: [Device; 6] = [
    Device::new("null", 1, 3),
    Device::new("zero", 1, 5),
    Device::new("full", 1, 7),
    Device::new("random", 1, 8),
    Device::new("urandom", 1, 9),
    Device::new("tty", 5, 0),
];

/// The links in `/dev` that programs expect: what each says, and its name in `/dev`.
pub const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// The host's device behind a bind. Read-only stops chmod(2) and chown(2), which would reach the
/// host's own node; reading from and writing to the device go on. Without `NODEV`, of course.
const DEVICE_ATTRIBUTES: MountAttributes = MountAttributes::RDONLY
    .with(MountAttributes::NOSUID)
    .with(MountAttributes::NOEXEC);

/// The devices are mounts of their own, so nothing in the tmpfs itself need be a device.
const DEV_ATTRIBUTES: MountAttributes = MountAttributes::NOSUID
    .with(MountAttributes::NODEV)
    .with(MountAttributes::NOEXEC);

/// What the container's `/dev` is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DevOptions {
    /// Where it is.
    pub target: PathBuf,
    /// The group of new terminals: 5 where it is mapped, else none.
    pub tty_gid: Option<u32>,
    /// Whether there are message queues: only in an IPC namespace of the container's own.
    pub mqueue: bool,
    /// The size of `/dev/shm` in bytes; half of the memory when not said.
    pub shm_size_bytes: Option<u64>,
    /// Whether devices are nodes of the container's own, not binds of the host's: outside a user
    /// namespace only.
    pub nodes: bool,
}

impl Default for DevOptions {
    fn default() -> Self {
        Self {
            target: "/dev".into(),
            tty_gid: None,
            mqueue: true,
            shm_size_bytes: None,
            nodes: false,
        }
    }
}

/// Appends the steps that make the default `/dev`: a tmpfs with the devices, the links, terminals,
/// shared memory and message queues.
///
/// The devices are the host's own, bound, since a user namespace can't make any; init refuses a
/// source that has not the number of [`DEFAULT`]. There is no `/dev/core`: `/proc/kcore` is masked.
///
/// # Errors
/// [`Error::TooLong`].
pub fn push_dev(plan: &mut PlanWriter, options: &DevOptions) -> Result<(), Error> {
    let at = |name: &str| options.target.join(name);
    let place = |name: &str| Target::new(at(name)).create().no_symlinks();
    let whole = Target::new(&options.target).create().no_symlinks();
    let attributes = match options.nodes {
        true => DEV_ATTRIBUTES.without(MountAttributes::NODEV),
        false => DEV_ATTRIBUTES,
    };
    NewMount::tmpfs(whole, ["mode=755", "size=65536k"])
        .attributes(attributes)
        .push(plan)?;
    for device in DEFAULT {
        match options.nodes {
            true => Node::at(device, &options.target).push(plan)?,
            false => push_device(plan, device, &options.target)?,
        }
    }
    for (text, name) in LINKS {
        plan.push(&Step::Symlink {
            text: &c_path(Path::new(text))?,
            target: &c_path(&at(name))?,
        })?;
    }
    NewMount::devpts(place("pts"), options.tty_gid).push(plan)?;
    let size = options.shm_size_bytes.map(|size| format!("size={size}"));
    NewMount::tmpfs(place("shm"), ["mode=1777"])
        .source("shm")
        .options(size)
        .attributes(DEV_ATTRIBUTES)
        .push(plan)?;
    if options.mqueue {
        NewMount::mqueue(place("mqueue")).push(plan)?;
    }
    Ok(())
}

/// What a node in the file system stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeKind {
    /// A character device: `c`, or `u` for an unbuffered one, which Linux does not tell apart.
    Character,
    /// A block device: `b`.
    Block,
    /// A named pipe: `p`.
    Fifo,
}

/// A device node or named pipe to be made beneath the root (mknod(2)). One that is there already
/// is left as it is if it is the same, and is an error (EEXIST) if it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its path beneath the root.
    pub path: PathBuf,
    /// What it stands for.
    pub kind: NodeKind,
    /// The major number; none for a FIFO.
    pub major: u32,
    /// The minor number; none for a FIFO.
    pub minor: u32,
    /// The permission bits.
    pub permissions: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl From<Device> for Node {
    /// A default device: anybody may use it.
    fn from(device: Device) -> Self {
        Self::at(device, Path::new("/dev"))
    }
}

impl Node {
    /// A default device in this directory.
    fn at(device: Device, directory: &Path) -> Self {
        Self {
            path: directory.join(device.name),
            kind: NodeKind::Character,
            major: device.major,
            minor: device.minor,
            permissions: 0o666,
            uid: 0,
            gid: 0,
        }
    }

    /// Appends the step that makes it. It needs `CAP_MKNOD` outside any user namespace, but for a
    /// FIFO.
    ///
    /// # Errors
    /// [`Error::Nul`] and [`Error::TooLong`].
    pub fn push(&self, plan: &mut PlanWriter) -> Result<(), Error> {
        let (kind, device) = match self.kind {
            NodeKind::Character => (0o020_000, number(self.major, self.minor)),
            NodeKind::Block => (0o060_000, number(self.major, self.minor)),
            NodeKind::Fifo => (0o010_000, 0),
        };
        plan.push(&Step::MakeNode {
            target: &c_path(&self.path)?,
            mode: kind | self.permissions & 0o7777,
            device,
            uid: self.uid,
            gid: self.gid,
        })?;
        Ok(())
    }
}

fn push_device(plan: &mut PlanWriter, device: Device, dev: &Path) -> Result<(), Error> {
    let path = Path::new("/dev").join(device.name);
    let target = Target::new(dev.join(device.name)).create().no_symlinks();
    let mut bind = Bind::new(path, target)
        .without_submounts()
        .attributes(DEVICE_ATTRIBUTES);
    bind.device = device.number();
    bind.push(plan)
}
