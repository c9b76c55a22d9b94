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
use std::time::{Duration, Instant};

use serde_json::json;
use support::bundle::Bundle;
use support::cgroup::places;
use support::running::Running;
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

/// Each flag of `update` with the file that it changes: of v1 with its controller, and of v2. What
/// v2 has not is refused there.
const CHANGED: [(&str, &str, &str, &str, &str, &str); 13] = [
    (
        "--memory-reservation=32M",
        "memory",
        "memory.soft_limit_in_bytes",
        "33554432",
        "memory.low",
        "33554432",
    ),
    (
        "--memory-swap=256M",
        "memory",
        "memory.memsw.limit_in_bytes",
        "268435456",
        "memory.swap.max",
        "134217728",
    ),
    (
        "--kernel-memory-tcp=8M",
        "memory",
        "memory.kmem.tcp.limit_in_bytes",
        "8388608",
        "",
        "",
    ),
    (
        "--cpu-period=50000",
        "cpu",
        "cpu.cfs_period_us",
        "50000",
        "cpu.max",
        "max 50000",
    ),
    (
        "--cpu-quota=20000",
        "cpu",
        "cpu.cfs_quota_us",
        "20000",
        "cpu.max",
        "20000 50000",
    ),
    (
        "--cpu-burst=5000",
        "cpu",
        "cpu.cfs_burst_us",
        "5000",
        "cpu.max.burst",
        "5000",
    ),
    (
        "--cpu-share=512",
        "cpu",
        "cpu.shares",
        "512",
        "cpu.weight",
        "59",
    ),
    (
        "--cpu-shares=1024",
        "cpu",
        "cpu.shares",
        "1024",
        "cpu.weight",
        "100",
    ),
    (
        "--cpu-quota=-1",
        "cpu",
        "cpu.cfs_quota_us",
        "-1",
        "cpu.max",
        "max 50000",
    ),
    (
        "--cpuset-cpus=0",
        "cpuset",
        "cpuset.cpus",
        "0",
        "cpuset.cpus",
        "0",
    ),
    (
        "--cpuset-mems=0",
        "cpuset",
        "cpuset.mems",
        "0",
        "cpuset.mems",
        "0",
    ),
    (
        "--pids-limit=55",
        "pids",
        "pids.max",
        "55",
        "pids.max",
        "55",
    ),
    (
        "--pids-limit=-1",
        "pids",
        "pids.max",
        "max",
        "pids.max",
        "max",
    ),
];

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn every_limit_that_can_be_changed_is_in_its_file() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("changes", "exec sleep 600");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    bundle.run("update --memory 128M one").success();
    let places = places(&bundle);
    let read = |controller: &str, legacy: &str, unified: &str| {
        let of_v1 = |(controllers, _): &&(String, PathBuf)| {
            controllers.split(',').any(|one| one == controller)
        };
        let (place, name) = match places.iter().find(of_v1) {
            Some((_, place)) => (place, legacy),
            None => {
                let of_v2 = |(controllers, _): &&(String, PathBuf)| controllers.is_empty();
                (&places.iter().find(of_v2).unwrap().1, unified)
            }
        };
        let text = fs::read_to_string(place.join(name));
        text.unwrap_or_else(|error| panic!("{name} in {}: {error}", place.display()))
            .trim()
            .to_owned()
    };
    let is_unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    for (flag, controller, legacy, in_v1, unified, in_v2) in CHANGED {
        let outcome = bundle.run(&format!("update {flag} one"));
        if is_unified && unified.is_empty() {
            assert_eq!(outcome.code(), 1, "{flag}: {outcome:?}");
            continue;
        }
        outcome.success();
        let expected = if is_unified { in_v2 } else { in_v1 };
        assert_eq!(read(controller, legacy, unified), expected, "{flag}");
    }
    bundle.run("update --cpu-idle=1 one").success();
    assert_eq!(read("cpu", "cpu.idle", "cpu.idle"), "1");
    // What not every kernel has is an error that names it, and never silence.
    for flag in [
        "--cpu-rt-period=900000",
        "--cpu-rt-runtime=0",
        "--blkio-weight=200",
        "--kernel-memory=64M",
    ] {
        let outcome = bundle.run(&format!("update {flag} one"));
        match outcome.code() {
            0 => assert_eq!(outcome.stderr, "", "{flag}"),
            _ => assert!(
                outcome.stderr.contains("linux.resources"),
                "{flag}: {outcome:?}"
            ),
        }
    }
    bundle.run("delete --force one").success();
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_process_waits_in_a_paused_container_if_that_is_wanted() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("paused", "exec sleep 600");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    bundle.run("pause one").success();
    assert_eq!(bundle.run("exec one true").code(), 255);
    let mut waiting = bundle
        .command(["exec", "--ignore-paused", "one", "true"])
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(waiting.try_wait().unwrap().is_none(), "it is frozen too");
    bundle.run("resume one").success();
    assert!(waiting.wait().unwrap().success());
}

