//! `linux.resources`: in the words and units of the cgroups.

use crabcan_cgroups::{
    Cpu, DeviceAccess, DeviceKind, DeviceRule, DeviceWeight, HugepageLimit, Io, Limit, Memory,
    Network, RdmaLimit, Resources, Throttle,
};

use crate::spec::{self, BlockIo, CpuLimits, MemoryLimits, ThrottleDevice};
use crate::{Error, Host};

/// What every container may do, whatever the rules say: make nodes, and use the default devices and
/// its terminals. Last, since the last rule that fits decides.
const ALWAYS: [(DeviceKind, Option<u32>, Option<u32>, &str); 10] = [
    (DeviceKind::Char, None, None, "m"),
    (DeviceKind::Block, None, None, "m"),
    (DeviceKind::Char, Some(1), Some(3), "rwm"),
    (DeviceKind::Char, Some(1), Some(5), "rwm"),
    (DeviceKind::Char, Some(1), Some(7), "rwm"),
    (DeviceKind::Char, Some(1), Some(8), "rwm"),
    (DeviceKind::Char, Some(1), Some(9), "rwm"),
    (DeviceKind::Char, Some(5), Some(0), "rwm"),
    (DeviceKind::Char, Some(5), Some(2), "rwm"),
    (DeviceKind::Char, Some(136), None, "rwm"),
];

/// The limits of a container, or those that `update` changes.
///
/// # Errors
/// [`Error::Invalid`] names the property below `prefix`.
pub(crate) fn resources(prefix: &str, wanted: &spec::Resources) -> Result<Resources, Error> {
    let field = |name: &str| format!("{prefix}.{name}");
    let block = |wanted| block_io(&field("blockIO"), wanted);
    // One is the container's first process: nothing more can be made, as with none. And systemd has
    // no zero here, which is why runc writes one, too.
    let limit = |pids: &spec::PidsLimit| {
        let limit = pids.limit.map(|limit| if limit == 0 { 1 } else { limit });
        limit.map(Limit::from_oci)
    };
    Ok(Resources {
        memory: wanted.memory.as_ref().map(memory).unwrap_or_default(),
        cpu: match &wanted.cpu {
            Some(wanted) => cpu(&field("cpu"), wanted)?,
            None => Cpu::default(),
        },
        pids_max: wanted.pids.as_ref().and_then(limit),
        io: wanted
            .block_io
            .as_ref()
            .map(block)
            .transpose()?
            .unwrap_or_default(),
        hugepages: hugepages(&field("hugepageLimits"), &wanted.hugepage_limits)?,
        rdma: rdma(&field("rdma"), wanted)?,
        network: wanted.network.as_ref().map(network).unwrap_or_default(),
        devices: devices(&field("devices"), &wanted.devices)?,
        unified: unified(&field("unified"), wanted)?,
    })
}

/// The limits of a container, and what only root's cgroups can do left away for everybody else.
pub(super) fn of_container(
    wanted: Option<&spec::Resources>,
    host: &Host,
    warnings: &mut Vec<String>,
) -> Result<Resources, Error> {
    const PREFIX: &str = "linux.resources";
    let Some(wanted) = wanted else {
        return Ok(Resources::default());
    };
    let mut resources = resources(PREFIX, wanted)?;
    if !host.privileged && resources.devices.take().is_some() {
        let why = "only root can limit devices; there are none but those that are bound";
        warnings.push(format!("{PREFIX}.devices: {why}"));
    }
    Ok(resources)
}

