//! The program that decides about devices on cgroup v2, which containers with the same rules share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::Leaks;
use support::bundle::Bundle;
use support::cgroup::name;

/// What the record of a container says of its program.
fn program(bundle: &Bundle, id: &str) -> Value {
    let path = bundle.state_directory().join(id).join("state.json");
    let record: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    record["device_program"].clone()
}

/// Where every controller is in v2, whatever layout this machine has.
fn on_v2(bundle: &Bundle, words: &str) -> String {
    let script = format!(
        "umount --lazy /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup
        c {words} >said 2>&1 </dev/null || true
        cat said"
    );
    support::run(&mut bundle.among_own_mounts(&script)).success()
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn containers_with_the_same_rules_share_their_program() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("shared-program", "exec sleep 600");
    let refused = |minor: u32| json!({"allow": false, "type": "c", "major": 60, "minor": minor});
    let start = |bundle: &mut Bundle, id: &str, rules: Value| {
        bundle.config["linux"]["cgroupsPath"] = json!(format!("/{}-{id}", name(bundle)));
        bundle.config["linux"]["resources"] = json!({"devices": rules});
        assert_eq!(on_v2(bundle, &format!("run -d {id}")), "");
        program(bundle, id)
    };
    // No driver has these numbers: what is allowed is asked for one.
    let devices = [1, 2].map(
        |minor| json!({"path": format!("/dev/of{minor}"), "type": "c", "major": 60, "minor": minor}),
    );
    bundle.config["linux"]["devices"] = json!(devices);
    let opening = |bundle: &Bundle, id: &str, minor: u32| {
        let said = on_v2(bundle, &format!("exec {id} /bin/sh -c ': </dev/of{minor}'"));
        match (
            said.contains("No such device or address"),
            said.contains("not permitted"),
        ) {
            (true, false) => "allowed",
            (false, true) => "refused",
            _ => panic!("{said}"),
        }
    };
    let first = start(&mut bundle, "one", json!([refused(1)]));
    assert!(first.is_number(), "{first}");
    let other = start(&mut bundle, "two", json!([refused(2)]));
    assert_ne!(other, first);
    assert_eq!(start(&mut bundle, "three", json!([refused(1)])), first);
    assert_eq!(start(&mut bundle, "four", json!([refused(2)])), other);
    // The oldest goes, and what it had stays in force, and can be had.
    assert_eq!(on_v2(&bundle, "delete --force one"), "");
    assert_eq!(start(&mut bundle, "five", json!([refused(1)])), first);
    for (id, own) in [("two", 2), ("three", 1), ("four", 2), ("five", 1)] {
        assert_eq!(opening(&bundle, id, own), "refused", "{id}");
        assert_eq!(opening(&bundle, id, 3 - own), "allowed", "{id}");
    }
    for id in ["two", "three", "four", "five"] {
        assert_eq!(on_v2(&bundle, &format!("delete --force {id}")), "");
    }
    assert!(bundle.entries().is_empty());
}
