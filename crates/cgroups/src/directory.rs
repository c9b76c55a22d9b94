//! A directory of a cgroup file system: everything is done beneath its descriptor.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags};

use crate::Error;

const CGROUP_SUPER_MAGIC: u64 = 0x0027_e0eb;
const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;

/// An open directory, and what it is called.
#[derive(Debug)]
pub(crate) struct Directory {
    fd: OwnedFd,
    path: PathBuf,
}

const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::RDONLY)
    .union(OFlags::CLOEXEC);

/// Whether something is in a file system of cgroup v2.
pub(crate) fn is_of_v2(path: &str) -> bool {
    rustix::fs::statfs(path).is_ok_and(|found| magic(&found) == CGROUP2_SUPER_MAGIC)
}

#[allow(
    clippy::unnecessary_cast,
    reason = "the type is another on some architectures"
)]
fn magic(found: &rustix::fs::StatFs) -> u64 {
    found.f_type as u64
}

impl Directory {
    /// Opens a mount point, which must be of the right file system: a plain directory that looks
    /// like one would swallow every limit.
    pub(crate) fn open_mount(point: &Path, v2: bool) -> Result<Self, Error> {
        let failed = |source| Error::Open {
            cgroup: point.to_owned(),
            source,
        };
        let fd = rustix::fs::openat(CWD, point, DIRECTORY, Mode::empty())
            .map_err(|errno| failed(errno.into()))?;
        let found = rustix::fs::fstatfs(&fd).map_err(|errno| failed(errno.into()))?;
        let wanted = if v2 {
            CGROUP2_SUPER_MAGIC
        } else {
            CGROUP_SUPER_MAGIC
        };
        if magic(&found) != wanted {
            return Err(Error::NotACgroup {
                path: point.to_owned(),
            });
        }
        Ok(Self {
            fd,
            path: point.to_owned(),
        })
    }

    /// A directory of any file system, which a test has filled.
    #[cfg(test)]
    pub(crate) fn plain(path: &Path) -> io::Result<Self> {
        Ok(Self {
            fd: rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty())?,
            path: path.to_owned(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it, for messages.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Opens a directory beneath it, through no link and into no other mount.
    pub(crate) fn open(&self, below: &Path) -> io::Result<Self> {
        let path = if below.as_os_str().is_empty() {
            Path::new(".")
        } else {
            below
        };
        let fd = self.open_beneath(path, DIRECTORY)?;
        Ok(Self {
            fd,
            path: self.path.join(below),
        })
    }

    fn open_beneath(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH
            | ResolveFlags::NO_SYMLINKS
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV;
        let flags = flags | OFlags::CLOEXEC;
        loop {
            match rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve) {
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                other => return Ok(other?),
            }
        }
    }

    /// Makes a directory in it; whether it was not there before.
    pub(crate) fn make(&self, name: &Path) -> io::Result<bool> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => {
                log::debug!("mkdir {}", self.path.join(name).display());
                Ok(true)
            }
            Err(rustix::io::Errno::EXIST) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Removes a directory in it; whether it was there.
    pub(crate) fn remove(&self, name: &Path) -> io::Result<bool> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) => {
                log::debug!("rmdir {}", self.path.join(name).display());
                Ok(true)
            }
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    pub(crate) fn read(&self, file: &str) -> io::Result<String> {
        let fd = self.open_beneath(Path::new(file), OFlags::RDONLY | OFlags::NOFOLLOW)?;
        // Room for an ordinary file at once: an empty string would be filled in small bites.
        let mut text = String::with_capacity(1024);
        let file = std::fs::File::from(fd);
        file.take(u64::MAX).read_to_string(&mut text)?;
        Ok(text)
    }

    /// Writes a value in one write(2), as the kernel's files want it.
    pub(crate) fn write(&self, file: &str, value: &str) -> io::Result<()> {
        let fd = self.open_for_writing(file)?;
        log::debug!("write {value:?} to {}", self.file(file).display());
        let written = loop {
            match rustix::io::write(&fd, value.as_bytes()) {
                Err(rustix::io::Errno::INTR) => {}
                other => break other?,
            }
        };
        if written == value.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }

    pub(crate) fn open_for_writing(&self, file: &str) -> io::Result<OwnedFd> {
        self.open_beneath(Path::new(file), OFlags::WRONLY | OFlags::NOFOLLOW)
    }

    pub(crate) fn open_for_reading(&self, file: &str) -> io::Result<OwnedFd> {
        self.open_beneath(Path::new(file), OFlags::RDONLY | OFlags::NOFOLLOW)
    }

    pub(crate) fn has(&self, file: &str) -> bool {
        rustix::fs::statat(&self.fd, file, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// The names of the directories in it: its child cgroups.
    pub(crate) fn children(&self) -> io::Result<Vec<PathBuf>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if entry.file_type() == FileType::Directory && name != b"." && name != b".." {
                names.push(OsString::from_vec(name.to_vec()).into());
            }
        }
        Ok(names)
    }

    /// The processes in it, without those of its children, as this process sees them.
    pub(crate) fn processes(&self) -> io::Result<Vec<i32>> {
        let text = match self.read("cgroup.procs") {
            // A threaded cgroup does not say; its processes are its domain's.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => String::new(),
            other => other?,
        };
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Whether it is still what its parent has under this name.
    pub(crate) fn is_linked(&self) -> bool {
        rustix::fs::fstat(&self.fd).is_ok_and(|stat| stat.st_nlink > 0)
            && self.read("cgroup.procs").is_ok()
    }

    /// Gives a file in it to a user, or itself where the name is empty; the group stays.
    pub(crate) fn chown(&self, file: &str, uid: u32) -> io::Result<()> {
        let uid = Some(rustix::fs::Uid::from_raw(uid));
        if file.is_empty() {
            rustix::fs::fchown(&self.fd, uid, None)?;
        } else {
            rustix::fs::chownat(&self.fd, file, uid, None, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }

    /// Whether this user may write to a file in it, or make something in the directory itself.
    pub(crate) fn is_writable(&self, file: &str) -> io::Result<()> {
        let path = if file.is_empty() { "." } else { file };
        let access = rustix::fs::Access::WRITE_OK;
        rustix::fs::accessat(&self.fd, path, access, AtFlags::EACCESS)?;
        Ok(())
    }

    /// The user that it belongs to.
    pub(crate) fn owner(&self) -> io::Result<u32> {
        Ok(rustix::fs::fstat(&self.fd)?.st_uid)
    }

    /// Whether a manager of cgroups has marked it as somebody else's to divide.
    pub(crate) fn is_marked_delegated(&self) -> bool {
        ["user.delegate", "trusted.delegate"]
            .into_iter()
            .any(|name| {
                let mut value = [0u8; 8];
                let length = rustix::fs::fgetxattr(&self.fd, name, &mut value[..]);
                length.is_ok_and(|length| value.get(..length) == Some(b"1"))
            })
    }

    /// Takes the lock that tells others that its maker lives; whether nobody else has it.
    pub(crate) fn lock(&self) -> bool {
        use rustix::fs::FlockOperation::NonBlockingLockExclusive;
        rustix::fs::flock(&self.fd, NonBlockingLockExclusive).is_ok()
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
