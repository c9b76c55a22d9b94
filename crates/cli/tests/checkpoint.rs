//! What is told of checkpoints without criu, and without containers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use support::bundle::Bundle;

/// podman asks in these ways whether a runtime can checkpoint.
#[test]
fn engines_are_answered() {
    let bundle = Bundle::new("checkpoint-probe", "true");
    assert_eq!(bundle.run("checkpoint --help").code(), 0);
    let probe = bundle.run("restore --lsm-mount-context");
    assert!(probe.stderr.contains("requires an argument"), "{probe:?}");
    let wrong = bundle.run("restore --manage-cgroups-mode most one");
    assert!(wrong.stderr.contains("soft, full, strict"), "{wrong:?}");
    assert_eq!(bundle.run("checkpoint one").code(), 1);
}

#[test]
fn features_tell_whether_criu_is_there() {
    let bundle = Bundle::new("checkpoint-features", "true");
    let mut command = bundle.command(["features"]);
    let output = command.env("PATH", "/nonexistent").output().unwrap();
    let features: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        features["annotations"]["org.crabcan.checkpoint.enabled"],
        "false"
    );
}
