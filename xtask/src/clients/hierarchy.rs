//! The cgroup hierarchies of the machine, as `/proc/self/mountinfo` tells them.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// How the machine inside the enclosure shows its cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// All hierarchies that the machine has.
    AsMounted,
    /// The v1 hierarchies alone: crun takes a machine with a cgroup2 mount beside them for v2.
    V1,
    /// Those of the machine itself, where systemd makes the cgroups: in the virtual machine, which
    /// is enclosure enough.
    Systemd,
}

impl Layout {
    pub(crate) fn parse(word: &str) -> Result<Layout> {
        match word {
            "as-mounted" => Ok(Layout::AsMounted),
            "v1" => Ok(Layout::V1),
            "systemd" => Ok(Layout::Systemd),
            _ => bail!("--cgroups takes as-mounted, v1 or systemd, not {word}"),
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Layout::AsMounted => "as-mounted",
            Layout::V1 => "v1",
            Layout::Systemd => "systemd",
        }
    }

    pub(crate) fn shows(self, hierarchy: &Hierarchy) -> bool {
        self != Layout::V1 || hierarchy.controllers.is_some()
    }
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    pub(crate) mount_point: PathBuf,
    /// The mount option that names it, such as `cpu,cpuacct` or `name=systemd`; none for cgroup2.
    pub(crate) controllers: Option<String>,
}

impl Hierarchy {
    /// All that are mounted, in the order of the mounts.
    pub(crate) fn mounted() -> Result<Vec<Hierarchy>> {
        let text = fs::read_to_string("/proc/self/mountinfo").context("read mountinfo")?;
        let found: Vec<_> = text.lines().filter_map(hierarchy).collect();
        if found.is_empty() {
            bail!("no cgroup hierarchy is mounted");
        }
        Ok(found)
    }

    /// Whether it is the only one and cgroup2.
    pub(crate) fn is_unified(all: &[Hierarchy]) -> bool {
        matches!(all, [only] if only.controllers.is_none())
    }

    /// Makes a cgroup in it that processes can join at once.
    pub(crate) fn make(&self, name: &str) -> Result<PathBuf> {
        let dir = self.mount_point.join(name);
        fs::create_dir(&dir).with_context(|| format!("create {}", dir.display()))?;
        // A new cpuset of v1 is empty, and an empty one takes no process.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let parent = self.mount_point.join(file);
            if self.controllers.is_some() && parent.exists() {
                // Not `fs::copy`: files of the kernel have no size to copy by.
                let value = fs::read(&parent).context("read the parent's cpuset")?;
                fs::write(dir.join(file), value)
                    .with_context(|| format!("write {file} in {}", dir.display()))?;
            }
        }
        Ok(dir)
    }
}

/// Reads one line of mountinfo (proc(5)); `None` for other file systems.
fn hierarchy(line: &str) -> Option<Hierarchy> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mount_point = mount.split(' ').nth(4)?.into();
    let mut fields = file_system.split(' ');
    let controllers = match fields.next()? {
        "cgroup2" => None,
        "cgroup" => {
            let options = fields.nth(1)?.split(',');
            let named: Vec<_> = options.filter(|word| !NOT_NAMING.contains(word)).collect();
            Some(named.join(","))
        }
        _ => return None,
    };
    Some(Hierarchy {
        mount_point,
        controllers,
    })
}

/// Options of a cgroup mount that say nothing about which hierarchy it is.
const NOT_NAMING: &[&str] = &["rw", "ro", "xattr", "clone_children", "noprefix"];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::path::Path;

    use super::*;

    #[test]
    fn hierarchies_are_told_by_their_mount_options() {
        let v1 =
            "33 31 0:30 / /sys/fs/cgroup/cpu rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct";
        let found = hierarchy(v1).unwrap();
        assert_eq!(found.mount_point, Path::new("/sys/fs/cgroup/cpu"));
        assert_eq!(found.controllers.as_deref(), Some("cpu,cpuacct"));
        let named = "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd";
        let named = hierarchy(named).unwrap();
        assert_eq!(named.controllers.as_deref(), Some("name=systemd"));
        assert!(!Hierarchy::is_unified(&[named]));
    }

    #[test]
    fn the_unified_hierarchy_names_no_controllers() {
        let v2 = "41 31 0:38 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate";
        let found = hierarchy(v2).unwrap();
        assert_eq!(found.controllers, None);
        assert!(!Layout::V1.shows(&found));
        assert!(Layout::AsMounted.shows(&found));
        assert!(Hierarchy::is_unified(&[found]));
        assert_eq!(hierarchy("24 1 0:6 / /dev rw - devtmpfs devtmpfs rw"), None);
    }
}
