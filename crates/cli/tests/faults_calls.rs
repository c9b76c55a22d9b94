//! Every system call of a command killed, or made to fail, and a look at what is left.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and prints its figures"
)]

mod support;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::attack::{cgroups, figure, full};
use support::bundle::Bundle;
use support::{Leaks, Reaper};

/// A call: its name, and which one of that name.
type Point = (String, u32);

/// The command under strace(1), whose own output goes to a file.
fn traced(bundle: &Bundle, options: &[&str], words: &str) -> Command {
    let command = bundle.command(words.split(' '));
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-o"]);
    strace.arg(bundle.directory.path().join("trace"));
    strace.args(options).arg("--").arg(command.get_program());
    strace
        .args(command.get_args())
        .current_dir(bundle.directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    strace
}

/// Runs to the end, within the bounds that every fault has.
#[track_caller]
fn bounded(mut command: Command, what: &str) -> Option<i32> {
    let mut child = command
        .spawn()
        .expect("strace, of the package of that name");
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > until {
            let _ = child.kill();
            panic!("{what}: hangs");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// All calls of the command's own process when nothing is wrong.
fn points(bundle: &Bundle, words: &str) -> Vec<Point> {
    assert_eq!(
        bounded(traced(bundle, &[], words), words),
        Some(0),
        "{words}"
    );
    let trace = std::fs::read_to_string(bundle.directory.path().join("trace")).unwrap();
    let mut seen = BTreeMap::new();
    let mut points = Vec::new();
    for line in trace.lines() {
        let Some((name, _)) = line.split_once('(') else {
            continue;
        };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || !name.chars().all(plain) {
            continue;
        }
        let count = seen.entry(name.to_owned()).or_insert(0);
        *count += 1;
        // Before its first call of its own there is nothing to be left.
        if name != "execve" {
            points.push((name.to_owned(), *count));
        }
    }
    points
}

/// What the state of the container is before the command, and how to come there.
#[derive(Clone, Copy)]
struct Case {
    words: &'static str,
    before: &'static [&'static str],
}

const CASES: [Case; 4] = [
    Case {
        words: "create one",
        before: &[],
    },
    Case {
        words: "start one",
        before: &["create one"],
    },
    Case {
        words: "exec one /bin/true",
        before: &["run -d one"],
    },
    Case {
        words: "delete --force one",
        before: &["run -d one"],
    },
];

fn prepare(bundle: &Bundle, case: Case) {
    for words in case.before {
        let outcome = bundle.leave(words);
        assert_eq!(outcome.code(), 0, "{words}: {outcome:?}");
    }
}

/// Whatever happened: the way back is open, and nothing is left.
#[track_caller]
fn clean(bundle: &Bundle, leaks: &Leaks, after: &str) {
    let outcome = bundle.run("delete --force one");
    assert_eq!(outcome.code(), 0, "{after}: {outcome:?}");
    assert_eq!(bundle.entries(), [""; 0], "{after}");
    let own = format!("crabcan-e2e-{}-", std::process::id());
    assert_eq!(cgroups(&own).len(), 0, "{after}: {:?}", cgroups(&own));
    leaks.check_processes(after);
}

/// Which of the points are tried: all of them, or as many as there is time for, spread evenly.
fn chosen(points: &[Point], quick: usize) -> Vec<Point> {
    let step = match full() {
        true => 1,
        false => points.len().div_ceil(quick).max(1),
    };
    points.iter().step_by(step).cloned().collect()
}

fn inject(case: Case, quick: usize, faults: &[&str]) {
    let leaks = Leaks::watch();
    let bundle = Bundle::new("calls", "exec sleep 600");
    let _reaper = Reaper::start();
    prepare(&bundle, case);
    let all = points(&bundle, case.words);
    clean(&bundle, &leaks, "nothing");
    let chosen = chosen(&all, quick);
    for (index, (name, count)) in chosen.iter().enumerate() {
        let fault = faults[index % faults.len()];
        let inject = format!("inject={name}:{fault}:when={count}");
        let after = format!("{}: {inject}", case.words);
        prepare(&bundle, case);
        bounded(traced(&bundle, &["-e", &inject], case.words), &after);
        clean(&bundle, &leaks, &after);
    }
    let kind = faults[0].split_once('=').unwrap().0;
    figure(chosen.len(), &format!("faults ({kind})"));
    figure(all.len(), &format!("points there are ({kind})"));
}

/// Fault 1: killed at any of its calls, a command leaves what can be removed.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_killed_command_leaves_nothing_that_stays() {
    for case in CASES {
        inject(case, 40, &["signal=KILL"]);
    }
}

/// Fault 2: a call that fails ends the command, or does not matter, and nothing is left.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_failed_call_leaves_nothing_that_stays() {
    for case in CASES {
        inject(
            case,
            40,
            &["error=EPERM", "error=ENOSPC", "error=EIO", "error=EMFILE"],
        );
    }
}

