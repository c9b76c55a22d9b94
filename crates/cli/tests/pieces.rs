//! A root put together piece by piece, what is shared with the host, and the descriptors of whoever
//! calls: each option, as an ordinary user and as root.
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

use support::roots::libraries;
use support::{Leaks, TempDir, crabcan, program, run, shell};

/// An empty root with the host's programs in it.
fn small() -> Vec<String> {
    let mut options: Vec<String> = vec!["--tmpfs".into(), "/".into()];
    for directory in ["/usr", "/bin"].into_iter().chain(libraries()) {
        let target = Path::new(directory).canonicalize().unwrap();
        let text = target.to_str().unwrap();
        match target == Path::new(directory) {
            true => options.extend(["--ro-bind", directory, directory].map(String::from)),
            false => options.extend(["--symlink", text, directory].map(String::from)),
        }
    }
    options
}

/// Runs a script in such a root with more options.
#[track_caller]
fn output(options: &[&str], script: &str) -> String {
    run(&mut command(options, script)).success()
}

fn command(options: &[&str], script: &str) -> Command {
    let small = small();
    let mut all: Vec<&str> = small.iter().map(String::as_str).collect();
    all.extend(options);
    shell(&all, script)
}

/// A shell that runs crabcan with descriptors that it has opened: `$0` is crabcan.
#[track_caller]
fn with_descriptors(script: &str, arguments: &[&str]) -> String {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).arg(program());
    command.args(arguments).env_remove("RUST_LOG");
    run(&mut command).success()
}

#[test]
fn a_root_holds_its_pieces_and_nothing_else() {
    let _leaks = Leaks::watch();
    let listing = output(
        &["--dir", "/a/b", "--perms", "0700", "--dir", "/c"],
        "cd /; echo *; stat -c %a a a/b c",
    );
    let (names, modes) = listing.split_once('\n').unwrap();
    let mut expected: Vec<&str> = vec!["a", "bin", "c", "dev", "proc", "usr"];
    expected.extend(libraries().iter().map(|path| &path[1..]));
    expected.sort_unstable();
    assert_eq!(names.split(' ').collect::<Vec<_>>(), expected);
    assert_eq!(modes, "755\n755\n700\n");
}

#[test]
fn binds_are_writable_or_not_and_try_forgives_what_is_missing() {
    let _leaks = Leaks::watch();
    let temp = TempDir::new("binds");
    temp.file("in/file", b"", 0o644);
}

#[test]
fn what_comes_later_covers_what_came_before() {
    let _leaks = Leaks::watch();
    let ls = |options: &[&str]| output(options, "cd /x; echo *");
    assert_eq!(
        ls(&["--dir", "/x/a", "--tmpfs", "/x", "--dir", "/x/b"]),
        "b\n"
    );
    assert_eq!(
        ls(&["--tmpfs", "/x", "--dir", "/x/b", "--dir", "/x/a"]),
        "a b\n"
    );
}
