//! Paths beneath a root: resolved by openat2(2) with the root's descriptor as `/`.
//!
//! Symbolic links in the root lead to places in the root, never out of it; links of `/proc` that
//! lead anywhere are refused. What is made is made in a directory that is already open, by its
//! last name alone, with the permission bits that the caller's umask(2) leaves; init's is 0.

use core::ffi::CStr;

use super::S_IFMT;
use crate::errno::Errno;
use crate::sys::{self, Fd};

const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
const RESOLVE_NO_SYMLINKS: u64 = 0x04;
const RESOLVE_IN_ROOT: u64 = 0x10;
const PATH_MAX: usize = 4096;

/// No symbolic link is followed, neither on the way nor at its end.
pub(crate) const NO_SYMLINKS: u32 = 1;
/// A symbolic link at the end is opened itself.
pub(crate) const NO_FOLLOW: u32 = 2;

/// Opens a path beneath `root` as a place only (`O_PATH`), with [`NO_SYMLINKS`] or [`NO_FOLLOW`].
///
/// # Errors
/// ENOENT, ENOTDIR, ELOOP (also for any symbolic link with [`NO_SYMLINKS`]) as openat2(2) says.
pub(crate) fn open(root: i32, path: &CStr, how: u32) -> Result<Fd, Errno> {
    let path = if path.to_bytes().iter().all(|byte| *byte == b'/') {
        c"."
    } else {
        path
    };
    let mut flags = sys::O_PATH;
    let mut resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    if how & NO_SYMLINKS != 0 {
        resolve |= RESOLVE_NO_SYMLINKS;
    }
    if how & NO_FOLLOW != 0 {
        flags |= sys::O_NOFOLLOW;
    }
    sys::openat2(root, path, flags, 0, resolve)
}

/// Makes a directory, and those above it (0755); one that is there already is left as it is.
///
/// `root` is the number of an open directory.
///
/// # Errors
/// What mkdirat(2) and openat2(2) say; ENOTDIR when something else is there.
pub fn make_directory(root: i32, path: &CStr, mode: u32) -> Result<(), Errno> {
    let mut buffer = [0; PATH_MAX];
    let made = parent(root, path, &mut buffer)
        .and_then(|(parent, name)| sys::mkdirat(parent.0, name, mode));
    match made {
        Err(Errno::EEXIST) => open_directory(root, path).map(drop),
        other => other,
    }
}

/// Makes an empty file and the directories above it; anything there already is left as it is.
///
/// `root` is the number of an open directory.
///
/// # Errors
/// What mknodat(2), mkdirat(2) and openat2(2) say.
pub fn make_file(root: i32, path: &CStr) -> Result<(), Errno> {
    const S_IFREG_0644: u32 = 0o100_644;
    let mut buffer = [0; PATH_MAX];
    let made = parent(root, path, &mut buffer)
        .and_then(|(parent, name)| sys::mknodat(parent.0, name, S_IFREG_0644, 0));
    match made {
        Err(Errno::EEXIST) => Ok(()),
        other => other,
    }
}

/// Opens a file for writing that is empty then, and makes it, and the directories above it, when
/// it is missing. A symbolic link there is not followed (ELOOP).
pub(crate) fn create_file(root: i32, path: &CStr, mode: u32) -> Result<Fd, Errno> {
    let mut buffer = [0; PATH_MAX];
    let (parent, name) = parent(root, path, &mut buffer)?;
    let flags = sys::O_WRONLY | sys::O_CREAT | sys::O_TRUNC | sys::O_NOFOLLOW | sys::O_NOCTTY;
    sys::openat2(parent.0, name, flags, mode.into(), RESOLVE_NO_SYMLINKS)
}

/// Opens a file or directory for reading, without waiting for the other side of a FIFO.
pub(crate) fn open_to_read(root: i32, path: &CStr) -> Result<Fd, Errno> {
    let flags = sys::O_NONBLOCK | sys::O_NOCTTY;
    let resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    sys::openat2(root, path, flags, 0, resolve)
}

/// Makes a symbolic link and the directories above it.
///
/// `root` is the number of an open directory.
///
/// # Errors
/// EEXIST when anything is there already.
pub fn make_symlink(root: i32, text: &CStr, path: &CStr) -> Result<(), Errno> {
    let mut buffer = [0; PATH_MAX];
    let (parent, name) = parent(root, path, &mut buffer)?;
    sys::symlinkat(text, parent.0, name)
}