/// docker writes 0 for what nobody has asked for, as runc takes it: nothing could run with so little.
fn memory(wanted: &MemoryLimits) -> Memory {
    let limit = |bytes: Option<i64>| bytes.filter(|bytes| *bytes != 0).map(Limit::from_oci);
    Memory {
        max_bytes: limit(wanted.limit),
        reservation_bytes: limit(wanted.reservation),
        max_with_swap_bytes: limit(wanted.swap),
        kernel_bytes: limit(wanted.kernel),
        kernel_tcp_bytes: limit(wanted.kernel_tcp),
        swappiness: wanted.swappiness,
        disable_oom_killer: wanted.disable_oom_killer,
        use_hierarchy: wanted.use_hierarchy,
        check_before_update: wanted.check_before_update.unwrap_or(false),
    }
}

fn cpu(prefix: &str, wanted: &CpuLimits) -> Result<Cpu, Error> {
    let idle = match wanted.idle {
        None => None,
        Some(0) => Some(false),
        Some(1) => Some(true),
        Some(other) => {
            let reason = format!("{other} is neither 0 nor 1");
            return Err(Error::invalid(format!("{prefix}.idle"), reason));
        }
    };
    let list = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    Ok(Cpu {
        // The engines write 0 for what nobody has asked for; the kernel knows no such value.
        shares: wanted.shares.filter(|shares| *shares != 0),
        weight: None,
        quota_us: wanted
            .quota
            .filter(|quota| *quota != 0)
            .map(Limit::from_oci),
        period_us: wanted.period.filter(|period| *period != 0),
        burst_us: wanted.burst,
        realtime_runtime_us: wanted.realtime_runtime,
        realtime_period_us: wanted.realtime_period,
        cpus: list(&wanted.cpus),
        mems: list(&wanted.mems),
        idle,
    })
}

fn number(field: &str, number: i64) -> Result<u32, Error> {
    let reason = || format!("{number} is no device number");
    u32::try_from(number).map_err(|_| Error::invalid(field, reason()))
}

fn block_io(prefix: &str, wanted: &BlockIo) -> Result<Io, Error> {
    let mut weight_devices = Vec::new();
    for (index, device) in wanted.weight_device.iter().enumerate() {
        let field = |name: &str| format!("{prefix}.weightDevice[{index}]{name}");
        if device.weight.is_none() && device.leaf_weight.is_none() {
            return Err(Error::invalid(
                field(""),
                "has neither weight nor leafWeight",
            ));
        }
        weight_devices.push(DeviceWeight {
            major: number(&field(".major"), device.major)?,
            minor: number(&field(".minor"), device.minor)?,
            weight: device.weight,
            leaf_weight: device.leaf_weight,
        });
    }
    let throttle = |name: &str, devices: &[ThrottleDevice]| {
        let one = |(index, device): (usize, &ThrottleDevice)| {
            let field = |part: &str| format!("{prefix}.{name}[{index}].{part}");
            Ok(Throttle {
                major: number(&field("major"), device.major)?,
                minor: number(&field("minor"), device.minor)?,
                rate: device.rate,
            })
        };
        devices
            .iter()
            .enumerate()
            .map(one)
            .collect::<Result<_, Error>>()
    };
    Ok(Io {
        weight: wanted.weight.filter(|weight| *weight != 0),
        leaf_weight: wanted.leaf_weight.filter(|weight| *weight != 0),
        weight_devices,
        read_bps: throttle("throttleReadBpsDevice", &wanted.throttle_read_bps_device)?,
        write_bps: throttle("throttleWriteBpsDevice", &wanted.throttle_write_bps_device)?,
        read_iops: throttle("throttleReadIOPSDevice", &wanted.throttle_read_iops_device)?,
        write_iops: throttle(
            "throttleWriteIOPSDevice",
            &wanted.throttle_write_iops_device,
        )?,
    })
}

fn hugepages(prefix: &str, limits: &[spec::HugepageLimit]) -> Result<Vec<HugepageLimit>, Error> {
    let mut read = Vec::new();
    for (index, limit) in limits.iter().enumerate() {
        let size = &limit.page_size;
        let digits = size
            .trim_end_matches("KB")
            .trim_end_matches("MB")
            .trim_end_matches("GB");
        let valid = !digits.is_empty()
            && digits.len() + 2 == size.len()
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !valid {
            let reason = format!("\"{}\" is no size such as 2MB", size.escape_debug());
            return Err(Error::invalid(
                format!("{prefix}[{index}].pageSize"),
                reason,
            ));
        }
        read.push(HugepageLimit {
            page_size: size.clone(),
            max_bytes: limit.limit,
        });
    }
    Ok(read)
}

