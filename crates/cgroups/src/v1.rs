//! Limits in the words of cgroup v1.

use crate::resources::{Cpu, DeviceWeight, Io, Memory, Throttle};
use crate::writes::{Write, burst_fits, in_range, list, word};
use crate::{Controller, Error, Limit, Resources};

pub(crate) fn writes(resources: &Resources, has_bfq: bool) -> Result<Vec<Write>, Error> {
    let mut writes = Vec::new();
    memory(&resources.memory, &mut writes)?;
    cpu(&resources.cpu, &mut writes)?;
    if let Some(max) = resources.pids_max {
        writes.push(Write::new(Controller::Pids, "pids.max", max.to_string()));
    }
    io(&resources.io, has_bfq, &mut writes)?;
    for limit in &resources.hugepages {
        let size = &limit.page_size;
        word(Controller::Hugetlb, "hugetlb.SIZE.limit_in_bytes", size)?;
        let value = limit.max_bytes.to_string();
        let write = |file: String| Write::new(Controller::Hugetlb, file, value.clone());
        writes.push(write(format!("hugetlb.{size}.limit_in_bytes")));
        // Linux 5.7 counts reservations too: without it, only faults are limited.
        writes.push(write(format!("hugetlb.{size}.rsvd.limit_in_bytes")).if_there());
    }
    rdma(resources, &mut writes)?;
    if let Some(class) = resources.network.class_id {
        let value = class.to_string();
        writes.push(Write::new(Controller::NetCls, "net_cls.classid", value));
    }
    for (interface, priority) in &resources.network.priorities {
        word(Controller::NetPrio, "net_prio.ifpriomap", interface)?;
        let value = format!("{interface} {priority}");
        writes.push(Write::new(Controller::NetPrio, "net_prio.ifpriomap", value));
    }
    Ok(writes)
}

fn memory(memory: &Memory, writes: &mut Vec<Write>) -> Result<(), Error> {
    let mut push = |file: &str, value: String| {
        writes.push(Write::new(Controller::Memory, file, value).or_later());
    };
    if let (Some(Limit::Of(max)), Some(Limit::Of(both))) =
        (memory.max_bytes, memory.max_with_swap_bytes)
        && both < max
    {
        return Err(Error::OutOfRange {
            controller: Controller::Memory,
            file: "memory.memsw.limit_in_bytes",
            value: both.to_string(),
            reason: "memory and swap together can't be less than the limit of memory",
        });
    }
    if memory.use_hierarchy == Some(true) {
        push("memory.use_hierarchy", "1".into());
    } else if memory.use_hierarchy == Some(false) {
        push("memory.use_hierarchy", "0".into());
    }
    // The kernel keeps the first below the second: whichever comes too early is tried again.
    if let Some(max) = memory.max_bytes {
        push("memory.limit_in_bytes", max.v1());
    }
    if let Some(max) = memory.max_with_swap_bytes {
        push("memory.memsw.limit_in_bytes", max.v1());
    }
    if memory.max_with_swap_bytes.is_none() && memory.max_bytes == Some(Limit::Max) {
        // Memory can't have more than both together have: where one has no limit, neither has.
        let file = "memory.memsw.limit_in_bytes";
        let both = Write::new(Controller::Memory, file, Limit::Max.v1());
        writes.push(both.or_later().if_there());
    }
    let mut push = |file: &str, value: String| {
        writes.push(Write::new(Controller::Memory, file, value).or_later());
    };
    if let Some(low) = memory.reservation_bytes {
        push("memory.soft_limit_in_bytes", low.v1());
    }
    if let Some(max) = memory.kernel_bytes {
        push("memory.kmem.limit_in_bytes", max.v1());
    }
    if let Some(max) = memory.kernel_tcp_bytes {
        push("memory.kmem.tcp.limit_in_bytes", max.v1());
    }
    if let Some(swappiness) = memory.swappiness {
        let file = "memory.swappiness";
        in_range(Controller::Memory, file, swappiness, 0..=100, "0 to 100")?;
        push(file, swappiness.to_string());
    }
    if let Some(disable) = memory.disable_oom_killer {
        push("memory.oom_control", u8::from(disable).to_string());
    }
    Ok(())
}

