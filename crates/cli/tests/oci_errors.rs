//! What is wrong with a configuration is said by the property's own name, with the object and the
//! kernel's answer, and a container that could not be made is as if it had never been tried.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use support::bundle::Bundle;
use support::{Leaks, is_root, run};

/// A wrong value at a place of the configuration, and what is said of it.
type Wrong = (&'static str, Value, &'static [&'static str]);

/// Puts a value at a path like `linux.devices` or `mounts.-`, which is one more mount.
fn set(config: &mut Value, path: &str, value: Value) {
    let mut place = config;
    for name in path.split('.') {
        place = match name {
            "-" => {
                let list = place.as_array_mut().unwrap();
                list.push(Value::Null);
                list.last_mut().unwrap()
            }
            _ => match name.parse::<usize>() {
                Ok(index) => &mut place[index],
                Err(_) => &mut place[name],
            },
        };
    }
    *place = value;
}

fn index_of_next_mount(bundle: &Bundle) -> usize {
    bundle.config["mounts"].as_array().unwrap().len()
}

/// What is found in the document, before anything is done.
fn found_in_the_document() -> Vec<Wrong> {
    vec![
        ("ociVersion", json!("2.0.0"), &["ociVersion: ", "2.0.0"]),
        (
            "process.args",
            json!([]),
            &["process.args: ", "names no program"],
        ),
        (
            "process.cwd",
            json!("home"),
            &["process.cwd: \"home\" is not absolute"],
        ),
        ("process.cwd", json!("/a/../b"), &["process.cwd: ", ".."]),
        (
            "process.env",
            json!("A=b"),
            &["process.env: ", "invalid type: string"],
        ),
        (
            "process.user.umask",
            json!(0o1000),
            &["process.user.umask: ", "01000"],
        ),
        ("process.user.uid", json!(-1), &["process.user.uid: ", "-1"]),
        (
            "process.oomScoreAdj",
            json!(1001),
            &["process.oomScoreAdj: 1001"],
        ),
        (
            "process.rlimits",
            json!([{"type": "RLIMIT_MOON", "soft": 1, "hard": 1}]),
            &["process.rlimits[0].type: \"RLIMIT_MOON\""],
        ),
        (
            "process.scheduler",
            json!({"policy": "SCHED_MOON"}),
            &["process.scheduler.policy: \"SCHED_MOON\""],
        ),
        (
            "process.scheduler",
            json!({"policy": "SCHED_FIFO", "nice": 20}),
            &["process.scheduler.nice: 20 is not between"],
        ),
        (
            "process.ioPriority",
            json!({"class": "IOPRIO_CLASS_BE", "priority": 8}),
            &["process.ioPriority.priority: 8"],
        ),
        (
            "hostname",
            json!("x".repeat(65)),
            &["hostname: is longer than 64"],
        ),
        (
            "mounts.-",
            json!({"destination": "/m"}),
            &["mounts[N].type: is missing"],
        ),
        (
            "mounts.-",
            json!({"type": "tmpfs"}),
            &["mounts[N].destination: is missing"],
        ),
        (
            "mounts.-",
            json!({"destination": "/m", "source": "rootfs", "options": ["bind", "rp"]}),
            &["mounts[N].options: \"rp\" is no option of a bind mount"],
        ),
        (
            "mounts.-",
            json!({"destination": "/m", "source": "rootfs", "options": ["bind"],
                "uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}]}),
            &["mounts[N].gidMappings: missing"],
        ),
        (
            "hooks",
            json!({"poststart": [{"path": "/bin/true"}, {"path": "bin/true"}]}),
            &["hooks.poststart[1].path: \"bin/true\" is not absolute"],
        ),
        (
            "hooks",
            json!({"prestart": [{"path": "/bin/true", "timeout": 0}]}),
            &["hooks.prestart[0].timeout: 0 is not more than 0"],
        ),
        (
            "linux.namespaces.-",
            json!({"type": "moon"}),
            &["linux.namespaces[N].type: \"moon\" is no kind"],
        ),
        (
            "linux.namespaces.-",
            json!({"type": "pid"}),
            &["linux.namespaces[N].type: pid stands twice"],
        ),
        (
            "linux.devices",
            json!([{"type": "x", "path": "/dev/x", "major": 1, "minor": 3}]),
            &["linux.devices[0].type: \"x\""],
        ),
        (
            "linux.sysctl",
            json!({"net.ipv4.ip_forward": "1", "vm.swappiness": "1"}),
            &["linux.sysctl[\"vm.swappiness\"]: "],
        ),
        (
            "linux.rootfsPropagation",
            json!("x"),
            &["linux.rootfsPropagation: \"x\""],
        ),
        (
            "linux.maskedPaths",
            json!(["/proc/keys", "proc/kcore"]),
            &["linux.maskedPaths", "proc/kcore"],
        ),
        (
            "linux.readonlyPaths",
            json!(["proc/sys"]),
            &["linux.readonlyPaths", "proc/sys"],
        ),
        (
            "linux.memoryPolicy",
            json!({"mode": "MPOL_BIND", "nodes": "0-"}),
            &["linux.memoryPolicy.nodes: \"0-\""],
        ),
        (
            "linux.personality",
            json!({"domain": "BSD"}),
            &["linux.personality.domain: \"BSD\""],
        ),
        (
            "linux.timeOffsets",
            json!({"boottime": {"secs": 1}}),
            &["linux.timeOffsets: needs a new time namespace"],
        ),
        (
            "linux.seccomp",
            json!({"defaultAction": "SCMP_ACT_MOON"}),
            &["linux.seccomp", "SCMP_ACT_MOON"],
        ),
        (
            "linux.seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
                {"names": ["mkdir"], "action": "SCMP_ACT_LOG", "errnoRet": 7}]}),
            &["linux.seccomp", "syscalls[0]", "errno"],
        ),
        (
            "linux.resources",
            json!({"memory": {"limit": "1G"}}),
            &["linux.resources.memory.limit: ", "invalid type: string"],
        ),
        ("windows", json!({}), &["windows: ", "Linux"]),
    ]
}

/// What the kernel refuses, or what is not there.
fn found_by_the_kernel() -> Vec<Wrong> {
    const GONE: &str = "it does not exist (ENOENT)";
    vec![
        (
            "root.path",
            json!("nowhere"),
            &["root.path: ", "nowhere", GONE],
        ),
        (
            "process.cwd",
            json!("/not/there"),
            &["process.cwd: ", "/not/there", GONE],
        ),
        (
            "mounts.-",
            json!({"destination": "/m", "source": "/not/there", "options": ["bind"]}),
            &["mounts[N]: ", "/not/there", GONE],
        ),
        (
            "mounts.-",
            json!({"destination": "/m", "type": "moonfs", "source": "x"}),
            &["mounts[N]: ", "mount moonfs", "(ENODEV)", "hint: "],
        ),
        (
            "mounts.-",
            json!({"destination": "/m", "type": "tmpfs", "source": "x", "options": ["color=red"]}),
            &["mounts[N]: ", "color=red", "(EINVAL)", "hint: "],
        ),
        (
            "mounts.-",
            json!({"destination": "/file/m", "type": "tmpfs", "source": "x"}),
            &["mounts[N]: ", "/file/m", "(ENOTDIR)"],
        ),
        (
            "mounts.-",
            json!({"destination": "/file", "source": "/proc", "options": ["bind"]}),
            &["mounts[N]: ", "/file", "(ENOTDIR)"],
        ),
        (
            "mounts.-",
            json!({"destination": "/link", "type": "proc", "source": "x"}),
            &["mounts[N]: ", "/link", "(ELOOP)", "hint: "],
        ),
        (
            "process.rlimits",
            json!([{"type": "RLIMIT_NOFILE", "soft": 2, "hard": 1}]),
            &["process.rlimits[0]: ", "NOFILE", "(EINVAL)"],
        ),
        (
            "linux.sysctl",
            json!({"net.core.moon": "1"}),
            &["linux.sysctl[\"net.core.moon\"]: ", "net/core/moon", GONE],
        ),
        (
            "linux.sysctl",
            json!({"kernel.shm_rmid_forced": "moon"}),
            &[
                "linux.sysctl[\"kernel.shm_rmid_forced\"]: ",
                "moon",
                "(EINVAL)",
            ],
        ),
        (
            "process.apparmorProfile",
            json!("there-is-none"),
            &["process.apparmorProfile: ", "there-is-none", "(E"],
        ),
        (
            "linux.namespaces.0.path",
            json!("/not/there"),
            &["linux.namespaces", "/not/there", GONE],
        ),
        (
            "linux.namespaces.0.path",
            json!("/proc/self/ns/uts"),
            &["linux.namespaces", "/proc/self/ns/uts", "pid"],
        ),
        (
            "hooks",
            json!({"createContainer": [{"path": "/not/there"}]}),
            &["hooks.createContainer[0]: ", "/not/there", GONE],
        ),
        (
            "hooks",
            json!({"createRuntime": [{"path": "/bin/false"}]}),
            &["createRuntime hook /bin/false", "exited with code 1"],
        ),
    ]
}

/// What is not as it should be when that is tried.
fn refusal(wrong: &Wrong) -> Result<(), String> {
    let (path, value, words) = wrong;
    let plain = Bundle::new("wrong", "exit 0");
    let mut bundle = match is_root() {
        true => plain,
        false => plain.rootless(),
    };
    bundle.directory.file("rootfs/file", b"", 0o644);
    symlink("/tmp", bundle.directory.path().join("rootfs/link")).unwrap();
    let next = match path.starts_with("linux") {
        true => bundle.config["linux"]["namespaces"]
            .as_array()
            .unwrap()
            .len(),
        false => index_of_next_mount(&bundle),
    };
    set(&mut bundle.config, path, value.clone());
    let log = bundle.directory.path().join("log");
    let mut command = bundle.command(["--log", "log", "--log-format", "json"]);
    let outcome = run(command.args(["create", "--pid-file", "pid", "one"]));
    let context = || format!("{path}: {value}: {outcome:?}");
    let logged = fs::read_to_string(&log).unwrap_or_default();
    let entry: Value = serde_json::from_str(&logged).map_err(|_| context())?;
    let told = entry["msg"].as_str().unwrap_or_default();
    for word in *words {
        let word = word.replace("[N]", &format!("[{next}]"));
        // What to do about it is for people.
        let is_logged = told.contains(&word) || word == "hint: ";
        if !outcome.stderr.contains(&word) || !is_logged {
            return Err(format!("no {word}: {}", context()));
        }
    }
    // As if it had never been tried.
    let left = bundle.directory.path().join("pid").exists() || !bundle.entries().is_empty();
    let answer = (outcome.code(), outcome.stdout.as_str(), &entry["level"]);
    match left || answer != (1, "", &json!("error")) {
        true => Err(context()),
        false => Ok(()),
    }
}

#[track_caller]
fn are_refused(wrong: &[Wrong]) {
    let leaks = Leaks::watch();
    let mut faults = Vec::new();
    for one in wrong {
        faults.extend(refusal(one).err());
        leaks.check(one.0);
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn what_is_wrong_in_the_document_is_named() {
    are_refused(&found_in_the_document());
}

#[test]
fn what_the_kernel_refuses_is_named_and_nothing_stays() {
    are_refused(&found_by_the_kernel());
}
