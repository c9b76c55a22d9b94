//! Mounts of the type `cgroup`: what is there, in whichever layout the host has it.

use crabcan_ns::Namespace;
use crabcan_rootfs::cgroup::{Hierarchy, push_v1};
use crabcan_rootfs::options::Scope;
use crabcan_rootfs::{MountAttributes, MountOptions, NewMount, Target};

use super::{Composer, rootfs};
use crate::Error;
use crate::spec::Mount;

/// Where every distribution mounts its cgroups.
const HOST_CGROUPS: &str = "/sys/fs/cgroup";

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
        if self.can_only_be_shown_the_host() {
            return self.host_cgroups(field, mount, options, target);
        }
        let trees = self.host.cgroup_trees().iter();
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

    /// The kernel lets a cgroup file system be mounted only by who is root of the user namespace
    /// that its cgroup namespace belongs to. A container with the host's cgroup namespace and
    /// another user namespace is not, whoever starts it; podman without root is so on v1.
    fn can_only_be_shown_the_host(&self) -> bool {
        let linux = &self.spec.linux;
        let foreign = linux.separates(Namespace::User) || !self.host.privileged;
        foreign && !linux.separates(Namespace::Cgroup)
    }

    /// What the host has mounted. Its files belong to ids that the container does not have, so it
    /// may look at them as any user of the host may.
    fn host_cgroups(
        &mut self,
        field: &str,
        mount: &Mount,
        options: &MountOptions,
        target: Target,
    ) -> Result<(), Error> {
        let mount = Mount {
            source: HOST_CGROUPS.into(),
            ..mount.clone()
        };
        let mut options = options.clone();
        options.bind = Some(Scope::Tree);
        // Each hierarchy is a mount of its own.
        options.recursive_attributes = options.attributes;
        self.bind(field, &mount, &options, target)
    }
}
