#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use super::*;
use crate::fake::Fake;
use crate::{HugepageLimit, Io, Throttle};

fn lines(writes: Vec<Write>) -> Vec<String> {
    let line = |write: Write| format!("{} {}", write.file, write.value);
    writes.into_iter().map(line).collect()
}

fn on_v1(resources: &Resources) -> Result<Vec<String>, Error> {
    v1::writes(resources, false).map(lines)
}

fn on_v2(resources: &Resources, in_force: &v2::InForce) -> Result<Vec<String>, Error> {
    v2::writes(resources, in_force).map(lines)
}

fn resources(change: impl FnOnce(&mut Resources)) -> Resources {
    let mut resources = Resources::default();
    change(&mut resources);
    resources
}

#[test]
fn memory_with_swap_is_swap_alone_in_v2() {
    let both = resources(|all| {
        all.memory.max_bytes = Some(Limit::Of(100));
        all.memory.max_with_swap_bytes = Some(Limit::Of(150));
    });
    let none = v2::InForce::default();
    let expected = ["memory.swap.max 50", "memory.max 100"];
    assert_eq!(on_v2(&both, &none).unwrap(), expected);
    let expected = [
        "memory.limit_in_bytes 100",
        "memory.memsw.limit_in_bytes 150",
    ];
    assert_eq!(on_v1(&both).unwrap(), expected);
    // No limit of memory is none of both.
    let unlimited = resources(|all| all.memory.max_bytes = Some(Limit::Max));
    let expected = ["memory.limit_in_bytes -1", "memory.memsw.limit_in_bytes -1"];
    assert_eq!(on_v1(&unlimited).unwrap(), expected);
    // An update of the sum alone is about the limit that is in force.
    let sum = resources(|all| all.memory.max_with_swap_bytes = Some(Limit::Of(150)));
    let in_force = v2::InForce {
        memory_max: Some(Limit::Of(149)),
        ..v2::InForce::default()
    };
    assert_eq!(on_v2(&sum, &in_force).unwrap(), ["memory.swap.max 1"]);
    assert!(on_v2(&sum, &none).is_err());
    let less = resources(|all| {
        all.memory.max_bytes = Some(Limit::Of(200));
        all.memory.max_with_swap_bytes = Some(Limit::Of(150));
    });
    assert!(on_v2(&less, &none).is_err() && on_v1(&less).is_err());
}

#[test]
fn shares_and_weights() {
    for (shares, weight) in [
        (2, 1),
        (1024, 100),
        (262_144, 10_000),
        (1, 1),
        (300_000, 10_000),
    ] {
        assert_eq!(v2::weight_of_shares(shares), weight, "{shares}");
    }
    let weights: Vec<_> = (2..4096).map(v2::weight_of_shares).collect();
    assert!(weights.is_sorted());
    let hundred = resources(|all| all.cpu.weight = Some(100));
    assert_eq!(on_v1(&hundred).unwrap(), ["cpu.shares 1024"]);
}

#[test]
fn a_period_alone_keeps_the_quota() {
    let period = resources(|all| all.cpu.period_us = Some(50_000));
    let in_force = v2::InForce {
        cpu_quota: Some("20000".into()),
        ..v2::InForce::default()
    };
    assert_eq!(on_v2(&period, &in_force).unwrap(), ["cpu.max 20000 50000"]);
    let unlimited = resources(|all| all.cpu.quota_us = Some(Limit::Max));
    assert_eq!(on_v2(&unlimited, &in_force).unwrap(), ["cpu.max max"]);
    assert_eq!(on_v1(&unlimited).unwrap(), ["cpu.cfs_quota_us -1"]);
}

/// As with every runtime. A limit of processes is another matter.
#[test]
fn zeros_and_empty_lists_say_nothing() {
    let nothing = resources(|all| {
        all.cpu.shares = Some(0);
        all.cpu.quota_us = Some(Limit::Of(0));
        all.cpu.period_us = Some(0);
        all.cpu.realtime_runtime_us = Some(0);
        all.cpu.realtime_period_us = Some(0);
        all.cpu.cpus = Some(String::new());
        all.cpu.mems = Some(String::new());
        all.io.weight = Some(0);
        all.io.leaf_weight = Some(0);
    });
    assert_eq!(on_v1(&nothing).unwrap(), [""; 0]);
    assert_eq!(on_v2(&nothing, &v2::InForce::default()).unwrap(), [""; 0]);
}

/// The kernel refuses a weight for who is idle.
#[test]
fn who_is_idle_has_no_weight_in_v2() {
    let weighed = |idle| {
        let both = resources(|all| {
            all.cpu.idle = Some(idle);
            all.cpu.weight = Some(200);
        });
        on_v2(&both, &v2::InForce::default()).unwrap()
    };
    assert_eq!(weighed(true), ["cpu.idle 1"]);
    assert_eq!(weighed(false), ["cpu.idle 0", "cpu.weight 200"]);
}

