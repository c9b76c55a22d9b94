//! `completion` and `info`: what a shell is told, and what is said of this machine.
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
use std::process::Command;

use support::{Leaks, crabcan, run};

fn script(shell: &str) -> String {
    run(&mut crabcan(["completion", shell])).success()
}

/// What bash offers behind these words, of which the last is being written.
fn offered(words: &[&str]) -> Vec<String> {
    let mut command = Command::new("bash");
    let ask = "eval \"$0\"; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _crabcan; \
               printf '%s\\n' \"${COMPREPLY[@]}\"";
    command.args(["--norc", "-c", ask, &script("bash"), "crabcan"]);
    let text = run(command.args(words)).success();
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_their_options() {
    let _leaks = Leaks::watch();
    for (words, expected) in [
        (&["cr"][..], &["create"][..]),
        (&["--root", "/r", "sta"], &["start", "state"]),
        (&["--ro-bind-d"], &["--ro-bind-data"]),
        (&["create", "--bu"], &["--bundle"]),
        (
            &["--debug", "exec", "--no"],
            &["--no-new-privs", "--no-subreaper"],
        ),
        (&["seccomp", ""], &["explain", "compile"]),
        (&["seccomp", "explain", "--ca"], &["--cap"]),
        (&["completion", ""], &["bash", "fish", "zsh"]),
        (
            &["delete", "-"],
            &["--force", "-f", "--regex", "-r", "--help"],
        ),
        // Files: of the value of an option, and of who is no option.
        (&["create", "--bundle", ""], &[]),
        (&["create", "-b", "-"], &[]),
        (&["create", ""], &[]),
        (&["--", "create", "--bu"], &[]),
    ] {
        assert_eq!(offered(words), expected, "{words:?}");
    }
    let all = offered(&[""]);
    for name in ["run", "doctor", "explain", "completion", "info", "gc"] {
        assert!(all.iter().any(|one| one == name), "{name}: {all:?}");
    }
}

/// The other two, where they are installed.
#[test]
fn fish_and_zsh_can_read_their_scripts() {
    let _leaks = Leaks::watch();
    for (shell, check) in [("fish", "--no-execute"), ("zsh", "-n")] {
        let text = script(shell);
        assert!(text.contains("crabcan"), "{text}");
        if Path::new("/usr/bin").join(shell).exists() {
            let directory = support::TempDir::new(shell);
            let file = directory.file("script", text.as_bytes(), 0o644);
            run(Command::new(shell).arg(check).arg(file)).success();
        }
    }
}

#[test]
fn a_shell_is_named_in_either_way_and_must_be_known() {
    let _leaks = Leaks::watch();
    let by_option = run(&mut crabcan(["completion", "--shell", "bash"])).success();
    assert_eq!(by_option, script("bash"));
    for (words, named) in [
        (&["completion", "tcsh"][..], "tcsh"),
        (&["completion"], "SHELL"),
        (&["completion", "bash", "--shell=zsh"], "--shell"),
    ] {
        let outcome = run(&mut crabcan(words));
        assert!(outcome.failure(1).contains(named), "{outcome:?}");
    }
}

/// The lines about something.
fn told<'a>(text: &'a str, about: &str) -> Vec<&'a str> {
    let lines = text.lines();
    let lines = lines.filter_map(|line| line.strip_prefix(about));
    lines.map(str::trim_start).collect()
}

#[test]
fn the_machine_is_described_as_it_is() {
    let _leaks = Leaks::watch();
    let text = run(&mut crabcan(["--root", "/no/such/state", "info"])).success();
    assert!(text.starts_with("crabcan version 0."), "{text}");
    for (about, file) in [
        ("Kernel-Release", "/proc/sys/kernel/osrelease"),
        ("Kernel-Version", "/proc/sys/kernel/version"),
        ("Processors", "/sys/devices/system/cpu/online"),
    ] {
        let expected = fs::read_to_string(file).unwrap();
        assert_eq!(told(&text, about), [expected.trim()], "{text}");
    }
    assert_eq!(told(&text, "Architecture"), [std::env::consts::ARCH]);
    assert_eq!(told(&text, "State Directory"), ["/no/such/state"]);
    let memory = fs::read_to_string("/proc/meminfo").unwrap();
    let memory = memory.split_whitespace().nth(1).unwrap();
    let memory = memory.parse::<u64>().unwrap() >> 10;
    assert_eq!(told(&text, "Total Memory"), [format!("{memory} MiB")]);
    let trees = text.lines().filter(|line| line.starts_with("  "));
    let trees: Vec<_> = trees.map(|line| line.split_whitespace().last()).collect();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!trees.is_empty(), "{text}");
    for tree in trees {
        let place = format!(" {} ", tree.unwrap());
        let mount = mounts.lines().find(|line| line.contains(&place));
        assert!(mount.unwrap().contains(" - cgroup"), "{mount:?}");
    }
    for name in told(&text, "Namespaces")[0].split(',') {
        assert!(Path::new("/proc/self/ns").join(name).exists(), "{name}");
    }
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let permitted = status
        .lines()
        .find_map(|line| line.strip_prefix("CapPrm:\t"));
    let permitted = u64::from_str_radix(permitted.unwrap(), 16).unwrap();
    let listed = told(&text, "Capabilities")[0];
    let listed = listed.split(',').filter(|name| !name.is_empty());
    assert_eq!(listed.count(), permitted.count_ones() as usize);
}
