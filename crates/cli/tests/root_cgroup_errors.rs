//! What can be wrong with cgroups, each provoked, and what is read of it: one line that names the
//! controller, the file or the directory and the kernel's answer, and a hint.
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
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use support::bundle::Bundle;
use support::cgroup::{name, tree_of_pids, unified, until};
use support::{Leaks, Outcome, attack, run};

const USER: u32 = 61_234;

/// Asserts that it is told in one line with these parts, and what to do in one more.
#[track_caller]
fn told(outcome: &Outcome, code: i32, parts: &[&str], hint: &str) {
    let message = outcome.failure(code);
    for part in parts {
        assert!(message.contains(part), "{part:?}: {outcome:?}");
    }
    let second = outcome.stderr.lines().nth(1).unwrap_or_default();
    match hint {
        "" => assert_eq!(second, "", "{outcome:?}"),
        _ => assert!(
            second.starts_with("hint: ") && second.contains(hint),
            "{outcome:?}"
        ),
    }
}

fn with(name: &str, resources: Value) -> Bundle {
    let mut bundle = Bundle::new(name, "exec sleep 600");
    bundle.config["linux"]["resources"] = resources;
    bundle
}

/// A process of the host's, which ends with this.
struct Stranger(Child);

impl Stranger {
    fn start() -> Self {
        let mut command = Command::new("sleep");
        Self(command.arg("600").stdin(Stdio::null()).spawn().unwrap())
    }

    fn enter(&self, cgroup: &Path) {
        fs::write(cgroup.join("cgroup.procs"), self.0.id().to_string()).unwrap();
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_controller_that_this_host_has_not() {
    let _leaks = Leaks::watch();
    let is_mounted = fs::read_to_string("/proc/self/mounts").unwrap();
    if is_mounted.contains("net_cls") {
        return support::lacks("host without the net_cls controller");
    }
    let bundle = with("missing", json!({"network": {"classID": 5}}));
    let parts = [
        "create: make the container's cgroup: linux.resources.network.classID: \
         the net_cls controller is not available on this host",
    ];
    told(&bundle.run("create one"), 1, &parts, "cgroup_disable=");
    assert!(bundle.entries().is_empty() && attack::cgroups(&name(&bundle)).is_empty());
}

/// An ordinary user, to whom nothing was delegated.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn what_is_not_delegated() {
    let _leaks = Leaks::watch();
    let by_user = |command: &Command, words: &[&str]| {
        let mut setpriv = Command::new("setpriv");
        let user = ["--reuid=61234", "--regid=61234", "--clear-groups"];
        setpriv.args(user).arg(command.get_program()).args(words);
        if let Some(directory) = command.get_current_dir() {
            setpriv.current_dir(directory);
        }
        run(&mut setpriv)
    };
    let hint = "systemd-run --user --scope -p Delegate=yes";
    let sandbox = by_user(&support::crabcan([""; 0]), &["--pids", "20", "--", "true"]);
    let parts = [
        "the pids controller is not available in /sys/fs/cgroup",
        "(EACCES)",
    ];
    told(&sandbox, 125, &parts, hint);

    let mut bundle = with("foreign", json!({"pids": {"limit": 20}}));
    let linux = bundle.config["linux"].as_object_mut().unwrap();
    linux["namespaces"]
        .as_array_mut()
        .unwrap()
        .push(json!({"type": "user"}));
    for map in ["uidMappings", "gidMappings"] {
        linux.insert(
            map.into(),
            json!([{"containerID": 0, "hostID": USER, "size": 1}]),
        );
    }
    chown(bundle.directory.directory("state"), Some(USER), Some(USER)).unwrap();
    let command = bundle.command([""; 0]);
    let state = bundle.state_directory();
    let words = ["--root", state.to_str().unwrap(), "create", "one"];
    let parts = [
        "make the container's cgroup: ",
        "/sys/fs/cgroup",
        "(EACCES)",
    ];
    told(&by_user(&command, &words), 1, &parts, hint);
    assert!(bundle.entries().is_empty());
}

/// What we can tell is told before anything is made, with what it must be.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_value_that_can_not_be() {
    let _leaks = Leaks::watch();
    for (resources, text) in [
        (
            json!({"cpu": {"cpus": "0;1"}}),
            "\"0;1\" is no value for cpuset.cpus of the cpuset controller: must be a list such as 0-3,7",
        ),
        (
            json!({"cpu": {"period": 10}}),
            "\"10\" is no value for cpu.",
        ),
        (
            json!({"cpu": {"shares": 1}, "memory": {"limit": 5, "swap": 4}}),
            "can't be less than the limit of memory",
        ),
    ] {
        let bundle = with("range", resources);
        let refused = bundle.run("create one");
        if refused.stderr.contains("is not available") {
            support::lacks("controller for a range");
            continue;
        }
        told(&refused, 1, &[text], "");
        assert!(bundle.entries().is_empty() && attack::cgroups(&name(&bundle)).is_empty());
    }
}

