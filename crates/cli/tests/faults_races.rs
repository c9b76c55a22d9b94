//! Commands about one container at the same time, and state directories that are broken or full.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, and prints its figures"
)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::Leaks;
use support::attack::{figure, full, rounds};
use support::bundle::Bundle;

/// Starts all of them at once; their codes, in order.
fn together(bundle: &Bundle, commands: &[&str]) -> Vec<i32> {
    let said = |index: usize| bundle.directory.path().join(format!("said-{index}"));
    // All made before the first is started: each writes the configuration.
    let made: Vec<Command> = commands
        .iter()
        .enumerate()
        .map(|(index, words)| {
            let mut command = bundle.command(words.split(' '));
            command.stdin(Stdio::null()).stdout(Stdio::null());
            command.stderr(fs::File::create(said(index)).unwrap());
            command
        })
        .collect();
    let started: Vec<_> = made
        .into_iter()
        .map(|mut command| command.spawn().unwrap())
        .collect();
    let until = Instant::now() + Duration::from_secs(30);
    let mut codes = Vec::new();
    for (index, mut child) in started.into_iter().enumerate() {
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < until, "one of {commands:?} hangs");
            std::thread::sleep(Duration::from_millis(1));
        };
        // Seen when the test fails.
        let text = fs::read_to_string(said(index)).unwrap();
        if !text.is_empty() {
            eprint!("{}: {text}", commands[index]);
        }
        codes.push(status.code().expect("nobody kills it"));
    }
    codes
}

fn successes(codes: &[i32]) -> usize {
    codes.iter().filter(|code| **code == 0).count()
}

/// Fault 8.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn commands_at_the_same_time_leave_one_order() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("together", "exec sleep 600");
    let count = rounds(25, 1000);
    for round in 0..count {
        assert_eq!(bundle.leave("create one").code(), 0);
        let codes = together(&bundle, &["start one", "start one"]);
        assert_eq!(successes(&codes), 1, "start+start {round}: {codes:?}");
        assert_eq!(bundle.status("one"), "running");
        let codes = together(&bundle, &["exec one /bin/true", "delete --force one"]);
        assert_eq!(codes[1], 0, "exec+delete {round}: {codes:?}");
        assert_eq!(bundle.entries(), [""; 0]);
        assert_eq!(bundle.leave("run -d one").code(), 0);
        let codes = together(
            &bundle,
            &["kill one KILL", "delete --force one", "delete --force one"],
        );
        assert_eq!(codes[1..], [0, 0], "kill+delete+delete {round}: {codes:?}");
        assert_eq!(bundle.entries(), [""; 0]);
        assert_eq!(bundle.leave("run -d one").code(), 0);
        let codes = together(
            &bundle,
            &["pause one", "kill one KILL", "delete --force one"],
        );
        assert_eq!(codes[2], 0, "pause+kill+delete {round}: {codes:?}");
        assert_eq!(bundle.entries(), [""; 0]);
        let codes = together(&bundle, &["create one", "gc", "gc"]);
        assert_eq!(codes, [0, 0, 0], "create+gc {round}");
        assert_eq!(bundle.status("one"), "created");
        bundle.run("delete --force one").success();
    }
    figure(5 * count, "races of commands");
}

/// Fault 15: garbage where the record was.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn records_that_are_garbage_are_passed_over_and_removed() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("garbage", "exec sleep 600");
    assert_eq!(bundle.leave("create one").code(), 0);
    let record = fs::read(bundle.state_directory().join("one/state.json")).unwrap();
    for (index, garbage) in [
        Vec::new(),
        b"{".to_vec(),
        b"null".to_vec(),
        vec![0xff; 100],
        record[..record.len() / 2].to_vec(),
        br#"{"version": 999}"#.to_vec(),
        vec![b'['; 1 << 20],
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("garbage-{index}");
        let entry = bundle.state_directory().join(&id);
        fs::create_dir(&entry).unwrap();
        fs::write(entry.join("state.json"), garbage).unwrap();
        for words in ["state", "start", "kill", "delete", "exec"] {
            let words = match words {
                "exec" => format!("exec {id} true"),
                _ => format!("{words} {id}"),
            };
            let outcome = bundle.run(&words);
            assert!([1, 255].contains(&outcome.code()), "{words}: {outcome:?}");
        }
        let list = bundle.run("list -q");
        assert_eq!(
            (list.code(), list.stdout.as_str()),
            (0, "one\n"),
            "{list:?}"
        );
        assert!(list.stderr.contains(&id), "{list:?}");
        // It may belong to a newer crabcan: only force removes it.
        assert_eq!(bundle.run("gc").code(), 1);
        bundle.run(&format!("delete --force {id}")).success();
        assert!(!entry.exists());
    }
    assert_eq!(bundle.status("one"), "created");
}

