//! The life of root's containers: cgroups, terminals, pods, and an attacker inside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use support::Leaks;
use support::bundle::Bundle;

#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The directories of a container's cgroup in every hierarchy that is mounted.
fn cgroups(name: &str) -> Vec<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = mounts.lines().filter(|line| line.contains(" - cgroup"));
    let points = points.filter_map(|line| line.split(' ').nth(4));
    let directories = points.map(|point| format!("{point}/{name}"));
    directories
        .filter(|path| Path::new(path).is_dir())
        .collect()
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_container_is_paused_counted_limited_and_gone() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("cgroup", "while :; do sleep 0.01; done");
    let name = format!("crabcan-test-{}", std::process::id());
    bundle.config["linux"]["cgroupsPath"] = json!(format!("/{name}"));
    assert_eq!(bundle.leave("run -d one").code(), 0);
    assert!(!cgroups(&name).is_empty());
    let pid = bundle.state("one")["pid"].clone();
    let pids: Vec<Value> = serde_json::from_str(&bundle.run("ps -f json one").success()).unwrap();
    assert!(pids.contains(&pid), "{pids:?}");
    let table = bundle.run("ps one").success();
    assert!(
        table.lines().count() >= 2 && table.contains(&pid.to_string()),
        "{table}"
    );
    bundle.run("pause one").success();
    assert_eq!(bundle.status("one"), "paused");
    let exec = bundle.run("exec one true");
    assert_eq!(exec.code(), 255);
    assert!(exec.stderr.contains("paused"), "{exec:?}");
    assert_eq!(bundle.run("pause one").code(), 1);
    bundle.run("resume one").success();
    assert_eq!(bundle.status("one"), "running");
    assert_eq!(bundle.run("resume one").code(), 1);
    let event: Value = serde_json::from_str(&bundle.run("events --stats one").success()).unwrap();
    assert_eq!(
        (&event["type"], &event["id"]),
        (&json!("stats"), &json!("one"))
    );
    assert!(event["data"]["cpu"]["usage"]["total"].as_u64().is_some());
    // What this host's hierarchies can't limit is an error, and never silence.
    let update = bundle.run("update --pids-limit 50 one");
    let limits: Vec<String> = cgroups(&name)
        .iter()
        .filter_map(|path| fs::read_to_string(format!("{path}/pids.max")).ok())
        .collect();
    match update.code() {
        0 => assert!(limits.contains(&"50\n".to_owned()), "{limits:?}"),
        _ => assert!(update.stderr.contains("pids"), "{update:?}"),
    }
    // Fault 10: a frozen one too.
    bundle.run("pause one").success();
    bundle.run("delete --force one").success();
    assert_eq!(cgroups(&name), [""; 0]);
}

/// The root of a cgroup namespace is where its maker was: init makes it when it is in its cgroup.
/// Who is executed in the container is there too.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_cgroup_namespace_begins_with_the_containers_cgroup() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("cgroupns", "cat /proc/self/cgroup; sleep 600");
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({"type": "cgroup"}));
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let seen = bundle.run("exec one cat /proc/self/cgroup").success();
    let output = bundle.directory.path().join("stdout");
    until("it has told", || {
        fs::read_to_string(&output).unwrap() == seen
    });
    assert!(!seen.is_empty());
    for line in seen.lines() {
        assert_eq!(line.splitn(3, ':').nth(2), Some("/"), "{seen}");
    }
    bundle.run("delete --force one").success();
}

/// A container without a cgroup of its own is in its maker's, and can't be limited.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn cgroups_that_are_disabled_are_not_made() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("nocgroup", "cat /proc/self/cgroup");
    bundle.before.push("--cgroup-manager=disabled".into());
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    assert_eq!(bundle.run("run one").success(), own);
    bundle.config["linux"]["resources"] = json!({"memory": {"limit": 64 << 20}});
    let refused = bundle.run("run one");
    assert!(refused.stderr.contains("linux.resources"), "{refused:?}");
    assert_eq!(refused.code(), 1);
}

/// Scopes are in cgroup v2 alone: another host has none, and nothing is made there.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn systemd_is_refused_where_it_does_not_rule() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("noscope", "true");
    if Path::new("/run/systemd/system").is_dir() {
        return;
    }
    bundle.before.push("--systemd-cgroup".into());
    let linux = bundle.config["linux"].as_object_mut().unwrap();
    linux.remove("cgroupsPath");
    let refused = bundle.run("run one");
    assert_eq!(refused.code(), 1, "{refused:?}");
    assert!(refused.stderr.contains("--systemd-cgroup"), "{refused:?}");
    assert_eq!(bundle.entries(), [""; 0]);
    bundle.config["linux"]["cgroupsPath"] = json!("/no/scope");
    let refused = bundle.run("run one");
    assert!(refused.stderr.contains("linux.cgroupsPath"), "{refused:?}");
}

/// Without a pid namespace the end of the first process is not the end of the others.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn processes_that_outlive_the_first_one_are_reached() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("outlive", "sleep 600 & sleep 600 & exit 0");
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    until("it is stopped", || bundle.status("one") == "stopped");
    let pids = bundle.run("ps -f json one").success();
    let pids: Vec<i32> = serde_json::from_str(&pids).unwrap();
    assert_eq!(pids.len(), 2, "{pids:?}");
    bundle.run("kill one KILL").success();
    until("they end", || {
        bundle.run("ps -f json one").success() == "[]\n"
    });
    bundle.run("delete one").success();
    assert_eq!(bundle.leave("run -d two").code(), 0);
    until("it is stopped", || bundle.status("two") == "stopped");
    bundle.run("kill --all two TERM").success();
    bundle.run("delete two").success();
}

