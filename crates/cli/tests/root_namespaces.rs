//! Namespaces, ids, clocks, devices and limits of `config.json`, looked at from inside and outside
//! of containers that root makes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::bundle::{Bundle, seen};
use support::{Leaks, run};

fn add_namespace(bundle: &mut Bundle, kind: &str) {
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut();
    namespaces.unwrap().push(json!({"type": kind}));
}

/// What is listed is new, what is not is the caller's.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn namespaces_are_new_or_the_callers() {
    let _leaks = Leaks::watch();
    let kinds = [
        ("pid", "pid"),
        ("network", "net"),
        ("mount", "mnt"),
        ("ipc", "ipc"),
        ("uts", "uts"),
        ("cgroup", "cgroup"),
        ("time", "time"),
    ];
    let script =
        "for i in pid net mnt ipc uts cgroup time user; do readlink /proc/self/ns/$i; done";
    for (absent, _) in kinds.iter().filter(|(kind, _)| *kind != "mount") {
        let lines = seen("kinds", script, |bundle| {
            let listed = kinds.iter().filter(|(kind, _)| kind != absent);
            bundle.config["linux"]["namespaces"] =
                listed.map(|(kind, _)| json!({"type": kind})).collect();
            if *absent == "uts" {
                bundle.config.as_object_mut().unwrap().remove("hostname");
            }
        });
        for line in lines {
            let (name, _) = line.split_once(':').unwrap();
            let own = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
            let kind = kinds.iter().find(|(_, file)| *file == name);
            let is_shared = kind.is_none_or(|(kind, _)| kind == absent);
            assert_eq!(
                own == Path::new(&line),
                is_shared,
                "without {absent}: {line}"
            );
        }
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn every_line_of_the_id_maps_is_the_kernels() {
    let _leaks = Leaks::watch();
    let script =
        "cat /proc/self/uid_map; echo; cat /proc/self/gid_map; cat /proc/self/setgroups; id";
    let lines = seen("maps", script, |bundle| {
        add_namespace(bundle, "user");
        bundle.config["process"]["user"] = json!({"uid": 5, "gid": 6, "additionalGids": [0, 7]});
        let linux = &mut bundle.config["linux"];
        linux["uidMappings"] = json!([
            {"containerID": 0, "hostID": 300_000, "size": 5},
            {"containerID": 5, "hostID": 310_000, "size": 1},
            {"containerID": 1000, "hostID": 320_000, "size": 9},
        ]);
        linux["gidMappings"] = json!([{"containerID": 0, "hostID": 400_000, "size": 8}]);
    });
    let words: Vec<String> = lines
        .iter()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        words[..5],
        [
            "0 300000 5",
            "5 310000 1",
            "1000 320000 9",
            "",
            "0 400000 8"
        ]
    );
    assert_eq!(words[5], "allow");
    assert!(words[6].starts_with("uid=5"), "{words:?}");
    let groups = words[6].split("groups=").nth(1).unwrap();
    assert!(
        groups.starts_with("6") && groups.contains(",7"),
        "{words:?}"
    );
}

