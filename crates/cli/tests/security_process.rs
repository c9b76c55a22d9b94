//! What a process in a container may be and reach: users, capabilities, descriptors, names.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and prints its figures"
)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;

use serde_json::json;
use support::attack::cgroups;
use support::bundle::Bundle;
use support::{Leaks, Outcome, run};

#[track_caller]
fn running(name: &str) -> Bundle {
    let bundle = Bundle::new(name, "exec sleep 600");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    bundle
}

fn exec(bundle: &Bundle, options: &[&str], words: &[&str]) -> Outcome {
    let mut command = bundle.command(["exec"]);
    run(command.args(options).arg("one").args(words))
}

/// CVE-2016-3697: a number is a number, whatever names the container's passwd has.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn a_numeric_user_is_no_name_in_the_image() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("passwd", "exec sleep 600");
    let mounts = bundle.config["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != "/etc");
    bundle.directory.file(
        "rootfs/etc/passwd",
        b"1000:x:0:0::/:/bin/sh\nroot:x:1000:1000::/:/bin/sh\n",
        0o644,
    );
    bundle
        .directory
        .file("rootfs/etc/group", b"1000:x:0:\n", 0o644);
    bundle.config["process"]["user"] = json!({"uid": 1000, "gid": 1000});
    assert_eq!(bundle.leave("run -d one").code(), 0);
    for options in [&[][..], &["-u", "1000"], &["-u", "1000:1000"]] {
        let shown = exec(
            &bundle,
            options,
            &["/bin/grep", "-E", "^[UG]id:", "/proc/self/status"],
        );
        let text = shown.success();
        let text = text.split_whitespace().collect::<Vec<_>>();
        let ids = ["1000"; 4];
        assert_eq!(text[1..5], ids, "{options:?}");
        // Without one it is the container's group: see `crabcan exec --help`.
        assert_eq!(text[6..10], ids, "{options:?}");
    }
    assert_ne!(exec(&bundle, &["-u", "root"], &["/bin/true"]).code(), 0);
}

/// CVE-2026-30892: `-u 1` was taken as uid 0.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn every_user_is_read_exactly_or_refused() {
    let _leaks = Leaks::watch();
    let bundle = running("users");
    let show = ["/bin/sh", "-c", "echo $(id -u):$(id -g)"];
    for (user, expected) in [
        ("0", "0:0\n"),
        ("1", "1:0\n"),
        ("1:2", "1:2\n"),
        ("4294967294:65534", "4294967294:65534\n"),
        ("007", "7:0\n"),
    ] {
        let outcome = exec(&bundle, &["-u", user], &show);
        match outcome.code() {
            0 => assert_eq!(outcome.stdout, expected, "{user}"),
            _ => assert!(user.starts_with("00"), "{user}: {outcome:?}"),
        }
    }
    for user in [
        "",
        ":",
        "1:",
        ":1",
        "a",
        "0x1",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1:2:3",
        "1:a",
        "1:-1",
        "1.0",
        "4294967295",
        "4294967296",
        "1:4294967295",
        "99999999999999999999",
        "1:0x0",
        "१",
    ] {
        let outcome = exec(&bundle, &["-u", user], &show);
        assert_ne!(outcome.code(), 0, "{user:?}: {outcome:?}");
        assert_eq!(outcome.stdout, "", "{user:?}: {outcome:?}");
    }
}

/// The five sets, in the order of /proc/PID/status: inheritable, permitted, effective, bounding,
/// ambient.
#[track_caller]
fn capabilities(outcome: Outcome) -> Vec<u64> {
    let text = outcome.success();
    let words = text.lines().map(|line| line.split_whitespace().nth(1));
    words
        .map(|word| u64::from_str_radix(word.unwrap(), 16).unwrap())
        .collect()
}

