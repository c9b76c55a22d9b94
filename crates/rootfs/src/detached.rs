//! Mounts that the parent makes for init, since only it has the right to.

use std::ffi::OsString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

use crabcan_init::format::Change;
use rustix::fs::CWD;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::pivot::Propagation;
use crate::sys::{self, MountAttr};
use crate::{Error, MountAttributes};

const MOUNT_ATTR_IDMAP: u64 = 0x10_0000;

/// Copies what is mounted at a path of the host, with the mounts below it when `recursive`, and
/// attaches the copy nowhere: it can be sent to another mount namespace by its descriptor.
///
/// The copy is private: what is mounted on it later does not appear on the host. With `id_map`,
/// the owners of its files are seen through that user namespace's maps.
///
/// Linux 5.12. See open_tree(2) and
/// [mount_setattr(2)](https://man7.org/linux/man-pages/man2/mount_setattr.2.html).
///
/// # Errors
/// [`Error::OpenTree`] (ENOENT; EPERM without `CAP_SYS_ADMIN`), [`Error::SetAttributes`],
/// [`Error::IdMapUnsupported`] naming the file system, [`Error::IdMap`].
pub fn detached_tree(
    source: &Path,
    recursive: bool,
    attributes: MountAttributes,
    id_map: Option<BorrowedFd<'_>>,
) -> Result<OwnedFd, Error> {
    let change = Change {
        propagation: Propagation::Private.flag(),
        ..Change::set(attributes.bits(), recursive)
    };
    let map = id_map.map(|namespace| (namespace, recursive));
    detached_tree_changed(source, recursive, &[change], map)
}

/// The same with any changes: those of parsed options ([`crate::MountOptions::changes`]). `id_map` is
/// a user namespace, and whether its maps hold for the mounts below as well.
///
/// Unless a change says so, the copy is not private: a copy of a shared mount is shared.
///
/// # Errors
/// As [`detached_tree`].
pub fn detached_tree_changed(
    source: &Path,
    recursive: bool,
    changes: &[Change],
    id_map: Option<(BorrowedFd<'_>, bool)>,
) -> Result<OwnedFd, Error> {
    log::debug!("copy the mount of {}", source.display());
    let tree = copy(source, recursive).map_err(|errno| Error::OpenTree {
        path: source.into(),
        source: errno,
    })?;
    change_detached_tree(tree.as_fd(), source, changes, id_map).map(|()| tree)
}

/// Changes a mount that is attached nowhere; `source` is what its errors name.
///
/// # Errors
/// As [`detached_tree`], but for [`Error::OpenTree`].
pub fn change_detached_tree(
    tree: BorrowedFd<'_>,
    source: &Path,
    changes: &[Change],
    id_map: Option<(BorrowedFd<'_>, bool)>,
) -> Result<(), Error> {
    for change in changes {
        let attr = MountAttr {
            set: change.set,
            clear: change.clear,
            propagation: change.propagation,
            user_namespace: 0,
        };
        sys::mount_setattr(tree, &attr, change.recursive).map_err(|errno| {
            Error::SetAttributes {
                path: source.into(),
                attributes: format!("{:#x} (without {:#x})", change.set, change.clear),
                source: errno,
            }
        })?;
    }
    if let Some((namespace, recursive)) = id_map {
        map_ids(tree, recursive, namespace)
            .map_err(|errno| map_error(source, recursive, namespace, errno))?;
    }
    Ok(())
}

fn copy(source: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(open_tree(CWD, source, flags)?)
}

fn map_ids(tree: BorrowedFd<'_>, recursive: bool, namespace: BorrowedFd<'_>) -> io::Result<()> {
    let attr = MountAttr {
        set: MOUNT_ATTR_IDMAP,
        // A descriptor in use is never negative.
        user_namespace: u64::from(namespace.as_raw_fd().unsigned_abs()),
        ..MountAttr::default()
    };
    sys::mount_setattr(tree, &attr, recursive)
}

fn map_error(source: &Path, recursive: bool, namespace: BorrowedFd<'_>, errno: io::Error) -> Error {
    if errno.raw_os_error() == Some(libc::EINVAL)
        && is_user_namespace(namespace)
        && let Some((path, fstype)) = culprit(source, recursive, namespace)
    {
        return Error::IdMapUnsupported {
            path,
            fstype,
            source: errno,
        };
    }
    Error::IdMap {
        path: source.into(),
        source: errno,
    }
}

/// Another kind of namespace is EINVAL too, and not the file system's fault.
fn is_user_namespace(namespace: BorrowedFd<'_>) -> bool {
    let link = format!("/proc/thread-self/fd/{}", namespace.as_raw_fd());
    fs::read_link(link).is_ok_and(|name| name.as_os_str().as_bytes().starts_with(b"user:["))
}

/// The mount at or below `source` that refuses the map, and its file system's type. The kernel
/// says only that one of them did, so each is asked alone.
fn culprit(source: &Path, recursive: bool, namespace: BorrowedFd<'_>) -> Option<(PathBuf, String)> {
    let refuses = |path: &Path| {
        let answer = copy(path, false).and_then(|one| map_ids(one.as_fd(), false, namespace));
        answer.is_err_and(|errno| errno.raw_os_error() == Some(libc::EINVAL))
    };
    let source = fs::canonicalize(source).ok()?;
    let mounts = mounts(&fs::read("/proc/thread-self/mountinfo").ok()?);
    if refuses(&source) {
        // The mount that holds the source: the longest path, and of those the last one mounted.
        let holds = |(point, _): &&(PathBuf, String)| source.starts_with(point);
        let (_, fstype) = mounts
            .iter()
            .filter(holds)
            .max_by_key(|(point, _)| point.as_os_str().len())?;
        return Some((source, fstype.clone()));
    }
    mounts
        .into_iter()
        .filter(|(point, _)| recursive && point.starts_with(&source))
        .find(|(point, _)| refuses(point))
}

/// The mount points and types in a mountinfo file; see proc_pid_mountinfo(5).
fn mounts(mountinfo: &[u8]) -> Vec<(PathBuf, String)> {
    let one = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let point = unescaped(fields.nth(4)?);
        // The optional fields end with a lone dash.
        let fstype = fields.skip_while(|field| *field != b"-").nth(1)?;
        Some((point, String::from_utf8_lossy(fstype).into_owned()))
    };
    mountinfo
        .split(|byte| *byte == b'\n')
        .filter_map(one)
        .collect()
}

/// Mountinfo writes space, tab, newline and backslash as a backslash and three octal digits.
pub(crate) fn unescaped(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, others)) = rest.split_first() {
        let digits = others.get(..3).filter(|_| *first == b'\\');
        let octal = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        path.push(octal.unwrap_or(*first));
        rest = if octal.is_some() {
            &others[3..]
        } else {
            others
        };
    }
    OsString::from_vec(path).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_read_with_its_escapes() {
        let text = b"36 35 98:0 /a /mnt\\040\\134x rw,noatime shared:1 - ext4 /dev/vda rw\n\
                     37 35 0:3 / / rw - tmpfs none rw\nshort line\n";
        let expected = [("/mnt \\x", "ext4"), ("/", "tmpfs")];
        let found = mounts(text);
        assert_eq!(found.len(), 2);
        for ((point, fstype), (path, name)) in found.iter().zip(expected) {
            assert_eq!(point, Path::new(path));
            assert_eq!(fstype, name);
        }
    }
}
