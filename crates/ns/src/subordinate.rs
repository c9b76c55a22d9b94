//! What `/etc/subuid` and `/etc/subgid` grant to a user.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use crate::{Error, IdRange};

/// The ranges of subordinate ids of one user. See
/// [subuid(5)](https://man7.org/linux/man-pages/man5/subuid.5.html).
///
/// ```
/// let file = "alice:100000:65536\n1000:300000:10\nbob:200000:65536\n";
/// let ids = crabcan_ns::SubordinateIds::parse(file.as_bytes(), Some("alice"), 1000)?;
/// assert_eq!(ids.ranges(), [(100_000, 65_536), (300_000, 10)]);
/// # Ok::<(), crabcan_ns::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubordinateIds(Vec<(u32, u32)>);

impl SubordinateIds {
    /// Reads `/etc/subuid`. A file that does not exist grants nothing.
    ///
    /// # Errors
    /// [`Error::SubordinateIds`] when the file cannot be read, or a line of this user is broken.
    pub fn uids(user: Option<&str>, uid: u32) -> Result<Self, Error> {
        Self::open("/etc/subuid".as_ref(), user, uid)
    }

    /// Reads `/etc/subgid`, which goes by the same user, not by a group. A file that does not exist
    /// grants nothing.
    ///
    /// # Errors
    /// [`Error::SubordinateIds`] when the file cannot be read, or a line of this user is broken.
    pub fn gids(user: Option<&str>, uid: u32) -> Result<Self, Error> {
        Self::open("/etc/subgid".as_ref(), user, uid)
    }

    /// Reads the lines that name the user by name or by numeric uid, in their order.
    ///
    /// # Errors
    /// [`Error::SubordinateIds`] when reading fails, or for a line of this user that is not
    /// `user:start:count` with ids below 4294967295. Lines of others are not looked at.
    pub fn parse(reader: impl BufRead, user: Option<&str>, uid: u32) -> Result<Self, Error> {
        Self::parse_named(reader, "subordinate ids", user, uid)
    }

    /// The first id and the count of each range.
    #[must_use]
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }

    /// Maps the ids from `first_inside` on to these ranges, one after the other, as far as there are
    /// ids inside.
    #[must_use]
    pub fn mapped_from(&self, first_inside: u32) -> Vec<IdRange> {
        let mut inside = first_inside;
        let mut mapped = Vec::new();
        for (outside, granted) in self.0.iter().copied() {
            let count = granted.min(u32::MAX.saturating_sub(inside));
            if count > 0 {
                mapped.push(IdRange {
                    inside,
                    outside,
                    count,
                });
            }
            inside = inside.saturating_add(count);
        }
        mapped
    }

    fn open(path: &Path, user: Option<&str>, uid: u32) -> Result<Self, Error> {
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Self::parse_named(BufReader::new(file), &name, user, uid),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(Error::SubordinateIds {
                file: name,
                line: 0,
                source: Some(source),
            }),
        }
    }

    fn parse_named(
        reader: impl BufRead,
        name: &str,
        user: Option<&str>,
        uid: u32,
    ) -> Result<Self, Error> {
        let number = uid.to_string();
        let mut ranges = Vec::new();
        // Bytes, not text: a name of another user may be in any encoding.
        for (index, line) in reader.split(b'\n').enumerate() {
            let failed = |source| Error::SubordinateIds {
                file: name.to_owned(),
                line: index.saturating_add(1),
                source,
            };
            let line = line.map_err(|source| failed(Some(source)))?;
            let Some((owner, range)) = split_owner(&line) else {
                continue;
            };
            let is_owner = |name: &str| owner == name.as_bytes();
            if user.is_some_and(is_owner) || is_owner(&number) {
                ranges.push(parse_range(range).ok_or_else(|| failed(None))?);
            }
        }
        Ok(Self(ranges))
    }
}

fn split_owner(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.trim_ascii();
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (owner, rest) = line.split_at(colon);
    Some((owner, rest.get(1..).unwrap_or_default()))
}

fn parse_range(text: &[u8]) -> Option<(u32, u32)> {
    let (start, count) = std::str::from_utf8(text).ok()?.split_once(':')?;
    let (start, count): (u32, u32) = (start.parse().ok()?, count.parse().ok()?);
    // 4294967295 is no valid id, so the end may be that, but not more.
    start.checked_add(count)?;
    Some((start, count))
}
