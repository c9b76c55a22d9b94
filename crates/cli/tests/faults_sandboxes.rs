//! A sandbox, or its init, killed at any of their system calls, or failing there.
//!
//! On x86_64 alone: the tracer changes registers.
#![cfg(target_arch = "x86_64")]
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
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use support::attack::{cgroups, figure, full};
use support::bundle::Bundle;
use support::ground::{CREATE, ERRORS, NEVER_FAIL, chosen, is_of_no_consequence};
use support::tracer::{Call, Fault, follow};
use support::{Leaks, Reaper, crabcan};

/// Cgroups with names of sandboxes and nobody in them.
fn empty_cgroups() -> Vec<std::path::PathBuf> {
    let is_empty = |path: &Path| {
        fs::read_to_string(path.join("cgroup.procs")).is_ok_and(|pids| pids.is_empty())
    };
    let is_unique = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let digits = name.strip_prefix("crabcan-").unwrap_or_default();
        digits.len() == 16 && digits.chars().all(|c| c.is_ascii_hexdigit())
    };
    let mut found: Vec<_> = cgroups("crabcan-").into_iter().collect();
    found.retain(|path| is_unique(path) && is_empty(path));
    found
}

/// Of what there is to try the half, when there is no time: each form has another one.
fn some(calls: &[Call], form: usize) -> Vec<Call> {
    let chosen = chosen(calls, CREATE);
    let is_tried = |call: &Call| full() || call.index % 2 == form % 2;
    chosen.into_iter().filter(is_tried).collect()
}

/// Killed or failing at any call of their own or of init's, sandboxes leave nothing: they have no state but a cgroup.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_sandbox_leaves_nothing_whatever_becomes_of_it() {
    let leaks = Leaks::watch();
    let bundle = Bundle::new("sandbox-calls", "");
    let _reaper = Reaper::start();
    let before = empty_cgroups();
    let (mut killed, mut failed, mut all) = (0, 0, 0);
    let forms = [&["--pids", "20"][..], &["--userns", "host"]];
    for (form, options) in forms.into_iter().enumerate() {
        let command = || -> Command {
            let mut command = crabcan(options);
            command.args(["--", "/bin/true"]);
            command.current_dir(bundle.directory.path());
            command
        };
        let calls = follow(&command(), None).calls;
        all += calls.len();
        for (index, call) in some(&calls, form).iter().enumerate() {
            let errno = ERRORS[index % ERRORS.len()];
            let fault = match index % 2 == 0 || NEVER_FAIL.contains(&call.name()) {
                true => Fault::Kill,
                false => Fault::Error(errno),
            };
            let followed = follow(&command(), Some((*call, fault)));
            let after = format!("{options:?} {fault:?} at {call}: {}", followed.code);
            match fault {
                Fault::Kill => killed += u32::from(followed.struck),
                Fault::Error(_) => failed += u32::from(followed.struck),
            }
            let goes_on = followed.code == 0 && followed.struck && call.process > 0;
            let failed_in_vain =
                matches!(fault, Fault::Error(errno) if !is_of_no_consequence(call, errno));
            assert!(!goes_on || !failed_in_vain, "{after}");
            let until = Instant::now() + Duration::from_secs(10);
            loop {
                bundle.run("gc").success();
                let left = empty_cgroups();
                if left.iter().all(|path| before.contains(path)) {
                    break;
                }
                assert!(Instant::now() < until, "{after}: {left:?}");
            }
            leaks.check(&after);
        }
    }
    figure(killed, "processes killed at a system call");
    figure(failed, "system calls failed");
    figure(all, "system calls there are to be killed at");
}
