//! Mounts of the type `cgroup`: what is there, in whichever layout the host has it.

use std::path::Path;

use crabcan_init::Step;
use crabcan_init::format::{Change, Changes, Strings};
use crabcan_rootfs::{MountAttributes, MountOptions, NewMount, Target};

use super::{Composer, rootfs};
use crate::Error;
use crate::plan::c_string;
use crate::spec::Mount;

impl Composer<'_> {
    /// The unified hierarchy where it is the only one; otherwise a tmpfs with a directory for each
    /// hierarchy of v1, as programs expect it, and `unified` beside them. In a cgroup namespace of
    /// the container's own each begins with its cgroup.
    pub(super) fn cgroup_mount(
        &mut self,
        field: &str,
        mount: &Mount,
        options: &MountOptions,
        target: Target,
    ) -> Result<(), Error> {
        let legacy = self
            .host
            .cgroup_trees
            .iter()
            .filter(|tree| !tree.is_empty());
        let legacy: Vec<&str> = legacy.map(String::as_str).collect();
        if mount.fstype == "cgroup2" || legacy.is_empty() {
            return self.cgroup_tree(field, "cgroup2", "cgroup", None, options, target);
        }
        let place = target.path().to_owned();
        // What holds for the directories holds for their tmpfs; it is closed when all are made.
        let quiet = MountAttributes::NOSUID | MountAttributes::NODEV | MountAttributes::NOEXEC;
        NewMount::tmpfs(target, ["mode=755"])
            .attributes(quiet)
            .push(&mut self.writer)
            .map_err(rootfs(field))?;
        for tree in legacy {
            let name = tree.strip_prefix("name=").unwrap_or(tree);
            let target = Target::new(place.join(name)).create().no_symlinks();
            self.cgroup_tree(field, "cgroup", tree, Some(tree), options, target)?;
            self.cgroup_links(field, &place, name)?;
        }
        if self.host.cgroup_trees.iter().any(String::is_empty) {
            let target = Target::new(place.join("unified")).create().no_symlinks();
            self.cgroup_tree(field, "cgroup2", "cgroup", None, options, target)?;
        }
        if !options.attributes.set.contains(MountAttributes::RDONLY) {
            return Ok(());
        }
        let changes = Change::set(MountAttributes::RDONLY.bits(), false).to_bytes();
        self.push(&Step::Remount {
            target: &c_string(field, &place)?,
            changes: Changes::new(&changes).ok_or(Error::PlanTooLong)?,
            options: Strings::new(&[]).ok_or(Error::PlanTooLong)?,
            flags: 0,
        })
    }

    fn cgroup_tree(
        &mut self,
        field: &str,
        fstype: &str,
        source: &str,
        tree: Option<&str>,
        options: &MountOptions,
        target: Target,
    ) -> Result<(), Error> {
        // The hierarchy is chosen by the controllers that are bound to it, or by its name.
        let chosen = tree
            .into_iter()
            .flat_map(|tree| match tree.starts_with("name=") {
                true => vec!["none".to_owned(), tree.to_owned()],
                false => tree.split(',').map(str::to_owned).collect(),
            });
        NewMount::new(fstype, target)
            .source(source)
            .parsed(options)
            .options(chosen)
            .push(&mut self.writer)
            .map_err(rootfs(field))
    }

    /// `cpu` beside `cpu,cpuacct`: programs look for a controller by its own name.
    fn cgroup_links(&mut self, field: &str, place: &Path, name: &str) -> Result<(), Error> {
        if !name.contains(',') {
            return Ok(());
        }
        let text = c_string(field, name)?;
        for controller in name.split(',') {
            let target = c_string(field, place.join(controller))?;
            self.push(&Step::Symlink {
                text: &text,
                target: &target,
            })?;
        }
        Ok(())
    }
}
