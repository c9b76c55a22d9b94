//! `linux.intelRdt`: a share of caches and of memory bandwidth, as a directory of the resctrl file
//! system. See the kernel's `Documentation/filesystems/resctrl.rst`.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::spec::IntelRdt;

/// The groups that a container's first process was put into, and which of them were made for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resctrl {
    /// The directories that go with the container, in the order in which they were made.
    pub(crate) made: Vec<PathBuf>,
}

/// Where the file system is mounted: at its usual place, or not at all.
pub(crate) fn mounted() -> Result<PathBuf, Error> {
    const PLACE: &str = "/sys/fs/resctrl";
    const RDTGROUP_SUPER_MAGIC: i128 = 0x0765_5821;
    match rustix::fs::statfs(PLACE) {
        Ok(status) if i128::from(status.f_type) == RDTGROUP_SUPER_MAGIC => Ok(PLACE.into()),
        _ => {
            let reason = format!("no resctrl file system is mounted on {PLACE}");
            Err(Error::invalid("linux.intelRdt", reason))
        }
    }
}

impl Resctrl {
    /// Puts a process into its groups, which are made and given their share where the specification
    /// says so. What was made is gone again after an error.
    pub(crate) fn join(root: &Path, wanted: &IntelRdt, id: &str, pid: i32) -> Result<Self, Error> {
        let mut groups = Self::default();
        match groups.enter(root, wanted, id, pid) {
            Ok(()) => Ok(groups),
            Err(error) => {
                if let Err(problem) = groups.remove() {
                    log::warn!("{problem}");
                }
                Err(error)
            }
        }
    }

    fn enter(&mut self, root: &Path, wanted: &IntelRdt, id: &str, pid: i32) -> Result<(), Error> {
        let group = group(root, wanted, id);
        let lines = schemata(wanted);
        let there = group.is_dir();
        if there && wanted.clos_id.is_some() {
            compare(&group, wanted)?;
        } else if !there && wanted.clos_id.is_some() && lines.is_empty() {
            let reason = format!(
                "{} does not exist, and nothing says what it is to be",
                group.display()
            );
            return Err(Error::invalid("linux.intelRdt.closID", reason));
        } else {
            self.make(&group)?;
        }
        // What was compared is there already.
        let compared = there && wanted.schemata.is_empty();
        if !lines.is_empty() && !compared {
            let text = lines.concat();
            write(&group.join("schemata"), &text)?;
        }
        write(&group.join("tasks"), &pid.to_string())?;
        if wanted.enable_monitoring {
            let monitor = group.join("mon_groups").join(id);
            self.make(&monitor)?;
            write(&monitor.join("tasks"), &pid.to_string())?;
        }
        Ok(())
    }

    fn make(&mut self, group: &Path) -> Result<(), Error> {
        fs::create_dir(group).map_err(failed(group))?;
        self.made.push(group.to_owned());
        Ok(())
    }

