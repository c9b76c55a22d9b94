//! The table of the crate page: what is written for each limit, by cgroup v1, by v2, and to systemd.

use super::properties;
use super::wire::Value;
use crate::writes::Write;
use crate::{DeviceWeight, Error, HugepageLimit, Limit, RdmaLimit, Resources, Throttle, v1, v2};

const PAGE: &str = include_str!("../../README.md");

/// Rows whose cells are in words.
const IN_WORDS: [&str; 2] = ["`memory.check_before_update`", "`devices`"];

const DEVICE: (u32, u32) = (8, 16);

fn throttle(rate: u64) -> Vec<Throttle> {
    let (major, minor) = DEVICE;
    vec![Throttle { major, minor, rate }]
}

type Row = (&'static str, fn(&mut Resources));

const MEMORY: [Row; 8] = [
    ("`memory.max_bytes` 64 MiB", |all| {
        all.memory.max_bytes = Some(Limit::Of(64 << 20));
    }),
    ("`memory.max_with_swap_bytes` 96 MiB with that", |all| {
        all.memory.max_bytes = Some(Limit::Of(64 << 20));
        all.memory.max_with_swap_bytes = Some(Limit::Of(96 << 20));
    }),
    ("`memory.reservation_bytes` 32 MiB", |all| {
        all.memory.reservation_bytes = Some(Limit::Of(32 << 20));
    }),
    ("`memory.kernel_bytes` 1 MiB", |all| {
        all.memory.kernel_bytes = Some(Limit::Of(1 << 20));
    }),
    ("`memory.kernel_tcp_bytes` 1 MiB", |all| {
        all.memory.kernel_tcp_bytes = Some(Limit::Of(1 << 20));
    }),
    ("`memory.swappiness` 10", |all| {
        all.memory.swappiness = Some(10)
    }),
    ("`memory.disable_oom_killer`", |all| {
        all.memory.disable_oom_killer = Some(true)
    }),
    ("`memory.use_hierarchy`", |all| {
        all.memory.use_hierarchy = Some(true)
    }),
];

const CPU: [Row; 9] = [
    ("`cpu.shares` 512", |all| all.cpu.shares = Some(512)),
    ("`cpu.weight` 250", |all| all.cpu.weight = Some(250)),
    ("`cpu.quota_us` 25000, `cpu.period_us` 50000", |all| {
        all.cpu.quota_us = Some(Limit::Of(25_000));
        all.cpu.period_us = Some(50_000);
    }),
    ("`cpu.burst_us` 5000", |all| all.cpu.burst_us = Some(5000)),
    ("`cpu.realtime_runtime_us` 5000", |all| {
        all.cpu.realtime_runtime_us = Some(5000)
    }),
    ("`cpu.realtime_period_us` 50000", |all| {
        all.cpu.realtime_period_us = Some(50_000)
    }),
    ("`cpu.cpus` 0-2", |all| all.cpu.cpus = Some("0-2".into())),
    ("`cpu.mems` 0", |all| all.cpu.mems = Some("0".into())),
    ("`cpu.idle`", |all| all.cpu.idle = Some(true)),
];

const OTHERS: [Row; 15] = [
    ("`pids_max` 64", |all| all.pids_max = Some(Limit::Of(64))),
    ("`pids_max` 0", |all| all.pids_max = Some(Limit::Of(0))),
    ("`pids_max` none", |all| all.pids_max = Some(Limit::Max)),
    ("`io.weight` 505", |all| all.io.weight = Some(505)),
    ("`io.leaf_weight` 505", |all| all.io.leaf_weight = Some(505)),
    ("`io.weight_devices` 505", |all| {
        let (major, minor) = DEVICE;
        let (weight, leaf_weight) = (Some(505), None);
        all.io.weight_devices = vec![DeviceWeight {
            major,
            minor,
            weight,
            leaf_weight,
        }];
    }),
    ("`io.read_bps` 1 MiB", |all| {
        all.io.read_bps = throttle(1 << 20)
    }),
    ("`io.write_bps` 1 MiB", |all| {
        all.io.write_bps = throttle(1 << 20)
    }),
    ("`io.read_iops` 100", |all| all.io.read_iops = throttle(100)),
    ("`io.write_iops` none", |all| {
        all.io.write_iops = throttle(0)
    }),
    ("`hugepages` 4 MiB", |all| {
        let page_size = "2MB".into();
        all.hugepages = vec![HugepageLimit {
            page_size,
            max_bytes: 4 << 20,
        }];
    }),
    ("`rdma` 3 handles", |all| {
        let device = "mlx5_1".into();
        let (hca_handles, hca_objects) = (Some(3), None);
        all.rdma = vec![RdmaLimit {
            device,
            hca_handles,
            hca_objects,
        }];
    }),
    ("`network.class_id` 5", |all| all.network.class_id = Some(5)),
    ("`network.priorities` lo 5", |all| {
        all.network.priorities = vec![("lo".into(), 5)]
    }),
    ("`unified` memory.high=max", |all| {
        all.unified.insert("memory.high".into(), "max".into());
    }),
];

fn cell(parts: Result<Vec<String>, Error>) -> String {
    match parts {
        Err(_) => "refused".to_owned(),
        Ok(parts) if parts.is_empty() => "–".to_owned(),
        Ok(parts) => {
            let quoted: Vec<_> = parts.iter().map(|part| format!("`{part}`")).collect();
            quoted.join(", ")
        }
    }
}

fn files(writes: Result<Vec<Write>, Error>) -> String {
    let line = |write: Write| format!("{} {}", write.file, write.value);
    cell(writes.map(|writes| writes.into_iter().map(line).collect()))
}

fn words(value: &Value) -> String {
    match value {
        Value::Uint64(u64::MAX) => "infinity".to_owned(),
        Value::Uint64(number) => number.to_string(),
        Value::Byte(bits) => format!("{bits:#b}"),
        Value::Str(text) => text.clone(),
        Value::Array(_, parts) | Value::Struct(parts) => {
            parts.iter().map(words).collect::<Vec<_>>().join(" ")
        }
        other => format!("{other:?}"),
    }
}

fn row((name, change): &Row) -> String {
    let mut resources = Resources::default();
    change(&mut resources);
    let in_force = v2::InForce::default();
    let of_v1 = match resources.unified.is_empty() {
        true => files(v1::writes(&resources, false)),
        // Whichever tree the controller is in decides that, before.
        false => "refused".to_owned(),
    };
    let of_v2 = files(v2::writes(&resources, &in_force));
    let told = properties::of(&resources, in_force).map(|all| {
        let one =
            |property: &super::Property| format!("{}={}", property.name(), words(property.value()));
        all.iter().map(one).collect()
    });
    format!("| {name} | {of_v1} | {of_v2} | {} |", cell(told))
}

/// Row by row, in this order, and no other.
#[test]
fn the_page_says_what_is_written() {
    let rows = [&MEMORY[..], &CPU, &OTHERS].concat();
    let expected: Vec<String> = rows.iter().map(row).collect();
    let of_limits = |line: &&str| line.starts_with("| `");
    let in_words = |line: &&str| IN_WORDS.iter().any(|name| line.contains(name));
    // What comes behind the fourth cell is evidence, which tidy looks at.
    let cells = |line: &str| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        format!("| {} |", cells[1..5].join(" | "))
    };
    let found: Vec<String> = PAGE
        .lines()
        .filter(of_limits)
        .filter(|line| !in_words(line))
        .map(cells)
        .collect();
    assert!(
        found == expected,
        "the table has to be\n{}",
        expected.join("\n")
    );
}
