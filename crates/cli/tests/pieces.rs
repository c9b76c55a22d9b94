//! A root put together piece by piece, and what is shared with the host: each option, as an ordinary
//! user and as root.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use support::roots::{has_lower_layers, libraries, small};
use support::{Leaks, TempDir, crabcan, is_root, run, shell};

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
    temp.file("file", b"old", 0o666);
    let path = temp.text();
    let write = "echo new > /x/file || true; cat /x/file";
    let outcome = run(&mut command(&["--ro-bind", path, "/x"], write));
    assert_eq!(outcome.stdout, "old");
    assert!(outcome.stderr.contains("Read-only"), "{outcome:?}");
    assert_eq!(output(&["--bind", path, "/x"], write), "new\n");
    assert_eq!(fs::read(temp.path().join("file")).unwrap(), b"new\n");
    let absent = format!("{path}/absent");
    let options = ["--bind-try", &absent, "/x", "--ro-bind-try", path, "/y"];
    assert_eq!(output(&options, "echo /x /y/*"), "/x /y/file\n");
    let outcome = run(&mut command(&["--bind", &absent, "/x"], "true"));
    assert!(outcome.failure(125).contains(&absent), "{outcome:?}");
}

#[test]
fn devices_work_where_they_are_asked_for() {
    let _leaks = Leaks::watch();
    let script = "{ head -c 1 /d/null && echo works; } 2>/dev/null || true";
    assert_eq!(output(&["--ro-bind", "/dev/null", "/d/null"], script), "");
    for option in ["--dev-bind", "--dev-bind-try"] {
        let options = [option, "/dev/null", "/d/null"];
        assert_eq!(output(&options, script), "works\n");
    }
    let options = ["--dev-bind-try", "/dev/absent", "/d/null"];
    assert_eq!(output(&options, "echo /d/*"), "/d/*\n");
    let listing = output(
        &["--dev", "/e"],
        "ls /e; echo x > /e/null; readlink /e/stdin",
    );
    let expected = "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero";
    let names: Vec<_> = expected.split(' ').chain(["/proc/self/fd/0"]).collect();
    assert_eq!(listing.lines().collect::<Vec<_>>(), names);
}

#[test]
fn what_comes_later_covers_what_came_before() {
    let _leaks = Leaks::watch();
    let ls = |options: &[&str]| output(options, "cd /x; echo *");
    let covered = ["--dir", "/x/a", "--tmpfs", "/x", "--dir", "/x/b"];
    assert_eq!(ls(&covered), "b\n");
    let both = ["--tmpfs", "/x", "--dir", "/x/b", "--dir", "/x/a"];
    assert_eq!(ls(&both), "a b\n");
}

