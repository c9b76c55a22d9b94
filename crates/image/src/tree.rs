//! A layer's tree, written beneath a descriptor.
//!
//! The layer chooses every name. So no name is ever resolved but one component at a time, in a
//! directory that is open, and never through a link: what a member's name leads through must be a
//! directory of this very tree.

use std::ffi::CString;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    self, AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use crate::members::{Kind, Member};
use crate::{Error, Owners};

/// What marks a name that lower layers have and this one has not.
const WHITEOUT: &[u8] = b".wh.";
/// Behind it, what the storage drivers of others have written for themselves.
const OTHERS: &[u8] = b".wh..wh.";
/// The one of those that says something: nothing of lower layers is in this directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// The kernel's mark of the same, where an overlay is mounted with `userxattr`.
const OPAQUE_XATTR: &str = "user.overlay.opaque";
/// What the kernel's overlay keeps for itself: a layer must not say it.
const OVERLAY: &[u8] = b"user.overlay.";
const DEEPEST: usize = 256;

/// A directory that a layer is written into.
pub(crate) struct Tree {
    root: OwnedFd,
    owners: Owners,
    /// The directory of the last member: the next is most often in the same.
    last: Option<(Vec<u8>, OwnedFd)>,
}

impl Tree {
    pub(crate) fn new(root: OwnedFd, owners: Owners) -> Self {
        Self {
            root,
            owners,
            last: None,
        }
    }

    /// Puts a member into the tree.
    pub(crate) fn put(&mut self, member: &Member, data: &mut dyn Read) -> Result<(), Error> {
        let parts = parts(&member.name).map_err(|reason| member.refused(reason))?;
        let Some((name, above)) = parts.split_last() else {
            return match member.kind {
                Kind::Directory => self.attributes(member, self.root.as_fd()),
                _ => Err(member.refused("the layer's root must be a directory")),
            };
        };
        let for_others = |part: &&[u8]| part.starts_with(OTHERS) && **part != *OPAQUE;
        if parts.iter().any(for_others) {
            return Ok(());
        }
        if above.iter().any(|part| part.starts_with(WHITEOUT)) {
            return Err(member.refused("a whiteout can't be a directory"));
        }
        let parent = self.directory(member, above)?;
        let result = match name.strip_prefix(WHITEOUT) {
            Some(hidden) => self.hide(member, &parent, hidden),
            None => self.make(member, &parent, name, data),
        };
        self.last = Some((above.join(&b'/'), parent));
        result
    }

