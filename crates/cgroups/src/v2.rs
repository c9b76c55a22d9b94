//! Limits in the words of cgroup v2.

use crate::resources::{Cpu, DeviceWeight, Io, Memory, Throttle, controller_of};
use crate::writes::{Write, burst_fits, in_range, list, word};
use crate::{Controller, Error, Limit, Resources, v1};

/// What the cgroup has already, as far as a change depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct InForce {
    pub(crate) memory_max: Option<Limit>,
    pub(crate) cpu_quota: Option<String>,
    pub(crate) has_bfq: bool,
    pub(crate) has_io_weight: bool,
}

pub(crate) fn writes(resources: &Resources, in_force: &InForce) -> Result<Vec<Write>, Error> {
    let mut writes = Vec::new();
    memory(&resources.memory, in_force, &mut writes)?;
    cpu(&resources.cpu, in_force, &mut writes)?;
    if let Some(max) = resources.pids_max {
        writes.push(Write::new(Controller::Pids, "pids.max", max.to_string()));
    }
    io(&resources.io, in_force, &mut writes)?;
    for limit in &resources.hugepages {
        let size = &limit.page_size;
        word(Controller::Hugetlb, "hugetlb.SIZE.max", size)?;
        let value = limit.max_bytes.to_string();
        let write = |file: String| Write::new(Controller::Hugetlb, file, value.clone());
        writes.push(write(format!("hugetlb.{size}.max")));
        // Linux 5.7 counts reservations too: without it, only faults are limited.
        writes.push(write(format!("hugetlb.{size}.rsvd.max")).if_there());
    }
    v1::rdma(resources, &mut writes)?;
    if let Some(class) = resources.network.class_id {
        return Err(unsupported(Controller::NetCls, "net_cls.classid", class));
    }
    if let Some((interface, _)) = resources.network.priorities.first() {
        let file = "net_prio.ifpriomap";
        return Err(unsupported(Controller::NetPrio, file, interface));
    }
    for (file, value) in &resources.unified {
        let controller = controller_of(file).unwrap_or(Controller::Misc);
        if file.contains('/') || !file.contains('.') {
            return Err(Error::OutOfRange {
                controller,
                file: "unified",
                value: file.clone(),
                reason: "must be the name of a file of cgroup v2",
            });
        }
        // Some files take one line in each write(2).
        for line in value.lines() {
            writes.push(Write::new(controller, file.clone(), line));
        }
    }
    Ok(writes)
}

fn unsupported(controller: Controller, file: &'static str, value: impl ToString) -> Error {
    Error::Unsupported {
        controller,
        version: "v2",
        file,
        value: value.to_string(),
        reason: "has nothing like it",
    }
}

fn memory(memory: &Memory, in_force: &InForce, writes: &mut Vec<Write>) -> Result<(), Error> {
    let absent = |file, value: Option<String>| match value {
        Some(value) => Err(unsupported(Controller::Memory, file, value)),
        None => Ok(()),
    };
    // No limit is what there is anyway.
    let limit = |limit: Option<Limit>| match limit {
        Some(Limit::Of(number)) => Some(number.to_string()),
        Some(Limit::Max) | None => None,
    };
    absent("memory.kmem.limit_in_bytes", limit(memory.kernel_bytes))?;
    absent(
        "memory.kmem.tcp.limit_in_bytes",
        limit(memory.kernel_tcp_bytes),
    )?;
    absent(
        "memory.swappiness",
        memory.swappiness.map(|number| number.to_string()),
    )?;
    let disabled = memory.disable_oom_killer.filter(|disable| *disable);
    absent("memory.oom_control", disabled.map(|_| "1".into()))?;
    let flat = memory.use_hierarchy.filter(|hierarchy| !*hierarchy);
    absent("memory.use_hierarchy", flat.map(|_| "0".into()))?;
    let mut push = |file: &str, value: String| {
        writes.push(Write::new(Controller::Memory, file, value));
    };
    // Swap first: while memory is being lowered, what is to stay out of swap already does.
    if let Some(both) = memory.max_with_swap_bytes {
        let max = memory.max_bytes.or(in_force.memory_max);
        push("memory.swap.max", swap(both, max)?);
    }
    if let Some(max) = memory.max_bytes {
        push("memory.max", max.to_string());
    }
    if let Some(low) = memory.reservation_bytes {
        push("memory.low", low.to_string());
    }
    Ok(())
}

/// `memory.swap.max` counts swap alone, the specification memory and swap.
fn swap(both: Limit, memory: Option<Limit>) -> Result<String, Error> {
    let wrong = |reason| Error::OutOfRange {
        controller: Controller::Memory,
        file: "memory.swap.max",
        value: both.to_string(),
        reason,
    };
    match (both, memory) {
        (Limit::Max, _) => Ok("max".into()),
        (Limit::Of(both), Some(Limit::Of(memory))) => both
            .checked_sub(memory)
            .map(|swap| swap.to_string())
            .ok_or_else(|| {
                wrong("memory and swap together can't be less than the limit of memory")
            }),
        (Limit::Of(_), _) => Err(wrong(
            "memory and swap together need a limit of memory as well",
        )),
    }
}