fn cpu(cpu: &Cpu, writes: &mut Vec<Write>) -> Result<(), Error> {
    let mut push = |file: &str, value: String| {
        writes.push(Write::new(Controller::Cpu, file, value).or_later());
    };
    let shares = match (cpu.weight, cpu.shares) {
        (Some(weight), _) => {
            in_range(
                Controller::Cpu,
                "cpu.weight",
                weight,
                1..=10000,
                "1 to 10000",
            )?;
            // The kernel itself holds a weight of 100 to be 1024 shares.
            Some((weight * 1024 / 100).clamp(2, 262_144))
        }
        // A zero means that nothing was said, as with every runtime.
        (None, shares) => shares.filter(|shares| *shares != 0),
    };
    if let Some(idle) = cpu.idle {
        push("cpu.idle", u8::from(idle).to_string());
    }
    if let Some(shares) = shares {
        let range = 2..=262_144;
        in_range(Controller::Cpu, "cpu.shares", shares, range, "2 to 262144")?;
        push("cpu.shares", shares.to_string());
    }
    burst_fits(cpu, "cpu.cfs_burst_us")?;
    if let Some(burst) = cpu.burst_us {
        push("cpu.cfs_burst_us", burst.to_string());
    }
    if let Some(period) = cpu.period_us.filter(|period| *period != 0) {
        let range = 1000..=1_000_000;
        let file = "cpu.cfs_period_us";
        in_range(Controller::Cpu, file, period, range, "1000 to 1000000")?;
        push(file, period.to_string());
    }
    match cpu.quota_us {
        // Nothing was said.
        None | Some(Limit::Of(0)) => {}
        Some(quota) => push("cpu.cfs_quota_us", quota.v1()),
    }
    if let Some(period) = cpu.realtime_period_us.filter(|period| *period != 0) {
        push("cpu.rt_period_us", period.to_string());
    }
    if let Some(runtime) = cpu.realtime_runtime_us.filter(|runtime| *runtime != 0) {
        push("cpu.rt_runtime_us", runtime.to_string());
    }
    for (file, value) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            list(file, value)?;
            writes.push(Write::new(Controller::Cpuset, file, value.clone()));
        }
    }
    Ok(())
}

fn io(io: &Io, has_bfq: bool, writes: &mut Vec<Write>) -> Result<(), Error> {
    // The scheduler that there was for v1 is gone since Linux 5.0; BFQ has files of its own.
    let (weights, weights_device) = match has_bfq {
        true => ("blkio.bfq.weight", "blkio.bfq.weight_device"),
        false => ("blkio.weight", "blkio.weight_device"),
    };
    let mut push = |file: &str, value: String| {
        writes.push(Write::new(Controller::Io, file, value));
    };
    let weight =
        |file, weight: u16| in_range(Controller::Io, file, weight, 10..=1000, "10 to 1000");
    if let Some(value) = io.weight.filter(|value| *value != 0) {
        weight(weights, value)?;
        push(weights, value.to_string());
    }
    if let Some(value) = io.leaf_weight.filter(|value| *value != 0) {
        weight("blkio.leaf_weight", value)?;
        push("blkio.leaf_weight", value.to_string());
    }
    for device in &io.weight_devices {
        let DeviceWeight { major, minor, .. } = device;
        if let Some(value) = device.weight {
            weight(weights_device, value)?;
            push(weights_device, format!("{major}:{minor} {value}"));
        }
        if let Some(value) = device.leaf_weight {
            weight("blkio.leaf_weight_device", value)?;
            push(
                "blkio.leaf_weight_device",
                format!("{major}:{minor} {value}"),
            );
        }
    }
    for (throttles, file) in [
        (&io.read_bps, "blkio.throttle.read_bps_device"),
        (&io.write_bps, "blkio.throttle.write_bps_device"),
        (&io.read_iops, "blkio.throttle.read_iops_device"),
        (&io.write_iops, "blkio.throttle.write_iops_device"),
    ] {
        for Throttle { major, minor, rate } in throttles {
            push(file, format!("{major}:{minor} {rate}"));
        }
    }
    Ok(())
}

/// The same in both versions.
pub(crate) fn rdma(resources: &Resources, writes: &mut Vec<Write>) -> Result<(), Error> {
    for limit in &resources.rdma {
        word(Controller::Rdma, "rdma.max", &limit.device)?;
        let mut value = limit.device.clone();
        let parts = [
            ("hca_handle", limit.hca_handles),
            ("hca_object", limit.hca_objects),
        ];
        for (name, number) in parts {
            if let Some(number) = number {
                value += &format!(" {name}={number}");
            }
        }
        writes.push(Write::new(Controller::Rdma, "rdma.max", value));
    }
    Ok(())
}
