//! Each limit of `config.json` as the cgroups take it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use super::*;

fn read(text: &str) -> Result<Resources, Error> {
    let wanted = spec::Resources::from_json(text.as_bytes()).unwrap();
    resources("linux.resources", &wanted)
}

fn refused(text: &str, name: &str) {
    match read(text) {
        Err(Error::Invalid { field, .. }) => assert_eq!(field, format!("linux.resources.{name}")),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn nothing_is_limited_by_nothing() {
    assert_eq!(read("{}").unwrap(), Resources::default());
    let empty = r#"{"memory":{},"cpu":{},"pids":{},"blockIO":{},"network":{},"devices":[]}"#;
    assert_eq!(read(empty).unwrap(), Resources::default());
}

/// docker's `update` names every limit of memory, those with 0 that nobody has set.
#[test]
fn no_memory_is_no_limit_of_memory() {
    let text = r#"{"memory":{"limit":0,"reservation":0,"swap":0,"kernel":0,"kernelTCP":0}}"#;
    assert_eq!(read(text).unwrap(), Resources::default());
}

/// -1 is no limit, absent is none either. No process is the first one alone.
#[test]
fn memory_and_processes() {
    let text = r#"{"memory":{"limit":1024,"reservation":512,"swap":-1,"kernel":7,"kernelTCP":8,
        "swappiness":60,"disableOOMKiller":false,"useHierarchy":true,"checkBeforeUpdate":true},
        "pids":{"limit":0}}"#;
    let read = read(text).unwrap();
    let expected = Memory {
        max_bytes: Some(Limit::Of(1024)),
        reservation_bytes: Some(Limit::Of(512)),
        max_with_swap_bytes: Some(Limit::Max),
        kernel_bytes: Some(Limit::Of(7)),
        kernel_tcp_bytes: Some(Limit::Of(8)),
        swappiness: Some(60),
        disable_oom_killer: Some(false),
        use_hierarchy: Some(true),
        check_before_update: true,
    };
    assert_eq!(read.memory, expected);
    assert_eq!(read.pids_max, Some(Limit::Of(1)));
}

#[test]
fn processors() {
    let text = r#"{"cpu":{"shares":512,"quota":-1,"period":100000,"burst":1,"realtimeRuntime":2,
        "realtimePeriod":3,"cpus":"0-1","mems":"","idle":1}}"#;
    let expected = Cpu {
        shares: Some(512),
        weight: None,
        quota_us: Some(Limit::Max),
        period_us: Some(100_000),
        burst_us: Some(1),
        realtime_runtime_us: Some(2),
        realtime_period_us: Some(3),
        cpus: Some("0-1".into()),
        mems: None,
        idle: Some(true),
    };
    assert_eq!(read(text).unwrap().cpu, expected);
    assert_eq!(
        read(r#"{"cpu":{"shares":0,"quota":0,"period":0}}"#)
            .unwrap()
            .cpu,
        Cpu::default()
    );
    refused(r#"{"cpu":{"idle":2}}"#, "cpu.idle");
}

#[test]
fn block_devices() {
    let text = r#"{"blockIO":{"weight":10,"leafWeight":20,
        "weightDevice":[{"major":8,"minor":1,"weight":30}],
        "throttleReadBpsDevice":[{"major":8,"minor":2,"rate":1}],
        "throttleWriteBpsDevice":[{"major":8,"minor":3,"rate":2}],
        "throttleReadIOPSDevice":[{"major":8,"minor":4,"rate":3}],
        "throttleWriteIOPSDevice":[{"major":8,"minor":5,"rate":4}]}}"#;
    let throttle = |minor, rate| {
        let major = 8;
        vec![Throttle { major, minor, rate }]
    };
    let expected = Io {
        weight: Some(10),
        leaf_weight: Some(20),
        weight_devices: vec![DeviceWeight {
            major: 8,
            minor: 1,
            weight: Some(30),
            leaf_weight: None,
        }],
        read_bps: throttle(2, 1),
        write_bps: throttle(3, 2),
        read_iops: throttle(4, 3),
        write_iops: throttle(5, 4),
    };
    assert_eq!(read(text).unwrap().io, expected);
    refused(
        r#"{"blockIO":{"weightDevice":[{"major":8,"minor":1}]}}"#,
        "blockIO.weightDevice[0]",
    );
    refused(
        r#"{"blockIO":{"throttleReadBpsDevice":[{"major":8,"minor":0},{"major":-1}]}}"#,
        "blockIO.throttleReadBpsDevice[1].major",
    );
}

