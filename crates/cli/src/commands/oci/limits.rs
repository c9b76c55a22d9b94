//! `update`: other limits for a container that is there.

use std::io::{Read, stdin};
use std::path::Path;

use anyhow::{Context, bail};
use clap::Parser;
use crabcan_runtime::spec::{BlockIo, CpuLimits, MemoryLimits, PidsLimit, Resources};

use super::container::load;
use crate::global::Global;
use crate::limits::bytes;

/// Change the limits of a container
///
/// BYTES may have a unit: 64M, 64MB and 64MiB are the same.
#[derive(Parser)]
pub(super) struct Update {
    /// The limits as JSON, as linux.resources of a configuration; - for standard input
    #[arg(short, long, value_name = "FILE")]
    resources: Option<String>,
    /// The weight on block devices, 10 to 1000
    #[arg(long, value_name = "N")]
    blkio_weight: Option<u16>,
    /// The length of a period of processor time in microseconds
    #[arg(long, value_name = "US")]
    cpu_period: Option<u64>,
    /// The processor time in each period in microseconds; -1 for no limit
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    cpu_quota: Option<i64>,
    /// The processor time beyond the quota that may be saved up, in microseconds
    #[arg(long, value_name = "US")]
    cpu_burst: Option<u64>,
    /// The weight on processors, 2 to 262144
    #[arg(long, visible_alias = "cpu-shares", value_name = "N")]
    cpu_share: Option<u64>,
    /// The length of a real-time period in microseconds (cgroup v1)
    #[arg(long, value_name = "US")]
    cpu_rt_period: Option<u64>,
    /// The real-time processor time in each period in microseconds (cgroup v1)
    #[arg(long, value_name = "US", allow_hyphen_values = true)]
    cpu_rt_runtime: Option<i64>,
    /// 1 to run only when nothing else wants to
    #[arg(long, value_name = "N")]
    cpu_idle: Option<i64>,
    /// The processors, as a list
    #[arg(long, value_name = "LIST")]
    cpuset_cpus: Option<String>,
    /// The memory nodes, as a list
    #[arg(long, value_name = "LIST")]
    cpuset_mems: Option<String>,
    /// The memory in bytes; -1 for no limit
    #[arg(short, long, value_name = "BYTES", allow_hyphen_values = true, value_parser = memory)]
    memory: Option<i64>,
    /// The memory that is left to it when memory gets short, in bytes
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, value_parser = memory)]
    memory_reservation: Option<i64>,
    /// Memory and swap together, in bytes; -1 for no limit
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, value_parser = memory)]
    memory_swap: Option<i64>,
    /// The kernel's memory in bytes (cgroup v1)
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, value_parser = memory)]
    kernel_memory: Option<i64>,
    /// The kernel's memory for TCP in bytes (cgroup v1)
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true, value_parser = memory)]
    kernel_memory_tcp: Option<i64>,
    /// The number of processes; -1 for no limit
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pids_limit: Option<i64>,
    /// The share of the L3 cache, as linux.intelRdt.l3CacheSchema of a configuration, for a container
    /// that has such a share
    #[arg(long, value_name = "LINE")]
    l3_cache_schema: Option<String>,
    /// The share of memory bandwidth, as linux.intelRdt.memBwSchema
    #[arg(long, value_name = "LINE")]
    mem_bw_schema: Option<String>,
    /// The name of the container
    #[arg(value_name = "ID")]
    id: String,
}

pub(super) fn update(global: &Global, args: &Update) -> anyhow::Result<u8> {
    let resources = match &args.resources {
        Some(from) => Resources::from_json(&document(from)?)?,
        None => args.limits(),
    };
    let caches = args.l3_cache_schema.is_some() || args.mem_bw_schema.is_some();
    let limits = resources != Resources::default();
    if !limits && !caches {
        bail!("no limit is given");
    }
    let container = load(global, &args.id)?;
    if caches {
        // First, since it is what a machine may not have: then nothing is changed.
        container.update_intel_rdt(
            args.l3_cache_schema.as_deref(),
            args.mem_bw_schema.as_deref(),
        )?;
    }
    if limits {
        container.update(&resources)?;
    }
    Ok(0)
}

/// A number of bytes, with a unit perhaps, or -1 for no limit.
fn memory(text: &str) -> anyhow::Result<i64> {
    if text == "-1" {
        return Ok(-1);
    }
    let upper = text.to_ascii_uppercase();
    let unit = upper.strip_suffix('B').unwrap_or(&upper);
    let unit = unit.strip_suffix('I').unwrap_or(unit);
    bytes(unit)?.try_into().context("is too much")
}

fn document(from: &str) -> anyhow::Result<Vec<u8>> {
    if from == "-" {
        let mut text = Vec::new();
        let read = stdin().lock().read_to_end(&mut text);
        read.context("read the limits from standard input")?;
        return Ok(text);
    }
    let path = Path::new(from);
    std::fs::read(path).with_context(|| format!("read the limits {}", path.display()))
}

impl Update {
    fn limits(&self) -> Resources {
        let memory = MemoryLimits {
            limit: self.memory,
            reservation: self.memory_reservation,
            swap: self.memory_swap,
            kernel: self.kernel_memory,
            kernel_tcp: self.kernel_memory_tcp,
            ..MemoryLimits::default()
        };
        let cpu = CpuLimits {
            shares: self.cpu_share,
            quota: self.cpu_quota,
            burst: self.cpu_burst,
            period: self.cpu_period,
            realtime_runtime: self.cpu_rt_runtime,
            realtime_period: self.cpu_rt_period,
            cpus: self.cpuset_cpus.clone(),
            mems: self.cpuset_mems.clone(),
            idle: self.cpu_idle,
        };
        let block_io = BlockIo {
            weight: self.blkio_weight,
            ..BlockIo::default()
        };
        Resources {
            memory: Some(memory).filter(|it| *it != MemoryLimits::default()),
            cpu: Some(cpu).filter(|it| *it != CpuLimits::default()),
            pids: self
                .pids_limit
                .map(|limit| PidsLimit { limit: Some(limit) }),
            block_io: Some(block_io).filter(|it| *it != BlockIo::default()),
            ..Resources::default()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_is_absent() {
        let args = Update::try_parse_from(["update", "--memory", "-1", "one", "--cpu-quota=5000"]);
        let limits = args.unwrap().limits();
        assert_eq!(limits.memory.unwrap().limit, Some(-1));
        let cpu = limits.cpu.unwrap();
        assert_eq!(
            (cpu.quota, cpu.period, cpu.shares),
            (Some(5000), None, None)
        );
        assert!(limits.pids.is_none() && limits.block_io.is_none());
    }

    #[test]
    fn memory_may_have_a_unit() {
        for (text, expected) in [
            ("-1", -1),
            ("0", 0),
            ("4096", 4096),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("64MiB", 64 << 20),
            ("100b", 100),
        ] {
            assert_eq!(memory(text).unwrap(), expected, "{text}");
        }
        for wrong in ["", "-2", "b", "1.5G", "1X", "99999999T"] {
            assert!(memory(wrong).is_err(), "{wrong}");
        }
    }
}
