//! Mounts of the type `cgroup`: what is there, in whichever layout the host has it.

use crabcan_rootfs::cgroup::{Hierarchy, push_v1};
use crabcan_rootfs::{MountAttributes, MountOptions, NewMount, Target};

use super::{Composer, rootfs};
use crate::Error;
use crate::spec::Mount;

impl Composer<'_> {
    /// The unified hierarchy where it is the only one; otherwise a directory for each hierarchy of
    /// v1, as programs expect it. In a cgroup namespace of the container's own each begins with its
    /// cgroup; without, with the host's root.
    pub(super) fn cgroup_mount(
        &mut self,
        field: &str,
        mount: &Mount,
        options: &MountOptions,
        target: Target,
    ) -> Result<(), Error> {
        let trees = self.host.cgroup_trees.iter();
        let legacy = trees.filter(|tree| !tree.is_empty());
        let legacy: Vec<Hierarchy> = legacy.map(|tree| Hierarchy::new(tree)).collect();
        if mount.fstype == "cgroup2" || legacy.is_empty() {
            let unified = NewMount::cgroup2(target).source("cgroup").parsed(options);
            return unified.push(&mut self.writer).map_err(rootfs(field));
        }
        if let Some(word) = options.data.first() {
            let reason = format!(
                "\"{}\" is no option of all hierarchies",
                word.escape_debug()
            );
            return Err(Error::invalid(format!("{field}.options"), reason));
        }
        let read_only = options.attributes.set.contains(MountAttributes::RDONLY);
        push_v1(&mut self.writer, &target, &legacy, read_only).map_err(rootfs(field))
    }
}
