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
use support::{Leaks, TempDir, crabcan, run};

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

/// Of init, from its start to the program's execve: a bundle with a user namespace.
const RUN: usize = 388;
/// Of crabcan, and of init: a sandbox of the host's root.
const SANDBOX: (usize, usize) = (160, 580);

/// The calls of the first process, and of all others until they execute the program, that strace
/// saw.
fn count(command: &Command, trace: &Path) -> (usize, usize) {
    let mut traced = Command::new("strace");
    traced
        .args(["-f", "-qq", "-e", "signal=none", "-o"])
        .arg(trace);
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
    let text = fs::read_to_string(trace).unwrap();
    let mut first = None;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut executed = BTreeSet::new();
    for line in text.lines() {
        let (pid, call) = line.split_once(' ').unwrap();
        let first = *first.get_or_insert(pid);
        let call = call.trim_start();
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
    let parent = counts.remove(first.unwrap()).unwrap();
    (parent, counts.into_values().sum())
}

#[test]
#[ignore = "needs packages: strace"]
fn a_run_needs_no_more_calls_than_it_did() {
    let _leaks = Leaks::watch();
    let scratch = TempDir::new("calls");
    let mut bundle = Bundle::new("calls", "exit").rootless();
    bundle.config["process"]["args"] = serde_json::json!(["/bin/true"]);
    let (parent, init) = count(
        &bundle.command(["run", "one"]),
        &scratch.path().join("trace"),
    );
    eprintln!("run: {parent} calls of crabcan, {init} of init");
    // Those of crabcan depend on how the host has its cgroups.
    assert!(init <= RUN, "{init} calls of init");
    assert_eq!(bundle.entries(), [""; 0]);
}

#[test]
#[ignore = "needs packages: strace"]
fn a_sandbox_needs_no_more_calls_than_it_did() {
    let _leaks = Leaks::watch();
    let scratch = TempDir::new("calls-sandbox");
    let mut command = crabcan(["--", "/bin/true"]);
    // A directory below one that is hidden would be shown, by more calls.
    command.current_dir("/");
    let (parent, init) = count(&command, &scratch.path().join("trace"));
    eprintln!("sandbox: {parent} calls of crabcan, {init} of init");
    assert!(parent <= SANDBOX.0, "{parent} calls of crabcan");
    assert!(init <= SANDBOX.1, "{init} calls of init");
}