fn cpu(cpu: &Cpu, in_force: &InForce, writes: &mut Vec<Write>) -> Result<(), Error> {
    if let Some(runtime) = cpu.realtime_runtime_us.filter(|runtime| *runtime != 0) {
        return Err(unsupported(Controller::Cpu, "cpu.rt_runtime_us", runtime));
    }
    if let Some(period) = cpu.realtime_period_us.filter(|period| *period != 0) {
        return Err(unsupported(Controller::Cpu, "cpu.rt_period_us", period));
    }
    let mut push = |file: &str, value: String| {
        writes.push(Write::new(Controller::Cpu, file, value).or_later());
    };
    if let Some(idle) = cpu.idle {
        push("cpu.idle", u8::from(idle).to_string());
    }
    let weight = match (cpu.weight, cpu.shares) {
        (Some(weight), _) => Some(weight),
        (None, shares) => shares.filter(|shares| *shares != 0).map(weight_of_shares),
    };
    if let Some(weight) = weight.filter(|_| cpu.idle != Some(true)) {
        in_range(
            Controller::Cpu,
            "cpu.weight",
            weight,
            1..=10000,
            "1 to 10000",
        )?;
        push("cpu.weight", weight.to_string());
    }
    cpu_bandwidth(cpu, in_force, &mut push)?;
    for (file, value) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
            list(file, value)?;
            writes.push(Write::new(Controller::Cpuset, file, value.clone()));
        }
    }
    Ok(())
}

/// Quota, period and burst.
fn cpu_bandwidth(
    cpu: &Cpu,
    in_force: &InForce,
    push: &mut impl FnMut(&str, String),
) -> Result<(), Error> {
    // Before the quota where that is lowered; where it is raised, it is tried again behind it.
    burst_fits(cpu, "cpu.max.burst")?;
    if let Some(burst) = cpu.burst_us {
        push("cpu.max.burst", burst.to_string());
    }
    let period = cpu.period_us.filter(|period| *period != 0);
    if let Some(period) = period {
        let range = 1000..=1_000_000;
        in_range(
            Controller::Cpu,
            "cpu.max",
            period,
            range,
            "a period of 1000 to 1000000",
        )?;
    }
    let quota = match cpu.quota_us {
        Some(Limit::Of(0)) | None => None,
        Some(quota) => Some(quota.to_string()),
    };
    match (quota, period) {
        (None, None) => {}
        (Some(quota), None) => push("cpu.max", quota),
        (quota, Some(period)) => {
            let quota = quota.or_else(|| in_force.cpu_quota.clone());
            push(
                "cpu.max",
                format!("{} {period}", quota.as_deref().unwrap_or("max")),
            );
        }
    }
    Ok(())
}

/// The weight of v2 that means the same as shares of v1.
///
/// The smallest, the default and the greatest of both agree (2, 1024, 262144 with 1, 100, 10000):
/// between them goes the parabola through the three points in logarithmic scales, as other
/// runtimes have agreed on. A straight line would make of the default 1024 a weight of 39.
pub(crate) fn weight_of_shares(shares: u64) -> u64 {
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the number is below 2^18, and the result between 1 and 10000"
    )]
    {
        let log = (shares as f64).log2();
        let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
        // Rounded up, but not because of the last bit of a floating-point number.
        ((10f64.powf(exponent) - 1e-9).ceil() as u64).clamp(1, 10_000)
    }
}

fn io(io: &Io, in_force: &InForce, writes: &mut Vec<Write>) -> Result<(), Error> {
    let mut push = |file: &str, value: String| {
        writes.push(Write::new(Controller::Io, file, value));
    };
    // BFQ has its own file with the specification's range; the cost model has the file of the
    // version, and another range.
    let (bfq, file) = match (in_force.has_bfq, in_force.has_io_weight) {
        (true, _) => (true, "io.bfq.weight"),
        (false, _) => (false, "io.weight"),
    };
    let scaled = |weight: u16| -> Result<u64, Error> {
        in_range(Controller::Io, file, weight, 10..=1000, "10 to 1000")?;
        let weight = u64::from(weight);
        Ok(if bfq {
            weight
        } else {
            1 + (weight - 10) * 9999 / 990
        })
    };
    if let Some(weight) = io.weight.filter(|weight| *weight != 0) {
        push(file, scaled(weight)?.to_string());
    }
    if let Some(weight) = io.leaf_weight.filter(|weight| *weight != 0) {
        return Err(unsupported(Controller::Io, "blkio.leaf_weight", weight));
    }
    for device in &io.weight_devices {
        let DeviceWeight { major, minor, .. } = device;
        if let Some(weight) = device.leaf_weight.filter(|weight| *weight != 0) {
            return Err(unsupported(
                Controller::Io,
                "blkio.leaf_weight_device",
                weight,
            ));
        }
        if let Some(weight) = device.weight {
            push(file, format!("{major}:{minor} {}", scaled(weight)?));
        }
    }
    for (throttles, key) in [
        (&io.read_bps, "rbps"),
        (&io.write_bps, "wbps"),
        (&io.read_iops, "riops"),
        (&io.write_iops, "wiops"),
    ] {
        for Throttle { major, minor, rate } in throttles {
            let rate = match rate {
                0 => "max".to_owned(),
                rate => rate.to_string(),
            };
            push("io.max", format!("{major}:{minor} {key}={rate}"));
        }
    }
    Ok(())
}
