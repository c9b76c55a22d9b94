//! The steps on the root file system in words.

use core::ffi::CStr;
use core::fmt::{self, Formatter};

use super::Details;
use super::words::{Attributes, ChangeWords, Device, List, Propagation, Text};
use crate::format::Changes;
use crate::step::{
    SOURCE_COPY_SYMLINK, SOURCE_IN_ROOT, SOURCE_NO_FOLLOW, Step, TARGET_COPY_UP, TARGET_MODE,
    TARGET_OPTIONAL,
};

const MOUNT_ATTR_RDONLY: u64 = 0x1;
const S_IFMT: u32 = 0o170_000;
const S_IFCHR: u32 = 0o020_000;
const S_IFBLK: u32 = 0o060_000;
const S_IFIFO: u32 = 0o010_000;

impl Step<'_> {
    pub(super) fn root_in_words(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Root {
                source,
                received,
                recursive,
                in_place,
                changes,
            } => {
                write!(f, "take {} as the root", Text(source))?;
                Details::new(f)
                    .add_if(recursive, "recursive")
                    .add_if(in_place, "in its place")
                    .add_changes(changes, recursive)
                    .add_if(received, "received from the parent")
                    .end()
            }
            Self::OverlayRoot {
                lower,
                received,
                attributes,
            } => {
                write!(f, "take an overlay of {} as the root", Text(lower))?;
                Details::new(f)
                    .add_if(attributes != 0, Attributes(attributes))
                    .add_if(received, "received from the parent")
                    .end()
            }
            Self::EmptyRoot {
                options,
                attributes,
            } => {
                f.write_str("take an empty root")?;
                Details::new(f)
                    .add_if(attributes != 0, Attributes(attributes))
                    .add_if(options.iter().next().is_some(), List(options, ","))
                    .end()
            }
            Self::RootAttributes {
                attributes: MOUNT_ATTR_RDONLY,
            } => f.write_str("make the root read-only"),
            Self::RootAttributes { attributes } => {
                write!(f, "set attributes of the root ({})", Attributes(attributes))
            }
            Self::AttachedRoot { propagation } => {
                f.write_str("take the root that is attached among the host's mounts")?;
                Details::new(f)
                    .add_if(propagation != 0, Propagation(propagation))
                    .end()
            }
            Self::Chroot {} | Self::EnterRoot {} => f.write_str("enter the root (chroot)"),
            _ => f.write_str("enter the root (pivot_root)"),
        }
    }

    pub(super) fn mount_in_words(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Mount {
                fstype,
                source,
                options,
                attributes,
                propagation,
                target,
                flags,
            } => {
                write!(f, "mount {}", Text(fstype))?;
                if source != fstype {
                    write!(f, " {}", Text(source))?;
                }
                place(f, target, flags)?;
                Details::new(f)
                    .add_if(attributes != 0, Attributes(attributes))
                    .add_if(propagation != 0, Propagation(propagation))
                    .add_if(flags & TARGET_COPY_UP != 0, "with a copy of what is there")
                    .add_if(flags & TARGET_MODE != 0, "with the mode of what is there")
                    .add_if(options.iter().next().is_some(), List(options, ","))
                    .end()
            }
            Self::Bind {
                source,
                received,
                recursive,
                changes,
                target,
                flags,
                device,
            } => {
                write!(f, "bind {}", Text(source))?;
                place(f, target, flags)?;
                Details::new(f)
                    .add_if(recursive, "recursive")
                    .add_changes(changes, recursive)
                    .add_if(flags & SOURCE_IN_ROOT != 0, "in the root")
                    .add_if(flags & SOURCE_NO_FOLLOW != 0, "the link itself")
                    .add_if(flags & SOURCE_COPY_SYMLINK != 0, "a link is copied")
                    .add_if(device != 0, Device(device))
                    .add_if(received, "received from the parent")
                    .end()
            }
            _ => self.place_in_words(f),
        }
    }

    /// What is changed or made at a place, or covers it.
    fn place_in_words(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Remount {
                target,
                changes,
                options,
                flags,
            } => {
                f.write_str("change the mount")?;
                place(f, target, flags)?;
                Details::new(f)
                    .add_changes(changes, false)
                    .add_if(options.iter().next().is_some(), List(options, ","))
                    .end()
            }
            Self::MountPoint { target, directory } => {
                let kind = if directory { "a directory" } else { "a file" };
                write!(f, "make the mount point {} ({kind})", Text(target))
            }
            Self::Symlink { text, target } => {
                write!(
                    f,
                    "make the symbolic link {} to {}",
                    Text(target),
                    Text(text)
                )
            }
            Self::MakeNode {
                target,
                mode,
                device,
                uid,
                gid,
            } => {
                let kind = match mode & S_IFMT {
                    S_IFCHR => "character device",
                    S_IFBLK => "block device",
                    S_IFIFO => "FIFO",
                    _ => "node",
                };
                write!(f, "make the {kind} {}", Text(target))?;
                let permissions = mode & !S_IFMT;
                Details::new(f)
                    .add_if(device != 0, Device(device))
                    .add_if(true, format_args!("mode {permissions:04o}"))
                    .add_if(true, format_args!("owner {uid}:{gid}"))
                    .end()
            }
            Self::Mask { target } => write!(f, "mask {}", Text(target)),
            Self::ReadOnly { target } => write!(f, "make {} read-only", Text(target)),
            _ => f.write_str(self.name()),
        }
    }
}

impl Details<'_, '_> {
    /// What changes of a mount, which has the mounts below it with it when `recursive`.
    fn add_changes(self, changes: Changes<'_>, recursive: bool) -> Self {
        changes.iter().fold(self, |details, change| {
            details.add_if(true, ChangeWords { change, recursive })
        })
    }
}

fn place(f: &mut Formatter<'_>, target: &CStr, flags: u32) -> fmt::Result {
    let condition = if flags & TARGET_OPTIONAL != 0 {
        " if it is there"
    } else {
        ""
    };
    write!(f, " on {}{condition}", Text(target))
}
