//! `create` and `start`: two programs, and an init that waits between them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::Leaks;
use support::bundle::Bundle;

fn rootless(name: &str, script: &str) -> Bundle {
    Bundle::new(name, script).rootless()
}

#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_created_container_waits_and_starts_once() {
    let _leaks = Leaks::watch();
    let bundle = rootless("start", "echo started > /dev/stdout; exec sleep 600");
    let created = bundle.leave("create --pid-file pid one");
    assert_eq!((created.code(), created.stderr.as_str()), (0, ""));
    let state = bundle.state("one");
    assert_eq!(state["status"], "created");
    let pid_file = bundle.directory.path().join("pid");
    assert_eq!(
        state["pid"].to_string(),
        fs::read_to_string(pid_file).unwrap()
    );
    let name = fs::read_to_string(format!("/proc/{}/comm", state["pid"])).unwrap();
    assert_eq!(name, "crabcan-init\n");
    let delete = bundle.run("delete one");
    assert!(delete.stderr.contains("one is created"), "{delete:?}");
    bundle.run("start one").success();
    assert_eq!(bundle.status("one"), "running");
    let name = fs::read_to_string(format!("/proc/{}/comm", state["pid"])).unwrap();
    assert_eq!(
        name,
        "sh\n".replace("sh", name.trim()),
        "the program, by whatever name"
    );
    assert_ne!(name, "crabcan-init\n");
    let again = bundle.run("start one");
    assert_eq!(again.code(), 1);
    assert!(again.stderr.contains("one is running"), "{again:?}");
    bundle.run("kill one KILL").success();
    until("it ends", || bundle.status("one") == "stopped");
    let again = bundle.run("start one");
    assert!(again.stderr.contains("one is stopped"), "{again:?}");
    bundle.run("delete one").success();
}

#[test]
fn a_created_container_can_be_killed_and_deleted() {
    let _leaks = Leaks::watch();
    let bundle = rootless("killed", "exec sleep 600");
    assert_eq!(bundle.leave("create one").code(), 0);
    bundle.run("kill one KILL").success();
    until("it ends", || bundle.status("one") == "stopped");
    let start = bundle.run("start one");
    assert_eq!(start.code(), 1, "{start:?}");
    bundle.run("delete one").success();
    assert_eq!(bundle.leave("create one").code(), 0);
    bundle.run("delete --force one").success();
    assert_eq!(bundle.entries(), [""; 0]);
}

/// The kernel keeps what has no handler from the first process of a pid namespace; as with runc, one
/// that waits ends all the same.
#[test]
fn a_created_container_ends_when_it_is_asked_to() {
    let _leaks = Leaks::watch();
    let bundle = rootless("asked", "exec sleep 600");
    for signal in ["TERM", "INT", "HUP", "QUIT"] {
        assert_eq!(bundle.leave("create one").code(), 0);
        bundle.run("kill one USR1").success();
        assert_eq!(bundle.status("one"), "created");
        bundle.run(&format!("kill one {signal}")).success();
        until(signal, || bundle.status("one") == "stopped");
        let start = bundle.run("start one");
        assert!(start.stderr.contains("one is stopped"), "{start:?}");
        bundle.run("delete one").success();
    }
    // What runs answers for itself.
    bundle.leave("create one").success();
    bundle.run("start one").success();
    until("it runs", || {
        let pid = bundle.state("one")["pid"].clone();
        let name = fs::read_to_string(format!("/proc/{pid}/comm"));
        name.is_ok_and(|name| name == "sleep\n")
    });
    bundle.run("kill one TERM").success();
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(bundle.status("one"), "running");
    bundle.run("delete --force one").success();
}

