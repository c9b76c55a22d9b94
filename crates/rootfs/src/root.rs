//! A root that is opened once, and every path in it resolved beneath that descriptor.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crabcan_init::Errno;
use crabcan_init::steps::beneath;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags};

use crate::Error;
use crate::mount::c_path;

/// How often a resolution that raced with a rename is begun again, before it is given up: whoever
/// can write in the root must not be able to hold the caller up for ever.
const TRIES: u32 = 1024;

/// A directory that is the root of every path given to it.
///
/// Whatever stands in the tree, and whoever changes it meanwhile: symbolic links and `..` lead to
/// places in the tree, and links of `/proc` that lead anywhere are refused (ELOOP).
#[derive(Debug)]
pub struct RootFd {
    fd: OwnedFd,
    path: PathBuf,
}

/// What is found at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A directory.
    Directory,
    /// An ordinary file.
    File,
    /// A symbolic link, where links are not followed.
    Symlink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl RootFd {
    /// Opens a directory of the host as a root. Links on the way to it are followed.
    ///
    /// # Errors
    /// [`Error::NotDirectory`] for anything but a directory, [`Error::OpenRoot`] (ENOENT, EACCES).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(fd) => Ok(Self {
                fd,
                path: path.into(),
            }),
            Err(rustix::io::Errno::NOTDIR) if path.exists() => {
                Err(Error::NotDirectory { path: path.into() })
            }
            Err(errno) => Err(Error::OpenRoot {
                path: path.into(),
                source: errno.into(),
            }),
        }
    }

    /// The path that it was opened by: for messages, never to be opened again.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a path as a place only (`O_PATH`): it can be looked at and mounted on, not read.
    ///
    /// # Errors
    /// [`Error::Resolve`]: ENOENT, ENOTDIR, EACCES; ELOOP for a magic link or too many links;
    /// EAGAIN when renames kept it from an end.
    pub fn resolve(&self, path: impl AsRef<Path>) -> Result<OwnedFd, Error> {
        let path = path.as_ref();
        self.open_beneath(path, OFlags::empty(), ResolveFlags::empty())
            .map_err(|source| self.resolve_error(path, source))
    }

    /// What is at a path, links followed beneath the root; `None` when nothing is there.
    ///
    /// # Errors
    /// As [`Self::resolve`], but for ENOENT.
    pub fn kind(&self, path: impl AsRef<Path>) -> Result<Option<Kind>, Error> {
        self.kind_of(path.as_ref(), OFlags::empty(), ResolveFlags::empty())
    }

    /// What is at a path that must not lead through a link; a link at its end is told as such.
    ///
    /// # Errors
    /// As [`Self::resolve`], but for ENOENT; ELOOP for a link on the way.
    pub fn kind_no_symlinks(&self, path: impl AsRef<Path>) -> Result<Option<Kind>, Error> {
        self.kind_of(path.as_ref(), OFlags::NOFOLLOW, ResolveFlags::NO_SYMLINKS)
    }

    /// Makes a directory with these permission bits, less the umask, and those above it (0755);
    /// one that is there already is left as it is.
    ///
    /// # Errors
    /// [`Error::Make`]: ENOTDIR when something else is there, EACCES, EROFS, ENOSPC; ENOENT for a
    /// link that leads nowhere.
    pub fn make_directory(&self, path: impl AsRef<Path>, mode: u32) -> Result<(), Error> {
        self.make("the directory", path.as_ref(), |root, path| {
            beneath::make_directory(root, path, mode)
        })
    }

    /// Makes an empty file and the directories above it; anything there already is left as it is.
    ///
    /// # Errors
    /// As [`Self::make_directory`].
    pub fn make_file(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.make("the file", path.as_ref(), |root, path| {
            beneath::make_file(root, path)
        })
    }

    /// Makes a symbolic link that says `text`, and the directories above it.
    ///
    /// # Errors
    /// As [`Self::make_directory`]; EEXIST when anything is there already.
    pub fn make_symlink(
        &self,
        text: impl AsRef<Path>,
        path: impl AsRef<Path>,
    ) -> Result<(), Error> {
        let text = c_path(text.as_ref())?;
        self.make("the link", path.as_ref(), |root, path| {
            beneath::make_symlink(root, &text, path)
        })
    }

    fn make(
        &self,
        what: &'static str,
        path: &Path,
        make: impl FnOnce(i32, &CString) -> Result<(), Errno>,
    ) -> Result<(), Error> {
        let name = c_path(path)?;
        log::debug!(
            "make {what} {} beneath {}",
            path.display(),
            self.path.display()
        );
        make(self.fd.as_raw_fd(), &name).map_err(|errno| Error::Make {
            what,
            path: path.into(),
            root: self.path.clone(),
            source: io::Error::from_raw_os_error(errno.0),
        })
    }

    fn open_beneath(
        &self,
        path: &Path,
        flags: OFlags,
        refused: ResolveFlags,
    ) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | flags;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | refused;
        let mut tries = 0;
        loop {
            match rustix::fs::openat2(&self.fd, path, flags, Mode::empty(), resolve) {
                Err(rustix::io::Errno::INTR) => {}
                // A rename raced with `..`: the kernel asks to begin again.
                Err(rustix::io::Errno::AGAIN) if tries < TRIES => tries += 1,
                other => return other.map_err(io::Error::from),
            }
        }
    }

    fn kind_of(
        &self,
        path: &Path,
        flags: OFlags,
        refused: ResolveFlags,
    ) -> Result<Option<Kind>, Error> {
        let found = match self.open_beneath(path, flags, refused) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.and_then(|place| kind_of_open(place.as_fd())),
        };
        found
            .map(Some)
            .map_err(|source| self.resolve_error(path, source))
    }

    fn resolve_error(&self, path: &Path, source: io::Error) -> Error {
        Error::Resolve {
            path: path.into(),
            root: self.path.clone(),
            source,
        }
    }
}

impl AsFd for RootFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn kind_of_open(place: BorrowedFd<'_>) -> io::Result<Kind> {
    let stat = rustix::fs::statx(place, c"", AtFlags::EMPTY_PATH, StatxFlags::TYPE)?;
    match FileType::from_raw_mode(stat.stx_mode.into()) {
        FileType::Directory => Ok(Kind::Directory),
        FileType::RegularFile => Ok(Kind::File),
        FileType::Symlink => Ok(Kind::Symlink),
        FileType::CharacterDevice => Ok(Kind::CharacterDevice),
        FileType::BlockDevice => Ok(Kind::BlockDevice),
        FileType::Fifo => Ok(Kind::Fifo),
        FileType::Socket => Ok(Kind::Socket),
        // A kind that the kernel does not have yet.
        FileType::Unknown => Err(io::ErrorKind::Unsupported.into()),
    }
}
