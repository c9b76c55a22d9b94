//! Flags of the commands that change which container, or how much of it, is meant.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use support::bundle::Bundle;
use support::{Leaks, Outcome};

/// Containers of these names, that run.
fn running(name: &str, ids: &[&str]) -> Bundle {
    running_script(name, "exec sleep 600", ids)
}

fn running_script(name: &str, script: &str, ids: &[&str]) -> Bundle {
    let mut bundle = Bundle::new(name, script).rootless();
    let linux = bundle.config["linux"].as_object_mut().unwrap();
    // One bundle, several containers: each has a cgroup of its own name, where it has one.
    let path = linux.get("cgroupsPath").cloned();
    for id in ids {
        if let Some(path) = path.as_ref().and_then(|path| path.as_str()) {
            bundle.config["linux"]["cgroupsPath"] = format!("{path}-{id}").into();
        }
        let outcome = bundle.leave(&format!("run -d {id}"));
        assert_eq!((outcome.code(), outcome.stderr.as_str()), (0, ""), "{id}");
    }
    bundle
}

#[track_caller]
fn until_stopped(bundle: &Bundle, id: &str) {
    let until = Instant::now() + Duration::from_secs(20);
    while bundle.status(id) != "stopped" {
        assert!(Instant::now() < until, "{id} does not end");
    }
}

/// The containers that errors are told of, and how often.
fn named(outcome: &Outcome) -> Vec<&str> {
    let lines = outcome.stderr.lines();
    lines
        .filter_map(|line| line.split("container ").nth(1)?.split(':').next())
        .collect()
}

#[test]
fn a_regular_expression_names_the_containers_to_kill() {
    let _leaks = Leaks::watch();
    let bundle = running("regex-kill", &["web-1", "web-2", "db"]);
    bundle.run("kill --regex ^web-[0-9]$ KILL").success();
    for (id, status) in [
        ("web-1", "stopped"),
        ("web-2", "stopped"),
        ("db", "running"),
    ] {
        if status == "stopped" {
            until_stopped(&bundle, id);
        }
        assert_eq!(bundle.status(id), status, "{id}");
    }
    // Found anywhere in a name, by the syntax of extended expressions; every failure is told, and
    // keeps nobody from the others.
    let outcome = bundle.run("kill -r (web|d) 9");
    assert_eq!(outcome.code(), 1, "{outcome:?}");
    assert_eq!(named(&outcome), ["web-1", "web-2"], "{outcome:?}");
    assert!(outcome.stderr.contains("not running"), "{outcome:?}");
    until_stopped(&bundle, "db");
}

#[test]
fn a_regular_expression_names_the_containers_to_delete() {
    let _leaks = Leaks::watch();
    let bundle = running("regex-delete", &["a1", "a2", "b1"]);
    bundle.run("kill a1 9").success();
    until_stopped(&bundle, "a1");
    let outcome = bundle.run("delete --regex a");
    assert_eq!(outcome.code(), 1, "{outcome:?}");
    assert_eq!(named(&outcome), ["a2"], "{outcome:?}");
    let mut left = bundle.entries();
    left.sort();
    assert_eq!(left, ["a2", "b1"]);
    bundle.run("delete --force --regex a.$").success();
    assert_eq!(bundle.entries(), ["b1"]);
    // Nobody is meant: nothing is done, and that is no failure.
    bundle.run("delete --force --regex ^$").success();
    bundle.run("delete -rf [[:alpha:]]1").success();
    assert!(bundle.entries().is_empty());
}

#[test]
fn what_is_no_regular_expression_has_no_effect() {
    let _leaks = Leaks::watch();
    let bundle = running("regex-wrong", &["one"]);
    for words in ["delete --force --regex *", "kill --regex ( 9"] {
        let outcome = bundle.run(words);
        assert_eq!(outcome.code(), 1, "{outcome:?}");
        let message = "invalid regular expression";
        assert!(outcome.stderr.contains(message), "{outcome:?}");
    }
    // Without the option it is a name, and no container's.
    let outcome = bundle.run("kill o.e 9");
    assert_eq!(outcome.code(), 1, "{outcome:?}");
    assert_eq!(bundle.status("one"), "running");
}

