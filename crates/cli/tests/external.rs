//! Beside, and below, other programs of the distribution.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::process::Command;

use support::{Leaks, TempDir, crabcan, program, run};

/// Whoever uses sandboxes nests them: what a browser or a package manager starts has its own. The
/// default filter of system calls lets nobody make namespaces.
/// (Not as uid 0, which the kernel lets nobody map a second time without CAP_SETFCAP.)
#[test]
#[ignore = "needs packages: bubblewrap"]
fn sandboxes_are_nested() {
    let _leaks = Leaks::watch();
    let bubblewrap = "bwrap --unshare-all --ro-bind / / --proc /proc --dev /dev";
    let own = format!("{} --seccomp none --", program().display());
    for inner in [bubblewrap, &own] {
        let mut outer = crabcan(["--uid", "1000", "--seccomp", "none"]);
        let directory = program().parent().unwrap().to_owned();
        outer.current_dir(directory).arg("--");
        outer.args(inner.split(' ')).args(["/bin/echo", "inside"]);
        assert_eq!(run(&mut outer).success(), "inside\n", "{inner}");
    }
}

/// A command that `learn` can't answer for any more would wait, or fail in each of its calls: it is
/// ended, and the cause told, whether it had begun or not. strace fails the answers to it.
#[test]
#[ignore = "needs packages: strace"]
fn a_command_that_cannot_be_answered_for_is_ended() {
    let _leaks = Leaks::watch();
    let place = TempDir::new("unanswered");
    let output = place.path().join("profile.json");
    for first_to_fail in ["3", "4", "9", "10"] {
        let mut command = Command::new("strace");
        let inject = format!("inject=ioctl:error=ENOMEM:when={first_to_fail}+");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=ioctl", "-e"]);
        command.arg(inject).arg(program());
        // The loopback of a network of its own would take ioctls, too.
        command.args(["learn", "--net", "host", "--output"]);
        command.arg(&output).args(["--", "/bin/sleep", "60"]);
        let failure = run(&mut command).failure(125).to_owned();
        let told = failure.contains("by the listener of a filter: Out of memory (ENOMEM)")
            || failure.contains("at the listener of a filter: Out of memory (ENOMEM)");
        assert!(told, "{first_to_fail}: {failure}");
        assert!(!output.exists(), "{first_to_fail}");
    }
}
