//! Where a container's cgroup will be: decided and written down before it is made, so that whoever
//! cleans up after a crash finds it.

use crabcan_cgroups::{Cgroup, CgroupPath, Hierarchy, Place, Resources};

use super::cgroup::failed;
use super::delegation::delegate;
use super::make::Draft;
use super::scope::Scope;
use crate::plan::Plan;
use crate::spec::Spec;
use crate::state::{Entry, Record};
use crate::{Error, Host, Id};

const MAKING: &str = "make the container's cgroup";

/// Who makes the cgroups of containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CgroupManager {
    /// crabcan, which makes a directory.
    #[default]
    Cgroupfs,
    /// systemd, which makes a scope: on cgroup v2 alone. It is the system's for root, and a
    /// user's own for everybody else.
    Systemd,
    /// Nobody: a container stays in the cgroup of its maker, and nothing can be limited.
    Disabled,
}

/// Where a container's cgroup will be.
#[derive(Debug)]
pub(super) enum Placement {
    /// It gets none of its own.
    Inherited,
    /// A directory in each tree.
    Directory { hierarchy: Hierarchy, place: Place },
    /// A scope, once there is a process to be in it.
    Scope(Scope),
}

impl Placement {
    /// At the path that the configuration names, or below the caller's own cgroup.
    fn of(manager: CgroupManager, spec: &Spec, host: &Host, id: &Id) -> Result<Self, Error> {
        match manager {
            CgroupManager::Disabled => return Ok(Self::Inherited),
            CgroupManager::Systemd => {
                return Scope::of(wanted_path(spec), spec, host, id).map(Self::Scope);
            }
            CgroupManager::Cgroupfs => {}
        }
        let path = match wanted_path(spec) {
            Some(path) => CgroupPath::new(path),
            // Another state directory may have a container of this id as well.
            None => CgroupPath::unique_for(id.as_str()),
        };
        let place = || {
            let path = path?;
            let hierarchy = match path.is_absolute() {
                true => Hierarchy::of_known_places()?,
                false => Hierarchy::of_this_process()?,
            };
            let place = hierarchy.place(&path)?;
            Ok(Self::Directory { hierarchy, place })
        };
        place().map_err(failed(MAKING))
    }

    /// How many files of v1 init writes itself into.
    pub(super) fn task_files(&self) -> usize {
        match self {
            Self::Inherited | Self::Scope(_) => 0,
            Self::Directory { place, .. } => place.legacy_trees(),
        }
    }

    /// Writes down where it will be.
    pub(super) fn note(&self, record: &mut Record) {
        match self {
            Self::Inherited => {}
            Self::Directory { place, .. } => record.cgroup = Some(place.to_string()),
            Self::Scope(scope) => record.scope = Some(scope.record().clone()),
        }
    }

    /// Makes it with its limits, and gives it to whom it is for.
    ///
    /// # Errors
    /// [`Error::Cgroup`]. Nothing that was made remains.
    pub(super) fn make(
        &self,
        entry: &Entry,
        draft: &Draft,
        record: &mut Record,
    ) -> Result<Option<Cgroup>, Error> {
        let Self::Directory { hierarchy, place } = self else {
            return Ok(None);
        };
        let mut make = || {
            let cgroup = Cgroup::create(hierarchy, place, draft.plan.resources().controllers())?;
            furnish(&cgroup, entry, draft, record)?;
            Ok(cgroup)
        };
        make().map(Some).map_err(failed(MAKING))
    }
}

/// Puts a cgroup's limits in force and gives it to whom it is for. A program for devices is shared
/// with another container where one has the same rules.
pub(super) fn furnish(
    cgroup: &Cgroup,
    entry: &Entry,
    draft: &Draft,
    record: &mut Record,
) -> Result<(), crabcan_cgroups::Error> {
    let known = entry.device_programs_of_others();
    record.device_program = cgroup.apply_sharing(draft.plan.resources(), known)?;
    delegate(cgroup, &draft.spec, draft.plan.host())
}

fn wanted_path(spec: &Spec) -> Option<&str> {
    let path = spec.linux.cgroups_path.as_deref();
    path.filter(|path| !path.is_empty())
}

/// Whether a container may be without a cgroup: an ordinary user's, to whom nothing is delegated,
/// when neither one nor a limit was asked for.
pub(super) fn is_optional(spec: &Spec, host: &Host, resources: &Resources) -> bool {
    !host.privileged && wanted_path(spec).is_none() && *resources == Resources::default()
}

/// Decides where the cgroup of a container will be, and the plan, which enters it.
///
/// # Errors
/// [`Error::Cgroup`] when the host has no place for it, [`Error::Invalid`] for limits without a
/// cgroup, and all of [`Plan::new`].
pub(super) fn decide(
    manager: CgroupManager,
    spec: &mut Spec,
    host: &Host,
    id: &Id,
) -> Result<(Placement, Box<Plan>), Error> {
    let placement = Placement::of(manager, spec, host, id);
    spec.extension.await_cgroup = matches!(placement, Ok(Placement::Scope(_)));
    spec.extension.task_files = placement.as_ref().map_or(0, Placement::task_files);
    let plan = Box::new(Plan::new(spec, host)?);
    let optional = is_optional(spec, host, plan.resources());
    match placement {
        // The trees of v1 are not delegated to ordinary users.
        Ok(placement) if optional && placement.task_files() > 0 => {
            spec.extension.task_files = 0;
            Ok((Placement::Inherited, Box::new(Plan::new(spec, host)?)))
        }
        Err(error) if optional && manager == CgroupManager::Cgroupfs => {
            log::debug!("no cgroup: {error}");
            Ok((Placement::Inherited, plan))
        }
        placement => {
            let placement = placement?;
            check_enforceable(&placement, plan.resources())?;
            Ok((placement, plan))
        }
    }
}

/// Refuses limits where there is nothing to enforce them. Rules for devices are left away, as they
/// are for an ordinary user: engines send them always.
fn check_enforceable(placement: &Placement, resources: &Resources) -> Result<(), Error> {
    if !matches!(placement, Placement::Inherited) {
        return Ok(());
    }
    let limits = Resources {
        devices: None,
        ..resources.clone()
    };
    if limits != Resources::default() {
        let reason = "there is no cgroup to limit them in: --cgroup-manager is disabled";
        return Err(Error::invalid("linux.resources", reason));
    }
    Ok(())
}