/// An ordinary user's several lines are written by newuidmap(1) and newgidmap(1), as long as
/// `/etc/subuid` and `/etc/subgid` grant them.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn an_ordinary_users_ranges_are_written_by_the_helpers() {
    let _leaks = Leaks::watch();
    if !Path::new("/usr/bin/newuidmap").exists() {
        return support::lacks("newuidmap");
    }
    let script = "cat /proc/self/uid_map /proc/self/gid_map; touch /tmp/x; chown 7:8 /tmp/x; \
        stat -c %u:%g /tmp/x";
    let mut bundle = Bundle::new("helpers", script);
    add_namespace(&mut bundle, "user");
    let all = json!(["CAP_CHOWN", "CAP_FOWNER"]);
    bundle.config["process"]["capabilities"] =
        json!({"bounding": all, "permitted": all, "effective": all});
    let linux = &mut bundle.config["linux"];
    linux.as_object_mut().unwrap().remove("cgroupsPath");
    let maps = json!([
        {"containerID": 0, "hostID": 61_234, "size": 1},
        {"containerID": 1, "hostID": 500_000, "size": 1000},
    ]);
    linux["uidMappings"] = maps.clone();
    linux["gidMappings"] = maps;
    bundle.directory.directory("state");
    for (name, text) in [
        (
            "passwd",
            "root:x:0:0::/:/bin/sh\nranger:x:61234:61234::/:/bin/sh\n",
        ),
        ("group", "root:x:0:\nranger:x:61234:\n"),
        ("subuid", "ranger:500000:1000\n"),
    ] {
        bundle.directory.file(name, text.as_bytes(), 0o644);
    }
    let prepare = "chown -R 61234:61234 . ; mount --bind passwd /etc/passwd; \
        mount --bind group /etc/group; mount --bind subuid /etc/subuid; \
        mount --bind subuid /etc/subgid; as='setpriv --reuid 61234 --regid 61234 --clear-groups'; ";
    let before = bundle.before.join(" ");
    let program = support::program().display().to_string();
    let line = format!("{prepare} $as {program} {before} run --no-new-keyring one");
    let output = run(&mut bundle.among_own_mounts(&line)).success();
    let words: Vec<&str> = output.split_whitespace().collect();
    let map = ["0", "61234", "1", "1", "500000", "1000"];
    assert_eq!(words[..12], [map, map].concat(), "{output}");
    assert_eq!(words[12..], ["7:8"]);
    // Not a line more than what is granted.
    let linux = &mut bundle.config["linux"];
    linux["uidMappings"][1]["size"] = json!(1001);
    linux["gidMappings"][1]["size"] = json!(1001);
    let refused = run(&mut bundle.among_own_mounts(&line));
    assert_eq!(refused.code(), 1, "{refused:?}");
    assert!(refused.stderr.contains("linux.uidMappings"), "{refused:?}");
    assert_eq!(bundle.entries(), [""; 0]);
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn both_clocks_have_their_offsets() {
    let _leaks = Leaks::watch();
    let lines = seen(
        "clocks",
        "tr -s ' ' < /proc/self/timens_offsets",
        |bundle| {
            add_namespace(bundle, "time");
            bundle.config["linux"]["timeOffsets"] = json!({
                "monotonic": {"secs": 86_400, "nanosecs": 7},
                "boottime": {"secs": 172_800, "nanosecs": 999_999_999},
            });
        },
    );
    assert_eq!(lines, ["monotonic 86400 7", "boottime 172800 999999999"]);
}

/// The default ones, links, and what is asked for, of every kind.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn devices_of_every_kind_are_there() {
    let _leaks = Leaks::watch();
    let script = "cd /dev; stat -c '%n %F %t,%T %a' full null random tty urandom zero b c p u; \
        readlink fd stdin stdout stderr ptmx; echo x > null && echo works";
    let lines = seen("kinds-of-devices", script, |bundle| {
        bundle.config["linux"]["devices"] = json!([
            {"type": "b", "path": "/dev/b", "major": 7, "minor": 9, "fileMode": 0o600},
            {"type": "c", "path": "/dev/c", "major": 1, "minor": 5, "fileMode": 0o444},
            {"type": "p", "path": "/dev/p", "fileMode": 0o622},
            {"type": "u", "path": "/dev/u", "major": 1, "minor": 7},
        ]);
    });
    let expected = [
        "full character special file 1,7 666",
        "null character special file 1,3 666",
        "random character special file 1,8 666",
        "tty character special file 5,0 666",
        "urandom character special file 1,9 666",
        "zero character special file 1,5 666",
        "b block special file 7,9 600",
        "c character special file 1,5 444",
        "p fifo 0,0 622",
        "u character special file 1,7 666",
        "/proc/self/fd",
        "/proc/self/fd/0",
        "/proc/self/fd/1",
        "/proc/self/fd/2",
        "pts/ptmx",
        "works",
    ];
    assert_eq!(lines, expected);
}

