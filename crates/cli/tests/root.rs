//! What a sandbox is that root starts: root's own files stay root's, and ids are the container's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use support::roots::BashRoot;
use support::running::Running;
use support::{Leaks, TempDir, crabcan, run, shell};

fn owner(path: &Path) -> (u32, u32) {
    let data = path.symlink_metadata().unwrap();
    (data.uid(), data.gid())
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn files_that_only_root_may_read_stay_unreadable() {
    let _leaks = Leaks::watch();
    fs::read("/etc/shadow").expect("this test is run by root");
    for options in [
        &[][..],
        &["--uid", "0"],
        &["--uid", "1000"],
        &["--as-pid-1"],
    ] {
        let mut command = crabcan(options);
        let outcome = run(command
            .args(["--", "cat", "/etc/shadow"])
            .env("LC_ALL", "C"));
        assert_eq!(
            (outcome.code(), outcome.stdout.as_str()),
            (1, ""),
            "{outcome:?}"
        );
        assert!(outcome.stderr.contains("Permission denied"), "{outcome:?}");
    }
    // Nobody in the container owns them: not its root either, which may change modes of its own.
    let outcome = run(&mut shell(
        &["--uid", "0"],
        "stat -c %u:%g /etc /etc/shadow",
    ));
    assert_eq!(outcome.success(), "65534:65534\n65534:65534\n");
}

/// What the container's ids own is owned by the same ids on the disk.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_root_that_is_written_through_keeps_its_owners() {
    let _leaks = Leaks::watch();
    let root = BashRoot::with_mount_points();
    let directory = root.directory();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777)).unwrap();
    for uid in ["0", "1000", "5000"] {
        let mut command = crabcan(&root.options);
        command.args(["--uid", uid, "--", "/bash", "-c"]);
        command.arg(format!(
            "echo x > /of-{uid} && [ -O /of-{uid} ] && echo mine"
        ));
        let outcome = run(command.current_dir(root.above.path()));
        assert_eq!(outcome.success(), "mine\n");
        let number = uid.parse().unwrap();
        assert_eq!(
            owner(&directory.join(format!("of-{uid}"))),
            (number, number)
        );
    }
    // The same file again: what root made is root's in the container, and 1000 can't write it.
    let mut command = crabcan(&root.options);
    let script = "[ -O /of-1000 ] && echo mine; echo x > /of-0 || echo refused";
    command.args(["--uid", "1000", "--", "/bash", "-c", script]);
    let outcome = run(command.current_dir(root.above.path()));
    assert_eq!(outcome.stdout, "mine\nrefused\n", "{outcome:?}");
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn an_added_directory_keeps_its_owners() {
    let _leaks = Leaks::watch();
    let source = TempDir::new("source");
    let theirs = source.file("theirs", b"x\n", 0o600);
    chown(&theirs, Some(1000), Some(1001)).unwrap();
    let add = format!("{}:/tmp/x", source.text());
    let script = "stat -c %u:%g /tmp/x/theirs; echo x > /tmp/x/new; chown 33:34 /tmp/x/new; \
                  stat -c %u:%g /tmp/x/new";
    let outcome = run(&mut shell(&["--uid", "0", "--add", &add], script));
    assert_eq!(outcome.success(), "1000:1001\n33:34\n");
    assert_eq!(owner(&source.path().join("new")), (33, 34));
    assert_eq!(owner(&theirs), (1000, 1001));
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_file_system_that_refuses_id_mapped_mounts_is_named() {
    let _leaks = Leaks::watch();
    for (source, fstype) in [("/proc", "proc"), ("/sys", "sysfs")] {
        let add = format!("{source}:/tmp/x");
        let outcome = run(&mut crabcan(["--add", &add, "--", "true"]));
        let message = outcome.failure(125);
        assert!(
            message.contains(source) && message.contains(fstype),
            "{message}"
        );
        assert!(outcome.stderr.contains("\nhint: "), "{outcome:?}");
        assert!(outcome.stderr.contains("--userns host"), "{outcome:?}");
        let options = ["--userns", "host", "--add", &add, "--", "true"];
        assert_eq!(run(&mut crabcan(options)).success(), "");
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_hosts_users_are_an_explicit_choice() {
    let _leaks = Leaks::watch();
    let host = ["--userns", "host"];
    let map = |options: &[&str]| {
        let text = run(&mut shell(options, "cat /proc/self/uid_map")).success();
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let own: Vec<String> = fs::read_to_string("/proc/self/uid_map")
        .unwrap()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    assert_eq!(map(&host), own);
    assert_ne!(map(&[]), own);
    let outcome = run(&mut shell(
        &["--userns", "host", "--uid", "1000"],
        "id -u; id -g",
    ));
    assert_eq!(outcome.success(), "1000\n1000\n");
}

/// With the host's ids nothing but these covers keeps the kernel's files from the container.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn with_the_hosts_users_the_kernels_files_are_covered() {
    let _leaks = Leaks::watch();
    let mut command = crabcan(["explain", "--userns", "host"]);
    let steps = run(command.args(["--", "true"])).success();
    let after = |word: &str| -> Vec<String> {
        let paths = steps.lines().filter_map(|line| line.split_once(word));
        paths.map(|(_, path)| path.to_owned()).collect()
    };
    let masked = after(" mask ");
    for path in [
        "/proc/kcore",
        "/proc/keys",
        "/proc/timer_list",
        "/sys/firmware",
    ] {
        assert!(masked.iter().any(|it| it == path), "{path}: {masked:?}");
    }
    let mut covered = 0;
    for path in masked
        .iter()
        .filter(|path| fs::symlink_metadata(path).is_ok())
    {
        let script = format!("if [ -d {path} ]; then ls -A {path}; else head -c 1 {path}; fi");
        let outcome = run(&mut shell(&["--userns", "host"], &script));
        assert_eq!(outcome.success(), "", "{path}");
        covered += 1;
    }
    assert!(covered > 2, "{masked:?}");
    let files = [
        "/proc/sys/kernel/hostname",
        "/proc/sys/vm/swappiness",
        "/proc/sysrq-trigger",
    ];
    for file in files.iter().filter(|path| Path::new(path).exists()) {
        let mut command = shell(&["--userns", "host"], &format!("(: > {file}) 2>&1"));
        let outcome = run(command.env("LC_ALL", "C"));
        assert!(
            outcome.stdout.contains("Read-only file system"),
            "{outcome:?}"
        );
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn containers_at_once_have_ids_of_their_own() {
    let _leaks = Leaks::watch();
    let start = || {
        let mut container = Running::start(&mut shell(&[], "cat /proc/self/uid_map; read line"));
        let line = container.line();
        let numbers: Vec<u64> = line
            .split_whitespace()
            .map(|number| number.parse().unwrap())
            .collect();
        let [inside, outside, count] = numbers[..] else {
            panic!("not one range: {line}")
        };
        assert_eq!((inside, count), (0, 65536), "{line}");
        container.say("");
        (container, outside..outside + count)
    };
    let containers: Vec<_> = (0..4).map(|_| start()).collect();
    for (index, (_, range)) in containers.iter().enumerate() {
        // Nobody of the host's is in it.
        assert!(range.start >= 65536, "{range:?}");
        for (_, other) in &containers[..index] {
            assert!(
                range.end <= other.start || other.end <= range.start,
                "{range:?} {other:?}"
            );
        }
    }
    for (container, _) in containers {
        assert_eq!(container.finish().code(), Some(0));
    }
}

/// The host's processes and theirs are not one another's: the ranges are not the caller's ids.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_containers_root_is_nobody_on_the_host() {
    let _leaks = Leaks::watch();
    let mut container = Running::start(&mut shell(&["--uid", "0"], "echo ready; read line"));
    assert_eq!(container.line(), "ready");
    let children = format!("/proc/{0}/task/{0}/children", container.pid());
    let init = fs::read_to_string(children).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", init.trim())).unwrap();
    let uid = status
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))
        .unwrap();
    let uid: u64 = uid.split_whitespace().next().unwrap().parse().unwrap();
    assert!(uid >= 65536, "{status}");
    container.say("");
    assert_eq!(container.finish().code(), Some(0));
}
