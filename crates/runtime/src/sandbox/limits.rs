//! What a sandbox may use.

use std::time::Duration;

use crabcan_cgroups::{Hierarchy, Limit, Resources};

use super::Sandbox;
use crate::limits::{Limits, Unenforced};
use crate::spec::ResourceLimit;
use crate::{Error, limits};

impl Sandbox {
    /// Limits a resource of each process, see setrlimit(2): `RLIMIT_*`, the soft and the hard limit.
    /// What was said of the same resource before counts no more.
    pub fn resource_limit(mut self, resource: u32, soft: u64, hard: u64) -> Self {
        let limit = ResourceLimit::of(resource, soft, hard);
        self.rlimits.retain(|before| before.kind != limit.kind);
        self.rlimits.push(limit);
        self
    }

    /// Limits how long the command may run: then everything in the sandbox is killed, by whoever
    /// waits for it with [`Process::wait`] or [`wait`](crate::wait()), and
    /// [`Process::ran_out_of_time`] says so.
    ///
    /// [`Process::wait`]: crate::Process::wait
    /// [`Process::ran_out_of_time`]: crate::Process::ran_out_of_time
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// Limits memory: who needs more is killed (`memory.max`). Swap is not used instead, where that
    /// can be forbidden.
    ///
    /// Like every limit of a cgroup it must be enforced, or [`Sandbox::plan`] fails: an ordinary
    /// user needs a cgroup that is delegated.
    pub fn memory_max_bytes(mut self, bytes: u64) -> Self {
        self.required.memory.max_bytes = Some(Limit::Of(bytes));
        self
    }

    /// Limits the number of processes and threads (`pids.max`): one more is refused with EAGAIN.
    pub fn pids_max(mut self, count: u64) -> Self {
        self.required.pids_max = Some(Limit::Of(count));
        self
    }

    /// Limits processor time to so many microseconds in each period (`cpu.max`).
    pub fn cpu_quota_us(mut self, quota: u64, period: u64) -> Self {
        self.required.cpu.quota_us = Some(Limit::Of(quota));
        self.required.cpu.period_us = Some(period);
        self
    }

    /// Its share of processor time beside others, 1 to 10000; 100 is everybody's (`cpu.weight`).
    pub fn cpu_weight(mut self, weight: u64) -> Self {
        self.required.cpu.weight = Some(weight);
        self
    }

    /// Its share of block devices beside others, 10 to 1000 (`blkio.weight`, `io.weight`).
    pub fn io_weight(mut self, weight: u16) -> Self {
        self.required.io.weight = Some(weight);
        self
    }

    /// The processors that it runs on, such as `0-3,7` (`cpuset.cpus`).
    pub fn cpuset(mut self, processors: impl Into<String>) -> Self {
        self.required.cpu.cpus = Some(processors.into());
        self
    }

    /// Every limit of a cgroup that must be enforced, in place of those that were given before.
    pub fn limit(mut self, resources: Resources) -> Self {
        self.required = resources;
        self
    }

    /// Limits that are put in force as far as the host can; [`Process::unenforced`] tells what is
    /// not. What is required of the same controller goes before it.
    ///
    /// [`Process::unenforced`]: crate::Process::unenforced
    pub fn limit_if_possible(mut self, resources: Resources) -> Self {
        self.optional = resources;
        self
    }

    /// What of the limits has a place to be enforced, and what has not.
    pub(super) fn limits(&self) -> Result<(Option<Limits>, Vec<Unenforced>), Error> {
        let required = self.required.clone();
        let optional = self.optional.without(required.controllers());
        if required.controllers().is_empty() && optional.controllers().is_empty() {
            return Ok((None, Vec::new()));
        }
        let settled = Hierarchy::of_this_process()
            .map_err(limits::failed)
            .and_then(|hierarchy| {
                let mut limits = Limits {
                    hierarchy,
                    path: None,
                    required: required.clone(),
                    optional: optional.clone(),
                };
                let unenforced = limits.settle()?;
                Ok(((!limits.is_empty()).then_some(limits), unenforced))
            });
        match settled {
            Err(Error::Limits { source }) if required.controllers().is_empty() => {
                let each = optional.controllers().iter();
                let unenforced = each.map(|one| Unenforced::new(&source, Some(one)));
                Ok((None, unenforced.collect()))
            }
            other => other,
        }
    }
}
