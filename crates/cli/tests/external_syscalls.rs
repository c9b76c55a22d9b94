//! How many system calls a start needs: what was measured, and no mount's worth more.
//!
//! The floor program (`xtask/floor`) does the kernel's own work in 108 calls. `docs/performance.md`
//! says where the others come from. The bounds here hold for any build: what the loader and the
//! allocator of a build need is not counted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use support::bundle::Bundle;
use support::{Leaks, TempDir, run, runtime};

/// The loader's and the allocator's.
const OF_THE_BUILD: [&str; 10] = [
    "brk",
    "mmap",
    "munmap",
    "mremap",
    "mprotect",
    "pread64",
    "read",
    "close",
    "fstat",
    "arch_prctl",
];

const STRACE: [&str; 5] = ["-f", "-qq", "-e", "signal=none", "-o"];

/// Of init, from its start to the program's execve: a bundle with a user namespace.
const RUN: usize = 388;
/// Of crabcan, and of init: a sandbox of the root that [`SMALL_HOST`] makes.
const SANDBOX: (usize, usize) = (140, 428);

/// A host whose root has the same directories and mounts on every machine, since each costs calls.
/// It has no cgroups. `$1` is where it is made, and crabcan is there already; what follows is the
/// command.
const SMALL_HOST: &str = r#"
    mount --bind "$1" "$1"
    cd "$1"
    shift
    mkdir dev etc home old proc run tmp usr var
    for directory in bin lib lib64 sbin; do
        ! test -e "/$directory" || ln -s "usr/$directory" "$directory"
    done
    for directory in dev etc proc usr; do
        mount --bind "/$directory" "$directory"
    done
    pivot_root . old
    cd /
    umount -l old
    rmdir old
    exec "$@"
"#;

/// The calls of the first process with its threads, and of all others until they execute the program,
/// that strace wrote down.
fn count(trace: &Path) -> (usize, usize) {
    let text = fs::read_to_string(trace).unwrap();
    let mut first = None;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut executed, mut threads) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        let (pid, call) = line.split_once(' ').unwrap();
        let first = *first.get_or_insert(pid);
        let call = call.trim_start();
        // Of a process that crabcan makes, the kernel says no more than a pidfd.
        if let Some((_, thread)) = call.split_once("parent_tid=[") {
            threads.extend(thread.split(']').next());
        }
        // The end of a call whose beginning has been counted, or the end of a process.
        if call.starts_with("<...") || call.starts_with("+++") {
            continue;
        }
        let name = call.split('(').next().unwrap();
        if pid != first && name == "execve" {
            executed.insert(pid);
        }
        let own = !executed.contains(pid) && (pid != first || !OF_THE_BUILD.contains(&name));
        *counts.entry(pid).or_default() += usize::from(own);
    }
    let is_parent = |pid: &&str| Some(*pid) == first || threads.contains(pid);
    let sum = |parent| {
        let counts = counts.iter().filter(|(pid, _)| is_parent(pid) == parent);
        counts.map(|(_, count)| count).sum()
    };
    (sum(true), sum(false))
}

#[test]
#[ignore = "needs packages: strace"]
fn a_run_needs_no_more_calls_than_it_did() {
    let _leaks = Leaks::watch();
    let scratch = TempDir::new("calls");
    let mut bundle = Bundle::new("calls", "exit").rootless();
    bundle.config["process"]["args"] = serde_json::json!(["/bin/true"]);
    let trace = scratch.path().join("trace");
    let command = bundle.command(["run", "one"]);
    let mut traced = Command::new("strace");
    traced.args(STRACE).arg(&trace);
    traced.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => traced.env(name, value),
            None => traced.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        traced.current_dir(directory);
    }
    // Cargo's: the loader would look in each of its directories.
    run(traced.env_remove("LD_LIBRARY_PATH")).success();
    let (parent, init) = count(&trace);
    eprintln!("run: {parent} calls of crabcan, {init} of init");
    // Those of crabcan depend on how the host has its cgroups.
    assert!(init <= RUN, "{init} calls of init");
    assert_eq!(bundle.entries(), [""; 0]);
}

#[test]
#[ignore = "needs packages: strace"]
fn a_sandbox_needs_no_more_calls_than_it_did() {
    let _leaks = Leaks::watch();
    let host = TempDir::new("calls-sandbox");
    fs::copy(runtime(), host.path().join("crabcan")).unwrap();
    let mut unshare = Command::new("unshare");
    unshare.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    unshare
        .args(["sh", "-euc", SMALL_HOST, "sh"])
        .arg(host.path());
    unshare.arg("strace").args(STRACE).arg("/trace");
    unshare.args(["/crabcan", "--", "/bin/true"]);
    unshare.env_remove("RUST_LOG").env_remove("LD_LIBRARY_PATH");
    run(&mut unshare).success();
    let (parent, init) = count(&host.path().join("trace"));
    eprintln!("sandbox: {parent} calls of crabcan, {init} of init");
    assert!(parent <= SANDBOX.0, "{parent} calls of crabcan");
    assert!(init <= SANDBOX.1, "{init} calls of init");
}