#[test]
fn a_burst_fits_into_the_quota() {
    let with = |quota, burst| {
        resources(|all| {
            all.cpu.quota_us = Some(quota);
            all.cpu.burst_us = Some(burst);
        })
    };
    let none = v2::InForce::default();
    let above = with(Limit::Of(10_000), 10_001);
    for refused in [on_v1(&above), on_v2(&above, &none)] {
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("10001") && text.contains("burst"), "{text}");
    }
    for fits in [with(Limit::Of(10_000), 10_000), with(Limit::Max, 10_001)] {
        assert_eq!(on_v1(&fits).unwrap().len(), 2);
        assert_eq!(on_v2(&fits, &none).unwrap().len(), 2);
    }
}

/// Reservations of huge pages are counted since Linux 5.7; without that they are not limited. Without
/// the limit itself there would be none.
#[test]
fn a_file_of_newer_kernels_may_be_missing() {
    let pages = resources(|all| {
        all.hugepages = vec![HugepageLimit {
            page_size: "2MB".into(),
            max_bytes: 4096,
        }];
    });
    for (v2, file) in [
        (true, "hugetlb.2MB.max"),
        (false, "hugetlb.2MB.limit_in_bytes"),
    ] {
        let fake = Fake::new(file, &[(file, "")]);
        fake.cgroup(v2).apply(&pages).unwrap();
        assert_eq!(fake.read(file), "4096");
        let lacks = Fake::new(&format!("no-{file}"), &[]);
        let error = lacks.cgroup(v2).apply(&pages).unwrap_err();
        assert!(matches!(error, Error::Write { .. }), "{error}");
    }
}

#[test]
fn block_devices() {
    let io = resources(|all| {
        all.io = Io {
            weight: Some(505),
            read_bps: vec![Throttle {
                major: 8,
                minor: 0,
                rate: 1024,
            }],
            write_iops: vec![Throttle {
                major: 8,
                minor: 16,
                rate: 0,
            }],
            ..Io::default()
        };
    });
    let none = v2::InForce::default();
    let expected = [
        "io.weight 5000",
        "io.max 8:0 rbps=1024",
        "io.max 8:16 wiops=max",
    ];
    assert_eq!(on_v2(&io, &none).unwrap(), expected);
    let bfq = v2::InForce {
        has_bfq: true,
        ..none
    };
    assert_eq!(on_v2(&io, &bfq).unwrap()[0], "io.bfq.weight 505");
    assert_eq!(
        on_v1(&io).unwrap()[1],
        "blkio.throttle.read_bps_device 8:0 1024"
    );
}

#[test]
fn zero_and_none_are_limits_of_processes() {
    for (max, text) in [(Limit::Of(0), "pids.max 0"), (Limit::Max, "pids.max max")] {
        let pids = resources(|all| all.pids_max = Some(max));
        assert_eq!(on_v1(&pids).unwrap(), [text]);
        assert_eq!(on_v2(&pids, &v2::InForce::default()).unwrap(), [text]);
    }
}

/// What only v1 can is refused by v2 with its name, unless it asks for what is so anyway.
#[test]
fn what_v2_can_not() {
    let changes: [fn(&mut Resources); 8] = [
        |all| all.memory.kernel_bytes = Some(Limit::Of(1)),
        |all| all.memory.swappiness = Some(10),
        |all| all.memory.disable_oom_killer = Some(true),
        |all| all.memory.use_hierarchy = Some(false),
        |all| all.cpu.realtime_runtime_us = Some(1),
        |all| all.io.leaf_weight = Some(10),
        |all| all.network.class_id = Some(1),
        |all| all.network.priorities = vec![("lo".into(), 1)],
    ];
    for change in changes {
        let asked = resources(change);
        let error = on_v2(&asked, &v2::InForce::default()).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error}");
        assert!(!on_v1(&asked).unwrap().is_empty());
    }
    let anyway = resources(|all| {
        all.memory.kernel_bytes = Some(Limit::Max);
        all.memory.disable_oom_killer = Some(false);
        all.memory.use_hierarchy = Some(true);
    });
    assert!(on_v2(&anyway, &v2::InForce::default()).unwrap().is_empty());
}

#[test]
fn words_that_would_name_other_files_are_refused() {
    let size = resources(|all| {
        all.hugepages = vec![HugepageLimit {
            page_size: "../x".into(),
            max_bytes: 1,
        }];
    });
    assert!(on_v1(&size).is_err() && on_v2(&size, &v2::InForce::default()).is_err());
    for file in ["../cgroup.procs", "a/b.c", "nothing"] {
        let unified = resources(|all| {
            all.unified.insert(file.into(), "1".into());
        });
        assert!(on_v2(&unified, &v2::InForce::default()).is_err(), "{file}");
    }
}
