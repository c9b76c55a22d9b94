//! `crabcan learn`: the profile that it writes is enough for the same command, and for no other call;
//! the list of files has what was opened.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use support::{Leaks, Outcome, TempDir, crabcan, run};

/// A place for what is learnt.
struct Lesson {
    place: TempDir,
}

impl Lesson {
    fn new(name: &str) -> Self {
        Self {
            place: TempDir::new(name),
        }
    }

    fn profile(&self) -> PathBuf {
        self.place.path().join("profile.json")
    }

    fn files(&self) -> PathBuf {
        self.place.path().join("files")
    }

    /// Learns from a command with these options.
    fn from(&self, options: &[&str], command: &[&str]) -> Outcome {
        let mut learn = crabcan(["learn", "--output"]);
        learn.arg(self.profile()).arg("--files").arg(self.files());
        run(learn.args(options).arg("--").args(command))
    }

    /// Runs a command with what was learnt.
    fn under(&self, command: &[&str]) -> Outcome {
        let mut sandbox = crabcan(["--seccomp"]);
        run(sandbox.arg(self.profile()).arg("--").args(command))
    }

    fn document(&self) -> Value {
        serde_json::from_slice(&fs::read(self.profile()).unwrap()).unwrap()
    }

    /// The names that are in a rule with conditions, or in one without.
    fn names(&self, conditional: bool) -> Vec<String> {
        let document = self.document();
        let rules = document["syscalls"].as_array().unwrap().clone();
        let rules = rules
            .into_iter()
            .filter(|rule| rule["args"].is_array() == conditional);
        let names = rules.flat_map(|rule| rule["names"].as_array().unwrap().clone());
        names.map(|name| name.as_str().unwrap().into()).collect()
    }

    fn opened(&self) -> Vec<String> {
        let text = fs::read_to_string(self.files()).unwrap();
        text.lines().map(Into::into).collect()
    }
}

fn has(names: &[String], name: &str) -> bool {
    names.iter().any(|one| one == name)
}

#[test]
fn what_was_learnt_is_enough_for_the_same_and_for_nothing_else() {
    let _leaks = Leaks::watch();
    let lesson = Lesson::new("learn");
    // Children of children, and a file that is made; the exit code is handed on.
    let command = [
        "/bin/sh",
        "-c",
        "(ls / | wc -l >/tmp/x); ls /tmp >/dev/null; test -s /tmp/x; exit $(($? + 3))",
    ];
    let learnt = lesson.from(&[], &command);
    assert_eq!((learnt.code(), learnt.stderr.as_str()), (3, ""));
    let again = lesson.under(&command);
    assert_eq!((again.code(), again.stderr.as_str()), (3, ""), "{again:?}");
    // The same with one call more.
    let more = lesson.under(&["/bin/sh", "-c", "ls / | wc -l; mkdir /tmp/y"]);
    assert_eq!(more.code(), 1, "{more:?}");
    assert!(more.stderr.contains("Function not implemented"), "{more:?}");
    let document = lesson.document();
    assert_eq!(document["defaultAction"], "SCMP_ACT_ERRNO");
    assert_eq!(document["defaultErrnoRet"], libc::ENOSYS);
    let native = format!("SCMP_ARCH_{}", std::env::consts::ARCH.to_uppercase());
    assert_eq!(document["architectures"], serde_json::json!([native]));
    let names = lesson.names(false);
    assert!(has(&names, "execve") && has(&names, "write"), "{names:?}");
    // Init's own calls behind the filter, and what a signal has the kernel call.
    assert!(!has(&names, "sendmsg") && !has(&names, "seccomp"));
    assert!(has(&names, "restart_syscall") && has(&names, "rt_sigreturn"));
}

/// What the sandbox refuses by an argument is not let through by what was learnt in it.
#[test]
fn arguments_that_the_profile_looks_at_are_learnt() {
    let _leaks = Leaks::watch();
    let lesson = Lesson::new("arguments");
    let script = |family| {
        let open = format!("socket.socket(socket.{family})");
        let caught = "except OSError as error: os._exit(error.errno)";
        format!("import os, socket\ntry: {open}\n{caught}")
    };
    let (inet, unix) = (script("AF_INET"), script("AF_UNIX"));
    let inet = ["/usr/bin/python3", "-c", &inet];
    let unix = ["/usr/bin/python3", "-c", &unix];
    lesson.from(&[], &inet).success();
    let names = lesson.names(true);
    assert!(has(&names, "socket") && has(&names, "ioctl"), "{names:?}");
    lesson.under(&inet).success();
    let other = lesson.under(&unix);
    assert_eq!(other.code(), libc::ENOSYS, "{other:?}");
    // Without a profile there is nothing that looks at arguments.
    lesson.from(&["--seccomp", "none"], &inet).success();
    assert_eq!(lesson.names(true), [""; 0]);
    lesson.under(&unix).success();
}

