//! `/sys/fs/cgroup`: the unified hierarchy, or one mount for each of the first version's.

use std::path::Path;

use crabcan_init::{PlanWriter, Step};

use crate::mount::{NewMount, Target, c_path};
use crate::{Error, MountAttributes};

const QUIET: MountAttributes = MountAttributes::NOSUID
    .with(MountAttributes::NODEV)
    .with(MountAttributes::NOEXEC);

/// One hierarchy of the first version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Its directory: the controllers as `/proc/self/cgroup` joins them, or the name of one without.
    pub directory: String,
    /// The controllers, or `none` and `name=NAME`.
    pub options: Vec<String>,
}

impl Hierarchy {
    /// The hierarchy of a second field of `/proc/self/cgroup`: `cpu,cpuacct`, or `name=systemd`.
    #[must_use]
    pub fn new(controllers: &str) -> Self {
        match controllers.strip_prefix("name=") {
            Some(name) => Self {
                directory: name.to_owned(),
                options: vec!["none".to_owned(), controllers.to_owned()],
            },
            None => Self {
                directory: controllers.to_owned(),
                options: controllers.split(',').map(str::to_owned).collect(),
            },
        }
    }

    /// The names that lead to a directory of several controllers.
    fn links(&self) -> impl Iterator<Item = &str> {
        let joined = self.directory.contains(',');
        self.directory.split(',').filter(move |_| joined)
    }
}

/// Appends the steps that mount hierarchies of the first version on a tmpfs: each in a directory of
/// its own, with a link for each of several controllers. They show the tree from the root of the
/// cgroup namespace, so it needs one of the container's own.
///
/// # Errors
/// [`Error::Nul`] and [`Error::TooLong`].
pub fn push_v1(
    plan: &mut PlanWriter,
    target: &Target,
    hierarchies: &[Hierarchy],
    read_only: bool,
) -> Result<(), Error> {
    let attributes = match read_only {
        true => QUIET | MountAttributes::RDONLY,
        false => QUIET,
    };
    NewMount::tmpfs(target.clone(), ["mode=755"])
        .attributes(QUIET)
        .push(plan)?;
    for hierarchy in hierarchies {
        let place = target.path().join(&hierarchy.directory);
        NewMount::new("cgroup", Target::new(place).create().no_symlinks())
            .options(hierarchy.options.iter().cloned())
            .attributes(attributes)
            .push(plan)?;
        for link in hierarchy.links() {
            plan.push(&Step::Symlink {
                text: &c_path(Path::new(&hierarchy.directory))?,
                target: &c_path(&target.path().join(link))?,
            })?;
        }
    }
    if read_only {
        crate::Remount::read_only(target.clone()).push(plan)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Hierarchy;

    #[test]
    fn hierarchies_by_the_names_of_proc() {
        let joined = Hierarchy::new("cpu,cpuacct");
        assert_eq!(joined.options, ["cpu", "cpuacct"]);
        assert!(joined.links().eq(["cpu", "cpuacct"]));
        let named = Hierarchy::new("name=systemd");
        assert_eq!(
            (named.directory.as_str(), named.links().count()),
            ("systemd", 0)
        );
        assert_eq!(named.options, ["none", "name=systemd"]);
        assert_eq!(Hierarchy::new("pids").links().count(), 0);
    }
}
