//! Properties of `config.json` looked at from inside containers that root makes: what a unit test
//! shows as a step is here what the kernel says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use serde_json::json;
use support::Leaks;
use support::bundle::{Bundle, seen};

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn names_settings_and_clocks() {
    let _leaks = Leaks::watch();
    let script = "hostname; cat /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_forward \
        /proc/sys/kernel/shmmni /proc/sys/fs/mqueue/msg_max; cut -d. -f1 /proc/uptime; \
        uname -m";
    let before = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    let lines = seen("oci-names", script, |bundle| {
        let config = &mut bundle.config;
        config["hostname"] = json!("reef");
        config["domainname"] = json!("shore");
        let linux = &mut config["linux"];
        linux["namespaces"]
            .as_array_mut()
            .unwrap()
            .push(json!({"type": "time"}));
        linux["timeOffsets"] = json!({"boottime": {"secs": 1_000_000_000}});
        linux["personality"] = json!({"domain": "LINUX32"});
        linux["sysctl"] = json!({
            "net.ipv4.ip_forward": "1", "kernel/shmmni": "777", "fs.mqueue.msg_max": "11",
        });
    });
    assert_eq!(lines[..5], ["reef", "shore", "1", "777", "11"]);
    assert!(
        lines[5].parse::<u64>().unwrap() > 1_000_000_000,
        "{lines:?}"
    );
    #[cfg(target_arch = "x86_64")]
    assert_eq!(lines[6], "i686");
    // The host's own is as it was.
    let after = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    assert_eq!(before, after);
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_process_is_as_asked_for() {
    let _leaks = Leaks::watch();
    let script = "id -u; id -g; id -G; umask; pwd; ulimit -Sn; ulimit -Hn; \
        cat /proc/self/oom_score_adj; cut -d' ' -f19,41 /proc/self/stat; \
        grep -E 'Cap(Prm|Eff|Bnd|Amb)|NoNewPrivs' /proc/self/status";
    let lines = seen("oci-process", script, |bundle| {
        let config = &mut bundle.config;
        let process = &mut config["process"];
        process["user"] =
            json!({"uid": 7, "gid": 8, "umask": 0o27, "additionalGids": [10, 10, 20]});
        process["cwd"] = json!("/tmp");
        process["oomScoreAdj"] = json!(321);
        process["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 60, "hard": 61}]);
        process["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 5});
        process["ioPriority"] = json!({"class": "IOPRIO_CLASS_IDLE", "priority": 0});
        let kill = json!(["CAP_KILL"]);
        process["capabilities"] = json!({
            "bounding": kill, "permitted": kill, "inheritable": kill, "ambient": kill,
            "effective": kill,
        });
    });
    assert_eq!(lines[..3], ["7", "8", "8 10 20"]);
    assert_eq!(lines[3..7], ["0027", "/tmp", "60", "61"]);
    // The nice value and SCHED_BATCH.
    assert_eq!(lines[7..9], ["321", "5 3"]);
    let kill = "0000000000000020";
    let sets: Vec<&str> = lines[9..]
        .iter()
        .map(|line| line.split('\t').nth(1).unwrap())
        .collect();
    assert_eq!(sets, [kill, kill, kill, kill, "1"]);
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn mounts_are_as_their_words_say() {
    let _leaks = Leaks::watch();
    let script = "grep -E ' /(a|b|copied|masked) ' /proc/self/mountinfo | cut -d' ' -f5,6; \
        cat /copied; ls /masked | wc -l; stat -c %a /a; touch /b/x 2>/dev/null || echo closed";
    let lines = seen("oci-mounts", script, |bundle| {
        let data = bundle.directory.directory("data");
        std::fs::write(data.join("file"), "content\n").unwrap();
        let hidden = bundle.directory.directory("rootfs/masked");
        std::fs::write(hidden.join("secret"), "").unwrap();
        let config = &mut bundle.config;
        let mounts = config["mounts"].as_array_mut().unwrap();
        let more = json!([
            {"destination": "/a", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "noexec", "mode=711", "size=64k"]},
            {"destination": "b", "type": "none", "source": "data", "options": ["bind", "nodev"]},
            {"destination": "/b", "type": "none", "source": "none",
                "options": ["remount", "bind", "ro"]},
            {"destination": "/copied", "source": "data/file", "options": ["bind", "ro"]},
        ]);
        mounts.extend(more.as_array().unwrap().iter().cloned());
        config["linux"]["maskedPaths"] = json!(["/masked", "/not-there"]);
    });
    let options = |place: &str| {
        let start = format!("{place} ");
        let line = lines.iter().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("no {place} in {lines:?}"))
            .to_owned()
    };
    assert_eq!(options("/a"), "rw,nosuid,noexec,relatime");
    assert!(options("/b").starts_with("ro,nodev"), "{lines:?}");
    assert!(options("/copied").starts_with("ro"), "{lines:?}");
    assert!(
        options("/masked").starts_with("ro,nosuid,nodev,noexec"),
        "{lines:?}"
    );
    assert_eq!(lines[4..], ["content", "0", "711", "closed"]);
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn devices_are_nodes_of_the_containers_own() {
    let _leaks = Leaks::watch();
    let script = "stat -c '%n %F %t,%T %a %u:%g' /dev/null /dev/fuse /dev/fifo; \
        readlink /dev/ptmx /dev/fd";
    let lines = seen("oci-devices", script, |bundle| {
        let config = &mut bundle.config;
        config["linux"]["devices"] = json!([
            {"type": "c", "path": "/dev/fuse", "major": 10, "minor": 229, "fileMode": 0o640,
                "uid": 1, "gid": 2},
            {"type": "p", "path": "/dev/fifo", "fileMode": 0o600},
        ]);
    });
    let expected = [
        "/dev/null character special file 1,3 666 0:0",
        "/dev/fuse character special file a,e5 640 1:2",
        "/dev/fifo fifo 0,0 600 0:0",
        "pts/ptmx",
        "/proc/self/fd",
    ];
    assert_eq!(lines, expected);
}

/// A pod: the second container is in the first one's namespaces.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_second_container_joins_the_first_ones_namespaces() {
    let _leaks = Leaks::watch();
    let first = Bundle::new("oci-pod-first", "sleep 60");
    first.leave("run --detach first").success();
    let pid = first.state("first")["pid"].as_i64().unwrap();
    let script =
        "readlink /proc/self/ns/net /proc/self/ns/ipc /proc/self/ns/uts; cat /proc/1/cmdline";
    let lines = seen("oci-pod-second", script, |bundle| {
        let config = &mut bundle.config;
        for namespace in config["linux"]["namespaces"].as_array_mut().unwrap() {
            let name = match namespace["type"].as_str().unwrap() {
                "network" => "net",
                "pid" => "pid",
                "ipc" => "ipc",
                _ => continue,
            };
            namespace["path"] = json!(format!("/proc/{pid}/ns/{name}"));
        }
    });
    let of = |name: &str| std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
    assert_eq!(lines[0], of("net").to_str().unwrap());
    assert_eq!(lines[1], of("ipc").to_str().unwrap());
    assert_ne!(lines[2], of("uts").to_str().unwrap());
    // Pid 1 of the joined namespace is the first container's.
    assert!(lines[3].contains("sleep"), "{lines:?}");
}
