//! Bad input, and callers in odd states: one clear line, perhaps a hint, never a panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use support::{Leaks, TempDir, crabcan, is_root, lacks, program, run};

/// Runs crabcan with words that it must refuse, and looks for what it has to say.
#[track_caller]
fn refused(words: &[&str], told: &[&str]) -> String {
    let outcome = run(crabcan(words).current_dir("/usr"));
    let message = outcome.failure(125);
    for part in told {
        assert!(
            message.contains(part),
            "{words:?}: no {part:?} in {message}"
        );
    }
    outcome.stderr
}

#[test]
fn a_root_that_is_none() {
    let _leaks = Leaks::watch();
    refused(&["-m", "/no/such", "--", "true"], &["/no/such", "(ENOENT)"]);
    refused(
        &["-m", "/etc/passwd", "--", "true"],
        &["/etc/passwd", "not a directory"],
    );
    refused(
        &["-m", "/etc/passwd/x", "--", "true"],
        &["/etc/passwd/x", "(ENOTDIR)"],
    );
    refused(&["--mount=", "--", "true"], &["--mount"]);
    refused(&["--mount"], &["--mount"]);
}

#[test]
fn a_command_that_is_none() {
    let _leaks = Leaks::watch();
    refused(&["--command", ""], &["--command is empty"]);
    refused(&["--command", " \t "], &["--command is empty"]);
    refused(&["--command", "echo 'open"], &["echo 'open", "quote"]);
    refused(&["--command", "echo \"open"], &["quote"]);
    refused(&["--command", "''"], &["name is empty"]);
    refused(&["--command"], &["--command"]);
    refused(&["--", ""], &["name is empty"]);
    refused(&["--"], &["no command"]);
    refused(&[], &["no command"]);
    refused(&["explain"], &["no command"]);
    refused(&["--debug"], &["no command"]);
    refused(&["--command", "true", "--", "true"], &["--command"]);
}

/// The first word that is neither an option nor an option's value is a command of crabcan's.
#[test]
fn a_word_that_is_no_command() {
    let _leaks = Leaks::watch();
    for words in [
        &["frobnicate"][..],
        &["--debug", "frobnicate"],
        &["frobnicate", "--", "true"],
        &["--uid", "0", "frobnicate"],
        &["-du", "0", "frobnicate", "-x"],
        &["--hostname=x", "frobnicate"],
    ] {
        let stderr = refused(words, &["frobnicate", "command"]);
        assert!(stderr.contains("\nhint: "), "{stderr}");
    }
    refused(&["/bin/true"], &["/bin/true", "command"]);
    // A value, and what stands behind the dashes, is none.
    let outcome = run(&mut crabcan(["--hostname", "explain", "--", "uname", "-n"]));
    assert_eq!(outcome.success(), "explain\n");
}

#[test]
fn options_that_are_none() {
    let _leaks = Leaks::watch();
    for words in [&["--frobnicate", "--", "true"][..], &["-Z", "--", "true"]] {
        let stderr = refused(words, &[words[0]]);
        assert!(stderr.contains("\nhint: "), "{stderr}");
    }
    refused(&["--userns", "mars", "--", "true"], &["mars"]);
    refused(&["-m", "/a", "-m", "/b", "--", "true"], &["--mount"]);
    refused(&["--debug=yes", "--", "true"], &["--debug"]);
}

#[test]
fn ids_that_are_none() {
    let _leaks = Leaks::watch();
    for uid in [
        "4294967295",
        "4294967296",
        "99999999999999999999",
        "-1",
        "root",
        "0x0",
        "",
        "1 ",
    ] {
        refused(&[&format!("--uid={uid}"), "--", "true"], &["--uid"]);
    }
    refused(&["-u", "-1", "--", "true"], &["-1"]);
}

/// As the README and `--help` show it.
#[test]
fn a_relative_source_begins_at_the_working_directory() {
    let _leaks = Leaks::watch();
    let directory = TempDir::new("relative");
    directory.file("note", b"here\n", 0o644);
    for (add, name) in [
        ("note:/tmp/note", "/tmp/note"),
        ("./:/tmp/all", "/tmp/all/note"),
    ] {
        let mut command = crabcan(["--add", add, "--", "cat", name]);
        command.current_dir(directory.path());
        assert_eq!(run(&mut command).success(), "here\n", "{add}");
    }
}

