//! What needs root: a cgroup of v2 is given to another user, who may divide it and no more.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "each test program uses its own part of this")]
mod below;

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use below::{Below, lacks, lacks_v1};
use crabcan_cgroups::{Hierarchy, Resources};

const USER: u32 = 61234;

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_cgroup_is_given_with_the_files_that_are_safe() {
    let below = Below::new("delegate");
    let hierarchy = below
        .unified_only()
        .unwrap_or_else(|| below.hierarchy().clone());
    if !matches!(hierarchy, Hierarchy::Unified(_)) {
        return lacks("cgroup v2");
    }
    let cgroup = below.cgroup_in(&hierarchy, &Resources::default()).unwrap();
    let directory = hierarchy.directories(cgroup.place()).unwrap().remove(0);
    let can = |script: &str| {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script]).current_dir(&directory);
        let status = shell
            .uid(USER)
            .gid(USER)
            .stderr(std::process::Stdio::null());
        status.status().unwrap().success()
    };
    assert!(!can("mkdir inner"), "it is root's at first");
    cgroup.delegate(USER).unwrap();
    let owner = |file: &str| {
        let data = std::fs::metadata(directory.join(file)).unwrap();
        (data.uid(), data.gid())
    };
    let listed = std::fs::read_to_string("/sys/kernel/cgroup/delegate").unwrap();
    let given = [
        "",
        "cgroup.procs",
        "cgroup.subtree_control",
        "cgroup.threads",
    ];
    for file in given {
        assert_eq!(owner(file), (USER, 0), "{file:?}");
    }
    for entry in std::fs::read_dir(&directory).unwrap().flatten() {
        let name = entry.file_name().into_string().unwrap();
        let safe = listed.lines().any(|line| line == name);
        assert_eq!(owner(&name).0 == USER, safe, "{name}");
    }
    assert!(can("mkdir inner && rmdir inner"));
    assert!(!can("echo 1 >cgroup.max.depth"), "limits stay root's");
    cgroup.remove(Duration::from_secs(5)).unwrap();
}

/// In v1 it would not be safe: nothing is given there, and nothing beside it.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn nothing_is_given_where_v1_is_in_use() {
    let below = Below::new("v1");
    if below.hierarchy().legacy().is_empty() {
        return lacks_v1("tree of cgroup v1");
    }
    let all = below.hierarchy().controllers().unwrap();
    let cgroup = below.with_controllers(all).unwrap();
    cgroup.delegate(USER).unwrap();
    let directories = below.directories(&cgroup);
    assert!(directories.len() > 1);
    let owner = |path: &Path| std::fs::metadata(path).unwrap().uid();
    for directory in directories {
        assert_eq!(owner(&directory), 0, "{}", directory.display());
        assert_eq!(owner(&directory.join("cgroup.procs")), 0);
    }
    cgroup.remove(Duration::from_secs(5)).unwrap();
}
