//! Mounts, made detached and moved from descriptor to descriptor.

use core::ffi::CStr;

use super::{Context, beneath};
use crate::errno::Errno;
use crate::format::Strings;
use crate::step::{Step, TARGET_CREATE, TARGET_NO_SYMLINKS, TARGET_OPTIONAL};
use crate::sys::{self, Config, Fd};

const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFCHR: u32 = 0o020_000;
const MOUNT_ATTR_RDONLY: u64 = 0x1;
/// Read-only, no set-user-ID, no devices, no programs: for a directory that hides another.
const MASK_ATTRIBUTES: u64 = 0xf;
/// The same but for devices. Read-only, since chmod(2) would reach the host's own node.
const NULL_ATTRIBUTES: u64 = 0xb;

impl Context {
    pub(super) fn mount_step(&self, step: &Step<'_>) -> Result<(), Errno> {
        let root = self.root()?;
        match *step {
            Step::MountPoint { target, directory } => make_mount_point(root, target, directory),
            Step::Symlink { text, target } => beneath::make_symlink(root, text, target),
            Step::Mount {
                fstype,
                source,
                options,
                attributes,
                target,
                flags,
            } => {
                let mount = new_mount(fstype, source, options, attributes)?;
                attach(&mount, root, target, flags)
            }
            Step::Bind {
                source,
                received,
                recursive,
                attributes,
                target,
                flags,
                device,
            } => {
                let mount = self.tree(source, received, recursive)?;
                check_device(&mount, device)?;
                set_attributes(&mount, attributes, recursive)?;
                attach(&mount, root, target, flags)
            }
            Step::Mask { target } => mask(root, target),
            Step::ReadOnly { target } => read_only(root, target),
            _ => Err(Errno::EINVAL),
        }
    }

    /// A detached copy of what is mounted at a path of the host, or the one that the parent sends.
    pub(super) fn tree(&self, source: &CStr, received: bool, recursive: bool) -> Result<Fd, Errno> {
        if received {
            return self.receive_descriptor();
        }
        let flags = if recursive { sys::AT_RECURSIVE } else { 0 };
        sys::open_tree(sys::AT_FDCWD, source, flags)
    }
}

/// Makes a file system without attaching it anywhere.
pub(super) fn new_mount(
    fstype: &CStr,
    source: &CStr,
    options: Strings<'_>,
    attributes: u64,
) -> Result<Fd, Errno> {
    let context = sys::fsopen(fstype)?;
    sys::fsconfig(context.0, &Config::String(c"source", source))?;
    for option in &options {
        configure(&context, option)?;
    }
    sys::fsconfig(context.0, &Config::Create)?;
    sys::fsmount(context.0, attributes)
}

/// Sets one option, `key=value` or `key`.
fn configure(context: &Fd, option: &CStr) -> Result<(), Errno> {
    let bytes = option.to_bytes_with_nul();
    let Some(equals) = bytes.iter().position(|byte| *byte == b'=') else {
        return sys::fsconfig(context.0, &Config::Flag(option));
    };
    let mut buffer = [0u8; 64];
    let (key, value) = bytes.split_at(equals);
    buffer
        .get_mut(..key.len())
        .ok_or(Errno::ENAMETOOLONG)?
        .copy_from_slice(key);
    let key = CStr::from_bytes_until_nul(&buffer).map_err(|_| Errno::ENAMETOOLONG)?;
    let value = value
        .get(1..)
        .and_then(|value| CStr::from_bytes_with_nul(value).ok());
    sys::fsconfig(context.0, &Config::String(key, value.ok_or(Errno::EINVAL)?))
}

pub(super) fn set_attributes(mount: &Fd, attributes: u64, recursive: bool) -> Result<(), Errno> {
    if attributes == 0 {
        return Ok(());
    }
    sys::mount_setattr(mount.0, attributes, recursive)
}

/// Refuses a file that is not the character device it should be.
fn check_device(file: &Fd, device: u64) -> Result<(), Errno> {
    if device == 0 {
        return Ok(());
    }
    let stat = sys::stat(file.0)?;
    let genuine = stat.mode & S_IFMT == S_IFCHR && stat.device == device;
    if genuine { Ok(()) } else { Err(Errno::ENODEV) }
}

fn is_directory(file: &Fd) -> Result<bool, Errno> {
    Ok(sys::stat(file.0)?.mode & S_IFMT == S_IFDIR)
}

/// Makes what something is to be mounted on; what is there already is left as it is.
fn make_mount_point(root: i32, target: &CStr, directory: bool) -> Result<(), Errno> {
    if directory {
        beneath::make_directory(root, target, 0o755)
    } else {
        beneath::make_file(root, target)
    }
}

/// Attaches a detached mount at a path beneath the root.
fn attach(mount: &Fd, root: i32, target: &CStr, flags: u32) -> Result<(), Errno> {
    let no_symlinks = flags & TARGET_NO_SYMLINKS != 0;
    let place = match beneath::open(root, target, no_symlinks) {
        Err(Errno::ENOENT) if flags & TARGET_CREATE != 0 => {
            make_mount_point(root, target, is_directory(mount)?)?;
            beneath::open(root, target, no_symlinks)?
        }
        Err(Errno::ENOENT) if flags & TARGET_OPTIONAL != 0 => return Ok(()),
        other => other?,
    };
    sys::move_mount(mount.0, place.0, c"")
}

/// Hides a file or a directory. Its type is looked at first: a refused mount is dear.
fn mask(root: i32, target: &CStr) -> Result<(), Errno> {
    let place = match beneath::open(root, target, false) {
        Err(Errno::ENOENT) => return Ok(()),
        other => other?,
    };
    let cover = if is_directory(&place)? {
        let options = Strings::new(b"size=0\0mode=755\0").ok_or(Errno::EINVAL)?;
        new_mount(c"tmpfs", c"tmpfs", options, MASK_ATTRIBUTES)?
    } else {
        // The container's own `/dev/null` could be anything; the host's is checked as well.
        let null = sys::open_tree(sys::AT_FDCWD, c"/dev/null", 0)?;
        check_device(&null, sys::make_device(1, 3))?;
        set_attributes(&null, NULL_ATTRIBUTES, false)?;
        null
    };
    sys::move_mount(cover.0, place.0, c"")
}

/// Puts a read-only copy of a file or directory over itself.
fn read_only(root: i32, target: &CStr) -> Result<(), Errno> {
    let place = match beneath::open(root, target, false) {
        Err(Errno::ENOENT) => return Ok(()),
        other => other?,
    };
    let copy = sys::open_tree(place.0, c"", sys::AT_EMPTY_PATH | sys::AT_RECURSIVE)?;
    sys::mount_setattr(copy.0, MOUNT_ATTR_RDONLY, true)?;
    sys::move_mount(copy.0, place.0, c"")
}
