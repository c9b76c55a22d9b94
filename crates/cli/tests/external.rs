//! Beside other programs of the distribution.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use support::{Leaks, crabcan, program, run};

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
