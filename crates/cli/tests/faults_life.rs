//! What may happen to a container that lives: its processes die, multiply, are frozen, use up what
//! they have, and their number is given to somebody else.
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
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use support::attack::{cgroups, figure, rounds};
use support::bundle::Bundle;
use support::{Leaks, Reaper, lacks, run};

#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < limit, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The bundle's cgroup in every tree that has one.
fn own_cgroups(bundle: &Bundle) -> Vec<PathBuf> {
    let name = bundle.directory.path().file_name().unwrap();
    cgroups(&name.to_string_lossy()).into_iter().collect()
}

/// Fault 3: the first process dies before its program is executed.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_container_whose_init_died_is_stopped_and_can_be_deleted() {
    let _leaks = Leaks::watch();
    let _reaper = Reaper::start();
    let bundle = Bundle::new("died", "exec sleep 600");
    assert_eq!(bundle.leave("create one").code(), 0);
    let pid = i32::try_from(bundle.state("one")["pid"].as_i64().unwrap()).unwrap();
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    until("it is stopped", || bundle.status("one") == "stopped");
    for words in ["start one", "kill one TERM", "exec one true", "pause one"] {
        let outcome = bundle.run(words);
        assert!([1, 255].contains(&outcome.code()), "{words}: {outcome:?}");
    }
    bundle.run("delete one").success();
    assert_eq!(own_cgroups(&bundle).len(), 0);
}

/// Fault 7: of many that make one id at once, one makes it.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn of_fifty_creates_of_one_id_one_wins() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("fifty", "exec sleep 600");
    for _ in 0..rounds(2, 20) {
        let start = |index: usize| {
            let said = bundle.directory.path().join(format!("said-{index}"));
            let mut command = bundle.command(["create", "one"]);
            command.stdin(Stdio::null()).stdout(Stdio::null());
            command.stderr(fs::File::create(said).unwrap());
            command
        };
        let commands: Vec<_> = (0..50).map(start).collect();
        let children = commands.into_iter().map(|mut it| it.spawn().unwrap());
        let children: Vec<_> = children.collect();
        let codes = children.into_iter().enumerate().map(|(index, mut child)| {
            let code = child.wait().unwrap().code().unwrap();
            let said = bundle.directory.path().join(format!("said-{index}"));
            (code, fs::read_to_string(said).unwrap())
        });
        let (made, refused): (Vec<_>, Vec<_>) = codes.partition(|(code, _)| *code == 0);
        assert_eq!(made.len(), 1, "{refused:?}");
        for (code, said) in refused {
            assert_eq!(code, 1);
            assert!(said.contains("exists"), "{said}");
        }
        assert_eq!(bundle.status("one"), "created");
        assert_eq!(bundle.entries(), ["one"]);
        bundle.run("delete --force one").success();
    }
    figure(50 * rounds(2, 20), "creates of one id at once");
}

/// Fault 9: the number of a container's process that has ended belongs to a stranger.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_stranger_with_the_number_of_a_dead_init_is_left_alone() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("reuse", "exec sleep 600");
    // In a pid namespace of its own numbers can be chosen.
    let script = "c run -d one >/dev/null 2>&1 </dev/null
        pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/' \"$STATE/one/state.json\")
        kill -9 $pid; while [ -e /proc/$pid ]; do sleep 0.01; done
        until [ \"$stranger\" = $pid ]; do
            [ -z \"$stranger\" ] || kill $stranger
            echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid; sleep 300 & stranger=$!
        done
        c state one | grep status
        c kill one KILL || echo kill $?
        c delete --force one; echo delete $?
        kill -0 $stranger && echo alive";
    let mut inner = bundle.among_own_mounts(script);
    let program = inner.get_program().to_owned();
    let args: Vec<_> = inner.get_args().map(ToOwned::to_owned).collect();
    inner = std::process::Command::new("unshare");
    inner.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    inner.arg(program).args(args);
    inner.env("STATE", bundle.state_directory());
    let outcome = run(inner.current_dir(bundle.directory.path()));
    let expected = "  \"status\": \"stopped\"\nkill 1\ndelete 0\nalive\n";
    assert!(outcome.stdout.ends_with(expected), "{outcome:?}");
    assert_eq!(bundle.entries(), [""; 0]);
}

/// Fault 10.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_paused_container_is_killed_and_deleted() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("paused", "sleep 600 & exec sleep 600");
    for (words, after) in [("delete --force one", ""), ("kill one KILL", "delete one")] {
        assert_eq!(bundle.leave("run -d one").code(), 0);
        bundle.run("pause one").success();
        let start = Instant::now();
        bundle.run(words).success();
        if !after.is_empty() {
            until("it is stopped", || bundle.status("one") == "stopped");
            bundle.run(after).success();
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{words}");
        assert_eq!(bundle.entries(), [""; 0], "{words}");
        assert_eq!(own_cgroups(&bundle).len(), 0, "{words}");
    }
}

/// Faults 12 and 13: cgroups are made in the container's, or it is removed by somebody else.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn cgroups_below_go_and_one_that_is_gone_is_no_error() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("below", "exec sleep 600");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let own = own_cgroups(&bundle);
    for cgroup in &own {
        fs::create_dir_all(cgroup.join("a/b/c")).unwrap();
        fs::create_dir(cgroup.join("d")).unwrap();
    }
    // A process in the deepest one, outside of the container's pid namespace.
    let mut guest = std::process::Command::new("sleep")
        .arg("600")
        .spawn()
        .unwrap();
    let pids = own
        .iter()
        .find(|path| path.starts_with("/sys/fs/cgroup/pids"));
    let home = pids.unwrap_or(&own[0]).join("a/b/c/cgroup.procs");
    fs::write(home, guest.id().to_string()).unwrap();
    // Killed before a removal that would find it.
    bundle.run("delete --force one").success();
    assert!(!guest.wait().unwrap().success());
    assert_eq!(own_cgroups(&bundle).len(), 0);
    assert_eq!(bundle.leave("run -d one").code(), 0);
    bundle.run("kill one KILL").success();
    until("it is stopped", || bundle.status("one") == "stopped");
    for cgroup in own_cgroups(&bundle) {
        until("it is empty", || fs::remove_dir(&cgroup).is_ok());
    }
    bundle.run("delete one").success();
}

