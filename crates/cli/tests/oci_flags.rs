//! Flags that have no test of their own elsewhere: what they do, and that those of runc and crun
//! which do nothing here are no errors.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;

use serde_json::json;
use support::bundle::Bundle;
use support::{Leaks, crabcan, run};

fn rootless(name: &str, script: &str) -> Bundle {
    Bundle::new(name, script).rootless()
}

#[test]
fn what_others_need_is_accepted() {
    let _leaks = Leaks::watch();
    let mut bundle = rootless("accepted", "exec sleep 600");
    for before in [
        "--criu=/no/such/criu",
        "--rootless=true",
        "--rootless=false",
        "--rootless=auto",
        "--debug=false",
        "--systemd-cgroup=false",
    ] {
        bundle.before.push(before.into());
    }
    let created = bundle.leave("create --no-subreaper one");
    assert_eq!((created.code(), created.stderr.as_str()), (0, ""));
    bundle.run("start one").success();
    let text = bundle.run("exec --no-subreaper one echo in").success();
    assert_eq!(text, "in\n");
    bundle.run("delete --force one").success();
    bundle.script("exit 4");
    assert_eq!(bundle.run("run --no-subreaper one").code(), 4);
    bundle.before.push("--rootless=perhaps".into());
    let outcome = bundle.run("list");
    assert_eq!(outcome.code(), 1, "{outcome:?}");
    assert!(outcome.stderr.contains("--rootless perhaps"), "{outcome:?}");
}

/// Suites and people write flags on both sides of the id, with and without an equals sign.
#[test]
fn flags_stand_before_and_behind_the_id() {
    let _leaks = Leaks::watch();
    let bundle = rootless("order", "hostname; exit 0");
    let directory = bundle.directory.path().display().to_string();
    let mut other = bundle.config.clone();
    other["hostname"] = json!("other");
    // The bundle's own configuration is written by this.
    drop(bundle.command(["list"]));
    let file = bundle
        .directory
        .file("other.json", other.to_string().as_bytes(), 0o644);
    let file = file.display();
    for (words, expected) in [
        (format!("run --bundle {directory} one"), "bundle\n"),
        (format!("run one -b {directory}"), "bundle\n"),
        (format!("run --bundle={directory} one"), "bundle\n"),
        (format!("run --config {file} one"), "other\n"),
        (format!("run one -f {file} -b {directory}"), "other\n"),
        ("run --config=other.json one".into(), "other\n"),
    ] {
        let mut command = crabcan(&bundle.before);
        let elsewhere = words.contains(&directory) && !words.contains("other");
        let from = match elsewhere {
            true => "/".as_ref(),
            false => bundle.directory.path(),
        };
        command.args(words.split(' ')).current_dir(from);
        assert_eq!(run(&mut command).success(), expected, "{words}");
    }
    let outcome = bundle.run("run --no-such-flag one");
    assert_eq!(outcome.code(), 1, "{outcome:?}");
    assert!(outcome.stderr.contains("--no-such-flag"), "{outcome:?}");
}

#[test]
fn as_much_is_logged_as_the_level_says() {
    let _leaks = Leaks::watch();
    let mut bundle = rootless("level", "exit 0");
    bundle.config["hooks"] = json!({"poststop": [{"path": "/bin/false"}]});
    bundle.config["process"]["capabilities"] = json!({"bounding": ["CAP_CRAB"]});
    let own = bundle.before.clone();
    for (flag, warnings, details) in [
        ("--log-level=error", false, false),
        ("--log-level=warn", true, false),
        ("--debug=false", true, false),
        ("--log-level=debug", true, true),
        ("--debug", true, true),
    ] {
        bundle.before.clone_from(&own);
        bundle.before.push(flag.into());
        let outcome = bundle.run("run one");
        assert_eq!(outcome.code(), 0, "{outcome:?}");
        let said = |word: &str| outcome.stderr.contains(word);
        assert_eq!(said("poststop hook"), warnings, "{flag}: {outcome:?}");
        assert_eq!(said("CAP_CRAB"), details, "{flag}: {outcome:?}");
    }
    bundle.before = own;
    bundle.before.push("--log-level=loud".into());
    let outcome = bundle.run("list");
    assert!(outcome.stderr.contains("--log-level loud"), "{outcome:?}");
}

#[test]
fn what_an_executed_process_may_become() {
    let _leaks = Leaks::watch();
    let mut bundle = rootless("become", "exec sleep 600");
    bundle.config["process"]["noNewPrivileges"] = json!(false);
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let privileges = |options: &str| {
        let words = format!("exec {options}one grep NoNewPrivs /proc/self/status");
        bundle.run(&words).success()
    };
    assert_eq!(privileges(""), "NoNewPrivs:\t0\n");
    assert_eq!(privileges("--no-new-privs "), "NoNewPrivs:\t1\n");
    // A label that nobody knows, or that no module of this kernel's would set.
    for (option, property) in [
        ("--apparmor", "process.apparmorProfile"),
        ("--process-label", "process.selinuxLabel"),
    ] {
        let outcome = bundle.run(&format!("exec {option} there-is-none one true"));
        assert_eq!(outcome.code(), 255, "{outcome:?}");
        for word in [property, "there-is-none"] {
            assert!(outcome.stderr.contains(word), "{outcome:?}");
        }
    }
}

/// `-` is standard input; a file of nothing changes nothing, and says so.
#[test]
fn limits_come_from_a_file_or_standard_input() {
    let _leaks = Leaks::watch();
    let bundle = rootless("resources", "exec sleep 600");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    bundle.directory.file("empty.json", b"{}", 0o644);
    for (words, input, expected) in [
        ("update -r empty.json one", "", "no limit is given"),
        ("update --resources - one", "{}", "no limit is given"),
        ("update -r absent.json one", "", "absent.json"),
        ("update -r - one", "{\"pids\": 3}", "pids"),
        ("update one", "", "no limit is given"),
    ] {
        let mut command = bundle.command(words.split(' '));
        let outcome = support::run_with_input(&mut command, input.as_bytes());
        assert_eq!(outcome.code(), 1, "{words}: {outcome:?}");
        assert!(outcome.stderr.contains(expected), "{words}: {outcome:?}");
    }
    assert_eq!(bundle.status("one"), "running");
    assert!(fs::metadata(bundle.state_directory().join("one")).is_ok());
}
