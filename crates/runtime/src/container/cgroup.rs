//! The container's cgroup: made before its first process, found again by its record.

use std::path::Path;
use std::time::Duration;

use crabcan_cgroups::{Cgroup, CgroupPath, Events, Hierarchy, Place, Statistics};

use super::Container;
use crate::Error;
use crate::plan;
use crate::spec;
use crate::state::{Record, Status};

/// How long processes may take to stand still or to end.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The place of a cgroup below another one, in each tree.
pub(super) fn below(place: &str, name: &Path) -> Result<String, Error> {
    if name == Path::new("/") {
        // The container's own.
        return Ok(place.to_owned());
    }
    let below = CgroupPath::new(name).map_err(failed("name a cgroup below the container's"))?;
    let below = below.below().display().to_string();
    Ok(place
        .lines()
        .map(|line| format!("{}/{below}\n", line.trim_end_matches('/')))
        .collect())
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
            &Hierarchy::of_this_process()?,
            &Place::parse(place.as_bytes())?,
        )
    };
    open().map_err(failed("open the container's cgroup"))
}

pub(super) fn failed(doing: &'static str) -> impl FnOnce(crabcan_cgroups::Error) -> Error {
    move |source| Error::Cgroup { doing, source }
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
        let Some(cgroup) = open(&self.record)? else {
            return self.kill(signal);
        };
        if signal == libc::SIGKILL {
            return cgroup.kill(PATIENCE).map_err(failed("kill the container"));
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
        open(&self.record)?.ok_or_else(|| Error::NoCgroup {
            id: self.id().clone(),
        })
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

    #[test]
    fn a_cgroup_below_the_containers_is_in_each_tree() {
        let below = |name: &str| below("0::/one\n4:cpu:/a/one\n", Path::new(name));
        assert_eq!(below("sub").unwrap(), "0::/one/sub\n4:cpu:/a/one/sub\n");
        assert_eq!(below("/").unwrap(), "0::/one\n4:cpu:/a/one\n");
        assert!(below("../two").is_err());
    }
}
