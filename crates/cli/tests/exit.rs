//! How crabcan ends: as its command did, or with 125, 126 or 127 when it could not run that.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::io::Read;
use std::process::Stdio;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use support::{Leaks, TempDir, crabcan, run, run_with_input, shell};

/// Both ways of running a command: below the reaper, and as process 1 itself.
const FORMS: [&[&str]; 2] = [&[], &["--as-pid-1"]];

#[test]
fn the_code_is_the_commands_own() {
    let _leaks = Leaks::watch();
    for form in FORMS {
        for code in [0, 1, 7, 124, 255] {
            let outcome = run(&mut shell(form, &format!("exit {code}")));
            assert_eq!(outcome.code(), code, "{form:?} {outcome:?}");
            assert_eq!(outcome.stderr, "", "crabcan has nothing to add");
        }
    }
}

/// Defect 5 of the tutorial: the result of the wait was thrown away.
#[test]
fn a_failed_command_is_no_success() {
    let _leaks = Leaks::watch();
    assert_eq!(run(&mut crabcan(["--", "false"])).code(), 1);
    let outcome = run(&mut crabcan(["--command", "false"]));
    assert_eq!(outcome.code(), 1, "{outcome:?}");
}

#[test]
fn a_signal_is_told_by_128_and_its_number() {
    let _leaks = Leaks::watch();
    for (signal, code) in [("KILL", 137), ("TERM", 143), ("HUP", 129), ("INT", 130)] {
        let outcome = run(&mut shell(&[], &format!("kill -{signal} $$; exit 3")));
        assert_eq!(outcome.code(), code, "{signal}: {outcome:?}");
        assert_eq!(outcome.stderr, "");
    }
}

#[test]
fn the_end_of_a_grandchild_is_not_the_commands() {
    let _leaks = Leaks::watch();
    // The orphan ends first, and init reaps it without taking it for the command.
    let script = "(sh -c 'exit 9' & exit 0); sleep 0.2; exit 4";
    assert_eq!(run(&mut shell(&[], script)).code(), 4);
    // What the command leaves running ends with it.
    assert_eq!(run(&mut shell(&[], "sleep 600 & exit 5")).code(), 5);
}

#[test]
fn output_and_input_are_handed_through_untouched() {
    let _leaks = Leaks::watch();
    let outcome = run(&mut shell(&[], r"printf '\000\377\r\nabc'"));
    assert_eq!(outcome.bytes, b"\0\xff\r\nabc");
    let bytes: Vec<u8> = (0..1_000_000u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let outcome = run_with_input(&mut crabcan(["--", "cat"]), &bytes);
    assert!(
        outcome.bytes == bytes,
        "{} bytes came back",
        outcome.bytes.len()
    );
    assert_eq!(outcome.stderr, "");
    let outcome = run(&mut shell(&[], "echo wrong >&2; echo right"));
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.as_str()),
        ("right\n", "wrong\n")
    );
}

#[test]
fn crabcans_own_failure_is_125() {
    let _leaks = Leaks::watch();
    for form in FORMS {
        let mut command = crabcan(form);
        let outcome = run(command.args(["--mount", "/no/such/directory", "--", "true"]));
        let message = outcome.failure(125);
        assert!(message.contains("/no/such/directory"), "{message}");
        assert!(message.contains("(ENOENT)"), "{message}");
    }
}

#[test]
fn what_is_not_there_is_127() {
    let _leaks = Leaks::watch();
    for form in FORMS {
        for program in ["/no/such/program", "no-such-program", "/etc/passwd/x"] {
            let mut command = crabcan(form);
            let outcome = run(command.args(["--", program]));
            let message = outcome.failure(127);
            assert!(message.contains(program), "{message}");
            assert!(!message.contains("interpreter"), "{message}");
        }
    }
}

#[test]
fn what_can_not_be_executed_is_126() {
    let _leaks = Leaks::watch();
    for form in FORMS {
        for program in ["/usr", "/etc/passwd"] {
            let mut command = crabcan(form);
            let outcome = run(command.args(["--", program]));
            let message = outcome.failure(126);
            assert!(message.contains(program), "{message}");
            assert!(message.contains("(EACCES)"), "{message}");
        }
    }
}