/// `all` is for every process of every container that is meant: the first one alone waits for its
/// child before it does anything about a signal.
#[test]
fn all_processes_of_the_containers_of_an_expression() {
    let _leaks = Leaks::watch();
    let script = "trap 'exit 3' TERM; echo > /tmp/ready; sleep 600; exit 4";
    let bundle = running_script("regex-all", script, &["one", "two"]);
    for id in ["one", "two"] {
        let script = "until test -e /tmp/ready; do sleep 0.01; done";
        support::run(&mut bundle.command(["exec", id, "sh", "-c", script])).success();
    }
    bundle.run("kill one TERM").success();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(bundle.status("one"), "running", "its child was not meant");
    // An ordinary user's has no cgroup here: its first process is all that can be found.
    let signal = if support::is_root() { "TERM" } else { "KILL" };
    let words = format!("kill --all --regex (one|two) {signal}");
    bundle.run(&words).success();
    until_stopped(&bundle, "one");
    until_stopped(&bundle, "two");
}

#[test]
fn spec_writes_the_file_that_is_named() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("spec-file", "true");
    bundle.run("spec --rootless --file other.json").success();
    let path = bundle.directory.path().join("other.json");
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains("\"uidMappings\""), "{text}");
    let outcome = bundle.run("spec -f other.json");
    assert_eq!(outcome.code(), 1, "it is not written over: {outcome:?}");
}

/// The root is entered by a moved mount and chroot(2): nothing of the host's can be reached.
#[test]
fn a_root_without_pivot_root() {
    let _leaks = Leaks::watch();
    let script = "pwd; echo $(ls /); cd /; cd ..; cd ../..; ls -di . | cut -d' ' -f1; \
        ls -di / | cut -d' ' -f1; wc -l < /proc/self/mountinfo";
    let outside = |bundle: &Bundle| {
        let text = bundle.run("run --no-pivot one").success();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut bundle = Bundle::new("no-pivot", script).rootless();
    let with_chroot = outside(&bundle);
    assert_eq!(with_chroot[0], "/");
    assert!(!with_chroot[1].contains("root "), "{with_chroot:?}");
    assert_eq!(with_chroot[2], with_chroot[3], "there is nothing above /");
    // The host's mounts are not below: what it lists is the container's.
    let text = bundle.run("run two").success();
    let with_pivot: Vec<&str> = text.lines().collect();
    assert_eq!(with_chroot[1], with_pivot[1]);
    bundle
        .script("readlink /proc/1/root; cat /proc/self/mountinfo | cut -d' ' -f5 | sort | head -1");
    assert_eq!(outside(&bundle), ["/", "/"]);
}

/// Read, refused, and nothing made: each within a second on a machine that does nothing else.
#[test]
fn enormous_configurations_are_refused_at_once() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("enormous", "true").rootless();
    let path = bundle.directory.path().join("big.json");
    let padding = format!(
        "{{\"ociVersion\": \"1.2.0\", \"x\": \"{}\"}}",
        "x".repeat(10 << 20)
    );
    let arrays = format!("{{\"x\": {}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let objects = format!("{}1{}", "{\"x\":".repeat(10_000), "}".repeat(10_000));
    for (text, words) in [
        // No more is read than that: a file may be without an end.
        (padding, "has 8388609 bytes, more than 8388608"),
        (arrays, "deep"),
        (objects, "deep"),
    ] {
        fs::write(&path, text).unwrap();
        let begun = Instant::now();
        let outcome = bundle.run("create --config big.json one");
        // Generous: other tests run at the same time.
        assert!(begun.elapsed() < Duration::from_secs(5), "{words}");
        assert_eq!(outcome.code(), 1, "{outcome:?}");
        assert!(outcome.stderr.contains(words), "{words}: {outcome:?}");
        assert!(bundle.entries().is_empty());
    }
}

/// As with runc: a misspelt name has no containers either.
#[test]
fn a_state_directory_that_is_named_must_be_there() {
    let bundle = Bundle::new("no-root", "true");
    let outcome = bundle.run("list");
    let path = bundle.state_directory().display().to_string();
    let expected = format!("crabcan: list: --root {path}: it does not exist (ENOENT)\n");
    assert_eq!(
        (outcome.code(), outcome.stderr.as_str()),
        (1, expected.as_str())
    );
    fs::create_dir(&path).unwrap();
    assert_eq!(bundle.run("list -q").success(), "");
}