/// Threads, and a thread that executes another program.
#[test]
fn all_threads_are_learnt_from() {
    let _leaks = Leaks::watch();
    let lesson = Lesson::new("threads");
    let script = "
import os, threading
def work():
    for _ in range(20): open('/etc/passwd').close()
threads = [threading.Thread(target=work) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
def last(): os.execv('/bin/cat', ['cat', '/etc/hosts'])
threading.Thread(target=last).start()
threading.Event().wait()";
    let command = ["/usr/bin/python3", "-c", script];
    let hosts = fs::read_to_string("/etc/hosts").unwrap();
    assert_eq!(lesson.from(&[], &command).success(), hosts);
    let opened = lesson.opened();
    for file in ["/etc/passwd", "/etc/hosts", "/usr/bin/cat"] {
        assert!(has(&opened, file), "{file}: {opened:?}");
    }
    assert_eq!(lesson.under(&command).success(), hosts);
}

#[test]
fn the_files_are_those_that_were_opened() {
    let _leaks = Leaks::watch();
    let lesson = Lesson::new("files");
    let script = "cat /etc/passwd >/dev/null; cat /etc/no-such 2>/dev/null; test -e /etc/hosts
        echo >/tmp/made; cat '' 2>/dev/null; (echo >/etc/group) 2>/dev/null
        ln -s /etc/fstab /tmp/link; ln -s /etc/hostname /tmp/other; cat /tmp/other >/tmp/made
        echo >'/tmp/two
lines'; rm /tmp/made";
    lesson.from(&[], &["/bin/sh", "-c", script]).success();
    let opened = lesson.opened();
    let resolved = |path: &str| fs::canonicalize(path).unwrap().display().to_string();
    for file in [
        "/etc/passwd",
        "/dev/null",
        "/tmp/made",
        "/etc/hostname",
        "/tmp/two\\012lines",
        &resolved("/bin/sh"),
        &resolved("/bin/cat"),
    ] {
        assert!(has(&opened, file), "{file}: {opened:?}");
    }
    // Not there, looked at, refused, a link.
    for file in [
        "/etc/no-such",
        "/etc/hosts",
        "/etc/group",
        "/etc/fstab",
        "/tmp/other",
    ] {
        assert!(!has(&opened, file), "{file}: {opened:?}");
    }
    // What runs the program belongs to it.
    let loader = opened.iter().any(|file| file.contains("/ld-"));
    assert!(loader, "{opened:?}");
    assert!(opened.is_sorted(), "{opened:?}");
}

#[test]
fn other_ways_to_run_are_learnt_from_as_well() {
    let _leaks = Leaks::watch();
    let lesson = Lesson::new("ways");
    let command = ["/bin/sh", "-c", "sleep 0.2 & exit 4"];
    for options in [
        &["--as-pid-1"][..],
        &["--share", "pid"],
        &["--landlock", "off"],
    ] {
        assert_eq!(lesson.from(options, &command).code(), 4, "{options:?}");
        assert!(has(&lesson.names(false), "exit_group"), "{options:?}");
    }
    // What comes after the command's end, where something is left, is seen as well.
    let late = ["/bin/sh", "-c", "(sleep 0.5; mkdir /tmp/late) & exit 0"];
    lesson.from(&["--share", "pid"], &late).success();
    assert!(has(&lesson.names(false), "mkdir"));
    // However far it has come by then: it was executed.
    fs::remove_file(lesson.profile()).unwrap();
    let ended = lesson.from(&["--time", "0.3"], &["/bin/sleep", "60"]);
    assert_eq!(ended.code(), 137, "{ended:?}");
    assert!(has(&lesson.names(false), "execve"));
}

/// The profile goes to standard output by itself, behind what the command says.
#[test]
fn without_a_file_it_is_standard_output() {
    let _leaks = Leaks::watch();
    let said = run(&mut crabcan(["learn", "--", "/bin/echo", "said"])).success();
    let document = said.strip_prefix("said\n").expect("the command's first");
    let document: Value = serde_json::from_str(document).unwrap();
    assert_eq!(document["defaultAction"], "SCMP_ACT_ERRNO");
}

#[test]
fn what_is_wrong_is_named_and_nothing_is_run_or_written() {
    let _leaks = Leaks::watch();
    let lesson = Lesson::new("wrong");
    let place = lesson.place.path().join("no/such");
    for option in ["--output", "--files"] {
        let mut learn = crabcan(["learn", option]);
        let outcome = run(learn.arg(&place).args(["--", "/bin/echo", "ran"]));
        let expected = format!(
            "{option} {}: No such file or directory (ENOENT)",
            place.display()
        );
        assert_eq!(outcome.failure(125), expected);
    }
    let nothing = run(&mut crabcan(["learn"]));
    assert!(nothing.failure(125).starts_with("no command given"));
    // What was learnt before is there until something else is.
    fs::write(lesson.profile(), "before").unwrap();
    let missing = lesson.from(&[], &["/no/such"]);
    assert!(missing.failure(127).contains("execute /no/such"));
    // What was not there is not there.
    assert!(!lesson.files().exists());
    assert_eq!(fs::read_to_string(lesson.profile()).unwrap(), "before");
    let help = run(&mut crabcan(["learn", "--help"])).success();
    assert!(help.contains("--files <FILE>"), "{help}");
}