/// Fault 2 in `create` alone: what fails leaves nothing by itself, without `delete --force`.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_create_that_fails_cleans_up_after_itself() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("rollback", "exec sleep 600");
    let all = points(&bundle, "create one");
    bundle.run("delete --force one").success();
    let (mut failed, mut done) = (0, 0);
    // What is undone by calls of these kinds can't be undone without them.
    let undoing = [
        "rmdir",
        "unlinkat",
        "unlink",
        "kill",
        "pidfd_send_signal",
        "waitid",
    ];
    let all: Vec<Point> = all
        .into_iter()
        .filter(|(name, _)| !undoing.contains(&name.as_str()))
        .collect();
    for (name, count) in chosen(&all, 60) {
        let inject = format!("inject={name}:error=EIO:when={count}");
        let code = bounded(traced(&bundle, &["-e", &inject], "create one"), &inject);
        match code {
            Some(0) => done += 1,
            Some(1) => {
                failed += 1;
                assert_eq!(bundle.entries(), [""; 0], "{inject}");
                let own = format!("crabcan-e2e-{}-", std::process::id());
                assert_eq!(cgroups(&own).len(), 0, "{inject}");
            }
            // Without memory or a runtime of the language there is no message either.
            code => assert!(
                !["openat", "mkdirat"].contains(&name.as_str()),
                "{inject}: {code:?}"
            ),
        }
        bundle.run("delete --force one").success();
    }
    assert!(failed > 0);
    figure(failed, "creates that failed and left nothing");
    figure(done, "creates to which a failed call did not matter");
}

/// Fault 3: init killed at each step of its plan.
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
            command
                .env("CRABCAN_FAULT", format!("{steps}:{errno}"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let start = Instant::now();
            let code = bounded(command, "a step");
            assert!(start.elapsed() < Duration::from_secs(10), "step {steps}");
            if code == Some(0) {
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
    figure(2 * steps, "faults (steps of init)");
}

/// A way back from all of it at once, and nothing alive is touched.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn gc_removes_what_was_left_and_nothing_else() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("gc", "exec sleep 600");
    let all = points(&bundle, "create one");
    bundle.run("delete --force one").success();
    let mut left = 0;
    for (name, count) in chosen(&all, 40) {
        let inject = format!("inject={name}:signal=KILL:when={count}");
        bounded(traced(&bundle, &["-e", &inject], "create one"), &inject);
        let before = bundle.entries();
        let outcome = bundle.run("gc");
        assert_eq!(outcome.code(), 0, "{inject}: {outcome:?}");
        let kept = bundle.entries();
        if kept.is_empty() {
            left += before.len();
            assert_eq!(
                outcome.stdout,
                if before.is_empty() { "" } else { "one\n" },
                "{inject}"
            );
        } else {
            // It was made to its end by then: gc may not touch it.
            assert!(
                ["created", "stopped"].contains(&bundle.status("one").as_str()),
                "{inject}"
            );
            assert_eq!(outcome.stdout, "", "{inject}");
            bundle.run("delete --force one").success();
        }
        let own = format!("{}", bundle.directory.path().file_name().unwrap().display());
        assert_eq!(cgroups(&own).len(), 0, "{inject}");
    }
    assert!(left > 0, "nothing was ever left for gc");
    figure(left, "half-made containers removed by gc");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    assert_eq!(bundle.run("gc").success(), "");
    assert_eq!(bundle.status("one"), "running");
}
