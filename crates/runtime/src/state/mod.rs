//! The state directory: what outlives the program that made a container.
//!
//! ```text
//! /run/crabcan            0700, of the user who runs containers; --root names another
//! └── ID                  0700, one for each container, from before its first process on
//!     ├── state.json      the record, replaced whole
//!     ├── config.json     the configuration as it was when the container was made
//!     └── start           a FIFO: init waits in it for the word to execute the program
//! ```
//!
//! An entry is reserved by making its directory, so of several that want one id one wins; whoever
//! changes something holds a lock on it (flock(2)), which the kernel lets go at the holder's end.
//! Everything is opened beneath the descriptor of the root, without following links.

mod entry;
mod id;
mod identity;
mod record;
mod status;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, RawMode};
use rustix::fs::{Dir, FileType, Mode, OFlags, fstat, mkdirat, open, openat, statat, unlinkat};
use rustix::io::Errno;

use crate::{Error, Host};

pub(crate) use entry::{Entry, Lock};
pub use id::Id;
pub(crate) use identity::{Identity, has_ended, hold};
#[cfg(fuzzing)]
pub(crate) use record::tests::target;
pub(crate) use record::{Record, RootMount, ScopeRecord, VERSION, timestamp};
pub use status::{State, Status};

const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::RDONLY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// The directory in which the entries of containers are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRoot {
    path: PathBuf,
}

impl StateRoot {
    /// The state directory at this path. Nothing is looked at or made yet.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// `/run/crabcan` for root; `crabcan` in `$XDG_RUNTIME_DIR`, else in `/run/user/UID`, for an
    /// ordinary user and for the root of a user namespace that has `$XDG_RUNTIME_DIR`.
    ///
    /// # Errors
    /// [`Error::NoStateRoot`] when neither is there.
    pub fn of(host: &Host) -> Result<Self, Error> {
        if host.uid == 0 && host.privileged {
            return Ok(Self::at("/run/crabcan"));
        }
        if let Some(directory) = std::env::var_os("XDG_RUNTIME_DIR").filter(|it| !it.is_empty()) {
            return Ok(Self::at(Path::new(&directory).join("crabcan")));
        }
        let directory = PathBuf::from(format!("/run/user/{}", host.uid));
        match host.uid {
            0 => Ok(Self::at("/run/crabcan")),
            _ if directory.is_dir() => Ok(Self::at(directory.join("crabcan"))),
            _ => Err(Error::NoStateRoot),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reserves an id: makes its entry and locks it.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`]; [`Error::State`] with the kernel's answer (ENOSPC, EROFS, EACCES).
    pub(crate) fn reserve(&self, id: &Id) -> Result<(Entry, Lock), Error> {
        // Between its making and the lock a new entry looks like one left behind, and is removed by
        // those who look for that: then it is made again.
        loop {
            let root = self.open_or_make()?;
            match mkdirat(&root, id.as_str(), Mode::RWXU) {
                Ok(()) => {}
                Err(Errno::EXIST) => return Err(Error::AlreadyExists { id: id.clone() }),
                Err(errno) => return Err(self.failed("make the entry", id.as_str(), errno)),
            }
            match self.open_entry(root, id).and_then(|entry| {
                let lock = entry.lock()?;
                Ok((entry, lock))
            }) {
                Err(Error::NotFound { .. }) => {}
                Err(error) => {
                    self.unmake(id);
                    return Err(error);
                }
                reserved => return reserved,
            }
        }
    }

    /// Removes an entry that was made and could not be opened, as without a free descriptor.
    fn unmake(&self, id: &Id) {
        let removed = self.open().map(|root| {
            root.map_or(Ok(()), |root| {
                unlinkat(&root, id.as_str(), AtFlags::REMOVEDIR)
            })
        });
        if !matches!(removed, Ok(Ok(()))) {
            log::warn!("the empty entry {id} is left behind: {removed:?}");
        }
    }

    /// The entry of a container.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::State`] with the kernel's answer.
    pub(crate) fn find(&self, id: &Id) -> Result<Entry, Error> {
        match self.open()? {
            Some(root) => self.open_entry(root, id),
            None => Err(Error::NotFound { id: id.clone() }),
        }
    }

    /// The ids of all entries, in their order; empty when there is no state directory.
    ///
    /// # Errors
    /// [`Error::State`] with the kernel's answer.
    pub fn ids(&self) -> Result<Vec<Id>, Error> {
        let Some(root) = self.open()? else {
            return Ok(Vec::new());
        };
        let failed = |errno| self.failed("list", "", errno);
        let mut ids = Vec::new();
        for entry in Dir::read_from(&root).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            let Ok(id) = Id::new(name) else { continue };
            // What is no directory is the state directory's own.
            let kind = statat(&root, name, AtFlags::SYMLINK_NOFOLLOW)
                .map(|stat| FileType::from_raw_mode(stat.st_mode));
            if kind == Ok(FileType::Directory) {
                ids.push(id);
            }
        }
        ids.sort();
        Ok(ids)
    }

    fn open_entry(&self, root: OwnedFd, id: &Id) -> Result<Entry, Error> {
        match openat(&root, id.as_str(), DIRECTORY, Mode::empty()) {
            Ok(directory) => Ok(Entry::new(
                id.clone(),
                self.path.join(id.as_str()),
                root,
                directory,
            )),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG) => {
                Err(Error::NotFound { id: id.clone() })
            }
            Err(errno) => Err(self.failed("open the entry", id.as_str(), errno)),
        }
    }

    fn open_or_make(&self) -> Result<OwnedFd, Error> {
        if let Some(root) = self.open()? {
            return Ok(root);
        }
        let made = std::fs::DirBuilder::new();
        let made = make_private(made, &self.path);
        made.map_err(|source| Error::State {
            doing: "make the state directory",
            path: self.path.clone(),
            source,
        })?;
        self.open()?
            .ok_or_else(|| self.failed("open the state directory", "", Errno::NOENT))
    }

    /// Opens the directory and looks whose it is; `None` when it is not there.
    fn open(&self) -> Result<Option<OwnedFd>, Error> {
        // The user's own path may lead through links; what is at its end is checked.
        let flags = DIRECTORY.difference(OFlags::NOFOLLOW);
        let root = match open(&self.path, flags, Mode::empty()) {
            Ok(root) => root,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(self.failed("open the state directory", "", errno)),
        };
        self.check(root.as_fd())?;
        Ok(Some(root))
    }

    /// Whoever can write here can make this user end any process of theirs.
    fn check(&self, root: BorrowedFd<'_>) -> Result<(), Error> {
        const WRITABLE_BY_OTHERS: RawMode = 0o022;
        let stat = fstat(root).map_err(|errno| self.failed("look at", "", errno))?;
        let own = stat.st_uid == rustix::process::geteuid().as_raw();
        if own && stat.st_mode & WRITABLE_BY_OTHERS == 0 {
            return Ok(());
        }
        let reason = if own {
            "others may write to it"
        } else {
            "it belongs to another user"
        };
        Err(Error::State {
            doing: "use the state directory",
            path: self.path.clone(),
            source: io::Error::new(io::ErrorKind::PermissionDenied, reason),
        })
    }

    fn failed(&self, doing: &'static str, name: &str, errno: Errno) -> Error {
        Error::State {
            doing,
            path: self.path.join(name),
            source: errno.into(),
        }
    }
}

/// Makes a directory and those above it; several may do so at the same time.
fn make_private(mut builder: std::fs::DirBuilder, path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    builder.mode(0o700).recursive(true).create(path)
}

#[cfg(test)]
mod tests;
