//! The members of a tar archive, with what earlier headers say about them.
//!
//! The crate `tar` reads the headers. What stands between them (long names, the pax format's
//! records) is read here: it would be taken into memory whatever its length, and a record would end
//! at its first line break.

use std::io::{self, Read};

use tar::{Archive, EntryType, Header};

use crate::Error;

/// More than any long name or attribute of a real member.
const LONGEST_RECORD: u64 = 1 << 20;
/// The attributes that a layer says a file has.
const XATTR: &[u8] = b"SCHILY.xattr.";

/// One member.
#[derive(Debug, Default)]
pub(crate) struct Member {
    /// As it is written there.
    pub(crate) name: Vec<u8>,
    /// What a link says.
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds since 1970.
    pub(crate) mtime: i64,
    pub(crate) size: u64,
    /// Where its contents begin in the archive.
    pub(crate) position: u64,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What a member is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    File,
    Directory,
    Symlink,
    HardLink,
    Fifo,
    Device,
}

impl Member {
    /// Its name for people.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.name).escape_debug().collect()
    }

    pub(crate) fn refused(&self, reason: impl Into<String>) -> Error {
        Error::invalid(self.shown(), reason)
    }
}

/// Hands each member of an archive and its contents to `take`; fails at the member after `most`.
pub(crate) fn each<R: Read>(
    mut entries: tar::Entries<'_, R>,
    most: u64,
    mut take: impl FnMut(&Member, &mut dyn Read) -> Result<(), Error>,
) -> Result<(), Error> {
    let failed = || Error::io("read a tar archive");
    let mut said = Records::default();
    for _ in 0..most {
        let Some(entry) = entries.next() else {
            return Ok(());
        };
        let mut entry = entry.map_err(failed())?;
        match entry.header().entry_type() {
            EntryType::XGlobalHeader => {}
            EntryType::XHeader => {
                let records = record(&mut entry)?;
                said.read(&records)
                    .ok_or_else(|| Error::invalid("a tar archive", "a pax record is malformed"))?;
            }
            EntryType::GNULongName => said.name = Some(without_nul(record(&mut entry)?)),
            EntryType::GNULongLink => said.link = Some(without_nul(record(&mut entry)?)),
            _ => {
                let position = entry.raw_file_position();
                let member = std::mem::take(&mut said).member(entry.header(), position)?;
                take(&member, &mut entry)?;
            }
        }
    }
    Err(Error::TooMuch {
        what: "a tar archive".into(),
        limit: format!("{most} members"),
    })
}

/// The members of what is read from its beginning.
pub(crate) fn of<R: Read>(archive: &mut Archive<R>) -> Result<tar::Entries<'_, R>, Error> {
    let entries = archive.entries().map_err(Error::io("read a tar archive"))?;
    Ok(entries.raw(true))
}

/// The contents of a header that speaks of the next member.
fn record<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Vec<u8>, Error> {
    if entry.size() > LONGEST_RECORD {
        return Err(Error::TooMuch {
            what: "a record of a tar archive".into(),
            limit: format!("{LONGEST_RECORD} bytes"),
        });
    }
    let mut bytes = Vec::new();
    entry
        .read_to_end(&mut bytes)
        .map_err(Error::io("read a tar archive"))?;
    Ok(bytes)
}

fn without_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(
        bytes
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(bytes.len()),
    );
    bytes
}

/// What was said about the next member.
#[derive(Debug, Default)]
struct Records {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<i64>,
    size: Option<u64>,
    sparse: bool,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Records {
    /// Reads the records of a pax header, each `LENGTH KEY=VALUE\n`; `None` if one is malformed.
    fn read(&mut self, mut bytes: &[u8]) -> Option<()> {
        while !bytes.is_empty() {
            let space = bytes.iter().position(|byte| *byte == b' ')?;
            let length: usize = number(bytes.get(..space)?)?;
            let record = bytes.get(..length)?.strip_suffix(b"\n")?;
            bytes = bytes.get(length..)?;
            let record = record.get(space + 1..)?;
            let equals = record.iter().position(|byte| *byte == b'=')?;
            let (key, value) = (record.get(..equals)?, record.get(equals + 1..)?);
            match key {
                b"path" => self.name = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"uid" => self.uid = Some(number(value)?),
                b"gid" => self.gid = Some(number(value)?),
                b"size" => self.size = Some(number(value)?),
                b"mtime" => {
                    let whole = value.split(|byte| *byte == b'.').next()?;
                    self.mtime = Some(number(whole)?);
                }
                _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
                _ => {
                    if let Some(name) = key.strip_prefix(XATTR) {
                        self.xattrs.push((name.to_vec(), value.to_vec()));
                    }
                }
            }
        }
        Some(())
    }

    /// The member whose own header this is.
    fn member(self, header: &Header, position: u64) -> Result<Member, Error> {
        let name = self.name.unwrap_or_else(|| header.path_bytes().into());
        let member = Member {
            name,
            ..Member::default()
        };
        let wrong = |field: &str| {
            let reason = format!("its {field} is not a number that a file can have");
            member.refused(reason)
        };
        let of = |field, said: Option<u64>, own: io::Result<u64>| {
            let number = said
                .map_or(own, Ok)
                .ok()
                .and_then(|id| u32::try_from(id).ok());
            let valid = number.filter(|id| *id != u32::MAX);
            valid.ok_or_else(|| wrong(field))
        };
        let link = header.link_name_bytes().unwrap_or_default();
        let size = header.entry_size().map_err(|_| wrong("size"))?;
        if self.size.is_some_and(|said| said != size) {
            return Err(member.refused("files of 8 GiB and more can't be unpacked"));
        }
        let mtime = header
            .mtime()
            .ok()
            .and_then(|time| i64::try_from(time).ok());
        let kind = kind(header.entry_type()).filter(|_| !self.sparse);
        Ok(Member {
            link: self.link.unwrap_or_else(|| link.into()),
            kind: kind.ok_or_else(|| member.refused("this kind of member can't be unpacked"))?,
            mode: header.mode().map_err(|_| wrong("mode"))?,
            uid: of("owner", self.uid, header.uid())?,
            gid: of("group", self.gid, header.gid())?,
            mtime: self.mtime.or(mtime).ok_or_else(|| wrong("time"))?,
            size,
            position,
            xattrs: self.xattrs,
            ..member
        })
    }
}

fn number<N: std::str::FromStr>(digits: &[u8]) -> Option<N> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn kind(kind: EntryType) -> Option<Kind> {
    Some(match kind {
        EntryType::Regular | EntryType::Continuous => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => Kind::Symlink,
        EntryType::Link => Kind::HardLink,
        EntryType::Fifo => Kind::Fifo,
        EntryType::Char | EntryType::Block => Kind::Device,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_by_their_length() {
        let mut said = Records::default();
        let records = b"33 SCHILY.xattr.user.a=x\ny=1 z\0\n\n20 mtime=-1.5000000\n12 path=a/b\n";
        assert_eq!(said.read(records), Some(()));
        let xattr = (b"user.a".to_vec(), b"x\ny=1 z\0\n"[..].to_vec());
        assert_eq!(said.xattrs, [xattr]);
        assert_eq!(said.mtime, Some(-1));
        assert_eq!(said.name, Some(b"a/b".to_vec()));
        for wrong in [
            "9 a=b\n",
            "x a=b\n",
            "6 a=b",
            "5 ab\n",
            "99999999999999999999 a=b\n",
            "0 ",
            "9 uid=-1\n",
        ] {
            assert_eq!(Records::default().read(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
