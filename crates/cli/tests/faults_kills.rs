//! A command, or its init, killed at any of their system calls, and a look at what is left.
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

use std::time::{Duration, Instant};

use support::attack::figure;
use support::bundle::Bundle;
use support::ground::{CREATE, Case, EXEC, Ground, OTHERS, RUN};
use support::tracer::{Fault, follow};
use support::{Leaks, Reaper};

/// Faults 1, 3 and 4: killed at any call, a command leaves what can be removed, and so does its
/// init. gc and `delete --force` take turns.
fn killed(name: &str, cases: &[Case]) {
    let ground = Ground::new(name);
    let _reaper = Reaper::start();
    let mut struck = 0;
    let all = ground.at_each_call(cases, |case, index, call| {
        let after = format!("{} killed at {call}", case.words);
        ground.prepare(case);
        let followed = ground.follow(case, Some((call, Fault::Kill)));
        struck += u32::from(followed.struck);
        assert!(
            case.words != CREATE.words || !ground.ran().exists(),
            "{after}"
        );
        ground.way_back(index % 2 == 0, &after);
    });
    figure(struck, "processes killed at a system call");
    figure(all, "system calls there are to be killed at");
}

#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_killed_create_leaves_nothing_that_stays() {
    killed("kill-create", &[CREATE]);
}

#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_killed_run_leaves_nothing_that_stays() {
    killed("kill-run", &[RUN]);
}

#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_killed_exec_leaves_nothing_that_stays() {
    killed("kill-exec", &[EXEC]);
}

#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn any_other_killed_command_leaves_nothing_that_stays() {
    killed("kill-others", &OTHERS);
}

/// Fault 3: init killed at each step of its plan, or failing in it.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn an_init_that_ends_at_any_step_leaves_nothing() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("steps", "exec sleep 600");
    let mut steps = 0;
    loop {
        // 0 ends init without a word; a number is the step's own failure.
        let mut reached = false;
        for errno in ["0", "5"] {
            let mut command = bundle.command(["create", "one"]);
            command.env("CRABCAN_FAULT", format!("{steps}:{errno}"));
            let start = Instant::now();
            let code = follow(&command, None).code;
            assert!(start.elapsed() < Duration::from_secs(10), "step {steps}");
            if code == 0 {
                let start = bundle.run("start one");
                reached |= start.code() != 0;
                assert!(start.code() == 0 || !start.stderr.is_empty(), "{start:?}");
            } else {
                reached = true;
                assert_eq!(bundle.entries(), [""; 0], "step {steps}: {errno}");
            }
            bundle.run("delete --force one").success();
            assert_eq!(bundle.entries(), [""; 0], "step {steps}");
        }
        if !reached {
            break;
        }
        steps += 1;
    }
    assert!(steps > 10, "{steps} steps");
    figure(2 * steps, "faults in steps of init");
}