/// What the clients look for decides between 127 and 126.
#[test]
fn a_program_that_is_not_there_fails_create_in_the_clients_words() {
    let _leaks = Leaks::watch();
    let mut bundle = rootless("words", "");
    for (program, words) in [
        ("nosuchprogram", "executable file not found in $PATH"),
        ("/no/such/program", "no such file or directory"),
        ("/etc/passwd", "permission denied"),
        ("/etc", "permission denied"),
    ] {
        bundle.config["process"]["args"] = json!([program]);
        for command in ["create one", "run one"] {
            let outcome = bundle.leave(command);
            assert_eq!(outcome.code(), 1, "{program}: {outcome:?}");
            let message = outcome.stderr.to_lowercase();
            assert!(
                message.contains(&words.to_lowercase()),
                "{program}: {outcome:?}"
            );
            assert!(message.contains(program), "{program}: {outcome:?}");
            assert_eq!(bundle.entries(), [""; 0]);
        }
    }
}

/// What is found at `create` may be gone at `start`: the reason comes through the FIFO.
#[test]
fn a_program_that_vanishes_before_the_start_is_named_by_it() {
    let _leaks = Leaks::watch();
    let mut bundle = rootless("vanished", "");
    let script = bundle.directory.file("rootfs/tool", b"#!/bin/sh\n", 0o755);
    bundle.config["process"]["args"] = json!(["/tool"]);
    assert_eq!(bundle.leave("create one").code(), 0);
    fs::remove_file(script).unwrap();
    let start = bundle.run("start one");
    assert_eq!(start.code(), 1, "{start:?}");
    let message = start.stderr.to_lowercase();
    assert!(
        message.contains("/tool") && message.contains("no such file"),
        "{start:?}"
    );
    until("it is stopped", || bundle.status("one") == "stopped");
    bundle.run("delete one").success();
}

/// The hooks of a bundle, each of which writes its name, the state and its namespace into a file.
fn add_hooks(bundle: &mut Bundle) -> PathBuf {
    let log = bundle.directory.path().join("rootfs/hooks");
    fs::write(&log, "").unwrap();
    fs::set_permissions(&log, fs::Permissions::from_mode(0o666)).unwrap();
    let hook = |kind: &str, path: &str| {
        let script = format!(
            "state=$(cat); echo \"{kind} $$ $A $state\" >> {path}; readlink /proc/self/ns/mnt >> {path}"
        );
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script],
            "env": ["PATH=/usr/bin:/bin", "A=b"], "timeout": 10}])
    };
    let outside = log.to_str().unwrap().to_owned();
    let mut hooks = serde_json::Map::new();
    for kind in [
        "prestart",
        "createRuntime",
        "createContainer",
        "poststart",
        "poststop",
    ] {
        hooks.insert(kind.into(), hook(kind, &outside));
    }
    hooks.insert("startContainer".into(), hook("startContainer", "/hooks"));
    bundle.config["hooks"] = Value::Object(hooks);
    log
}

#[test]
fn hooks_are_run_in_their_order_place_and_state() {
    let _leaks = Leaks::watch();
    let mut bundle = rootless("hooks", "exec sleep 600");
    let log = add_hooks(&mut bundle);
    assert_eq!(bundle.leave("create one").code(), 0);
    let pid = bundle.state("one")["pid"].clone();
    bundle.run("start one").success();
    bundle.run("delete --force one").success();
    let text = fs::read_to_string(log).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let own = fs::read_link("/proc/self/ns/mnt").unwrap();
    let own = own.to_str().unwrap();
    let expected = [
        ("prestart", "creating", true),
        ("createRuntime", "creating", true),
        ("createContainer", "creating", false),
        ("startContainer", "created", false),
        ("poststart", "running", true),
        ("poststop", "stopped", true),
    ];
    assert_eq!(lines.len(), 2 * expected.len(), "{text}");
    for (pair, (kind, status, outside)) in lines.chunks(2).zip(expected) {
        let words: Vec<&str> = pair[0].splitn(4, ' ').collect();
        assert_eq!((words[0], words[2]), (kind, "b"), "{text}");
        let state: Value = serde_json::from_str(words[3]).unwrap();
        assert_eq!(state["status"], status, "{kind}");
        assert_eq!(state["id"], "one", "{kind}");
        assert_eq!(state["annotations"]["org.example.key"], "value", "{kind}");
        assert_eq!(pair[1] == own, outside, "{kind}: {text}");
        match (kind, outside) {
            ("poststop", _) => assert!(state["pid"].is_null() || state["pid"] == 0),
            (_, true) => assert_eq!(state["pid"], pid, "{kind}"),
            (_, false) => assert_eq!(state["pid"], 1, "{kind}: in its own namespace"),
        }
    }
}