    /// Opens a directory of the tree; what is missing of it is made.
    fn directory(&mut self, member: &Member, parts: &[&[u8]]) -> Result<OwnedFd, Error> {
        match self.last.take() {
            Some((path, last)) if path == parts.join(&b'/') => return Ok(last),
            _ => {}
        }
        let failed = || Error::errno(format!("open the directory of {}", member.shown()));
        let mut directory = self
            .root
            .try_clone()
            .map_err(Error::io("copy a descriptor"))?;
        for part in parts {
            let name = c_name(member, part)?;
            directory = match open_directory(directory.as_fd(), &name) {
                Ok(below) => below,
                Err(Errno::NOENT) => make_directory(directory.as_fd(), &name).map_err(failed())?,
                Err(_) if is_whiteout(directory.as_fd(), &name) => {
                    replace_by_directory(directory.as_fd(), &name).map_err(failed())?
                }
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let part = String::from_utf8_lossy(part);
                    let reason = format!("\"{}\" above it is no directory", part.escape_debug());
                    return Err(member.refused(reason));
                }
                Err(errno) => return Err(failed()(errno)),
            };
        }
        Ok(directory)
    }

    /// Hides what lower layers have of this name, or of this directory.
    fn hide(&self, member: &Member, parent: &OwnedFd, hidden: &[u8]) -> Result<(), Error> {
        let failed = || Error::errno(format!("make the whiteout {}", member.shown()));
        if hidden == &OPAQUE[WHITEOUT.len()..] {
            return set_opaque(parent.as_fd()).map_err(failed());
        }
        if matches!(hidden, b"" | b"." | b"..") {
            return Err(member.refused("a whiteout of no name"));
        }
        let name = c_name(member, hidden)?;
        let device = FileType::CharacterDevice;
        match fs::mknodat(parent, &name, device, Mode::empty(), 0) {
            // It speaks of lower layers only: what this one has of that name stays.
            Err(Errno::EXIST) => match open_directory(parent.as_fd(), &name) {
                Ok(directory) => set_opaque(directory.as_fd()).map_err(failed()),
                Err(Errno::NOTDIR | Errno::LOOP) => Ok(()),
                Err(errno) => Err(failed()(errno)),
            },
            other => other.map_err(failed()),
        }
    }

    fn make(
        &self,
        member: &Member,
        parent: &OwnedFd,
        name: &[u8],
        data: &mut dyn Read,
    ) -> Result<(), Error> {
        let name = c_name(member, name)?;
        let parent = parent.as_fd();
        let failed = || Error::errno(format!("make {}", member.shown()));
        match member.kind {
            Kind::Directory => {
                let directory = match open_directory(parent, &name) {
                    Err(Errno::NOENT) => make_directory(parent, &name),
                    Err(Errno::NOTDIR | Errno::LOOP) => replace_by_directory(parent, &name),
                    other => other,
                };
                let directory = directory.map_err(failed())?;
                self.attributes(member, directory.as_fd())
            }
            Kind::File => {
                let flags = OFlags::WRONLY
                    | OFlags::CREATE
                    | OFlags::EXCL
                    | OFlags::NOFOLLOW
                    | OFlags::CLOEXEC;
                let create = || fs::openat(parent, &name, flags, Mode::from_raw_mode(0o600));
                let file = anew(parent, &name, create).map_err(failed())?;
                self.contents(member, file, data)
            }
            Kind::Symlink => {
                let text = c_text(member, &member.link)?;
                anew(parent, &name, || fs::symlinkat(&text, parent, &name)).map_err(failed())?;
                self.owner_and_time(member, parent, &name)
            }
            Kind::Fifo => {
                let mode = Mode::from_raw_mode(member.mode & 0o777);
                let create = || fs::mknodat(parent, &name, FileType::Fifo, mode, 0);
                anew(parent, &name, create).map_err(failed())?;
                self.owner_and_time(member, parent, &name)
            }
            Kind::HardLink => self.link(member, parent, &name),
            // The sandbox has a /dev of its own, and no device works in an image's file system.
            Kind::Device => {
                log::debug!("{} is a device, and left away", member.shown());
                Ok(())
            }
        }
    }

    /// Another name of a file that the same layer has.
    fn link(&self, member: &Member, parent: BorrowedFd<'_>, name: &CString) -> Result<(), Error> {
        let shown = || {
            String::from_utf8_lossy(&member.link)
                .escape_debug()
                .to_string()
        };
        let refused = |reason| member.refused(format!("a link to \"{}\", {reason}", shown()));
        let parts = parts(&member.link).map_err(refused)?;
        let (last, above) = parts.split_last().ok_or_else(|| refused("the root"))?;
        let mut directory = self
            .root
            .try_clone()
            .map_err(Error::io("copy a descriptor"))?;
        for part in above {
            directory = open_directory(directory.as_fd(), &c_name(member, part)?)
                .map_err(|_| refused("which this layer has not"))?;
        }
        let target = c_name(member, last)?;
        let stat = fs::statat(&directory, &target, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|_| refused("which this layer has not"))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile | FileType::Symlink | FileType::Fifo => {}
            _ => return Err(refused("which is no file")),
        }
        let create = || fs::linkat(&directory, &target, parent, name, AtFlags::empty());
        let doing = format!("link {} to {}", member.shown(), shown());
        anew(parent, name, create).map_err(Error::errno(doing))
    }

    /// Writes a file; its attributes last, since they may forbid it.
    fn contents(&self, member: &Member, file: OwnedFd, data: &mut dyn Read) -> Result<(), Error> {
        let mut file = std::fs::File::from(file);
        let doing = || format!("write {}", member.shown());
        let written = io::copy(data, &mut file).map_err(Error::io(doing()))?;
        if written != member.size {
            let end = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(Error::io(doing())(end));
        }
        self.attributes(member, file.as_fd())?;
        let time = times(member);
        fs::futimens(&file, &time).map_err(Error::errno(doing()))
    }

    /// Owner, permissions and extended attributes of a file or directory.
    fn attributes(&self, member: &Member, place: BorrowedFd<'_>) -> Result<(), Error> {
        let failed = || Error::errno(format!("set the attributes of {}", member.shown()));
        for (name, value) in &member.xattrs {
            if name.starts_with(b"user.") && !name.starts_with(OVERLAY) {
                let name = c_text(member, name)?;
                fs::fsetxattr(place, &name, value, XattrFlags::empty()).map_err(failed())?;
            }
        }
        if let Some((uid, gid)) = self.owner(member) {
            fs::fchown(place, Some(uid), Some(gid)).map_err(failed())?;
        }
        // Set-user-ID bits never count in a sandbox, and would count on the host. Directories stay
        // open to their owner, or an ordinary user could not fill and remove them.
        let mode = match member.kind {
            Kind::Directory => member.mode & 0o1777 | 0o700,
            _ => member.mode & 0o777,
        };
        fs::fchmod(place, Mode::from_raw_mode(mode)).map_err(failed())
    }

    /// Of what can't be opened.
    fn owner_and_time(
        &self,
        member: &Member,
        parent: BorrowedFd<'_>,
        name: &CString,
    ) -> Result<(), Error> {
        let failed = || Error::errno(format!("set the attributes of {}", member.shown()));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        if let Some((uid, gid)) = self.owner(member) {
            fs::chownat(parent, name, Some(uid), Some(gid), flags).map_err(failed())?;
        }
        fs::utimensat(parent, name, &times(member), flags).map_err(failed())
    }

    fn owner(&self, member: &Member) -> Option<(Uid, Gid)> {
        let as_said = self.owners == Owners::OfTheImage;
        as_said.then(|| (Uid::from_raw(member.uid), Gid::from_raw(member.gid)))
    }
}

