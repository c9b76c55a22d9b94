//! Which property of `config.json` a limit is that a cgroup does not take.

use std::borrow::Cow;

use crabcan_cgroups::{Controller, Error};

/// What was being done, and for which property if that is known.
pub(super) fn doing(doing: &'static str, error: &Error) -> Cow<'static, str> {
    match of(error) {
        Some(property) => Cow::Owned(format!("{doing}: linux.resources.{property}")),
        None => Cow::Borrowed(doing),
    }
}

fn of(error: &Error) -> Option<Cow<'static, str>> {
    match error {
        Error::ControllerMissing { controller }
        | Error::NotDelegated { controller, .. }
        | Error::InternalProcesses { controller, .. } => {
            of_controller(*controller).map(Cow::Borrowed)
        }
        Error::Write {
            controller, path, ..
        } => {
            let file = path.file_name()?.to_string_lossy();
            let by_controller = || of_controller(*controller).map(Cow::Borrowed);
            of_file(&file).map(Cow::Borrowed).or_else(by_controller)
        }
        Error::OutOfRange {
            controller, file, ..
        }
        | Error::Unsupported {
            controller, file, ..
        } => of_file(file)
            .or_else(|| of_controller(*controller))
            .map(Cow::Borrowed),
        Error::BelowUsage { .. } => Some(Cow::Borrowed("memory.limit")),
        _ => None,
    }
}

/// Where all limits of a controller are.
fn of_controller(controller: Controller) -> Option<&'static str> {
    Some(match controller {
        Controller::Memory => "memory",
        Controller::Cpu | Controller::Cpuset => "cpu",
        Controller::Pids => "pids",
        Controller::Io => "blockIO",
        Controller::Hugetlb => "hugepageLimits",
        Controller::Rdma => "rdma",
        Controller::NetCls => "network.classID",
        Controller::NetPrio => "network.priorities",
        Controller::Devices => "devices",
        _ => return None,
    })
}

/// The property of a file, of v1 or of v2.
fn of_file(file: &str) -> Option<&'static str> {
    Some(match file {
        "memory.max" | "memory.limit_in_bytes" => "memory.limit",
        "memory.low" | "memory.soft_limit_in_bytes" => "memory.reservation",
        "memory.swap.max" | "memory.memsw.limit_in_bytes" => "memory.swap",
        "memory.kmem.limit_in_bytes" => "memory.kernel",
        "memory.kmem.tcp.limit_in_bytes" => "memory.kernelTCP",
        "memory.swappiness" => "memory.swappiness",
        "memory.oom_control" => "memory.disableOOMKiller",
        "memory.use_hierarchy" => "memory.useHierarchy",
        "cpu.weight" | "cpu.shares" => "cpu.shares",
        "cpu.max" | "cpu.cfs_quota_us" => "cpu.quota",
        "cpu.cfs_period_us" => "cpu.period",
        "cpu.max.burst" | "cpu.cfs_burst_us" => "cpu.burst",
        "cpu.rt_runtime_us" => "cpu.realtimeRuntime",
        "cpu.rt_period_us" => "cpu.realtimePeriod",
        "cpu.idle" => "cpu.idle",
        "cpuset.cpus" => "cpu.cpus",
        "cpuset.mems" => "cpu.mems",
        "pids.max" => "pids.limit",
        "io.weight" | "io.bfq.weight" | "blkio.weight" | "blkio.bfq.weight" => "blockIO.weight",
        "blkio.weight_device" | "blkio.bfq.weight_device" => "blockIO.weightDevice",
        "blkio.leaf_weight" => "blockIO.leafWeight",
        "blkio.leaf_weight_device" => "blockIO.weightDevice",
        "blkio.throttle.read_bps_device" => "blockIO.throttleReadBpsDevice",
        "blkio.throttle.write_bps_device" => "blockIO.throttleWriteBpsDevice",
        "blkio.throttle.read_iops_device" => "blockIO.throttleReadIOPSDevice",
        "blkio.throttle.write_iops_device" => "blockIO.throttleWriteIOPSDevice",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn write(controller: Controller, path: &str) -> Error {
        Error::Write {
            controller,
            path: path.into(),
            value: "1".into(),
            source: io::Error::from_raw_os_error(22),
        }
    }

    #[test]
    fn a_limit_is_named_as_in_the_document() {
        let of = |error: &Error| doing("make", error).into_owned();
        let file = write(
            Controller::Memory,
            "/sys/fs/cgroup/memory/a/memory.use_hierarchy",
        );
        assert_eq!(of(&file), "make: linux.resources.memory.useHierarchy");
        // What `unified` names, and what no property names.
        let file = write(Controller::Memory, "/sys/fs/cgroup/a/memory.high");
        assert_eq!(of(&file), "make: linux.resources.memory");
        let missing = Error::ControllerMissing {
            controller: Controller::Rdma,
        };
        assert_eq!(of(&missing), "make: linux.resources.rdma");
        let missing = Error::ControllerMissing {
            controller: Controller::Freezer,
        };
        assert_eq!(of(&missing), "make");
    }
}
