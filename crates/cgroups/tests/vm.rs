//! Limits that need cgroup v2 with every controller: as in the virtual machine, which has a disk for
//! them and huge pages.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "each test program uses its own part of this")]
mod below;

use std::process::Command;
use std::time::{Duration, Instant};

use below::{Below, Shell, elsewhere, file, is_elsewhere, resources};
use crabcan_cgroups::{
    Cgroup, Controller, DeviceWeight, Error, Hierarchy, HugepageLimit, Limit, Resources, Throttle,
};

const SHORT: Duration = Duration::from_secs(10);
const MIB: u64 = 1 << 20;

/// The numbers of the machine's disk.
fn disk() -> (u32, u32) {
    let numbers = std::fs::read_to_string("/sys/block/vda/dev").unwrap();
    let (major, minor) = numbers.trim().split_once(':').unwrap();
    (major.parse().unwrap(), minor.parse().unwrap())
}

fn throttle(rate: u64) -> Vec<Throttle> {
    let (major, minor) = disk();
    vec![Throttle { major, minor, rate }]
}

/// How long a script takes in a cgroup.
#[track_caller]
fn time(cgroup: &Cgroup, script: &str) -> Duration {
    let start = Instant::now();
    let status = Shell::joined(cgroup, script).wait();
    assert!(status.success(), "{script}: {status:?}");
    start.elapsed()
}

#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn one_tree_has_every_controller() {
    let below = Below::new("all");
    assert!(matches!(below.hierarchy(), Hierarchy::Unified(_)));
    let all = below.hierarchy().controllers().unwrap();
    for name in ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma"] {
        let controller = Controller::from_name(name).unwrap();
        assert!(all.contains(controller), "{name}: {all}");
    }
    let cgroup = below.with_controllers(all).unwrap();
    // Enabled on the way down, for the cgroup itself and not for children that it has none of.
    let directory = below.directory(&cgroup);
    assert_eq!(file(&directory, "cgroup.controllers"), {
        let above = directory.parent().unwrap();
        file(above, "cgroup.subtree_control")
    });
    assert_eq!(file(&directory, "cgroup.subtree_control"), "");
    cgroup.remove(SHORT).unwrap();
}

/// By bytes and by operations, each measured against the same work without a limit.
#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn reads_and_writes_of_a_disk_are_slowed_down() {
    let below = Below::new("io");
    let path = std::env::temp_dir().join(format!("crabcan-io-{}", std::process::id()));
    let read = "exec dd if=/dev/vda of=/dev/null iflag=direct bs=64k count=64";
    let write = format!(
        "exec dd if=/dev/zero of={} oflag=direct conv=notrunc bs=4k count=40",
        path.display()
    );
    let none = below.limited(&resources(|all| all.io.read_bps = throttle(0)));
    // Before it is measured: the file has its blocks.
    time(&none, &write);
    let (free_read, free_write) = (time(&none, read), time(&none, &write));
    none.remove(SHORT).unwrap();

    let limits = resources(|all| {
        all.io.read_bps = throttle(2 * MIB);
        all.io.write_iops = throttle(20);
    });
    let cgroup = below.limited(&limits);
    let directory = below.directory(&cgroup);
    let (major, minor) = disk();
    let expected = format!("{major}:{minor} rbps=2097152 wbps=max riops=max wiops=20");
    assert_eq!(file(&directory, "io.max"), expected);
    // 4 MiB at 2 MiB/s, and 40 writes at 20 a second; the first part of a second comes at once.
    let (slow_read, slow_write) = (time(&cgroup, read), time(&cgroup, &write));
    std::fs::remove_file(&path).unwrap();
    let least = Duration::from_millis(1500);
    assert!(
        slow_read > least.max(2 * free_read),
        "{slow_read:?}, {free_read:?}"
    );
    assert!(
        slow_write > least.max(2 * free_write),
        "{slow_write:?}, {free_write:?}"
    );

    // What the kernel has counted meanwhile, by its own file.
    let counted = cgroup.statistics().unwrap().io;
    let counted = counted
        .iter()
        .find(|it| (it.major, it.minor) == disk())
        .unwrap();
    assert!(
        counted.read_bytes >= 4 * MIB && counted.reads >= 32,
        "{counted:?}"
    );
    assert!(
        counted.written_bytes >= 160 << 10 && counted.writes >= 40,
        "{counted:?}"
    );
    let told = format!(
        "{major}:{minor} rbytes={} wbytes={} rios={} wios={} ",
        counted.read_bytes, counted.written_bytes, counted.reads, counted.writes
    );
    let stat = file(&directory, "io.stat");
    assert!(stat.contains(&told), "{told:?} in {stat:?}");

    // 0 takes the limit away.
    let free = resources(|all| all.io.read_bps = throttle(0));
    cgroup.apply(&free).unwrap();
    let expected = format!("{major}:{minor} rbps=max wbps=max riops=max wiops=20");
    assert_eq!(file(&directory, "io.max"), expected);
    assert!(time(&cgroup, read) < slow_read);
    cgroup.remove(SHORT).unwrap();
}

