//! What a sandbox is put together of besides mounts: directories, files and their permissions.

use core::ffi::CStr;
use core::mem;

use super::mount::{attach, new_mount, set_attributes};
use super::root::cover_root;
use super::{Context, beneath, process};
use crate::errno::Errno;
use crate::format::Strings;
use crate::step::{Step, TARGET_CREATE};
use crate::sys::{self, AT_FDCWD, Fd};

impl Context {
    pub(super) fn piece(&self, step: &Step<'_>) -> Result<(), Errno> {
        let root = self.root()?;
        match *step {
            Step::Directory { target, mode } => beneath::make_directory(root, target, mode),
            Step::File { target, mode } => {
                let contents = self.receive_descriptor()?;
                copy(&contents, &beneath::create_file(root, target, mode)?)
            }
            Step::BindFile {
                target,
                mode,
                attributes,
            } => {
                let mount = file_of_its_own(&self.receive_descriptor()?, mode)?;
                set_attributes(&mount, attributes)?;
                attach(&mount, root, target, TARGET_CREATE, Some(false))
            }
            Step::Permissions { target, mode } => {
                sys::fchmod(beneath::open_to_read(root, target)?.0, mode)
            }
            Step::SameFile {
                target,
                device,
                inode,
            } => {
                let found = sys::stat(beneath::open(root, target, 0)?.0)?;
                match (found.device_below, found.inode) == (device, inode) {
                    true => Ok(()),
                    false => Err(Errno::ESTALE),
                }
            }
            _ => Err(Errno::EINVAL),
        }
    }
}

#[inline(never)]
fn copy(from: &Fd, to: &Fd) -> Result<(), Errno> {
    let mut buffer = [0; 4096];
    loop {
        let length = sys::read(from.0, &mut buffer)?;
        match buffer.get(..length) {
            None | Some([]) => return Ok(()),
            Some(bytes) => sys::write_whole(to.0, bytes)?,
        }
    }
}

/// A detached mount of a new file, in a tmpfs that nothing else leads to. Only what is attached in
/// this mount namespace can be copied, so it lies over the root for that long.
fn file_of_its_own(contents: &Fd, mode: u32) -> Result<Fd, Errno> {
    const NAME: &CStr = c"file";
    let options = Strings::new(b"mode=700\0").ok_or(Errno::EINVAL)?;
    let tmpfs = new_mount(c"tmpfs", c"tmpfs", options, None, 0)?;
    copy(contents, &beneath::create_file(tmpfs.0, NAME, mode)?)?;
    cover_root(&tmpfs)?;
    let file = sys::open_tree(tmpfs.0, NAME, 0);
    sys::detach(c"/")?;
    file
}

/// A lock of fcntl(2) ends when the process closes any descriptor of the file, so this one stays
/// open. It is closed in the program, which has no part in the lock.
pub(super) fn lock_file(target: &CStr) -> Result<(), Errno> {
    let file = sys::openat(AT_FDCWD, target, sys::O_NOCTTY | sys::O_NONBLOCK)?;
    sys::lock_shared(file.0)?;
    mem::forget(file);
    Ok(())
}

pub(super) fn first_directory(candidates: Strings<'_>) -> Result<(), Errno> {
    let mut first = Err(Errno::ENOENT);
    for (index, candidate) in candidates.iter().enumerate() {
        match process::working_directory(candidate) {
            Ok(()) => return Ok(()),
            // What was wanted most is what is told.
            failed if index == 0 => first = failed,
            Err(_) => {}
        }
    }
    first
}
