//! How init gets into the container's cgroup where it can't be born in it.

use crabcan_init::Step;
use crabcan_ns::{Namespace, Namespaces};

use super::Composer;
use super::namespaces::{Arrangement, flag};
use crate::Error;
use crate::limits::Limits;
use crate::plan::Provision;

impl Composer<'_> {
    /// First of all: whatever init does counts already. A new cgroup namespace is made afterwards
    /// and not by the clone, since its root is where its maker is.
    pub(super) fn enter_cgroup(&mut self, arrangement: &mut Arrangement) -> Result<(), Error> {
        if self.write_into_cgroup()? && arrangement.cloned.makes(Namespace::Cgroup) {
            arrangement.cloned = without_cgroup(&arrangement.cloned);
            let flags = flag(Namespace::Cgroup);
            self.push(&Step::Unshare { flags })?;
        }
        Ok(())
    }

    /// The step alone, since what joins a container joins its namespace too; whether it is needed.
    pub(super) fn write_into_cgroup(&mut self) -> Result<bool, Error> {
        let extension = &self.spec.extension;
        if extension.await_cgroup {
            self.push(&Step::AwaitCgroup {})?;
            self.provisions.push(Provision::Moved);
            return Ok(true);
        }
        let limits = extension.limits.as_ref();
        match limits.map_or(extension.task_files, Limits::task_files) {
            0 => Ok(false),
            count => {
                let count = u32::try_from(count).map_err(|_| Error::PlanTooLong)?;
                self.provisions.push(Provision::TaskFiles);
                self.push(&Step::JoinCgroup { count })?;
                Ok(true)
            }
        }
    }
}

fn without_cgroup(namespaces: &Namespaces) -> Namespaces {
    let others = Namespace::ALL
        .iter()
        .filter(|kind| **kind != Namespace::Cgroup);
    others
        .filter(|kind| namespaces.makes(**kind))
        .fold(Namespaces::new(), |made, kind| made.make(*kind))
}
