//! Device files: the default ones in a fresh `/dev`, and those of `linux.devices`.

use std::path::Path;

use crabcan_caps::Capability;
use crabcan_init::Step;
use crabcan_ns::Namespace;
use crabcan_rootfs::device::{DEFAULT, LINKS};
use crabcan_rootfs::{Bind, MountAttributes, Target};

use super::{Composer, check_absolute, rootfs};
use crate::Error;
use crate::plan::c_string;
use crate::spec::Device;

const S_IFIFO: u32 = 0o010_000;
const S_IFCHR: u32 = 0o020_000;
const S_IFBLK: u32 = 0o060_000;

/// Read-only, since chmod(2) and chown(2) would reach the host's own node.
const BOUND: MountAttributes = MountAttributes::RDONLY
    .with(MountAttributes::NOSUID)
    .with(MountAttributes::NOEXEC);

/// A device as the kernel has it.
struct Node<'a> {
    path: &'a Path,
    mode: u32,
    number: u64,
    uid: u32,
    gid: u32,
}

impl Composer<'_> {
    pub(super) fn devices(&mut self) -> Result<(), Error> {
        let wanted = &self.spec.linux.devices;
        if self.has_fresh_dev() {
            for device in DEFAULT {
                let path = Path::new("/dev").join(device.name);
                if wanted.iter().any(|other| other.path == path) {
                    continue;
                }
                self.device(
                    "/dev",
                    &Node {
                        path: &path,
                        mode: S_IFCHR | 0o666,
                        number: device.number(),
                        uid: 0,
                        gid: 0,
                    },
                )?;
            }
            for (text, path) in LINKS {
                self.push(&Step::Symlink {
                    text: &c_string("/dev", text)?,
                    target: &c_string("/dev", path)?,
                })?;
            }
        }
        for (index, device) in wanted.iter().enumerate() {
            let field = format!("linux.devices[{index}]");
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
    fn device(&mut self, field: &str, node: &Node<'_>) -> Result<(), Error> {
        let made =
            !self.spec.linux.separates(Namespace::User) && self.host.has(&[Capability::Mknod]);
        if made || node.mode & S_IFIFO == S_IFIFO && node.number == 0 {
            return self.push(&Step::MakeNode {
                target: &c_string(&format!("{field}.path"), node.path)?,
                mode: node.mode,
                device: node.number,
                uid: node.uid,
                gid: node.gid,
            });
        }
        if node.mode & S_IFBLK == S_IFBLK {
            let reason = "\"b\": a user namespace can have no block device";
            return Err(Error::invalid(format!("{field}.type"), reason));
        }
        let target = Target::new(node.path).create().no_symlinks();
        let mut bind = Bind::new(node.path, target)
            .without_submounts()
            .attributes(BOUND);
        bind.device = node.number;
        bind.push(&mut self.writer).map_err(rootfs(field))
    }
}

fn node<'a>(field: &str, device: &'a Device) -> Result<Node<'a>, Error> {
    let field = |name: &str| format!("{field}.{name}");
    check_absolute(&field("path"), &device.path)?;
    let kind = match device.kind.as_str() {
        "c" | "u" => S_IFCHR,
        "b" => S_IFBLK,
        "p" => S_IFIFO,
        other => {
            let reason = format!("\"{}\" is no kind of device", other.escape_debug());
            return Err(Error::invalid(field("type"), reason));
        }
    };
    let permissions = device.file_mode.unwrap_or(0o666);
    // A mode may come with the bits of the file's type, as stat(2) gives it.
    if permissions & !0o7777 & !kind != 0 {
        let reason = format!("0{permissions:o} are no permissions");
        return Err(Error::invalid(field("fileMode"), reason));
    }
    let number = |name: &str, number: Option<i64>, bits: u32| {
        let number = number.ok_or_else(|| Error::invalid(field(name), "is missing"))?;
        let valid = u64::try_from(number)
            .ok()
            .filter(|number| *number < 1 << bits);
        valid.ok_or_else(|| Error::invalid(field(name), format!("{number} is no device number")))
    };
    let number = match kind {
        S_IFIFO => 0,
        _ => {
            let major = number("major", device.major, 12)?;
            let minor = number("minor", device.minor, 20)?;
            crabcan_rootfs::device::number(major, minor)
        }
    };
    Ok(Node {
        path: &device.path,
        mode: kind | permissions & 0o7777,
        number,
        uid: device.uid.unwrap_or(0),
        gid: device.gid.unwrap_or(0),
    })
}
