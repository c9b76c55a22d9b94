//! What a cgroup is to be limited to, in the kernel's units.

use std::collections::BTreeMap;
use std::fmt;

use crate::devices::DeviceRule;
use crate::{Controller, Controllers};

/// All limits of a cgroup. What is `None` or empty is left as it is: absent is not zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Memory.
    pub memory: Memory,
    /// Processors.
    pub cpu: Cpu,
    /// `pids.max`: how many processes and threads there may be. 0 is a limit.
    pub pids_max: Option<Limit>,
    /// Block devices.
    pub io: Io,
    /// Huge pages, one limit for each size.
    pub hugepages: Vec<HugepageLimit>,
    /// RDMA devices.
    pub rdma: Vec<RdmaLimit>,
    /// Marks of network packets (v1 only).
    pub network: Network,
    /// Access to device nodes, decided by the last rule that fits; `None` for no change. On v2 it
    /// takes the place of the rules that were given before.
    pub devices: Option<Vec<DeviceRule>>,
    /// Files of v2 and what is written to them, after everything else.
    pub unified: BTreeMap<String, String>,
}

/// A limit, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Not limited: `max` in v2, `-1` in v1.
    Max,
    /// So many.
    Of(u64),
}

impl Limit {
    /// A number of the OCI specification, in which everything below zero means no limit.
    #[must_use]
    pub fn from_oci(number: i64) -> Self {
        u64::try_from(number).map_or(Self::Max, Self::Of)
    }

    pub(crate) fn v1(self) -> String {
        match self {
            Self::Max => "-1".into(),
            Self::Of(number) => number.to_string(),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::Of(number) => number.fmt(f),
        }
    }
}

/// Limits of memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// `memory.max`; `memory.limit_in_bytes` in v1.
    pub max_bytes: Option<Limit>,
    /// `memory.low`, what reclaim leaves alone; `memory.soft_limit_in_bytes` in v1.
    pub reservation_bytes: Option<Limit>,
    /// Memory and swap together: `memory.memsw.limit_in_bytes` in v1. In v2 `memory.swap.max` is
    /// what this is above the limit of memory.
    pub max_with_swap_bytes: Option<Limit>,
    /// `memory.kmem.limit_in_bytes` (v1 only, and not in newer kernels).
    pub kernel_bytes: Option<Limit>,
    /// `memory.kmem.tcp.limit_in_bytes` (v1 only).
    pub kernel_tcp_bytes: Option<Limit>,
    /// `memory.swappiness`, 0 to 100 (v1 only).
    pub swappiness: Option<u64>,
    /// `memory.oom_control`: who reaches the limit sleeps instead of being killed (v1 only).
    pub disable_oom_killer: Option<bool>,
    /// `memory.use_hierarchy`; always so in v2 and in newer kernels.
    pub use_hierarchy: Option<bool>,
    /// Refuse a limit that is below what is in use, instead of having processes killed.
    pub check_before_update: bool,
}

/// Limits of processors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// `cpu.shares` of v1, 2 to 262144, 1024 by default. In v2 a weight that means the same.
    pub shares: Option<u64>,
    /// `cpu.weight` of v2, 1 to 10000, 100 by default. In v1 shares that mean the same. It goes
    /// before [`Cpu::shares`].
    pub weight: Option<u64>,
    /// Microseconds of processor time in each period.
    pub quota_us: Option<Limit>,
    /// The period of the quota in microseconds, 1000 to 1000000; 100000 by default.
    pub period_us: Option<u64>,
    /// Unused quota that may be saved up, in microseconds (Linux 5.14).
    pub burst_us: Option<u64>,
    /// `cpu.rt_runtime_us` (v1 only, not in every kernel).
    pub realtime_runtime_us: Option<i64>,
    /// `cpu.rt_period_us` (v1 only, not in every kernel).
    pub realtime_period_us: Option<u64>,
    /// `cpuset.cpus`: a list of processors such as `0-3,7`.
    pub cpus: Option<String>,
    /// `cpuset.mems`: a list of memory nodes.
    pub mems: Option<String>,
    /// `cpu.idle`: only what nobody else wants (Linux 5.15).
    pub idle: Option<bool>,
}

/// Limits of block devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Io {
    /// 10 to 1000; `blkio.weight`, `io.bfq.weight`, or `io.weight` scaled to its 1 to 10000.
    pub weight: Option<u16>,
    /// `blkio.leaf_weight` (v1 of kernels before 5.0).
    pub leaf_weight: Option<u16>,
    /// Weights for single devices.
    pub weight_devices: Vec<DeviceWeight>,
    /// Bytes read in a second.
    pub read_bps: Vec<Throttle>,
    /// Bytes written in a second.
    pub write_bps: Vec<Throttle>,
    /// Reads in a second.
    pub read_iops: Vec<Throttle>,
    /// Writes in a second.
    pub write_iops: Vec<Throttle>,
}

/// The weight of one block device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceWeight {
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// 10 to 1000.
    pub weight: Option<u16>,
    /// 10 to 1000 (v1 of kernels before 5.0).
    pub leaf_weight: Option<u16>,
}

/// A rate for one block device; 0 for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Throttle {
    /// Its major number.
    pub major: u32,
    /// Its minor number.
    pub minor: u32,
    /// So much in a second.
    pub rate: u64,
}

/// A limit of huge pages of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HugepageLimit {
    /// As the kernel names it: `64KB`, `2MB`, `1GB`.
    pub page_size: String,
    /// In bytes.
    pub max_bytes: u64,
}

