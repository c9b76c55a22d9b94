//! A layer's file, read once: decompressed, bounded, compared with its digests.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use crate::digest::Hashing;
use crate::source::compression;
use crate::tree::Tree;
use crate::{Digest, Error, Limits, members};

/// Writes a layer into a tree. Nothing of it is to be used unless this succeeds.
pub(crate) fn unpack(
    file: impl Read,
    digest: Option<Digest>,
    diff_id: Digest,
    limits: Limits,
    tree: &mut Tree,
) -> Result<(), Error> {
    let reading = || Error::io("read the layer's file");
    let mut file = Hashing::new(file);
    let mut begin = Vec::new();
    file.by_ref()
        .take(4)
        .read_to_end(&mut begin)
        .map_err(reading())?;
    let whole = io::Cursor::new(&begin).chain(&mut file);
    match compression(&begin) {
        None => contents(whole, diff_id, limits, tree)?,
        Some("gzip") => contents(MultiGzDecoder::new(whole), diff_id, limits, tree)?,
        Some(method) => {
            let reason = format!(
                "is compressed by {method}, which crabcan does not read: save it again as gzip \
                 (skopeo copy --dest-compress-format gzip), or with podman save"
            );
            return Err(Error::invalid("its file", reason));
        }
    }
    let found = file.finish().map_err(reading())?;
    digest.map_or(Ok(()), |digest| digest.expect("its file", found))
}

/// Writes the members of the layer's archive.
fn contents(
    archive: impl Read,
    diff_id: Digest,
    limits: Limits,
    tree: &mut Tree,
) -> Result<(), Error> {
    let mut plain = Hashing::new(Limited {
        inner: archive,
        left: limits.bytes,
    });
    let mut archive = tar::Archive::new(&mut plain);
    let written = members::of(&mut archive).and_then(|entries| {
        members::each(entries, limits.members, |one, data| tree.put(one, data))
    });
    // What is behind the end of the archive belongs to its digest too.
    let found = written.and_then(|()| {
        let reading = Error::io("read the layer's contents");
        plain.finish().map_err(reading)
    });
    diff_id.expect(
        "its contents",
        found.map_err(|error| too_large(error, limits))?,
    )
}

/// The error of a reader that has reached its limit.
fn too_large(error: Error, limits: Limits) -> Error {
    match error {
        Error::Io { source, .. } if source.kind() == io::ErrorKind::FileTooLarge => {
            Error::TooMuch {
                what: "its contents".into(),
                limit: format!("{} bytes", limits.bytes),
            }
        }
        error => error,
    }
}

/// Fails where more is read than it may.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let read = u64::try_from(count).unwrap_or(u64::MAX);
        match self.left.checked_sub(read) {
            Some(left) => self.left = left,
            None => return Err(io::ErrorKind::FileTooLarge.into()),
        }
        Ok(count)
    }
}
