//! What is left of containers' cgroups after every end: nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use support::bundle::Bundle;
#[cfg(target_arch = "x86_64")]
use support::tracer::{Call, Fault, follow};
use support::{Leaks, Reaper, attack};

/// A container in a cgroup that no other test has.
struct Container {
    bundle: Bundle,
    cgroup: String,
}

impl Container {
    fn new(name: &str, script: &str) -> Self {
        let mut bundle = Bundle::new(name, script);
        let cgroup = bundle.config["linux"]["cgroupsPath"].as_str().unwrap();
        let cgroup = cgroup.to_owned();
        bundle.config["linux"]["cgroupsPath"] = json!(format!("/{cgroup}"));
        Self { bundle, cgroup }
    }

    fn limited(name: &str, script: &str, memory: u64) -> Self {
        let mut container = Self::new(name, script);
        container.bundle.config["linux"]["resources"] = json!({
            "memory": {"limit": memory},
            "pids": {"limit": 16},
        });
        container
    }

    /// In a cgroup for which two more must be made.
    fn nested(mut self) -> Self {
        let inner = format!("/{}/above/inner", self.cgroup);
        self.bundle.config["linux"]["cgroupsPath"] = json!(inner);
        self
    }

    /// In how many places its cgroups are there, in all trees.
    fn cgroups(&self) -> usize {
        attack::cgroups(&self.cgroup).len()
    }

    #[track_caller]
    fn is_gone(&self) {
        assert_eq!(self.bundle.entries(), [""; 0]);
        let left = attack::cgroups(&self.cgroup);
        assert!(left.is_empty(), "{left:?}");
    }

    #[track_caller]
    fn until(&self, status: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        while self.bundle.status("one") != status {
            assert!(Instant::now() < until, "it is never {status}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_cgroup_of_a_container_that_ends_is_gone() {
    let _leaks = Leaks::watch();
    let container = Container::new("ends", "exit 7");
    assert_eq!(container.bundle.run("run one").code(), 7);
    container.is_gone();
    // In its own time, and deleted later.
    assert_eq!(container.bundle.leave("run -d one").code(), 0);
    container.until("stopped");
    assert!(container.cgroups() > 0, "or its end says nothing");
    container.bundle.run("delete one").success();
    container.is_gone();
}

/// And what was made above it, by whoever deletes it.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_cgroup_of_a_container_that_is_killed_is_gone() {
    let _leaks = Leaks::watch();
    let container = Container::new("killed", "sleep 600 & exec sleep 600");
    let start = || {
        assert_eq!(container.bundle.leave("run -d one").code(), 0);
        assert!(container.cgroups() > 0);
    };
    start();
    container.bundle.run("kill one KILL").success();
    container.until("stopped");
    container.bundle.run("delete one").success();
    container.is_gone();
    start();
    container.bundle.run("delete --force one").success();
    container.is_gone();
    start();
    container.bundle.run("pause one").success();
    container.bundle.run("delete --force one").success();
    container.is_gone();
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_cgroup_of_a_container_without_memory_is_gone() {
    let _leaks = Leaks::watch();
    let container = Container::limited("oom", "exec tail /dev/zero", 24 << 20);
    let outcome = container.bundle.run("run one");
    assert_eq!(outcome.code(), 137, "{outcome:?}");
    container.is_gone();
    assert_eq!(container.bundle.leave("run -d one").code(), 0);
    container.until("stopped");
    container.bundle.run("delete one").success();
    container.is_gone();
}

/// Whenever `run` was killed: `delete --force` finds what it has made.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_cgroup_of_a_run_that_was_killed_is_gone() {
    let _leaks = Leaks::watch();
    let reaper = Reaper::start();
    let container = Container::new("sigkill", "exec sleep 600");
    for pause in [0, 3, 10, 30, 100, 1000] {
        let mut command = container.bundle.command(["run", "one"]);
        let mut run = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        run.kill().unwrap();
        run.wait().unwrap();
        let outcome = container.bundle.run("delete --force one");
        assert_eq!(outcome.code(), 0, "{pause}: {outcome:?}");
        container.is_gone();
    }
    drop(reaper);
}

/// Between two cgroups that it makes: some are there, and no record says that they were made.
#[cfg(target_arch = "x86_64")]
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_cgroups_of_a_maker_that_was_killed_are_gone() {
    let _leaks = Leaks::watch();
    let reaper = Reaper::start();
    let container = Container::new("half", "exec sleep 600");
    let create = |fault| follow(&container.bundle.command(["create", "one"]), fault);
    // The first makes what all others find.
    let [_, calls] = [(); 2].map(|()| {
        let calls = create(None).calls;
        container.bundle.run("delete --force one").success();
        calls
    });
    let own: Vec<Call> = calls.into_iter().filter(|call| call.process == 0).collect();
    let is_made = |call: &Call| call.name() == "mkdirat";
    let mut left = 0;
    for (index, both) in own.windows(2).filter(|it| is_made(&it[0])).enumerate() {
        let killed = create(Some((both[1], Fault::Kill)));
        left += u32::from(killed.struck && container.cgroups() > 0);
        let clean = match killed.struck && index % 2 == 0 {
            true => "gc",
            // It may have made another call there, and lives.
            false => "delete --force one",
        };
        container.bundle.run(clean).success();
        container.is_gone();
    }
    assert!(left > 0, "it was never killed with some made");
    attack::figure(left, "makers killed with some of their cgroups made");
    drop(reaper);
}

/// What was made on the way to their cgroup goes too. On an emulated processor there are as many as
/// fit in half a minute.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn two_hundred_containers_leave_the_tree_as_it_was() {
    let _leaks = Leaks::watch();
    let container = Container::limited("many", "exit 0", 64 << 20).nested();
    let mut command = container.bundle.command(["run", "one"]);
    let limit = Instant::now() + Duration::from_secs(30);
    let in_time = |count: &u32| *count < 20 || Instant::now() < limit;
    let mut made = 0;
    for count in (0..200).take_while(in_time) {
        let outcome = support::run(&mut command);
        assert_eq!(outcome.code(), 0, "{count}: {outcome:?}");
        made += 1;
    }
    attack::figure(made, "containers in a row");
    container.is_gone();
}
