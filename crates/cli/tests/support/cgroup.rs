//! Cgroups as the kernel shows them, whatever layout this machine has.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::bundle::Bundle;
use super::lacks;

/// A cgroup's name that no other test has.
pub(crate) fn name(bundle: &Bundle) -> String {
    let directory = bundle.directory.path().file_name().expect("a name");
    directory.to_string_lossy().into_owned()
}

/// Where the tree of v2 is mounted, if it can count huge pages, as it can on hybrid hosts too.
pub(crate) fn unified() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").expect("read the mounts");
    let point = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some("cgroup2"))
        .and_then(|line| line.split(' ').nth(1))
        .map(PathBuf::from);
    let has_pages = |point: &PathBuf| {
        fs::read_to_string(point.join("cgroup.controllers"))
            .is_ok_and(|names| names.contains("hugetlb"))
    };
    let point = point.filter(has_pages);
    if point.is_none() {
        lacks("tree of cgroup v2 with the hugetlb controller");
    }
    point
}

/// Where the tree is mounted that limits the number of processes.
pub(crate) fn tree_of_pids() -> &'static str {
    match fs::exists("/sys/fs/cgroup/pids") {
        Ok(true) => "/sys/fs/cgroup/pids",
        _ => "/sys/fs/cgroup",
    }
}

#[track_caller]
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The container's directory in each tree of v1, and in that of v2.
pub(crate) fn places(bundle: &Bundle) -> Vec<(String, PathBuf)> {
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
            None if controllers.is_empty() => tree_of_v2(),
            None => PathBuf::from("/sys/fs/cgroup").join(&controllers),
        };
        (controllers, tree.join(path))
    });
    places.collect()
}

fn tree_of_v2() -> PathBuf {
    let hybrid = PathBuf::from("/sys/fs/cgroup/unified");
    match hybrid.is_dir() {
        true => hybrid,
        false => "/sys/fs/cgroup".into(),
    }
}
