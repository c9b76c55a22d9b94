//! The container's cgroup: made before its first process, found again by its record.

use std::path::Path;
use std::time::Duration;

use crabcan_cgroups::{Cgroup, CgroupPath, Events, Hierarchy, Place, Statistics};

use super::{Container, property};
use crate::plan;
use crate::resctrl;
use crate::spec;
use crate::state::{Record, Status};
use crate::{Error, Id, StateRoot};

/// How long processes may take to stand still or to end.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The place below another one that `exec --cgroup` asks for: one path in every tree, or
/// `CONTROLLER,…:PATH` for each tree that is to differ. `/` is the container's own cgroup.
pub(super) fn below(place: &str, wanted: &[String]) -> Result<String, Error> {
    let invalid = |reason: String| Error::invalid("--cgroup", reason);
    let mut parts = Vec::new();
    for text in wanted {
        let (controllers, path) = match text.split_once(':') {
            Some((controllers, path)) => (controllers.split(',').collect(), path),
            None => (Vec::new(), text.as_str()),
        };
        let path = match Path::new(path) == Path::new("/") {
            true => String::new(),
            false => {
                let path = CgroupPath::new(path).map_err(|error| invalid(error.to_string()))?;
                format!("/{}", path.below().display())
            }
        };
        parts.push((controllers, path));
    }
    let of_tree = |line: &str, controller: &str| {
        let tree = line.split(':').nth(1).unwrap_or_default();
        !controller.is_empty() && tree.split(',').any(|one| one == controller)
    };
    let mut controllers = parts.iter().flat_map(|(controllers, _)| controllers);
    if let Some(missing) = controllers.find(|it| !place.lines().any(|line| of_tree(line, it))) {
        let reason = format!("the container has no tree of v1 with controller \"{missing}\"");
        return Err(invalid(reason));
    }
    let mut text = String::new();
    for line in place.lines() {
        let is_meant = |controllers: &[&str]| {
            controllers.is_empty() || controllers.iter().any(|it| of_tree(line, it))
        };
        let mut paths = parts
            .iter()
            .filter(|(controllers, _)| is_meant(controllers));
        let path = paths.next().map_or("", |(_, path)| path);
        if paths.next().is_some() {
            return Err(invalid(format!("two paths for the tree {line}")));
        }
        let line = match path {
            "" => line,
            _ => line.trim_end_matches('/'),
        };
        text += &format!("{line}{path}\n");
    }
    Ok(text)
}

/// Opens the cgroup of a record; `None` when there is none of the container's own.
pub(super) fn open(record: &Record) -> Result<Option<Cgroup>, Error> {
    match record.cgroup_made {
        true => open_place(record),
        false => Ok(None),
    }
}

/// Removes what a maker that was killed half way has made. It may have found a cgroup of somebody
/// else's instead: one with processes stays, and nobody in it is killed.
pub(super) fn remove_half_made(record: &Record) -> Result<(), Error> {
    const DOING: &str = "remove the container's cgroup";
    if record.cgroup_made {
        return Ok(());
    }
    match open_place(record)? {
        Some(cgroup) if !cgroup.is_populated().map_err(failed(DOING))? => {
            cgroup.remove(PATIENCE).map_err(failed(DOING))
        }
        _ => Ok(()),
    }
}

fn open_place(record: &Record) -> Result<Option<Cgroup>, Error> {
    let Some(place) = &record.cgroup else {
        return Ok(None);
    };
    let open = || {
        Cgroup::open(
            &Hierarchy::of_known_places()?,
            &Place::parse(place.as_bytes())?,
        )
    };
    open().map_err(failed("open the container's cgroup"))
}

pub(super) fn failed(doing: &'static str) -> impl FnOnce(crabcan_cgroups::Error) -> Error {
    move |source| Error::Cgroup {
        doing: property::doing(doing, &source),
        source,
    }
}

impl Container {
    /// Stops all its processes until [`resume`](Self::resume).
    ///
    /// # Errors
    /// [`Error::WrongStatus`] when it does not run; [`Error::Cgroup`].
    pub fn pause(&self) -> Result<(), Error> {
        let _lock = self.entry.lock()?;
        match self.status()? {
            Status::Running | Status::Created => {}
            status => return Err(self.refused("container not running", status)),
        }
        let cgroup = self.cgroup()?;
        cgroup
            .freeze(PATIENCE)
            .map_err(failed("pause the container"))
    }

    /// Lets its processes go on.
    ///
    /// # Errors
    /// [`Error::WrongStatus`] when it is not paused; [`Error::Cgroup`].
    pub fn resume(&self) -> Result<(), Error> {
        let _lock = self.entry.lock()?;
        match self.status()? {
            Status::Paused => {}
            status => return Err(self.refused("container not paused", status)),
        }
        self.cgroup()?
            .thaw()
            .map_err(failed("resume the container"))
    }