/// Two directories, and two for changes, open to everybody.
fn layers(name: &str) -> TempDir {
    let temp = TempDir::new(name);
    for directory in ["low", "high", "upper", "work"] {
        let path = temp.directory(directory);
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    temp.file("low/a", b"low a\n", 0o666);
    temp.file("low/b", b"low b\n", 0o666);
    temp.file("high/b", b"high b\n", 0o666);
    temp
}

#[test]
fn changes_in_an_overlay_are_thrown_away() {
    let _leaks = Leaks::watch();
    let temp = layers("overlay");
    let [low, high] = ["low", "high"].map(|name| format!("{}/{name}", temp.text()));
    let both = ["--overlay-src", &low, "--overlay-src", &high];
    let script = "cat /x/a /x/b; { echo new > /x/a; } 2>/dev/null || echo refused; cat /x/a";
    let (temporary, read_only) = (["--tmp-overlay", "/x"], ["--ro-overlay", "/x"]);
    if has_lower_layers() {
        let said = output(&[&both[..], &temporary].concat(), script);
        assert_eq!(said, "low a\nhigh b\nnew\n");
        let said = output(&[&both[..], &read_only].concat(), script);
        assert_eq!(said, "low a\nhigh b\nrefused\nlow a\n");
    } else {
        // docs/kernel-features.md: older kernels refuse several, and one needs nothing new.
        for end in [&temporary, &read_only] {
            let outcome = run(&mut command(&[&both[..], end].concat(), script));
            assert!(outcome.failure(125).contains("(EINVAL)"), "{outcome:?}");
        }
        let said = output(&[&both[..2], &temporary].concat(), script);
        assert_eq!(said, "low a\nlow b\nnew\n");
    }
    assert_eq!(fs::read(temp.path().join("low/a")).unwrap(), b"low a\n");
    let alone = ["--overlay-src", &low, "--ro-overlay", "/x"];
    let outcome = run(&mut command(&alone, "true"));
    assert!(outcome.failure(125).contains("too few"), "{outcome:?}");
    let nothing = run(&mut command(
        &["--overlay-src", &low, "--dir", "/x"],
        "true",
    ));
    let message = nothing.failure(125);
    assert!(
        message.contains("--overlay-src must be followed"),
        "{message}"
    );
}

#[test]
fn a_root_is_an_overlay_too() {
    let _leaks = Leaks::watch();
    let temp = layers("overlay-root");
    let low = format!("{}/low", temp.text());
    let mut options = vec!["--overlay-src", &low, "--tmp-overlay", "/"];
    let small = small();
    options.extend(small.iter().skip(2).map(String::as_str));
    let script = "cat /a; touch /new && ls -d /new /proc/self";
    let said = run(&mut shell(&options, script)).success();
    assert_eq!(said, "low a\n/new\n/proc/self\n");
    let mut left: Vec<_> = fs::read_dir(&low)
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["a", "b"]);
}