#[test]
fn a_hook_that_fails_is_the_end_of_the_container() {
    let _leaks = Leaks::watch();
    for kind in [
        "prestart",
        "createRuntime",
        "createContainer",
        "startContainer",
        "poststart",
    ] {
        let mut bundle = rootless("hook", "exec sleep 600");
        let log = add_hooks(&mut bundle);
        bundle.config["hooks"][kind] =
            json!([{"path": "/bin/sh", "args": ["sh", "-c", "echo broken >&2; exit 3"]}]);
        let create = bundle.leave("create one");
        let failed = match kind {
            "startContainer" | "poststart" => {
                assert_eq!(create.code(), 0, "{kind}: {create:?}");
                bundle.run("start one")
            }
            _ => create,
        };
        assert_eq!(failed.code(), 1, "{kind}: {failed:?}");
        assert!(failed.stderr.contains("/bin/sh"), "{kind}: {failed:?}");
        assert!(failed.stderr.contains("hook"), "{kind}: {failed:?}");
        assert_eq!(bundle.entries(), [""; 0], "{kind}");
        let text = fs::read_to_string(&log).unwrap();
        assert!(text.contains("poststop "), "{kind}: {text}");
    }
    let mut bundle = rootless("hook", "exec sleep 600");
    bundle.config["hooks"] =
        json!({"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1}]});
    let start = Instant::now();
    let create = bundle.leave("create one");
    assert_eq!(create.code(), 1, "{create:?}");
    assert!(create.stderr.contains("within 1 s"), "{create:?}");
    assert!(start.elapsed() < Duration::from_secs(15));
    assert_eq!(bundle.entries(), [""; 0]);
    // The specification: a poststop hook that fails is a warning.
    bundle.config["hooks"] = json!({"poststop": [{"path": "/bin/false"}]});
    assert_eq!(bundle.leave("run -d one").code(), 0);
    let delete = bundle.run("delete --force one");
    assert_eq!(delete.code(), 0, "{delete:?}");
    assert!(
        delete.stderr.contains("poststop hook /bin/false"),
        "{delete:?}"
    );
}

#[test]
fn of_many_creates_of_one_id_one_wins() {
    let _leaks = Leaks::watch();
    let bundle = rootless("many", "exec sleep 600");
    // Writes the configuration, once.
    drop(bundle.command(["state"]));
    let outputs: Vec<_> = (0..50)
        .map(|_| {
            let mut command = bundle.command(["create", "one"]);
            command
                .stdin(std::process::Stdio::null())
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap()
        })
        .collect();
    let codes: Vec<_> = outputs
        .into_iter()
        .map(|mut child| child.wait().unwrap().code())
        .collect();
    let won = codes.iter().filter(|code| **code == Some(0)).count();
    assert_eq!(won, 1, "{codes:?}");
    assert!(
        codes.iter().all(|code| matches!(code, Some(0 | 1))),
        "{codes:?}"
    );
    assert_eq!(bundle.entries(), ["one"]);
    assert_eq!(bundle.status("one"), "created");
    bundle.run("start one").success();
}

/// Fault 1: whatever is left of a killed `create` is removed by force, and the id is free again.
#[test]
fn a_killed_create_leaves_what_delete_can_remove() {
    let _leaks = Leaks::watch();
    let bundle = rootless("killed-create", "exec sleep 600");
    for delay in [0, 1, 2, 3, 4, 5, 6, 8, 10, 14, 20] {
        let mut command = bundle.command(["create", "one"]);
        let mut child = command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        let _ = child.kill();
        child.wait().unwrap();
        bundle.run("delete --force one").success();
        assert_eq!(bundle.entries(), [""; 0], "after {delay} ms");
        assert_eq!(bundle.leave("create one").code(), 0);
        bundle.run("delete --force one").success();
    }
}