/// CVE-2016-8867, CVE-2022-24769, CVE-2022-27650, CVE-2022-29162, CVE-2025-27612.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn nothing_is_inheritable_or_ambient_that_was_not_asked_for() {
    let _leaks = Leaks::watch();
    const NET_RAW: u64 = 1 << 13;
    let show = ["/bin/grep", "^Cap", "/proc/self/status"];
    let mut bundle = Bundle::new("caps", "exec sleep 600");
    let sets = json!(["CAP_NET_BIND_SERVICE", "CAP_NET_RAW"]);
    bundle.config["process"]["capabilities"] =
        json!({"bounding": sets, "effective": sets, "permitted": sets});
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let shown = capabilities(exec(&bundle, &["--cap", "CAP_NET_RAW"], &show));
    assert_eq!((shown[0], shown[4]), (0, 0), "inheritable, ambient");
    assert_eq!(shown[1] & NET_RAW, NET_RAW);
    let shown = capabilities(exec(&bundle, &["-u", "1000"], &show));
    assert_eq!((shown[0], shown[1], shown[2], shown[4]), (0, 0, 0, 0));
    // What a caller who has inheritable ones hands on.
    let text = bundle.directory.directory("spec");
    let spec = run(bundle.command(["spec"]).current_dir(&text));
    assert_eq!(spec.code(), 0, "{spec:?}");
    let spec: serde_json::Value =
        serde_json::from_slice(&fs::read(text.join("config.json")).unwrap()).unwrap();
    let sets = &spec["process"]["capabilities"];
    for set in ["inheritable", "ambient"] {
        let empty = sets[set].as_array().is_none_or(Vec::is_empty);
        assert!(empty, "spec: {set}: {}", sets[set]);
    }
}

/// CVE-2024-21626: a working directory that is a descriptor of the runtime's.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn no_working_directory_leads_out() {
    let _leaks = Leaks::watch();
    let bundle = running("cwd");
    for number in 0..32 {
        for cwd in [
            format!("/proc/self/fd/{number}"),
            format!("/proc/self/fd/{number}/.."),
            format!("/proc/1/fd/{number}"),
        ] {
            let outcome = exec(&bundle, &["--cwd", &cwd], &["/bin/ls", "../../../.."]);
            assert_ne!(outcome.code(), 0, "{cwd}: {outcome:?}");
            assert_eq!(outcome.stdout, "", "{cwd}: {outcome:?}");
        }
        // That it runs at all is too much.
        let mut other = Bundle::new("cwd-run", "echo SEEN");
        other.config["process"]["cwd"] = json!(format!("/proc/self/fd/{number}"));
        let outcome = other.run("run two");
        assert_ne!(outcome.code(), 0, "{number}: {outcome:?}");
        assert_eq!(outcome.stdout, "", "{number}: {outcome:?}");
    }
    // A link of the container's own to such a place.
    symlink(
        "/proc/self/fd/7",
        bundle.directory.path().join("rootfs/link"),
    )
    .unwrap();
    assert_ne!(exec(&bundle, &["--cwd", "/link"], &["/bin/true"]).code(), 0);
}

/// The same: descriptors that the caller has left open stay outside, by create, run and exec.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn descriptors_of_the_callers_stay_outside() {
    let _leaks = Leaks::watch();
    let bundle = running("leaked");
    let list =
        "for n in $(seq 3 99); do [ -e /proc/self/fd/$n ] && readlink /proc/self/fd/$n; done; true";
    let mut other = Bundle::new("leaked-run", list);
    other.config["root"]["readonly"] = json!(false);
    drop(other.command(["state"]));
    let program = support::program();
    let open: String = (3..100).map(|n| format!("exec {n}</; ")).collect();
    for words in [
        format!("{} exec one /bin/sh -c '{list}'", bundle.before.join(" ")),
        format!(
            "{} run -b {} two",
            other.before.join(" "),
            other.directory.text()
        ),
    ] {
        let mut command = Command::new("/bin/bash");
        command.args(["-c", &format!("{open} {} {words}", program.display())]);
        let outcome = run(&mut command);
        // What the shell itself has opened to read its script is not there any more.
        assert_eq!(outcome.success(), "", "{words}");
    }
}