/// The components of a name; what is wrong with it, if it leads anywhere but down.
fn parts(name: &[u8]) -> Result<Vec<&[u8]>, &'static str> {
    if name.starts_with(b"/") {
        return Err("an absolute path");
    }
    let mut parts = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err("a path with \"..\""),
            _ if part.len() > 255 => return Err("a name of more than 255 bytes"),
            _ if parts.len() == DEEPEST => return Err("more than 256 directories deep"),
            _ => parts.push(part),
        }
    }
    Ok(parts)
}

fn c_name(member: &Member, name: &[u8]) -> Result<CString, Error> {
    c_text(member, name)
}

fn c_text(member: &Member, text: &[u8]) -> Result<CString, Error> {
    CString::new(text).map_err(|_| member.refused("a NUL byte in a name"))
}

/// Opens a directory by its name in another, and nothing else: no link, no mount.
fn open_directory(parent: BorrowedFd<'_>, name: &CString) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    fs::openat2(parent, name, flags, Mode::empty(), resolve)
}

fn make_directory(parent: BorrowedFd<'_>, name: &CString) -> Result<OwnedFd, Errno> {
    let mode = Mode::from_raw_mode(0o755);
    fs::mkdirat(parent, name, mode)?;
    let directory = open_directory(parent, name)?;
    // The caller's umask is about its own files.
    fs::fchmod(&directory, mode)?;
    Ok(directory)
}

/// What stood there has hidden the lower layers' directory of this name: so must the new one.
fn replace_by_directory(parent: BorrowedFd<'_>, name: &CString) -> Result<OwnedFd, Errno> {
    fs::unlinkat(parent, name, AtFlags::empty())?;
    let directory = make_directory(parent, name)?;
    set_opaque(directory.as_fd())?;
    Ok(directory)
}

fn is_whiteout(parent: BorrowedFd<'_>, name: &CString) -> bool {
    let stat = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| {
        FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
    })
}

fn set_opaque(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    fs::fsetxattr(directory, OPAQUE_XATTR, b"y", XattrFlags::empty())
}

/// Whether nothing of lower layers is to be seen in a directory.
pub(crate) fn is_opaque(directory: BorrowedFd<'_>) -> bool {
    let mut value = [0; 1];
    fs::fgetxattr(directory, OPAQUE_XATTR, &mut value).is_ok_and(|length| value[..length] == *b"y")
}

/// Makes something by its name; what has the name already goes first, if it is no directory with
/// something in it.
fn anew<T>(
    parent: BorrowedFd<'_>,
    name: &CString,
    make: impl Fn() -> Result<T, Errno>,
) -> Result<T, Errno> {
    match make() {
        Err(Errno::EXIST) => {
            match fs::unlinkat(parent, name, AtFlags::empty()) {
                Err(Errno::ISDIR) => fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?,
                other => other?,
            }
            make()
        }
        other => other,
    }
}

fn times(member: &Member) -> Timestamps {
    let time = Timespec {
        tv_sec: member.mtime,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
