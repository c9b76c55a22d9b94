//! Limits as anybody's: those that are always enforced, and what is said of those that are not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it can't test"
)]

mod support;

use support::{Leaks, crabcan, run};

/// Limited inside, and not the caller.
#[test]
fn the_tutorials_form_limits_open_files() {
    let _leaks = Leaks::watch();
    let outcome = run(&mut crabcan([
        "--command",
        "sh -c 'ulimit -Sn; ulimit -Hn'",
    ]));
    assert_eq!(outcome.stdout, "64\n64\n", "{outcome:?}");
    let outcome = run(&mut crabcan(["--", "sh", "-c", "ulimit -n"]));
    assert_ne!(outcome.stdout, "64\n", "{outcome:?}");
}

/// What was asked for is in force or nothing starts, and the message says what to do; with
/// best-effort it starts all the same, and each limit that is missing is one line.
#[test]
fn a_limit_is_enforced_or_its_lack_is_told() {
    let _leaks = Leaks::watch();
    for (option, value, controller) in [
        ("--memory", "64M", "memory"),
        ("--pids", "50", "pids"),
        ("--cpus", "0.5", "cpu"),
        ("--cpuset", "0", "cpuset"),
    ] {
        let required = run(&mut crabcan([option, value, "--", "echo", "hi"]));
        let best = [option, value, "--limits", "best-effort", "--", "echo", "hi"];
        let best = run(&mut crabcan(best));
        assert_eq!((best.code(), best.stdout.as_str()), (0, "hi\n"), "{best:?}");
        if required.code() == 0 {
            assert_eq!(
                (required.stdout.as_str(), best.stderr.as_str()),
                ("hi\n", "")
            );
            continue;
        }
        let message = required.failure(125).to_owned();
        assert!(
            message.contains(&format!("the {controller} controller")),
            "{message}"
        );
        assert!(required.stderr.contains("\nhint: "), "{required:?}");
        let warnings: Vec<_> = best.stderr.lines().collect();
        assert_eq!(warnings.len(), 1, "{best:?}");
        assert!(warnings[0].contains("WARN"), "{best:?}");
        let told = format!("{controller} is not limited: ");
        assert!(warnings[0].contains(&told), "{best:?}");
    }
}

#[test]
fn values_that_are_none() {
    let _leaks = Leaks::watch();
    for words in [
        ["--memory", "much"],
        ["--memory", "-1"],
        ["--cpus", "0"],
        ["--cpus", "1e9"],
        ["--pids", "-1"],
        ["--io-weight", "70000"],
        ["--limits", "some"],
    ] {
        let outcome = run(&mut crabcan([words[0], words[1], "--", "true"]));
        let message = outcome.failure(125);
        assert!(message.contains(words[0]), "{message}");
    }
}