#[test]
fn additions_that_are_none() {
    let _leaks = Leaks::watch();
    for pair in ["/etc", ":/x", "/etc:", ":", "", "::"] {
        refused(&["--add", pair, "--", "true"], &["--add", "SRC:DST"]);
    }
    refused(
        &["-a", "/etc:tmp/x", "--", "true"],
        &["/etc:tmp/x", "absolute"],
    );
    refused(&["-a", "/etc:./x", "--", "true"], &["absolute"]);
    for destination in ["/../x", "/tmp/../x", "/tmp/..", "/.."] {
        let pair = format!("/etc:{destination}");
        refused(&["-a", &pair, "--", "true"], &[destination, "\"..\""]);
    }
    refused(&["-a", "/etc:/", "--", "true"], &["/etc:/", "root"]);
    refused(&["-a", "/etc:/.", "--", "true"], &["root"]);
    refused(
        &["-a", "/no/such:/tmp/x", "--", "true"],
        &["/no/such", "(ENOENT)"],
    );
    refused(
        &["-a", "/etc/passwd/x:/tmp/x", "--", "true"],
        &["(ENOTDIR)"],
    );
    // Of the test's own: the host's root may be a file system that can't be id-mapped.
    let source = TempDir::new("additions");
    let file = source.file("file", b"", 0o666);
    let to = |source: &Path, destination: &str| format!("{}:{destination}", source.display());
    // The host's root is not changed to make room.
    let pair = to(source.path(), "/no-such-place");
    let told = ["/no-such-place", "(EROFS)"];
    let stderr = refused(&["-a", &pair, "--", "true"], &told);
    assert!(stderr.contains("\nhint: "), "{stderr}");
    assert!(fs::symlink_metadata("/no-such-place").is_err());
    // A file on a directory and the other way round.
    refused(&["-a", &to(&file, "/usr"), "--", "true"], &["/usr"]);
    let pair = to(source.path(), "/usr/bin/env");
    refused(&["-a", &pair, "--", "true"], &["/usr/bin/env"]);
}

#[test]
fn host_names_that_are_none() {
    let _leaks = Leaks::watch();
    refused(
        &["--hostname", &"x".repeat(65), "--", "true"],
        &["hostname", "64"],
    );
    let name = "x".repeat(64);
    let outcome = run(&mut crabcan(["--hostname", &name, "--", "uname", "-n"]));
    assert_eq!(outcome.success().trim_end(), name);
}

#[test]
fn a_message_is_one_line_whatever_is_in_it() {
    let _leaks = Leaks::watch();
    refused(&["-m", "/no\n\nhint: such", "--", "true"], &["/no"]);
    refused(&["-a", "/no\nsuch:/tmp/x", "--", "true"], &["/no"]);
    refused(&["fro\nb", "--", "true"], &["no command"]);
    refused(&["--fro\n\nb", "--", "true"], &["--fro"]);
    let outcome = run(&mut crabcan(["--", "/no\nsuch"]));
    outcome.failure(127);
}

#[test]
fn names_need_not_be_utf_8() {
    let _leaks = Leaks::watch();
    let directory = TempDir::new("bytes");
    let odd = OsStr::from_bytes(b"odd \xff\x80 name");
    let path = directory.path().join(odd);
    fs::create_dir(&path).unwrap();
    fs::write(path.join(odd), b"text\n").unwrap();
    let destination = Path::new("/tmp").join(odd);
    let mut pair = path.as_os_str().to_owned();
    pair.push(":");
    pair.push(&destination);
    let mut command = crabcan([OsStr::new("--add"), &pair]);
    command.args(["--", "cat"]).arg(destination.join(odd));
    assert_eq!(run(&mut command).success(), "text\n");
    // As a whole command, and as a root: nothing in it can be run, but it is one.
    let mut command = crabcan(["--command"]);
    let outcome = run(command.arg(OsStr::from_bytes(b"printf %s \xff\xfe")));
    assert_eq!(outcome.bytes, b"\xff\xfe");
    let outcome = run(crabcan([OsStr::new("--mount"), path.as_os_str()]).args(["--", "/x"]));
    outcome.failure(127);
    // Where text is needed, that is said.
    for option in ["--uid", "--hostname", "--userns"] {
        let mut command = crabcan([option]);
        let outcome = run(command.arg(odd).args(["--", "true"]));
        outcome.failure(125);
    }
    let outcome = run(&mut crabcan([odd]));
    assert!(outcome.failure(125).contains("command"));
}

#[test]
fn user_namespaces_that_are_switched_off() {
    let _leaks = Leaks::watch();
    if Command::new("unshare").arg("--version").output().is_err() {
        return lacks("unshare (package util-linux)");
    }
    // In a user namespace of its own the sysctl is the test's. As root of that, without
    // capabilities, crabcan is in the place of an ordinary user.
    let off = "echo 0 > /proc/sys/user/max_user_namespaces";
    for rights in ["setpriv --bounding-set -all", ""] {
        let script = format!("{off} && exec {rights} \"$0\" -- true");
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", &script]);
        let outcome = run(command.arg(program()));
        let message = outcome.failure(125);
        if !rights.is_empty() {
            assert!(message.contains("(ENOSPC)"), "{outcome:?}");
            assert!(
                outcome.stderr.contains("user.max_user_namespaces"),
                "{outcome:?}"
            );
        }
    }
}

