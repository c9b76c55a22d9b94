//! A state directory that takes nothing: what was asked for has no effect then, and what there is
//! can still be looked at and removed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::process::Command;

use serde_json::json;
use support::bundle::Bundle;
use support::{Leaks, Outcome, run};

/// Runs a script in mount and user namespaces of its own, where `c` is crabcan, and `$STATE` a
/// filesystem of 64 KiB that is its state directory.
fn with_small_state(name: &str, script: &str) -> Outcome {
    let mut bundle = Bundle::new(name, "exec sleep 600").rootless();
    let linux = &mut bundle.config["linux"];
    for maps in ["uidMappings", "gidMappings"] {
        linux[maps] = json!([{"containerID": 0, "hostID": 0, "size": 1}]);
    }
    let state = bundle.directory.directory("small");
    // It writes the configuration.
    drop(bundle.command([""]));
    let script = format!(
        "set -u; c() {{ \"$CRABCAN\" --root \"$STATE\" \"$@\" </dev/null; }}; \
         mount -t tmpfs -o size=64k,mode=700 none \"$STATE\" || exit 99; {script}"
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    command.current_dir(bundle.directory.path());
    command
        .env("STATE", state)
        .env("CRABCAN", support::program());
    run(&mut command)
}

#[test]
fn a_full_state_directory_has_no_half_made_container() {
    let _leaks = Leaks::watch();
    let outcome = with_small_state(
        "full",
        "c run -d one >/dev/null 2>run.err || { cat run.err; exit 98; }; \
         cat /dev/zero >\"$STATE/fill\" 2>/dev/null; \
         c create two; echo create $?; c run -d three; echo run $?; ls \"$STATE\"; \
         c state one | grep status; c exec one echo executed; \
         c kill one 9; echo kill $?; sleep 0.1; c delete one; echo delete $?; ls \"$STATE\"; \
         rm \"$STATE/fill\"; \
         c run -d four >/dev/null 2>&1; c delete --force four; ls \"$STATE\"",
    );
    assert_eq!(
        outcome.stdout,
        "create 1\nrun 1\nfill\none\n  \"status\": \"running\"\nexecuted\nkill 0\ndelete 0\nfill\n",
        "{outcome:?}"
    );
    assert_eq!(outcome.stderr.matches("(ENOSPC)").count(), 2, "{outcome:?}");
}

#[test]
fn a_read_only_state_directory_can_be_looked_at() {
    let _leaks = Leaks::watch();
    let outcome = with_small_state(
        "read-only",
        "c run -d one >/dev/null 2>run.err || { cat run.err; exit 98; }; \
         mount -o remount,bind,ro \"$STATE\" || exit 97; \
         c create two; echo create $?; c list -q; c state one | grep status; \
         c exec one echo executed; c kill one 9; sleep 0.1; c delete one; echo delete $?; ls \"$STATE\"; \
         mount -o remount,bind,rw \"$STATE\"; c delete --force one; echo force $?; ls \"$STATE\"",
    );
    assert_eq!(
        outcome.stdout,
        "create 1\none\n  \"status\": \"running\"\nexecuted\ndelete 1\none\nforce 0\n",
        "{outcome:?}"
    );
    assert_eq!(outcome.stderr.matches("(EROFS)").count(), 2, "{outcome:?}");
}
