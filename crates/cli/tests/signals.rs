//! Signals sent to crabcan, and what is left when it is killed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod tty;

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tty::{Running, crabcan, is_running, long_time, until};

/// Says each signal that it gets, and ends with 3 at SIGALRM.
const COUNTING: &str = "\
    for name in HUP INT QUIT TERM USR1 USR2; do trap \"echo got $name\" $name; done
    trap 'exit 3' ALRM
    echo ready
    while :; do sleep 0.02; done";

const TRAPPED: [(Signal, &str); 6] = [
    (Signal::SIGHUP, "HUP"),
    (Signal::SIGINT, "INT"),
    (Signal::SIGQUIT, "QUIT"),
    (Signal::SIGTERM, "TERM"),
    (Signal::SIGUSR1, "USR1"),
    (Signal::SIGUSR2, "USR2"),
];

/// Longer than the command needs to say a signal that came twice.
const A_WHILE: Duration = Duration::from_millis(200);

fn ends(mut running: Running, code: i32) -> String {
    running.signal(Signal::SIGALRM);
    assert_eq!(running.code(), code);
    running.until_all_closed().to_owned()
}

#[test]
fn each_signal_arrives_exactly_once() {
    let mut running = Running::script(COUNTING);
    running.until("ready\n");
    let mut expected = "ready\n".to_owned();
    for (signal, name) in TRAPPED {
        running.signal(signal);
        expected += &format!("got {name}\n");
        running.until(&expected);
    }
    thread::sleep(A_WHILE);
    assert_eq!(ends(running, 3), expected);
}

#[test]
fn each_signal_ends_a_command_that_does_nothing_about_it() {
    for signal in [1_i32, 2, 3, 10, 12, 14, 15] {
        let time = long_time(signal.unsigned_abs());
        let mut running = Running::spawn(crabcan().args(["--", "sleep", &time]));
        until("the command", || is_running(&time));
        running.signal(Signal::try_from(signal).unwrap());
        assert_eq!(running.code(), 128 + signal);
        assert_eq!(running.until_all_closed(), "");
        assert!(!is_running(&time));
    }
}

/// As a terminal sends Ctrl-C when standard input is something else.
#[test]
fn a_signal_to_the_whole_group_arrives_exactly_once() {
    let mut command = crabcan();
    command.args(["--", "sh", "-c", COUNTING]).process_group(0);
    let mut running = Running::spawn(&mut command);
    running.until("ready\n");
    running.signal_group(Signal::SIGINT);
    running.until("got INT\n");
    // While crabcan can't hand anything on, it comes to nobody else either.
    running.signal(Signal::SIGSTOP);
    running.signal_group(Signal::SIGQUIT);
    thread::sleep(A_WHILE);
    running.signal(Signal::SIGCONT);
    running.until("got QUIT\n");
    thread::sleep(A_WHILE);
    assert_eq!(ends(running, 3), "ready\ngot INT\ngot QUIT\n");
}

/// A group's signal while the container is being made: crabcan has it already, or dies of it.
#[test]
fn a_signal_to_the_whole_group_during_the_start_arrives_at_most_once() {
    for round in 0..30 {
        let mut command = crabcan();
        let script = "trap 'echo got' INT; sleep 0.1; sleep 0.1; echo end";
        command.args(["--", "sh", "-c", script]).process_group(0);
        let mut running = Running::spawn(&mut command);
        thread::sleep(Duration::from_micros(500 * round));
        running.signal_group(Signal::SIGINT);
        let code = running.code();
        let output = running.until_all_closed();
        let correct = match code {
            // Before crabcan takes the signals; before the command traps them; afterwards.
            -2 | 130 => output.is_empty(),
            0 => output == "got\nend\n",
            _ => false,
        };
        assert!(correct, "round {round}: {code} {output:?}");
    }
}

#[test]
fn an_ignored_signal_is_not_handed_on() {
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(crabcan().get_program())
        .args(["--", "sh", "-c", COUNTING]);
    let mut running = Running::spawn(&mut command);
    running.until("ready\n");
    running.signal(Signal::SIGHUP);
    thread::sleep(A_WHILE);
    running.signal(Signal::SIGTERM);
    running.until("got TERM\n");
    assert_eq!(ends(running, 3), "ready\ngot TERM\n");
}

#[test]
fn killing_crabcan_ends_the_whole_container() {
    for options in [&[][..], &["--as-pid-1"]] {
        let (child, stubborn) = (long_time(1), long_time(2));
        let script = format!(
            "trap '' HUP INT TERM
             setsid sh -c 'trap \"\" HUP INT TERM; echo one; sleep {stubborn}; sleep 1000' &
             (trap '' HUP INT TERM; sleep {child}; sleep 1000) &
             echo two; sleep 1000; sleep 1000"
        );
        let mut command = crabcan();
        command.args(options).args(["--", "sh", "-c", &script]);
        let mut running = Running::spawn(&mut command);
        running.until("one\n");
        running.until("two\n");
        until("both", || is_running(&child) && is_running(&stubborn));
        let start = Instant::now();
        running.signal(Signal::SIGKILL);
        assert_eq!(running.code(), -9);
        running.until_all_closed();
        until("the end", || !is_running(&child) && !is_running(&stubborn));
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn killed_at_any_moment_of_the_start_crabcan_leaves_nothing() {
    for round in 0..50 {
        let time = long_time(1000 + round);
        let mut command = crabcan();
        if round % 2 == 1 {
            command.arg("--as-pid-1");
        }
        let mut running = Running::spawn(command.args(["--", "sleep", &time]));
        thread::sleep(Duration::from_micros(400) * round);
        running.signal(Signal::SIGKILL);
        assert_eq!(running.code(), -9);
        assert_eq!(running.until_all_closed(), "");
        until("the end", || !is_running(&time));
    }
}

#[test]
fn orphans_are_reaped() {
    let script = "\
        (true &); (sh -c '(sleep 0.05 &) ; exit 1' &); (sh -c 'kill -9 $$' &)
        sleep 0.5
        for process in /proc/[0-9]*; do
            grep -q '^State:.Z' $process/status && echo zombie $process
        done
        echo looked";
    let mut running = Running::script(script);
    assert_eq!(running.code(), 0);
    assert_eq!(running.until_all_closed(), "looked\n");
}

#[test]
fn the_container_goes_on_while_crabcan_is_stopped() {
    let script = "echo ready; \
        for n in 1 2 3 4 5 6 7 8 9; do sleep 0.02; done; echo done; exit 6";
    let mut running = Running::script(script);
    running.until("ready\n");
    running.signal(Signal::SIGSTOP);
    running.until("done\n");
    thread::sleep(A_WHILE);
    running.signal(Signal::SIGCONT);
    assert_eq!(running.code(), 6);
}

#[test]
fn signals_to_a_stopped_crabcan_arrive_once_it_goes_on() {
    let mut running = Running::script(COUNTING);
    running.until("ready\n");
    running.signal(Signal::SIGSTOP);
    running.signal(Signal::SIGTERM);
    running.signal(Signal::SIGUSR1);
    thread::sleep(A_WHILE);
    running.signal(Signal::SIGCONT);
    running.until("got TERM\n");
    running.until("got USR1\n");
    thread::sleep(A_WHILE);
    let mut lines: Vec<_> = ends(running, 3).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["got TERM", "got USR1", "ready"]);
}
