//! Whose a container's cgroup is: who is executed in it, who is killed with it, who has it next, and
//! what a container that could not be made has left of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::Path;

use serde_json::json;
use support::bundle::Bundle;
use support::cgroup::{name, places, unified, until};
use support::{Leaks, attack, lacks};

fn pid(bundle: &Bundle, id: &str) -> String {
    bundle.state(id)["pid"].to_string()
}

fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// A container whose cgroup is at the top of each tree, with a limit that the tree of v2 enforces.
fn at_the_top(name_of_bundle: &str) -> (Bundle, String) {
    let mut bundle = Bundle::new(name_of_bundle, "exec sleep 600");
    let name = name(&bundle);
    bundle.config["linux"]["cgroupsPath"] = json!(format!("/{name}"));
    bundle.config["linux"]["resources"] =
        json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]});
    (bundle, name)
}

/// A container divides its cgroup as a service manager in it would: its processes are in cgroups
/// below, to which it hands controllers on. Then its own can have no processes any more.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn who_is_executed_is_where_the_first_process_is() {
    let _leaks = Leaks::watch();
    let Some(point) = unified() else { return };
    let (bundle, name) = at_the_top("divided");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let cgroup = point.join(&name);
    for inner in ["init", "other"] {
        fs::create_dir(cgroup.join(inner)).unwrap();
    }
    fs::write(cgroup.join("init/cgroup.procs"), pid(&bundle, "one")).unwrap();
    fs::write(cgroup.join("cgroup.subtree_control"), "+hugetlb").unwrap();
    let seen = |options: &str| {
        let words = format!("exec {options}one cat /proc/self/cgroup");
        let seen = bundle.run(&words).success();
        let line = seen.lines().find(|line| line.starts_with("0::")).unwrap();
        line["0::".len()..].to_owned()
    };
    assert_eq!(seen(""), format!("/{name}/init"));
    if attack::cgroups(&name).len() == 1 {
        assert_eq!(seen("--cgroup /other "), format!("/{name}/other"));
    } else {
        // It is in the tree of v2 alone, and in the others nothing would limit the process.
        let refused = bundle.run("exec --cgroup /other one true");
        assert!(
            refused.stderr.contains("--cgroup: /other does not exist"),
            "{refused:?}"
        );
    }
    // What was asked for by name is that, or an error that says what can be asked for.
    let refused = bundle.run("exec --cgroup / one true");
    assert_eq!(refused.code(), 255, "{refused:?}");
    assert!(refused.stderr.contains("(EBUSY)"), "{refused:?}");
    assert!(
        refused.stderr.contains("\nhint: the cgroup hands"),
        "{refused:?}"
    );
    bundle.run("delete --force one").success();
    assert!(attack::cgroups(&name).is_empty());
}

/// Its first process has moved in the tree of v2, and its cgroup there was removed: whoever is
/// executed then is not left without limits in the caller's.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn who_is_executed_follows_the_first_process_out_of_its_cgroup() {
    let _leaks = Leaks::watch();
    let Some(point) = unified() else { return };
    let (bundle, name) = at_the_top("moved");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let one = pid(&bundle, "one");
    let (own, elsewhere) = (point.join(&name), point.join(format!("{name}-elsewhere")));
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("cgroup.procs"), &one).unwrap();
    fs::remove_dir(&own).unwrap();
    let seen = bundle.run("exec one cat /proc/self/cgroup").success();
    for line in seen.lines() {
        let expected = match line.starts_with("0::") {
            true => format!("/{name}-elsewhere"),
            false => format!("/{name}"),
        };
        assert_eq!(
            line.splitn(3, ':').nth(2),
            Some(expected.as_str()),
            "{seen}"
        );
    }
    // A tree of v1 has no such place.
    for directory in attack::cgroups(&name) {
        if directory != elsewhere {
            fs::write(directory.parent().unwrap().join("cgroup.procs"), &one).unwrap();
            fs::remove_dir(&directory).unwrap();
            let refused = bundle.run("exec one true");
            assert_eq!(refused.code(), 255, "{refused:?}");
            assert!(
                refused.stderr.contains("has no cgroup any more"),
                "{refused:?}"
            );
        }
    }
    // What is done with the cgroup says that it is gone, and who is meant.
    for words in [
        "ps one",
        "pause one",
        "update --memory 64M one",
        "events --stats one",
    ] {
        let refused = bundle.run(words);
        assert_eq!(refused.code(), 1, "{words}: {refused:?}");
        let told = "container one has no cgroup any more: somebody else has removed";
        assert!(refused.stderr.contains(told), "{words}: {refused:?}");
    }
    bundle.run("delete --force one").success();
    until("it has ended", || fs::remove_dir(&elsewhere).is_ok());
    assert!(attack::cgroups(&name).is_empty());
}

