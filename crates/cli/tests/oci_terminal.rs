//! `run` and `exec` with a terminal, in the foreground: on a terminal of the test's own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;
#[path = "tty/sys.rs"]
mod sys;
#[path = "tty/terminal.rs"]
mod terminal;
mod tty;

use std::fs;
use std::io::{Read, Write};
use std::process::Command;

use serde_json::json;
use support::bundle::Bundle;
use support::{Leaks, Outcome, run};
use terminal::Terminal;

const CTRL_C: &str = "\x03";

/// A bundle whose program has a terminal.
fn with_terminal(name: &str, script: &str) -> Bundle {
    let mut bundle = Bundle::new(name, script).rootless();
    bundle.config["process"]["terminal"] = json!(true);
    bundle
}

#[test]
fn run_relays_the_terminal_and_restores_it() {
    let _leaks = Leaks::watch();
    let script = "tty; stty size; read line; echo got $line; trap 'stty size' WINCH; \
        trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.02; done";
    let bundle = with_terminal("run-t", script);
    let mut terminal = Terminal::new();
    let before = terminal.attributes();
    terminal.start(&mut bundle.command(["run", "one"]));
    terminal.expect("/dev/pts/0\r\n33 77\r\n");
    assert!(terminal.is_raw());
    terminal.send("hello\r");
    terminal.expect("got hello\r\nready\r\n");
    terminal.resize(44, 88);
    terminal.expect("44 88\r\n");
    // The key means the container's terminal, and the signal its program.
    terminal.send(CTRL_C);
    terminal.expect("interrupted\r\n");
    assert_eq!(terminal.code(), 5);
    assert_eq!(terminal.attributes(), before);
    assert_eq!(bundle.entries(), [""; 0]);
}

#[test]
fn exec_relays_a_terminal_of_its_own() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("exec-t", "exec sleep 600").rootless();
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let mut terminal = Terminal::new();
    let before = terminal.attributes();
    let script = "tty; stty size; read line; echo got $line; exit 6";
    terminal.start(&mut bundle.command(["exec", "-t", "one", "/bin/sh", "-c", script]));
    terminal.expect("/dev/pts/0\r\n33 77\r\n");
    terminal.send("hello\r");
    terminal.expect("got hello\r\n");
    assert_eq!(terminal.code(), 6);
    assert_eq!(terminal.attributes(), before);
    assert_eq!(bundle.status("one"), "running");
}

/// The terminal is of the container's own devpts, and `/dev/console` is the same, in a `/dev` that
/// can't be written to as well.
#[test]
fn the_terminal_is_the_containers_own() {
    let _leaks = Leaks::watch();
    let script = "[ $(stat -c %d /dev/pts/0) = $(stat -L -c %d /proc/self/fd/0) ] && echo same; \
        stat -L -c %t:%T /dev/console; awk '$5 == \"/dev/console\" { print $4 }' \
        /proc/self/mountinfo; ls /dev/pts; touch /dev/x || echo closed";
    for (options, closed) in [("mode=755", ""), ("ro", "closed\r\n")] {
        let mut bundle = with_terminal("own-t", script);
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        let dev = mounts
            .iter_mut()
            .find(|mount| mount["destination"] == "/dev");
        dev.unwrap()["options"] = json!(["nosuid", options]);
        let mut terminal = Terminal::new();
        terminal.start(&mut bundle.command(["run", "one"]));
        terminal.expect("same\r\n88:0\r\n/0\r\n0  ptmx\r\n");
        if !closed.is_empty() {
            terminal.expect(closed);
        }
        assert_eq!(terminal.code(), 0);
    }
}

