//! Limits as properties of a unit.
//!
//! They are made from what is written to the cgroup's files, so that systemd, whenever it writes
//! them again, writes the same. Files that it knows nothing of it leaves alone. Devices are not among
//! the properties on purpose: systemd's own program would be put back by each reload, beside ours.

use super::wire::Value;
use crate::v2::{self, InForce};
use crate::writes::Write;
use crate::{Error, Resources};

/// A property of a unit, as in systemd.resource-control(5) and org.freedesktop.systemd1(5).
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    name: String,
    value: Value,
}

impl Property {
    /// A property by its name on D-Bus, where times are in microseconds (`TimeoutStopUSec`).
    #[must_use]
    pub fn new(name: impl Into<String>, value: Value) -> Self {
        let name = name.into();
        Self { name, value }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }
}

/// An array of properties, as methods take it.
pub(crate) fn array(properties: impl IntoIterator<Item = Property>) -> Value {
    let one = |property: Property| {
        Value::Struct(vec![
            Value::Str(property.name),
            Value::variant(property.value),
        ])
    };
    Value::Array("(sv)".into(), properties.into_iter().map(one).collect())
}

/// The properties that mean the same as the limits.
pub(crate) fn of(resources: &Resources, in_force: InForce) -> Result<Vec<Property>, Error> {
    // systemd itself scales the weight for the other scheduler of block devices.
    let in_force = InForce {
        has_bfq: false,
        has_io_weight: true,
        ..in_force
    };
    let mut found = Vec::new();
    for write in v2::writes(resources, &in_force)? {
        let properties = of_write(&write).ok_or_else(|| Error::OutOfRange {
            controller: write.controller,
            file: "a property of systemd",
            value: format!("{}={}", write.file, write.value),
            reason: "is no value that it has",
        })?;
        properties.into_iter().for_each(|one| add(&mut found, one));
    }
    Ok(found)
}

/// Joins what is said of several devices; otherwise the last word holds.
fn add(found: &mut Vec<Property>, property: Property) {
    let Some(before) = found.iter_mut().find(|other| other.name == property.name) else {
        return found.push(property);
    };
    match (&mut before.value, property.value) {
        (Value::Array(letters, all), Value::Array(_, more)) if letters == "(st)" => {
            all.extend(more);
        }
        (place, value) => *place = value,
    }
}

/// `None` for a value that is not understood; nothing for a file that systemd does not know.
fn of_write(write: &Write) -> Option<Vec<Property>> {
    let number = || limit(&write.value).map(Value::Uint64);
    let one = |name: &str, value: Value| Some(vec![Property::new(name, value)]);
    match write.file.as_str() {
        "memory.min" => one("MemoryMin", number()?),
        "memory.low" => one("MemoryLow", number()?),
        "memory.high" => one("MemoryHigh", number()?),
        "memory.max" => one("MemoryMax", number()?),
        "memory.swap.max" => one("MemorySwapMax", number()?),
        // systemd has no zero: with one task, which is there already, no other can be made either.
        "pids.max" => one("TasksMax", Value::Uint64(limit(&write.value)?.max(1))),
        "cpu.weight" => one("CPUWeight", number()?),
        // The weight of what is idle (systemd 252).
        "cpu.idle" if write.value == "1" => one("CPUWeight", Value::Uint64(0)),
        "cpu.max" => bandwidth(&write.value),
        "cpuset.cpus" => one("AllowedCPUs", bits(&write.value)?),
        "cpuset.mems" => one("AllowedMemoryNodes", bits(&write.value)?),
        "io.weight" => weight(&write.value),
        "io.max" => throttle(&write.value),
        _ => Some(Vec::new()),
    }
}