/// Of two containers with one `cgroupsPath` the second may begin when the first has ended. The end
/// of the first is then nothing to the second.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_newer_container_in_the_same_cgroup_lives_on() {
    let _leaks = Leaks::watch();
    for shares_pids in [false, true] {
        let mut bundle = Bundle::new("taken", "exec sleep 600");
        if shares_pids {
            let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
            namespaces.retain(|namespace| namespace["type"] != "pid");
        }
        let name = name(&bundle);
        for (delete, end) in [
            ("delete --force one", "kill --all one KILL"),
            ("delete one", "kill one KILL"),
            ("kill --all one KILL", "kill one KILL"),
        ] {
            assert_eq!(bundle.leave("run -d one").code(), 0);
            let one = pid(&bundle, "one");
            // A second one is refused as long as the first one lives.
            let refused = bundle.leave("run -d two");
            assert_eq!(refused.code(), 1, "{refused:?}");
            assert!(
                refused.stderr.contains("exists and is not empty"),
                "{refused:?}"
            );
            bundle.run(end).success();
            until("it has ended", || {
                bundle.status("one") == "stopped" && !is_alive(&one)
            });
            let second = bundle.leave("run -d two");
            assert_eq!(second.code(), 0, "{second:?}");
            let two = pid(&bundle, "two");
            bundle.run("exec two true").success();
            let ended = bundle.run(delete);
            match delete.starts_with("kill") {
                true => assert_eq!(ended.code(), 1, "{ended:?}"),
                false => assert_eq!(ended.success(), ""),
            }
            // Whose cgroup it is can be asked of neither.
            if delete.starts_with("kill") {
                let refused = bundle.run("ps one");
                assert!(refused.stderr.contains("another container"), "{refused:?}");
                bundle.run("delete --force one").success();
            }
            assert!(is_alive(&two), "{delete}, shares pids: {shares_pids}");
            assert_eq!(bundle.status("two"), "running");
            assert!(!attack::cgroups(&name).is_empty());
            bundle.run("delete --force two").success();
            assert!(attack::cgroups(&name).is_empty(), "{delete}");
        }
    }
}

/// What the kernel refuses is an error that names controller, file and value, and nothing is left:
/// no cgroup in any tree, no entry, no process.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_limit_that_the_kernel_refuses_leaves_nothing() {
    let _leaks = Leaks::watch();
    let is_unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    let burst = match is_unified {
        true => "cpu.max.burst",
        false => "cpu.cfs_burst_us",
    };
    let cases = [
        (
            json!({"cpu": {"cpus": "99999"}}),
            "cpuset.cpus",
            "\"99999\"",
        ),
        (
            json!({"cpu": {"mems": "99999"}}),
            "cpuset.mems",
            "\"99999\"",
        ),
        (json!({"cpu": {"cpus": "zero"}}), "cpuset.cpus", "\"zero\""),
        (json!({"cpu": {"period": 2_000_000}}), "cpu", "\"2000000\""),
        (json!({"cpu": {"period": 999}}), "cpu", "\"999\""),
        (
            json!({"cpu": {"quota": 10_000, "burst": 20_000}}),
            burst,
            "\"20000\"",
        ),
        (json!({"cpu": {"quota": 5}}), "cpu.", "\"5\""),
        (
            json!({"pids": {"limit": i64::MAX}}),
            "pids.max",
            "\"9223372036854775807\"",
        ),
        (
            json!({"memory": {"limit": 1 << 20, "swap": 1 << 19}}),
            "memory",
            "\"524288\"",
        ),
        (
            json!({"hugepageLimits": [{"pageSize": "3MB", "limit": 0}]}),
            "hugetlb.3MB",
            "\"0\"",
        ),
        (
            json!({"blockIO": {"throttleReadBpsDevice": [{"major": 511, "minor": 7, "rate": 5}]}}),
            "io",
            "511:7",
        ),
    ];
    let mut bundle = Bundle::new("refused", "exit 0");
    let name = name(&bundle);
    for (resources, file, value) in cases {
        // Behind one that is in force already when the other is refused.
        bundle.config["linux"]["resources"] = resources.clone();
        if resources.get("memory").is_none() {
            bundle.config["linux"]["resources"]["memory"] = json!({"limit": 64 << 20});
        }
        for words in ["create one", "run one", "run -d one"] {
            let refused = bundle.leave(words);
            if refused.stderr.contains("is not available on this host") {
                lacks(&format!("controller for {resources}"));
                break;
            }
            assert_eq!(refused.code(), 1, "{words} {resources}: {refused:?}");
            for part in [file, value] {
                assert!(refused.stderr.contains(part), "{resources}: {refused:?}");
            }
            assert_eq!(bundle.entries(), [""; 0], "{words} {resources}");
            assert!(attack::cgroups(&name).is_empty(), "{words} {resources}");
        }
    }
}

