//! Where cgroup file systems are mounted and where this process is in them, from the kernel's words.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::{Controllers, Error};

/// A line of `/proc/self/mountinfo` that is about cgroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The cgroup that is mounted, as its path in the hierarchy.
    pub(crate) root: PathBuf,
    /// Where.
    pub(crate) point: PathBuf,
    /// `None` for v2, else the words that name a v1 hierarchy: `cpu,cpuacct`, `name=systemd`.
    pub(crate) legacy: Option<String>,
}

/// A line of `/proc/self/cgroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// `None` for v2, else as in [`Mount::legacy`].
    pub(crate) legacy: Option<String>,
    /// The cgroup's path in the hierarchy.
    pub(crate) path: PathBuf,
}

/// The cgroup mounts among those of a `mountinfo`, in their order.
pub(crate) fn mounts(mountinfo: &[u8]) -> Result<Vec<Mount>, Error> {
    let lines = mountinfo.split(|byte| *byte == b'\n');
    let about = lines.filter(|line| !line.is_empty());
    about
        .filter_map(|line| match mount(line) {
            Some(found) => found.map(Ok),
            None => Some(Err(malformed("mountinfo", line))),
        })
        .collect()
}

/// `None` for what is no line, `Some(None)` for another file system.
fn mount(line: &[u8]) -> Option<Option<Mount>> {
    let mut fields = line.split(|byte| *byte == b' ');
    let (root, point) = (fields.nth(3)?, fields.next()?);
    // Optional fields come between, of any number, ended by a dash.
    fields.find(|field| *field == b"-")?;
    let (fstype, _source, options) = (fields.next()?, fields.next()?, fields.next()?);
    let legacy = match fstype {
        b"cgroup2" => None,
        b"cgroup" => Some(hierarchy_words(std::str::from_utf8(options).ok()?)),
        _ => return Some(None),
    };
    Some(Some(Mount {
        root: unescape(root),
        point: unescape(point),
        legacy,
    }))
}

/// Those of a v1 mount's options that name the hierarchy.
fn hierarchy_words(options: &str) -> String {
    let names = |word: &&str| {
        word.starts_with("name=")
            || crate::Controller::from_name(word).is_some()
            || *word == "debug"
    };
    options
        .split(',')
        .filter(names)
        .collect::<Vec<_>>()
        .join(",")
}

/// The lines of a `/proc/PID/cgroup`, or of a record in that form.
pub(crate) fn memberships(text: &[u8], what: &'static str) -> Result<Vec<Membership>, Error> {
    let lines = text.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    lines
        .map(|line| membership(line).ok_or_else(|| malformed(what, line)))
        .collect()
}

fn membership(line: &[u8]) -> Option<Membership> {
    let mut fields = line.splitn(3, |byte| *byte == b':');
    let (number, words, path) = (fields.next()?, fields.next()?, fields.next()?);
    let number: u32 = std::str::from_utf8(number).ok()?.parse().ok()?;
    let words = std::str::from_utf8(words).ok()?;
    let legacy = match (number, words) {
        (0, "") => None,
        (_, "") => return None,
        _ => Some(words.to_owned()),
    };
    if path.first() != Some(&b'/') {
        return None;
    }
    Some(Membership {
        legacy,
        path: OsString::from_vec(path.to_vec()).into(),
    })
}

/// Whether two lists of words name the same v1 hierarchy: the kernel does not keep their order.
pub(crate) fn same_hierarchy(one: &str, other: &str) -> bool {
    let sorted = |words: &str| {
        let mut words: Vec<String> = words.split(',').map(str::to_owned).collect();
        words.sort();
        words
    };
    sorted(one) == sorted(other)
}

/// The controllers among the words of a v1 hierarchy.
pub(crate) fn controllers(words: &str) -> Controllers {
    Controllers::from_names(words)
}

/// Undoes the octal escapes of mountinfo.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        let escaped = (*first == b'\\').then(|| behind.get(..3).and_then(octal));
        match escaped.flatten() {
            Some(byte) => {
                bytes.push(byte);
                rest = behind.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

fn malformed(what: &'static str, line: &[u8]) -> Error {
    Error::Malformed {
        what,
        line: String::from_utf8_lossy(line).into_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_found_among_others() {
        let text = b"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
            34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 master:2 - cgroup cgroup rw,cpuacct,cpu\n\
            40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd\n\
            41 31 0:38 /a\\040b /mnt/x\\134y rw - cgroup2 none rw,nsdelegate\n";
        let found = mounts(text).unwrap();
        let words: Vec<_> = found.iter().map(|mount| mount.legacy.as_deref()).collect();
        assert_eq!(words, [Some("cpuacct,cpu"), Some("name=systemd"), None]);
        assert_eq!(found[2].root, PathBuf::from("/a b"));
        assert_eq!(found[2].point, PathBuf::from("/mnt/x\\y"));
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for text in [
            "x",
            "1 2 0:3 / /p rw",
            "1 2 0:3 / /p rw - cgroup2",
            "1 2 0:3 / /p rw -",
        ] {
            assert!(mounts(text.as_bytes()).is_err(), "{text}");
        }
        for text in ["x", "0::", "0::relative", "1::/x", ":cpu:/", "-1:cpu:/"] {
            assert!(memberships(text.as_bytes(), "x").is_err(), "{text}");
        }
    }

    #[test]
    fn memberships_may_have_colons_in_their_paths() {
        let found = memberships(b"4:cpu,cpuacct:/a:b\n0::/c\n", "x").unwrap();
        assert_eq!(found[0].path, PathBuf::from("/a:b"));
        assert_eq!(found[0].legacy.as_deref(), Some("cpu,cpuacct"));
        assert_eq!(found[1].legacy, None);
    }

    #[test]
    fn hierarchies_are_the_same_in_any_order() {
        assert!(same_hierarchy("cpu,cpuacct", "cpuacct,cpu"));
        assert!(!same_hierarchy("cpu", "cpuacct,cpu"));
    }
}
