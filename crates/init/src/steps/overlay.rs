//! Directories laid over one another.

use core::ffi::CStr;

use super::Context;
use super::decimal::{DIGITS, decimal};
use super::mount::{attach, new_mount};
use super::root::cover_root;
use crate::errno::Errno;
use crate::format::Strings;
use crate::step::{Step, TARGET_CREATE};
use crate::sys::{self, AT_FDCWD, Config, Fd};

/// An overlay that is being configured. A detached mount can't be a layer: such layers lie over the
/// root until the overlay has its own copies of them.
struct Layers {
    context: Fd,
    covers: u32,
}

impl Context {
    pub(super) fn overlay(&mut self, step: &Step<'_>) -> Result<(), Errno> {
        let Step::Overlay {
            lowers,
            received,
            upper,
            work,
            private,
            attributes,
            target,
        } = *step
        else {
            return Err(Errno::EINVAL);
        };
        let mut layers = Layers::new()?;
        let tmpfs = match private {
            true => Some(layers.private()?),
            false => None,
        };
        // An older kernel looks layers up by their descriptors' paths when all is known: they stay
        // open until then. It takes one lower layer only.
        let mut last = None;
        let mut changes = None;
        let several = lowers.iter().count() > 1;
        for lower in &lowers {
            let layer = match received {
                true => layers.cover(self.receive_descriptor()?)?,
                false => directory(AT_FDCWD, lower)?,
            };
            lower_layer(&layers.context, &layer, several)?;
            last = Some(layer);
        }
        let (from, upper, work) = match &tmpfs {
            Some(tmpfs) => (tmpfs.0, c"upper", c"work"),
            None => (AT_FDCWD, upper, work),
        };
        if !upper.is_empty() {
            let (upper, work) = (directory(from, upper)?, directory(from, work)?);
            layer(&layers.context, c"upperdir", c"upperdir", &upper)?;
            layer(&layers.context, c"workdir", c"workdir", &work)?;
            changes = Some((upper, work));
        }
        sys::fsconfig(layers.context.0, &Config::Create)?;
        drop((last, changes));
        let mount = layers.finish(attributes)?;
        match target.to_bytes() {
            b"/" => self.take(mount),
            _ => attach(&mount, self.root()?, target, TARGET_CREATE, Some(true)),
        }
    }
}

impl Layers {
    fn new() -> Result<Self, Errno> {
        let context = sys::fsopen(c"overlay")?;
        sys::fsconfig(context.0, &Config::String(c"source", c"overlay"))?;
        // Without it, marks of the overlay are trusted attributes, which a user namespace may not
        // set.
        sys::fsconfig(context.0, &Config::Flag(c"userxattr"))?;
        Ok(Self { context, covers: 0 })
    }

    fn cover(&mut self, mount: Fd) -> Result<Fd, Errno> {
        cover_root(&mount)?;
        self.covers += 1;
        Ok(mount)
    }

    /// A tmpfs for what is changed.
    fn private(&mut self) -> Result<Fd, Errno> {
        let options = Strings::new(b"mode=755\0").ok_or(Errno::EINVAL)?;
        let tmpfs = self.cover(new_mount(c"tmpfs", c"tmpfs", options, None, 0)?)?;
        sys::mkdirat(tmpfs.0, c"upper", 0o755)?;
        sys::mkdirat(tmpfs.0, c"work", 0o755)?;
        Ok(tmpfs)
    }

    /// The overlay. What covers the root must go: the pivot takes away one mount only.
    fn finish(self, attributes: u64) -> Result<Fd, Errno> {
        for _ in 0..self.covers {
            sys::detach(c"/")?;
        }
        sys::fsmount(self.context.0, attributes)
    }
}

fn directory(parent: i32, path: &CStr) -> Result<Fd, Errno> {
    sys::openat(parent, path, sys::O_PATH | sys::O_DIRECTORY)
}

/// Adds a lower layer. Before Linux 6.5 there can be only one that is named so.
fn lower_layer(context: &Fd, lower: &Fd, several: bool) -> Result<(), Errno> {
    let old_key = if several { c"lowerdir+" } else { c"lowerdir" };
    layer(context, c"lowerdir+", old_key, lower)
}

/// Names a layer by its descriptor (Linux 6.13), on older kernels by the path of that descriptor.
///
/// EOPNOTSUPP is what kernels say before 6.5: their overlay takes nothing but strings.
pub(super) fn layer(context: &Fd, key: &CStr, old_key: &CStr, layer: &Fd) -> Result<(), Errno> {
    match sys::fsconfig(context.0, &Config::Descriptor(key, layer.0)) {
        Err(Errno::EINVAL | Errno::EOPNOTSUPP) => {
            let mut buffer = [0; 32];
            let path = descriptor_path(layer.0, &mut buffer)?;
            sys::fsconfig(context.0, &Config::String(old_key, path))
        }
        other => other,
    }
}

/// `/proc/self/fd/N`.
fn descriptor_path(number: i32, buffer: &mut [u8; 32]) -> Result<&CStr, Errno> {
    const PREFIX: &[u8] = b"/proc/self/fd/";
    let mut digits = [0; DIGITS];
    let digits = decimal(number, &mut digits)?.to_bytes_with_nul();
    let (prefix, rest) = buffer.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX);
    rest[..digits.len()].copy_from_slice(digits);
    CStr::from_bytes_until_nul(buffer).map_err(|_| Errno::EINVAL)
}
