//! The tutorial's form of the command line: its session, its log lines, its roots.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use nix::unistd::Uid;
use support::roots::{BashRoot, listing, static_busybox};
use support::running::Running;
use support::{Leaks, Outcome, TempDir, crabcan, lacks, run, run_with_input};

/// The tutorial's own words, from the post.
fn session(root: &BashRoot, input: &str) -> Outcome {
    let mut words = vec!["--debug", "-u", "0", "-m", "./mountdir/", "-c", "/bash"];
    words.extend(root.added.iter().flat_map(|pair| ["-a", pair.as_str()]));
    let mut command = crabcan(words);
    run_with_input(command.current_dir(root.above.path()), input.as_bytes())
}

/// One line of the log.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    level: &'a str,
    module: &'a str,
    text: &'a str,
}

/// Reads `[2021-11-12T08:52:17Z INFO  crabcan] Args { … }`; nothing else may be there. What this host
/// can't limit for this user is left out: `limits.rs` tests that it is told.
fn log_lines(text: &str) -> Vec<Line<'_>> {
    let parse = |line| parse_line(line).unwrap_or_else(|| panic!("no log line: {line}"));
    let unenforced = |line: &Line<'_>| {
        (line.level, line.module) == ("WARN", "crabcan_cli::limits")
            && line.text.contains(" is not limited: ")
    };
    text.lines()
        .map(parse)
        .filter(|line| !unenforced(line))
        .collect()
}

fn parse_line(line: &str) -> Option<Line<'_>> {
    let (head, text) = line.strip_prefix('[')?.split_once("] ")?;
    let mut words = head.split_whitespace();
    let time = words.next()?;
    let shape: String = time
        .chars()
        .map(|letter| if letter.is_ascii_digit() { '0' } else { letter })
        .collect();
    (shape == "0000-00-00T00:00:00Z").then_some(())?;
    let (level, module) = (words.next()?, words.next()?);
    Some(Line {
        level,
        module,
        text,
    })
}

/// The ten lines: level, beginning, end.
const LINES: [(&str, &str, &str); 10] = [
    ("INFO", "Args { debug: true, command: ", " }"),
    ("DEBUG", "Linux release: ", ""),
    ("DEBUG", "Container sockets: (", ")"),
    ("DEBUG", "Creation finished", "Creation finished"),
    ("DEBUG", "Container child PID: Some(Pid(", "))"),
    ("DEBUG", "Waiting for child (pid ", ") to finish"),
    (
        "INFO",
        "Starting container with command /bash and args [\"/bash\"]",
        "",
    ),
    ("DEBUG", "Finished, cleaning & exit", "exit"),
    ("DEBUG", "Cleaning container", "container"),
    (
        "DEBUG",
        "Exit without any error, returning 0",
        "returning 0",
    ),
];

#[test]
fn the_session_leaves_the_directory_as_it_was() {
    let _leaks = Leaks::watch();
    let root = BashRoot::new();
    let before = listing(&root.directory());
    for _ in 0..2 {
        let outcome = session(
            &root,
            "echo hello from $$\n\
             echo x > /file\n\
             [ -e /file ] && echo written\n\
             echo > /bash\n\
             [ -e /proc/self/status ] && [ -c /dev/null ] && echo mounted\n",
        );
        // Written it was, or the test would not show that it is thrown away.
        assert_eq!(
            outcome.stdout, "hello from 2\nwritten\nmounted\n",
            "{outcome:?}"
        );
        assert_eq!(listing(&root.directory()), before);
        assert_eq!(outcome.code(), 0, "{outcome:?}");
        assert!(outcome.stderr.contains("thrown away"), "{outcome:?}");
    }
}

#[test]
fn the_log_has_ten_lines() {
    let _leaks = Leaks::watch();
    let root = BashRoot::with_mount_points();
    let outcome = session(&root, "exit 0\n");
    assert_eq!(outcome.stdout, "");
    let lines = log_lines(&outcome.stderr);
    assert_eq!(lines.len(), LINES.len(), "{lines:#?}");
    for (line, (level, start, end)) in lines.iter().zip(LINES) {
        assert_eq!(line.level, level, "{line:?}");
        assert!(line.module.starts_with("crabcan"), "{line:?}");
        assert!(line.text.starts_with(start), "{line:?}: {start}");
        assert!(line.text.ends_with(end), "{line:?}: {end}");
    }
    // The same process is meant.
    let number =
        |line: &Line<'_>| -> String { line.text.chars().filter(char::is_ascii_digit).collect() };
    assert_eq!(number(&lines[4]), number(&lines[5]));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(lines[1].text, format!("Linux release: {}", release.trim()));
}

#[test]
fn how_much_is_logged() {
    let _leaks = Leaks::watch();
    let levels = |words: &[&str], rust_log: Option<&str>| -> Vec<String> {
        let mut command = crabcan(words);
        command.envs(rust_log.map(|value| ("RUST_LOG", value)));
        let outcome = run(command.current_dir("/usr"));
        assert_eq!(outcome.stdout, "hi\n", "{words:?} {outcome:?}");
        let lines = log_lines(&outcome.stderr);
        lines.iter().map(|line| line.level.to_owned()).collect()
    };
    let (tutorial, words) = (["--command", "echo hi"], ["--", "echo", "hi"]);
    let debug = ["--debug", "--", "echo", "hi"];
    assert_eq!(levels(&tutorial, None), ["INFO", "INFO"]);
    assert_eq!(levels(&words, None), [""; 0]);
    assert_eq!(levels(&debug, None).len(), LINES.len());
    // RUST_LOG overrides all three, either way.
    assert_eq!(levels(&tutorial, Some("warn")), [""; 0]);
    assert_eq!(levels(&debug, Some("error")), [""; 0]);
    assert_eq!(levels(&words, Some("info")), ["INFO", "INFO"]);
    let loud = levels(&words, Some("debug"));
    assert!(loud.len() >= LINES.len(), "{loud:?}");
    assert!(loud.iter().any(|level| level == "DEBUG"), "{loud:?}");
}

