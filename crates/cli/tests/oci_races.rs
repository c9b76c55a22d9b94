//! Two commands about one container at the same time: one of them is first, the other one says so,
//! and nothing is left over.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};

use support::bundle::Bundle;
use support::{Leaks, Outcome, Reaper};

/// How often a race is run, if the machine is quick enough.
const ROUNDS: u32 = 300;

/// What one race may take; a slow machine runs fewer rounds.
const BUDGET: Duration = Duration::from_secs(8);

/// Makes a container in each round and runs two commands about it at once.
fn race(
    name: &str,
    script: &str,
    make: &[&str],
    commands: [&str; 2],
    check: impl Fn(&[Outcome; 2]),
) {
    let _leaks = Leaks::watch();
    // As the first process of a machine does: where `delete` kills the init of an `exec` before that
    // has told of the child that is to go on, nobody else waits for that child.
    let _reaper = Reaper::start();
    let bundle = Bundle::new(name, script).rootless();
    let end = Instant::now() + BUDGET;
    let mut first = [0, 0];
    for round in 0..ROUNDS {
        if Instant::now() > end && round >= 10 {
            break;
        }
        for words in make {
            let made = bundle.leave(words);
            assert_eq!(made.code(), 0, "round {round}: {made:?}");
        }
        let outcomes = at_once(&bundle, commands);
        check(&outcomes);
        for (count, outcome) in first.iter_mut().zip(&outcomes) {
            *count += u32::from(outcome.code() == 0);
        }
        bundle.run("delete --force one").success();
        assert_eq!(bundle.entries(), [""; 0], "round {round}: {outcomes:?}");
    }
    let [one, other] = first;
    eprintln!(
        "{}: {one} times done, {}: {other}",
        commands[0], commands[1]
    );
}

fn at_once(bundle: &Bundle, commands: [&str; 2]) -> [Outcome; 2] {
    let start = |words: &str| {
        let mut command = bundle.command(words.split(' '));
        command.stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    commands.map(start).map(|child| {
        let output = child.wait_with_output().unwrap();
        Outcome {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            bytes: output.stdout,
        }
    })
}

/// One has succeeded, the other one has failed with one of these reasons.
#[track_caller]
fn one_wins(outcomes: &[Outcome; 2], reasons: &[&str]) {
    let [one, other] = outcomes;
    let loser = match (one.code(), other.code()) {
        (0, 1) => other,
        (1, 0) => one,
        _ => panic!("nobody or everybody has won: {outcomes:?}"),
    };
    says(loser, reasons);
}

#[track_caller]
fn says(outcome: &Outcome, reasons: &[&str]) {
    let known = reasons.iter().any(|reason| outcome.stderr.contains(reason));
    assert!(known, "{outcome:?}");
}

#[test]
fn of_two_starts_one_wins() {
    let commands = ["start one", "start one"];
    race("starts", "exit 0", &["create one"], commands, |outcomes| {
        one_wins(outcomes, &["cannot start"]);
    });
}

#[test]
fn of_two_deletes_one_wins() {
    let commands = ["delete one", "delete one"];
    let make = ["run --keep one"];
    race("deletes", "exit 0", &make, commands, |outcomes| {
        one_wins(outcomes, &["does not exist"]);
    });
}

#[test]
fn a_kill_beside_a_delete() {
    let commands = ["kill one KILL", "delete --force one"];
    let make = ["run -d one"];
    race(
        "kill",
        "exec sleep 600",
        &make,
        commands,
        |[kill, delete]| {
            assert_eq!(delete.code(), 0, "{delete:?}");
            if kill.code() != 0 {
                says(kill, &["does not exist", "not running"]);
            }
        },
    );
}

#[test]
fn an_exec_beside_a_delete() {
    let commands = ["exec one true", "delete --force one"];
    let make = ["run -d one"];
    race(
        "exec",
        "exec sleep 600",
        &make,
        commands,
        |[exec, delete]| {
            assert_eq!(delete.code(), 0, "{delete:?} {exec:?}");
            match exec.code() {
                // Before, or killed with the container.
                0 | 137 => {}
                code => {
                    assert_eq!(code, 255, "{exec:?}");
                    assert!(exec.stderr.starts_with("crabcan: exec: "), "{exec:?}");
                }
            }
        },
    );
}

#[test]
fn a_start_beside_a_delete() {
    let commands = ["start one", "delete --force one"];
    let make = ["create one"];
    race(
        "start",
        "exec sleep 600",
        &make,
        commands,
        |[start, delete]| {
            assert_eq!(delete.code(), 0, "{delete:?}");
            if start.code() != 0 {
                assert!(start.stderr.starts_with("crabcan: start: "), "{start:?}");
            }
        },
    );
}