/// Makes a device node or FIFO with this owner and group, and the directories above it. What is
/// there already is left as it is, and must be the same.
///
/// `root` is the number of an open directory, `mode` has the type and the permission bits.
///
/// # Errors
/// EEXIST when something else is there, EPERM without `CAP_MKNOD` or in a user namespace; else what
/// mknodat(2), mkdirat(2), fchownat(2) and openat2(2) say.
pub(crate) fn make_node(
    root: i32,
    path: &CStr,
    mode: u32,
    device: u64,
    (uid, gid): (u32, u32),
) -> Result<(), Errno> {
    let mut buffer = [0; PATH_MAX];
    let (parent, name) = parent(root, path, &mut buffer)?;
    let made = match sys::mknodat(parent.0, name, mode, device) {
        Err(Errno::EEXIST) => false,
        other => other.map(|()| true)?,
    };
    let stat = sys::stat_name(parent.0, name)?;
    if stat.mode & S_IFMT != mode & S_IFMT || stat.device != device {
        return Err(Errno::EEXIST);
    }
    if !made || (stat.uid, stat.gid) == (uid, gid) {
        return Ok(());
    }
    let node = sys::openat(parent.0, name, sys::O_PATH | sys::O_NOFOLLOW)?;
    // Looked at again: what is given away is what was made.
    let node_stat = sys::stat(node.0)?;
    if node_stat.inode != stat.inode || node_stat.device != device {
        return Err(Errno::EEXIST);
    }
    sys::chown(node.0, uid, gid)
}

fn open_directory(root: i32, path: &CStr) -> Result<Fd, Errno> {
    let flags = sys::O_PATH | sys::O_DIRECTORY;
    sys::openat2(
        root,
        path,
        flags,
        0,
        RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    )
}

/// Opens the directory above `path`, which is made if it is missing, and gives the last name.
fn parent<'b>(
    root: i32,
    path: &CStr,
    buffer: &'b mut [u8; PATH_MAX],
) -> Result<(Fd, &'b CStr), Errno> {
    let mut parts = trimmed(path).rsplitn(2, is_slash);
    let name = parts.next().unwrap_or_default();
    let above = parts.next().unwrap_or(b".");
    if name.is_empty() {
        // The root itself.
        return Err(Errno::EEXIST);
    }
    let parent = match open_directory(root, terminated(above, buffer)?) {
        Err(Errno::ENOENT) => make_all(root, above, buffer)?,
        other => other?,
    };
    Ok((parent, terminated(name, buffer)?))
}

/// Makes what is missing of a path without slashes around it, and opens its end.
fn make_all(root: i32, path: &[u8], buffer: &mut [u8; PATH_MAX]) -> Result<Fd, Errno> {
    let mut parent = open_directory(root, c".")?;
    let mut length = 0;
    for name in path.split(is_slash) {
        length += name.len();
        let prefix = path.get(..length).ok_or(Errno::EINVAL)?;
        length += 1;
        parent = match open_directory(root, terminated(prefix, buffer)?) {
            Err(Errno::ENOENT) => {
                match sys::mkdirat(parent.0, terminated(name, buffer)?, 0o755) {
                    // Somebody else has made it; a link that leads nowhere fails below.
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(errno) => return Err(errno),
                }
                open_directory(root, terminated(prefix, buffer)?)?
            }
            other => other?,
        };
    }
    Ok(parent)
}

fn is_slash(byte: &u8) -> bool {
    *byte == b'/'
}

/// A part of a path with a NUL behind it.
fn terminated<'b>(part: &[u8], buffer: &'b mut [u8; PATH_MAX]) -> Result<&'b CStr, Errno> {
    let room = buffer.get_mut(..=part.len()).ok_or(Errno::ENAMETOOLONG)?;
    let (last, text) = room.split_last_mut().ok_or(Errno::EINVAL)?;
    text.copy_from_slice(part);
    *last = 0;
    CStr::from_bytes_with_nul(room).map_err(|_| Errno::EINVAL)
}

/// A path without the slashes around it.
fn trimmed(path: &CStr) -> &[u8] {
    let mut path = path.to_bytes();
    while let [b'/', rest @ ..] | [rest @ .., b'/'] = path {
        path = rest;
    }
    path
}