/// A plain directory on the way, which would take every limit and limit nothing.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_path_that_is_no_cgroup() {
    let _leaks = Leaks::watch();
    let point = tree_of_pids();
    let bundle = with("covered", json!({"pids": {"limit": 20}}));
    let script = format!("mount -t tmpfs none {point}; c create one");
    let refused = run(&mut bundle.among_own_mounts(&script));
    let text = format!("make the container's cgroup: {point} is not in a cgroup file system");
    told(&refused, 1, &[&text], "");
    assert!(bundle.entries().is_empty() && attack::cgroups(&name(&bundle)).is_empty());
    for (path, text) in [("/a/../b", "contains \"..\""), ("/", "names no cgroup")] {
        let mut bundle = with("dots", json!({}));
        bundle.config["linux"]["cgroupsPath"] = json!(path);
        let refused = bundle.run("create one");
        told(&refused, 1, &["the cgroup path ", path, text], "");
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_cgroup_file_system_that_is_read_only() {
    let _leaks = Leaks::watch();
    let point = tree_of_pids();
    let hint = "the cgroup file system is mounted read-only";
    let bundle = with("readonly", json!({"pids": {"limit": 20}}));
    let script = format!("mount -o remount,bind,ro {point}; c create one");
    let refused = run(&mut bundle.among_own_mounts(&script));
    told(
        &refused,
        1,
        &["make the container's cgroup: ", point, "(EROFS)"],
        hint,
    );
    assert!(bundle.entries().is_empty() && attack::cgroups(&name(&bundle)).is_empty());
    // And one that was made before.
    bundle.leave("run -d one");
    let script = format!("mount -o remount,bind,ro {point}; c update --pids-limit 5 one");
    let refused = run(&mut bundle.among_own_mounts(&script));
    told(
        &refused,
        1,
        &["write \"5\" to ", "pids.max (pids controller)", "(EROFS)"],
        hint,
    );
    bundle.run("delete --force one").success();
    let program = support::program();
    let script = format!(
        "mount -o remount,bind,ro {point}; {} --pids 20 -- true",
        program.display()
    );
    let refused = run(&mut bundle.among_own_mounts(&script));
    told(
        &refused,
        125,
        &["the pids controller is not available in ", point, "(EROFS)"],
        hint,
    );
}

/// The rule of v2: processes, or controllers for those below.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_cgroup_above_that_has_processes() {
    let _leaks = Leaks::watch();
    let Some(point) = unified() else { return };
    let mut bundle = with(
        "inner",
        json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}),
    );
    let name = name(&bundle);
    let outer = point.join(&name);
    fs::create_dir(&outer).unwrap();
    let stranger = Stranger::start();
    stranger.enter(&outer);
    bundle.config["linux"]["cgroupsPath"] = json!(format!("/{name}/inner"));
    let refused = bundle.run("create one");
    let text = format!(
        "make the container's cgroup: linux.resources.hugepageLimits: \
         the hugetlb controller can't be handed on by {}, which has processes of its own",
        outer.display()
    );
    told(&refused, 1, &[&text], "systemd-run --scope -p Delegate=yes");
    assert!(bundle.entries().is_empty());
    assert_eq!(attack::cgroups(&name).len(), 1, "the one above alone");
    drop(stranger);
    until("it is empty", || fs::remove_dir(&outer).is_ok());
}