/// The scheduler of the disk, set back when it is dropped.
struct Scheduler(&'static str);

impl Scheduler {
    const FILE: &'static str = "/sys/block/vda/queue/scheduler";

    fn set(name: &'static str) -> Self {
        std::fs::write(Self::FILE, name).unwrap();
        Self("none")
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        let _ = std::fs::write(Self::FILE, self.0);
    }
}

/// Of the cost model, with its own range; of BFQ, with that of the specification; and of a device.
#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn weights_are_those_of_the_scheduler_in_force() {
    let below = Below::new("weight");
    let weight = |weight| resources(|all| all.io.weight = Some(weight));
    let cgroup = below.limited(&weight(500));
    let of_cost = below.directory(&cgroup);
    assert!(
        !of_cost.join("io.bfq.weight").exists(),
        "BFQ is loaded already"
    );
    assert_eq!(file(&of_cost, "io.weight"), "default 4950");
    for (given, scaled) in [(10, "default 1"), (1000, "default 10000")] {
        cgroup.apply(&weight(given)).unwrap();
        assert_eq!(file(&of_cost, "io.weight"), scaled);
    }
    let error = cgroup.apply(&weight(1001)).unwrap_err();
    assert_eq!(error.controller(), Some(Controller::Io), "{error}");
    assert!(error.to_string().contains("1001"), "{error}");
    cgroup.remove(SHORT).unwrap();

    let loaded = Command::new("modprobe").arg("bfq").status().unwrap();
    assert!(loaded.success());
    let scheduler = Scheduler::set("bfq");
    let (major, minor) = disk();
    let mut limits = weight(500);
    limits.io.weight_devices = vec![DeviceWeight {
        major,
        minor,
        weight: Some(200),
        leaf_weight: None,
    }];
    let cgroup = below.limited(&limits);
    let of_bfq = file(&below.directory(&cgroup), "io.bfq.weight");
    let lines: Vec<&str> = of_bfq.lines().collect();
    assert_eq!(lines, ["default 500", &format!("{major}:{minor} 200")]);
    cgroup.remove(SHORT).unwrap();
    drop(scheduler);
    let removed = Command::new("rmmod").arg("bfq").status().unwrap();
    assert!(removed.success());
}

