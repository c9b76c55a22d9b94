//! `linux.netDevices`: devices of a network namespace of the test's own, which become a container's.
//! They are made with iproute2.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use serde_json::json;
use support::Leaks;
use support::bundle::Bundle;

/// Whether iproute2 does it, and what it says.
fn ip(words: &str) -> (bool, String) {
    let output = Command::new("ip").args(words.split(' ')).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.success(), text)
}

#[track_caller]
fn done(words: &str) -> String {
    let (done, text) = ip(words);
    assert!(done, "ip {words}");
    text
}

/// Moves this thread, and so all that it starts, into a new network namespace with two pairs of
/// devices; the first one has addresses. It ends with the thread.
fn network() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    for (device, peer) in [("eth1", "peer1"), ("eth2", "peer2")] {
        done(&format!(
            "link add name {device} type veth peer name {peer}"
        ));
        done(&format!("link set {peer} up"));
    }
    done("link set eth1 mtu 1400");
    done("addr add 10.9.8.7/24 broadcast 10.9.8.255 dev eth1");
    done("addr add 10.9.8.8/24 dev eth1");
    done("addr add 10.1.0.1 peer 10.1.0.2/32 metric 5 dev eth1");
    done("addr add 10.9.9.9/24 dev eth1 valid_lft 1000 preferred_lft 1000");
    done("addr add 169.254.7.7/16 scope link dev eth1");
    done("link set eth1 up");
    done("addr add fd00::7/64 nodad dev eth1");
}

/// The lasting addresses of a device, as they are told: without the number and name of the device.
fn addresses(told: &str) -> Vec<String> {
    let lines = told.lines().filter(|line| line.contains(" inet"));
    let words = lines.map(|line| {
        let words = line.split_whitespace().skip(2);
        let words = words.take_while(|word| *word != "valid_lft");
        // IPv4 ones have a label, which is the device's name, and all have a line of their own.
        words
            .filter(|word| *word != "\\" && !word.starts_with("eth") && !word.starts_with("lan"))
            .collect::<Vec<_>>()
            .join(" ")
    });
    words.collect()
}