/// In a user namespace nobody can make a device: the host's is bound, if it is the same.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn devices_of_a_user_namespace_are_the_hosts() {
    let _leaks = Leaks::watch();
    let script = "stat -c '%F %t,%T' /dev/null /dev/zero; echo x > /dev/null && echo works; \
        awk '$5 == \"/dev/zero\" { print $4 }' /proc/self/mountinfo";
    let map = json!([{"containerID": 0, "hostID": 300_000, "size": 10}]);
    let change = |bundle: &mut Bundle, devices: Value| {
        add_namespace(bundle, "user");
        let linux = &mut bundle.config["linux"];
        linux["uidMappings"] = map.clone();
        linux["gidMappings"] = map.clone();
        linux["devices"] = devices;
    };
    let zero = json!([{"type": "c", "path": "/dev/zero", "major": 1, "minor": 5}]);
    let lines = seen("bound", script, |bundle| change(bundle, zero));
    let special = "character special file";
    let expected = [
        &*format!("{special} 1,3"),
        &format!("{special} 1,5"),
        "works",
        "/zero",
    ];
    assert_eq!(lines, expected);
    for (device, words) in [
        (
            json!({"type": "c", "path": "/dev/zero", "major": 1, "minor": 3}),
            "linux.devices[0]",
        ),
        (
            json!({"type": "b", "path": "/dev/b", "major": 7, "minor": 9}),
            "linux.devices[0].type",
        ),
        (
            json!({"type": "c", "path": "/dev/none", "major": 1, "minor": 3}),
            "linux.devices[0]",
        ),
    ] {
        let mut bundle = Bundle::new("not-bound", "exit 0");
        change(&mut bundle, json!([device]));
        let outcome = bundle.run("run one");
        assert_eq!(outcome.code(), 1, "{outcome:?}");
        assert!(outcome.stderr.contains(words), "{outcome:?}");
        assert_eq!(bundle.entries(), [""; 0]);
    }
}

/// The files of a process's cgroup, by the controller of v1 that has them, and by their name there
/// and in v2.
fn limits(pid: &Value, files: &[(&str, &str, &str)]) -> Vec<String> {
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let found = files.iter().map(|(controller, legacy, unified)| {
        let mut lines = cgroups.lines().map(|line| line.splitn(3, ':'));
        let tree = lines.find(|line| line.clone().nth(1) == Some(*controller));
        let path = match tree.and_then(|mut line| line.nth(2)) {
            Some(path) => format!("/sys/fs/cgroup/{controller}{path}/{legacy}"),
            None => {
                let path = cgroups.trim().trim_start_matches("0::");
                format!("/sys/fs/cgroup{path}/{unified}")
            }
        };
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        text.trim().to_owned()
    });
    found.collect()
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn limits_are_in_the_files_of_the_cgroup() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("limits", "exec sleep 600");
    bundle.config["linux"]["resources"] = json!({
        "memory": {"limit": 67_108_864, "reservation": 33_554_432},
        "cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "burst": 10_000, "cpus": "0",
            "mems": "0"},
        "pids": {"limit": 77},
    });
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let seen = limits(
        &bundle.state("one")["pid"],
        &[
            ("memory", "memory.limit_in_bytes", "memory.max"),
            ("memory", "memory.soft_limit_in_bytes", "memory.low"),
            ("pids", "pids.max", "pids.max"),
            ("cpuset", "cpuset.cpus", "cpuset.cpus"),
            ("cpuset", "cpuset.mems", "cpuset.mems"),
            ("cpu", "cpu.cfs_burst_us", "cpu.max.burst"),
            ("cpu", "cpu.cfs_quota_us", "cpu.max"),
            ("cpu", "cpu.cfs_period_us", "cpu.max"),
            ("cpu", "cpu.shares", "cpu.weight"),
        ],
    );
    assert_eq!(seen[..6], ["67108864", "33554432", "77", "0", "0", "10000"]);
    let unified = ["50000 100000", "50000 100000", "59"];
    assert!(
        seen[6..] == ["50000", "100000", "512"] || seen[6..] == unified,
        "{seen:?}"
    );
    bundle.run("delete --force one").success();
}

