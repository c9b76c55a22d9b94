//! Where an image's files are: in a directory, or in a tar archive.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::members::{self, Kind};
use crate::{Digest, Error};

/// More than any manifest or configuration has (registries refuse more than 4 MiB).
const LONGEST_DOCUMENT: u64 = 8 << 20;
/// More than an archive of 127 layers has.
const MOST_MEMBERS: u64 = 10_000;

/// The files of an image.
#[derive(Debug)]
pub(crate) enum Source {
    Directory(OwnedFd),
    /// The archive, and where in it each file begins and how long it is.
    Archive(File, BTreeMap<Vec<u8>, (u64, u64)>),
}

/// One file of an image, to be read once.
#[derive(Debug)]
pub(crate) struct Blob {
    file: File,
    position: u64,
    left: u64,
}

impl Blob {
    pub(crate) fn len(&self) -> u64 {
        self.left
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let length = buffer.len().min(most);
        let part = buffer.get_mut(..length).unwrap_or_default();
        // Not by the descriptor's place: that is shared by all readers of an archive.
        let count = self.file.read_at(part, self.position)?;
        let read = u64::try_from(count).unwrap_or(0);
        self.position += read;
        self.left -= read;
        Ok(count)
    }
}

impl Source {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let doing = || format!("open the image {}", path.display());
        // Nobody waits for the other end of a named pipe.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(Error::errno(doing()))?;
        let file = File::from(file);
        let metadata = file.metadata().map_err(Error::io(doing()))?;
        if metadata.is_dir() {
            return Ok(Self::Directory(file.into()));
        }
        if !metadata.is_file() {
            let reason = "is neither a directory nor an archive";
            return Err(Error::invalid(doing(), reason));
        }
        Self::archive(&path.display().to_string(), file)
    }

    fn archive(path: &str, mut file: File) -> Result<Self, Error> {
        let reading = || Error::io(format!("read {path}"));
        let mut begin = Vec::new();
        (&file).take(4).read_to_end(&mut begin).map_err(reading())?;
        if let Some(method) = compression(&begin) {
            let reason = format!("is compressed by {method}: decompress the archive first");
            return Err(Error::invalid(path, reason));
        }
        file.rewind().map_err(reading())?;
        let mut index = BTreeMap::new();
        let mut archive = tar::Archive::new(&file);
        let entries = archive.entries_with_seek().map_err(reading())?;
        members::each(entries.raw(true), MOST_MEMBERS, |member, _| {
            if member.kind == Kind::File {
                let name = member.name.strip_prefix(b"./").unwrap_or(&member.name);
                index.insert(name.to_vec(), (member.position, member.size));
            }
            Ok(())
        })?;
        Ok(Self::Archive(file, index))
    }

    /// The file of this name; `None` when there is none.
    ///
    /// A name never leads out of a directory, nor through a link.
    pub(crate) fn file(&self, name: &str) -> Result<Option<Blob>, Error> {
        let doing = || format!("open {name} of the image");
        match self {
            Self::Directory(directory) => {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let resolve =
                    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
                let opened = rustix::fs::openat2(directory, name, flags, Mode::empty(), resolve);
                let file = match opened {
                    Err(Errno::NOENT) => return Ok(None),
                    other => other.map_err(Error::errno(doing()))?,
                };
                let stat = rustix::fs::fstat(&file).map_err(Error::errno(doing()))?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    return Err(Error::invalid(name, "is not a file"));
                }
                Ok(Some(Blob {
                    file: file.into(),
                    position: 0,
                    left: u64::try_from(stat.st_size).unwrap_or(0),
                }))
            }
            Self::Archive(archive, index) => {
                let Some((position, length)) = index.get(name.as_bytes()) else {
                    return Ok(None);
                };
                Ok(Some(Blob {
                    file: archive.try_clone().map_err(Error::io(doing()))?,
                    position: *position,
                    left: *length,
                }))
            }
        }
    }

    /// The whole of a document.
    pub(crate) fn document(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let Some(mut blob) = self.file(name)? else {
            return Ok(None);
        };
        if blob.len() > LONGEST_DOCUMENT {
            return Err(Error::TooMuch {
                what: name.to_owned(),
                limit: format!("{LONGEST_DOCUMENT} bytes"),
            });
        }
        let mut bytes = Vec::new();
        blob.read_to_end(&mut bytes)
            .map_err(Error::io(format!("read {name} of the image")))?;
        Ok(Some(bytes))
    }

    /// A document by its digest, which it must have.
    pub(crate) fn by_digest(&self, digest: Digest) -> Result<(String, Vec<u8>), Error> {
        let name = blob_name(digest);
        let bytes = self.document(&name)?;
        let bytes = bytes.ok_or_else(|| Error::invalid(&name, "is not there"))?;
        digest.expect(&name, Digest::of(&bytes))?;
        Ok((name, bytes))
    }
}

/// The name of a blob in an OCI image layout.
pub(crate) fn blob_name(digest: Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// How something is compressed that begins so, if it is.
pub(crate) fn compression(begin: &[u8]) -> Option<&'static str> {
    match begin {
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        [b'B', b'Z', b'h', ..] => Some("bzip2"),
        [0xfd, b'7', b'z', b'X', ..] => Some("xz"),
        _ => None,
    }
}