/// A command in a mount namespace of its own, in which a line of shell has been run before.
fn after(bundle: &Bundle, script: &str, words: &str) -> support::Outcome {
    let command = bundle.command(words.split(' '));
    let mut line = Command::new("unshare");
    line.args([
        "-m",
        "/bin/sh",
        "-c",
        &format!("{script} && exec \"$@\""),
        "sh",
    ]);
    line.arg(command.get_program()).args(command.get_args());
    support::run(line.current_dir(bundle.directory.path()))
}

/// Fault 14: no place for the state, or none that may be written.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_state_directory_that_takes_nothing_fails_create() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("full", "exec sleep 600");
    let state = bundle.state_directory();
    fs::create_dir(&state).unwrap();
    let at = state.display();
    let fill = format!(
        "mount -t tmpfs -o size=8k,mode=700 tmpfs {at} && dd if=/dev/zero of={at}/.fill bs=4k count=2 2>/dev/null"
    );
    let inodes = format!("mount -t tmpfs -o nr_inodes=2,mode=700 tmpfs {at}");
    let read_only = format!("mount -t tmpfs -o ro,mode=700 tmpfs {at}");
    for script in [&fill, &inodes, &read_only] {
        for words in ["create one", "run one"] {
            let outcome = after(&bundle, script, words);
            assert_eq!(outcome.code(), 1, "{script}: {outcome:?}");
            let names_it = outcome.stderr.contains(&state.display().to_string());
            assert!(names_it, "{script}: {outcome:?}");
        }
    }
    assert_eq!(bundle.entries(), [""; 0]);
    fs::remove_dir(&state).unwrap();
    fs::write(&state, "no directory").unwrap();
    assert_eq!(bundle.leave("create one").code(), 1);
    fs::remove_file(&state).unwrap();
}

fn create_within(bundle: &Bundle, bound: Duration, what: &str) -> support::Outcome {
    let start = Instant::now();
    let outcome = bundle.leave("run one");
    assert!(start.elapsed() < bound, "{what}: {:?}", start.elapsed());
    assert!([0, 1].contains(&outcome.code()), "{what}: {outcome:?}");
    assert!(!outcome.stderr.contains("panicked"), "{what}: {outcome:?}");
    assert!(
        outcome.stderr.len() < 10_000,
        "{what}: a message one can read"
    );
    assert_eq!(bundle.entries(), [""; 0], "{what}");
    outcome
}

/// Fault 17: configurations at their limits.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn large_configurations_work_or_name_their_limit() {
    let _leaks = Leaks::watch();
    let bound = Duration::from_secs(20);
    let fresh = || Bundle::new("large", "exit 0");
    let mut bundle = fresh();
    let mounts: Vec<Value> = (0..5000)
        .map(|n| json!({"destination": format!("/tmp/{n}"), "type": "tmpfs", "source": "tmpfs"}))
        .collect();
    bundle.config["mounts"]
        .as_array_mut()
        .unwrap()
        .extend(mounts);
    create_within(&bundle, Duration::from_secs(60), "5000 mounts");
    let mut bundle = fresh();
    let environment: Vec<String> = (0..10_000).map(|n| format!("V{n}=x")).collect();
    bundle.config["process"]["env"] = json!(environment);
    create_within(&bundle, bound, "10000 variables");
    let mut bundle = fresh();
    bundle.config["process"]["args"] = json!(["/bin/true", "x".repeat(1 << 20)]);
    assert_eq!(
        create_within(&bundle, bound, "an argument of 1 MiB").code(),
        1
    );
    let mut bundle = fresh();
    let hook = json!({"path": "/bin/true"});
    bundle.config["hooks"] = json!({"createRuntime": vec![hook; 300]});
    assert_eq!(create_within(&bundle, bound, "300 hooks").code(), 0);
    let mut bundle = fresh();
    bundle.config["annotations"] = json!({"a": "x".repeat(10 << 20)});
    create_within(&bundle, bound, "10 MiB");
}

