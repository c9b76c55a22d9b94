//! How init gets into the container's cgroup where it can't be born in it.

use crabcan_init::Step;
use crabcan_ns::{Namespace, Namespaces};

use super::Composer;
use super::namespaces::{Arrangement, flag};
use crate::Error;
use crate::plan::Provision;

impl Composer<'_> {
    /// First of all: whatever init does counts already. A new cgroup namespace is made afterwards
    /// and not by the clone, since its root is where its maker is.
    pub(super) fn enter_cgroup(&mut self, arrangement: &mut Arrangement) -> Result<(), Error> {
        let limits = self.spec.extension.limits.as_ref();
        let count = limits.map_or(0, |limits| limits.task_files());
        if count == 0 {
            return Ok(());
        }
        let count = u32::try_from(count).map_err(|_| Error::PlanTooLong)?;
        self.push(&Step::JoinCgroup { count })?;
        self.provisions.push(Provision::TaskFiles);
        if arrangement.cloned.makes(Namespace::Cgroup) {
            arrangement.cloned = without_cgroup(&arrangement.cloned);
            let flags = flag(Namespace::Cgroup);
            self.push(&Step::Unshare { flags })?;
        }
        Ok(())
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