/// A number, or `max`, which is the largest one for systemd.
fn limit(value: &str) -> Option<u64> {
    match value.trim() {
        "max" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// `cpu.max`: the quota, and perhaps its period. systemd keeps the quota as percents of one
/// processor; a part of one is rounded up.
fn bandwidth(value: &str) -> Option<Vec<Property>> {
    const PERCENT_US: u64 = 10_000;
    let (quota, period) = value.split_once(' ').unwrap_or((value, "100000"));
    let period: u64 = period.trim().parse().ok().filter(|period| *period > 0)?;
    let per_second = match limit(quota)? {
        u64::MAX => u64::MAX,
        quota => {
            let us = quota.checked_mul(1_000_000)?.div_ceil(period);
            us.checked_next_multiple_of(PERCENT_US)?
        }
    };
    Some(vec![
        Property::new("CPUQuotaPerSecUSec", Value::Uint64(per_second)),
        Property::new("CPUQuotaPeriodUSec", Value::Uint64(period)),
    ])
}

/// A list such as `0-3,7`, as bits.
fn bits(list: &str) -> Option<Value> {
    const MAX: usize = 1 << 16;
    let mut bytes = Vec::new();
    for part in list.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        (first <= last && last < MAX).then_some(())?;
        bytes.resize(bytes.len().max(last / 8 + 1), 0_u8);
        (first..=last).for_each(|bit| bytes[bit / 8] |= 1 << (bit % 8));
    }
    let bytes = bytes.into_iter().map(Value::Byte).collect();
    Some(Value::Array("y".into(), bytes))
}

/// `io.weight`: `500` or `default 500` for all, `8:0 500` for one device.
fn weight(value: &str) -> Option<Vec<Property>> {
    let property = match value.split_once(' ') {
        None => Property::new("IOWeight", Value::Uint64(limit(value)?)),
        Some(("default", weight)) => Property::new("IOWeight", Value::Uint64(limit(weight)?)),
        Some((device, weight)) => {
            Property::new("IODeviceWeight", of_device(device, limit(weight)?)?)
        }
    };
    Some(vec![property])
}

/// `io.max`: `8:0 rbps=1048576 wiops=max`.
fn throttle(value: &str) -> Option<Vec<Property>> {
    let mut words = value.split_whitespace();
    let device = words.next()?;
    let one = |word: &str| {
        let (what, rate) = word.split_once('=')?;
        let name = match what {
            "rbps" => "IOReadBandwidthMax",
            "wbps" => "IOWriteBandwidthMax",
            "riops" => "IOReadIOPSMax",
            "wiops" => "IOWriteIOPSMax",
            _ => return None,
        };
        Some(Property::new(name, of_device(device, limit(rate)?)?))
    };
    words.map(one).collect()
}

fn of_device(numbers: &str, value: u64) -> Option<Value> {
    let (major, minor) = numbers.split_once(':')?;
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    let path = Value::Str(format!("/dev/block/{major}:{minor}"));
    let pair = Value::Struct(vec![path, Value::Uint64(value)]);
    Some(Value::Array("(st)".into(), vec![pair]))
}

/// A number of seconds of any type.
pub(crate) fn microseconds(seconds: &Value) -> Option<u64> {
    const SECOND: u64 = 1_000_000;
    match *seconds {
        Value::Byte(number) => u64::from(number).checked_mul(SECOND),
        Value::Int32(number) => u64::try_from(number).ok()?.checked_mul(SECOND),
        Value::Uint32(number) => u64::from(number).checked_mul(SECOND),
        Value::Int64(number) => u64::try_from(number).ok()?.checked_mul(SECOND),
        Value::Uint64(number) => number.checked_mul(SECOND),
        // Up to here each microsecond is a number of its own.
        Value::Double(number) if (0.0..9e9).contains(&number) => Some((number * 1e6) as u64),
        _ => None,
    }
}

/// What every scope of ours is.
pub(crate) fn of_scope(slice: &str, pid: u32, description: &str) -> Vec<Property> {
    let yes = |name: &str| Property::new(name, Value::Bool(true));
    let mut all = vec![
        Property::new("Description", Value::str(description)),
        Property::new("PIDs", Value::Array("u".into(), vec![Value::Uint32(pid)])),
        // The subtree is the container's: systemd makes no cgroup in it and moves no process.
        yes("Delegate"),
        yes("CPUAccounting"),
        yes("IOAccounting"),
        yes("MemoryAccounting"),
        yes("TasksAccounting"),
        // It begins with no other unit and is not stopped before others are.
        Property::new("DefaultDependencies", Value::Bool(false)),
        // One that has failed goes too, and its name is free again.
        Property::new("CollectMode", Value::str("inactive-or-failed")),
    ];
    if !slice.is_empty() {
        all.push(Property::new("Slice", Value::str(slice)));
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::{DeviceWeight, Limit, Throttle};

    fn number(found: &[Property], name: &str) -> Option<u64> {
        match found.iter().find(|one| one.name == name)?.value {
            Value::Uint64(number) => Some(number),
            _ => None,
        }
    }

    #[test]
    fn limits_become_properties_of_the_same_value() {
        let mut resources = Resources::default();
        resources.memory.max_bytes = Some(Limit::Of(64 << 20));
        resources.memory.max_with_swap_bytes = Some(Limit::Of(96 << 20));
        resources.memory.reservation_bytes = Some(Limit::Of(1 << 20));
        resources.cpu.weight = Some(250);
        resources.cpu.quota_us = Some(Limit::Of(25_500));
        resources.cpu.period_us = Some(50_000);
        resources.cpu.cpus = Some("0-2,9".into());
        resources.pids_max = Some(Limit::Of(0));
        resources.unified.insert("memory.high".into(), "max".into());
        resources.unified.insert("cpu.pressure".into(), "x".into());
        let found = of(&resources, InForce::default()).unwrap();
        for (name, value) in [
            ("MemoryMax", 64 << 20),
            ("MemorySwapMax", 32 << 20),
            ("MemoryLow", 1 << 20),
            ("MemoryHigh", u64::MAX),
            ("CPUWeight", 250),
            ("CPUQuotaPerSecUSec", 510_000),
            ("CPUQuotaPeriodUSec", 50_000),
            ("TasksMax", 1),
        ] {
            assert_eq!(number(&found, name), Some(value), "{name}");
        }
        let cpus = found.iter().find(|one| one.name == "AllowedCPUs").unwrap();
        let bytes = vec![Value::Byte(0b111), Value::Byte(0b10)];
        assert_eq!(cpus.value, Value::Array("y".into(), bytes));
        assert_eq!(found.len(), 9);
    }

    #[test]
    fn devices_are_gathered() {
        let mut resources = Resources::default();
        resources.io.weight = Some(10);
        let rate = |minor, rate| Throttle {
            major: 8,
            minor,
            rate,
        };
        resources.io.read_bps = vec![rate(0, 1024), rate(16, 2048)];
        resources.io.write_iops = vec![rate(0, 5)];
        resources.io.weight_devices = vec![DeviceWeight {
            major: 8,
            minor: 0,
            weight: Some(1000),
            leaf_weight: None,
        }];
        let found = of(&resources, InForce::default()).unwrap();
        assert_eq!(number(&found, "IOWeight"), Some(1));
        let device = |name: &str| &found.iter().find(|one| one.name == name).unwrap().value;
        let pairs = |pairs: &[(&str, u64)]| {
            let pair = |(path, value): &(&str, u64)| {
                Value::Struct(vec![Value::str(*path), Value::Uint64(*value)])
            };
            Value::Array("(st)".into(), pairs.iter().map(pair).collect())
        };
        let (first, second) = ("/dev/block/8:0", "/dev/block/8:16");
        assert_eq!(
            *device("IOReadBandwidthMax"),
            pairs(&[(first, 1024), (second, 2048)])
        );
        assert_eq!(*device("IOWriteIOPSMax"), pairs(&[(first, 5)]));
        assert_eq!(*device("IODeviceWeight"), pairs(&[(first, 10_000)]));
    }

    #[test]
    fn a_value_that_no_property_has_is_refused() {
        for (file, value) in [
            ("memory.high", "much"),
            ("cpu.max", "10 0"),
            ("cpuset.cpus", "3-1"),
            ("cpuset.cpus", "99999999"),
            ("io.max", "8:0 x=1"),
            ("io.weight", "8 5"),
        ] {
            let mut resources = Resources::default();
            resources.unified.insert(file.into(), value.into());
            let refused = of(&resources, InForce::default());
            assert!(
                matches!(refused, Err(Error::OutOfRange { .. })),
                "{file}={value}"
            );
        }
    }
}
