//! One container's entry in the state directory.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, RawDir, fchmod, flock, fstat, mkdirat,
    mknodat, openat, renameat, statat, unlinkat,
};
use rustix::io::{Errno, read, retry_on_intr};

use super::{DIRECTORY, Id, Record, record};
use crate::Error;

const RECORD: &str = "state.json";
const NEW_RECORD: &str = ".state.json.new";
const CONFIGURATION: &str = "config.json";
const FIFO: &str = "start";

/// Larger than any record or configuration that is accepted.
const MAX_BYTES: u64 = 64 << 20;

/// How long somebody else may hold the lock.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// An entry that is there, whatever is in it.
#[derive(Debug)]
pub(crate) struct Entry {
    id: Id,
    path: PathBuf,
    root: OwnedFd,
    directory: OwnedFd,
}

/// That this process alone changes the container, until it is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Lock {
    _directory: OwnedFd,
}

impl Entry {
    pub(super) fn new(id: Id, path: PathBuf, root: OwnedFd, directory: OwnedFd) -> Self {
        Self {
            id,
            path,
            root,
            directory,
        }
    }

    pub(crate) fn id(&self) -> &Id {
        &self.id
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the lock. Hooks may take their time: then there is an error and no endless wait.
    ///
    /// # Errors
    /// [`Error::Busy`] after ten seconds; [`Error::NotFound`] when the container was deleted
    /// meanwhile.
    pub(crate) fn lock(&self) -> Result<Lock, Error> {
        let mut until = None;
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(lock) = self.try_lock()? {
                return Ok(lock);
            }
            if is_over(&mut until) {
                return Err(Error::Busy {
                    id: self.id.clone(),
                });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Takes the lock if it is free.
    pub(crate) fn try_lock(&self) -> Result<Option<Lock>, Error> {
        // A lock belongs to an open file: a copy of the descriptor would share ours.
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let directory = match openat(&self.directory, ".", flags, Mode::empty()) {
            Err(Errno::NOENT) => return Err(self.gone()),
            other => other.map_err(|errno| self.failed("open", "", errno))?,
        };
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN) => return Ok(None),
            Err(errno) => return Err(self.failed("lock", "", errno)),
        }
        let stat = fstat(&directory).map_err(|errno| self.failed("look at", "", errno))?;
        if stat.st_nlink == 0 {
            return Err(self.gone());
        }
        Ok(Some(Lock {
            _directory: directory,
        }))
    }

    /// The record of an entry that nobody else changes.
    ///
    /// # Errors
    /// [`Error::StateUnreadable`] for a record that is missing, cut off, or of another version.
    pub(crate) fn read(&self) -> Result<Record, Error> {
        self.read_if_any()?
            .ok_or_else(|| self.unreadable("it is missing".into()))
    }

    /// The record of an entry that may just be made or removed by somebody else: then it has none
    /// for a moment, which is over when the lock is free.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`Error::NotFound`] for a container that was deleted meanwhile.
    pub(crate) fn read_settled(&self) -> Result<Record, Error> {
        let mut until = None;
        loop {
            if let Some(record) = self.read_if_any()? {
                return Ok(record);
            }
            let lock = self.try_lock()?;
            if lock.is_some() || is_over(&mut until) {
                return self.read();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn read_if_any(&self) -> Result<Option<Record>, Error> {
        match self.read_file(RECORD) {
            Err(Error::State { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                Ok(None)
            }
            bytes => record::parse(&bytes?)
                .map(Some)
                .map_err(|reason| self.unreadable(reason)),
        }
    }

    fn unreadable(&self, reason: String) -> Error {
        Error::StateUnreadable {
            path: self.path.join(RECORD),
            reason,
        }
    }

    /// Whether there is a record, whatever is in it.
    pub(crate) fn has_record(&self) -> bool {
        let found = statat(&self.directory, RECORD, AtFlags::SYMLINK_NOFOLLOW);
        !matches!(found, Err(Errno::NOENT))
    }

    /// Replaces the record, whole or not at all.
    ///
    /// # Errors
    /// [`Error::State`]: ENOSPC, EROFS.
    pub(crate) fn write(&self, record: &Record) -> Result<(), Error> {
        let bytes =
            serde_json::to_vec(record).map_err(|error| self.unreadable(error.to_string()))?;
        self.write_file(NEW_RECORD, &bytes)?;
        renameat(&self.directory, NEW_RECORD, &self.directory, RECORD)
            .map_err(|errno| self.failed("replace", RECORD, errno))
    }

    /// Keeps the configuration: later changes of the bundle's are without effect.
    pub(crate) fn keep_configuration(&self, bytes: &[u8]) -> Result<(), Error> {
        self.write_file(CONFIGURATION, bytes)
    }

    pub(crate) fn configuration(&self) -> Result<Vec<u8>, Error> {
        self.read_file(CONFIGURATION)
    }

    /// The device programs of some other containers of this state directory, looked for when they
    /// are asked for. Those of one engine mostly say the same: a few are enough.
    pub(crate) fn device_programs_of_others(&self) -> impl Iterator<Item = u32> {
        std::iter::once_with(|| self.some_others())
            .flatten()
            .filter_map(|name| self.device_program_of(&name))
    }

    /// The names of a few other entries; none where they can't be listed.
    fn some_others(&self) -> Vec<CString> {
        /// A directory has a link for each in it, itself and its own: with no more there are no others.
        const LINKS_WHEN_ALONE: u64 = 3;
        const FEW: usize = 4;
        if fstat(&self.root).is_ok_and(|stat| stat.st_nlink == LINKS_WHEN_ALONE) {
            return Vec::new();
        }
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let Ok(root) = openat(&self.root, ".", flags, Mode::empty()) else {
            return Vec::new();
        };
        let mut names = Vec::with_capacity(FEW);
        let mut buffer = [const { MaybeUninit::uninit() }; 1024];
        let mut listed = RawDir::new(root, &mut buffer);
        while let Some(Ok(entry)) = listed.next() {
            let name = entry.file_name();
            let is_own = name.to_bytes() == self.id.as_str().as_bytes();
            if !is_own && !name.to_bytes().starts_with(b".") {
                names.push(name.to_owned());
            }
            if names.len() == FEW {
                break;
            }
        }
        names
    }

    fn device_program_of(&self, other: &CStr) -> Option<u32> {
        let directory = openat(&self.root, other, DIRECTORY, Mode::empty()).ok()?;
        let bytes = read_in(&directory, RECORD).ok()?;
        record::device_program(&bytes)
    }

    /// Makes the FIFO and opens it for reading and writing, so that nobody waits for another end.
    pub(crate) fn make_fifo(&self) -> Result<OwnedFd, Error> {
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(&self.directory, FIFO, FileType::Fifo, mode, 0)
            .map_err(|errno| self.failed("make", FIFO, errno))?;
        // Whoever reads it waits for a word.
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.directory, FIFO, flags, Mode::empty())
            .map_err(|errno| self.failed("open", FIFO, errno))
    }

    /// Opens the FIFO without waiting. For writing: ENXIO when nobody reads it, ENOENT when the
    /// container was started.
    pub(crate) fn open_fifo(&self, access: OFlags) -> Result<OwnedFd, Errno> {
        let flags = access | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&self.directory, FIFO, flags, Mode::empty())
    }

    /// Removes the FIFO: the container was started.
    pub(crate) fn remove_fifo(&self) -> Result<(), Error> {
        match unlinkat(&self.directory, FIFO, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(self.failed("remove", FIFO, errno)),
        }
    }

    /// Removes the entry and everything in it; what is gone already is no error.
    ///
    /// # Errors
    /// [`Error::State`]: EROFS, EACCES.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        let failed = |errno| self.failed("remove", "", errno);
        // By their names, which works without a descriptor to read the directory by too.
        for name in [FIFO, NEW_RECORD, RECORD, CONFIGURATION] {
            match unlinkat(&self.directory, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => {}
                Err(errno) => return Err(failed(errno)),
            }
        }
        let remove = || match unlinkat(&self.root, self.id.as_str(), AtFlags::REMOVEDIR) {
            Err(Errno::NOENT) => Ok(()),
            other => other,
        };
        match remove() {
            Err(Errno::NOTEMPTY) => empty(&self.directory).and_then(|()| remove()),
            other => other,
        }
        .map_err(failed)
    }

    /// Makes a directory in the entry, which others than this user may enter once it is shown to
    /// them elsewhere.
    pub(crate) fn make_directory(&self, name: &str) -> Result<(), Error> {
        let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
        mkdirat(&self.directory, name, mode)
            .and_then(|()| self.open_directory(name))
            // Whatever the caller's umask is.
            .and_then(|directory| fchmod(directory, mode))
            .map_err(|errno| self.failed("make", name, errno))
    }

    pub(crate) fn open_directory(&self, name: &str) -> Result<OwnedFd, Errno> {
        openat(&self.directory, name, DIRECTORY, Mode::empty())
    }

    fn read_file(&self, name: &'static str) -> Result<Vec<u8>, Error> {
        read_in(&self.directory, name).map_err(|(doing, source)| Error::State {
            doing,
            path: self.path.join(name),
            source,
        })
    }

    fn write_file(&self, name: &'static str, bytes: &[u8]) -> Result<(), Error> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
        let file = openat(
            &self.directory,
            name,
            flags | OFlags::CLOEXEC,
            Mode::RUSR | Mode::WUSR,
        )
        .map_err(|errno| self.failed("open", name, errno))?;
        File::from(file)
            .write_all(bytes)
            .map_err(|source| Error::State {
                doing: "write",
                path: self.path.join(name),
                source,
            })
    }

    fn gone(&self) -> Error {
        Error::NotFound {
            id: self.id.clone(),
        }
    }

    fn failed(&self, doing: &'static str, name: &str, errno: Errno) -> Error {
        Error::State {
            doing,
            path: self.path.join(name),
            source: errno.into(),
        }
    }
}

/// Reads a file of an entry; what could not be done to it otherwise.
fn read_in(directory: &OwnedFd, name: &str) -> Result<Vec<u8>, (&'static str, io::Error)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(directory, name, flags, Mode::empty());
    let file = file.map_err(|errno| ("open", errno.into()))?;
    // Room for an ordinary record at once: an empty vector would be filled in small bites.
    let mut bytes = Vec::with_capacity(2048);
    // Less than there is room for is all that a regular file has: there is nothing behind it to be
    // asked for.
    let first = retry_on_intr(|| read(&file, spare_capacity(&mut bytes)));
    let first = first.map_err(|errno| ("read", errno.into()))?;
    if first == bytes.capacity() {
        let rest = File::from(file).take(MAX_BYTES).read_to_end(&mut bytes);
        rest.map_err(|error| ("read", error))?;
    }
    Ok(bytes)
}

/// Whether the lock was waited for long enough, from the first look on: who never waits, as nearly
/// all do, does not ask for the time.
fn is_over(until: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    now >= *until.get_or_insert(now + LOCK_LIMIT)
}

/// What is gone already is no error.
fn unless_gone(removed: Result<(), Errno>) -> Result<(), Errno> {
    match removed {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

/// Removes everything in a directory; what is gone already is no error.
fn empty(directory: &OwnedFd) -> Result<(), Errno> {
    let entries = match Dir::read_from(directory) {
        Err(Errno::NOENT) => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let removed = match unlinkat(directory, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => {
                empty(&openat(directory, name, DIRECTORY, Mode::empty())?)?;
                unlinkat(directory, name, AtFlags::REMOVEDIR)
            }
            other => other,
        };
        unless_gone(removed)?;
    }
    Ok(())
}

impl AsFd for Entry {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}
