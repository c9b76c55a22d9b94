//! The descriptors of whoever calls: what a sandbox takes from them, and what is told by them, as an
//! ordinary user and as root.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::process::Command;

use support::roots::small;
use support::{Leaks, TempDir, crabcan, program, run};

/// A shell that runs crabcan with descriptors that it has opened: `$0` is crabcan.
#[track_caller]
fn with_descriptors(script: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).arg(program());
    command.args(arguments).env_remove("RUST_LOG");
    run(&mut command).success()
}

#[test]
fn files_come_from_descriptors() {
    let _leaks = Leaks::watch();
    let temp = TempDir::new("files");
    // Longer than any one read of init's.
    let long = ".".repeat(5000);
    temp.file("long", long.as_bytes(), 0o644);
    let small = small();
    let mut arguments: Vec<&str> = vec![temp.text()];
    arguments.extend(small.iter().map(String::as_str));
    arguments.extend(["--perms", "0640", "--file", "5", "/etc/written"]);
    arguments.extend(["--ro-bind-data", "6", "/etc/bound", "--bind-data", "7"]);
    arguments.extend(["/etc/own", "--", "/bin/sh", "-c"]);
    arguments.push(
        "cat /etc/*; stat -c %a /etc/*; echo x > /etc/own; cat /etc/own; \
         { echo x > /etc/bound; } 2>/dev/null || echo no",
    );
    let script = r#"dir=$1; shift
        { echo written; } | "$0" "$@" 5<&0 6<"$dir/long" 7<"$dir/long""#;
    let said = with_descriptors(script, &arguments);
    let expected = format!("{long}{long}written\n600\n600\n640\nx\nno\n");
    assert_eq!(said, expected);
}

#[test]
fn an_open_directory_is_bound_by_its_descriptor() {
    let _leaks = Leaks::watch();
    let temp = TempDir::new("fd");
    temp.directory("one");
    temp.file("one/first", b"", 0o666);
    let one = format!("{}/one", temp.text());
    let small = small();
    let mut arguments: Vec<&str> = vec![&one];
    arguments.extend(small.iter().map(String::as_str));
    arguments.extend(["--ro-bind-fd", "5", "/d", "--"]);
    arguments.extend(["/bin/sh", "-c", "echo /d/*"]);
    let script = r#"dir=$1; shift; exec 5<"$dir"; exec "$0" "$@""#;
    assert_eq!(with_descriptors(script, &arguments), "/d/first\n");
    for (option, said) in [("--ro-bind-fd", "no\n"), ("--bind-fd", "new\n")] {
        let write = "{ echo new > /d/first; } 2>/dev/null || echo no; cat /d/first";
        let mut arguments: Vec<&str> = vec![&one];
        arguments.extend(small.iter().map(String::as_str));
        arguments.extend([option, "5", "/d", "--", "/bin/sh", "-c", write]);
        assert_eq!(with_descriptors(script, &arguments), said);
    }
    // Another directory takes its name: what is open moves along, and is still the one.
    let script = r#"dir=$1; shift; exec 5<"$dir"; mv "$dir" "$dir.old"; mkdir "$dir"; "$0" "$@""#;
    assert_eq!(with_descriptors(script, &arguments), "/d/first\n");
}

#[test]
fn callers_are_told_by_descriptors() {
    let _leaks = Leaks::watch();
    let temp = TempDir::new("status");
    let script = r#"cd /usr; dir=$1; shift
        "$0" "$@" 5> "$dir/info" 6> "$dir/status"; echo $?"#;
    let mut arguments = vec![temp.text(), "--info-fd", "5", "--json-status-fd", "6"];
    arguments.extend(["--", "/bin/sh", "-c", "exit 7"]);
    assert_eq!(with_descriptors(script, &arguments), "7\n");
    let read = |name: &str| fs::read_to_string(temp.path().join(name)).unwrap();
    let info: serde_json::Value = serde_json::from_str(&read("info")).unwrap();
    let mut keys: Vec<_> = info.as_object().unwrap().keys().cloned().collect();
    keys.sort();
    let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "uts"];
    let mut expected: Vec<_> = kinds.iter().map(|it| format!("{it}-namespace")).collect();
    expected.insert(1, "child-pid".into());
    assert_eq!(keys, expected);
    let lines: Vec<serde_json::Value> = read("status")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines, [info, serde_json::json!({ "exit-code": 7 })]);
}

#[test]
fn the_command_waits_for_the_blocking_descriptor() {
    let _leaks = Leaks::watch();
    let temp = TempDir::new("block");
    let script = r#"cd /usr; mkfifo "$1/fifo"; { sleep 0.2; echo before; echo > "$1/fifo"; } &
        "$0" --block-fd 5 -- /bin/echo after 5<>"$1/fifo""#;
    assert_eq!(with_descriptors(script, &[temp.text()]), "before\nafter\n");
}

/// Its other end is read to the end by `cat`, which would not end before crabcan does.
#[test]
fn a_descriptor_stays_open_while_the_sandbox_lives() {
    let _leaks = Leaks::watch();
    let script = r#"cd /usr; { "$0" --sync-fd 5 -- /bin/sh -c 'sleep 0.2; echo first >&2' \
        5>&1 >/dev/null 2>&3 | { cat; echo second >&3; }; } 3>&1"#;
    assert_eq!(with_descriptors(script, &[]), "first\nsecond\n");
}

#[test]
fn options_come_from_a_descriptor_without_a_limit() {
    let _leaks = Leaks::watch();
    let mut words: Vec<String> = Vec::new();
    for index in 0..5000 {
        words.extend(["--setenv".into(), format!("V{index}"), "x".into()]);
    }
    let text = words.join("\0");
    let mut command = crabcan(["--args", "0", "--setenv", "LAST", "y", "--"]);
    command.args(["/bin/sh", "-c", "echo $V0 $V4999 $LAST"]);
    let outcome = support::run_with_input(command.current_dir("/usr"), text.as_bytes());
    assert_eq!(outcome.success(), "x x y\n");
}

/// An ordinary user has rights over the namespaces of its own sandboxes, by way of their user
/// namespace.
#[test]
fn the_namespaces_of_another_sandbox_are_joined() {
    let _leaks = Leaks::watch();
    let temp = TempDir::new("join");
    let script = r#"cd /usr; mkfifo "$1/go"
        "$0" --info-fd 5 -- /bin/cat 5>"$1/info" <"$1/go" & exec 9>"$1/go"
        until grep -q uts "$1/info"; do sleep 0.05; done
        ns=/proc/$(sed -n 's/.*"child-pid": \([0-9]*\).*/\1/p' "$1/info")/ns
        exec 6<"$ns/net"
        "$0" --join user:"$ns/user" --join net:/proc/self/fd/6 --join uts:"$ns/uts" -- \
            /bin/sh -c 'readlink /proc/self/ns/user /proc/self/ns/net /proc/self/ns/uts; id -u'
        readlink "$ns/user" "$ns/net" "$ns/uts"; id -u
        "$0" --join user:"$ns/mnt" -- true 2>&1; echo $?
        exec 9>&-; wait"#;
    let said = with_descriptors(script, &[temp.text()]);
    let lines: Vec<_> = said.lines().collect();
    let [inside, outside] = [&lines[..4], &lines[4..8]];
    assert_eq!(inside, outside);
    assert!(
        lines[8].contains("mnt") && lines.ends_with(&["125"]),
        "{said}"
    );
}
