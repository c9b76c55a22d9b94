//! Flags of the commands that need several ids, or cgroups.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use support::bundle::Bundle;
use support::{Leaks, Outcome, run};

#[track_caller]
fn exec(bundle: &Bundle, options: &[&str], script: &str) -> Outcome {
    let mut command = bundle.command(["exec"]);
    command.args(options).args(["one", "/bin/sh", "-c", script]);
    run(&mut command)
}

/// As in runc: what is not said stays the container's. (In crun gid 0 is what `-u UID` means.)
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_user_without_a_group_keeps_the_containers_groups() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("exec-user", "exec sleep 600");
    bundle.config["process"]["user"] =
        json!({"uid": 5, "gid": 6, "additionalGids": [7, 8], "umask": 0o27});
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let script = "id -u; id -g; id -G; umask";
    for (options, expected) in [
        (&[][..], "5\n6\n6 7 8\n0027\n"),
        (&["-u", "1000"], "1000\n6\n6 7 8\n0027\n"),
        (&["-u", "1000:9"], "1000\n9\n9 7 8\n0027\n"),
        (&["-u", "0", "-g", "10"], "0\n6\n6 7 8 10\n0027\n"),
    ] {
        assert_eq!(exec(&bundle, options, script).success(), expected);
    }
}

/// The container's directory in each tree of v1, and in that of v2.
fn places(bundle: &Bundle) -> Vec<(String, PathBuf)> {
    let pid = bundle.state("one")["pid"].clone();
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let name = bundle.config["linux"]["cgroupsPath"].as_str().unwrap();
    let own = text.lines().filter(|line| line.ends_with(name));
    let places = own.map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let controllers = parts.next().unwrap().to_owned();
        let path = parts.next().unwrap().trim_start_matches('/').to_owned();
        let tree = match controllers.strip_prefix("name=") {
            Some(name) => PathBuf::from("/sys/fs/cgroup").join(name),
            None if controllers.is_empty() => unified(),
            None => PathBuf::from("/sys/fs/cgroup").join(&controllers),
        };
        (controllers, tree.join(path))
    });
    places.collect()
}

fn unified() -> PathBuf {
    let hybrid = PathBuf::from("/sys/fs/cgroup/unified");
    match hybrid.is_dir() {
        true => hybrid,
        false => "/sys/fs/cgroup".into(),
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_process_is_executed_in_a_cgroup_below_the_containers() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("exec-cgroup", "exec sleep 600");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let name = bundle.config["linux"]["cgroupsPath"].as_str().unwrap();
    let places = places(&bundle);
    assert!(!places.is_empty());
    let outcome = exec(&bundle, &["--cgroup", "sub"], "true");
    assert_eq!(outcome.code(), 255, "it is not made: {outcome:?}");
    for (_, place) in &places {
        fs::create_dir(place.join("sub")).unwrap();
        // On v1 nobody may enter one without processors and memory.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let below = place.join("sub").join(file);
            if below.exists() {
                let text = fs::read_to_string(place.join(file)).unwrap();
                fs::write(below, text).unwrap();
            }
        }
    }
    let seen = |options: &[&str]| {
        let text = exec(&bundle, options, "cat /proc/self/cgroup").success();
        let own = text.lines().filter(|line| line.contains(name));
        let ends = own.map(|line| line.rsplit('/').next().unwrap() == "sub");
        ends.collect::<Vec<_>>()
    };
    assert_eq!(seen(&[]), vec![false; places.len()]);
    assert_eq!(seen(&["--cgroup", "/"]), vec![false; places.len()]);
    assert_eq!(seen(&["--cgroup", "sub"]), vec![true; places.len()]);
    assert_eq!(seen(&["--cgroup", "/sub"]), vec![true; places.len()]);
    let legacy = places
        .iter()
        .find(|(controllers, _)| !controllers.is_empty());
    if let Some((controllers, _)) = legacy {
        let one = controllers.split(',').next().unwrap();
        let seen = seen(&["--cgroup", &format!("{one}:sub")]);
        assert_eq!(seen.iter().filter(|below| **below).count(), 1, "{seen:?}");
    }
    for wrong in ["..", "sub/../..", "nothing:sub", ""] {
        let outcome = exec(&bundle, &["--cgroup", wrong], "true");
        assert_eq!(outcome.code(), 255, "{wrong}: {outcome:?}");
        assert!(outcome.stderr.contains("--cgroup"), "{outcome:?}");
    }
    bundle.run("delete --force one").success();
    for (_, place) in &places {
        assert!(!place.exists(), "{}", place.display());
    }
}

/// Units as runc takes them, and shares of caches, which this machine does not have.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn limits_are_changed_by_every_option() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("update", "exec sleep 600");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let outcome = bundle.run("update --l3-cache-schema L3:0=f one");
    assert_eq!(outcome.code(), 1, "{outcome:?}");
    assert!(outcome.stderr.contains("linux.intelRdt"), "{outcome:?}");
    let limit = || {
        let text = bundle.run("events --stats one").success();
        let event: serde_json::Value = serde_json::from_str(&text).unwrap();
        event["data"]["memory"]["usage"]["limit"].as_u64().unwrap()
    };
    let has_memory = fs::read_to_string("/proc/cgroups").is_ok_and(|text| text.contains("memory"));
    if !has_memory {
        return support::lacks("the memory controller");
    }
    for (text, bytes) in [
        ("64M", 64 << 20),
        ("65536kb", 64 << 20),
        ("134217728", 128 << 20),
    ] {
        bundle.run(&format!("update --memory {text} one")).success();
        assert_eq!(limit(), bytes, "{text}");
    }
    let outcome = bundle.run("update --memory 1.5X one");
    assert_eq!(outcome.code(), 1, "{outcome:?}");
    assert_eq!(limit(), 128 << 20);
    bundle.run("delete --force one").success();
    bundle.config["annotations"] = json!({});
}

/// Without a pid namespace of the container's own the kernel ends nobody with the first process.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_kill_reaches_all_where_the_pids_are_the_hosts() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("kill-all", "sleep 600 & sleep 600 & exec sleep 600");
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let (_, cgroup) = places(&bundle).pop().unwrap();
    let count = || {
        let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap();
        text.lines().count()
    };
    while count() < 3 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    bundle.run("kill one TERM").success();
    assert!(count() >= 2, "another signal is the first process's alone");
    assert_eq!(bundle.status("one"), "stopped");
    bundle.run("kill one KILL").success();
    assert_eq!(count(), 0);
    bundle.run("delete one").success();

    assert_eq!(bundle.leave("run -d one").code(), 0);
    while count() < 3 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    bundle.run("kill one KILL").success();
    assert_eq!(count(), 0);
    bundle.run("delete one").success();
}
