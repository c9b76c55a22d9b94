//! Mounts, made detached and moved from descriptor to descriptor.

use core::ffi::CStr;

use super::beneath::{self, Near};
use super::copy_up::copy_up;
use super::decimal::mode_option;
use super::{Context, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, mask};
use crate::errno::Errno;
use crate::format::{Change, Changes, Strings};
use crate::message::Message;
use crate::step::{
    SOURCE_COPY_SYMLINK, SOURCE_IN_ROOT, SOURCE_NO_FOLLOW, Step, TARGET_COPY_UP, TARGET_CREATE,
    TARGET_MODE, TARGET_NO_FOLLOW, TARGET_NO_SYMLINKS, TARGET_OPTIONAL,
};
use crate::sys::{self, Config, Fd};

impl Context {
    pub(super) fn mount_step(&mut self, step: &Step<'_>) -> Result<(), Errno> {
        let root = self.root()?;
        match *step {
            Step::MountPoint { target, directory } => {
                make_mount_point(&mut self.near, root, target, directory)
            }
            Step::Symlink { text, target } => {
                beneath::make_symlink_near(&mut self.near, root, text, target)
            }
            Step::MakeNode {
                target,
                mode,
                device,
                uid,
                gid,
            } => beneath::make_node(&mut self.near, root, target, mode, device, (uid, gid)),
            Step::Mount {
                fstype,
                source,
                options,
                attributes,
                propagation,
                target,
                flags,
            } => {
                let covered = (flags & TARGET_MODE != 0)
                    .then(|| covered(root, target, flags))
                    .transpose()?
                    .flatten();
                let mode = covered.as_ref().map(|(_, mode)| *mode);
                let mount = new_mount(fstype, source, options, mode, attributes)?;
                set_propagation(&mount, propagation, false)?;
                match covered {
                    Some((place, _)) => attach_at(&mount, &place, flags),
                    // The root of a file system is a directory.
                    None => attach(&mount, root, target, flags, Some(true)),
                }
            }
            Step::Bind { .. } => self.bind(root, step),
            Step::Remount {
                target,
                changes,
                options,
                flags,
            } => remount(root, target, flags, changes, options),
            Step::Mask { target } => self.covers.mask(root, target),
            Step::ReadOnly { target } => mask::read_only(root, target),
            _ => Err(Errno::EINVAL),
        }
    }

    fn bind(&self, root: i32, step: &Step<'_>) -> Result<(), Errno> {
        let Step::Bind {
            source,
            received,
            recursive,
            changes,
            target,
            flags,
            device,
        } = *step
        else {
            return Err(Errno::EINVAL);
        };
        if flags & SOURCE_COPY_SYMLINK != 0 && copy_symlink(source, root, target, flags)? {
            return Ok(());
        }
        let mount = match flags & SOURCE_IN_ROOT {
            0 => self.tree(source, received, recursive, flags)?,
            _ => {
                let tree = tree_beneath(root, source, recursive, flags)?;
                if received {
                    sys::send(self.channel, &Message::Tree.to_bytes(), Some(tree.0))?;
                    self.receive_descriptor()?
                } else {
                    tree
                }
            }
        };
        check_device(&mount, device)?;
        apply(&mount, changes)?;
        attach(&mount, root, target, flags, None)
    }

    /// A detached copy of what is mounted at a path of the host, or the one that the parent sends.
    pub(super) fn tree(
        &self,
        source: &CStr,
        received: bool,
        recursive: bool,
        flags: u32,
    ) -> Result<Fd, Errno> {
        if received {
            return self.receive_descriptor();
        }
        let mut how = if recursive { sys::AT_RECURSIVE } else { 0 };
        if flags & SOURCE_NO_FOLLOW != 0 {
            how |= sys::AT_SYMLINK_NOFOLLOW;
        }
        let tree = sys::open_tree(sys::AT_FDCWD, source, how)?;
        set_propagation(&tree, self.of_copies, recursive)?;
        Ok(tree)
    }
}

