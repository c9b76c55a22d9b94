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
/// A buffer of this size is a page of the stack for all that it is inlined into, used or not: where
/// that is more than the one step, a function of its own has it (`inline(never)`).
const PATH_MAX: usize = 4096;

/// Room for the last name of a path, and its NUL.
type Name = [u8; 256];
const NO_NAME: Name = [0; _];

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
    make_directory_near(&mut Near::default(), root, path, mode)
}

pub(super) fn make_directory_near(
    near: &mut Near,
    root: i32,
    path: &CStr,
    mode: u32,
) -> Result<(), Errno> {
    let mut name = NO_NAME;
    let made = near
        .parent(root, path, &mut name)
        .and_then(|(parent, name)| sys::mkdirat(parent, name, mode));
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
    let mut name = NO_NAME;
    let made = Near::default()
        .parent(root, path, &mut name)
        .and_then(|(parent, name)| sys::mknodat(parent, name, S_IFREG_0644, 0));
    match made {
        Err(Errno::EEXIST) => Ok(()),
        other => other,
    }
}

/// Opens a file for writing that is empty then, and makes it, and the directories above it, when
/// it is missing. A symbolic link there is not followed (ELOOP).
pub(crate) fn create_file(root: i32, path: &CStr, mode: u32) -> Result<Fd, Errno> {
    let (mut near, mut name) = (Near::default(), NO_NAME);
    let (parent, name) = near.parent(root, path, &mut name)?;
    let flags = sys::O_WRONLY | sys::O_CREAT | sys::O_TRUNC | sys::O_NOFOLLOW | sys::O_NOCTTY;
    sys::openat2(parent, name, flags, mode.into(), RESOLVE_NO_SYMLINKS)
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
    make_symlink_near(&mut Near::default(), root, text, path)
}

pub(super) fn make_symlink_near(
    near: &mut Near,
    root: i32,
    text: &CStr,
    path: &CStr,
) -> Result<(), Errno> {
    let mut name = NO_NAME;
    let (parent, name) = near.parent(root, path, &mut name)?;
    sys::symlinkat(text, parent, name)
}

/// Makes a device node or FIFO with this owner and group, and the directories above it. What is
/// there already is left as it is, and must be the same.
///
/// `root` is the number of an open directory, `mode` has the type and the permission bits.
///
/// # Errors
/// EEXIST when something else is there, EPERM without `CAP_MKNOD` or in a user namespace; else what
/// mknodat(2), mkdirat(2), fchownat(2) and openat2(2) say.
pub(super) fn make_node(
    near: &mut Near,
    root: i32,
    path: &CStr,
    mode: u32,
    device: u64,
    owner: (u32, u32),
) -> Result<(), Errno> {
    let mut name = NO_NAME;
    let (parent, name) = near.parent(root, path, &mut name)?;
    let made = match sys::mknodat(parent, name, mode, device) {
        Err(Errno::EEXIST) => false,
        other => other.map(|()| true)?,
    };
    // What the call has made is what it was asked for, and belongs to whom the one before it in
    // this directory belongs to: there is nothing to be looked at.
    if made && near.owner == Some(owner) {
        return Ok(());
    }
    let stat = sys::stat_name(parent, name)?;
    if stat.mode & S_IFMT != mode & S_IFMT || stat.device != device {
        return Err(Errno::EEXIST);
    }
    if !made {
        return Ok(());
    }
    near.owner = Some((stat.uid, stat.gid));
    if near.owner == Some(owner) {
        return Ok(());
    }
    let node = sys::openat(parent, name, sys::O_PATH | sys::O_NOFOLLOW)?;
    // Looked at again: what is given away is what was made.
    let node_stat = sys::stat(node.0)?;
    if node_stat.inode != stat.inode || node_stat.device != device {
        return Err(Errno::EEXIST);
    }
    sys::chown(node.0, owner.0, owner.1)
}

/// The directory above what was made last, still open: the next thing often belongs there too, as
/// the nodes and links of `/dev` do.
///
/// It was opened beneath the root like any other, so what is made in it is made where it was asked
/// for, even if somebody moves the directory meanwhile. It is let go when something is mounted:
/// from then on its path may lead elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Near {
    directory: Option<Fd>,
    /// The path of the directory, and how much of the buffer that is.
    path: [u8; NEAR_MAX],
    length: usize,
    /// Whose the nodes are that this process makes there.
    owner: Option<(u32, u32)>,
}

