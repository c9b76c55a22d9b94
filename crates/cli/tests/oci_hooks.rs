//! Where hooks are looked for, what they are given, when they are run, and how long.
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
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::bundle::Bundle;
use support::{Leaks, is_root};

const KINDS: [&str; 6] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];

/// A bundle whose hooks and program may write to `/log`, and that file.
fn bundle(name: &str, script: &str) -> (Bundle, PathBuf) {
    let bundle = Bundle::new(name, script).rootless();
    let log = bundle.directory.file("rootfs/log", b"", 0o666);
    (bundle, log)
}

/// Only one of them is in the container when it is run.
fn place(kind: &str, log: &Path) -> String {
    match kind {
        "startContainer" => "/log".to_owned(),
        _ => log.display().to_string(),
    }
}

fn shell(script: &str) -> Value {
    json!({"path": "/bin/sh", "args": ["sh", "-c", script]})
}

/// `createContainer` is looked for in the runtime's mounts, `startContainer` in the container's;
/// arguments and environment are what is said and nothing else.
#[test]
fn a_hook_is_a_program_of_its_place_with_its_own_words() {
    let _leaks = Leaks::watch();
    let (mut bundle, log) = bundle("place", "exit 0");
    let script = "#!/bin/sh\necho \"$KIND $# $1 [$(env | grep -v ^PWD= | grep -v ^_= | tr '\\n' ' ')]\" >> $LOG\n";
    let outside = bundle.directory.file("hook", script.as_bytes(), 0o755);
    bundle
        .directory
        .file("rootfs/inside", script.as_bytes(), 0o755);
    for kind in KINDS {
        let path = match kind {
            "startContainer" => "/inside",
            _ => outside.to_str().unwrap(),
        };
        let env = |log: &str| {
            json!([
                format!("KIND={kind}"),
                format!("LOG={log}"),
                "PATH=/bin:/usr/bin"
            ])
        };
        bundle.config["hooks"][kind] = json!([
            {"path": path, "args": ["zero", "one two"], "env": env(&place(kind, &log))},
            {"path": path, "env": env(&place(kind, &log))},
        ]);
    }
    bundle.run("run --no-new-keyring one").success();
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 12, "{text}");
    for (pair, kind) in lines.chunks(2).zip(KINDS) {
        let env = format!(
            "[KIND={kind} LOG={} PATH=/bin:/usr/bin ]",
            place(kind, &log)
        );
        let sorted = |line: &str| {
            let (head, env) = line.split_once('[').unwrap();
            let mut words: Vec<&str> = env.trim_matches([' ', ']']).split(' ').collect();
            words.sort_unstable();
            format!("{head}[{} ]", words.join(" "))
        };
        assert_eq!(sorted(pair[0]), format!("{kind} 1 one two {env}"));
        assert_eq!(sorted(pair[1]), format!("{kind} 0  {env}"));
    }
}