#[test]
fn changes_in_an_overlay_are_kept_where_it_was_said() {
    let _leaks = Leaks::watch();
    let temp = layers("overlay-kept");
    let [low, upper, work] = ["low", "upper", "work"].map(|it| format!("{}/{it}", temp.text()));
    let mut options = vec!["--overlay-src", &low, "--overlay", &upper, &work, "/x"];
    let script = "echo new > /x/a; rm /x/b; echo /x/*";
    if is_root() {
        let outcome = run(&mut command(&options, script));
        assert!(
            outcome.failure(125).contains("--userns host"),
            "{outcome:?}"
        );
        options.extend(["--userns", "host"]);
    }
    assert_eq!(output(&options, script), "/x/a\n");
    assert_eq!(fs::read(temp.path().join("upper/a")).unwrap(), b"new\n");
    assert_eq!(output(&options, "cat /x/a; echo /x/*"), "new\n/x/a\n");
    assert_eq!(fs::read(temp.path().join("low/b")).unwrap(), b"low b\n");
    // The kernel leaves a directory there that nobody may read.
    let left = temp.path().join("work/work");
    fs::set_permissions(left, fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_tmpfs_has_the_size_and_mode_that_were_said() {
    let _leaks = Leaks::watch();
    let options = ["--perms", "1770", "--size", "64K", "--tmpfs", "/t"];
    let script = "stat -c %a /t; stat -f -c '%b %S' /t";
    let said = output(&options, script);
    let (mode, size) = said.trim_end().split_once('\n').unwrap();
    assert_eq!(mode, "1770");
    let (blocks, length) = size.split_once(' ').unwrap();
    let number = |text: &str| text.parse::<u64>().unwrap();
    assert_eq!(number(blocks) * number(length), 65536);
}

#[test]
fn file_systems_of_the_kernels_are_mounted_anywhere() {
    let _leaks = Leaks::watch();
    let options = ["--proc", "/p", "--mqueue", "/q"];
    let script = "cat /p/1/comm; grep ' /q ' /proc/self/mountinfo | cut -d- -f2";
    assert_eq!(
        output(&options, script),
        "crabcan-init\n mqueue mqueue rw\n"
    );
}

#[test]
fn links_modes_and_read_only_mounts_are_made_in_their_turn() {
    let _leaks = Leaks::watch();
    let mut options = vec!["--symlink", "there", "/l", "--dir", "/d"];
    options.extend(["--chmod", "0711", "/d", "--remount-ro", "/"]);
    let script = "readlink /l; stat -c %a /d; touch /d/x 2>/dev/null || echo read-only";
    assert_eq!(output(&options, script), "there\n711\nread-only\n");
    let late = ["--remount-ro", "/", "--dir", "/late"];
    let outcome = run(&mut command(&late, "true"));
    assert!(outcome.failure(125).contains("/late"), "{outcome:?}");
}

#[test]
fn namespaces_are_shared_or_made() {
    let _leaks = Leaks::watch();
    let own = |kind: &str| {
        let link = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        link.to_str().unwrap().to_owned()
    };
    let inside = |options: &[&str], kind: &str| {
        let script = format!("readlink /proc/self/ns/{kind}");
        let said = run(shell(options, &script).current_dir("/usr")).success();
        said.trim_end().to_owned()
    };
    for kind in ["net", "pid", "ipc", "uts", "cgroup"] {
        assert_ne!(inside(&[], kind), own(kind));
        assert_eq!(inside(&["--share", kind], kind), own(kind), "{kind}");
        let other = if kind == "net" { "uts" } else { "net" };
        assert_ne!(inside(&["--share", kind], other), own(other));
    }
    assert_ne!(inside(&["--unshare", "time"], "time"), own("time"));
    let outcome = run(&mut crabcan(["--share", "mount", "--", "true"]));
    assert!(
        outcome.failure(125).contains("--share mount"),
        "{outcome:?}"
    );
}

#[test]
fn the_environment_is_what_was_said() {
    let _leaks = Leaks::watch();
    let env = |options: &[&str]| {
        let mut command = crabcan(options);
        command.current_dir("/usr").args(["--", "/usr/bin/env"]);
        command.env_clear().env("PATH", "/bin").env("SECRET", "s");
        run(&mut command).success()
    };
    assert_eq!(env(&[]), "PATH=/bin\n");
    assert_eq!(env(&["--clearenv"]), "");
    assert_eq!(env(&["--keep-env", "--unsetenv", "PATH"]), "SECRET=s\n");
    let set = ["--setenv", "A", "-1", "--setenv", "B", ""];
    assert_eq!(env(&set), "PATH=/bin\nA=-1\nB=\n");
    assert_eq!(env(&["--clearenv", "--setenv", "A", "x y"]), "A=x y\n");
}

#[test]
fn the_command_starts_where_and_as_what_was_said() {
    let _leaks = Leaks::watch();
    let options = [
        "--chdir", "/usr/bin", "--argv0", "other", "--uid", "1234", "--gid", "4321",
    ];
    let mut command = crabcan(options);
    // A shell without a script's name says what it was called.
    let script = "echo $0; pwd; id -u; id -g";
    command.args(["--", "/bin/sh", "-c", script]);
    assert_eq!(run(&mut command).success(), "other\n/usr/bin\n1234\n4321\n");
    let outcome = run(&mut crabcan(["--chdir", "/no/such", "--", "true"]));
    assert!(outcome.failure(125).contains("/no/such"), "{outcome:?}");
}

#[test]
fn nobody_makes_a_user_namespace_where_that_is_disabled() {
    let _leaks = Leaks::watch();
    let script = "unshare --user true 2>/dev/null && echo made || echo refused";
    let made = |options: &[&str]| run(shell(options, script).current_dir("/usr")).success();
    let free = ["--seccomp", "none", "--uid", "1000"];
    assert_eq!(made(&free), "made\n");
    let disabled = [&free[..], &["--disable-userns"]].concat();
    assert_eq!(made(&disabled), "refused\n");
}

#[test]
fn a_file_is_locked_while_the_sandbox_lives() {
    let _leaks = Leaks::watch();
    let temp = TempDir::new("lock");
    temp.file("ref", b"", 0o666);
    let inode = {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(temp.path().join("ref")).unwrap().ino()
    };
    let script = format!("grep -c 'POSIX.*READ.*:{inode} ' /proc/locks || true");
    let ours = |options: &[&str]| {
        let mut all = vec!["--bind", temp.text(), "/x"];
        all.extend(options);
        output(&all, &script)
    };
    assert_eq!(ours(&[]), "0\n");
    assert_eq!(ours(&["--lock-file", "/x/ref"]), "1\n");
}
