//! A mount among the host's own: attached to a directory, known again by its ids, and taken away.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crabcan_init::format::Change;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, statx};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, UnmountFlags, move_mount, unmount};

use crate::detached::{change_detached_tree, unescaped};
use crate::{Error, Propagation};

/// `STATX_MNT_ID_UNIQUE`.
const MNT_ID_UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// What tells a mount from every other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MountId {
    /// Its number in mountinfo, which another mount may get after it.
    pub id: u64,
    /// The one that no other mount gets as long as the kernel runs: from Linux 6.8 on.
    pub unique: Option<u64>,
}

impl MountId {
    /// The ids of the mount that a descriptor is of, attached or not.
    ///
    /// # Errors
    /// [`Error::MountId`]: ENOSYS where the kernel does not tell them (before Linux 5.8).
    pub fn of(mount: impl AsFd) -> Result<Self, Error> {
        let ask = |what: StatxFlags| -> Result<Option<u64>, Error> {
            let answer = statx(mount.as_fd(), c"", AtFlags::EMPTY_PATH, what);
            let answer = answer.map_err(|errno| Error::MountId {
                source: errno.into(),
            })?;
            Ok((answer.stx_mask & what.bits() != 0).then_some(answer.stx_mnt_id))
        };
        let id = ask(StatxFlags::MNT_ID)?.ok_or_else(|| Error::MountId {
            source: Errno::NOSYS.into(),
        })?;
        let unique = ask(MNT_ID_UNIQUE)?;
        Ok(Self { id, unique })
    }

    /// Opens the directory at which it is attached, if it is what one sees there.
    ///
    /// # Errors
    /// [`Error::OpenRoot`] (EACCES), [`Error::MountId`].
    pub fn open_at(self, place: &Path) -> Result<Option<OwnedFd>, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let found = match openat(CWD, place, flags, Mode::empty()) {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(errno) => {
                return Err(Error::OpenRoot {
                    path: place.into(),
                    source: errno.into(),
                });
            }
        };
        Ok((Self::of(&found)? == self).then_some(found))
    }

    /// Takes it away from the place at which it is attached, with everything that is mounted on it
    /// or in it (umount2(2), `MNT_DETACH`). That it is not there any more is no error.
    ///
    /// # Errors
    /// [`Error::Covered`] when something else is mounted over it: that is another one's, and is left
    /// alone. [`Error::Detach`], and those of [`Self::open_at`].
    pub fn detach(self, place: &Path) -> Result<(), Error> {
        let failed = |source| Error::Detach {
            path: place.into(),
            source,
        };
        let Some(mount) = self.open_at(place)? else {
            let covered = (self.id, resolved(place));
            return match mounts().map_err(failed)?.contains(&covered) {
                true => Err(Error::Covered { path: place.into() }),
                false => Ok(()),
            };
        };
        // By the descriptor: whatever is at the path by now.
        let link = format!("/proc/thread-self/fd/{}", mount.as_raw_fd());
        unmount(link, UnmountFlags::DETACH).map_err(|errno| failed(errno.into()))
    }
}

/// Attaches a detached mount to a directory of this mount namespace, where it is private: what is
/// mounted in it appears in no other namespace.
///
/// # Errors
/// [`Error::Attach`]: EPERM without `CAP_SYS_ADMIN`, else as move_mount(2) says;
/// [`Error::SetAttributes`].
pub fn attach_detached(tree: BorrowedFd<'_>, place: &Path) -> Result<(), Error> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
    move_mount(tree, c"", CWD, place, flags).map_err(|errno| Error::Attach {
        path: place.into(),
        source: errno.into(),
    })?;
    // In a mount that is shared the kernel shares it too.
    let private = Change {
        propagation: Propagation::Private.flag(),
        ..Change::default()
    };
    change_detached_tree(tree, place, &[private], None)
}

/// Something that is mounted below a directory, if anything is.
///
/// # Errors
/// [`Error::OpenRoot`] when mountinfo can't be read.
pub fn mount_below(place: &Path) -> Result<Option<PathBuf>, Error> {
    let place = resolved(place);
    let mounts = mounts().map_err(|source| Error::OpenRoot {
        path: place.clone(),
        source,
    })?;
    let points = mounts.into_iter().map(|(_, point)| point);
    let mut below = points.filter(|point| *point != place && point.starts_with(&place));
    Ok(below.next())
}

/// As mountinfo has it.
fn resolved(place: &Path) -> PathBuf {
    fs::canonicalize(place).unwrap_or_else(|_| place.to_owned())
}

/// The ids of all mounts that this process sees, and where they are.
fn mounts() -> io::Result<Vec<(u64, PathBuf)>> {
    let text = fs::read("/proc/thread-self/mountinfo")?;
    let one = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ');
        let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        Some((id, unescaped(fields.nth(3)?)))
    };
    Ok(text.split(|byte| *byte == b'\n').filter_map(one).collect())
}
