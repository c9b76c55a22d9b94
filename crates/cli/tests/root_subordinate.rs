//! Containers of an ordinary user with a range of subordinate ids, which newuidmap(1) and
//! newgidmap(1) map, without a cgroup and with one that is delegated to that user.
//!
//! The user and its ranges are in files of the test's own, bound over those of the machine in a
//! mount namespace of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use support::bundle::Bundle;
use support::{Leaks, Outcome, run};

const USER: u32 = 61_300;
const FIRST: u32 = 900_000;
const COUNT: u32 = 10_000;

/// What makes the machine that of the user, before anything is run as it.
const MACHINE: &str = "set -e
    for file in passwd group subuid subgid; do mount --bind $D/$file /etc/$file; done
    if [ -n \"$DELEGATED\" ]; then
        umount --lazy /sys/fs/cgroup
        mount -t cgroup2 none /sys/fs/cgroup
        mkdir -p /sys/fs/cgroup/$DELEGATED
        for file in . cgroup.procs cgroup.threads cgroup.subtree_control; do
            chown 61300:61300 /sys/fs/cgroup/$DELEGATED/$file
        done
        echo 0 > /sys/fs/cgroup/$DELEGATED/cgroup.procs
    fi
    cd $D
    exec setpriv --reuid=61300 --regid=61300 --clear-groups \"$@\"";

struct User {
    bundle: Bundle,
    /// The cgroup that the user has, if any.
    delegated: Option<String>,
}

impl User {
    fn new(name: &str, delegated: bool, grants: &str) -> Self {
        let mut bundle = Bundle::new(name, "exec sleep 600");
        let home = bundle.directory.path().to_owned();
        let line = format!("crabby:x:{USER}:{USER}::/:/bin/sh\n");
        bundle.directory.file(
            "passwd",
            format!("root:x:0:0::/:/bin/sh\n{line}").as_bytes(),
            0o644,
        );
        bundle.directory.file(
            "group",
            format!("root:x:0:\ncrabby:x:{USER}:\n").as_bytes(),
            0o644,
        );
        for file in ["subuid", "subgid"] {
            bundle.directory.file(file, grants.as_bytes(), 0o644);
        }
        chown(home.join("rootfs"), Some(USER), Some(USER)).unwrap();
        chown(bundle.directory.directory("state"), Some(USER), Some(USER)).unwrap();
        let linux = bundle.config["linux"].as_object_mut().unwrap();
        linux["namespaces"]
            .as_array_mut()
            .unwrap()
            .push(json!({"type": "user"}));
        linux["namespaces"]
            .as_array_mut()
            .unwrap()
            .push(json!({"type": "cgroup"}));
        let map = json!([
            {"containerID": 0, "hostID": USER, "size": 1},
            {"containerID": 1, "hostID": FIRST, "size": COUNT}
        ]);
        linux.insert("uidMappings".into(), map.clone());
        linux.insert("gidMappings".into(), map);
        let name = linux.remove("cgroupsPath").unwrap();
        let name = name.as_str().unwrap().to_owned();
        if delegated {
            linux.insert("cgroupsPath".into(), "box".into());
        }
        Self {
            bundle,
            delegated: delegated.then_some(name),
        }
    }

    /// A command of the state directory, by the user.
    fn command(&self, words: &[&str]) -> Command {
        // Writes the configuration.
        drop(self.bundle.command(["state"]));
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                MACHINE,
                "sh",
            ])
            .arg(support::program())
            .args(&self.bundle.before)
            .args(words)
            .env("D", self.bundle.directory.path())
            .env("DELEGATED", self.delegated.as_deref().unwrap_or_default());
        command
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> Outcome {
        run(&mut self.command(words))
    }

    #[track_caller]
    fn exec(&self, options: &[&str], script: &str) -> String {
        let words = [&["exec"], options, &["one", "sh", "-c", script]].concat();
        self.run(&words).success()
    }
}