/// What runs when: the program between `startContainer` and `poststop`, and `poststart` once it
/// has been executed.
#[test]
fn hooks_are_before_and_behind_the_program() {
    let _leaks = Leaks::watch();
    let (mut bundle, log) = bundle("order", "echo program >> /log; exec sleep 600");
    for kind in KINDS {
        let place = place(kind, &log);
        let line = |number: u32| shell(&format!("echo {kind} {number} >> {place}"));
        bundle.config["hooks"][kind] = json!([line(1), line(2), line(3)]);
    }
    // It waits for the program: that it runs is what this kind is for.
    let waits = format!(
        "until grep -q program {}; do sleep 0.01; done",
        log.display()
    );
    let poststart = bundle.config["hooks"]["poststart"].as_array_mut().unwrap();
    poststart.insert(0, shell(&waits));
    let kinds = || {
        let text = fs::read_to_string(&log).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let three = |kind: &str| [1, 2, 3].map(|number| format!("{kind} {number}"));
    assert_eq!(bundle.leave("create one").code(), 0);
    let mut expected = KINDS[..3]
        .iter()
        .flat_map(|kind| three(kind))
        .collect::<Vec<_>>();
    assert_eq!(kinds(), expected);
    bundle.run("start one").success();
    expected.extend(three("startContainer"));
    expected.push("program".to_owned());
    expected.extend(three("poststart"));
    assert_eq!(kinds(), expected);
    bundle.run("delete --force one").success();
    expected.extend(three("poststop"));
    assert_eq!(kinds(), expected);
}

/// A hook has the time that it is given. Of who is too late the container ends, but for
/// `poststop`, of which there is a warning.
#[test]
fn a_hook_of_any_kind_that_is_too_late_is_ended() {
    let _leaks = Leaks::watch();
    for kind in KINDS {
        let (mut bundle, log) = bundle("late", "exec sleep 600");
        let mut slow = json!({"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1});
        // Another one has its time.
        bundle.config["hooks"] = json!({kind: [
            {"path": "/bin/true", "timeout": 60}, slow.take()]});
        if kind != "poststop" {
            let last = format!("echo stopped >> {}", log.display());
            bundle.config["hooks"]["poststop"] = json!([shell(&last)]);
        }
        let begun = Instant::now();
        let mut told = bundle.leave("create one");
        if told.code() == 0 {
            told = bundle.run("start one");
        }
        if kind == "poststop" {
            assert_eq!(told.code(), 0, "{told:?}");
            told = bundle.run("delete --force one");
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{kind}: {told:?}"
        );
        assert!(begun.elapsed() > Duration::from_secs(1), "{kind}: {told:?}");
        let code = u8::from(kind != "poststop");
        assert_eq!(told.code(), i32::from(code), "{kind}: {told:?}");
        for word in ["/bin/sleep", kind] {
            assert!(told.stderr.contains(word), "{kind}: {told:?}");
        }
        assert_eq!(bundle.entries(), [""; 0], "{kind}");
        let text = fs::read_to_string(&log).unwrap();
        assert_eq!(text == "stopped\n", kind != "poststop", "{kind}: {text}");
    }
}

/// What is not there, or is no program, fails as what ends with another code than 0.
#[test]
fn a_hook_that_cannot_be_executed_fails() {
    let _leaks = Leaks::watch();
    for kind in &KINDS[..5] {
        for (path, errno) in [("/not/there", "ENOENT"), ("/etc/passwd", "EACCES")] {
            let (mut bundle, _) = bundle("missing", "exec sleep 600");
            bundle.config["hooks"] = json!({*kind: [{"path": path}]});
            let mut told = bundle.leave("create one");
            if told.code() == 0 {
                told = bundle.run("start one");
            }
            assert_eq!(told.code(), 1, "{kind}: {told:?}");
            for word in [path, errno, kind] {
                assert!(told.stderr.contains(word), "{word}: {told:?}");
            }
            assert_eq!(bundle.entries(), [""; 0], "{kind}");
        }
    }
}

/// What crun's annotations name; without one of them, what a hook of the host says is only told when
/// it fails.
#[test]
fn what_hooks_say_is_added_to_a_file() {
    const ANNOTATIONS: [&str; 2] = ["run.oci.hooks.stdout", "run.oci.hooks.stderr"];
    let _leaks = Leaks::watch();
    let (mut bundle, _) = bundle("said", "echo program");
    for kind in KINDS {
        let script = format!("echo {kind}; echo {kind} failed >&2");
        bundle.config["hooks"][kind] = json!([shell(&script)]);
    }
    let files = ["out", "err"].map(|name| bundle.directory.path().join(name));
    fs::write(&files[0], "before\n").unwrap();
    for (annotation, file) in ANNOTATIONS.iter().zip(&files) {
        bundle.config["annotations"][annotation] = json!(file);
    }
    let outcome = bundle.run("run --no-new-keyring one");
    assert_eq!(outcome.stderr, "");
    assert_eq!(outcome.success(), "program\n");
    let lines = |end: &str| KINDS.map(|kind| format!("{kind}{end}\n")).concat();
    let texts = files
        .each_ref()
        .map(|file| fs::read_to_string(file).unwrap());
    assert_eq!(texts, [format!("before\n{}", lines("")), lines(" failed")]);
    let mode = fs::metadata(&files[1]).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    for (annotation, file) in ANNOTATIONS.iter().zip(&files) {
        let name = format!("annotations[\"{annotation}\"]");
        for (path, told) in [
            ("out", "out"),
            ("/no/such/out", "/no/such/out: it does not exist (ENOENT)"),
        ] {
            bundle.config["annotations"][annotation] = json!(path);
            let refused = bundle.run("run --no-new-keyring one");
            let refused = refused.failure(1);
            assert!(
                refused.contains(&name) && refused.contains(told),
                "{refused}"
            );
        }
        bundle.config["annotations"][annotation] = json!(file);
    }
    // Nothing has been done for them.
    assert_eq!(fs::read_to_string(&files[0]).unwrap(), texts[0]);
    assert!(bundle.entries().is_empty());
}

/// It is a program of the image's, run by the container's rights.
#[test]
fn a_hook_in_the_container_is_under_its_filter() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("hook-filter", "mkdir /tmp/x 2>/dev/null; echo $?");
    bundle = if is_root() { bundle } else { bundle.rootless() };
    bundle.config["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
    });
    // Init itself is not, nor is what is the host's.
    let host = bundle.directory.path().join("made").display().to_string();
    let hook = |script: &str| {
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script],
        "env": ["PATH=/usr/bin:/bin"]}])
    };
    bundle.config["hooks"] = json!({
        "createContainer": hook(&format!("mkdir {host}")),
        "startContainer": hook("! mkdir /tmp/y 2>/dev/null"),
    });
    for new_privileges in [false, true] {
        bundle.config["process"]["noNewPrivileges"] = json!(!new_privileges);
        assert_eq!(bundle.run("run one").success(), "1\n");
        fs::remove_dir(&host).unwrap();
    }
    bundle.config["linux"]["seccomp"]["syscalls"][0]["action"] = json!("SCMP_ACT_KILL_PROCESS");
    bundle.config["process"]["rlimits"] = json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
    bundle.config["hooks"]["startContainer"] = hook("exec mkdir /tmp/y");
    let outcome = bundle.run("run one");
    assert!(outcome.failure(1).contains("SIGSYS"), "{outcome:?}");
}
