//! A range of ids that nothing on the host owns, for containers that root makes.
//!
//! Two containers never share a range: each holds a lock on it for as long as it lives, which the
//! kernel lets go when the process that made it ends, however that happens.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use crabcan_ns::SubordinateIds;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::Error;

/// How many ids a container gets.
pub(crate) const COUNT: u32 = 1 << 16;
/// Where `root` has no line in `/etc/subuid`: 4096 ranges above those that systemd hands out, up
/// to the largest id that is not negative as 32 bits. docs/security.md says so too.
const DOCUMENTED_FIRST: u32 = 0x7000_0000;
const DOCUMENTED_RANGES: u32 = 4096;

/// Where in the file the bytes of the group ids begin.
const GIDS: i64 = 1 << 32;

const DIRECTORY: &str = "/run/crabcan";

/// The first user and group id of a range of [`COUNT`], locked until it is dropped.
#[derive(Debug)]
pub(crate) struct IdRange {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// The lock belongs to this open file.
    _lock: File,
}

/// Takes a free range.
pub(crate) fn take() -> Result<IdRange, Error> {
    let candidates = candidates()?;
    let failed = |source| Error::Ids {
        ranges: candidates.len(),
        source,
    };
    let file = lock_file().map_err(failed)?;
    // Different processes start at different places, so that they seldom meet.
    let start = std::process::id() as usize % candidates.len().max(1);
    for &(uid, gid) in candidates.iter().cycle().skip(start).take(candidates.len()) {
        if lock(&file, uid.into()).map_err(failed)?
            && lock(&file, GIDS + i64::from(gid)).map_err(failed)?
        {
            return Ok(IdRange {
                uid,
                gid,
                _lock: file,
            });
        }
    }
    Err(failed(io::Error::from_raw_os_error(libc::EBUSY)))
}

/// Ranges of [`COUNT`] from root's lines in `/etc/subuid` and `/etc/subgid`, else the documented.
fn candidates() -> Result<Vec<(u32, u32)>, Error> {
    let failed = |source| Error::SubordinateIds { source };
    let uids = SubordinateIds::uids(Some("root"), 0).map_err(failed)?;
    let gids = SubordinateIds::gids(Some("root"), 0).map_err(failed)?;
    let pairs: Vec<_> = slices(&uids).zip(slices(&gids)).collect();
    if pairs.is_empty() {
        let documented = (0..DOCUMENTED_RANGES).map(|index| DOCUMENTED_FIRST + index * COUNT);
        return Ok(documented.map(|first| (first, first)).collect());
    }
    Ok(pairs)
}

/// Cuts ranges into pieces of [`COUNT`].
fn slices(ids: &SubordinateIds) -> impl Iterator<Item = u32> + '_ {
    ids.ranges().iter().flat_map(|&(start, count)| {
        (0..count / COUNT).filter_map(move |index| start.checked_add(index * COUNT))
    })
}

/// The file whose bytes stand for the ranges: made by root, for root alone.
fn lock_file() -> io::Result<File> {
    match DirBuilder::new().mode(0o700).create(DIRECTORY) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let directory = Path::new(DIRECTORY).symlink_metadata()?;
    if !directory.is_dir() || directory.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{DIRECTORY} is not a directory of this user's own"),
        ));
    }
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(Path::new(DIRECTORY).join(".ids"))
}

/// Locks the bytes that stand for a range; false when somebody else has one of them: ranges of
/// careless lines in `/etc/subuid` can overlap.
fn lock(file: &File, first: i64) -> io::Result<bool> {
    let byte = nix::libc::flock {
        l_type: nix::libc::F_WRLCK as i16,
        l_whence: nix::libc::SEEK_SET as i16,
        l_start: first,
        l_len: i64::from(COUNT),
        l_pid: 0,
    };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&byte)) {
        Ok(_) => Ok(true),
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn subordinate(lines: &str) -> Vec<u32> {
        let ids = SubordinateIds::parse(lines.as_bytes(), Some("root"), 0).unwrap();
        slices(&ids).collect()
    }

    #[test]
    fn ranges_are_cut_into_whole_pieces() {
        assert_eq!(subordinate("root:100000:65536\n"), [100_000]);
        assert_eq!(subordinate("root:100000:65535\n"), [0; 0]);
        assert_eq!(
            subordinate("me:1:65536\nroot:100000:150000\nroot:500000:65536\n"),
            [100_000, 165_536, 500_000]
        );
        assert_eq!(subordinate(""), [0; 0]);
    }

    #[test]
    fn documented_ranges_are_positive_numbers_of_32_bits() {
        let last = DOCUMENTED_FIRST + (DOCUMENTED_RANGES - 1) * COUNT;
        assert_eq!(last + (COUNT - 1), i32::MAX.cast_unsigned());
    }

    /// Also within one process: each container has an open file of its own.
    #[test]
    fn a_range_belongs_to_one_holder_at_a_time() {
        let path = std::env::temp_dir().join(format!("crabcan-ids-{}", std::process::id()));
        let open = || {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            options.open(&path).unwrap()
        };
        let (one, other) = (open(), open());
        assert!(lock(&one, 100_000).unwrap());
        assert!(!lock(&other, 100_000).unwrap());
        // One that begins in the middle of it has ids of it too.
        assert!(!lock(&other, 100_000 + 65_535).unwrap());
        assert!(!lock(&other, 100_000 - 65_535).unwrap());
        assert!(lock(&other, 100_000 + 65_536).unwrap());
        assert!(lock(&other, GIDS + 100_000).unwrap());
        drop(one);
        assert!(lock(&other, 100_000).unwrap());
        std::fs::remove_file(path).unwrap();
    }
}