/// Takes one descriptor from a connection.
fn receive(listener: &UnixListener) -> OwnedFd {
    let (socket, _) = listener.accept().unwrap();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 256];
    let mut bytes = [IoSliceMut::new(&mut name)];
    recvmsg(&socket, &mut bytes, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    descriptor.unwrap()
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_master_of_a_terminal_goes_through_a_socket() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new(
        "console",
        "stty size; tty; read line; echo got $line; sleep 600",
    );
    bundle.config["process"]["terminal"] = json!(true);
    bundle.config["process"]["consoleSize"] = json!({"height": 33, "width": 44});
    let socket = bundle.directory.path().join("console");
    // Nobody there: an error at once, and nothing is left.
    let start = Instant::now();
    let create = bundle.leave("create --console-socket console one");
    assert_eq!(create.code(), 1, "{create:?}");
    assert!(create.stderr.contains("console"), "{create:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(bundle.entries(), [""; 0]);
    assert_eq!(bundle.leave("create one").code(), 1);
    let listener = UnixListener::bind(&socket).unwrap();
    assert_eq!(
        bundle.leave("create --console-socket console one").code(),
        0
    );
    let mut master = fs::File::from(receive(&listener));
    bundle.run("start one").success();
    // A terminal hands over what is there, which may be less than a line.
    let read_until = |master: &mut fs::File, end: &str| {
        let (mut said, mut buffer) = (String::new(), [0; 256]);
        while !said.contains(end) {
            let count = master.read(&mut buffer).unwrap();
            said.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        said
    };
    let text = read_until(&mut master, "/dev/pts/0\r\n");
    assert!(text.starts_with("33 44\r\n"), "{text}");
    master.write_all(b"hello\n").unwrap();
    read_until(&mut master, "got hello");
    // The same for one more process; its terminal is another one.
    let process = json!({"terminal": true, "args": ["/bin/sh", "-c", "tty; exec sleep 600"],
        "cwd": "/", "env": ["PATH=/bin:/usr/bin"], "user": {"uid": 0, "gid": 0}});
    bundle
        .directory
        .file("process", process.to_string().as_bytes(), 0o644);
    let words = "exec --process process --detach --pid-file pid --console-socket console one";
    assert_eq!(bundle.leave(words).code(), 0);
    let mut other = fs::File::from(receive(&listener));
    assert_eq!(read_until(&mut other, "\n"), "/dev/pts/1\r\n");
    let pid = fs::read_to_string(bundle.directory.path().join("pid")).unwrap();
    let pid = nix::unistd::Pid::from_raw(pid.parse().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    nix::sys::wait::waitpid(pid, None).unwrap();
}

/// Two bundles that share the namespaces of a pod by their paths.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_pod_of_two_containers() {
    let _leaks = Leaks::watch();
    let pause = Bundle::new("pause", "exec sleep 600");
    assert_eq!(pause.leave("run -d pause").code(), 0);
    let pid = pause.state("pause")["pid"].clone();
    let script = "for kind in pid net ipc mnt uts; do readlink /proc/self/ns/$kind; done; \
        tr '\\0' ' ' < /proc/1/cmdline; echo; echo $$; exec sleep 600 <&- >&- 2>&-";
    let mut member = Bundle::new("member", script);
    for (index, kind) in [(0, "pid"), (1, "ipc"), (4, "net")] {
        let path = format!("/proc/{pid}/ns/{kind}");
        member.config["linux"]["namespaces"][index]["path"] = json!(path);
    }
    let text = member.run("run -d member").success();
    let lines: Vec<&str> = text.lines().collect();
    for (line, (kind, shared)) in lines.iter().zip([
        ("pid", true),
        ("net", true),
        ("ipc", true),
        ("mnt", false),
        ("uts", false),
    ]) {
        let of_pod = fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        assert_eq!(Path::new(line) == of_pod, shared, "{kind}: {text}");
    }
    assert_eq!(lines[5], "sleep 600 ");
    assert_ne!(lines[6], "1", "{text}");
    assert_eq!(member.status("member"), "running");
    let inside = member.run("exec member sh -c echo").success();
    assert_eq!(inside, "\n");
    // Its process is an orphan of this program's, which has to be reaped before the pod can end.
    let pid = member.state("member")["pid"].as_i64().unwrap();
    member.run("kill member 9").success();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::wait::waitpid(pid, None).unwrap();
    member.run("delete member").success();
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_configuration_that_spec_writes_runs_unchanged() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("spec", "");
    let Some(busybox) = support::roots::static_busybox() else {
        return support::lacks("static busybox");
    };
    let directory = bundle.directory.directory("own");
    fs::create_dir_all(directory.join("rootfs/bin")).unwrap();
    fs::copy(busybox, directory.join("rootfs/bin/sh")).unwrap();
    let own = directory.display().to_string();
    bundle.run(&format!("spec --bundle {own}")).success();
    // It is not written over.
    assert_eq!(bundle.run(&format!("spec --bundle {own}")).code(), 1);
    let text = fs::read_to_string(directory.join("config.json")).unwrap();
    assert!(text.contains("\"terminal\": true"), "{text}");
    let listener = UnixListener::bind(bundle.directory.path().join("console")).unwrap();
    let words = format!("create --console-socket console --bundle {own} spec");
    let create = bundle.leave(&words);
    assert_eq!((create.code(), create.stderr.as_str()), (0, ""));
    let mut master = fs::File::from(receive(&listener));
    bundle.run("start spec").success();
    master.write_all(b"echo $((6 * 7))\nexit\n").unwrap();
    let mut said = Vec::new();
    let mut buffer = [0; 256];
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        said.extend_from_slice(&buffer[..count]);
    }
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains("42"), "{said}");
    until("it ends", || bundle.status("spec") == "stopped");
    bundle.run("delete spec").success();
}