/// CVE-2022-0811: a value with a `+` set another sysctl.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn a_sysctl_is_one_key_and_one_value() {
    let _leaks = Leaks::watch();
    let read = |name: &str| fs::read(format!("/proc/sys/kernel/{name}")).unwrap();
    let before = (read("core_pattern"), read("panic"));
    for (key, value) in [
        ("kernel.shm_rmid_forced", "1+kernel.core_pattern=|/evil"),
        ("kernel.shm_rmid_forced", "1\nkernel.core_pattern=|/evil"),
        ("kernel.core_pattern", "|/evil"),
        ("kernel/core_pattern", "|/evil"),
        ("kernel.msgmax.core_pattern", "|/evil"),
        ("net.ipv4/../../kernel/core_pattern", "|/evil"),
        ("net.ipv4.../kernel.core_pattern", "|/evil"),
        ("net/../kernel/core_pattern", "|/evil"),
        ("kernel.panic", "77"),
        ("vm.drop_caches", "1"),
    ] {
        let mut bundle = Bundle::new("sysctl", "true");
        bundle.config["linux"]["sysctl"] = json!({key: value});
        let outcome = bundle.run("run sysctl");
        assert_ne!(outcome.code(), 0, "{key}={value}: {outcome:?}");
        assert_eq!(
            (read("core_pattern"), read("panic")),
            before,
            "{key}={value}"
        );
        assert_eq!(bundle.entries(), [""; 0]);
    }
}

/// G6: set-user-ID crabcan would give what it must not have.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn a_set_user_id_crabcan_refuses_to_run() {
    let _leaks = Leaks::watch();
    let directory = support::TempDir::new("setuid");
    let copy = directory.path().join("crabcan");
    fs::copy(support::program(), &copy).unwrap();
    let user = |program: &std::path::Path| {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(program);
        command.args(["--", "/bin/id", "-u"]).uid(61234).gid(61234);
        run(command.current_dir("/"))
    };
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(user(&copy).stdout, "61234\n");
    for mode in [0o4755, 0o2755, 0o6755] {
        fs::set_permissions(&copy, fs::Permissions::from_mode(mode)).unwrap();
        let outcome = user(&copy);
        let message = outcome.failure(125);
        assert!(message.contains("set-"), "{mode:o}: {message}");
    }
    let own = fs::metadata(support::program()).unwrap().mode();
    assert_eq!(own & 0o6000, 0, "and it is not installed like that");
}

/// crun 1.28, firejail's joins: names that are paths, and states that others have forged.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn names_are_no_paths() {
    let _leaks = Leaks::watch();
    let bundle = running("names");
    let long = "a".repeat(1025);
    for id in ["..", ".", "a/b", "../x", "/x", "", "a\nb", "é", &long] {
        for words in [["create", id], ["state", id], ["kill", id], ["delete", id]] {
            let outcome = run(&mut bundle.command(words));
            assert_ne!(outcome.code(), 0, "{words:?}: {outcome:?}");
        }
        let forced = run(&mut bundle.command(["delete", "--force", id]));
        assert_ne!(forced.code(), 0, "{id:?}: {forced:?}");
    }
    for cgroup in ["..", "../..", "a/../..", "/../.."] {
        let outcome = exec(&bundle, &["--cgroup", cgroup], &["/bin/true"]);
        assert_ne!(outcome.code(), 0, "{cgroup}: {outcome:?}");
    }
    // The last one leads through cgroups that are there.
    let own = bundle.config["linux"]["cgroupsPath"].as_str().unwrap();
    let beside = format!("{own}/../hard-up");
    for path in [
        "../../hard-up",
        "a/../../../hard-up",
        "/../hard-up",
        &beside,
    ] {
        let mut other = Bundle::new("up", "cat /proc/self/cgroup");
        other.config["linux"]["cgroupsPath"] = json!(path);
        let outcome = other.run("run up");
        assert_ne!(outcome.code(), 0, "{path}: {outcome:?}");
    }
    assert_eq!(cgroups("hard-up").len(), 0);
}

