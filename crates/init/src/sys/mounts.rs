//! File systems and mounts, and the swap of the root.

use core::ffi::CStr;
use core::mem::size_of;

use super::{
    AT_EMPTY_PATH, AT_RECURSIVE, Fd, O_CLOEXEC, address, call, common_nr, fd, new_fd, nr, text,
};
use crate::errno::Errno;
use crate::format::Change;

pub(crate) fn open_tree(dir: i32, path: &CStr, flags: u32) -> Result<Fd, Errno> {
    const OPEN_TREE_CLONE: u32 = 1;
    let flags = flags | OPEN_TREE_CLONE | O_CLOEXEC as u32;
    call(common_nr::OPEN_TREE, [fd(dir), text(path), flags as usize]).map(new_fd)
}

/// Moves the mount behind `from` onto `path` beneath `dir`, symbolic links followed, or onto `dir`
/// itself for an empty path.
pub(crate) fn move_mount(from: i32, dir: i32, path: &CStr) -> Result<(), Errno> {
    const F_EMPTY_PATH: usize = 0x4;
    const T_SYMLINKS: usize = 0x10;
    const T_EMPTY_PATH: usize = 0x40;
    let flags = if path.is_empty() {
        F_EMPTY_PATH | T_EMPTY_PATH
    } else {
        F_EMPTY_PATH | T_SYMLINKS
    };
    call(
        common_nr::MOVE_MOUNT,
        [fd(from), text(c""), fd(dir), text(path), flags],
    )
    .map(drop)
}

/// `struct mount_attr` of mount_setattr(2).
#[repr(C)]
pub(super) struct MountAttr {
    pub(super) set: u64,
    pub(super) clear: u64,
    pub(super) propagation: u64,
    pub(super) user_namespace: u64,
}

/// Changes a mount, and those below it if the change says so.
pub(crate) fn mount_setattr(mount: i32, change: &Change) -> Result<(), Errno> {
    let attr = MountAttr {
        set: change.set,
        clear: change.clear,
        propagation: change.propagation,
        user_namespace: 0,
    };
    let flags = if change.recursive {
        AT_EMPTY_PATH | AT_RECURSIVE
    } else {
        AT_EMPTY_PATH
    };
    let args = [
        fd(mount),
        text(c""),
        flags as usize,
        address(&attr),
        size_of::<MountAttr>(),
    ];
    call(common_nr::MOUNT_SETATTR, args).map(drop)
}

pub(crate) fn fsopen(name: &CStr) -> Result<Fd, Errno> {
    const FSOPEN_CLOEXEC: usize = 1;
    call(common_nr::FSOPEN, [text(name), FSOPEN_CLOEXEC]).map(new_fd)
}

/// What fsconfig(2) is to set.
pub(crate) enum Config<'a> {
    Flag(&'a CStr),
    String(&'a CStr, &'a CStr),
    Descriptor(&'a CStr, i32),
    Create,
    Reconfigure,
}

pub(crate) fn fsconfig(context: i32, config: &Config<'_>) -> Result<(), Errno> {
    let args = match config {
        Config::Flag(key) => [fd(context), 0, text(key), 0, 0],
        Config::String(key, value) => [fd(context), 1, text(key), text(value), 0],
        Config::Descriptor(key, number) => [fd(context), 5, text(key), 0, fd(*number)],
        Config::Create => [fd(context), 6, 0, 0, 0],
        Config::Reconfigure => [fd(context), 7, 0, 0, 0],
    };
    call(common_nr::FSCONFIG, args).map(drop)
}

/// The configuration of the file system of a mount, to be changed.
pub(crate) fn fspick(mount: i32) -> Result<Fd, Errno> {
    const FSPICK_CLOEXEC: usize = 1;
    const FSPICK_EMPTY_PATH: usize = 8;
    let args = [fd(mount), text(c""), FSPICK_CLOEXEC | FSPICK_EMPTY_PATH];
    call(common_nr::FSPICK, args).map(new_fd)
}

pub(crate) fn fsmount(context: i32, attributes: u64) -> Result<Fd, Errno> {
    const FSMOUNT_CLOEXEC: usize = 1;
    call(
        common_nr::FSMOUNT,
        [fd(context), FSMOUNT_CLOEXEC, attributes as usize],
    )
    .map(new_fd)
}

/// Changes the propagation of a mount, as mount(2) can on any kernel.
pub(crate) fn propagation(mount: &CStr, flags: u64) -> Result<(), Errno> {
    call(nr::MOUNT, [0, text(mount), 0, flags as usize, 0]).map(drop)
}

/// pivot_root(2) with the working directory as both the new root and the place of the old one.
pub(crate) fn pivot_to_working_directory() -> Result<(), Errno> {
    call(nr::PIVOT_ROOT, [text(c"."), text(c".")]).map(drop)
}

const MNT_DETACH: usize = 2;

/// Takes away what was mounted last at a place, with what is mounted on it.
pub(crate) fn detach(place: &CStr) -> Result<(), Errno> {
    call(nr::UMOUNT2, [text(place), MNT_DETACH]).map(drop)
}

pub(crate) fn detach_working_directory() -> Result<(), Errno> {
    call(nr::UMOUNT2, [text(c"."), MNT_DETACH]).map(drop)
}

pub(crate) fn fchdir(number: i32) -> Result<(), Errno> {
    call(nr::FCHDIR, [fd(number)]).map(drop)
}

pub(crate) fn chroot_to_working_directory() -> Result<(), Errno> {
    call(nr::CHROOT, [text(c".")]).map(drop)
}

pub(crate) fn chdir(path: &CStr) -> Result<(), Errno> {
    call(nr::CHDIR, [text(path)]).map(drop)
}

/// The length of getcwd(2)'s answer, its NUL counted, and the answer itself in `buffer`.
pub(crate) fn getcwd(buffer: &mut [u8]) -> Result<usize, Errno> {
    call(nr::GETCWD, [buffer.as_mut_ptr() as usize, buffer.len()])
}