/// A limit of one RDMA device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RdmaLimit {
    /// Its name.
    pub device: String,
    /// How many handles may be open.
    pub hca_handles: Option<u32>,
    /// How many objects there may be.
    pub hca_objects: Option<u32>,
}

/// Marks of network packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// `net_cls.classid`.
    pub class_id: Option<u32>,
    /// `net_prio.ifpriomap`: an interface and its priority.
    pub priorities: Vec<(String, u32)>,
}

impl Resources {
    /// The controllers that are needed for what is limited.
    #[must_use]
    pub fn controllers(&self) -> Controllers {
        let (memory, cpu, io) = (&self.memory, &self.cpu, &self.io);
        let cpuset = cpu.cpus.is_some() || cpu.mems.is_some();
        let others_of_cpu = Cpu {
            cpus: None,
            mems: None,
            ..cpu.clone()
        };
        let others_of_memory = Memory {
            check_before_update: false,
            ..memory.clone()
        };
        let needed = [
            (Controller::Memory, others_of_memory != Memory::default()),
            (Controller::Cpu, others_of_cpu != Cpu::default()),
            (Controller::Cpuset, cpuset),
            (Controller::Pids, self.pids_max.is_some()),
            (Controller::Io, *io != Io::default()),
            (Controller::Hugetlb, !self.hugepages.is_empty()),
            (Controller::Rdma, !self.rdma.is_empty()),
            (Controller::NetCls, self.network.class_id.is_some()),
            (Controller::NetPrio, !self.network.priorities.is_empty()),
            (Controller::Devices, self.devices.is_some()),
        ];
        let needed = needed.into_iter().filter(|(_, needed)| *needed);
        let unified = self.unified.keys().filter_map(|file| controller_of(file));
        needed
            .map(|(controller, _)| controller)
            .chain(unified)
            .collect()
    }

    /// These, and those of others that concern controllers which have none here.
    #[must_use]
    pub fn or(&self, others: &Self) -> Self {
        let mut both = others.without(self.controllers());
        let own = self.clone();
        for controller in self.controllers().iter() {
            match controller {
                Controller::Memory => both.memory = own.memory.clone(),
                Controller::Cpu => {
                    both.cpu = Cpu {
                        cpus: both.cpu.cpus,
                        mems: both.cpu.mems,
                        ..own.cpu.clone()
                    }
                }
                Controller::Cpuset => {
                    (both.cpu.cpus, both.cpu.mems) = (own.cpu.cpus.clone(), own.cpu.mems.clone());
                }
                Controller::Pids => both.pids_max = own.pids_max,
                Controller::Io => both.io = own.io.clone(),
                Controller::Hugetlb => both.hugepages = own.hugepages.clone(),
                Controller::Rdma => both.rdma = own.rdma.clone(),
                Controller::NetCls => both.network.class_id = own.network.class_id,
                Controller::NetPrio => both.network.priorities = own.network.priorities.clone(),
                Controller::Devices => both.devices = own.devices.clone(),
                _ => {}
            }
        }
        both.unified.extend(own.unified);
        both
    }

    /// Takes out everything that needs one of these controllers.
    #[must_use]
    pub fn without(&self, controllers: Controllers) -> Self {
        let mut left = self.clone();
        for controller in controllers.iter() {
            match controller {
                Controller::Memory => left.memory = Memory::default(),
                Controller::Cpu => {
                    left.cpu = Cpu {
                        cpus: left.cpu.cpus,
                        mems: left.cpu.mems,
                        ..Cpu::default()
                    }
                }
                Controller::Cpuset => (left.cpu.cpus, left.cpu.mems) = (None, None),
                Controller::Pids => left.pids_max = None,
                Controller::Io => left.io = Io::default(),
                Controller::Hugetlb => left.hugepages.clear(),
                Controller::Rdma => left.rdma.clear(),
                Controller::NetCls => left.network.class_id = None,
                Controller::NetPrio => left.network.priorities.clear(),
                Controller::Devices => left.devices = None,
                _ => {}
            }
            left.unified
                .retain(|file, _| controller_of(file) != Some(controller));
        }
        left
    }
}

/// The controller that a file of v2 belongs to; the core has none.
pub(crate) fn controller_of(file: &str) -> Option<Controller> {
    let (prefix, _) = file.split_once('.')?;
    Controller::from_name(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_controllers_are_those_of_what_is_given() {
        let mut resources = Resources::default();
        assert!(resources.controllers().is_empty());
        resources.memory.check_before_update = true;
        assert!(resources.controllers().is_empty(), "a mode is no limit");
        resources.pids_max = Some(Limit::Of(0));
        resources.cpu.mems = Some("0".into());
        resources.unified.insert("io.max".into(), "x".into());
        resources
            .unified
            .insert("cgroup.max.depth".into(), "1".into());
        assert_eq!(resources.controllers().to_string(), "cpuset,pids,io");
        let io = [Controller::Io].into_iter().collect();
        assert_eq!(
            resources.without(io).controllers().to_string(),
            "cpuset,pids"
        );
        assert_eq!(resources.without(Controllers::ALL).unified.len(), 1);
    }

    #[test]
    fn below_zero_is_no_limit_and_zero_is_one() {
        assert_eq!(Limit::from_oci(-1), Limit::Max);
        assert_eq!(Limit::from_oci(0), Limit::Of(0));
        assert_eq!(
            (Limit::Max.v1(), Limit::Max.to_string()),
            ("-1".into(), "max".into())
        );
    }
}
