//! What is left of a container that could not be made: nothing, and nothing of anybody else's is
//! gone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use support::bundle::Bundle;
use support::{Leaks, Outcome, run};

fn rootless(name: &str) -> Bundle {
    Bundle::new(name, "exec sleep 600").rootless()
}

/// Fails with these words in its message, and leaves no entry.
#[track_caller]
fn fails(bundle: &Bundle, words: &str, expected: &[&str]) {
    failed(bundle, words, &bundle.leave(words), expected);
}

#[track_caller]
fn failed(bundle: &Bundle, words: &str, outcome: &Outcome, expected: &[&str]) {
    assert_eq!(outcome.code(), 1, "{words}: {outcome:?}");
    for word in expected {
        assert!(outcome.stderr.contains(word), "{words}: {outcome:?}");
    }
    assert_eq!(bundle.entries(), [""; 0], "{words}: {outcome:?}");
}

const COMMANDS: [&str; 2] = ["create", "run --detach"];

#[test]
fn a_pid_file_that_can_not_be_written() {
    let _leaks = Leaks::watch();
    let bundle = rootless("pid-file");
    bundle.directory.directory("place/of/others");
    for command in COMMANDS {
        let words = format!("{command} --pid-file absent/pid one");
        fails(&bundle, &words, &["absent/pid", "ENOENT"]);
        let words = format!("{command} --pid-file place one");
        fails(&bundle, &words, &["place", "EISDIR"]);
        let left = fs::read_dir(bundle.directory.path()).unwrap().flatten();
        let names = left.map(|entry| entry.file_name().into_string().unwrap());
        let hidden: Vec<String> = names.filter(|name| name.starts_with('.')).collect();
        assert_eq!(hidden, [""; 0], "the file under its first name");
    }
    assert!(bundle.directory.path().join("place/of/others").is_dir());
}

/// It may name another container, which lives.
#[test]
fn a_pid_file_of_somebody_elses_stays() {
    let _leaks = Leaks::watch();
    let mut bundle = rootless("foreign-pid");
    let file = bundle.directory.file("pid", b"1234", 0o644);
    let content = || fs::read_to_string(&file).ok();
    for command in COMMANDS {
        let words = format!("{command} --pid-file pid one");
        let mut first = bundle.command(words.split(' '));
        let outcome = run(first.env("CRABCAN_FAULT", "4:5"));
        assert_eq!(outcome.code(), 1, "{outcome:?}");
        assert_eq!(content().as_deref(), Some("1234"), "{command}");
    }
    // When it has been written, it is this container's, and goes with it.
    bundle.config["process"]["args"] = json!(["/bin/sh", "-c", "exit 0"]);
    bundle.config["hooks"] = json!({"poststart": [{"path": "/bin/false"}]});
    fails(&bundle, "run -d --pid-file pid one", &["/bin/false"]);
}

/// Nobody is there; nobody listens; it is no socket; who listens does not take it.
#[test]
fn a_socket_that_takes_nothing() {
    let _leaks = Leaks::watch();
    let mut bundle = rootless("sockets");
    let deaf = bundle.directory.path().join("deaf");
    drop(UnixListener::bind(&deaf).unwrap());
    bundle.directory.file("plain", b"", 0o644);
    let rude = UnixListener::bind(bundle.directory.path().join("rude")).unwrap();
    thread::spawn(move || {
        for stream in rude.incoming() {
            drop(stream.unwrap());
        }
    });
    for option in ["--console-socket", "--pidfd-socket"] {
        bundle.config["process"]["terminal"] = json!(option == "--console-socket");
        for command in COMMANDS {
            for (socket, reason) in [
                ("nobody", "ENOENT"),
                ("deaf", "ECONNREFUSED"),
                ("plain", "ECONNREFUSED"),
                ("rude", "EPIPE"),
            ] {
                let words = format!("{command} {option} {socket} --pid-file pid one");
                let mut outcome = bundle.leave(&words);
                // On a busy machine the peer may close when it has got what was sent.
                let tries = if socket == "rude" { 50 } else { 0 };
                for _ in 0..tries {
                    if outcome.code() != 0 {
                        break;
                    }
                    bundle.run("delete --force one").success();
                    outcome = bundle.leave(&words);
                }
                failed(&bundle, &words, &outcome, &[socket, reason]);
                assert!(!bundle.directory.path().join("pid").exists(), "{words}");
            }
        }
    }
}

/// Of every hook that `create` runs; those of `start` and of its end are in `oci_start`.
#[test]
fn a_hook_that_fails_leaves_no_pid_file() {
    let _leaks = Leaks::watch();
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let mut bundle = rootless("hook-pid");
        bundle.config["hooks"] = json!({kind: [{"path": "/bin/false"}]});
        for command in COMMANDS {
            let words = format!("{command} --pid-file pid one");
            fails(&bundle, &words, &["/bin/false", kind]);
            assert!(!bundle.directory.path().join("pid").exists(), "{kind}");
        }
    }
}

/// Nobody can say the word any more: it is not waited for.
#[test]
fn an_init_whose_state_has_vanished_ends() {
    let _leaks = Leaks::watch();
    let mut bundle = rootless("vanished-state");
    // Where it was is not known any more: nobody could remove it.
    bundle.before.push("--cgroup-manager=disabled".into());
    bundle.config["linux"]
        .as_object_mut()
        .unwrap()
        .remove("cgroupsPath");
    assert_eq!(bundle.leave("create one").code(), 0);
    let pid = bundle.state("one")["pid"].to_string();
    fs::remove_dir_all(bundle.state_directory().join("one")).unwrap();
    let begun = Instant::now();
    let has_ended = || {
        let stat = fs::read_to_string(Path::new("/proc").join(&pid).join("stat"));
        stat.map_or(true, |text| text.contains(") Z "))
    };
    while !has_ended() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{pid} waits");
        thread::sleep(Duration::from_millis(20));
    }
}
