//! What of the host decides how a container is made.

use std::sync::OnceLock;

use crabcan_caps::{Capability, CapabilitySet};
use rustix::system::uname;

use crate::Error;

/// The oldest kernel that crabcan runs on.
pub(crate) const OLDEST_KERNEL: (u32, u32) = (5, 10);

const CAP_SETGID: u64 = 1 << 6;
const CAP_SETUID: u64 = 1 << 7;
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// Facts about the caller and its kernel, looked up once before a plan is made.
#[derive(Clone, Debug)]
pub struct Host {
    /// The effective user id.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
    /// Whether the caller holds the privileges of the host's root: mounts, and any ids.
    pub privileged: bool,
    /// The capabilities that the caller can give to others: what it may make effective.
    pub capabilities: CapabilitySet,
    /// Whether setgroups(2) is allowed in the caller's user namespace, once somebody asks: to look it
    /// up takes a file of procfs.
    pub setgroups: OnceLock<bool>,
    /// The hierarchies of cgroups, each by the controllers that are bound to it or by its name; an
    /// empty one for the unified hierarchy. None where that alone is mounted on `/sys/fs/cgroup`:
    /// then containers have it alone, whatever else the kernel knows. Looked up when somebody asks, too.
    pub cgroup_trees: OnceLock<Vec<String>>,
    /// The kernel's release, as uname(2) says.
    pub release: String,
}

impl Host {
    /// Looks at the calling thread.
    ///
    /// # Errors
    /// [`Error::Capabilities`] when the kernel does not tell.
    pub fn current() -> Result<Self, Error> {
        const ROOT: u64 = CAP_SETGID | CAP_SETUID | CAP_SYS_ADMIN;
        let [effective, permitted, _] =
            crabcan_init::steps::capability::get().map_err(|errno| Error::Capabilities {
                source: std::io::Error::from_raw_os_error(errno.0),
            })?;
        let every_id = || has_every_id("uid") && has_every_id("gid");
        let root = effective & ROOT == ROOT;
        let initial = root && in_initial_user_namespace();
        Ok(Self {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            privileged: initial || root && every_id(),
            capabilities: CapabilitySet::from_bits(permitted),
            setgroups: match initial {
                true => OnceLock::from(true),
                false => OnceLock::new(),
            },
            cgroup_trees: OnceLock::new(),
            release: uname().release().to_string_lossy().into_owned(),
        })
    }

    /// Whether setgroups(2) is allowed in the caller's user namespace.
    pub(crate) fn may_set_groups(&self) -> bool {
        let look = || in_initial_user_namespace() || setgroups_allowed();
        *self.setgroups.get_or_init(look)
    }

    /// The hierarchies of cgroups, see [`Host::cgroup_trees`].
    pub(crate) fn cgroup_trees(&self) -> &[String] {
        self.cgroup_trees.get_or_init(cgroup_trees)
    }

    /// Whether the caller has all of these capabilities.
    pub(crate) fn has(&self, capabilities: &[Capability]) -> bool {
        let wanted = CapabilitySet::of(capabilities);
        wanted.difference(self.capabilities).is_empty()
    }

    /// Refuses a kernel that lacks what every container needs.
    ///
    /// # Errors
    /// [`Error::Kernel`] below Linux 5.10.
    pub fn check_kernel(&self) -> Result<(), Error> {
        // As numbers, one by one: read as a fraction, 5.9 would be newer than 5.10.
        match kernel_version(&self.release) {
            Some(version) if version < OLDEST_KERNEL => Err(Error::Kernel {
                release: self.release.clone(),
                major: OLDEST_KERNEL.0,
                minor: OLDEST_KERNEL.1,
            }),
            // A release that can't be read says nothing; a missing system call will.
            _ => Ok(()),
        }
    }
}

/// Whether all ids here are the host's: one look in place of three files in which it is written.
fn in_initial_user_namespace() -> bool {
    /// `USER_NS_INIT_INO` of the kernel's `nsfs.h`.
    const INITIAL: u64 = 0xeffffffd;
    rustix::fs::stat("/proc/self/ns/user").is_ok_and(|stat| stat.st_ino == INITIAL)
}

/// The second field of each line in `/proc/self/cgroup`, see cgroups(7).
fn cgroup_trees() -> Vec<String> {
    const CGROUP2: u64 = 0x6367_7270;
    let mounted = rustix::fs::statfs("/sys/fs/cgroup");
    #[allow(
        clippy::unnecessary_cast,
        reason = "the type is another on some architectures"
    )]
    if mounted.is_ok_and(|mounted| mounted.f_type as u64 == CGROUP2) {
        return Vec::new();
    }
    let text = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let second = |line: &str| line.split(':').nth(1).map(str::to_owned);
    text.lines().filter_map(second).collect()
}

/// A group could deny what everybody else may: who gave up setgroups(2) for a map of groups may not
/// leave one. Without such a file the kernel knows no such thing.
fn setgroups_allowed() -> bool {
    let text = std::fs::read_to_string("/proc/self/setgroups");
    text.map_or(true, |text| text.trim() != "deny")
}

/// Whether this user namespace has all ids of the host. The root of another one has nothing to give
/// away: its sandboxes are those of an ordinary user.
fn has_every_id(kind: &str) -> bool {
    let map = std::fs::read_to_string(format!("/proc/self/{kind}_map"));
    map.is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
}

/// The first two numbers of a release such as `5.10.0-28-amd64`.
pub(crate) fn kernel_version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Whether a program is found in `PATH`.
#[must_use]
pub fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|directory| directory.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(release: &str) -> Result<(), Error> {
        Host {
            uid: 0,
            gid: 0,
            privileged: false,
            capabilities: CapabilitySet::EMPTY,
            setgroups: true.into(),
            cgroup_trees: Vec::new().into(),
            release: release.into(),
        }
        .check_kernel()
    }

    /// Defect 20 of the tutorial: as fractions, 4.19 is older than 4.8 and 5.9 newer than 5.10.
    #[test]
    fn releases_are_compared_number_by_number() {
        for old in ["4.8.0", "4.19.3", "5.4.0-1", "5.9.16", "3.10"] {
            assert!(matches!(check(old), Err(Error::Kernel { .. })), "{old}");
        }
        for new in ["5.10.0-28-amd64", "5.100.1", "6.1", "6.18.44-fc", "10.0"] {
            assert!(check(new).is_ok(), "{new}");
        }
    }
}
