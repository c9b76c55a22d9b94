//! `linux.resources` of the specification: the limits of the container's cgroup.

use super::property::{Map, properties};

properties! {
    /// What the container's cgroup limits.
    pub struct Resources {
        /// Files of the unified hierarchy and what is written to them.
        "unified" => unified: Map<String>,
        /// Which devices may be used: rules, a later one before an earlier one.
        "devices" => devices: Vec<DeviceRule>,
        /// Memory.
        "memory" => memory: Option<MemoryLimits>,
        /// Processors.
        "cpu" => cpu: Option<CpuLimits>,
        /// The number of processes.
        "pids" => pids: Option<PidsLimit>,
        /// Block devices.
        "blockIO" => block_io: Option<BlockIo>,
        /// Huge pages.
        "hugepageLimits" => hugepage_limits: Vec<HugepageLimit>,
        /// The classes of network packets (v1 only).
        "network" => network: Option<NetworkClasses>,
        /// Limits of RDMA devices, by their names.
        "rdma" => rdma: Map<RdmaLimit>,
    }

    /// A rule about devices; what it does not say is any.
    pub struct DeviceRule {
        /// Whether they may be used.
        "allow" => allow: bool,
        /// `a` for all, `c` or `b`.
        "type" => kind: Option<String>,
        /// The major number; any when absent or -1.
        "major" => major: Option<i64>,
        /// The minor number; any when absent or -1.
        "minor" => minor: Option<i64>,
        /// Some of `r`, `w` and `m` (mknod).
        "access" => access: Option<String>,
    }

    /// Limits of memory in bytes; -1 for none.
    pub struct MemoryLimits {
        /// All of it but swap.
        "limit" => limit: Option<i64>,
        /// What is left to it when memory gets short.
        "reservation" => reservation: Option<i64>,
        /// Memory and swap together.
        "swap" => swap: Option<i64>,
        /// The kernel's memory (v1; deprecated).
        "kernel" => kernel: Option<i64>,
        /// The kernel's memory for TCP (v1; deprecated).
        "kernelTCP" => kernel_tcp: Option<i64>,
        /// How readily memory is swapped, 0 to 100 (v1).
        "swappiness" => swappiness: Option<u64>,
        /// Whether processes wait for memory instead of being killed (v1).
        "disableOOMKiller" => disable_oom_killer: Option<bool>,
        /// Whether what is below counts too (v1; deprecated).
        "useHierarchy" => use_hierarchy: Option<bool>,
        /// Whether a limit below the usage is refused.
        "checkBeforeUpdate" => check_before_update: Option<bool>,
    }

    /// Limits of the time on processors.
    pub struct CpuLimits {
        /// The weight against others, 2 to 262144.
        "shares" => shares: Option<u64>,
        /// Microseconds in each period; negative for no limit.
        "quota" => quota: Option<i64>,
        /// Microseconds that may be used beyond the quota if they were saved before.
        "burst" => burst: Option<u64>,
        /// The length of a period in microseconds.
        "period" => period: Option<u64>,
        /// Microseconds for real-time scheduling in each period (v1).
        "realtimeRuntime" => realtime_runtime: Option<i64>,
        /// The length of such a period in microseconds (v1).
        "realtimePeriod" => realtime_period: Option<u64>,
        /// The processors, as a list.
        "cpus" => cpus: Option<String>,
        /// The memory nodes, as a list.
        "mems" => mems: Option<String>,
        /// 1 when it runs only when nothing else wants to.
        "idle" => idle: Option<i64>,
    }

    /// How many processes there may be.
    pub struct PidsLimit {
        /// The number; 0 is a limit, negative is none.
        "limit" => limit: Option<i64>,
    }

    /// Limits of block devices.
    pub struct BlockIo {
        /// The weight against others, 10 to 1000.
        "weight" => weight: Option<u16>,
        /// The weight against those below (v1).
        "leafWeight" => leaf_weight: Option<u16>,
        /// The weights for single devices.
        "weightDevice" => weight_device: Vec<WeightDevice>,
        /// Bytes read in a second.
        "throttleReadBpsDevice" => throttle_read_bps_device: Vec<ThrottleDevice>,
        /// Bytes written in a second.
        "throttleWriteBpsDevice" => throttle_write_bps_device: Vec<ThrottleDevice>,
        /// Reads in a second.
        "throttleReadIOPSDevice" => throttle_read_iops_device: Vec<ThrottleDevice>,
        /// Writes in a second.
        "throttleWriteIOPSDevice" => throttle_write_iops_device: Vec<ThrottleDevice>,
    }

    /// The weights for a block device.
    pub struct WeightDevice {
        /// The major number.
        "major" => major: i64,
        /// The minor number.
        "minor" => minor: i64,
        /// The weight against others, 10 to 1000.
        "weight" => weight: Option<u16>,
        /// The weight against those below (v1).
        "leafWeight" => leaf_weight: Option<u16>,
    }

    /// The limit for a block device.
    pub struct ThrottleDevice {
        /// The major number.
        "major" => major: i64,
        /// The minor number.
        "minor" => minor: i64,
        /// How many in a second; 0 for no limit.
        "rate" => rate: u64,
    }

    /// A limit of huge pages of one size.
    pub struct HugepageLimit {
        /// The size, as in `2MB`.
        "pageSize" => page_size: String,
        /// How many bytes.
        "limit" => limit: u64,
    }

    /// The classes of network packets (v1).
    pub struct NetworkClasses {
        /// The class (`net_cls`).
        "classID" => class_id: Option<u32>,
        /// The priorities on single interfaces (`net_prio`).
        "priorities" => priorities: Vec<InterfacePriority>,
    }

    /// The priority of packets on an interface of the host.
    pub struct InterfacePriority {
        /// The interface.
        "name" => name: String,
        /// The priority.
        "priority" => priority: u32,
    }

    /// The limits of an RDMA device.
    pub struct RdmaLimit {
        /// How many handles.
        "hcaHandles" => hca_handles: Option<u32>,
        /// How many objects.
        "hcaObjects" => hca_objects: Option<u32>,
    }
}
