//! Pods of an ordinary user, and its containers with a range of ids.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;

use serde_json::json;
use support::Leaks;
use support::bundle::Bundle;

/// Two bundles that share a pod's namespaces by their paths. Whoever joins it has to be in the
/// pod's user namespace, which owns the others.
#[test]
fn a_pod_of_an_ordinary_user() {
    let _leaks = Leaks::watch();
    let pause = Bundle::new("pod-pause", "exec sleep 600").rootless();
    assert_eq!(pause.leave("run -d pause").code(), 0);
    let pid = pause.state("pause")["pid"].clone();
    let script = "for kind in user pid net ipc mnt uts; do readlink /proc/self/ns/$kind; done; \
        tr '\\0' ' ' < /proc/1/cmdline; echo; id -u; exec sleep 600 <&- >&- 2>&-";
    let mut member = Bundle::new("pod-member", script).rootless();
    let linux = &mut member.config["linux"];
    for request in linux["namespaces"].as_array_mut().unwrap() {
        let name = match request["type"].as_str().unwrap() {
            "network" => "net",
            kind @ ("user" | "pid" | "ipc") => kind,
            _ => continue,
        };
        request["path"] = json!(format!("/proc/{pid}/ns/{name}"));
    }
    // They are the pod's.
    let linux = linux.as_object_mut().unwrap();
    linux.remove("uidMappings");
    linux.remove("gidMappings");
    // The state that a hook is given has the pid of who goes on in the pod.
    let seen = member.directory.path().join("seen");
    let hook = format!("cat > {}", seen.display());
    member.config["hooks"]["createRuntime"] =
        json!([{"path": "/bin/sh", "args": ["sh", "-c", hook], "env": ["PATH=/usr/bin:/bin"]}]);
    let text = member.run("run -d member").success();
    let lines: Vec<&str> = text.lines().collect();
    let kinds = ["user", "pid", "net", "ipc", "mnt", "uts"];
    for (kind, line) in kinds.iter().zip(&lines) {
        let of_pod = fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        let shared = !["mnt", "uts"].contains(kind);
        let same = of_pod.to_str() == Some(line);
        assert_eq!(same, shared, "{kind}: {text}");
    }
    assert_eq!(lines[6], "sleep 600 ", "pid 1 is the pod's");
    assert_eq!(lines[7], "0");
    let own = member.state("member")["pid"].as_i64().unwrap();
    let state: serde_json::Value = serde_json::from_slice(&fs::read(seen).unwrap()).unwrap();
    assert_eq!(state["pid"].as_i64(), Some(own));
    let inside = member.run("exec member sh -c echo").success();
    assert_eq!(inside, "\n");
    member.run("kill member 9").success();
    // An orphan of this program's, which has to be reaped before the pod can end.
    let own = nix::unistd::Pid::from_raw(i32::try_from(own).unwrap());
    nix::sys::wait::waitpid(own, None).unwrap();
    member.run("delete member").success();
}

/// As an ordinary user, what is joined must belong to a user namespace that is joined too.
#[test]
fn what_belongs_to_others_is_not_joined() {
    if nix::unistd::geteuid().is_root() {
        return;
    }
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("not-joined", "true").rootless();
    for request in bundle.config["linux"]["namespaces"].as_array_mut().unwrap() {
        if request["type"] == "network" {
            request["path"] = json!("/proc/self/ns/net");
        }
    }
    let outcome = bundle.run("run one");
    assert_eq!(outcome.code(), 1, "{outcome:?}");
    assert!(outcome.stderr.contains("net"), "{outcome:?}");
    assert!(outcome.stderr.contains("EPERM"), "{outcome:?}");
    assert!(bundle.entries().is_empty());
}

/// Clocks that are set back and forth, of an ordinary user's container too.
#[test]
fn clocks_of_an_ordinary_user() {
    let _leaks = Leaks::watch();
    let script = "cut -d. -f1 /proc/uptime";
    let mut bundle = Bundle::new("clocks", script).rootless();
    let uptime = |text: &str| text.trim().parse::<u64>().unwrap();
    let own = fs::read_to_string("/proc/uptime").unwrap();
    let own = uptime(own.split('.').next().unwrap());
    let linux = &mut bundle.config["linux"];
    let namespaces = linux["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({"type": "time"}));
    linux["timeOffsets"] = json!({"boottime": {"secs": 1_000_000, "nanosecs": 5}});
    let text = bundle.run("run one").success();
    let passed = uptime(&text) - own;
    assert!((1_000_000..1_000_600).contains(&passed), "{passed}");
}
