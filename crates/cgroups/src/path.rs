//! The name of a cgroup.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::rand::{GetRandomFlags, getrandom};

use crate::Error;

/// What [`CgroupPath::unique`] begins with.
pub(crate) const UNIQUE: &str = "crabcan-";

/// Where a cgroup is to be: absolute means below what is mounted, relative below the cgroup of this
/// process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupPath {
    absolute: bool,
    below: PathBuf,
}

impl CgroupPath {
    /// Checks a path, which may come from a `config.json`.
    ///
    /// # Errors
    /// [`Error::Path`] when it is empty or the root itself, contains `..` or a line break, or a name
    /// is longer than 255 bytes.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let wrong = |reason| Error::Path {
            path: path.to_owned(),
            reason,
        };
        let mut below = PathBuf::new();
        for component in path.components() {
            match component {
                Component::RootDir | Component::CurDir => {}
                Component::Normal(name) if name.len() > 255 => {
                    return Err(wrong("has a name of more than 255 bytes"));
                }
                Component::Normal(name) if name.as_bytes().contains(&b'\n') => {
                    return Err(wrong("contains a line break"));
                }
                Component::Normal(name) if name.as_bytes().contains(&0) => {
                    return Err(wrong("contains a NUL character"));
                }
                Component::Normal(name) => below.push(name),
                Component::ParentDir => return Err(wrong("contains \"..\"")),
                Component::Prefix(_) => return Err(wrong("has a prefix")),
            }
        }
        if below.as_os_str().is_empty() {
            return Err(wrong("names no cgroup"));
        }
        Ok(Self {
            absolute: path.is_absolute(),
            below,
        })
    }

    /// A name that no other cgroup has, below the cgroup of this process: `crabcan-` and 64 random
    /// bits.
    #[must_use]
    pub fn unique() -> Self {
        Self {
            absolute: false,
            below: format!("{UNIQUE}{:016x}", random()).into(),
        }
    }

    /// The same with a word that says whose it is: `crabcan-WORD-` and 64 random bits. Of a long
    /// word there is only the beginning, so that it is a name of a directory and of a unit.
    ///
    /// # Errors
    /// [`Error::Path`] for a word that is none.
    pub fn unique_for(word: &str) -> Result<Self, Error> {
        const AT_MOST: usize = 200;
        let beginning: String = word.chars().take(AT_MOST).collect();
        Self::new(format!("{UNIQUE}{beginning}-{:016x}", random()))
    }

    /// Whether it begins below what is mounted.
    #[must_use]
    pub fn is_absolute(&self) -> bool {
        self.absolute
    }

    /// The names, without a slash in front.
    #[must_use]
    pub fn below(&self) -> &Path {
        &self.below
    }
}

fn random() -> u64 {
    let mut bytes = [0u8; 8];
    // Without randomness, which no kernel of today lacks, the pid and the time are as good: a name
    // that exists is refused.
    if getrandom(&mut bytes[..], GetRandomFlags::empty()).is_err() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_nanos() as u64);
        bytes = (now ^ u64::from(std::process::id()) << 32).to_ne_bytes();
    }
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn paths_that_are_none_are_refused() {
        let long = "x".repeat(256);
        for path in ["", "/", ".", "..", "/a/../b", "a\nb", "a\0b", &long] {
            assert!(
                matches!(CgroupPath::new(path), Err(Error::Path { .. })),
                "{path}"
            );
        }
    }

    #[test]
    fn a_path_is_absolute_or_not() {
        let path = CgroupPath::new("/a//b/./c/").unwrap();
        assert!(path.is_absolute());
        assert_eq!(path.below(), Path::new("a/b/c"));
        assert!(!CgroupPath::new("a").unwrap().is_absolute());
        assert_ne!(CgroupPath::unique(), CgroupPath::unique());
    }

    #[test]
    fn a_unique_name_says_whose_it_is() {
        let name = |word: &str| CgroupPath::unique_for(word).unwrap();
        let text = |path: &CgroupPath| path.below().to_str().unwrap().to_owned();
        let one = name("web");
        assert!(!one.is_absolute());
        assert!(text(&one).starts_with("crabcan-web-"), "{one:?}");
        assert_ne!(one, name("web"));
        assert_eq!(text(&name(&"x".repeat(1000))).len(), 8 + 200 + 1 + 16);
        assert!(CgroupPath::unique_for("a/../b").is_err());
    }
}
