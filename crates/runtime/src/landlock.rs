//! Landlock, the second wall of a sandbox: which rights this kernel knows, and the ruleset.
//!
//! Mounts decide what of the host can be seen. Landlock decides once more, by the files themselves:
//! a process that got at a file of the host on another way, by a descriptor that was left open or by
//! another process' `/proc/PID/root`, is refused it. See docs/adr/0050-landlock.md.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError, Scope,
};

use crate::Error;

/// The versions of its interface that bring something for a sandbox, the newest first. The first one
/// (Linux 5.13) is not among them: under it, no file can be moved to another directory.
const VERSIONS: [ABI; 4] = [ABI::V6, ABI::V5, ABI::V3, ABI::V2];

/// What a sandbox does about Landlock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LandlockMode {
    /// Nothing: in the sandbox, file systems can be mounted where the filter of system calls allows
    /// that.
    Off,
    /// What the kernel has of it.
    #[default]
    BestEffort,
    /// As [`LandlockMode::BestEffort`]; a kernel that has none of it is an error.
    Required,
}

/// A ruleset that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landlock {
    version: ABI,
    /// Where the root is the host's own: what in it can be read. Anything else beneath it can only be
    /// listed.
    pub(crate) visible: Option<Vec<PathBuf>>,
}

impl Landlock {
    /// What this kernel has; `None` before Linux 5.19, or where it is switched off.
    pub(crate) fn of_this_kernel() -> Option<Self> {
        let mut versions = VERSIONS.into_iter();
        versions
            .find(|version| ruleset(*version).is_ok())
            .map(|version| Self {
                version,
                visible: None,
            })
    }

    /// The number of the interface's version.
    pub(crate) fn version(&self) -> u8 {
        self.version as u8
    }

    /// Everything that can be allowed of files.
    pub(crate) fn all(&self) -> u64 {
        AccessFs::from_all(self.version).bits()
    }

    /// To read and to execute.
    pub(crate) fn read(&self) -> u64 {
        AccessFs::from_read(self.version).bits()
    }

    /// To list directories.
    pub(crate) fn list(&self) -> u64 {
        AccessFs::ReadDir as u64
    }

    /// The ruleset, without a rule.
    pub(crate) fn make(&self) -> Result<OwnedFd, Error> {
        let made = ruleset(self.version).and_then(Ruleset::create);
        let descriptor = made.map(Option::<OwnedFd>::from);
        let failed = |source| Error::Wait {
            doing: "make a ruleset of Landlock",
            source,
        };
        match descriptor {
            Ok(Some(descriptor)) => Ok(descriptor),
            Ok(None) => Err(failed(std::io::ErrorKind::Unsupported.into())),
            Err(error) => Err(failed(std::io::Error::other(error))),
        }
    }
}

/// The version of Landlock's interface that sandboxes use on this kernel, if there is one.
#[must_use]
pub fn landlock_version() -> Option<u8> {
    Landlock::of_this_kernel().map(|landlock| landlock.version())
}

/// A ruleset of this version; an error where the kernel does not know all of it.
fn ruleset(version: ABI) -> Result<Ruleset, RulesetError> {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let ruleset = ruleset.handle_access(AccessFs::from_all(version))?;
    match Scope::from_all(version) {
        none if none.is_empty() => Ok(ruleset),
        scopes => ruleset.scope(scopes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_the_kernels_bits() {
        let at = |version| Landlock {
            version,
            visible: None,
        };
        assert_eq!(at(ABI::V2).all(), 0x3fff);
        assert_eq!(at(ABI::V3).all(), 0x7fff);
        assert_eq!(at(ABI::V6).all(), 0xffff);
        assert_eq!(at(ABI::V6).read(), 0b1101);
        assert_eq!(at(ABI::V6).list(), 0b1000);
    }
}
