//! Calls that an older kernel, or the filter of a container around this one, does not have.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and prints its figures"
)]

mod support;

use std::os::unix::process::CommandExt;
use std::process::Command;

use crabcan_seccomp::{Action, Profile, Rule, no_new_privileges};
use support::attack::figure;
use support::bundle::Bundle;
use support::{Leaks, Outcome, crabcan, run};

const CALL: &str = "CRABCAN_TEST_TAKEN_AWAY";
const WORDS: &str = "CRABCAN_TEST_WORDS";
const NAME: &str = "a_call_that_is_not_there_is_replaced_or_named";

/// Becomes crabcan, without a call.
fn become_crabcan(call: &str) -> ! {
    let profile = Profile::new(Action::Allow).rule(Rule::new(Action::Errno(38), [call]));
    no_new_privileges().unwrap();
    profile.compile().unwrap().install().unwrap();
    let words = std::env::var(WORDS).unwrap();
    let crabcan = crabcan(words.split('\n'));
    // With a directory of the host's open, which nobody inside may find.
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "exec 9</ && exec \"$@\"", "sh"]);
    shell.arg(crabcan.get_program()).args(crabcan.get_args());
    panic!("{}", shell.exec());
}

/// Runs crabcan without a call. Its own words are on standard error.
fn without(call: &str, bundle: &Bundle, words: &[&str]) -> Outcome {
    drop(bundle.command(["state"]));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            NAME,
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CALL, call)
        .env(WORDS, words.join("\n"))
        .current_dir(bundle.directory.path());
    run(&mut command)
}

/// Fault 31: the same by other means, or an error that names what is missing.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_call_that_is_not_there_is_replaced_or_named() {
    if let Ok(call) = std::env::var(CALL) {
        become_crabcan(&call);
    }
    let _leaks = Leaks::watch();
    let mut runs = 0;
    let script = "echo INSIDE; [ -e /proc/self/fd/9 ] && echo SEEN; exit 0";
    let bundle = Bundle::new("kernel", script);
    for call in [
        "openat2",
        "clone3",
        "mount_setattr",
        "open_tree",
        "move_mount",
        "fsopen",
        "fsmount",
        "pidfd_open",
        "pidfd_send_signal",
        "close_range",
        "execveat",
        "memfd_create",
        "statx",
        "faccessat2",
        "renameat2",
        "prlimit64",
    ] {
        let state = bundle.state_directory();
        let state = state.to_str().unwrap();
        for words in [
            &["--root", state, "run", "one"][..],
            &["--uid", "0", "--", "/bin/sh", "-c", script],
        ] {
            let kind = if words[0] == "--root" {
                "OCI"
            } else {
                "sandbox"
            };
            let outcome = without(call, &bundle, words);
            runs += 1;
            assert!(!outcome.stdout.contains("SEEN"), "{call}: {outcome:?}");
            let ran = outcome.stdout.contains("INSIDE");
            let error = outcome.stderr.lines().next().unwrap_or_default();
            let done = outcome.code() == 0;
            println!("{call}, {kind}: {}", if done { "runs" } else { error });
            if done {
                assert!(ran, "{call} {kind}: {outcome:?}");
            } else {
                assert!(error.contains("ENOSYS"), "{call} {kind}: {outcome:?}");
            }
            // What could not be taken back without the call can be with it.
            bundle.run("delete --force one").success();
            assert_eq!(bundle.entries(), [""; 0]);
        }
    }
    figure(runs, "runs without a call");
}
