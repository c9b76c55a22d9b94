//! The cgroup of a container: what it limits, made before the container and removed after it.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use crabcan_cgroups::{Cgroup, CgroupPath, Controller, Hierarchy, Place, Resources, remove_stale};

use crate::Error;

/// How long the end of the last process may take to reach its cgroup.
const PATIENCE: Duration = Duration::from_secs(10);

/// A cgroup for a container: where, and what is limited in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What of cgroups there is on the host.
    pub hierarchy: Hierarchy,
    /// Where it is; `None` for a name of its own below the caller's cgroup, a new one each time.
    pub path: Option<CgroupPath>,
    /// What must be enforced.
    pub required: Resources,
    /// What is enforced if the host can, in addition.
    pub optional: Resources,
}

/// A limit that was asked for if possible, and is not in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unenforced {
    /// What would have to enforce it.
    pub controller: Option<Controller>,
    /// Why it does not.
    pub reason: String,
}

impl Unenforced {
    pub(crate) fn new(error: &crabcan_cgroups::Error, controller: Option<Controller>) -> Self {
        let mut reason = error.to_string();
        if let Some(source) = error.source() {
            reason += &format!(": {source}");
        }
        Self {
            controller: error.controller().or(controller),
            reason,
        }
    }
}

impl fmt::Display for Unenforced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.controller {
            Some(controller) => write!(f, "{controller} is not limited: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl Limits {
    /// Everything that is to be limited.
    pub(crate) fn all(&self) -> crabcan_cgroups::Controllers {
        let both = [self.required.controllers(), self.optional.controllers()];
        both.into_iter().flat_map(|set| set.iter()).collect()
    }

    fn place(&self) -> Result<Place, crabcan_cgroups::Error> {
        let path = self.path.clone().unwrap_or_else(CgroupPath::unique);
        Ok(self.hierarchy.place(&path)?.only_for(self.all()))
    }

    /// How many files of v1 the container's first process writes to.
    pub(crate) fn task_files(&self) -> usize {
        let controllers = self.all();
        let legacy = self.hierarchy.legacy().iter();
        legacy
            .filter(|tree| !tree.controllers().and(controllers).is_empty())
            .count()
    }

    /// Takes out of what is optional all that the host can't do at all, and says why; what is
    /// required and can't be had is an error.
    pub(crate) fn settle(&mut self) -> Result<Vec<Unenforced>, Error> {
        let place = self.place().map_err(failed)?;
        let required = self.required.controllers();
        if let Some(source) = self.hierarchy.lacking(&place, required).into_iter().next() {
            return Err(failed(source));
        }
        let optional = self.optional.controllers();
        let lacking = self.hierarchy.lacking(&place, optional);
        let missing = lacking
            .iter()
            .filter_map(crabcan_cgroups::Error::controller);
        self.optional = self.optional.without(missing.collect());
        Ok(lacking
            .iter()
            .map(|error| Unenforced::new(error, None))
            .collect())
    }

    /// Whether there is anything left to be limited.
    pub(crate) fn is_empty(&self) -> bool {
        self.path.is_none() && self.all().is_empty()
    }

    /// Makes the cgroup and puts the limits in force, before anything is in it.
    pub(crate) fn enforce(&self) -> Result<(Cgroup, Vec<Unenforced>), Error> {
        let place = self.place().map_err(failed)?;
        if self.path.is_none() {
            remove_stale(&self.hierarchy, &place);
        }
        let cgroup = Cgroup::create(&self.hierarchy, &place, self.all()).map_err(failed)?;
        cgroup.mark_in_use().map_err(failed)?;
        cgroup.apply(&self.required).map_err(failed)?;
        for error in cgroup.apply_what_can_be(&without_swap(&self.required)) {
            log::trace!("swap is not limited: {error}");
        }
        let lacking = cgroup.apply_what_can_be(&self.optional);
        let lacking = lacking.iter().map(|error| Unenforced::new(error, None));
        Ok((cgroup, lacking.collect()))
    }
}

/// Removes the cgroup of a container that has ended.
pub(crate) fn remove(cgroup: Cgroup) -> Result<(), Error> {
    // Without a pid namespace something may have outlived the first process.
    cgroup
        .kill(PATIENCE)
        .and_then(|()| cgroup.remove(PATIENCE))
        .map_err(failed)
}

pub(crate) fn failed(source: crabcan_cgroups::Error) -> Error {
    Error::Limits { source }
}

/// What is limited must not go on in swap, where the kernel counts that: nobody asked for it by name,
/// so it is no error where it does not.
fn without_swap(resources: &Resources) -> Resources {
    let mut swap = Resources::default();
    if resources.memory.max_with_swap_bytes.is_none() {
        swap.memory.max_bytes = resources.memory.max_bytes;
        swap.memory.max_with_swap_bytes = resources.memory.max_bytes;
    }
    swap
}