/// From `create` to `delete`, with ids that only the range gives.
fn life(delegated: bool) {
    let name = if delegated { "range-cgroup" } else { "range" };
    let grants = format!("crabby:{FIRST}:{COUNT}\n");
    let mut user = User::new(name, delegated, &grants);
    user.bundle.config["process"]["user"] = json!({"uid": 5, "gid": 6, "additionalGids": [7]});
    let mut create = user.command(&["create", "one"]);
    create.stdin(std::process::Stdio::null());
    let file = |name: &str| fs::File::create(user.bundle.directory.path().join(name)).unwrap();
    create.stdout(file("stdout")).stderr(file("stderr"));
    let created = create.status().unwrap();
    let read = |name: &str| fs::read_to_string(user.bundle.directory.path().join(name)).unwrap();
    assert!(created.success(), "{}", read("stderr"));
    assert_eq!(read("stderr"), "");
    user.run(&["start", "one"]).success();
    let state: serde_json::Value =
        serde_json::from_str(&user.run(&["state", "one"]).success()).unwrap();
    assert_eq!(state["status"], "running");
    let pid = state["pid"].as_i64().unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap()
            .split_whitespace()
            .map(|id| id.parse().unwrap())
            .collect::<Vec<u32>>()
    };
    // Inside 5 and 6; outside the fourth and fifth of the range.
    assert_eq!(of("Uid:"), [FIRST + 4; 4]);
    assert_eq!(of("Gid:"), [FIRST + 5; 4]);
    assert_eq!(of("Groups:"), [FIRST + 6]);
    let map = user.exec(&[], "cat /proc/self/uid_map /proc/self/gid_map");
    let map: Vec<u32> = map
        .split_whitespace()
        .map(|id| id.parse().unwrap())
        .collect();
    assert_eq!(
        map,
        [0, USER, 1, 1, FIRST, COUNT, 0, USER, 1, 1, FIRST, COUNT]
    );
    // Its root is root over all of them, and exec takes any.
    let caps = ["--cap", "CAP_CHOWN", "--cap", "CAP_FOWNER"];
    let script = "touch /tmp/a && chown 1234:9999 /tmp/a && stat -c %u:%g /tmp/a";
    let root = [&["-u", "0:0"][..], &caps].concat();
    assert_eq!(user.exec(&root, script), "1234:9999\n");
    let ids = user.exec(&["-u", "10000:77"], "id -u; id -g; id -G");
    assert_eq!(ids, "10000\n77\n77 7\n");
    let outcome = user.run(&["exec", "-u", "10001", "one", "true"]);
    assert_eq!(outcome.code(), 255, "{outcome:?}");
    assert!(outcome.stderr.contains("process.user.uid"), "{outcome:?}");
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let unified = cgroups
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .unwrap();
    if let Some(delegated) = &user.delegated {
        assert_eq!(unified, format!("/{delegated}/box"));
        assert_eq!(user.exec(&[], "grep ^0:: /proc/self/cgroup"), "0::/\n");
        user.run(&["pause", "one"]).success();
        let state = user.run(&["state", "one"]).success();
        assert!(state.contains("\"paused\""), "{state}");
        user.run(&["resume", "one"]).success();
    } else {
        let outcome = user.run(&["pause", "one"]);
        assert_eq!(outcome.code(), 1, "{outcome:?}");
    }
    user.run(&["delete", "--force", "one"]).success();
    assert!(user.bundle.entries().is_empty());
    if let Some(delegated) = &user.delegated {
        let place = Path::new("/sys/fs/cgroup/unified").join(delegated);
        assert!(!place.join("box").exists());
        fs::remove_dir(place).unwrap();
    }
}

fn has_helpers() -> bool {
    let there = Path::new("/usr/bin/newuidmap").exists();
    if !there {
        support::lacks("newuidmap (package uidmap)");
    }
    there
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_range_without_a_cgroup() {
    let _leaks = Leaks::watch();
    if has_helpers() {
        life(false);
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_range_and_a_delegated_cgroup() {
    let _leaks = Leaks::watch();
    if !has_helpers() {
        return;
    }
    if !Path::new("/sys/fs/cgroup/unified").is_dir() {
        return support::lacks_v1("hybrid hierarchy to delegate a cgroup of");
    }
    life(true);
}

/// What was not granted is refused by the helper, in its words, and nothing is left.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_range_that_was_not_granted() {
    let _leaks = Leaks::watch();
    if !has_helpers() {
        return;
    }
    let grants = format!("crabby:{FIRST}:{}\nroot:{FIRST}:{COUNT}\n", COUNT - 1);
    let user = User::new("range-refused", false, &grants);
    let outcome = user.run(&["create", "one"]);
    assert_eq!(outcome.code(), 1, "{outcome:?}");
    for word in ["newuidmap", "/etc/subuid", "61300:900000:10000"] {
        assert!(outcome.stderr.contains(word), "{word}: {outcome:?}");
    }
    assert!(user.bundle.entries().is_empty());
}
