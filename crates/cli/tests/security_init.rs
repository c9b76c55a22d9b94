//! Where init's own program is: in memory, or on a tmpfs of its own for those whose monitoring is
//! alarmed by programs in memory. Nobody inside can have it, and nobody can change it.
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
use std::io::{ErrorKind, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags, open};
use support::bundle::Bundle;
use support::running::Running;
use support::{Leaks, crabcan, run};

const MEMORY: &str = "/memfd:crabcan-init (deleted)";
const TMPFS: &str = "/crabcan-init";

/// The sandbox' first process, while its command waits for a line.
fn sandbox(place: &str, options: &[&str]) -> (Running, u32) {
    let mut command = crabcan(options);
    command.args(["--", "/bin/sh", "-c", "echo ready; read line"]);
    let running = Running::start(command.env("CRABCAN_INIT", place));
    assert_eq!(running.line(), "ready");
    let children = format!("/proc/{0}/task/{0}/children", running.pid());
    let children = fs::read_to_string(children).unwrap();
    (running, children.trim().parse().unwrap())
}

fn writing(path: &str) -> std::io::Result<fs::File> {
    fs::OpenOptions::new().write(true).open(path)
}

#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn init_is_where_it_was_asked_to_be_and_cannot_be_written() {
    let _leaks = Leaks::watch();
    for (place, path) in [("", MEMORY), ("memfd", MEMORY), ("tmpfs", TMPFS)] {
        for (options, mode) in [(&[][..], 0o111), (&["--userns", "host"], 0o555)] {
            let (mut running, init) = sandbox(place, options);
            let link = format!("/proc/{init}/exe");
            assert_eq!(fs::read_link(&link).unwrap().to_str(), Some(path));
            let data = fs::metadata(&link).unwrap();
            let hidden = place == "tmpfs" || mode == 0o111;
            assert!(!hidden || data.mode() & 0o777 == mode, "{:o}", data.mode());
            assert_eq!(data.nlink(), u64::from(place == "tmpfs"));
            let busy = writing(&link).unwrap_err();
            assert_eq!(busy.kind(), ErrorKind::ExecutableFileBusy, "{busy}");
            // Held open from outside, it outlives init: then it is sealed, or read-only.
            let descriptor = open(link.as_str(), OFlags::PATH, Mode::empty()).unwrap();
            let held = format!("/proc/self/fd/{}", descriptor.as_raw_fd());
            // Nobody can get at it by a path.
            let mounts = fs::read_to_string(format!("/proc/{init}/mountinfo")).unwrap();
            assert!(!mounts.contains("crabcan"), "{mounts}");
            running.say("end");
            assert!(running.finish().success());
            let refused = match writing(&held) {
                Ok(mut file) => file.write(b"x").unwrap_err(),
                Err(error) => error,
            };
            let expected = match place {
                "tmpfs" => ErrorKind::ReadOnlyFilesystem,
                _ => ErrorKind::PermissionDenied,
            };
            assert_eq!(refused.kind(), expected, "{place}: {refused}");
        }
    }
}

/// What executes beside a container and what makes one go on working, from a tmpfs too.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn containers_run_with_init_on_a_tmpfs() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new("tmpfs", "exec sleep 600");
    let on_tmpfs = |words: &str| -> Command {
        let mut command = bundle.command(words.split(' '));
        command.env("CRABCAN_INIT", "tmpfs");
        command
    };
    let mut create = on_tmpfs("create one");
    create.stdin(Stdio::null()).stdout(Stdio::null());
    assert!(create.status().unwrap().success());
    let pid = bundle.state("one")["pid"].as_u64().unwrap();
    let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap();
    assert_eq!(exe.to_str(), Some(TMPFS));
    run(&mut on_tmpfs("start one")).success();
    let inside = "exec one /bin/cat /proc/self/comm";
    assert_eq!(run(&mut on_tmpfs(inside)).success(), "cat\n");
    bundle.run("delete --force one").success();
}

#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn an_ordinary_user_is_told_that_the_tmpfs_is_roots() {
    use std::os::unix::process::CommandExt;
    let _leaks = Leaks::watch();
    let directory = support::TempDir::new("ordinary");
    let copy = directory.path().join("crabcan");
    fs::copy(support::program(), &copy).unwrap();
    fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new(copy);
    command
        .args(["--", "/bin/true"])
        .env("CRABCAN_INIT", "tmpfs");
    let outcome = run(command.uid(61234).gid(61234).current_dir("/"));
    let message = outcome.failure(125);
    let expected = "put crabcan-init on a tmpfs of its own: Operation not permitted (EPERM)";
    assert!(message.ends_with(expected), "{message}");
    assert!(outcome.stderr.contains("hint: "), "{outcome:?}");
    let mut command = crabcan(["--", "/bin/true"]);
    let outcome = run(command.env("CRABCAN_INIT", "floppy"));
    assert!(outcome.failure(125).contains("CRABCAN_INIT floppy"));
}