/// Again and again, until the container has ended; `ps` takes the options of ps(1).
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn what_is_counted_is_printed_at_intervals() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("interval", "exec sleep 600");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let table = bundle.run("ps one -eo pid,comm").success();
    let lines: Vec<&str> = table.lines().map(str::trim).collect();
    let pid = bundle.state("one")["pid"].to_string();
    assert_eq!(lines[1..], [format!("{pid} sleep")], "{table}");
    let begun = Instant::now();
    let running = Running::start(&mut bundle.command(["events", "--interval", "200ms", "one"]));
    for _ in 0..4 {
        let line = running.line();
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(event["type"], "stats", "{line}");
    }
    assert!(begun.elapsed() >= Duration::from_millis(600));
    bundle.run("delete --force one").success();
    assert!(running.finish().success());
    let outcome = bundle.run("events --interval soon one");
    assert_eq!(outcome.code(), 1, "{outcome:?}");
    assert!(outcome.stderr.contains("--interval soon"), "{outcome:?}");
}

/// The caller's session keyring, by its number, or an empty one of the container's.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_session_keyring_is_the_callers_only_if_that_is_wanted() {
    let _leaks = Leaks::watch();
    if !std::path::Path::new("/usr/bin/python3").exists() {
        return support::lacks("python3");
    }
    // keyctl(2): joining a new session keyring is 1, and the number of one's own is 0.
    let call = "import ctypes, os, platform, sys; call = ctypes.CDLL(None).syscall; \
        number = 219 if platform.machine() == 'aarch64' else 250; ";
    let own = format!("{call}print(call(number, 0, -3, 0), flush=True)");
    let mut bundle = Bundle::new("keyring", "");
    bundle.config["process"]["args"] = json!(["/usr/bin/python3", "-c", own]);
    let caller = format!(
        "{call}call(number, 1, None); print(call(number, 0, -3, 0), flush=True); \
        os.execv(sys.argv[1], sys.argv[1:])"
    );
    let numbers = |options: &[&str]| {
        let inner = bundle.command(["run"]);
        let mut command = std::process::Command::new("/usr/bin/python3");
        command.args(["-c", &caller]).arg(inner.get_program());
        command.args(inner.get_args()).args(options).arg("one");
        command.current_dir(bundle.directory.path());
        let text = run(&mut command).success();
        let numbers = text.lines().map(|line| line.parse::<i64>().unwrap());
        numbers.collect::<Vec<_>>()
    };
    let [callers, containers] = numbers(&["--no-new-keyring"])[..] else {
        panic!("two numbers");
    };
    assert!(callers > 0 && callers == containers);
    let [callers, containers] = numbers(&[])[..] else {
        panic!("two numbers");
    };
    assert!(callers > 0 && containers > 0 && callers != containers);
}