/// Reservations are limited as well as pages in use: either alone refuses a third page.
#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn huge_pages_are_limited_by_use_and_by_reservation() {
    if !is_elsewhere() {
        let place = "mount -t hugetlbfs none /mnt; \"$@\"";
        return elsewhere("huge_pages_are_limited_by_use_and_by_reservation", place);
    }
    let below = Below::new("hugetlb");
    let limits = resources(|all| {
        all.hugepages = vec![HugepageLimit {
            page_size: "2MB".into(),
            max_bytes: 4 * MIB,
        }];
    });
    let cgroup = below.limited(&limits);
    let directory = below.directory(&cgroup);
    let allocates = |bytes: &str| {
        let script = format!("fallocate -l {bytes} /mnt/file");
        let done = Shell::joined(&cgroup, &script).wait().success();
        let used = cgroup.statistics().unwrap().hugepages["2MB"];
        assert_eq!(used.to_string(), file(&directory, "hugetlb.2MB.current"));
        let _ = std::fs::remove_file("/mnt/file");
        (done, used)
    };
    for (used, reserved) in [
        ("4194304", "4194304"),
        ("max", "4194304"),
        ("4194304", "max"),
    ] {
        std::fs::write(directory.join("hugetlb.2MB.max"), used).unwrap();
        std::fs::write(directory.join("hugetlb.2MB.rsvd.max"), reserved).unwrap();
        assert_eq!(allocates("4M"), (true, 4 * MIB), "{used} {reserved}");
        assert!(!allocates("6M").0, "{used} {reserved}");
        cgroup.apply(&limits).unwrap();
        for limit in ["hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"] {
            assert_eq!(file(&directory, limit), "4194304", "{limit}");
        }
    }
    let unknown = resources(|all| {
        all.hugepages = vec![HugepageLimit {
            page_size: "3MB".into(),
            max_bytes: 0,
        }];
    });
    let error = cgroup.apply(&unknown).unwrap_err().to_string();
    assert!(error.contains("hugetlb.3MB.max"), "{error}");
    cgroup.remove(SHORT).unwrap();
}

fn unified(files: &[(&str, &str)]) -> Resources {
    let files = files.iter();
    let files = files.map(|(file, value)| ((*file).to_owned(), (*value).to_owned()));
    resources(|all| all.unified = files.collect())
}

#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn files_of_v2_are_set_by_their_names() {
    let below = Below::new("unified");
    let (major, minor) = disk();
    let lines = format!("{major}:{minor} rbps=1048576\n{major}:{minor} wiops=100");
    let cgroup = below.limited(&unified(&[
        ("cgroup.max.depth", "1"),
        ("cpu.weight", "77"),
        ("cpuset.cpus", "1"),
        ("io.max", &lines),
        ("memory.high", "33554432"),
        ("memory.max", "16777216"),
        ("memory.oom.group", "1"),
        ("memory.swap.max", "0"),
        ("pids.max", "9"),
    ]));
    let directory = below.directory(&cgroup);
    let io = format!("{major}:{minor} rbps=1048576 wbps=max riops=max wiops=100");
    for (name, value) in [
        ("cgroup.max.depth", "1"),
        ("cpu.weight", "77"),
        ("cpuset.cpus.effective", "1"),
        ("io.max", &io),
        ("memory.high", "33554432"),
        ("memory.max", "16777216"),
        ("memory.oom.group", "1"),
        ("memory.swap.max", "0"),
        ("pids.max", "9"),
    ] {
        assert_eq!(file(&directory, name), value, "{name}");
    }
    // They act: all are killed together when the memory is used up.
    let status = Shell::joined(&cgroup, "head -c 100000000 /dev/zero | tail; sleep 600").wait();
    assert!(!status.success(), "{status:?}");
    cgroup.wait_until_empty(SHORT).unwrap();
    assert!(cgroup.events().unwrap().oom_kill >= 2);

    for (name, value) in [
        ("memory.nonesuch", "1"),
        ("memory.max", "much"),
        ("pids.max", "-7"),
        ("cgroup.nonesuch", "1"),
        ("io.max", "999:999 rbps=1"),
        ("memory/max", "1"),
        ("memory", "1"),
    ] {
        let error = cgroup
            .apply(&unified(&[(name, value)]))
            .unwrap_err()
            .to_string();
        assert!(error.contains(name), "{name}: {error}");
    }
    cgroup.remove(SHORT).unwrap();
    // Of a controller that the kernel does not have, nothing is made.
    let missing = below.cgroup_in(below.hierarchy(), &unified(&[("net_cls.classid", "1")]));
    assert!(
        matches!(
            missing,
            Err(Error::ControllerMissing {
                controller: Controller::NetCls
            })
        ),
        "{missing:?}"
    );
}

