//! Limits that root's sandboxes have, on whatever layout of cgroups this host has.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it can't test"
)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use support::{Leaks, Outcome, crabcan, lacks, run, shell};

/// Every cgroup that a sandbox may have made.
fn cgroups() -> BTreeSet<PathBuf> {
    fn collect(directory: &Path, depth: usize, found: &mut BTreeSet<PathBuf>) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if depth == 0 || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            let unique = name.strip_prefix("crabcan-").is_some_and(|rest| {
                rest.len() == 16 && rest.bytes().all(|byte| byte.is_ascii_hexdigit())
            });
            if unique {
                found.insert(entry.path());
            }
            collect(&entry.path(), depth - 1, found);
        }
    }
    let mut found = BTreeSet::new();
    collect(Path::new("/sys/fs/cgroup"), 6, &mut found);
    found
}

/// Others on this machine have sandboxes too: what stays counts.
#[track_caller]
fn no_cgroup_stays(before: &BTreeSet<PathBuf>) {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let left: Vec<_> = cgroups().difference(before).cloned().collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "left behind: {left:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A run with limits; `None` when this host lacks the controller.
fn limited(options: &[&str], script: &str) -> Option<Outcome> {
    let outcome = run(&mut shell(options, script));
    if outcome.code() == 125 && outcome.stderr.contains("is not available") {
        lacks(&format!("controller for {options:?}"));
        return None;
    }
    Some(outcome)
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn memory_that_is_used_up_is_told_by_its_limit() {
    let _leaks = Leaks::watch();
    let before = cgroups();
    // The command itself is killed, not a child of it.
    let script = "exec tail /dev/zero";
    if let Some(outcome) = limited(&["--memory", "24M"], script) {
        assert_eq!(outcome.code(), 137, "{outcome:?}");
        let told = "the memory limit of 25165824 bytes was reached: 1 process was killed";
        assert!(outcome.stderr.contains(told), "{outcome:?}");
    }
    no_cgroup_stays(&before);
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_fork_bomb_is_held() {
    let _leaks = Leaks::watch();
    let before = cgroups();
    let script = "bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 0.5; exit 3";
    if let Some(outcome) = limited(&["--pids", "20"], script) {
        assert_ne!(outcome.code(), 0, "{outcome:?}");
        let told = "the limit of 20 processes and threads was reached";
        assert!(outcome.stderr.contains(told), "{outcome:?}");
    }
    no_cgroup_stays(&before);
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn processors_and_their_time() {
    let _leaks = Leaks::watch();
    let before = cgroups();
    let script = "grep Cpus_allowed_list /proc/self/status";
    if let Some(outcome) = limited(&["--cpuset", "0"], script) {
        assert_eq!(outcome.success(), "Cpus_allowed_list:\t0\n");
    }
    // A tenth of a processor: looping for two seconds, in hundredths, costs about a tenth of that.
    let script = "now() { read up idle < /proc/uptime; now=${up%.*}${up#*.}; }; now; start=$now
        while [ $((now - start)) -lt 200 ]; do now; done; echo $((now - start)); times";
    if let Some(outcome) = limited(&["--cpus", "0.1", "--cpu-weight", "50"], script) {
        let said = outcome.success();
        let (hundredths, times) = said.split_once('\n').unwrap();
        let seconds = hundredths.parse::<f64>().unwrap() / 100.0;
        let used: f64 = times
            .split_whitespace()
            .map(|time| time.trim_start_matches("0m").trim_end_matches('s'))
            .map(|time| time.parse::<f64>().unwrap())
            .sum();
        assert!(used < 0.3 * seconds, "{said}");
    }
    no_cgroup_stays(&before);
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_cgroup_is_the_root_of_its_namespace() {
    let _leaks = Leaks::watch();
    let before = cgroups();
    if let Some(outcome) = limited(&["--pids", "20"], "cat /proc/self/cgroup") {
        for line in outcome.success().lines() {
            assert!(line.ends_with(":/"), "{line}");
        }
    }
    no_cgroup_stays(&before);
}

/// Every end leaves nothing: by itself, by a failed start, by a step that fails, by a signal.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_cgroup_goes_however_the_sandbox_ends() {
    let _leaks = Leaks::watch();
    let before = cgroups();
    for options in [&["--pids", "20"][..], &["--pids", "20", "--as-pid-1"]] {
        assert_eq!(
            limited(options, "exit 7").map_or(7, |outcome| outcome.code()),
            7
        );
        let killed = limited(options, "kill -9 $$; exit 137");
        assert_eq!(killed.map_or(137, |outcome| outcome.code()), 137);
    }
    let outcome = run(&mut crabcan(["--pids", "20", "--", "/no/such/program"]));
    assert_eq!(outcome.code(), 127, "{outcome:?}");
    for fault in ["0:5", "0:0", "1:5", "4:0"] {
        let mut command = shell(&["--pids", "20"], "exit 0");
        let outcome = run(command.env("CRABCAN_FAULT", fault));
        assert_eq!(outcome.code(), 125, "{outcome:?}");
    }
    no_cgroup_stays(&before);
}

/// SIGKILL leaves at most an empty cgroup, and the next sandbox removes it.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn what_a_killed_crabcan_leaves_is_gone_after_the_next() {
    let _leaks = Leaks::watch();
    let before = cgroups();
    for pause in [0, 2, 4, 8, 100] {
        let mut child = shell(&["--pids", "20"], "sleep 60")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(pause));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        // Its processes need a moment to end.
        run(&mut shell(&["--pids", "20"], "exit 0")).success();
        if cgroups().is_subset(&before) {
            break;
        }
        assert!(Instant::now() < until, "{:?}", cgroups());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn many_in_a_row_leave_the_tree_as_it_was() {
    let _leaks = Leaks::watch();
    let before = cgroups();
    for _ in 0..50 {
        run(&mut crabcan([
            "--pids", "20", "--memory", "64M", "--", "true",
        ]))
        .success();
    }
    no_cgroup_stays(&before);
}