fn limited(name: &str, script: &str, resources: serde_json::Value) -> Bundle {
    let mut bundle = Bundle::new(name, script);
    bundle.config["linux"]["resources"] = resources;
    bundle
}

/// Fault 19: memory is used up while it runs, and before it can.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_container_without_memory_ends_and_leaves_nothing() {
    let _leaks = Leaks::watch();
    let bundle = limited(
        "memory",
        "exec tail /dev/zero",
        json!({"memory": {"limit": 24 << 20, "swap": 24 << 20}}),
    );
    let outcome = bundle.run("run one");
    if outcome.stderr.contains("linux.resources.memory.swap") {
        return lacks("account of swap");
    }
    assert_eq!(outcome.code(), 137, "{outcome:?}");
    assert_eq!(bundle.entries(), [""; 0]);
    for limit in [4096, 65_536, 262_144] {
        let bundle = limited("little", "exit 0", json!({"memory": {"limit": limit}}));
        let start = Instant::now();
        let outcome = bundle.run("run one");
        assert!([0, 1, 137].contains(&outcome.code()), "{outcome:?}");
        assert!(outcome.code() != 1 || !outcome.stderr.is_empty());
        assert!(start.elapsed() < Duration::from_secs(10), "{limit}");
        assert_eq!(bundle.entries(), [""; 0], "{limit}");
    }
}

/// Fault 20: a container that forks without end.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_fork_bomb_is_killed_and_deleted() {
    let _leaks = Leaks::watch();
    let bundle = limited(
        "bomb",
        "bomb() { bomb | bomb & }; bomb 2>/dev/null & exec sleep 600",
        json!({"pids": {"limit": 60}}),
    );
    assert_eq!(bundle.leave("run -d one").code(), 0);
    std::thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    bundle.run("kill one KILL").success();
    until("it is stopped", || bundle.status("one") == "stopped");
    bundle.run("delete one").success();
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(own_cgroups(&bundle).len(), 0);
}

/// Fault 21: a tmpfs that cannot hold what is to be copied into it.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_tmpfs_that_is_too_small_for_its_copy_is_an_error() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("copy-up", "exit 0");
    let large = bundle.directory.directory("rootfs/large");
    fs::write(large.join("file"), vec![b'x'; 1 << 20]).unwrap();
    bundle.mount(
        json!({"destination": "/large", "type": "tmpfs", "source": "tmpfs",
        "options": ["tmpcopyup", "size=64k"]}),
    );
    let outcome = bundle.run("run one");
    assert_eq!(outcome.code(), 1, "{outcome:?}");
    assert!(outcome.stderr.contains("/large"), "{outcome:?}");
    assert!(outcome.stderr.contains("(ENOSPC)"), "{outcome:?}");
    assert_eq!(bundle.entries(), [""; 0]);
}

/// Fault 27: a root from which nothing may be executed.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_root_that_executes_nothing_is_told() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("noexec", "exit 0");
    for mount in bundle.config["mounts"].as_array_mut().unwrap() {
        if mount["type"] == "bind" {
            mount["options"] = json!(["rbind", "ro", "noexec"]);
        }
    }
    let outcome = bundle.run("run one");
    assert_eq!(outcome.code(), 1, "{outcome:?}");
    assert!(outcome.stderr.contains("/bin/sh"), "{outcome:?}");
    assert!(outcome.stderr.contains("(EACCES)"), "{outcome:?}");
    assert_eq!(bundle.entries(), [""; 0]);
}

/// Fault 34: programs that end at once.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn no_short_exec_is_stuck() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("short", "exec sleep 600");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let count = rounds(100, 1000);
    let mut command = bundle.command(["exec", "one", "/bin/true"]);
    for round in 0..count {
        let start = Instant::now();
        // One that is stuck is ended.
        assert_eq!(run(&mut command).code(), 0, "round {round}");
        assert!(start.elapsed() < Duration::from_secs(10), "round {round}");
    }
    figure(count, "short programs executed");
}