/// A detached copy of what is mounted at a path beneath the root.
#[inline(never)]
fn tree_beneath(root: i32, source: &CStr, recursive: bool, flags: u32) -> Result<Fd, Errno> {
    let place = open_beneath(root, source, flags & SOURCE_NO_FOLLOW != 0)?;
    let depth = if recursive { sys::AT_RECURSIVE } else { 0 };
    sys::open_tree(place.0, c"", sys::AT_EMPTY_PATH | depth)
}

fn open_beneath(root: i32, path: &CStr, no_follow: bool) -> Result<Fd, Errno> {
    let how = if no_follow { beneath::NO_FOLLOW } else { 0 };
    beneath::open(root, path, how)
}

/// Makes a file system without attaching it anywhere.
pub(super) fn new_mount(
    fstype: &CStr,
    source: &CStr,
    options: Strings<'_>,
    mode: Option<u32>,
    attributes: u64,
) -> Result<Fd, Errno> {
    let context = sys::fsopen(fstype)?;
    sys::fsconfig(context.0, &Config::String(c"source", source))?;
    if let Some(mode) = mode {
        let option = mode_option(mode);
        configure(
            &context,
            CStr::from_bytes_with_nul(&option).map_err(|_| Errno::EINVAL)?,
        )?;
    }
    for option in &options {
        configure(&context, option)?;
    }
    sys::fsconfig(context.0, &Config::Create)?;
    sys::fsmount(context.0, attributes)
}