/// As other programs do whose standard input is a terminal and whose output is kept.
#[test]
fn what_is_said_on_the_terminal_goes_to_standard_output() {
    let _leaks = Leaks::watch();
    let bundle = with_terminal("piped-t", "test -t 1 && echo said; echo wrong >&2");
    let mut terminal = Terminal::new();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut command = bundle.command(["run", "one"]);
    command.stdin(terminal.side()).stdout(writer);
    command.stderr(terminal.side());
    terminal.start_as_it_is(&mut command);
    let mut said = String::new();
    reader.read_to_string(&mut said).unwrap();
    assert_eq!(said, "said\nwrong\n");
    assert_eq!(terminal.code(), 0);
    assert_eq!(terminal.text(), "");

    // To a file, behind what is in it.
    let path = bundle.directory.directory("out").join("file");
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(b"before\n").unwrap();
    let mut command = bundle.command(["run", "one"]);
    command.stdin(terminal.side()).stdout(file);
    command.stderr(terminal.side());
    terminal.start_as_it_is(&mut command);
    assert_eq!(terminal.code(), 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), "before\nsaid\nwrong\n");
}

/// As with runc: whatever is a terminal gives the size, or the controlling one. What is read is
/// standard input all the same.
#[test]
fn standard_input_need_not_be_the_terminal() {
    let _leaks = Leaks::watch();
    let bundle = with_terminal("other-t", "stty size; read line; echo got $line");
    let container = bundle.command(["run", "one"]);
    for (streams, seen_by) in [("", "stderr"), (" 2>&1", "/dev/tty")] {
        let mut terminal = Terminal::new();
        let before = terminal.attributes();
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", &format!("echo hello | \"$@\" >said{streams}"), "sh"])
            .arg(container.get_program())
            .args(container.get_args())
            .current_dir(bundle.directory.path());
        terminal.start(&mut command);
        assert_eq!(terminal.code(), 0, "{seen_by}");
        assert_eq!(terminal.attributes(), before);
        let said = fs::read_to_string(bundle.directory.path().join("said")).unwrap();
        assert!(said.contains("33 77\n"), "{seen_by}: {said:?}");
        assert!(said.contains("got hello\n"), "{seen_by}: {said:?}");
    }
}

/// A command in a session without a controlling terminal.
fn without_a_terminal(bundle: &Bundle, words: &str) -> Outcome {
    let command = bundle.command(words.split(' '));
    let mut apart = Command::new("setsid");
    apart
        .arg("--wait")
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(bundle.directory.path());
    run(&mut apart)
}

/// It is said before anything is done, and not by a program that has run already.
#[test]
fn without_a_terminal_to_relay_nothing_is_started() {
    let _leaks = Leaks::watch();
    let mut bundle = with_terminal("no-t", "echo started > /tmp/x; echo started");
    let run = without_a_terminal(&bundle, "run one");
    assert_eq!((run.code(), run.stdout.as_str()), (1, ""));
    let expected = "process.terminal: there is no terminal";
    assert!(run.stderr.contains(expected), "{run:?}");
    assert_eq!(bundle.entries(), [""; 0]);
    bundle.config["process"]["terminal"] = json!(false);
    bundle.script("exec sleep 600");
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let exec = without_a_terminal(&bundle, "exec -t one echo started");
    assert_eq!((exec.code(), exec.stdout.as_str()), (255, ""));
    assert!(exec.stderr.contains(expected), "{exec:?}");
    assert_eq!(bundle.status("one"), "running");
}

/// `spec` writes a configuration that runs as it is.
#[test]
fn the_configuration_of_an_ordinary_user_runs_unchanged() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("spec", "");
    let Some(busybox) = support::roots::static_busybox() else {
        return support::lacks("static busybox");
    };
    let directory = bundle.directory.directory("own");
    fs::create_dir_all(directory.join("rootfs/bin")).unwrap();
    fs::copy(busybox, directory.join("rootfs/bin/sh")).unwrap();
    let own = directory.display().to_string();
    bundle
        .run(&format!("spec --rootless --bundle {own}"))
        .success();
    let mut terminal = Terminal::new();
    terminal.start(&mut bundle.command(["run", "--bundle", &own, "one"]));
    terminal.send("echo $((6 * 7)); id -u; hostname\rexit 3\r");
    terminal.expect("42\r\n0\r\n");
    assert_eq!(terminal.code(), 3);
    assert_eq!(bundle.entries(), [""; 0]);
}