/// Longer paths are opened each time.
const NEAR_MAX: usize = 32;

impl Near {
    pub(super) fn let_go(&mut self) {
        self.directory = None;
    }

    /// Opens the directory above `path`, which is made if it is missing, and gives the last name.
    #[inline(never)]
    fn parent<'b>(
        &mut self,
        root: i32,
        path: &CStr,
        buffer: &'b mut Name,
    ) -> Result<(i32, &'b CStr), Errno> {
        let (above, name) = split(path)?;
        let known = self.directory.as_ref();
        let known = known.filter(|_| self.path.get(..self.length) == Some(above));
        let number = match known {
            Some(directory) => directory.0,
            None => self.open(root, above)?,
        };
        Ok((number, terminated(name, buffer)?))
    }

    fn open(&mut self, root: i32, above: &[u8]) -> Result<i32, Errno> {
        let directory = open_or_make(root, above)?;
        let number = directory.0;
        // A path that is too long is never found again.
        self.length = NEAR_MAX + 1;
        if let Some(path) = self.path.get_mut(..above.len()) {
            path.copy_from_slice(above);
            self.length = above.len();
        }
        self.directory = Some(directory);
        self.owner = None;
        Ok(number)
    }
}

/// A path with a NUL behind it.
pub(super) type PathBuffer = [u8; PATH_MAX];

/// Replaces the first symbolic link on a path that leads nowhere by what it says. The new path is
/// beneath the root, like any other.
///
/// # Errors
/// ENOENT when there is no such link.
pub(super) fn follow_dangling(root: i32, buffer: &mut PathBuffer) -> Result<(), Errno> {
    let whole = *buffer;
    let path = CStr::from_bytes_until_nul(&whole).map_err(|_| Errno::EINVAL)?;
    let path = trimmed(path);
    let mut above = 0;
    for name in path.split(is_slash) {
        let end = above + name.len();
        let prefix = terminated(path.get(..end).unwrap_or_default(), buffer)?;
        if matches!(open(root, prefix, 0), Err(Errno::ENOENT)) {
            let link = open(root, prefix, NO_FOLLOW)?;
            let mut text = [0; PATH_MAX];
            let text = sys::readlink(link.0, &mut text)?.to_bytes();
            if text.first() == Some(&b'/') {
                above = 0;
            }
            let rest = path.get(end..).unwrap_or_default();
            return splice(buffer, above, text, rest);
        }
        above = end + 1;
    }
    Err(Errno::ENOENT)
}

/// Puts a text and what is behind it at a place of a path.
fn splice(buffer: &mut PathBuffer, at: usize, text: &[u8], rest: &[u8]) -> Result<(), Errno> {
    let behind = at + text.len();
    let end = behind + rest.len();
    *buffer.get_mut(end).ok_or(Errno::ENAMETOOLONG)? = 0;
    buffer[at..behind].copy_from_slice(text);
    buffer[behind..end].copy_from_slice(rest);
    Ok(())
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

/// The path of the directory above, and the last name; EEXIST for the root itself.
fn split(path: &CStr) -> Result<(&[u8], &[u8]), Errno> {
    let mut parts = trimmed(path).rsplitn(2, is_slash);
    let name = parts.next().unwrap_or_default();
    let above = parts.next().unwrap_or(b".");
    match name.is_empty() {
        true => Err(Errno::EEXIST),
        false => Ok((above, name)),
    }
}

#[inline(never)]
fn open_or_make(root: i32, path: &[u8]) -> Result<Fd, Errno> {
    let mut buffer = [0; PATH_MAX];
    match open_directory(root, terminated(path, &mut buffer)?) {
        Err(Errno::ENOENT) => make_all(root, path, &mut buffer),
        other => other,
    }
}

/// Makes what is missing of a path without slashes around it, and opens its end.
fn make_all(root: i32, path: &[u8], buffer: &mut PathBuffer) -> Result<Fd, Errno> {
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
pub(super) fn terminated<'b>(part: &[u8], buffer: &'b mut [u8]) -> Result<&'b CStr, Errno> {
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
