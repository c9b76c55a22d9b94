//! What needs root: the cgroups above one, which are made and removed with it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "each test program uses its own part of this")]
mod below;

use std::time::Duration;

use below::Below;
use crabcan_cgroups::{Cgroup, CgroupPath, Controller, Place};

const SHORT: Duration = Duration::from_secs(5);

/// It is said before anything is made, as text: another process removes it by that.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn what_is_missing_above_a_cgroup_is_made_and_removed_with_it() {
    let below = Below::new("above");
    let hierarchy = below.hierarchy();
    let outer = format!("crabcan-test-above-{}", std::process::id());
    let pids = [Controller::Pids].into_iter().collect();
    let path = CgroupPath::new(format!("{outer}/one/two")).unwrap();
    let place = hierarchy.place(&path).unwrap().only_for(pids);
    let missing = hierarchy.missing_above(&place).unwrap().to_string();
    assert_eq!(missing.lines().count(), place.to_string().lines().count());
    assert!(
        missing.lines().all(|line| line.ends_with(&outer)),
        "{missing}"
    );
    let missing = Place::parse(missing.as_bytes()).unwrap();
    Cgroup::create(hierarchy, &place, pids).unwrap().keep();
    let still = hierarchy.missing_above(&place).unwrap();
    assert_eq!(still.to_string(), "");
    // It is not empty yet.
    hierarchy.remove_above(&place, &missing).unwrap();
    let cgroup = Cgroup::open(hierarchy, &place).unwrap().unwrap();
    cgroup.remove(SHORT).unwrap();
    assert!(!below.is_gone());
    for _ in 0..2 {
        hierarchy.remove_above(&place, &missing).unwrap();
        assert!(below.is_gone());
    }
}

/// What is above is removed by those that go while others come: they make it again.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn what_is_above_several_cgroups_comes_and_goes() {
    let below = Below::new("shared");
    let hierarchy = below.hierarchy();
    let pids = [Controller::Pids].into_iter().collect();
    let above = format!("crabcan-test-shared-{}/above", std::process::id());
    let place = |path: String| {
        let path = CgroupPath::new(path).unwrap();
        hierarchy.place(&path).unwrap().only_for(pids)
    };
    let live = |name: usize| {
        let place = place(format!("{above}/{name}"));
        for _ in 0..500 {
            let missing = hierarchy.missing_above(&place).unwrap();
            let cgroup = Cgroup::create(hierarchy, &place, pids).unwrap();
            cgroup.remove(SHORT).unwrap();
            hierarchy.remove_above(&place, &missing).unwrap();
        }
    };
    std::thread::scope(|scope| {
        let live = &live;
        (0..4).for_each(|name| drop(scope.spawn(move || live(name))));
    });
    // Whoever has made it may have gone before the others.
    if let Some(left) = Cgroup::open(hierarchy, &place(above.clone())).unwrap() {
        left.remove(SHORT).unwrap();
    }
}