#[test]
fn the_hosts_users_are_for_root_only() {
    let _leaks = Leaks::watch();
    if !is_root() {
        refused(&["--userns", "host", "--", "true"], &[]);
    }
}

/// Runs a line of shell whose `$0` is crabcan.
fn caller(script: &str) -> support::Outcome {
    let mut command = Command::new("bash");
    command.args(["-c", script]).arg(program());
    run(command.current_dir("/usr"))
}

#[test]
fn closed_descriptors() {
    let _leaks = Leaks::watch();
    for closed in ["<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"] {
        let outcome = caller(&format!("exec \"$0\" -- sh -c 'exit 3' {closed}"));
        assert_eq!(outcome.code(), 3, "{closed}: {outcome:?}");
        assert_eq!(
            (outcome.stdout.as_str(), outcome.stderr.as_str()),
            ("", ""),
            "{closed}"
        );
        let outcome = caller(&format!("exec \"$0\" --mount /no/such -- true {closed}"));
        assert_eq!(outcome.code(), 125, "{closed}: {outcome:?}");
        let told = u8::from(outcome.stderr.contains("/no/such"));
        assert_eq!(
            told,
            u8::from(!closed.contains("2>&-")),
            "{closed}: {outcome:?}"
        );
    }
    // What is written to nobody is no container's channel.
    let outcome = caller("exec \"$0\" --debug -- echo x 2>&- >&-");
    assert_eq!(outcome.code(), 0, "{outcome:?}");
}

#[test]
fn output_that_can_not_be_written() {
    let _leaks = Leaks::watch();
    let outcome = caller("exec \"$0\" explain -- true > /dev/full");
    assert!(outcome.failure(125).contains("(ENOSPC)"), "{outcome:?}");
    let outcome = caller("exec \"$0\" --mount /no/such -- true 2> /dev/full");
    assert_eq!(outcome.code(), 125, "{outcome:?}");
    let outcome = caller("exec \"$0\" --debug -- true 2> /dev/full");
    assert_eq!(outcome.code(), 0, "{outcome:?}");
}

#[test]
fn callers_in_odd_states() {
    let _leaks = Leaks::watch();
    for state in [
        "umask 777",
        "ulimit -n 32",
        "trap '' CHLD",
        "trap '' PIPE HUP INT TERM",
        // Nearly all of it is the parser of a build without optimization.
        "ulimit -s 384",
        "unset PATH HOME",
        "export HOME=relative",
        "export HOME=",
        "export HOME=/no/such/home",
        "export HOME=/",
        "export HOME=/usr/../usr/bin",
        "export TMPDIR=/no/such",
    ] {
        for form in ["", "--as-pid-1"] {
            let inside = "/bin/sh -c ': > /dev/null; exit 7'";
            let outcome = caller(&format!("{state}; exec \"$0\" {form} -- {inside}"));
            assert_eq!(outcome.code(), 7, "{state}: {outcome:?}");
            assert_eq!(outcome.stderr, "", "{state}");
        }
    }
}

#[test]
fn a_working_directory_that_is_gone() {
    let _leaks = Leaks::watch();
    let directory = TempDir::new("gone");
    let path = directory.directory("gone");
    let script = format!(
        "cd {} && rmdir ../gone && exec \"$0\" -- pwd",
        path.display()
    );
    let outcome = caller(&script);
    assert_eq!(outcome.success(), "/\n");
}

#[test]
fn long_lines_of_arguments() {
    let _leaks = Leaks::watch();
    let mut command = crabcan(["--", "/bin/sh", "-c", "echo $#"]);
    command.args((0..20_000).map(|number| format!("argument-{number}")));
    assert_eq!(run(&mut command).success(), "19999\n");
    let long = "x".repeat(100_000);
    let outcome = run(&mut crabcan(["--", "printf", "%s", &long]));
    assert_eq!(outcome.success(), long);
}

#[test]
fn questions_are_answered() {
    let _leaks = Leaks::watch();
    let help = run(&mut crabcan(["--help"])).success();
    assert!(help.contains("crabcan [OPTIONS] -- CMD"), "{help}");
    assert!(
        run(&mut crabcan(["--version"]))
            .success()
            .starts_with("crabcan ")
    );
    assert!(run(&mut crabcan(["explain", "--help"])).code() == 0);
}
