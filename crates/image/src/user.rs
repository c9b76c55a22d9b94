//! Who runs the command of an image.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::{Error, tree};

/// More than any `/etc/passwd`.
const LONGEST: u64 = 1 << 20;

/// Who runs a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// The home directory; `/` where the image does not say it.
    pub home: String,
}

/// Who a `USER[:GROUP]` is, as images have it. A number is a number, whatever the image's
/// `/etc/passwd` says; a name is looked up there, in the uppermost of these layers (the lowest first)
/// that has the file. Without a group it is the user's, or 0 if the number has no line. Nothing at
/// all is root.
///
/// # Errors
/// [`Error::Invalid`] for a name that is not there and for a file that is a link, [`Error::Io`],
/// [`Error::TooMuch`].
///
/// ```
/// let user = crabcan_image::user(&[], "1000:50")?;
/// assert_eq!((user.uid, user.gid, user.home.as_str()), (1000, 50, "/"));
/// assert_eq!(crabcan_image::user(&[], "")?.uid, 0);
/// assert!(crabcan_image::user(&[], "guest").is_err());
/// # Ok::<(), crabcan_image::Error>(())
/// ```
pub fn user(layers: &[PathBuf], text: &str) -> Result<User, Error> {
    let (name, group) = match text.split_once(':') {
        Some((name, group)) => (name, group),
        None => (text, ""),
    };
    let name = if name.is_empty() { "0" } else { name };
    let absent = |file| {
        let what = format!("config.User \"{}\"", text.escape_debug());
        Error::invalid(what, format!("is not in the image's /etc/{file}"))
    };
    let passwd = file(layers, "passwd")?;
    let line = match id(name) {
        Some(uid) => {
            lines(&passwd).find(|line| line.get(2).and_then(|field| id(field)) == Some(uid))
        }
        None => lines(&passwd).find(|line| line.first() == Some(&name)),
    };
    let line = line.unwrap_or_default();
    let number = |at: usize| line.get(at).and_then(|field| id(field));
    let uid = id(name).or_else(|| number(2));
    let gid = match id(group) {
        None if group.is_empty() => number(3).unwrap_or(0),
        Some(gid) => gid,
        None => {
            let groups = file(layers, "group")?;
            let line = lines(&groups).find(|line| line.first() == Some(&group));
            let gid = line.and_then(|line| id(line.get(2)?));
            gid.ok_or_else(|| absent("group"))?
        }
    };
    let home = line.get(5).filter(|home| home.starts_with('/'));
    Ok(User {
        uid: uid.ok_or_else(|| absent("passwd"))?,
        gid,
        home: home.map_or("/", |home| home).to_owned(),
    })
}

/// A number that can be an id.
fn id(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| text.parse().ok()).flatten();
    number.filter(|id| *id != u32::MAX)
}

fn lines(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

/// A file of `/etc`, as an overlay of the layers has it; empty if there is none.
fn file(layers: &[PathBuf], name: &str) -> Result<String, Error> {
    for layer in layers.iter().rev() {
        let doing = || format!("open etc/{name} in {}", layer.display());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(layer, flags, Mode::empty()).map_err(Error::errno(doing()))?;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let etc = match rustix::fs::openat2(&root, "etc", flags, Mode::empty(), beneath) {
            Ok(etc) => etc,
            Err(Errno::NOENT) => continue,
            // A whiteout: no lower layer's counts.
            Err(Errno::NOTDIR) => break,
            Err(errno) => return Err(Error::errno(doing())(errno)),
        };
        match rustix::fs::statat(&etc, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) if tree::is_opaque(etc.as_fd()) => break,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(Error::errno(doing())(errno)),
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => {}
                FileType::CharacterDevice => break,
                _ => return Err(Error::invalid(doing(), "is not a file")),
            },
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = rustix::fs::openat(&etc, name, flags, Mode::empty());
        let open = File::from(open.map_err(Error::errno(doing()))?);
        let mut bytes = Vec::new();
        open.take(LONGEST + 1)
            .read_to_end(&mut bytes)
            .map_err(Error::io(doing()))?;
        if bytes.len() as u64 > LONGEST {
            return Err(Error::TooMuch {
                what: doing(),
                limit: format!("{LONGEST} bytes"),
            });
        }
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    Ok(String::new())
}