    /// Changes what its cgroup limits; what is absent stays as it is.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the resource as in `config.json`; [`Error::WrongStatus`] when it is
    /// stopped; [`Error::Cgroup`] with the controller, the file and the value.
    pub fn update(&self, resources: &spec::Resources) -> Result<(), Error> {
        let resources = plan::resources("resources", resources)?;
        let _lock = self.entry.lock()?;
        if let status @ Status::Stopped = self.status()? {
            return Err(self.refused("container not running", status));
        }
        let cgroup = self.cgroup()?;
        let applied = match &self.record.scope {
            Some(scope) => super::scope::update(scope, &cgroup, &resources),
            None => cgroup.apply(&resources),
        };
        applied.map_err(failed("limit the container's resources"))
    }

    /// Changes its share of the L3 cache and of memory bandwidth; what is absent stays as it is.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a container without such a share (`linux.intelRdt`), a line that is
    /// none, and a host without resctrl; [`Error::WrongStatus`] when it is stopped; [`Error::Path`]
    /// with the kernel's answer.
    pub fn update_intel_rdt(
        &self,
        l3_cache_schema: Option<&str>,
        mem_bw_schema: Option<&str>,
    ) -> Result<(), Error> {
        let _lock = self.entry.lock()?;
        if let status @ Status::Stopped = self.status()? {
            return Err(self.refused("container not running", status));
        }
        let spec = self.spec()?;
        let made_with = spec.linux.intel_rdt.as_ref().ok_or_else(|| {
            Error::invalid("linux.intelRdt", "the container was made without a share")
        })?;
        let wanted = spec::IntelRdt {
            clos_id: made_with.clos_id.clone(),
            l3_cache_schema: l3_cache_schema.map(str::to_owned),
            mem_bw_schema: mem_bw_schema.map(str::to_owned),
            ..spec::IntelRdt::default()
        };
        plan::check_intel_rdt(&wanted)?;
        resctrl::update(&resctrl::mounted()?, &wanted, self.id().as_str())
    }

    /// The pids of all its processes, as the host sees them.
    ///
    /// # Errors
    /// [`Error::Cgroup`].
    pub fn processes(&self) -> Result<Vec<i32>, Error> {
        let processes = self.cgroup()?.processes();
        processes.map_err(failed("list the processes of the container"))
    }

    /// What the kernel has counted.
    ///
    /// # Errors
    /// [`Error::Cgroup`].
    pub fn statistics(&self) -> Result<Statistics, Error> {
        let statistics = self.cgroup()?.statistics();
        statistics.map_err(failed("read the statistics of the container"))
    }

    /// What has happened to it for want of memory or processes, each as often as it did.
    ///
    /// # Errors
    /// [`Error::Cgroup`].
    pub fn events(&self) -> Result<Events, Error> {
        let events = self.cgroup()?.events();
        events.map_err(failed("read the events of the container"))
    }

    /// Sends a signal to all its processes. That there are none is no error: then nothing has to
    /// be told anything.
    ///
    /// # Errors
    /// [`Error::Cgroup`], [`Error::Signal`].
    pub fn kill_all(&self, signal: i32) -> Result<(), Error> {
        let Some(cgroup) = self.own_cgroup()? else {
            return self.kill(signal);
        };
        if signal == libc::SIGKILL {
            let killed = cgroup.kill_each(PATIENCE);
            return killed.map_err(failed("kill the container"));
        }
        // One that ends meanwhile needs no signal. The pids are those of this moment.
        for pid in cgroup.processes().map_err(failed("kill the container"))? {
            self.signal_member(&cgroup, pid, signal)?;
        }
        Ok(())
    }

    /// Holds the process first and then looks whether it still is one of the container's: a pid
    /// that was given to somebody else is never hit.
    fn signal_member(&self, cgroup: &Cgroup, pid: i32, signal: i32) -> Result<(), Error> {
        let Some(pidfd) = crate::state::hold(pid)? else {
            return Ok(());
        };
        let members = cgroup.processes().map_err(failed("kill the container"))?;
        if members.contains(&pid) {
            self.send(&pidfd, signal).map(drop)?;
        }
        Ok(())
    }

    /// Its cgroup, which it must have.
    pub(super) fn cgroup(&self) -> Result<Cgroup, Error> {
        let none = |why: &str| Error::NoCgroup {
            id: self.id().clone(),
            why: why.to_owned(),
        };
        match open(&self.record)? {
            Some(cgroup) if self.is_taken_over(Some(&cgroup))? => {
                Err(none(": it has ended, and another container has it"))
            }
            Some(cgroup) => Ok(cgroup),
            None if self.record.cgroup_made => Err(self.cgroup_is_gone()),
            None => Err(none("")),
        }
    }