/// The same: a state directory that somebody else may write is not believed.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn a_forged_state_is_not_believed() {
    let _leaks = Leaks::watch();
    let bundle = running("forged");
    let state = bundle.state_directory();
    for (mode, owner) in [(0o777, 0), (0o770, 0), (0o700, 1000)] {
        fs::set_permissions(&state, fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(&state, Some(owner), Some(owner)).unwrap();
        for words in [
            "state one",
            "kill one 9",
            "exec one true",
            "delete --force one",
            "gc",
        ] {
            let outcome = bundle.run(words);
            assert_ne!(outcome.code(), 0, "{words} {mode:o} {owner}: {outcome:?}");
        }
    }
    std::os::unix::fs::chown(&state, Some(0), Some(0)).unwrap();
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    // A link at the name of an entry, and in an entry (CVE-2015-1331).
    symlink(state.join("one"), state.join("link")).unwrap();
    assert_ne!(bundle.run("state link").code(), 0);
    assert_ne!(bundle.run("create link").code(), 0);
    fs::remove_file(state.join("link")).unwrap();
    assert_eq!(bundle.status("one"), "running");
}

/// CVE-2023-25809: a rootless container in the host's cgroup namespace may not write to cgroups.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn cgroups_of_the_hosts_are_not_writable() {
    let _leaks = Leaks::watch();
    let script = "for d in /sys/fs/cgroup /sys/fs/cgroup/*; do \
        mkdir $d/hard-written 2>/dev/null && echo SEEN $d; \
        ( echo 0 > $d/cgroup.procs ) 2>/dev/null && echo SEEN $d/cgroup.procs; done; \
        ( echo x > /sys/fs/cgroup/memory/release_agent ) 2>/dev/null && echo SEEN; true";
    let mut bundle = Bundle::new("cgroupfs", script);
    bundle.directory.directory("rootfs/sys");
    bundle.config["mounts"].as_array_mut().unwrap().extend([
        json!({"destination": "/sys", "type": "bind", "source": "/sys", "options": ["rbind", "ro"]}),
        json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["ro", "nosuid", "noexec", "nodev"]}),
    ]);
    let mut outcomes = vec![bundle.run("run cgroupfs")];
    bundle.config["linux"]["uidMappings"] =
        json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    bundle.config["linux"]["gidMappings"] = bundle.config["linux"]["uidMappings"].clone();
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({"type": "user"}));
    outcomes.push(bundle.run("run cgroupfs"));
    outcomes.push(run(&mut support::shell(&["--uid", "0"], script)));
    for outcome in outcomes {
        assert!(!outcome.stdout.contains("SEEN"), "{outcome:?}");
    }
    assert_eq!(cgroups("hard-written").len(), 0);
}

/// CVE-2021-43784: lengths that overflowed a field of the bootstrap message.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn long_lists_and_paths_work_or_are_refused() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("long", "echo $$");
    let path = format!("/tmp/{}", "a/".repeat(35_000));
    bundle.config["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({"destination": path, "type": "tmpfs", "source": "tmpfs"}));
    let outcome = bundle.run("run long");
    assert_ne!(outcome.code(), 0, "{outcome:?}");
    assert!(outcome.stderr.len() < 100_000, "a message one can read");
    let mut bundle = Bundle::new("long", "cat /proc/self/uid_map | wc -l");
    let maps: Vec<_> = (0..300)
        .map(|n| json!({"containerID": n, "hostID": 100_000 + 2 * n, "size": 1}))
        .collect();
    bundle.config["linux"]["uidMappings"] = json!(maps);
    bundle.config["linux"]["gidMappings"] = json!(maps);
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({"type": "user"}));
    let outcome = bundle.run("run long");
    assert!(
        outcome.code() != 0 || outcome.stdout.trim() == "300",
        "{outcome:?}"
    );
}
