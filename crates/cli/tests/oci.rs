//! The life of a container from a bundle, as any user: with a user namespace of a single id.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::bundle::Bundle;
use support::running::Running;
use support::{Leaks, run};

fn rootless(name: &str, script: &str) -> Bundle {
    Bundle::new(name, script).rootless()
}

/// Waits until a container has ended.
#[track_caller]
fn wait_until_stopped(bundle: &Bundle, id: &str) {
    let until = Instant::now() + Duration::from_secs(10);
    while bundle.status(id) != "stopped" {
        assert!(Instant::now() < until, "{id} does not end");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn run_ends_as_the_program_does_and_leaves_nothing() {
    let _leaks = Leaks::watch();
    let mut bundle = rootless("run", "id -u; hostname; pwd; exit 7");
    let outcome = bundle.run("run one");
    assert_eq!(
        (
            outcome.code(),
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (7, "0\nbundle\n/\n", "")
    );
    assert_eq!(bundle.entries(), [""; 0]);
    bundle.script("echo ready; exec sleep 600");
    {
        let running = Running::start(&mut bundle.command(["run", "one"]));
        assert_eq!(running.line(), "ready");
        bundle.run("kill one 9").success();
        assert_eq!(running.finish().code(), Some(137));
    }
    assert_eq!(bundle.entries(), [""; 0]);
    bundle.script("exit 3");
    assert_eq!(bundle.run("run --keep one").code(), 3);
    assert_eq!(bundle.status("one"), "stopped");
    bundle.run("delete one").success();
    assert_eq!(bundle.entries(), [""; 0]);
}

#[test]
fn a_container_lives_on_without_the_command_that_made_it() {
    let _leaks = Leaks::watch();
    let bundle = rootless("detach", "exec sleep 600");
    let pid_file = bundle.directory.path().join("pid");
    let words = format!("run --detach --pid-file {} one", pid_file.display());
    assert_eq!(bundle.leave(&words).success(), "");
    let state = bundle.state("one");
    let pid = fs::read_to_string(&pid_file).unwrap();
    assert_eq!(state["pid"].to_string(), pid);
    assert_eq!(state["status"], "running");
    assert_eq!(state["ociVersion"], "1.2.0");
    assert_eq!(state["id"], "one");
    assert_eq!(state["annotations"]["org.example.key"], "value");
    let directory = bundle.directory.path().canonicalize().unwrap();
    assert_eq!(state["bundle"], directory.to_str().unwrap());
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    let listed: Value = serde_json::from_str(&bundle.run("list -f json").success()).unwrap();
    assert_eq!(listed[0]["id"], "one");
    assert_eq!(listed[0]["pid"].to_string(), pid);
    assert_eq!(bundle.run("list -q").success(), "one\n");
    let table = bundle.run("list").success();
    assert!(table.starts_with("ID "), "{table}");
    assert!(
        table.contains("\none ") && table.contains(" running "),
        "{table}"
    );
    bundle.run("kill one KILL").success();
    wait_until_stopped(&bundle, "one");
    assert_eq!(bundle.state("one")["pid"], 0);
    bundle.run("delete one").success();
}

/// What is refused has no effect, and says what the clients look for.
#[test]
fn what_is_not_for_this_state_has_no_effect() {
    let _leaks = Leaks::watch();
    let bundle = rootless("refused", "exec sleep 600");
    for words in [
        "state x",
        "kill x",
        "delete x",
        "start x",
        "kill x 0",
        "state ../x",
        "state .",
    ] {
        let outcome = bundle.run(words);
        assert_eq!(outcome.code(), 1, "{words}: {outcome:?}");
        assert_eq!(outcome.stdout, "");
    }
    assert!(bundle.run("kill x").stderr.contains("does not exist"));
    bundle.leave("run -d one").success();
    let before = bundle.state("one");
    let again = bundle.leave("run -d one");
    assert_eq!(again.code(), 1);
    assert!(again.stderr.contains("already exists"), "{again:?}");
    let delete = bundle.run("delete one");
    assert_eq!(delete.code(), 1);
    assert!(
        delete.stderr.contains("not stopped: one is running"),
        "{delete:?}"
    );
    assert_eq!(bundle.run("start one").code(), 1);
    assert_eq!(bundle.run("kill one NOSUCH").code(), 1);
    assert_eq!(bundle.state("one"), before);
    bundle.run("kill one 9").success();
    wait_until_stopped(&bundle, "one");
    let kill = bundle.run("kill one");
    assert_eq!(kill.code(), 1);
    assert!(kill.stderr.contains("container not running"), "{kill:?}");
    bundle.run("delete one").success();
    assert_eq!(bundle.run("delete one").code(), 1);
    assert_eq!(bundle.run("delete --force one").success(), "");
}

#[test]
fn a_failed_container_is_as_if_never_tried() {
    let _leaks = Leaks::watch();
    let mut bundle = rootless("failed", "true");
    let pid_file = bundle.directory.path().join("pid");
    let words = format!("run -d --pid-file {} one", pid_file.display());
    let good = bundle.config.clone();
    // In the configuration, in a step of init, at the execution, and in the hand-over.
    let mut bad = Vec::new();
    for (pointer, value) in [
        ("/process/cwd", Value::from("relative")),
        ("/root/path", Value::from("nowhere")),
        ("/process/args/0", Value::from("/no/such/program")),
        ("/process/args/0", Value::from("/etc/passwd")),
        ("/hostname", Value::from("x".repeat(65))),
    ] {
        let mut config = good.clone();
        *config.pointer_mut(pointer).unwrap() = value;
        bad.push(config);
    }
    for config in bad {
        bundle.config = config;
        let outcome = bundle.leave(&words);
        assert_eq!(outcome.code(), 1, "{outcome:?}");
        assert!(outcome.stderr.starts_with("crabcan: run: "), "{outcome:?}");
        assert_eq!(bundle.entries(), [""; 0], "{outcome:?}");
        assert!(!pid_file.exists());
    }
    bundle.config = good;
    let mut command = bundle.command(["run", "one"]);
    let outcome = run(command.env("CRABCAN_FAULT", "4:5"));
    assert_eq!(outcome.code(), 1, "{outcome:?}");
    assert!(outcome.stderr.contains("(EIO)"), "{outcome:?}");
    assert_eq!(bundle.entries(), [""; 0], "{outcome:?}");
}

#[test]
fn garbage_in_the_state_directory_is_named_skipped_and_removed() {
    let _leaks = Leaks::watch();
    let bundle = rootless("garbage", "exec sleep 600");
    bundle.leave("run -d good").success();
    let state = bundle.state_directory();
    let good = fs::read(state.join("good/state.json")).unwrap();
    let newer = String::from_utf8_lossy(&good).replacen("\"version\":1", "\"version\":99", 1);
    for (name, contents) in [
        ("cut", &good[..good.len() / 2]),
        ("empty", b""),
        ("newer", newer.as_bytes()),
        ("noise", b"\x00\xff\x00"),
    ] {
        fs::create_dir(state.join(name)).unwrap();
        fs::write(state.join(name).join("state.json"), contents).unwrap();
    }
    fs::create_dir(state.join("bare")).unwrap();
    let listed = bundle.run("list -q");
    assert_eq!((listed.code(), listed.stdout.as_str()), (0, "good\n"));
    for name in ["cut", "empty", "newer", "noise", "bare"] {
        assert!(
            listed.stderr.contains(&format!("container {name} ")),
            "{listed:?}"
        );
        assert_eq!(bundle.run(&format!("state {name}")).code(), 1);
        assert_eq!(bundle.run(&format!("kill {name} 9")).code(), 1);
        assert_eq!(bundle.run(&format!("delete {name}")).code(), 1);
        bundle.run(&format!("delete --force {name}")).success();
    }
    assert_eq!(bundle.entries(), ["good"]);
    assert_eq!(bundle.status("good"), "running");
    bundle.run("delete --force good").success();
    assert_eq!(bundle.entries(), [""; 0]);
}

/// The pid of a container that has ended belongs to somebody else now.
#[test]
fn a_process_that_has_got_the_pid_is_left_alone() {
    let _leaks = Leaks::watch();
    let bundle = rootless("reused", "exit 0");
    bundle.run("run --keep one").success();
    let mut other = std::process::Command::new("sleep")
        .arg("600")
        .spawn()
        .unwrap();
    let path = bundle.state_directory().join("one/state.json");
    let mut record: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    record["init"]["pid"] = other.id().into();
    fs::write(&path, record.to_string()).unwrap();
    assert_eq!(bundle.status("one"), "stopped");
    for words in ["kill one 9", "kill one 15"] {
        let outcome = bundle.run(words);
        assert_eq!(outcome.code(), 1, "{outcome:?}");
        assert!(outcome.stderr.contains("not running"), "{outcome:?}");
    }
    bundle.run("delete --force one").success();
    assert!(other.try_wait().unwrap().is_none(), "it was killed");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn errors_are_logged_as_clients_read_them() {
    let _leaks = Leaks::watch();
    let bundle = rootless("log", "true");
    let log = bundle.directory.path().join("log");
    for (format, text) in [("json", false), ("text", true)] {
        let _ = fs::remove_file(&log);
        let mut before = vec!["--log", log.to_str().unwrap(), "--log-format", format];
        before.extend(bundle.before.iter().map(String::as_str));
        let mut command = support::crabcan(before);
        let outcome = run(command.args(["state", "nobody"]));
        assert_eq!(outcome.code(), 1);
        assert!(
            outcome.stderr.contains("does not exist: nobody"),
            "{outcome:?}"
        );
        let logged = fs::read_to_string(&log).unwrap();
        assert_eq!(logged.lines().count(), 1, "{logged}");
        if text {
            assert!(logged.contains("does not exist: nobody"), "{logged}");
            continue;
        }
        // podman reads the whole file as one object, containerd one by one, with a time.
        let entry: Value = serde_json::from_str(&logged).unwrap();
        assert_eq!(entry["level"], "error");
        assert!(entry["msg"].as_str().unwrap().contains("does not exist"));
        let time = entry["time"].as_str().unwrap();
        assert!(time.contains('T') && time.ends_with('Z'), "{time}");
    }
}

#[test]
fn clients_ask_for_the_version_in_their_own_way() {
    let _leaks = Leaks::watch();
    for arguments in [
        &["--version"][..],
        &["--root", "/x", "--log-format", "json", "--version"],
    ] {
        let text = run(&mut support::crabcan(arguments)).success();
        let mut lines = text.lines();
        assert!(
            lines.next().unwrap().starts_with("crabcan version 0."),
            "{text}"
        );
        assert_eq!(lines.next(), Some("spec: 1.3.0"));
    }
    let help = run(&mut support::crabcan(["create", "--help"])).success();
    assert!(
        help.contains("--bundle") && help.contains("--console-socket"),
        "{help}"
    );
    // A probe of podman's: a runtime that can checkpoint has help about it.
    run(&mut support::crabcan(["checkpoint", "--help"])).success();
}
