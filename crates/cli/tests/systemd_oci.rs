//! Containers in scopes, where systemd is the first process.
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
use std::process::Command;

use serde_json::json;
use support::Leaks;
use support::bundle::Bundle;

const DIRECTORY: &str = "/sys/fs/cgroup/crabcan.slice/crabcan-oci.slice/crabcan-one.scope";

fn systemctl(args: &[&str]) -> String {
    let output = Command::new("systemctl").args(args).output().unwrap();
    assert!(output.status.success(), "systemctl {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[track_caller]
fn files(expected: &[(&str, &str)]) {
    for (file, value) in expected {
        let text = fs::read_to_string(format!("{DIRECTORY}/{file}")).unwrap();
        assert_eq!(text.trim(), *value, "{file}");
    }
}

#[test]
#[ignore = "needs systemd: cargo xtask test-vm"]
fn a_container_lives_in_a_scope_and_takes_it_along() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("scope", "exec sleep 600");
    bundle.before.push("--systemd-cgroup".into());
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({"type": "cgroup"}));
    bundle.config["linux"]["cgroupsPath"] = json!("crabcan-oci.slice:crabcan:one");
    bundle.config["linux"]["resources"] = json!({
        "memory": {"limit": 64 << 20, "swap": 64 << 20},
        "pids": {"limit": 16},
    });
    bundle.config["annotations"]["org.systemd.property.TimeoutStopSec"] = json!("7");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    files(&[
        ("memory.max", "67108864"),
        ("memory.swap.max", "0"),
        ("pids.max", "16"),
    ]);
    let show = [
        "show",
        "--value",
        "-p",
        "TimeoutStopUSec",
        "crabcan-one.scope",
    ];
    assert_eq!(systemctl(&show), "7s");
    let seen = bundle.run("exec one cat /proc/self/cgroup").success();
    assert_eq!(seen, "0::/\n");

    bundle.run("update --pids-limit 20 one").success();
    let kept = [("memory.max", "67108864"), ("pids.max", "20")];
    files(&kept);
    systemctl(&["daemon-reload"]);
    files(&kept);

    // A name that is taken is refused, and whose it is stays.
    let taken = bundle.leave("run -d two");
    assert_eq!(taken.code(), 1, "{taken:?}");
    assert!(taken.stderr.contains("crabcan-one.scope"), "{taken:?}");
    assert_eq!(bundle.status("one"), "running");

    bundle.run("delete --force one").success();
    assert!(!Path::new(DIRECTORY).exists());
    let list = [
        "list-units",
        "--all",
        "--plain",
        "--no-legend",
        "crabcan-one.scope",
    ];
    assert_eq!(systemctl(&list), "");
    systemctl(&["stop", "crabcan-oci.slice", "crabcan.slice"]);
}
