//! Unpacked layers, each in a directory of its own by its digest.

use std::fs::{DirBuilder, remove_dir_all};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{self, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::tree::{self, Tree};
use crate::{Digest, Error, Image, Layer, layer};

/// Where layers stand that are whole.
const LAYERS: &str = "layers";
/// Where they are written, by whoever holds the lock.
const NEW: &str = "new";

/// To whom the files of a layer belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// To whoever unpacks them: no privilege is needed.
    OfTheCaller,
    /// To the ids that the image says: needs `CAP_CHOWN`.
    OfTheImage,
}

/// How much of one layer is unpacked at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of its decompressed archive.
    pub bytes: u64,
    /// Members of its archive.
    pub members: u64,
}

impl Default for Limits {
    /// 32 GiB and a million members.
    fn default() -> Self {
        Self {
            bytes: 32 << 30,
            members: 1_000_000,
        }
    }
}

/// How far an image is unpacked, in bytes of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Those that are read.
    pub done: u64,
    /// All that must be read.
    pub total: u64,
}

/// A directory of layers, for any number of images and of processes at once.
///
/// A layer appears in it whole, its digests compared, or not at all. Nothing is ever taken out of
/// it; it can be removed whenever no container runs on it.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    directory: OwnedFd,
    owners: Owners,
    limits: Limits,
}

