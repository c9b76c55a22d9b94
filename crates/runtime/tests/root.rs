//! What only root's containers have: ids that nobody else has, and on request the host's.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod alone;

use std::fs;
use std::ops::Range;

use alone::{alone, children, descriptors, is_running, long_time, until};
use crabcan_runtime::{ExitStatus, Plan, Process, Sandbox};

fn shell(script: &str) -> Sandbox {
    Sandbox::new("/bin/sh").arg("-c").arg(script)
}

/// The host's ids that a container has, by the kernel's own word.
fn ids(container: &Process<'_>, file: &str) -> Range<u64> {
    let map = fs::read_to_string(format!("/proc/{}/{file}", container.pid())).unwrap();
    let numbers: Vec<u64> = map
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    let [0, first, count] = numbers[..] else {
        panic!("{map}");
    };
    first..first + count
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn containers_that_live_at_the_same_time_share_no_ids() {
    alone("containers_that_live_at_the_same_time_share_no_ids", || {
        let plans: Vec<Plan> = (0..4).map(|_| shell("exit 0").plan().unwrap()).collect();
        let containers: Vec<_> = plans
            .iter()
            .map(|plan| Process::create(plan).unwrap())
            .collect();
        for file in ["uid_map", "gid_map"] {
            let mut ranges: Vec<_> = containers.iter().map(|one| ids(one, file)).collect();
            ranges.sort_by_key(|range| range.start);
            for pair in ranges.windows(2) {
                assert!(pair[0].end <= pair[1].start, "{ranges:?}");
            }
            for range in ranges {
                // Not one of the host's own, which /etc/passwd and /etc/login.defs give out.
                assert!(range.start >= 100_000 && range.end - range.start == 65536);
            }
        }
    });
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn ids_are_free_again_when_their_plan_is_gone() {
    alone("ids_are_free_again_when_their_plan_is_gone", || {
        let maps = || shell("exit 0").plan().unwrap().id_map_lines().unwrap();
        let first = maps();
        // Another program may take it in between.
        assert!((0..100).any(|_| maps() == first));
    });
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn roots_files_are_not_the_containers() {
    alone("roots_files_are_not_the_containers", || {
        let script = "test $(id -u) = 0 && ! cat /etc/shadow >/dev/null 2>&1";
        assert_eq!(shell(script).status().unwrap(), ExitStatus::Exited(0));
    });
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_whole_life_with_the_hosts_ids() {
    alone("a_whole_life_with_the_hosts_ids", || {
        let before = descriptors();
        let sandbox =
            shell("cat /proc/self/uid_map | grep -q 4294967295 && exit 7").host_users(true);
        assert_eq!(sandbox.status().unwrap(), ExitStatus::Exited(7));
        let time = long_time(9);
        let sandbox = Sandbox::new("sleep").arg(&time).host_users(true);
        let plan = sandbox.plan().unwrap();
        let mut container = Process::create(&plan).unwrap();
        container.start().unwrap();
        until("the command", || is_running(&time));
        container.signal(15).unwrap();
        assert_eq!(container.wait().unwrap(), ExitStatus::Signaled(15));
        container.remove().unwrap();
        let mut container = Process::create(&plan).unwrap();
        container.start().unwrap();
        container.remove().unwrap();
        assert!(!is_running(&time));
        assert_eq!((descriptors(), children()), (before, vec![]));
    });
}