    pub(super) fn cgroup_is_gone(&self) -> Error {
        let places = self.record.cgroup.as_deref().unwrap_or_default();
        Error::NoCgroup {
            id: self.id().clone(),
            why: format!(
                " any more: somebody else has removed {}",
                places.trim_end().replace('\n', " ")
            ),
        }
    }

    /// Its cgroup, if it has one and that is not another container's by now.
    pub(super) fn own_cgroup(&self) -> Result<Option<Cgroup>, Error> {
        match open(&self.record)? {
            Some(cgroup) if self.is_taken_over(Some(&cgroup))? => Ok(None),
            own => Ok(own),
        }
    }

    /// Whether another container of this state directory has its cgroup, or its scope. Where the
    /// configuration names one, a newer container may do so too: it is given the cgroup of one that
    /// has ended and was not deleted, since that is empty.
    pub(super) fn is_taken_over(&self, cgroup: Option<&Cgroup>) -> Result<bool, Error> {
        if self.init()?.is_some() {
            return Ok(false);
        }
        let populated = cgroup.map_or(Ok(false), Cgroup::is_populated);
        let populated = populated.map_err(failed("look at the container's cgroup"))?;
        // A scope goes by itself, and its name is free again: nothing needs to run in this one.
        let root = self.entry.path().parent();
        let Some(root) = root.filter(|_| populated || self.record.scope.is_some()) else {
            return Ok(false);
        };
        let root = StateRoot::at(root);
        for id in root.ids()?.iter().filter(|id| *id != self.id()) {
            if self.has_lost_to(&root, id)? {
                log::debug!("the cgroup of {} is that of {id} now", self.id());
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether another container lives in its cgroup or scope. One whose record can't be read is
    /// none that is known.
    fn has_lost_to(&self, root: &StateRoot, id: &Id) -> Result<bool, Error> {
        let found = root.find(id).and_then(|entry| {
            let record = entry.read()?;
            Ok(Self::of(entry, record))
        });
        let Ok(other) = found else { return Ok(false) };
        fn same<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> bool {
            one.is_some() && one == other
        }
        let (own, record) = (&self.record, &other.record);
        let shares = same(&own.cgroup, &record.cgroup) || same(&own.scope, &record.scope);
        Ok(shares && other.status()? != Status::Stopped)
    }

    pub(super) fn is_frozen(&self) -> Result<bool, Error> {
        let frozen = open(&self.record)?.map(|cgroup| cgroup.is_frozen());
        match frozen {
            // A host without a freezer has frozen nothing.
            None | Some(Err(crabcan_cgroups::Error::ControllerMissing { .. })) => Ok(false),
            // Somebody else has removed it since it was opened.
            Some(Err(crabcan_cgroups::Error::Read { source, .. }))
                if matches!(source.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) =>
            {
                Ok(false)
            }
            Some(frozen) => frozen.map_err(failed("look at the container's cgroup")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const PLACE: &str = "1:cpu,cpuacct:/a\n2:memory:/a\n0::/\n";

    fn below_place(wanted: &[&str]) -> Result<String, String> {
        let wanted: Vec<_> = wanted.iter().map(|it| (*it).to_owned()).collect();
        below(PLACE, &wanted).map_err(|error| error.to_string())
    }

    #[test]
    fn a_cgroup_below_is_in_every_tree_or_in_those_of_its_controllers() {
        let all = "1:cpu,cpuacct:/a/b\n2:memory:/a/b\n0::/b\n";
        assert_eq!(below_place(&["b"]).unwrap(), all);
        assert_eq!(below_place(&["/b"]).unwrap(), all);
        let of_container = "1:cpu,cpuacct:/a\n2:memory:/a\n0::/\n";
        assert_eq!(below_place(&["/"]).unwrap(), of_container);
        let some = "1:cpu,cpuacct:/a/b\n2:memory:/a/c/d\n0::/\n";
        assert_eq!(below_place(&["cpu:b", "memory:c/d"]).unwrap(), some);
        assert_eq!(
            below_place(&["cpuacct,memory:b"]).unwrap(),
            "1:cpu,cpuacct:/a/b\n2:memory:/a/b\n0::/\n"
        );
    }

    #[test]
    fn what_is_no_cgroup_below_is_refused() {
        for (wanted, word) in [
            (&["../b"][..], "\"..\""),
            (&[""], "names no cgroup"),
            (&["pids:b"], "\"pids\""),
            (&[":b"], "\"\""),
            (&["b", "c"], "two paths"),
            (&["cpu:b", "cpuacct:c"], "two paths"),
        ] {
            let error = below_place(wanted).unwrap_err();
            assert!(
                error.starts_with("--cgroup: ") && error.contains(word),
                "{error}"
            );
        }
    }
}