impl Cache {
    /// Opens a cache, and makes it if it is not there. Nobody but the caller may look into it: an
    /// image may hold programs and secrets that are not for all users of the host.
    ///
    /// # Errors
    /// [`Error::Io`] (EACCES, ENOSPC, EROFS; ELOOP and ENOTDIR for a link or file in its place),
    /// [`Error::Invalid`] for a directory of somebody else's.
    pub fn open(path: impl Into<PathBuf>, owners: Owners) -> Result<Self, Error> {
        let path = path.into();
        let doing = || format!("open the cache {}", path.display());
        let private = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path);
        private(&path).map_err(Error::io(doing()))?;
        let directory = fs::open(&path, DIRECTORY, Mode::empty()).map_err(Error::errno(doing()))?;
        let owner = fs::fstat(&directory).map_err(Error::errno(doing()))?.st_uid;
        if owner != geteuid().as_raw() {
            let reason = format!("belongs to uid {owner}, and not to the caller");
            return Err(Error::invalid(doing(), reason));
        }
        let mode = Mode::from_raw_mode(0o700);
        fs::fchmod(&directory, mode).map_err(Error::errno(doing()))?;
        match fs::mkdirat(&directory, LAYERS, mode) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(Error::errno(doing())(errno)),
        }
        Ok(Self {
            path,
            directory,
            owners,
            limits: Limits::default(),
        })
    }

    /// Unpacks no more than this of a layer.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The directories of an image's layers for an overlay, the lowest first, each once. Those that
    /// are missing are unpacked; `told` hears how far that is, and nothing if none is missing.
    ///
    /// # Errors
    /// [`Error::Layer`] with the reason: [`Error::Digest`], [`Error::TooMuch`], [`Error::Invalid`]
    /// with the member that is hostile, [`Error::Io`] (ENOSPC, EDQUOT; EOPNOTSUPP where the cache's
    /// file system has no extended attributes; EPERM for a whiteout before Linux 5.8).
    pub fn unpack(
        &self,
        image: &Image,
        told: &mut dyn FnMut(Progress),
    ) -> Result<Vec<PathBuf>, Error> {
        if !self.missing(image)?.is_empty() {
            let _lock = self.lock()?;
            self.clear()?;
            // Somebody else may have been at work until the lock was given.
            let missing = self.missing(image)?;
            let done = self.unpack_missing(image, &missing, told);
            // The first error is the one that counts.
            let cleared = self.clear();
            done.and(cleared)?;
        }
        self.lowers(image)
    }

    /// The layers that are not here, each once.
    fn missing<'a>(&self, image: &'a Image) -> Result<Vec<&'a Layer>, Error> {
        let mut missing: Vec<&Layer> = Vec::new();
        for layer in image.layers() {
            let diff_id = layer.diff_id();
            let is_new = missing.iter().all(|other| other.diff_id() != diff_id);
            if is_new && self.open_layer(diff_id)?.is_none() {
                missing.push(layer);
            }
        }
        Ok(missing)
    }

    /// Unpacks layers beside those that are whole, and moves them among them.
    fn unpack_missing(
        &self,
        image: &Image,
        missing: &[&Layer],
        told: &mut dyn FnMut(Progress),
    ) -> Result<(), Error> {
        let mut progress = Progress { done: 0, total: 0 };
        for layer in missing {
            progress.total += image.blob(layer)?.len();
        }
        let new = self.make_directory(NEW)?;
        for layer in missing {
            self.one(image, layer, &mut progress, told)
                .map_err(|source| Error::Layer {
                    digest: layer.diff_id().to_string(),
                    source: Box::new(source),
                })?;
        }
        // A layer that is there after the machine has lost its power must be whole, too.
        let doing = || format!("keep the layers in {}", self.path.display());
        fs::syncfs(&new).map_err(Error::errno(doing()))?;
        for layer in missing {
            let (from, to) = (new_place(layer.diff_id()), place(layer.diff_id()));
            fs::renameat(&self.directory, from, &self.directory, to)
                .map_err(Error::errno(doing()))?;
        }
        Ok(())
    }

    fn one(
        &self,
        image: &Image,
        layer: &Layer,
        progress: &mut Progress,
        told: &mut dyn FnMut(Progress),
    ) -> Result<(), Error> {
        let root = self.make_directory(&new_place(layer.diff_id()))?;
        let file = Told {
            inner: image.blob(layer)?,
            progress,
            told,
        };
        log::debug!("unpack {} of the image", layer.name());
        let mut tree = Tree::new(root, self.owners);
        layer::unpack(
            file,
            layer.digest(),
            layer.diff_id(),
            self.limits,
            &mut tree,
        )
    }

    fn make_directory(&self, name: &str) -> Result<OwnedFd, Error> {
        let doing = || format!("make {}/{name}", self.path.display());
        let mode = Mode::from_raw_mode(0o755);
        fs::mkdirat(&self.directory, name, mode).map_err(Error::errno(doing()))?;
        fs::openat(&self.directory, name, DIRECTORY, Mode::empty()).map_err(Error::errno(doing()))
    }

    fn open_layer(&self, digest: Digest) -> Result<Option<OwnedFd>, Error> {
        let name = place(digest);
        match fs::openat(&self.directory, &name, DIRECTORY, Mode::empty()) {
            Ok(layer) => Ok(Some(layer)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => {
                let doing = format!("open {}/{name}", self.path.display());
                Err(Error::errno(doing)(errno))
            }
        }
    }

    /// Waits until nobody else writes. The kernel gives the lock back when its holder ends.
    fn lock(&self) -> Result<OwnedFd, Error> {
        let doing = || format!("lock the cache {}", self.path.display());
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        let lock = fs::openat(&self.directory, "lock", flags, mode);
        let lock = lock.map_err(Error::errno(doing()))?;
        loop {
            match fs::flock(&lock, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => {}
                other => return other.map(|()| lock).map_err(Error::errno(doing())),
            }
        }
    }

    /// Removes what somebody has left behind who was killed, or this very process. Only who holds
    /// the lock may.
    fn clear(&self) -> Result<(), Error> {
        let path = self.path.join(NEW);
        match remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io(format!("remove {}", path.display()))(error))
            }
            _ => Ok(()),
        }
    }

    /// The layers that are seen. The kernel refuses a directory that is in an overlay twice; of two
    /// that are the same, the upper one hides the other.
    fn lowers(&self, image: &Image) -> Result<Vec<PathBuf>, Error> {
        let mut lowers = Vec::new();
        for layer in image.layers().iter().rev() {
            let digest = layer.diff_id();
            let path = self.path.join(place(digest));
            let open = self.open_layer(digest)?;
            let open = open.ok_or_else(|| {
                Error::invalid(path.display().to_string(), "was removed meanwhile")
            })?;
            if !lowers.contains(&path) {
                lowers.push(path);
            }
            if tree::is_opaque(open.as_fd()) {
                break;
            }
        }
        lowers.reverse();
        Ok(lowers)
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

fn place(digest: Digest) -> String {
    format!("{LAYERS}/{}", digest.hex())
}

/// Where it is until it is whole.
fn new_place(digest: Digest) -> String {
    format!("{NEW}/{}", digest.hex())
}

/// Tells of what is read.
struct Told<'a, R> {
    inner: R,
    progress: &'a mut Progress,
    told: &'a mut dyn FnMut(Progress),
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.progress.done += u64::try_from(count).unwrap_or(0);
        (self.told)(*self.progress);
        Ok(count)
    }
}