/// Fault 16: what is no configuration, but for one thing would be.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn files_that_are_no_configuration_are_refused_at_once() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("broken", "exit 0");
    let path = bundle.directory.path().join("config.json");
    let whole = bundle.config.to_string();
    let with = |more: &[u8]| [b"{", more, b", ", &whole.as_bytes()[1..]].concat();
    let nested = format!(r#""a": {}{}"#, "[".repeat(10_000), "]".repeat(10_000));
    let huge = whole.replace(r#""uid":0"#, r#""uid":1e400"#);
    assert_eq!(run_of(&bundle, &path, with(br#""a": 1"#)).code(), 0);
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("a list", b"[]".to_vec()),
        ("no UTF-8", with(b"\"a\": \"\xff\xfe\"")),
        ("depth 10000", with(nested.as_bytes())),
        ("twice", with(br#""root": {"path": "/"}"#)),
        ("huge", huge.into_bytes()),
        ("NUL", with(br#""domainname": "a\u0000b""#)),
        (
            "100 MiB",
            [whole.as_bytes(), &vec![b' '; 100 << 20]].concat(),
        ),
    ] {
        let start = Instant::now();
        let outcome = run_of(&bundle, &path, bytes);
        assert_eq!(outcome.code(), 1, "{what}: {outcome:?}");
        assert!(start.elapsed() < Duration::from_secs(5), "{what}");
        assert!(outcome.stderr.len() < 2000, "{what}");
        assert_eq!(bundle.entries(), [""; 0], "{what}");
    }
}

/// What becomes of a container with this configuration.
fn run_of(bundle: &Bundle, path: &Path, configuration: Vec<u8>) -> support::Outcome {
    let mut command = bundle.command(["run", "one"]);
    fs::write(path, configuration).unwrap();
    support::run(&mut command)
}

/// Fault 28: hooks that do not do what hooks do.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn hooks_that_misbehave_block_nobody() {
    let _leaks = Leaks::watch();
    for (script, code) in [
        ("exec 0<&-; exit 0", 0),
        ("exit 1", 1),
        ("kill -9 $$", 1),
        ("head -c 10000000 /dev/zero; exit 0", 0),
        ("head -c 10000000 /dev/zero >&2; exit 1", 1),
        ("sleep 60", 1),
        ("exec 1<&- 2<&-; exit 0", 0),
    ] {
        for kind in ["createRuntime", "createContainer", "prestart"] {
            let mut bundle = Bundle::new("hook", "exit 0");
            bundle.config["hooks"] =
                json!({kind: [{"path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 1}]});
            let start = Instant::now();
            let outcome = bundle.leave("run one");
            assert_eq!(outcome.code(), code, "{kind} {script}: {outcome:?}");
            assert!(start.elapsed() < Duration::from_secs(10), "{kind} {script}");
            assert_eq!(bundle.entries(), [""; 0], "{kind} {script}");
        }
    }
}

/// Fault 18: many containers leave nothing, and the last takes no longer than the first.
#[test]
#[ignore = "needs root: cargo xtask test-faults"]
fn a_crowd_of_containers_leaves_nothing() {
    let _leaks = Leaks::watch();
    let count = rounds(100, 1000);
    let bundles: Vec<Bundle> = (0..count)
        .map(|_| Bundle::new("crowd", "exec sleep 3600"))
        .collect();
    let mut times = Vec::new();
    for bundle in &bundles {
        let start = Instant::now();
        assert_eq!(bundle.leave("run -d one").code(), 0);
        times.push(start.elapsed());
    }
    for bundle in &bundles {
        bundle.run("delete --force one").success();
        assert_eq!(bundle.entries(), [""; 0]);
    }
    figure(count, "containers alive at once");
    // Figures of a busy machine: told, and bounded generously.
    let half = times.len() / 2;
    let median = |times: &[Duration]| {
        let mut sorted = times.to_vec();
        sorted.sort();
        sorted[sorted.len() / 2]
    };
    let (first, last) = (median(&times[..half]), median(&times[half..]));
    println!("median of the first half {first:?}, of the second {last:?}");
    assert!(!full() || last < first * 4, "{first:?} became {last:?}");
}