#[test]
fn a_file_of_no_known_format_is_126() {
    let _leaks = Leaks::watch();
    let directory = TempDir::new("format");
    directory.file("garbage", b"\x00\x01\x02", 0o755);
    let add = format!("{}:/tmp/x", directory.text());
    let outcome = run(&mut crabcan(["--add", &add, "--", "/tmp/x/garbage"]));
    let message = outcome.failure(126);
    assert!(message.contains("(ENOEXEC)"), "{message}");
}

#[test]
fn a_missing_interpreter_is_named_as_such() {
    let _leaks = Leaks::watch();
    let directory = TempDir::new("interpreter");
    directory.file("script", b"#!/no/such/interpreter\n", 0o755);
    directory.file(
        "program",
        &elf_with_interpreter(b"/no/such/loader\0"),
        0o755,
    );
    let add = format!("{}:/tmp/x", directory.text());
    for form in FORMS {
        for program in ["/tmp/x/script", "/tmp/x/program"] {
            let mut command = crabcan(form);
            let outcome = run(command.args(["--add", &add, "--", program]));
            let message = outcome.failure(126);
            assert!(message.contains(program), "{message}");
            assert!(message.contains("interpreter"), "{message}");
            assert!(outcome.stderr.contains("\nhint: "), "{outcome:?}");
        }
    }
}

#[test]
fn a_name_is_looked_for_in_the_callers_path() {
    let _leaks = Leaks::watch();
    let directory = TempDir::new("path");
    directory.directory("first");
    directory.directory("second");
    // The first of this name can't be executed: as with execvp(3), the search goes on.
    directory.file("first/tool", b"#!/bin/sh\necho first\n", 0o644);
    directory.file("second/tool", b"#!/bin/sh\necho second\n", 0o755);
    let add = format!("{}:/tmp/x", directory.text());
    let path = "/no/such:/tmp/x/first:/tmp/x/second:/usr/bin:/bin";
    let outcome = run(crabcan(["--add", &add, "--", "tool"]).env("PATH", path));
    assert_eq!(outcome.success(), "second\n");
    // And where it stays at that, the file that is there decides, not the one that isn't.
    let path = "/no/such:/tmp/x/first:/nowhere";
    let outcome = run(crabcan(["--add", &add, "--", "tool"]).env("PATH", path));
    let message = outcome.failure(126);
    assert!(message.contains("tool"), "{message}");
}

/// The smallest program that names a dynamic loader.
fn elf_with_interpreter(interpreter: &[u8]) -> Vec<u8> {
    let machine: u16 = if cfg!(target_arch = "aarch64") {
        183
    } else {
        62
    };
    let (header, program_header) = (64u64, 56u64);
    let start = header + program_header;
    let length = interpreter.len() as u64;
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    // An executable, with one program header directly behind this one.
    bytes.extend([2u16.to_le_bytes(), machine.to_le_bytes()].concat());
    bytes.extend(1u32.to_le_bytes());
    bytes.extend([0x40_0000u64, header, 0].map(u64::to_le_bytes).concat());
    bytes.extend(0u32.to_le_bytes());
    bytes.extend([64u16, 56, 1, 0, 0, 0].map(u16::to_le_bytes).concat());
    // PT_INTERP, readable.
    bytes.extend([3u32, 4].map(u32::to_le_bytes).concat());
    bytes.extend(
        [start, 0, 0, length, length, 1]
            .map(u64::to_le_bytes)
            .concat(),
    );
    bytes.extend(interpreter);
    bytes
}

/// In every form, and by bubblewrap's options where it was asked for.
#[test]
fn a_sandbox_ends_with_a_crabcan_that_is_killed() {
    let _leaks = Leaks::watch();
    let bwrap = "bwrap --as-pid-1 --unshare-pid --die-with-parent --ro-bind / / --proc /proc";
    let bwrap: Vec<&str> = bwrap.split(' ').collect();
    for form in [
        &[][..],
        &["--as-pid-1"],
        &["--as-pid-1", "--die-with-parent"],
        &bwrap[..],
    ] {
        let mut command = shell(form, "echo up; sleep 600 & exec sleep 600");
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        let mut up = [0; 3];
        output.read_exact(&mut up).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        // Nobody can write to it any more.
        let mut ends = [PollFd::new(&output, PollFlags::empty())];
        let patience = Timespec {
            tv_sec: 10,
            tv_nsec: 0,
        };
        assert_eq!(poll(&mut ends, Some(&patience)), Ok(1), "{form:?}");
        assert_eq!(output.read(&mut up).unwrap(), 0);
    }
}
