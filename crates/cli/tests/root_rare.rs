//! Limits that few kernels have: in their files where they are, and elsewhere an error that names
//! the property, with nothing left.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::Leaks;
use support::bundle::Bundle;

const CGROUPS: &str = "/sys/fs/cgroup";

fn is_unified() -> bool {
    Path::new(CGROUPS).join("cgroup.controllers").exists()
}

/// Where the container's cgroup is: in the tree of this controller of v1, or in that of v2.
fn place(bundle: &Bundle, controller: &str) -> PathBuf {
    let name = bundle.config["linux"]["cgroupsPath"].as_str().unwrap();
    let pid = bundle.state("one")["pid"].to_string();
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let own = text.lines().find(|line| {
        let mut words = line.split(':').skip(1);
        let controllers = words.next().unwrap_or_default();
        let is_its = match is_unified() {
            true => controllers.is_empty(),
            false => controllers.split(',').any(|one| one == controller),
        };
        is_its && line.ends_with(name)
    });
    let path = own.unwrap().splitn(3, ':').nth(2).unwrap();
    let tree = if is_unified() { "" } else { controller };
    Path::new(CGROUPS)
        .join(tree)
        .join(path.trim_start_matches('/'))
}

fn limited(name: &str, resources: Value) -> Bundle {
    let mut bundle = Bundle::new(name, "exec sleep 600");
    bundle.config["linux"]["resources"] = resources;
    bundle
}

#[track_caller]
fn is_refused(bundle: &Bundle, property: &str) {
    let outcome = bundle.leave("run -d one");
    assert_eq!(outcome.code(), 1, "{property}: {outcome:?}");
    assert!(outcome.stderr.contains(property), "{property}: {outcome:?}");
    assert_eq!(bundle.entries(), [""; 0]);
}

/// Scaled to the range of the cost model, which is switched on for the disk meanwhile.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn weights_of_block_devices() {
    let _leaks = Leaks::watch();
    let weight = json!({"blockIO": {"weight": 500}});
    let bundle = limited("weight", weight);
    let model = Path::new(CGROUPS).join("io.cost.qos");
    let disk = fs::read_to_string("/sys/block/vda/dev");
    let (true, true, Ok(disk)) = (is_unified(), model.exists(), disk) else {
        return is_refused(&bundle, "linux.resources.blockIO");
    };
    let disk = disk.trim();
    fs::write(&model, format!("{disk} enable=1")).unwrap();
    let number = |part: &str| part.parse::<u32>().unwrap();
    let (major, minor) = disk.split_once(':').unwrap();
    let device = json!({"major": number(major), "minor": number(minor), "weight": 200});
    let bundle = limited(
        "weights",
        json!({"blockIO": {"weight": 500, "weightDevice": [device]}}),
    );
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let text = fs::read_to_string(place(&bundle, "io").join("io.weight")).unwrap();
    assert_eq!(text, format!("default 4950\n{disk} 1920\n"));
    bundle.run("update --blkio-weight 10 one").success();
    let text = fs::read_to_string(place(&bundle, "io").join("io.weight")).unwrap();
    assert_eq!(text, format!("default 1\n{disk} 1920\n"));
    bundle.run("delete --force one").success();
    fs::write(&model, format!("{disk} enable=0")).unwrap();
    // CFQ, which alone had these, is gone since Linux 5.0.
    let leaf = limited("leaf", json!({"blockIO": {"leafWeight": 500}}));
    is_refused(&leaf, "linux.resources.blockIO.leafWeight");
}

/// v1 alone: what kernels of today make of it is nothing, and no error.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn memory_of_the_kernel_and_of_what_is_below() {
    let _leaks = Leaks::watch();
    let flat = limited("flat", json!({"memory": {"useHierarchy": false}}));
    is_refused(&flat, "linux.resources.memory.useHierarchy");
    let kernel = limited("kernel", json!({"memory": {"kernel": 67_108_864}}));
    if is_unified() {
        return is_refused(&kernel, "linux.resources.memory.kernel");
    }
    assert_eq!(kernel.leave("run -d one").code(), 0);
    assert!(
        place(&kernel, "memory")
            .join("memory.kmem.limit_in_bytes")
            .exists()
    );
    let deep = limited("deep", json!({"memory": {"useHierarchy": true}}));
    assert_eq!(deep.leave("run -d one").code(), 0);
    let text = fs::read_to_string(place(&deep, "memory").join("memory.use_hierarchy"));
    assert_eq!(text.unwrap(), "1\n");
}

/// Neither this machine nor the virtual one has such hardware, or such a tree.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn what_the_machine_has_not_is_refused_by_its_name() {
    let _leaks = Leaks::watch();
    for (resources, property) in [
        (
            json!({"rdma": {"mlx5_0": {"hcaHandles": 1}}}),
            "linux.resources.rdma",
        ),
        (
            json!({"network": {"classID": 1_048_577}}),
            "linux.resources.network.classID",
        ),
        (
            json!({"network": {"priorities": [{"name": "lo", "priority": 3}]}}),
            "linux.resources.network.priorities",
        ),
    ] {
        is_refused(&limited("absent", resources), property);
    }
    let mut bundle = Bundle::new("cache", "true");
    bundle.config["linux"]["intelRdt"] = json!({"closID": "crab"});
    is_refused(&bundle, "linux.intelRdt");
}