/// Without a pid namespace of the container's own the kernel ends nobody with the first process.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_kill_reaches_all_where_the_pids_are_the_hosts() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("kill-all", "sleep 600 & sleep 600 & exec sleep 600");
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let (_, cgroup) = places(&bundle).pop().unwrap();
    let count = || {
        let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap();
        text.lines().count()
    };
    while count() < 3 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    bundle.run("kill one TERM").success();
    assert!(count() >= 2, "another signal is the first process's alone");
    until("it has ended", || bundle.status("one") == "stopped");
    bundle.run("kill one KILL").success();
    assert_eq!(count(), 0);
    bundle.run("delete one").success();

    assert_eq!(bundle.leave("run -d one").code(), 0);
    while count() < 3 {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    bundle.run("kill one KILL").success();
    assert_eq!(count(), 0);
    bundle.run("delete one").success();
}

/// A cgroup of v1 that somebody else has made has no processors and no memory: nothing below it could
/// be entered.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_place_without_processors_gets_those_above_it() {
    let _leaks = Leaks::watch();
    if Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        // A cgroup of v2 has those above it anyway.
        return;
    }
    if !Path::new("/sys/fs/cgroup/cpuset/cpuset.cpus").exists() {
        return support::lacks("cpuset of cgroup v1");
    }
    let mut bundle = Bundle::new("no-cpus", "cat /proc/self/cgroup");
    let above = name(&bundle);
    let place = Path::new("/sys/fs/cgroup/cpuset").join(&above);
    fs::create_dir_all(place.join("pod")).unwrap();
    bundle.config["linux"]["cgroupsPath"] = json!(format!("/{above}/pod/one"));
    let outcome = bundle.run("run c1");
    let filled = fs::read_to_string(place.join("pod/cpuset.mems")).unwrap();
    fs::remove_dir(place.join("pod")).unwrap();
    fs::remove_dir(place).unwrap();
    assert!(
        outcome
            .success()
            .contains(&format!("cpuset:/{above}/pod/one\n"))
    );
    assert_eq!(
        filled,
        fs::read_to_string("/sys/fs/cgroup/cpuset/cpuset.mems").unwrap()
    );
}

/// An absolute path begins at the top of what is mounted, also for who is in a cgroup namespace and
/// sees more than is below its own root.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_top_of_a_cgroup_namespace_is_not_that_of_what_is_mounted() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("inside", "exec sleep 600");
    let name = name(&bundle);
    bundle.config["linux"]["cgroupsPath"] = json!(format!("/{name}"));
    let command = bundle.command([""; 0]);
    let words: Vec<_> = [command.get_program()]
        .into_iter()
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    let c = words.join(" ");
    let script = format!(
        "umount --lazy /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup
        cd /sys/fs/cgroup; mkdir {name}-own; echo 0 > {name}-own/cgroup.procs; cd \"$OLDPWD\"
        unshare --cgroup sh -ec '
            grep 0::/$ /proc/self/cgroup
            {c} run -d one >out 2>&1 </dev/null || cat out
            find /sys/fs/cgroup -name {name}
            {c} delete --force one
            find /sys/fs/cgroup -name {name}'
        echo 0 > /sys/fs/cgroup/cgroup.procs; rmdir /sys/fs/cgroup/{name}-own"
    );
    let output = support::run(&mut bundle.among_own_mounts(&script)).success();
    assert_eq!(output, format!("0::/\n/sys/fs/cgroup/{name}\n"));
}
