//! Every step of a sandbox, made to fail: what is said then, and that nothing is left. The tests
//! are made from the lists of steps that `crabcan explain` prints, so a new step has its test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::process::Command;

use support::roots::BashRoot;
use support::{Leaks, crabcan, is_root, run};

/// EIO, which no step fails with on its own.
const EIO: i32 = 5;

/// A sandbox of some form.
struct Form {
    name: &'static str,
    options: Vec<String>,
    program: &'static str,
    root: Option<BashRoot>,
}

impl Form {
    fn of_the_hosts_root(name: &'static str, options: &[&str]) -> Self {
        Self {
            name,
            options: options.iter().map(|&option| option.into()).collect(),
            program: "/bin/true",
            root: None,
        }
    }

    fn of_a_directory(name: &'static str, root: BashRoot) -> Self {
        let mut options = root.options.clone();
        options.extend(["--uid".into(), "0".into()]);
        Self {
            name,
            options,
            program: "/bash",
            root: Some(root),
        }
    }

    fn command(&self, first: &[&str]) -> Command {
        let mut command = crabcan(first);
        // A generated name would be another one in each run.
        command.args(["--hostname", "calm-crab-7"]);
        command.args(&self.options).args(["--", self.program]);
        let directory = self.root.as_ref().map(|root| root.above.path());
        command.current_dir(directory.unwrap_or_else(|| "/usr".as_ref()));
        command
    }

    /// The steps, as `explain` numbers them.
    fn steps(&self) -> Vec<String> {
        let text = run(&mut self.command(&["explain"])).success();
        let numbered: Vec<(usize, &str)> = text
            .lines()
            .filter_map(|line| {
                let (number, step) = line.trim_start().split_once(' ')?;
                Some((number.parse().ok()?, step))
            })
            .collect();
        assert!(numbered.len() > 20, "{}: {text}", self.name);
        let in_order = |(index, (number, _)): (usize, &(usize, &str))| index == *number;
        assert!(numbered.iter().enumerate().all(in_order), "{text}");
        numbered.into_iter().map(|(_, step)| step.into()).collect()
    }

    fn check(&self, leaks: &Leaks) {
        let steps = self.steps();
        for (index, step) in steps.iter().enumerate() {
            let name = format!("{}, step {index}, {step}", self.name);
            self.check_failing(&name, index, step);
            leaks.check(&name);
            self.check_silent(&name, index, &steps);
            leaks.check(&name);
        }
        // And with no fault the same line works.
        assert_eq!(run(&mut self.command(&[])).success(), "", "{}", self.name);
    }

    /// The kernel refuses the step.
    fn check_failing(&self, name: &str, index: usize, step: &str) {
        let mut command = self.command(&[]);
        command.env("CRABCAN_FAULT", format!("{index}:{EIO}"));
        let outcome = run(&mut command);
        let is_exec = step.starts_with("execute ");
        let message = outcome.failure(if is_exec { 126 } else { 125 });
        let wanted = format!("{step}: I/O error (EIO)");
        assert_eq!(message, wanted, "{name}");
    }

    /// Init ends without a word, as if it had been killed.
    fn check_silent(&self, name: &str, index: usize, steps: &[String]) {
        let mut command = self.command(&[]);
        command.env("CRABCAN_FAULT", format!("{index}:0"));
        let outcome = run(&mut command);
        // The process that is to become the command can't be told from it: then there is the code.
        let last = ["start a new session", "refuse all other access"];
        let last = [last, ["filter system calls", "execute "]].concat();
        let becomes_the_command = last.iter().any(|start| steps[index].starts_with(start));
        if becomes_the_command {
            assert_eq!(outcome.code(), 125, "{name}: {outcome:?}");
        } else {
            let message = outcome.failure(125);
            assert!(
                message.starts_with("init ended while "),
                "{name}: {message}"
            );
        }
    }
}

#[test]
fn the_hosts_root() {
    let leaks = Leaks::watch();
    Form::of_the_hosts_root("the host's root", &[]).check(&leaks);
}

#[test]
fn the_command_as_process_1() {
    let leaks = Leaks::watch();
    Form::of_the_hosts_root("--as-pid-1", &["--as-pid-1"]).check(&leaks);
}

#[test]
fn an_overlay_of_a_directory() {
    let leaks = Leaks::watch();
    Form::of_a_directory("an overlay", BashRoot::new()).check(&leaks);
}

#[test]
fn a_directory_that_is_written_through() {
    let leaks = Leaks::watch();
    Form::of_a_directory("a directory", BashRoot::with_mount_points()).check(&leaks);
}

#[test]
fn the_hosts_users() {
    let leaks = Leaks::watch();
    // Root's alone: what an ordinary user gets is in `input.rs`.
    if is_root() {
        Form::of_the_hosts_root("--userns host", &["--userns", "host"]).check(&leaks);
    }
}

/// The words that each kind of step begins with: all those that a sandbox without a terminal has.
const KINDS: [&str; 22] = [
    "wait for the id maps",
    "take the ids ",
    "make all mounts private",
    "set host name calm-crab-7",
    "set up the loopback",
    "take / as the root",
    "take an overlay of ",
    "mount tmpfs on /dev",
    "mount proc on /proc",
    "bind /dev/null on",
    "make the symbolic link ",
    "enter the root",
    "keep ",
    "set capabilities ",
    "refuse new privileges",
    "ask for signal 9",
    "go to the directory ",
    "tell the parent ",
    "go on in a child",
    "start a new session",
    "filter system calls (",
    "execute ",
];
/// An ordinary user's own init must be open to the one who writes its id maps. Where root keeps the
/// host's users, what they own in `/proc` is covered.
const KINDS_OF_ROOT: [&str; 3] = [
    "make init untraceable",
    "mask /proc/kcore",
    "make /proc/sys read-only",
];

#[test]
fn all_kinds_of_steps_are_among_them() {
    let _leaks = Leaks::watch();
    let mut forms = vec![
        Form::of_the_hosts_root("the host's root", &[]),
        Form::of_the_hosts_root("--as-pid-1", &["--as-pid-1"]),
        Form::of_a_directory("an overlay", BashRoot::new()),
        Form::of_a_directory("a directory", BashRoot::with_mount_points()),
    ];
    let mut kinds = KINDS.to_vec();
    if is_root() {
        forms.push(Form::of_the_hosts_root(
            "--userns host",
            &["--userns", "host"],
        ));
        kinds.extend(KINDS_OF_ROOT);
    }
    let steps: Vec<String> = forms.iter().flat_map(Form::steps).collect();
    for kind in kinds {
        assert!(steps.iter().any(|step| step.starts_with(kind)), "{kind}");
    }
}
