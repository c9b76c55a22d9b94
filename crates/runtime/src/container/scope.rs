//! A container in a scope of systemd's, which makes the cgroup around its first process.

use crabcan_cgroups::systemd::{Manager, Property, ScopeName, Systemd};
use crabcan_cgroups::{Cgroup, CgroupPath, Hierarchy, Resources};

use super::cgroup::failed;
use super::make::Draft;
use super::placement::furnish;
use crate::spec::Spec;
use crate::state::{Entry, Record, ScopeRecord};
use crate::{Error, Host, Id};

/// A scope, by its name.
#[derive(Debug)]
pub(super) struct Scope {
    record: ScopeRecord,
    name: ScopeName,
    properties: Vec<Property>,
}

impl Scope {
    /// The one that the configuration names, with the properties of its annotations, if there is a
    /// systemd that can be asked for it.
    pub(super) fn of(path: Option<&str>, spec: &Spec, host: &Host, id: &Id) -> Result<Self, Error> {
        let path = match path {
            Some(path) => path.to_owned(),
            // Another state directory may have a container of this id as well.
            None => {
                let unique = CgroupPath::unique_for(id.as_str());
                let unique = unique.map_err(failed("name the container's scope"))?;
                format!("::{}", unique.below().display())
            }
        };
        let name = ScopeName::parse(&path);
        let name = name.map_err(|error| Error::invalid("linux.cgroupsPath", error.to_string()))?;
        let mut properties = Vec::new();
        for (key, text) in spec.annotations.iter() {
            let property = Property::from_annotation(key, text);
            let invalid = |error: crabcan_cgroups::Error| {
                Error::invalid(format!("annotations[\"{key}\"]"), error.to_string())
            };
            properties.extend(property.map_err(invalid)?);
        }
        let of_user = !host.privileged;
        let record = ScopeRecord { path, of_user };
        // Before anything is made: a host without systemd, or without v2 alone, is refused.
        connect(&record).map_err(failed("find systemd (--systemd-cgroup)"))?;
        Ok(Self {
            record,
            name,
            properties,
        })
    }

    pub(super) fn record(&self) -> &ScopeRecord {
        &self.record
    }

    /// Has it made around a process, with the limits in force, and gives it to whom it is for.
    pub(super) fn start(
        &self,
        pid: i32,
        entry: &Entry,
        draft: &Draft,
        record: &mut Record,
    ) -> Result<Cgroup, Error> {
        let resources = draft.plan.resources();
        let mut start = || {
            let (hierarchy, mut systemd) = connect(&self.record)?;
            let place =
                systemd.start_scope(&self.name, pid.unsigned_abs(), resources, &self.properties)?;
            let cgroup = Cgroup::open(&hierarchy, &place)?;
            if let Some(cgroup) = &cgroup {
                furnish(cgroup, entry, draft, record)?;
            }
            Ok(cgroup)
        };
        let cgroup = start().map_err(failed("have systemd make the container's scope"))?;
        // Its only process has ended meanwhile.
        cgroup.ok_or(Error::ScopeGone)
    }
}

/// Changes its limits, so that systemd knows them.
pub(super) fn update(
    record: &ScopeRecord,
    cgroup: &Cgroup,
    resources: &Resources,
) -> Result<(), crabcan_cgroups::Error> {
    let (_, mut systemd) = connect(record)?;
    systemd.update(&ScopeName::parse(&record.path)?, cgroup, resources)
}

/// Stops it, when everything in it was killed; one that has gone by itself is forgotten. One that
/// was not made is somebody else's, or goes with the process that it was made around.
pub(super) fn stop(record: &Record) -> Result<(), Error> {
    let Some(scope) = record.scope.as_ref().filter(|_| record.cgroup_made) else {
        return Ok(());
    };
    let stop = || {
        let (_, mut systemd) = connect(scope)?;
        systemd.stop_scope(&ScopeName::parse(&scope.path)?)
    };
    stop().map_err(failed("have systemd stop the container's scope"))
}

fn connect(record: &ScopeRecord) -> Result<(Hierarchy, Systemd), crabcan_cgroups::Error> {
    let hierarchy = Hierarchy::of_this_process()?;
    let manager = match record.of_user {
        true => Manager::User,
        false => Manager::System,
    };
    let systemd = Systemd::connect(&hierarchy, manager)?;
    Ok((hierarchy, systemd))
}
