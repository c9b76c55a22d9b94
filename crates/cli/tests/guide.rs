//! The commands of `docs/sandbox.md`: each is run and says what stands under it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::os::unix::fs::symlink;
use std::process::Command;

use support::{Leaks, TempDir, program, run};

const GUIDE: &str = include_str!("../../../docs/sandbox.md");

/// The commands with what they are to say.
fn commands() -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut inside = false;
    for line in GUIDE.lines() {
        match (inside, line, line.strip_prefix("$ ")) {
            (_, "```console", _) => inside = true,
            (_, "```", _) => inside = false,
            (true, _, Some(command)) => found.push((command.into(), String::new())),
            (true, _, None) => {
                let (_, said) = found.last_mut().expect("a command stands first");
                said.push_str(line);
                said.push('\n');
            }
            _ => {}
        }
    }
    found
}

#[test]
fn the_guide_says_what_happens() {
    let _leaks = Leaks::watch();
    let temp = TempDir::new("guide");
    symlink(program(), temp.path().join("crabcan")).unwrap();
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", temp.text());
    let commands = commands();
    assert!(commands.len() > 15, "{commands:?}");
    for (command, expected) in commands {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("{{ {command}\n}} 2>&1")]);
        shell.current_dir("/usr").env_clear();
        let outcome = run(shell.env("PATH", &path));
        assert_eq!(outcome.stdout, expected, "{command}");
    }
}