#[test]
fn the_last_line_tells_how_the_command_ended() {
    let _leaks = Leaks::watch();
    let root = BashRoot::with_mount_points();
    for (input, code, told) in [
        ("exit 3\n", 3, "3"),
        ("kill -KILL $$\n", 137, "SIGKILL"),
        ("kill -USR1 $$\n", 138, "SIGUSR1"),
    ] {
        let outcome = session(&root, input);
        assert_eq!(outcome.code(), code, "{outcome:?}");
        let lines = log_lines(&outcome.stderr);
        let last = lines.last().unwrap();
        assert!(last.text.contains(told), "{last:?}");
        assert!(
            last.text.ends_with(&format!("returning {code}")),
            "{last:?}"
        );
        assert!(!outcome.stderr.contains("without any error"), "{outcome:?}");
    }
}

#[test]
fn the_command_is_split_as_a_shell_splits() {
    let _leaks = Leaks::watch();
    let line = r#"/bin/sh -c 'printf "<%s>" "$@"' zero "a  b" c\ d '' e"f"'g' "it's""#;
    let outcome = run(&mut crabcan(["--command", line]));
    assert_eq!(outcome.stdout, "<a  b><c d><><efg><it's>", "{outcome:?}");
    assert_eq!(outcome.code(), 0);
}

/// Missing mount points are never made in the directory and removed again: that would take the
/// mounts away from a second container.
#[test]
fn two_containers_use_one_directory_at_once() {
    let _leaks = Leaks::watch();
    for root in [BashRoot::new(), BashRoot::with_mount_points()] {
        let start = || {
            let mut command = crabcan(&root.options);
            command.args(["--", "/bash", "-c"]);
            let check = "[ -e /proc/self/status ] && [ -c /dev/null ] && echo mounted";
            command.arg(format!("echo ready; read line; {check}"));
            Running::start(command.current_dir(root.above.path()))
        };
        let (mut first, mut second) = (start(), start());
        for container in [&first, &second] {
            assert_eq!(container.line(), "ready");
        }
        first.say("go");
        assert_eq!(first.line(), "mounted");
        assert_eq!(first.finish().code(), Some(0));
        second.say("go");
        assert_eq!(second.line(), "mounted");
        assert_eq!(second.finish().code(), Some(0));
    }
}

#[test]
fn a_directory_with_every_mount_point_is_written_through() {
    let _leaks = Leaks::watch();
    let root = BashRoot::with_mount_points();
    let outcome = session(&root, "echo kept > /file\n");
    assert_eq!(outcome.code(), 0, "{outcome:?}");
    assert!(!outcome.stderr.contains("thrown away"), "{outcome:?}");
    let file = root.directory().join("file");
    assert_eq!(fs::read_to_string(&file).unwrap(), "kept\n");
    assert_eq!(file.metadata().unwrap().uid(), Uid::effective().as_raw());
    // What was mounted is not there any more, and was never written to.
    assert_eq!(
        fs::read_dir(root.directory().join("dev")).unwrap().count(),
        0
    );
    assert_eq!(
        fs::read_dir(root.directory().join("proc")).unwrap().count(),
        0
    );
}

#[test]
fn a_static_busybox_is_a_root() {
    let _leaks = Leaks::watch();
    let Some(busybox) = static_busybox() else {
        return lacks("static busybox (package busybox-static)");
    };
    let root = TempDir::new("busybox");
    root.directory("bin");
    fs::copy(&busybox, root.path().join("bin/busybox")).unwrap();
    for name in ["sh", "ps", "hostname", "ip", "id", "ls"] {
        symlink("busybox", root.path().join("bin").join(name)).unwrap();
    }
    check_busybox(root.path());
    for name in ["proc", "dev"] {
        root.directory(name);
    }
    check_busybox(root.path());
}

fn check_busybox(root: &Path) {
    let script = "ps; echo; hostname; ip link; id -u; ls /dev/null /proc/self/exe";
    let mut command = crabcan(["--uid", "0", "--hostname", "calm-crab-7", "--mount"]);
    command.arg(root).args(["--", "/bin/sh", "-c", script]);
    let output = run(command.env("PATH", "/bin")).success();
    let (processes, rest) = output.split_once("\n\n").unwrap();
    let processes: Vec<&str> = processes.lines().skip(1).collect();
    assert_eq!(processes.len(), 3, "init, the shell and ps: {output}");
    assert!(processes[0].contains("crabcan-init"), "{output}");
    let lines: Vec<&str> = rest.lines().collect();
    assert_eq!(lines[0], "calm-crab-7");
    let links = lines.iter().filter(|line| line.contains(": <")).count();
    assert_eq!(links, 1, "{output}");
    assert!(output.contains("1: lo: <LOOPBACK,UP"), "{output}");
    assert!(lines.contains(&"0"), "{output}");
}
