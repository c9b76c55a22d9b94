//! How init gets into the container's cgroup where it can't be born in it.

use crabcan_init::Step;
use crabcan_ns::{Namespace, Namespaces};

use super::Composer;
use crate::Error;
use crate::spec::Spec;

/// `CLONE_NEWCGROUP` of clone(2).
const CLONE_NEWCGROUP: u32 = 0x0200_0000;

/// How many files init writes to.
fn task_files(spec: &Spec) -> usize {
    let limits = spec.extension.limits.as_ref();
    limits.map_or(0, |limits| limits.task_files())
}

/// The namespaces that are made with the process: where it enters trees of v1 by itself, the cgroup
/// namespace is made afterwards, since its root is where its maker is.
pub(super) fn made_with_the_process(spec: &Spec, namespaces: Namespaces) -> Namespaces {
    if task_files(spec) == 0 {
        return namespaces;
    }
    Namespace::ALL
        .iter()
        .filter(|kind| **kind != Namespace::Cgroup && namespaces.makes(**kind))
        .fold(Namespaces::new(), |made, kind| made.make(*kind))
}

impl Composer<'_> {
    /// First of all: whatever init does counts already.
    pub(super) fn cgroup(&mut self, wanted: &Namespaces) -> Result<(), Error> {
        let count = task_files(self.spec);
        if count == 0 {
            return Ok(());
        }
        let count = u32::try_from(count).map_err(|_| Error::PlanTooLong)?;
        self.push(&Step::JoinCgroup { count })?;
        if wanted.makes(Namespace::Cgroup) {
            self.push(&Step::Unshare {
                flags: CLONE_NEWCGROUP,
            })?;
        }
        Ok(())
    }
}
