//! What hides a file or a directory, or makes it read-only.

use core::ffi::CStr;

use super::beneath;
use super::mount::{check_device, is_directory, new_mount};
use crate::errno::Errno;
use crate::format::{Change, Strings};
use crate::sys::{self, AT_EMPTY_PATH, AT_RECURSIVE, Fd};

const MOUNT_ATTR_RDONLY: u64 = 0x1;
const MS_PRIVATE: u64 = 1 << 18;
/// Read-only, no set-user-ID, no devices, no programs: for a directory that hides another.
const EMPTY_ATTRIBUTES: u64 = 0xf;
/// The same but for devices. Read-only, since chmod(2) would reach the host's own node.
const NULL_ATTRIBUTES: u64 = 0xb;

/// What covers masked files and directories: made once, and copied from where it was used first.
#[derive(Debug, Default)]
pub(super) struct Covers {
    null: Option<Fd>,
    empty: Option<Fd>,
}

impl Covers {
    /// Hides a file or a directory. Its type is looked at first: a refused mount is dear.
    pub(super) fn mask(&mut self, root: i32, target: &CStr) -> Result<(), Errno> {
        let place = match beneath::open(root, target, 0) {
            Err(Errno::ENOENT) => return Ok(()),
            other => other?,
        };
        let (cover, make): (_, fn() -> _) = match is_directory(&place)? {
            true => (&mut self.empty, empty_directory),
            false => (&mut self.null, null_device),
        };
        let mount = match cover {
            Some(first) => sys::open_tree(first.0, c"", AT_EMPTY_PATH)?,
            None => make()?,
        };
        sys::move_mount(mount.0, place.0, c"")?;
        cover.get_or_insert(mount);
        Ok(())
    }
}

fn empty_directory() -> Result<Fd, Errno> {
    let options = Strings::new(b"size=0\0mode=755\0").ok_or(Errno::EINVAL)?;
    new_mount(c"tmpfs", c"tmpfs", options, None, EMPTY_ATTRIBUTES)
}

/// The host's null device. The container's own could be anything, and the host's is checked too.
fn null_device() -> Result<Fd, Errno> {
    let null = sys::open_tree(sys::AT_FDCWD, c"/dev/null", 0)?;
    check_device(&null, sys::make_device(1, 3))?;
    // Without a mount namespace it would be shared with the host's: what is mounted on it too.
    let change = Change {
        propagation: MS_PRIVATE,
        ..Change::set(NULL_ATTRIBUTES, false)
    };
    sys::mount_setattr(null.0, &change)?;
    Ok(null)
}

/// Puts a read-only copy of a file or directory over itself.
pub(super) fn read_only(root: i32, target: &CStr) -> Result<(), Errno> {
    let place = match beneath::open(root, target, 0) {
        Err(Errno::ENOENT) => return Ok(()),
        other => other?,
    };
    let copy = sys::open_tree(place.0, c"", AT_EMPTY_PATH | AT_RECURSIVE)?;
    sys::mount_setattr(copy.0, &Change::set(MOUNT_ATTR_RDONLY, true))?;
    sys::move_mount(copy.0, place.0, c"")
}
