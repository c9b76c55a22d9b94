//! Namespaces that are joined by their paths, beside all kinds of new ones.
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
use support::bundle::Bundle;
use support::{Leaks, Outcome, run};

/// The kinds that containers share, as the configuration and as `/proc/PID/ns` call them.
const KINDS: [(&str, &str); 6] = [
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("cgroup", "cgroup"),
    ("time", "time"),
    ("pid", "pid"),
];

fn name_of(kind: &str) -> &'static str {
    let all = KINDS.iter().chain(&[("mount", "mnt"), ("user", "user")]);
    let mut found = all.filter(|(word, _)| *word == kind);
    found.next().expect("a kind").1
}

/// Ids of the container's root and of 999 others.
fn map(bundle: &mut Bundle) {
    let map = json!([{"containerID": 0, "hostID": 700_000, "size": 1000}]);
    bundle.config["linux"]["uidMappings"] = map.clone();
    bundle.config["linux"]["gidMappings"] = map;
    let directory = bundle.directory.path().join("rootfs");
    std::os::unix::fs::chown(directory, Some(700_000), Some(700_000)).unwrap();
}

fn namespaces(bundle: &mut Bundle) -> &mut Vec<Value> {
    bundle.config["linux"]["namespaces"].as_array_mut().unwrap()
}

/// A container of all kinds, whose namespaces are those of the host's user namespace, or of one of
/// its own.
fn holder(name: &str, user: bool) -> (Bundle, Value) {
    let mut bundle = Bundle::new(name, "exec sleep 600");
    for kind in ["cgroup", "time"] {
        namespaces(&mut bundle).push(json!({"type": kind}));
    }
    if user {
        namespaces(&mut bundle).push(json!({"type": "user"}));
        map(&mut bundle);
    }
    let outcome = bundle.leave("run -d holder");
    assert_eq!((outcome.code(), outcome.stderr.as_str()), (0, ""));
    let pid = bundle.state("holder")["pid"].clone();
    (bundle, pid)
}

/// A container with these kinds of the process `pid`, and a user namespace that is new or also of
/// that process.
fn member(name: &str, pid: &Value, joined: &[&str], new_user: bool) -> Bundle {
    let mut bundle = Bundle::new(name, "exec sleep 600");
    let mut all: Vec<&str> = KINDS.iter().map(|(kind, _)| *kind).collect();
    all.extend(["mount", "user"]);
    let requests = all.iter().map(|kind| {
        let joins = joined.contains(kind) || *kind == "user" && !new_user;
        match joins {
            true => json!({"type": kind, "path": format!("/proc/{pid}/ns/{}", name_of(kind))}),
            false => json!({"type": kind}),
        }
    });
    bundle.config["linux"]["namespaces"] = requests.collect();
    if new_user {
        map(&mut bundle);
    }
    if joined.contains(&"uts") {
        bundle.config.as_object_mut().unwrap().remove("hostname");
    }
    if new_user && joined.contains(&"pid") {
        // The kernel mounts a procfs for who rules over its pid namespace.
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["type"] != "proc");
    }
    bundle
}

fn link(pid: &Value, name: &str) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap()
}

#[track_caller]
fn succeeded(outcome: &Outcome, what: &str) {
    let ended = (outcome.code(), outcome.stderr.as_str());
    assert_eq!(ended, (0, ""), "{what}");
}

/// Ends a container whose program is an orphan of this test's, and has to be reaped by it.
fn end(bundle: &Bundle, id: &str) {
    let pid = bundle.state(id)["pid"].as_i64().unwrap();
    bundle.run(&format!("kill {id} 9")).success();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::wait::waitpid(pid, None).unwrap();
    bundle.run(&format!("delete {id}")).success();
}

