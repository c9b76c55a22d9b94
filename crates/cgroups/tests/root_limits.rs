//! What needs root: limits, as the kernel takes and refuses them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "each test program uses its own part of this")]
mod below;

use std::time::{Duration, Instant};

use below::{Below, Shell, lacks, resources};
use crabcan_cgroups::{Controller, DeviceRule, Error, Limit, Resources};

const SHORT: Duration = Duration::from_secs(5);

/// The limits are raised and lowered in every direction, and are then what the kernel says.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn limits_are_changed_up_and_down() {
    let below = Below::new("update");
    let with = |max: u64, both: u64| {
        resources(|all| {
            all.memory.max_bytes = Some(Limit::Of(max << 20));
            all.memory.max_with_swap_bytes = Some(Limit::Of(both << 20));
        })
    };
    let Some(cgroup) = below.cgroup(&with(32, 64)) else {
        return;
    };
    for (max, both) in [
        (32, 64),
        (128, 256),
        (16, 16),
        (64, 64),
        (8, 512),
        (512, 512),
        (4, 4),
    ] {
        cgroup.apply(&with(max, both)).unwrap();
        let found = cgroup.statistics().unwrap().memory_max_bytes;
        assert_eq!(found, Some(max << 20));
    }
    let unlimited = resources(|all| {
        all.memory.max_bytes = Some(Limit::Max);
        all.memory.max_with_swap_bytes = Some(Limit::Max);
    });
    cgroup.apply(&unlimited).unwrap();
    assert_eq!(cgroup.statistics().unwrap().memory_max_bytes, None);
    cgroup.remove(SHORT).unwrap();
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_limit_below_what_is_used_is_refused_if_that_was_asked_for() {
    let below = Below::new("usage");
    let limits = |max: u64, check: bool| {
        resources(|all| {
            all.memory.max_bytes = Some(Limit::Of(max));
            all.memory.check_before_update = check;
        })
    };
    let Some(cgroup) = below.cgroup(&limits(64 << 20, true)) else {
        return;
    };
    let shell = Shell::joined(
        &cgroup,
        "x=$(head -c 8000000 /dev/zero | tr '\\0' a); sleep 30",
    );
    let until = Instant::now() + SHORT;
    while cgroup.statistics().unwrap().memory_current_bytes.unwrap() < 8_000_000 {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(5));
    }
    let refused = cgroup.apply(&limits(4096, true)).unwrap_err();
    assert!(matches!(refused, Error::BelowUsage { .. }), "{refused}");
    cgroup.kill(SHORT).unwrap();
    shell.wait();
    cgroup.remove(SHORT).unwrap();
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn values_that_are_none_are_refused_by_their_names() {
    let below = Below::new("range");
    let cases: [(&str, Resources); 4] = [
        ("cpu.weight", resources(|all| all.cpu.weight = Some(10_001))),
        (
            "cpuset.cpus",
            resources(|all| all.cpu.cpus = Some("0;x".into())),
        ),
        (
            "cpuset.cpus",
            resources(|all| all.cpu.cpus = Some("4000".into())),
        ),
        (
            "memory",
            resources(|all| {
                all.memory.max_bytes = Some(Limit::Of(10));
                all.memory.max_with_swap_bytes = Some(Limit::Of(5));
            }),
        ),
    ];
    for (word, limits) in cases {
        let Ok(cgroup) = below.with_controllers(limits.controllers()) else {
            lacks(&format!("controller for {word}"));
            continue;
        };
        let error = cgroup.apply(&limits).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
        cgroup.remove(SHORT).unwrap();
    }
}

/// What can't be is told, and spoils nothing else.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn what_can_be_limited_is() {
    let below = Below::new("some");
    let limits = resources(|all| {
        all.cpu.cpus = Some("4000".into());
        all.cpu.weight = Some(10_001);
        all.pids_max = Some(Limit::Of(7));
    });
    let Ok(cgroup) = below.with_controllers(limits.controllers()) else {
        return lacks("controllers cpu, cpuset and pids");
    };
    let errors = cgroup.apply_what_can_be(&limits);
    let about: Vec<_> = errors.iter().filter_map(Error::controller).collect();
    assert_eq!(about, [Controller::Cpu, Controller::Cpuset], "{errors:?}");
    assert_eq!(cgroup.statistics().unwrap().pids_max, Some(7));
    cgroup.remove(SHORT).unwrap();
}

/// With files of every controller that this host has.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn everything_that_this_host_can_limit() {
    let below = Below::new("every");
    let all = resources(|all| {
        all.memory.max_bytes = Some(Limit::Of(256 << 20));
        all.memory.reservation_bytes = Some(Limit::Of(64 << 20));
        all.cpu.shares = Some(512);
        all.cpu.quota_us = Some(Limit::Of(50_000));
        all.cpu.period_us = Some(100_000);
        all.cpu.burst_us = Some(10_000);
        all.cpu.cpus = Some("0".into());
        all.cpu.mems = Some("0".into());
        all.pids_max = Some(Limit::Of(0));
        all.devices = Some(vec![DeviceRule::all(false)]);
        all.hugepages = vec![crabcan_cgroups::HugepageLimit {
            page_size: "2MB".into(),
            max_bytes: 4 << 20,
        }];
    });
    let here = below.hierarchy().controllers().unwrap();
    let lacking = all.controllers().without(here);
    let mut lacking_really = lacking;
    lacking_really.remove(Controller::Devices);
    if !lacking_really.is_empty() {
        lacks(&format!("controllers {lacking_really}"));
    }
    let limits = all.without(lacking_really);
    let cgroup = below.with_controllers(limits.controllers()).unwrap();
    cgroup.apply(&limits).unwrap();
    let statistics = cgroup.statistics().unwrap();
    assert_eq!(statistics.pids_max, Some(0));
    // Smaller in every way, and burst below a smaller quota.
    let mut less = limits.clone();
    less.cpu.quota_us = Some(Limit::Of(5_000));
    less.cpu.burst_us = Some(1_000);
    cgroup.apply(&less).unwrap();
    cgroup.apply(&limits).unwrap();
    assert!(cgroup.apply_what_can_be(&limits).is_empty());
    cgroup.remove(SHORT).unwrap();
}