/// Swap is counted by itself in v2, and what v1 alone has is refused by its name.
#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn memory_in_the_words_of_v2() {
    let below = Below::new("words");
    let mut limits = resources(|all| all.memory.max_bytes = Some(Limit::Of(32 * MIB)));
    limits.memory.max_with_swap_bytes = Some(Limit::Of(48 * MIB));
    limits.memory.reservation_bytes = Some(Limit::Of(8 * MIB));
    let cgroup = below.limited(&limits);
    let directory = below.directory(&cgroup);
    assert_eq!(file(&directory, "memory.max"), "33554432");
    assert_eq!(file(&directory, "memory.swap.max"), "16777216");
    assert_eq!(file(&directory, "memory.low"), "8388608");
    let refused = |name: &str, change: fn(&mut Resources)| {
        let error = cgroup.apply(&resources(change)).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        assert!(error.to_string().contains(name), "{error}");
    };
    refused("memory.swappiness", |all| all.memory.swappiness = Some(60));
    refused("memory.oom_control", |all| {
        all.memory.disable_oom_killer = Some(true);
    });
    refused("memory.kmem.limit_in_bytes", |all| {
        all.memory.kernel_bytes = Some(Limit::Of(MIB));
    });
    refused("memory.kmem.tcp.limit_in_bytes", |all| {
        all.memory.kernel_tcp_bytes = Some(Limit::Of(MIB));
    });
    cgroup.remove(SHORT).unwrap();
}

/// Everything that is counted, against the kernel's files.
#[test]
#[ignore = "needs the virtual machine: cargo xtask test-vm"]
fn statistics_are_those_of_the_kernels_files() {
    let below = Below::new("statistics");
    let all = below.hierarchy().controllers().unwrap();
    let cgroup = below.with_controllers(all).unwrap();
    let limits = resources(|all| {
        all.memory.max_bytes = Some(Limit::Of(64 * MIB));
        all.pids_max = Some(Limit::Of(9));
        all.cpu.quota_us = Some(Limit::Of(10_000));
    });
    cgroup.apply(&limits).unwrap();
    let script = "i=0; while [ $i -lt 1500 ]; do i=$((i+1)); done; exec sleep 600";
    let shell = Shell::joined(&cgroup, script);
    let until = Instant::now() + 6 * SHORT;
    while std::fs::read_to_string(format!("/proc/{}/comm", shell.pid())).unwrap() != "sleep\n" {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(20));
    }
    // Nothing in it changes now.
    cgroup.freeze(SHORT).unwrap();
    let directory = below.directory(&cgroup);
    let found = cgroup.statistics().unwrap();
    let number = |name: &str| file(&directory, name).parse::<u64>().ok();
    let line = |name: &str, key: &str| {
        let text = file(&directory, name);
        let mut words = text.lines().filter_map(|line| line.split_once(' '));
        let (_, value) = words.find(|(word, _)| *word == key).unwrap();
        value.parse::<u64>().ok()
    };
    assert_eq!(found.memory_current_bytes, number("memory.current"));
    assert_eq!(found.memory_peak_bytes, number("memory.peak"));
    assert_eq!(found.memory_max_bytes, Some(64 * MIB));
    assert_eq!(found.swap_current_bytes, number("memory.swap.current"));
    assert_eq!(
        found.memory.get("anon").copied(),
        line("memory.stat", "anon")
    );
    assert!(found.memory["anon"] > 0, "{found:?}");
    assert_eq!(found.cpu_usage_us, line("cpu.stat", "usage_usec"));
    assert_eq!(found.cpu_user_us, line("cpu.stat", "user_usec"));
    assert_eq!(found.cpu_system_us, line("cpu.stat", "system_usec"));
    assert_eq!(
        found.cpu_throttled_periods,
        line("cpu.stat", "nr_throttled")
    );
    assert_eq!(found.cpu_throttled_us, line("cpu.stat", "throttled_usec"));
    assert!(found.cpu_throttled_periods.unwrap() > 0, "{found:?}");
    assert_eq!((found.pids_current, found.pids_max), (Some(1), Some(9)));
    assert_eq!(found.hugepages["2MB"], 0);
    cgroup.kill(SHORT).unwrap();
    shell.wait();
    cgroup.remove(SHORT).unwrap();
}
