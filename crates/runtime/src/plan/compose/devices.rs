//! Device files: the default ones in a fresh `/dev`, and those of `linux.devices`.

use std::path::Path;

use crabcan_caps::Capability;
use crabcan_init::Step;
use crabcan_ns::Namespace;
use crabcan_rootfs::device::{self, DEFAULT, LINKS, Node, NodeKind};
use crabcan_rootfs::{Bind, MountAttributes, Target};

use super::{Composer, check_absolute, rootfs};
use crate::Error;
use crate::plan::c_string;
use crate::spec::Device;

/// Read-only, since chmod(2) and chown(2) would reach the host's own node.
const BOUND: MountAttributes = MountAttributes::RDONLY
    .with(MountAttributes::NOSUID)
    .with(MountAttributes::NOEXEC);

impl Composer<'_> {
    pub(super) fn devices(&mut self) -> Result<(), Error> {
        let wanted = &self.spec.linux.devices;
        if self.has_fresh_dev() {
            for device in DEFAULT {
                let node = Node::from(device);
                if !wanted.iter().any(|other| other.path == node.path) {
                    self.device("/dev", &node)?;
                }
            }
            for (text, name) in LINKS {
                let path = Path::new("/dev").join(name);
                if wanted.iter().any(|other| other.path == path) {
                    continue;
                }
                self.push(&Step::Symlink {
                    text: &c_string("/dev", text)?,
                    target: &c_string("/dev", path)?,
                })?;
            }
        }
        for (index, device) in wanted.iter().enumerate() {
            let field = format!("linux.devices[{index}]");
            self.about(field.clone());
            let node = node(&field, device)?;
            self.device(&field, &node)?;
        }
        Ok(())
    }

    /// Whether `/dev` is a file system of the container's own, in which nothing is yet.
    pub(super) fn has_fresh_dev(&self) -> bool {
        let dev = Path::new("/dev");
        let mount = self.spec.mounts.iter().rev();
        let mut mount = mount.filter(|mount| Path::new("/").join(&mount.destination) == dev);
        mount.next().is_some_and(|mount| mount.fstype == "tmpfs")
    }

    /// Makes it, or binds the host's where the kernel lets nobody make any.
    fn device(&mut self, field: &str, node: &Node) -> Result<(), Error> {
        let may_make = self.host.privileged && self.host.has(&[Capability::Mknod]);
        let made = may_make && !self.spec.linux.separates(Namespace::User);
        if made || node.kind == NodeKind::Fifo {
            return node.push(&mut self.writer).map_err(rootfs(field));
        }
        if node.kind == NodeKind::Block {
            let reason = "\"b\": a user namespace can have no block device";
            return Err(Error::invalid(format!("{field}.type"), reason));
        }
        let target = Target::new(&node.path).create().no_symlinks();
        let mut bind = Bind::new(&node.path, target)
            .without_submounts()
            .attributes(BOUND);
        let (name, major, minor) = ("", node.major, node.minor);
        bind.device = device::Device { name, major, minor }.number();
        bind.push(&mut self.writer).map_err(rootfs(field))
    }
}

fn node(field: &str, device: &Device) -> Result<Node, Error> {
    let field = |name: &str| format!("{field}.{name}");
    check_absolute(&field("path"), &device.path)?;
    let (kind, type_bits) = match device.kind.as_str() {
        "c" | "u" => (NodeKind::Character, 0o020_000),
        "b" => (NodeKind::Block, 0o060_000),
        "p" => (NodeKind::Fifo, 0o010_000),
        other => {
            let reason = format!("\"{}\" is no kind of device", other.escape_debug());
            return Err(Error::invalid(field("type"), reason));
        }
    };
    let permissions = device.file_mode.unwrap_or(0o666);
    // A mode may come with the bits of the file's type, as stat(2) gives it.
    if permissions & !0o7777 & !type_bits != 0 {
        let reason = format!("0{permissions:o} are no permissions");
        return Err(Error::invalid(field("fileMode"), reason));
    }
    let number = |name: &str, number: Option<i64>, bits: u32| {
        if kind == NodeKind::Fifo {
            return Ok(0);
        }
        let number = number.ok_or_else(|| Error::invalid(field(name), "is missing"))?;
        let valid = u32::try_from(number)
            .ok()
            .filter(|number| *number < 1 << bits);
        valid.ok_or_else(|| Error::invalid(field(name), format!("{number} is no device number")))
    };
    Ok(Node {
        path: device.path.clone(),
        kind,
        major: number("major", device.major, 12)?,
        minor: number("minor", device.minor, 20)?,
        permissions: permissions & 0o7777,
        uid: device.uid.unwrap_or(0),
        gid: device.gid.unwrap_or(0),
    })
}