/// One that exists and hands controllers on can't be a container's.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_cgroup_that_is_divided_already() {
    let _leaks = Leaks::watch();
    let Some(point) = unified() else { return };
    let mut bundle = with(
        "split",
        json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}),
    );
    let name = name(&bundle);
    bundle.config["linux"]["cgroupsPath"] = json!(format!("/{name}/inner"));
    bundle.leave("run -d one");
    bundle.config["linux"]["cgroupsPath"] = json!(format!("/{name}"));
    let refused = bundle.run("create two");
    assert_eq!(refused.code(), 1, "{refused:?}");
    bundle.run("delete --force one").success();
    // Empty, and divided.
    let outer = point.join(&name);
    fs::create_dir_all(outer.join("inner")).unwrap();
    fs::write(outer.join("cgroup.subtree_control"), "+hugetlb").unwrap();
    let refused = bundle.run("create two");
    told(
        &refused,
        1,
        &["start init: clone a process", "into a cgroup", "(EBUSY)"],
        "the cgroup hands controllers on",
    );
    assert!(bundle.entries().is_empty() && attack::cgroups(&name).is_empty());
}

/// As many cgroups as there may be.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_cgroup_too_many() {
    let _leaks = Leaks::watch();
    let Some(point) = unified() else { return };
    let mut bundle = with("many", json!({}));
    let name = name(&bundle);
    let outer = point.join(&name);
    fs::create_dir(&outer).unwrap();
    fs::write(outer.join("cgroup.max.descendants"), "0").unwrap();
    bundle.config["linux"]["cgroupsPath"] = json!(format!("/{name}/inner"));
    let refused = bundle.run("create one");
    let text = format!("make the cgroup {}: ", outer.join("inner").display());
    told(&refused, 1, &[&text, "(EAGAIN)"], "cgroup.max.descendants");
    fs::remove_dir(&outer).unwrap();
    assert!(bundle.entries().is_empty() && attack::cgroups(&name).is_empty());
}

/// A process of somebody else's in the cgroup of a container that has ended: it is waited for with a
/// bound, and not killed.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_cgroup_that_stays_busy() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("busy", "exec sleep 600");
    let name = name(&bundle);
    bundle.leave("run -d one");
    let stranger = Stranger::start();
    let cgroups = attack::cgroups(&name);
    stranger.enter(cgroups.first().unwrap());
    bundle.run("kill one KILL").success();
    until("it has ended", || bundle.status("one") == "stopped");
    let refused = bundle.run("delete one");
    let parts = [
        "delete: remove the container's cgroup: remove the cgroup /sys/fs/cgroup",
        "(EBUSY)",
    ];
    told(&refused, 1, &parts, "cgroup.procs");
    assert_eq!(bundle.status("one"), "stopped", "it can be tried again");
    assert!(fs::exists(format!("/proc/{}/cwd", stranger.0.id())).unwrap());
    drop(stranger);
    bundle.run("delete one").success();
    assert!(attack::cgroups(&name).is_empty());
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_container_without_a_cgroup() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("none", "exec sleep 600");
    bundle.before.push("--cgroup-manager=disabled".into());
    bundle.leave("run -d one");
    for words in [
        "ps one",
        "pause one",
        "events --stats one",
        "update --pids-limit 5 one",
    ] {
        let refused = bundle.run(words);
        told(&refused, 1, &[], "");
        // And it never had one: nobody has removed it.
        let whole = refused.stderr.ends_with("container one has no cgroup\n");
        assert!(whole, "{refused:?}");
    }
    bundle.run("delete --force one").success();
}