    /// Removes what was made, the last first. What is gone already is no error.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        for group in self.made.iter().rev() {
            match fs::remove_dir(group) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed(group)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Changes the share of a container's group, and with it that of everybody in it.
pub(crate) fn update(root: &Path, wanted: &IntelRdt, id: &str) -> Result<(), Error> {
    write(
        &group(root, wanted, id).join("schemata"),
        &schemata(wanted).concat(),
    )
}

fn group(root: &Path, wanted: &IntelRdt, id: &str) -> PathBuf {
    match wanted.clos_id.as_deref() {
        Some("/") => root.to_owned(),
        Some(name) => root.join(name),
        None => root.join(id),
    }
}

/// What is written to `schemata`, in the order that the specification gives.
fn schemata(wanted: &IntelRdt) -> Vec<String> {
    let (cache, bandwidth) = (&wanted.l3_cache_schema, &wanted.mem_bw_schema);
    let lines = cache.iter().chain(bandwidth).chain(&wanted.schemata);
    lines.map(|line| format!("{line}\n")).collect()
}

/// A group that is there already must have the share that is asked for.
fn compare(group: &Path, wanted: &IntelRdt) -> Result<(), Error> {
    let path = group.join("schemata");
    let has = fs::read_to_string(&path).map_err(failed(&path))?;
    for (field, line) in [
        ("l3CacheSchema", &wanted.l3_cache_schema),
        ("memBwSchema", &wanted.mem_bw_schema),
    ] {
        let Some(line) = line else { continue };
        // The kernel pads the resource's name.
        let same = |other: &str| other.trim() == line.trim();
        if !has.lines().any(same) {
            let group = group.display();
            let reason = format!("\"{}\" is not what {group} has", line.escape_debug());
            return Err(Error::invalid(format!("linux.intelRdt.{field}"), reason));
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    log::debug!("write {}: {}", path.display(), text.trim_end());
    // One write: the kernel takes a text whole.
    let file = fs::OpenOptions::new().write(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Path {
        field: "linux.intelRdt".into(),
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// A tree like the kernel's, in which a new directory has no files of its own: they are made by
    /// hand, as the kernel does.
    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("crabcan-rdt-{name}-{}", std::process::id()));
            let tree = Self(path);
            tree.group("");
            tree
        }

        fn group(&self, name: &str) {
            let group = self.0.join(name);
            fs::create_dir_all(group.join("mon_groups")).unwrap();
            fs::write(group.join("schemata"), "    MB:0=100\n    L3:0=ff\n").unwrap();
            fs::write(group.join("tasks"), "").unwrap();
        }

        fn read(&self, path: &str) -> String {
            fs::read_to_string(self.0.join(path)).unwrap()
        }

        fn join(&self, wanted: &IntelRdt) -> Result<Resctrl, Error> {
            Resctrl::join(&self.0, wanted, "c1", 42)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn wanted(clos_id: Option<&str>) -> IntelRdt {
        IntelRdt {
            clos_id: clos_id.map(str::to_owned),
            ..IntelRdt::default()
        }
    }

    #[test]
    fn the_order_of_the_lines_is_the_specifications() {
        let rdt = IntelRdt {
            l3_cache_schema: Some("L3:0=f".into()),
            mem_bw_schema: Some("MB:0=20".into()),
            schemata: vec!["L2:0=3".into(), "MB:0=30".into()],
            ..IntelRdt::default()
        };
        assert_eq!(
            schemata(&rdt).concat(),
            "L3:0=f\nMB:0=20\nL2:0=3\nMB:0=30\n"
        );
    }

    #[test]
    fn the_root_group_is_a_group() {
        let tree = Tree::new("root");
        let groups = tree.join(&wanted(Some("/"))).unwrap();
        assert_eq!(groups, Resctrl::default());
        assert_eq!(tree.read("tasks"), "42");
        // Nothing was asked for, so the share is not touched.
        assert_eq!(tree.read("schemata"), "    MB:0=100\n    L3:0=ff\n");
    }

    #[test]
    fn a_group_that_is_there_is_compared_and_stays() {
        let tree = Tree::new("there");
        tree.group("gold");
        let mut rdt = wanted(Some("gold"));
        rdt.l3_cache_schema = Some("L3:0=ff".into());
        let groups = tree.join(&rdt).unwrap();
        assert_eq!(tree.read("gold/tasks"), "42");
        groups.remove().unwrap();
        assert!(tree.0.join("gold").is_dir());
        rdt.mem_bw_schema = Some("MB:0=20".into());
        let error = tree.join(&rdt).unwrap_err().to_string();
        assert!(error.starts_with("linux.intelRdt.memBwSchema: "), "{error}");
        let error = tree.join(&wanted(Some("silver"))).unwrap_err().to_string();
        assert!(error.starts_with("linux.intelRdt.closID: "), "{error}");
        assert!(!tree.0.join("silver").exists());
    }

    #[test]
    fn lines_beyond_the_compared_ones_are_written() {
        let tree = Tree::new("lines");
        tree.group("gold");
        let mut rdt = wanted(Some("gold"));
        rdt.schemata = vec!["L3:0=1".into()];
        tree.join(&rdt).unwrap();
        assert!(tree.read("gold/schemata").starts_with("L3:0=1\n"));
    }

    #[test]
    fn an_update_writes_to_the_containers_group() {
        let tree = Tree::new("update");
        tree.group("gold");
        tree.group("c1");
        let mut rdt = wanted(Some("gold"));
        rdt.l3_cache_schema = Some("L3:0=7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f".into());
        update(&tree.0, &rdt, "c1").unwrap();
        assert_eq!(
            tree.read("gold/schemata"),
            "L3:0=7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f\n"
        );
        rdt.clos_id = None;
        rdt.mem_bw_schema = Some("MB:0=20".into());
        update(&tree.0, &rdt, "c1").unwrap();
        assert_eq!(
            tree.read("c1/schemata"),
            "L3:0=7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f\nMB:0=20\n"
        );
        assert!(update(&tree.0, &rdt, "nobody").is_err());
    }

    /// A plain file system makes no files in a new directory, so the first write fails: what was
    /// made is gone again.
    #[test]
    fn a_failure_leaves_no_group() {
        let tree = Tree::new("fail");
        let error = tree.join(&wanted(None)).unwrap_err();
        assert!(matches!(error, Error::Path { .. }), "{error:?}");
        assert!(!tree.0.join("c1").exists());
    }

    #[test]
    fn a_monitoring_group_is_made_and_removed() {
        let tree = Tree::new("monitor");
        fs::create_dir(tree.0.join("mon_groups/c1")).unwrap();
        let mut rdt = wanted(Some("/"));
        rdt.enable_monitoring = true;
        // One of that name is somebody else's.
        assert!(tree.join(&rdt).is_err());
        let made = Resctrl {
            made: vec![tree.0.join("mon_groups/c1"), tree.0.join("gone")],
        };
        made.remove().unwrap();
        assert!(!tree.0.join("mon_groups/c1").exists());
    }
}
