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
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
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

/// What the container's weights say, or that there is no such file.
fn weights(bundle: &Bundle) -> Option<String> {
    let files = match is_unified() {
        true => &["io.bfq.weight", "io.weight"][..],
        false => &["blkio.bfq.weight_device", "blkio.weight_device"],
    };
    let place = place(bundle, "blkio");
    files
        .iter()
        .find_map(|file| fs::read_to_string(place.join(file)).ok())
}

/// A disk that has weights while this lives: with the cost model any, else one that BFQ schedules. If
/// there is none, it schedules a loop device meanwhile that nobody uses.
struct Weighted {
    number: String,
    /// Where to write what, afterwards.
    undo: Option<(PathBuf, String)>,
}

impl Weighted {
    fn find() -> Option<Self> {
        let number = |disk: &Path| {
            let text = fs::read_to_string(disk.join("dev")).unwrap();
            text.trim().to_owned()
        };
        let model = Path::new(CGROUPS).join("io.cost.qos");
        let vda = Path::new("/sys/block/vda");
        if model.exists() && vda.exists() {
            let number = number(vda);
            fs::write(&model, format!("{number} enable=1")).unwrap();
            let undo = Some((model, format!("{number} enable=0")));
            return Some(Self { number, undo });
        }
        let disks = fs::read_dir("/sys/block").unwrap().flatten();
        let disks: Vec<_> = disks.map(|disk| disk.path()).collect();
        let scheduler = |disk: &Path| {
            let text = fs::read_to_string(disk.join("queue/scheduler")).unwrap_or_default();
            let end = text
                .split('[')
                .nth(1)
                .and_then(|rest| rest.split(']').next());
            end.unwrap_or_default().to_owned()
        };
        if let Some(disk) = disks.iter().find(|disk| scheduler(disk) == "bfq") {
            let number = number(disk);
            return Some(Self { number, undo: None });
        }
        let is_unused = |disk: &Path| {
            let is_loop = disk
                .file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("loop");
            is_loop && fs::read_to_string(disk.join("size")).unwrap().trim() == "0"
        };
        let disk = disks.iter().rfind(|disk| is_unused(disk))?;
        let file = disk.join("queue/scheduler");
        let before = scheduler(disk);
        fs::write(&file, "bfq").ok()?;
        let undo = Some((file, before));
        Some(Self {
            number: number(disk),
            undo,
        })
    }
}

impl Drop for Weighted {
    fn drop(&mut self) {
        if let Some((file, text)) = &self.undo {
            fs::write(file, text).unwrap();
        }
    }
}

/// By BFQ in its own numbers, or by the cost model of v2, which has a range of its own and is
/// switched on for the disk meanwhile.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn weights_of_block_devices() {
    let _leaks = Leaks::watch();
    let plain = Bundle::new("no-weight", "exec sleep 600");
    assert_eq!(plain.leave("run -d one").code(), 0);
    let there = weights(&plain).is_some();
    plain.run("delete --force one").success();
    let bundle = limited("weight", json!({"blockIO": {"weight": 500}}));
    if !there {
        return is_refused(&bundle, "linux.resources.blockIO.weight");
    }
    let model = Path::new(CGROUPS).join("io.cost.qos");
    let scaled = |weight: u32| match model.exists() {
        true => 1 + (weight - 10) * 9999 / 990,
        false => weight,
    };
    let default = |weight| Some(format!("default {}\n", scaled(weight)));
    assert_eq!(bundle.leave("run -d one").code(), 0);
    assert_eq!(weights(&bundle), default(500));
    bundle.run("update --blkio-weight 10 one").success();
    assert_eq!(weights(&bundle), default(10));
    bundle.run("delete --force one").success();
    let Some(weighted) = Weighted::find() else {
        return support::lacks("disk with BFQ or the cost model");
    };
    let disk = &weighted.number;
    let (major, minor) = disk.split_once(':').unwrap();
    let number = |part: &str| part.parse::<u32>().unwrap();
    let device = |weight: &str| {
        let device = json!({"major": number(major), "minor": number(minor), weight: 200});
        limited("weights", json!({"blockIO": {"weightDevice": [device]}}))
    };
    let bundle = device("weight");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let expected = format!("default 100\n{disk} {}\n", scaled(200));
    assert_eq!(weights(&bundle), Some(expected));
    bundle.run("delete --force one").success();
    // CFQ, which alone had these, is gone since Linux 5.0.
    let leaf = limited("leaf", json!({"blockIO": {"leafWeight": 500}}));
    is_refused(&leaf, "linux.resources.blockIO.leafWeight");
    is_refused(
        &device("leafWeight"),
        "linux.resources.blockIO.weightDevice",
    );
}

/// From a document, which has more than there are flags for.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn limits_of_a_disk_are_changed_by_update() {
    let _leaks = Leaks::watch();
    let Ok(disk) = fs::read_to_string("/sys/block/vda/dev") else {
        return support::lacks("disk /dev/vda");
    };
    let (major, minor) = disk.trim().split_once(':').unwrap();
    let number = |part: &str| part.parse::<u32>().unwrap();
    let rates = |operations: u32, bytes: u32| {
        let device =
            |rate: u32| json!([{"major": number(major), "minor": number(minor), "rate": rate}]);
        json!({"blockIO": {
            "throttleReadIOPSDevice": device(operations), "throttleWriteBpsDevice": device(bytes),
        }})
    };
    let bundle = limited("disk", rates(1001, 1_000_001));
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let mut update = bundle.command(["update", "--resources", "-", "one"]);
    let changed = rates(1003, 1_000_003).to_string();
    support::run_with_input(&mut update, changed.as_bytes()).success();
    let disk = disk.trim();
    let files = match is_unified() {
        true => vec![(
            "io.max",
            format!("{disk} rbps=max wbps=1000003 riops=1003 wiops=max\n"),
        )],
        false => vec![
            ("blkio.throttle.read_iops_device", format!("{disk} 1003\n")),
            (
                "blkio.throttle.write_bps_device",
                format!("{disk} 1000003\n"),
            ),
        ],
    };
    let place = place(&bundle, "blkio");
    for (file, expected) in files {
        let text = fs::read_to_string(place.join(file)).unwrap();
        assert_eq!(text, expected, "{file}");
    }
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
    // It does not keep the number: what can be seen is that the file is written to.
    let file = place(&kernel, "memory").join("memory.kmem.limit_in_bytes");
    let watch = inotify::init(CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&watch, &file, WatchFlags::MODIFY).unwrap();
    let mut space = [MaybeUninit::uninit(); 512];
    let mut events = inotify::Reader::new(watch, &mut space);
    assert!(events.next().is_err(), "nothing is written yet");
    let limits = "{\"memory\": {\"kernel\": 33554432}}";
    let mut update = kernel.command(["update", "--resources", "-", "one"]);
    support::run_with_input(&mut update, limits.as_bytes()).success();
    assert!(events.next().is_ok());
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
