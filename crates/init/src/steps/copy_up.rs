//! What a directory holds, copied into the new file system that is going to cover it.
//!
//! The directory is the container's: so no name in it is followed, and each is opened once.

use core::ffi::CStr;

use super::{S_IFDIR, S_IFLNK, S_IFMT, S_IFREG};
use crate::errno::Errno;
use crate::sys::{self, Fd, Stat};

/// How deep directories may lie in each other: this process has one stack of a bounded size.
const MAX_DEPTH: u32 = 128;
const PERMISSIONS: u32 = 0o7777;

/// Copies what is in a directory, owners and permissions with it.
///
/// # Errors
/// ENAMETOOLONG for directories that lie too deep in each other; else what the copying gives.
pub(super) fn copy_up(from: i32, to: i32) -> Result<(), Errno> {
    copy_directory(from, to, MAX_DEPTH)
}

fn copy_directory(from: i32, to: i32, depth: u32) -> Result<(), Errno> {
    let depth = depth.checked_sub(1).ok_or(Errno::ENAMETOOLONG)?;
    let directory = sys::openat(from, c".", sys::O_DIRECTORY)?;
    let mut buffer = [0; 2048];
    loop {
        let length = sys::getdents(directory.0, &mut buffer)?;
        let mut entries = buffer.get(..length).unwrap_or_default();
        if entries.is_empty() {
            return Ok(());
        }
        while let Some((name, rest)) = first_entry(entries) {
            entries = rest;
            if name != c"." && name != c".." {
                copy_entry(directory.0, to, name, depth)?;
            }
        }
    }
}

/// The name in the first `struct linux_dirent64`, and the others.
fn first_entry(entries: &[u8]) -> Option<(&CStr, &[u8])> {
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let length = u16::from_ne_bytes(*entries.get(LENGTH..)?.first_chunk()?);
    let (entry, rest) = entries.split_at_checked(length.into())?;
    let name = CStr::from_bytes_until_nul(entry.get(NAME..)?).ok()?;
    Some((name, rest))
}

fn copy_entry(from: i32, to: i32, name: &CStr, depth: u32) -> Result<(), Errno> {
    let source = sys::openat(from, name, sys::O_PATH | sys::O_NOFOLLOW)?;
    let stat = sys::stat(source.0)?;
    match stat.mode & S_IFMT {
        S_IFREG => return copy_file(from, to, name, &stat),
        S_IFDIR => sys::mkdirat(to, name, stat.mode & PERMISSIONS)?,
        S_IFLNK => copy_link(&source, to, name)?,
        _ => sys::mknodat(to, name, stat.mode, stat.device)?,
    }
    let copy = sys::openat(to, name, sys::O_PATH | sys::O_NOFOLLOW)?;
    sys::chown(copy.0, stat.uid, stat.gid)?;
    if stat.mode & S_IFMT == S_IFDIR {
        copy_directory(source.0, copy.0, depth)?;
    }
    Ok(())
}

// Not inlined: its buffer would be in every frame of the recursion.
#[inline(never)]
fn copy_link(link: &Fd, to: i32, name: &CStr) -> Result<(), Errno> {
    let mut buffer = [0; 4096];
    sys::symlinkat(sys::readlink(link.0, &mut buffer)?, to, name)
}

fn copy_file(from: i32, to: i32, name: &CStr, stat: &Stat) -> Result<(), Errno> {
    let source = sys::openat(from, name, sys::O_NOFOLLOW | sys::O_NONBLOCK)?;
    let permissions = stat.mode & PERMISSIONS;
    let flags = sys::O_WRONLY | sys::O_CREAT | sys::O_EXCL;
    let copy = sys::openat2(to, name, flags, permissions.into(), 0)?;
    while sys::sendfile(copy.0, source.0)? > 0 {}
    sys::chown(copy.0, stat.uid, stat.gid)?;
    // The change of owners took set-ID bits away.
    sys::fchmod(copy.0, permissions)
}
