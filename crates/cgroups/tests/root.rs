//! What needs root: cgroups of the kernel's, on whatever layout this host has.
//!
//! Everything happens below a cgroup of the test's own, and each test looks for what it has left.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

#[allow(dead_code, reason = "each test program uses its own part of this")]
mod below;

use std::time::{Duration, Instant};

use below::{Below, Shell, lacks, resources};
use crabcan_cgroups::{
    Cgroup, CgroupPath, Controller, Controllers, DeviceAccess, DeviceKind, DeviceRule, Error,
    Hierarchy, Limit,
};

const SHORT: Duration = Duration::from_secs(5);

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn memory_that_is_used_up_kills() {
    let below = Below::new("memory");
    let limits = resources(|all| all.memory.max_bytes = Some(Limit::Of(16 << 20)));
    let Some(cgroup) = below.cgroup(&limits) else {
        return;
    };
    let status = Shell::joined(&cgroup, "head -c 100000000 /dev/zero | tail").wait();
    // The shell or the child that filled the memory.
    assert!(!status.success(), "{status:?}");
    let events = cgroup.events().unwrap();
    assert!(events.oom_kill >= 1 && events.memory_max >= 1, "{events:?}");
    let statistics = cgroup.statistics().unwrap();
    assert_eq!(statistics.memory_max_bytes, Some(16 << 20));
    assert!(
        statistics
            .memory_peak_bytes
            .is_none_or(|peak| peak <= 16 << 20)
    );
    cgroup.remove(SHORT).unwrap();
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn processes_are_held_by_their_number() {
    let below = Below::new("pids");
    let limits = resources(|all| all.pids_max = Some(Limit::Of(8)));
    let Some(cgroup) = below.cgroup(&limits) else {
        return;
    };
    let shell = Shell::joined(
        &cgroup,
        "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 30 & done 2>/dev/null; sleep 30",
    );
    let until = Instant::now() + SHORT;
    while cgroup.events().unwrap().pids_max == 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(cgroup.events().unwrap().pids_max >= 1);
    let current = cgroup.statistics().unwrap().pids_current.unwrap();
    assert!((2..=8).contains(&current), "{current}");
    cgroup.kill(SHORT).unwrap();
    assert!(!shell.wait().success());
    cgroup.remove(SHORT).unwrap();
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_quota_is_kept() {
    let below = Below::new("quota");
    let limits = resources(|all| {
        all.cpu.quota_us = Some(Limit::Of(20_000));
        all.cpu.period_us = Some(100_000);
    });
    let Some(cgroup) = below.cgroup(&limits) else {
        return;
    };
    let shell = Shell::joined(&cgroup, "while :; do :; done");
    let before = shell.cpu_time();
    let start = Instant::now();
    // On a busy machine it is long before it has used up its quota for the first time.
    let held_back = || cgroup.statistics().unwrap().cpu_throttled_periods.unwrap() > 0;
    while !held_back() || start.elapsed() < Duration::from_secs(1) {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "it is not held back"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let share = (shell.cpu_time() - before).as_secs_f64() / start.elapsed().as_secs_f64();
    // 0.2 of a processor, in ticks of a hundredth of a second.
    assert!(share < 0.3, "{share}");
    cgroup.kill(SHORT).unwrap();
    shell.wait();
    cgroup.remove(SHORT).unwrap();
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn processors_are_chosen() {
    let below = Below::new("cpuset");
    let limits = resources(|all| all.cpu.cpus = Some("0".into()));
    let Some(cgroup) = below.cgroup(&limits) else {
        return;
    };
    let shell = Shell::joined(&cgroup, "sleep 30");
    let status = std::fs::read_to_string(format!("/proc/{}/status", shell.pid())).unwrap();
    assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
    cgroup.kill(SHORT).unwrap();
    shell.wait();
    cgroup.remove(SHORT).unwrap();
}

fn device(allow: bool, minor: u32, letters: &str) -> DeviceRule {
    DeviceRule {
        allow,
        kind: DeviceKind::Char,
        major: Some(1),
        minor: Some(minor),
        access: DeviceAccess::from_letters(letters).unwrap(),
    }
}

/// In whichever tree devices are here; and, where there is a tree of v2, by a program in any case.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn devices_are_refused_and_the_rules_exchanged() {
    let below = Below::new("devices");
    let only_null = resources(|all| {
        all.devices = Some(vec![DeviceRule::all(false), device(true, 3, "rw")]);
    });
    let only_zero = resources(|all| {
        all.devices = Some(vec![DeviceRule::all(false), device(true, 5, "r")]);
    });
    let of_v2 = below.unified_only();
    for hierarchy in [Some(below.hierarchy().clone()), of_v2]
        .into_iter()
        .flatten()
    {
        let cgroup = below.cgroup_in(&hierarchy, &only_null).unwrap();
        cgroup.apply(&only_null).unwrap();
        let can = |what: &str| Shell::joined(&cgroup, what).wait().success();
        assert!(can(": </dev/null; : >/dev/null"));
        assert!(!can(": </dev/zero"));
        assert!(!can(": </dev/urandom"));
        for _ in 0..3 {
            cgroup.apply(&only_zero).unwrap();
            assert!(can(": </dev/zero"), "the new rules alone are in force");
            assert!(!can(": </dev/null"));
            assert!(!can(": >/dev/zero"));
            cgroup.apply(&only_null).unwrap();
            assert!(can(": </dev/null"));
            assert!(!can(": </dev/zero"));
        }
        cgroup.remove(SHORT).unwrap();
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_frozen_cgroup_stands_still_and_can_be_killed() {
    let below = Below::new("freeze");
    let needed = [Controller::Freezer].into_iter().collect();
    let cgroup = below.with_controllers(needed).unwrap();
    let shell = Shell::joined(&cgroup, "while :; do :; done");
    cgroup.freeze(SHORT).unwrap();
    assert!(cgroup.is_frozen().unwrap());
    let before = shell.cpu_time();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(shell.cpu_time(), before);
    // A new container may not be put into it.
    let again = Cgroup::create(below.hierarchy(), cgroup.place(), needed);
    assert!(matches!(again, Err(Error::InUse { .. })), "{again:?}");
    cgroup.thaw().unwrap();
    assert!(!cgroup.is_frozen().unwrap());
    let until = Instant::now() + SHORT;
    while shell.cpu_time() == before {
        assert!(Instant::now() < until, "it does not go on");
        std::thread::sleep(Duration::from_millis(5));
    }
    cgroup.freeze(SHORT).unwrap();
    cgroup.kill(SHORT).unwrap();
    assert!(!shell.wait().success());
    cgroup.thaw().unwrap();
    cgroup.remove(SHORT).unwrap();
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_frozen_empty_cgroup_is_refused() {
    let below = Below::new("frozen");
    let needed = [Controller::Freezer].into_iter().collect();
    let cgroup = below.with_controllers(needed).unwrap();
    cgroup.freeze(SHORT).unwrap();
    let again = Cgroup::create(below.hierarchy(), cgroup.place(), needed);
    let Err(Error::InUse { state, .. }) = again else {
        panic!("{again:?}");
    };
    assert_eq!(state, "is frozen");
    cgroup.thaw().unwrap();
    cgroup.remove(SHORT).unwrap();
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn children_are_removed_and_who_is_busy_is_waited_for() {
    let below = Below::new("busy");
    let needed = [Controller::Pids].into_iter().collect();
    let cgroup = below.with_controllers(needed).unwrap();
    for directory in below.directories(&cgroup) {
        std::fs::create_dir_all(directory.join("a/b")).unwrap();
        std::fs::create_dir(directory.join("c")).unwrap();
    }
    let place = cgroup.place().clone();
    let shell = Shell::joined(&cgroup, "sleep 0.3");
    let start = Instant::now();
    cgroup
        .wait_until_empty(Duration::from_millis(50))
        .unwrap_err();
    // It is removed once the shell has ended, and not before.
    let reaped = std::thread::spawn(move || shell.wait());
    cgroup.remove(SHORT).unwrap();
    assert!(
        start.elapsed() >= Duration::from_millis(250),
        "{:?}",
        start.elapsed()
    );
    assert!(reaped.join().unwrap().success());
    assert!(Cgroup::open(below.hierarchy(), &place).unwrap().is_none());
}

/// In one tree alone it would be limited by that tree's controllers alone.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_process_joins_every_tree() {
    let below = Below::new("join");
    let all = below.hierarchy().controllers().unwrap();
    let cgroup = below.with_controllers(all).unwrap();
    let shell = Shell::joined(&cgroup, "sleep 30");
    let memberships = std::fs::read_to_string(format!("/proc/{}/cgroup", shell.pid())).unwrap();
    let paths: Vec<_> = cgroup.place().paths().map(|(_, path)| path).collect();
    let joined = |line: &&str| {
        let path = line.splitn(3, ':').nth(2).unwrap();
        paths.contains(&std::path::Path::new(path))
    };
    let count = memberships.lines().filter(joined).count();
    assert_eq!(count, paths.len(), "{memberships}");
    cgroup.kill(SHORT).unwrap();
    shell.wait();
    cgroup.remove(SHORT).unwrap();
}

/// Whoever is in a cgroup below is killed and listed too, and when that has been done nobody is left.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn who_is_in_a_cgroup_below_is_killed_too() {
    let below = Below::new("below");
    let needed = [Controller::Pids].into_iter().collect();
    let cgroup = below.with_controllers(needed).unwrap();
    // Each starts others as fast as it can.
    let shells = ["", "a", "a/b"].map(|inner| {
        let shell = Shell::joined(&cgroup, "while :; do sleep 600 & sleep 0.01; done");
        for directory in below.directories(&cgroup) {
            let directory = directory.join(inner);
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(directory.join("cgroup.procs"), shell.pid().to_string()).unwrap();
        }
        shell
    });
    let listed = cgroup.processes().unwrap();
    assert!(
        shells.iter().all(|shell| listed.contains(&shell.pid())),
        "{listed:?}"
    );
    cgroup.kill(SHORT).unwrap();
    assert!(!cgroup.is_populated().unwrap());
    for shell in shells {
        assert!(!shell.wait().success());
    }
    cgroup.remove(SHORT).unwrap();
}

/// What was made on the way to a cgroup that can't be made is removed again.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_cgroup_that_cannot_be_made_leaves_none_above() {
    let below = Below::new("depth");
    let Some(tree) = below.hierarchy().unified() else {
        return lacks("tree of cgroup v2");
    };
    let hierarchy = Hierarchy::Unified(tree.clone());
    let name = format!("crabcan-test-depth-above-{}", std::process::id());
    let place = |path: String| hierarchy.place(&CgroupPath::new(path).unwrap()).unwrap();
    let above = Cgroup::create(&hierarchy, &place(name.clone()), Controllers::NONE).unwrap();
    let directory = hierarchy.directories(above.place()).unwrap().remove(0);
    std::fs::write(directory.join("cgroup.max.depth"), "2").unwrap();
    let deep = Cgroup::create(
        &hierarchy,
        &place(format!("{name}/a/b/c")),
        Controllers::NONE,
    );
    let error = deep.unwrap_err();
    assert!(matches!(error, Error::Create { .. }), "{error}");
    assert!(
        error.hint().unwrap().contains("cgroup.max.depth"),
        "{error}"
    );
    assert!(!directory.join("a").exists());
    above.remove(SHORT).unwrap();
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn who_stays_busy_is_not_waited_for_without_end() {
    let below = Below::new("bound");
    let cgroup = below
        .with_controllers([Controller::Pids].into_iter().collect())
        .unwrap();
    let place = cgroup.place().clone();
    let shell = Shell::joined(&cgroup, "sleep 30");
    let start = Instant::now();
    let error = cgroup.remove(Duration::from_millis(100)).unwrap_err();
    assert!(start.elapsed() < Duration::from_secs(2));
    let Error::Remove { source, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(source.raw_os_error(), Some(16), "EBUSY");
    let taken = Cgroup::create(below.hierarchy(), &place, Controllers::NONE);
    let Err(Error::InUse { state, .. }) = taken else {
        panic!("{taken:?}");
    };
    assert_eq!(state, "is not empty");
    let again = Cgroup::open(below.hierarchy(), &place).unwrap().unwrap();
    assert!(again.is_populated().unwrap());
    assert!(again.processes().unwrap().contains(&shell.pid()));
    again.kill(SHORT).unwrap();
    shell.wait();
    again.remove(SHORT).unwrap();
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_cgroup_that_somebody_else_removed() {
    let below = Below::new("gone");
    let limits = resources(|all| all.pids_max = Some(Limit::Of(5)));
    let cgroup = below.with_controllers(limits.controllers()).unwrap();
    for directory in below.directories(&cgroup) {
        std::fs::remove_dir(directory).unwrap();
    }
    let error = cgroup.apply(&limits).unwrap_err();
    assert!(matches!(error, Error::Write { .. }), "{error}");
    assert!(cgroup.join(std::process::id().try_into().unwrap()).is_err());
    assert!(!cgroup.is_populated().unwrap());
    cgroup.wait_until_empty(SHORT).unwrap();
    cgroup.kill(SHORT).unwrap();
    cgroup.remove(SHORT).unwrap();
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn two_hundred_in_a_row_leave_the_tree_as_it_was() {
    let below = Below::new("many");
    let limits = resources(|all| all.pids_max = Some(Limit::Of(5)));
    for _ in 0..200 {
        let cgroup = below.cgroup(&limits).unwrap();
        assert!(!below.is_gone());
        drop(cgroup);
        assert!(below.is_gone());
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn what_a_killed_maker_left_is_removed_and_what_is_in_use_is_not() {
    let below = Below::new("stale");
    let needed = [Controller::Pids].into_iter().collect();
    let stale = below.with_controllers(needed).unwrap();
    let stale_place = stale.place().clone();
    stale.keep();
    let used = below.with_controllers(needed).unwrap();
    used.mark_in_use().unwrap();
    crabcan_cgroups::remove_stale(below.hierarchy(), used.place());
    assert!(
        Cgroup::open(below.hierarchy(), &stale_place)
            .unwrap()
            .is_none()
    );
    let found = Cgroup::open(below.hierarchy(), used.place()).unwrap();
    assert!(found.is_some());
    used.remove(SHORT).unwrap();
}