/// The device is here, as it was made.
#[track_caller]
fn is_untouched(before: &str) {
    let after = done("-o addr show dev eth1 scope global");
    let lasting = |told| -> Vec<String> {
        let all = addresses(told).into_iter();
        all.filter(|line| !line.contains("10.9.9.9")).collect()
    };
    assert_eq!(lasting(&after), lasting(before));
    assert!(done("-o link show dev eth1 up").contains("mtu 1400"));
    assert_eq!(done("-o link show dev eth2 up"), "");
    assert!(done("-o link show dev eth2").contains(": eth2@"));
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_device_keeps_its_lasting_addresses_and_is_up() {
    let _leaks = Leaks::watch();
    network();
    let script = "ip -o link show dev lan0 up; ip -o addr show dev lan0 scope global; \
        ip -o addr show dev lan0 scope link";
    let mut bundle = Bundle::new("netdev-kept", script);
    bundle.config["process"]["env"] = json!(["PATH=/usr/sbin:/sbin:/usr/bin:/bin"]);
    bundle.config["linux"]["netDevices"] = json!({"eth1": {"name": "lan0"}, "eth2": {}});
    bundle.leave("create c").success();
    // A container that only waits has them already, and they are the host's no more.
    assert!(!ip("link show dev eth1").0);
    assert!(!ip("link show dev eth2").0);
    bundle.run("delete --force c").success();

    network();
    let told = bundle.run("run c").success();
    let mut lines = told.lines();
    let link = lines.next().unwrap();
    assert!(
        link.contains(": lan0@") && link.contains("mtu 1400"),
        "{link}"
    );
    let expected = [
        "inet 10.9.8.7/24 brd 10.9.8.255 scope global",
        "inet 10.1.0.1 peer 10.1.0.2/32 metric 5 scope global",
        "inet 10.9.8.8/24 scope global secondary",
        "inet6 fd00::7/64 scope global nodad",
    ];
    let mut seen = addresses(&told);
    // What is made by the kernel for every device.
    seen.retain(|line| !line.contains("fe80::"));
    assert_eq!(seen, expected, "{told}");
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_kernel_chooses_a_number() {
    let _leaks = Leaks::watch();
    network();
    let mut bundle = Bundle::new("netdev-number", "cut -d: -f1 -s /proc/net/dev");
    bundle.config["linux"]["netDevices"] =
        json!({"eth1": {"name": "lan%d"}, "eth2": {"name": "lan%d"}});
    let told = bundle.run("run c").success();
    let mut names: Vec<&str> = told.split_whitespace().collect();
    names.sort_unstable();
    // Tunnels are made by some kernels in every namespace.
    names.retain(|name| *name == "lo" || name.starts_with("lan") || name.starts_with("eth"));
    assert_eq!(names, ["lan0", "lan1", "lo"]);
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn an_error_leaves_the_devices_as_they_were() {
    let _leaks = Leaks::watch();
    network();
    let before = done("-o addr show dev eth1 scope global");
    for (devices, expected) in [
        (
            json!({"eth1": {}, "not-there": {}}),
            "linux.netDevices.not-there: find it: No such device (ENODEV)",
        ),
        (
            json!({"eth1": {"name": "lo"}}),
            "linux.netDevices.eth1: name it \"lo\" in the container: File exists (EEXIST)",
        ),
        (
            json!({"eth1": {"name": "a"}, "eth2": {"name": "a"}}),
            "linux.netDevices.eth2: name it \"a\" in the container: File exists (EEXIST)",
        ),
        (
            json!({"eth1": {}, "lo": {"name": "lo2"}}),
            "linux.netDevices.lo: move it into the container: Invalid argument (EINVAL)",
        ),
        (
            json!({"eth1": {"name": "a/b"}}),
            "linux.netDevices.eth1.name: \"a/b\" is no name of a network device",
        ),
    ] {
        let mut bundle = Bundle::new("netdev-error", "true");
        bundle.config["linux"]["netDevices"] = devices;
        for command in ["create c", "run c"] {
            let outcome = bundle.run(command);
            assert!(outcome.stderr.contains(expected), "{outcome:?}");
            assert_ne!(outcome.code(), 0);
            assert_eq!(bundle.entries(), [""; 0]);
            is_untouched(&before);
        }
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn what_fails_later_gives_the_devices_back() {
    let _leaks = Leaks::watch();
    network();
    let before = done("-o addr show dev eth1 scope global");
    let mut bundle = Bundle::new("netdev-later", "true");
    bundle.config["linux"]["netDevices"] = json!({"eth1": {"name": "lan%d"}, "eth2": {}});
    bundle.config["hooks"] = json!({"createRuntime": [{"path": "/bin/false"}]});
    assert!(bundle.run("create c").stderr.contains("createRuntime hook"));
    is_untouched(&before);
    bundle.config["hooks"] = json!({});
    bundle.config["process"]["args"] = json!(["/not-there"]);
    for command in ["create c", "run c"] {
        assert!(bundle.run(command).stderr.contains("/not-there"));
        assert_eq!(bundle.entries(), [""; 0]);
        is_untouched(&before);
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn devices_are_not_moved_to_where_they_are() {
    let _leaks = Leaks::watch();
    network();
    let before = done("-o addr show dev eth1 scope global");
    let mut bundle = Bundle::new("netdev-own", "true");
    bundle.config["linux"]["netDevices"] = json!({"eth1": {"name": "lan0"}});
    let kinds = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    let network = kinds.iter_mut().find(|one| one["type"] == "network");
    // The runtime's first thread has made no other.
    network.unwrap()["path"] = json!("/proc/self/ns/net");
    let outcome = bundle.run("create c");
    assert!(
        outcome.stderr.contains("linux.netDevices: would change"),
        "{outcome:?}"
    );
    is_untouched(&before);
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_container_in_a_pod_or_with_ids_of_its_own_gets_devices_too() {
    let _leaks = Leaks::watch();
    network();
    let mut pod = Bundle::new("netdev-pod", "exec sleep 60");
    let map = json!([{"containerID": 0, "hostID": 0, "size": 65536}]);
    pod.config["linux"]["uidMappings"] = map.clone();
    pod.config["linux"]["gidMappings"] = map;
    let kinds = pod.config["linux"]["namespaces"].as_array_mut().unwrap();
    kinds.push(json!({"type": "user"}));
    pod.config["linux"]["netDevices"] = json!({"eth1": {"name": "lan0"}});
    pod.leave("run --detach pod").success();
    let pid = pod.state("pod")["pid"].as_i64().unwrap();

    // Here init goes on in a child, since it joins a pid namespace.
    let mut member = Bundle::new("netdev-member", "cut -d: -f1 -s /proc/net/dev");
    let kinds = member.config["linux"]["namespaces"].as_array_mut().unwrap();
    for kind in kinds {
        let name = match kind["type"].as_str().unwrap() {
            "network" => "net",
            "pid" => "pid",
            _ => continue,
        };
        kind["path"] = json!(format!("/proc/{pid}/ns/{name}"));
    }
    member.config["linux"]["netDevices"] = json!({"eth2": {"name": "lan0"}});
    let outcome = member.run("run c");
    assert!(outcome.stderr.contains("(EEXIST)"), "{outcome:?}");
    assert!(ip("link show dev eth2").0);
    member.config["linux"]["netDevices"] = json!({"eth2": {"name": "lan1"}});
    let told = member.run("run c").success();
    let names: Vec<&str> = told.split_whitespace().collect();
    assert!(names.contains(&"lan0") && names.contains(&"lan1"), "{told}");
    // The member has ended, and its device stays where it was given to.
    assert!(!ip("link show dev eth2").0);
    pod.run("delete --force pod").success();
}