/// What the two versions of cgroups do not have alike.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn limits_of_each_version_are_in_its_files() {
    let _leaks = Leaks::watch();
    let is_unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let disk = fs::read_to_string("/sys/block/vda/dev");
    let Ok(disk) = disk.as_deref().map(str::trim) else {
        return support::lacks("disk /dev/vda");
    };
    let (major, minor) = disk.split_once(':').unwrap();
    let device = |rate: u64| {
        json!([{"major": major.parse::<u32>().unwrap(), "minor": minor.parse::<u32>().unwrap(),
            "rate": rate}])
    };
    let mut wanted = json!({
        "memory": {"limit": 67_108_864, "swap": 134_217_728},
        "cpu": {"idle": 1},
        "blockIO": {
            "throttleReadBpsDevice": device(1_000_001), "throttleWriteBpsDevice": device(1_000_002),
            "throttleReadIOPSDevice": device(1003), "throttleWriteIOPSDevice": device(1004),
        },
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4_194_304}],
    });
    if is_unified {
        wanted["unified"] = json!({"memory.high": "50331648"});
    } else {
        wanted["memory"]["swappiness"] = json!(17);
        wanted["memory"]["disableOOMKiller"] = json!(true);
        wanted["memory"]["kernelTCP"] = json!(8_388_608);
    }
    let mut bundle = Bundle::new("versions", "exec sleep 600");
    bundle.config["linux"]["resources"] = wanted;
    let outcome = bundle.leave("run -d one");
    assert_eq!(outcome.code(), 0, "{outcome:?}");
    let seen = limits(
        &bundle.state("one")["pid"],
        &[
            ("cpu", "cpu.idle", "cpu.idle"),
            ("memory", "memory.memsw.limit_in_bytes", "memory.swap.max"),
            ("memory", "memory.swappiness", "memory.high"),
            ("memory", "memory.oom_control", "hugetlb.2MB.max"),
            (
                "memory",
                "memory.kmem.tcp.limit_in_bytes",
                "hugetlb.2MB.max",
            ),
            ("blkio", "blkio.throttle.read_bps_device", "io.max"),
            ("blkio", "blkio.throttle.write_bps_device", "io.max"),
            ("blkio", "blkio.throttle.read_iops_device", "io.max"),
            ("blkio", "blkio.throttle.write_iops_device", "io.max"),
        ],
    );
    let expected = match is_unified {
        true => {
            let all = format!("{disk} rbps=1000001 wbps=1000002 riops=1003 wiops=1004");
            let of_memory = ["1", "67108864", "50331648", "4194304", "4194304"];
            let mut expected = of_memory.map(str::to_owned).to_vec();
            expected.extend(vec![all; 4]);
            expected
        }
        false => {
            let oom = seen[3].lines().next().unwrap().to_owned();
            let mut expected = ["1", "134217728", "17", &oom, "8388608"]
                .map(str::to_owned)
                .to_vec();
            assert_eq!(oom, "oom_kill_disable 1");
            expected[3] = seen[3].clone();
            let rates = ["1000001", "1000002", "1003", "1004"];
            expected.extend(rates.map(|rate| format!("{disk} {rate}")));
            expected
        }
    };
    assert_eq!(seen, expected);
    bundle.run("delete --force one").success();
}

/// What a rule denies can't be opened by the container's own root, and what it allows can.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn devices_are_denied_by_the_cgroup() {
    let _leaks = Leaks::watch();
    let script = "head -c 1 /dev/full > /dev/null && echo full; \
        (head -c 1 /dev/kmsg > /dev/null) 2>&1 | grep -o 'not permitted'; head -c 1 /dev/mem2 | wc -c";
    let mut bundle = Bundle::new("devices-cgroup", script);
    let device =
        |path: &str, minor: u32| json!({"type": "c", "path": path, "major": 1, "minor": minor});
    bundle.config["linux"]["devices"] = json!([device("/dev/kmsg", 11), device("/dev/mem2", 5)]);
    bundle.config["linux"]["resources"] = json!({"devices": [
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 5, "access": "r"},
    ]});
    assert_eq!(bundle.lines(), ["full", "not permitted", "1"]);
}
