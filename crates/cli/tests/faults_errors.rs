//! System calls of a command, or of its init, that fail: it is told, and nothing is left.
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

use std::process::Command;

use support::attack::figure;
use support::ground::{
    CREATE, CREATE_MAPPED, Case, DROPPED_IN_VAIN, ERRORS, EXEC, Ground, NEVER_FAIL, OTHERS, RUN,
    UNDOING, is_of_no_consequence,
};
use support::tracer::{Fault, Followed};
use support::{Reaper, run};

/// Fault 2: a call that fails ends the command with a message, or does not matter, and nothing is
/// left; what could not be made is undone at once.
fn failed(ground: &Ground, cases: &[Case]) {
    let _reaper = Reaper::start();
    let (mut struck, mut mattered) = (0, 0);
    let mut tolerated = Vec::new();
    let all = ground.at_each_call(cases, |case, index, call| {
        if NEVER_FAIL.contains(&call.name()) {
            return;
        }
        let errno = ERRORS[index % ERRORS.len()];
        let after = format!("{}: {errno:?} from {call}", case.words);
        ground.prepare(case);
        let followed = ground.follow(case, Some((call, Fault::Error(errno))));
        struck += u32::from(followed.struck);
        if followed.code != 0 {
            mattered += 1;
            ground.explained(&followed, &after);
        } else if ground.is_mapped && call.process == 0 {
            ground.mounts_are_locked(&after);
        } else if call.process > 0 && followed.struck && ground.goes_on(case) {
            assert!(is_of_no_consequence(&call, errno), "init went on: {after}");
            tolerated.push(call.name());
        }
        if [CREATE.words, RUN.words].contains(&case.words) && followed.code == 1 {
            let can_undo = call.process > 0 || !UNDOING.contains(&call.name());
            if can_undo {
                ground.is_clean(&after);
            }
        }
        ground.way_back(false, &after);
    });
    let in_vain = tolerated.iter().filter(|name| **name == "prctl").count();
    assert!(in_vain <= DROPPED_IN_VAIN * cases.len(), "{in_vain}");
    figure(struck, "system calls failed");
    figure(all, "system calls there are to fail");
    figure(mattered, "commands that a failed call ended");
}

impl Ground {
    /// Whether init does, after a command that ended well: after `create` only `start` can tell.
    fn goes_on(&self, case: Case) -> bool {
        case.words != CREATE.words || self.bundle.run("start one").code() == 0
    }

    /// The root of the container's user namespace can't have access times kept otherwise on a
    /// mount of the host's.
    #[track_caller]
    fn mounts_are_locked(&self, after: &str) {
        let state = self.bundle.state("one");
        let target = format!("--target={}", state["pid"]);
        let mut command = Command::new("nsenter");
        command.args([
            "--user",
            "--pid",
            "--mount",
            "--setuid=0",
            "--setgid=0",
            &target,
        ]);
        command.args(["/bin/mount", "-o", "remount,bind,noatime", "/usr"]);
        let outcome = run(&mut command);
        let refused = outcome.code() != 0 && outcome.stderr.contains("permission denied");
        assert!(refused, "{after}: {state} {outcome:?}");
    }

    /// A failure has a code of failures and words.
    #[track_caller]
    fn explained(&self, followed: &Followed, after: &str) {
        let said = self.said();
        assert!(!said.contains("panicked"), "{after}: {said}");
        // Without memory there are no words.
        let known = [1, 255, -libc::SIGABRT].contains(&followed.code);
        assert!(known, "{after}: {} {said}", followed.code);
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_create_that_fails_cleans_up_after_itself() {
    failed(&Ground::new("fail-create"), &[CREATE]);
}

/// The mounts of the host's that it locks are on the way for a moment.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_create_that_fails_to_lock_mounts_cleans_up_after_itself() {
    failed(&Ground::mapped("fail-lock"), &[CREATE_MAPPED]);
}

#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_run_that_fails_cleans_up_after_itself() {
    failed(&Ground::new("fail-run"), &[RUN]);
}

#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_failed_call_of_exec_leaves_nothing_that_stays() {
    failed(&Ground::new("fail-exec"), &[EXEC]);
}

#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_failed_call_of_any_other_command_leaves_nothing_that_stays() {
    failed(&Ground::new("fail-others"), &OTHERS);
}