/// Makes a container that joins these, and looks where it and what is executed in it are.
fn joins(holder: &Value, joined: &[&str], new_user: bool) {
    let what = format!("{joined:?} joined, user new: {new_user}");
    let member = member("member", holder, joined, new_user);
    succeeded(&member.leave("create one"), &what);
    succeeded(&member.leave("start one"), &what);
    let pid = member.state("one")["pid"].clone();
    for (kind, name) in KINDS.iter().chain(&[("mount", "mnt"), ("user", "user")]) {
        let same = link(&pid, name) == link(holder, name);
        let shared = joined.contains(kind) || *kind == "user" && !new_user;
        assert_eq!(same, shared, "{what}: {kind}");
        let own = fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
        assert_ne!(link(&pid, name), own, "{what}: {kind} is the host's");
    }
    let map = fs::read_to_string(format!("/proc/{pid}/uid_map")).unwrap();
    let map: Vec<_> = map.split_whitespace().collect();
    assert_eq!(map, ["0", "700000", "1000"], "{what}");
    let mut exec = member.command(["exec", "one", "sh", "-c", "id -u; echo $$"]);
    let text = run(&mut exec).success();
    assert!(text.starts_with("0\n"), "{what}: {text}");
    end(&member, "one");
}

/// Everything that runc and crun take: each kind alone, several, and all.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_new_user_namespace_beside_joined_ones() {
    let _leaks = Leaks::watch();
    let (_holder, pid) = holder("holder", false);
    for (kind, _) in KINDS {
        joins(&pid, &[kind], true);
    }
    joins(&pid, &["network", "ipc"], true);
    joins(
        &pid,
        &["network", "ipc", "uts", "cgroup", "time", "pid"],
        true,
    );
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_joined_user_namespace_beside_new_ones() {
    let _leaks = Leaks::watch();
    let (_holder, pid) = holder("holder-user", true);
    joins(&pid, &[], false);
    for (kind, _) in KINDS {
        joins(&pid, &[kind], false);
    }
    joins(
        &pid,
        &["network", "ipc", "uts", "cgroup", "time", "pid"],
        false,
    );
}

/// Where one can't be joined nothing of the container is left, in every place of the order.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_namespace_that_can_not_be_joined_leaves_nothing() {
    let _leaks = Leaks::watch();
    let (_holder, pid) = holder("refused-holder", false);
    for new_user in [false, true] {
        let mut member = member("refused", &pid, &["network", "ipc"], new_user);
        for request in namespaces(&mut member) {
            if request["type"] == "ipc" {
                request["path"] = json!(format!("/proc/{pid}/ns/net"));
            }
            if request["type"] == "user" && !new_user {
                request["path"] = json!("/proc/self/ns/user");
            }
        }
        let outcome = member.run("create one");
        assert_eq!(outcome.code(), 1, "{outcome:?}");
        assert!(member.entries().is_empty());
    }
    // A fault in the midst of it: after the fork, when the ids are mapped.
    let member = member("fault", &pid, &["network"], true);
    for step in 0..12 {
        let mut command = member.command(["create", "one"]);
        let outcome = run(command.env("CRABCAN_FAULT", format!("{step}:5")));
        assert_eq!(outcome.code(), 1, "step {step}: {outcome:?}");
        assert!(outcome.stderr.contains("EIO"), "step {step}: {outcome:?}");
        assert!(member.entries().is_empty(), "step {step}");
    }
}

/// The pid that hooks are told is the container's, also where the one that was launched has ended.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn hooks_of_a_container_in_a_joined_pid_namespace_know_its_pid() {
    let _leaks = Leaks::watch();
    let (_holder, pid) = holder("hooks-holder", false);
    for new_user in [false, true] {
        let mut bundle = member("hooks", &pid, &["pid"], new_user);
        if !new_user {
            namespaces(&mut bundle).retain(|request| request["type"] != "user");
        }
        let seen = bundle.directory.path().join("seen");
        let hook = |kind: &str| {
            let script = format!(
                "state=$(cat); pid=$(echo \"$state\" | sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); \
                 echo {kind} $pid $(readlink /proc/$pid/ns/pid) >> {}",
                seen.display()
            );
            json!([{"path": "/bin/sh", "args": ["sh", "-c", script],
                "env": ["PATH=/usr/bin:/bin"]}])
        };
        for kind in ["prestart", "createRuntime", "poststart"] {
            bundle.config["hooks"][kind] = hook(kind);
        }
        succeeded(&bundle.leave("create one"), "create");
        succeeded(&bundle.leave("start one"), "start");
        let own = bundle.state("one")["pid"].clone();
        let text = fs::read_to_string(&seen).unwrap();
        let pod = link(&pid, "pid");
        let expected: Vec<String> = ["prestart", "createRuntime", "poststart"]
            .iter()
            .map(|kind| format!("{kind} {own} {}", Path::new(&pod).display()))
            .collect();
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        end(&bundle, "one");
    }
}