/// A directory that a file system will cover, with its permissions; none if it is not there yet.
fn covered(root: i32, target: &CStr, flags: u32) -> Result<Option<(Fd, u32)>, Errno> {
    const PERMISSIONS: u32 = 0o7777;
    match open_target(root, target, flags) {
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
        Ok(place) => {
            let mode = sys::stat(place.0)?.mode & PERMISSIONS;
            Ok(Some((place, mode)))
        }
    }
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

pub(super) fn set_attributes(mount: &Fd, attributes: u64) -> Result<(), Errno> {
    if attributes == 0 {
        return Ok(());
    }
    sys::mount_setattr(mount.0, &Change::set(attributes, false))
}

fn set_propagation(mount: &Fd, propagation: u64, recursive: bool) -> Result<(), Errno> {
    if propagation == 0 {
        return Ok(());
    }
    let change = Change {
        propagation,
        recursive,
        ..Change::default()
    };
    sys::mount_setattr(mount.0, &change)
}

/// Changes a mount, step by step.
pub(super) fn apply(mount: &Fd, changes: Changes<'_>) -> Result<(), Errno> {
    changes
        .iter()
        .try_for_each(|change| sys::mount_setattr(mount.0, &change))
}

/// Changes what is mounted at a place: the kernel refuses one that is not the top of a mount.
fn remount(
    root: i32,
    target: &CStr,
    flags: u32,
    changes: Changes<'_>,
    options: Strings<'_>,
) -> Result<(), Errno> {
    let place = open_target(root, target, flags)?;
    apply(&place, changes)?;
    if options.iter().next().is_none() {
        return Ok(());
    }
    let context = sys::fspick(place.0)?;
    for option in &options {
        configure(&context, option)?;
    }
    sys::fsconfig(context.0, &Config::Reconfigure)
}

/// Makes a link that says the same, if the source is a symbolic link; whether it is.
#[inline(never)]
fn copy_symlink(source: &CStr, root: i32, target: &CStr, flags: u32) -> Result<bool, Errno> {
    let link = match flags & SOURCE_IN_ROOT {
        0 => sys::openat(sys::AT_FDCWD, source, sys::O_PATH | sys::O_NOFOLLOW)?,
        _ => open_beneath(root, source, true)?,
    };
    if sys::stat(link.0)?.mode & S_IFMT != S_IFLNK {
        return Ok(false);
    }
    let mut buffer = [0; 4096];
    let text = sys::readlink(link.0, &mut buffer)?;
    beneath::make_symlink(root, text, target)?;
    Ok(true)
}

/// Refuses a file that is not the character device it should be.
pub(super) fn check_device(file: &Fd, device: u64) -> Result<(), Errno> {
    if device == 0 {
        return Ok(());
    }
    let stat = sys::stat(file.0)?;
    let genuine = stat.mode & S_IFMT == S_IFCHR && stat.device == device;
    if genuine { Ok(()) } else { Err(Errno::ENODEV) }
}

pub(super) fn is_directory(file: &Fd) -> Result<bool, Errno> {
    Ok(sys::stat(file.0)?.mode & S_IFMT == S_IFDIR)
}

/// Makes what something is to be mounted on; what is there already is left as it is.
fn make_mount_point(
    near: &mut Near,
    root: i32,
    target: &CStr,
    directory: bool,
) -> Result<(), Errno> {
    if directory {
        beneath::make_directory_near(near, root, target, 0o755)
    } else {
        beneath::make_file(root, target)
    }
}

#[inline(never)]
pub(super) fn open_target(root: i32, target: &CStr, flags: u32) -> Result<Fd, Errno> {
    let mut how = 0;
    if flags & TARGET_NO_SYMLINKS != 0 {
        how |= beneath::NO_SYMLINKS;
    }
    if flags & TARGET_NO_FOLLOW != 0 {
        how |= beneath::NO_FOLLOW;
    }
    beneath::open(root, target, how)
}

#[inline(never)]
fn make_and_open(root: i32, target: &CStr, flags: u32, directory: bool) -> Result<Fd, Errno> {
    make_mount_point(&mut Near::default(), root, target, directory)?;
    open_target(root, target, flags)
}

/// The same at the place to which links that lead nowhere would lead.
#[inline(never)]
fn make_behind_link(root: i32, target: &CStr, flags: u32, directory: bool) -> Result<Fd, Errno> {
    const MOST_LINKS: usize = 40;
    let mut path: beneath::PathBuffer = [0; _];
    beneath::terminated(target.to_bytes(), &mut path)?;
    for _ in 0..MOST_LINKS {
        beneath::follow_dangling(root, &mut path)?;
        let place = CStr::from_bytes_until_nul(&path).map_err(|_| Errno::EINVAL)?;
        match make_and_open(root, place, flags, directory) {
            Err(Errno::ENOENT) => {}
            other => return other,
        }
    }
    Err(Errno::ELOOP)
}

/// Attaches a detached mount at a path beneath the root. Whether it is a directory is asked of the
/// kernel where nobody knows it and something to mount it on has to be made.
pub(super) fn attach(
    mount: &Fd,
    root: i32,
    target: &CStr,
    flags: u32,
    directory: Option<bool>,
) -> Result<(), Errno> {
    let place = match open_target(root, target, flags) {
        Err(Errno::ENOENT) if flags & TARGET_CREATE != 0 => {
            let directory = directory.map_or_else(|| is_directory(mount), Ok)?;
            match make_and_open(root, target, flags, directory) {
                // A name is taken by a link that leads nowhere.
                Err(Errno::ENOENT) if flags & (TARGET_NO_SYMLINKS | TARGET_NO_FOLLOW) == 0 => {
                    make_behind_link(root, target, flags, directory)?
                }
                other => other?,
            }
        }
        Err(Errno::ENOENT) if flags & TARGET_OPTIONAL != 0 => return Ok(()),
        other => other?,
    };
    attach_at(mount, &place, flags)
}

#[inline(never)]
fn attach_at(mount: &Fd, place: &Fd, flags: u32) -> Result<(), Errno> {
    if flags & TARGET_COPY_UP != 0 {
        copy_up(place.0, mount.0)?;
    }
    match sys::move_mount(mount.0, place.0, c"") {
        // What a file on a directory, or the reverse, is to the older call (mount(2)).
        Err(Errno::EINVAL) if is_directory(mount)? != is_directory(place)? => Err(Errno::ENOTDIR),
        other => other,
    }
}