#[test]
fn pages_rdma_network_and_files() {
    let text = r#"{"hugepageLimits":[{"pageSize":"2MB","limit":4}],
        "rdma":{"mlx5_1":{"hcaHandles":1}},
        "network":{"classID":5,"priorities":[{"name":"eth0","priority":6}]},
        "unified":{"memory.high":"7","made.up":"8"}}"#;
    let read = read(text).unwrap();
    let size = HugepageLimit {
        page_size: "2MB".into(),
        max_bytes: 4,
    };
    assert_eq!(read.hugepages, [size]);
    let device = RdmaLimit {
        device: "mlx5_1".into(),
        hca_handles: Some(1),
        hca_objects: None,
    };
    assert_eq!(read.rdma, [device]);
    assert_eq!(read.network.class_id, Some(5));
    assert_eq!(read.network.priorities, [("eth0".to_owned(), 6)]);
    assert_eq!(read.unified.len(), 2);
    for size in ["2", "MB", "0MB", "2mb", "2TB", "2KBMB", "-2MB"] {
        let text = format!(r#"{{"hugepageLimits":[{{"pageSize":"{size}"}}]}}"#);
        refused(&text, "hugepageLimits[0].pageSize");
    }
    refused(r#"{"rdma":{"x":{}}}"#, r#"rdma["x"]"#);
    for file in ["../memory.max", "a/b.c", "", ".", "..", "nodot"] {
        let text = format!(r#"{{"unified":{{"{file}":"1"}}}}"#);
        refused(&text, &format!("unified[\"{file}\"]"));
    }
}

#[test]
fn rules_of_devices_keep_their_order_and_the_default_ones_come_last() {
    let text = r#"{"devices":[{"allow":false,"access":"rwm"},
        {"allow":true,"type":"c","major":10,"minor":229,"access":"rw"},
        {"allow":true,"type":"b","major":8,"minor":-1}]}"#;
    let rules = read(text).unwrap().devices.unwrap();
    assert_eq!(rules.len(), 3 + ALWAYS.len());
    let rule = |allow, kind, major, minor, access: &str| DeviceRule {
        allow,
        kind,
        major,
        minor,
        access: DeviceAccess::from_letters(access).unwrap(),
    };
    let expected = [
        rule(false, DeviceKind::All, None, None, "rwm"),
        rule(true, DeviceKind::Char, Some(10), Some(229), "rw"),
        rule(true, DeviceKind::Block, Some(8), None, "rwm"),
    ];
    assert_eq!(rules[..3], expected);
    assert_eq!(
        rules.last(),
        Some(&rule(true, DeviceKind::Char, Some(136), None, "rwm"))
    );
    refused(r#"{"devices":[{"type":"x"}]}"#, "devices[0].type");
    refused(r#"{"devices":[{},{"access":"rx"}]}"#, "devices[1].access");
    refused(r#"{"devices":[{"major":-2}]}"#, "devices[0].major");
}

#[test]
fn an_ordinary_user_is_told_that_devices_are_not_limited() {
    let wanted = spec::Resources::from_json(br#"{"devices":[{"allow":false}]}"#).unwrap();
    let mut host = Host {
        uid: 1000,
        gid: 1000,
        privileged: false,
        capabilities: crabcan_caps::CapabilitySet::EMPTY,
        setgroups: true.into(),
        cgroup_trees: Vec::new().into(),
        release: "6.1".into(),
    };
    let mut warnings = Vec::new();
    let limits = of_container(Some(&wanted), &host, &mut warnings).unwrap();
    assert_eq!(limits, Resources::default());
    assert_eq!(warnings.len(), 1);
    host.privileged = true;
    let limits = of_container(Some(&wanted), &host, &mut warnings).unwrap();
    assert!(limits.devices.is_some() && warnings.len() == 1);
}
