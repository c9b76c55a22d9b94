//! Limits as anybody's: those that are always enforced, and what is said of those that are not.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it can't test"
)]

mod support;

use std::time::{Duration, Instant};

use support::{Leaks, crabcan, run, shell};

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
        ["--time", "soon"],
        ["--time", "0"],
        ["--cpu-time", "-1"],
        ["--rlimit", "nofile"],
        ["--rlimit", "files=1"],
        ["--rlimit", "core=2:1"],
    ] {
        let outcome = run(&mut crabcan([words[0], words[1], "--", "true"]));
        let message = outcome.failure(125);
        assert!(message.contains(words[0]), "{message}");
    }
}

/// Whatever came before, in order of the command line; what was said last counts.
#[test]
fn resources_of_each_process_are_limited() {
    let _leaks = Leaks::watch();
    let limits = ["--rlimit", "nofile=10", "--rlimit", "nofile=40:50"];
    let outcome = run(&mut shell(&limits, "ulimit -Sn; ulimit -Hn"));
    assert_eq!(outcome.success(), "40\n50\n");
    let tutorial = ["--rlimit", "NOFILE=32", "--command", "sh -c 'ulimit -n'"];
    assert_eq!(run(&mut crabcan(tutorial)).stdout, "32\n");
}

/// Everything in the sandbox ends, whoever is deaf, and whoever sees the host's processes.
#[test]
fn the_time_is_over_for_everything() {
    let _leaks = Leaks::watch();
    let deaf = "trap '' TERM INT; sleep 60 & sleep 60; sleep 60";
    for options in [
        &["--time", "300ms"][..],
        &["--time", "300ms", "--as-pid-1"],
        &["--time", "300ms", "--share", "pid"],
    ] {
        let begin = Instant::now();
        // In the host's pid namespace nobody finds what the command has started.
        let script = if options.contains(&"--share") {
            "exec sleep 60"
        } else {
            deaf
        };
        let outcome = run(&mut shell(options, script));
        assert_eq!(outcome.code(), 137, "{options:?}: {outcome:?}");
        let told = "the time limit of 300ms was reached: everything was killed";
        assert!(outcome.stderr.contains(told), "{options:?}: {outcome:?}");
        assert!(begin.elapsed() >= Duration::from_millis(300), "{options:?}");
    }
    assert_eq!(
        run(&mut shell(&["--time", "1h"], "echo hi")).success(),
        "hi\n"
    );
}

/// The signal's end is told, of the command itself and of a child that a shell tells of.
#[test]
fn processor_time_and_the_size_of_files_that_are_used_up_are_told() {
    let _leaks = Leaks::watch();
    for script in [
        "while :; do :; done",
        "sh -c 'while :; do :; done'; exit $?",
    ] {
        let outcome = run(&mut shell(&["--cpu-time", "1"], script));
        assert_eq!(outcome.code(), 152, "{outcome:?}");
        let told = "the limit of processor time was reached";
        assert!(outcome.stderr.contains(told), "{outcome:?}");
    }
    let outcome = run(&mut shell(
        &["--rlimit", "fsize=4K"],
        "exec head -c 10000 /dev/zero >/tmp/file",
    ));
    assert_eq!(outcome.code(), 153, "{outcome:?}");
    let told = "the limit of a file's size was reached";
    assert!(outcome.stderr.contains(told), "{outcome:?}");
    // Nobody limited it: then the number is the command's own.
    let outcome = run(&mut shell(&[], "exit 152"));
    assert_eq!((outcome.code(), outcome.stderr.as_str()), (152, ""));
}