fn rdma(prefix: &str, wanted: &spec::Resources) -> Result<Vec<RdmaLimit>, Error> {
    let mut read = Vec::new();
    for (device, limit) in &wanted.rdma {
        let field = || format!("{prefix}[\"{}\"]", device.escape_debug());
        if limit.hca_handles.is_none() && limit.hca_objects.is_none() {
            return Err(Error::invalid(
                field(),
                "has neither hcaHandles nor hcaObjects",
            ));
        }
        if device.is_empty() || device.contains(|c: char| c.is_whitespace() || c == '\0') {
            return Err(Error::invalid(field(), "is no name of a device"));
        }
        read.push(RdmaLimit {
            device: device.clone(),
            hca_handles: limit.hca_handles,
            hca_objects: limit.hca_objects,
        });
    }
    Ok(read)
}

fn network(wanted: &spec::NetworkClasses) -> Network {
    let priorities = wanted.priorities.iter();
    Network {
        class_id: wanted.class_id,
        priorities: priorities
            .map(|one| (one.name.clone(), one.priority))
            .collect(),
    }
}

/// In their order. Without any nothing changes; with any, what every container needs comes last.
fn devices(prefix: &str, rules: &[spec::DeviceRule]) -> Result<Option<Vec<DeviceRule>>, Error> {
    if rules.is_empty() {
        return Ok(None);
    }
    let mut read = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let field = |name: &str| format!("{prefix}[{index}].{name}");
        let refused = |name: &str, word: &str, what: &str| {
            let word = word.escape_debug();
            Err(Error::invalid(
                field(name),
                format!("\"{word}\" is no {what}"),
            ))
        };
        let kind = match rule.kind.as_deref() {
            None | Some("" | "a") => DeviceKind::All,
            Some("c" | "u") => DeviceKind::Char,
            Some("b") => DeviceKind::Block,
            Some(other) => return refused("type", other, "kind of device"),
        };
        let any = |name: &str, given: Option<i64>| match given {
            None | Some(-1) => Ok(None),
            Some(given) => number(&field(name), given).map(Some),
        };
        let access = match rule.access.as_deref() {
            None | Some("") => Some(DeviceAccess::ALL),
            Some(letters) => DeviceAccess::from_letters(letters),
        };
        let Some(access) = access else {
            return refused(
                "access",
                rule.access.as_deref().unwrap_or_default(),
                "access",
            );
        };
        read.push(DeviceRule {
            allow: rule.allow,
            kind,
            major: any("major", rule.major)?,
            minor: any("minor", rule.minor)?,
            access,
        });
    }
    read.extend(ALWAYS.iter().filter_map(|(kind, major, minor, access)| {
        Some(DeviceRule {
            allow: true,
            kind: *kind,
            major: *major,
            minor: *minor,
            access: DeviceAccess::from_letters(access)?,
        })
    }));
    Ok(Some(read))
}

/// Files of the cgroup itself: a name is no path.
fn unified(
    prefix: &str,
    wanted: &spec::Resources,
) -> Result<std::collections::BTreeMap<String, String>, Error> {
    for file in wanted.unified.keys() {
        let name = !file.is_empty() && !file.contains(['/', '\0']) && file.contains('.');
        if !name || file.starts_with('.') {
            let field = format!("{prefix}[\"{}\"]", file.escape_debug());
            return Err(Error::invalid(field, "is no file of a cgroup"));
        }
    }
    Ok((*wanted.unified).clone())
}

#[cfg(test)]
mod tests;
