//! The filter of system calls: what a command in a sandbox may not call, and profiles of one's own.
#![allow(
    unsafe_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking, the caller says what it found, and makes raw calls"
)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;

use nix::errno::Errno;
use support::{Leaks, Outcome, TempDir, crabcan, run, shell};

/// Makes this test a program that makes raw system calls. (`LC_*` is handed on.)
const CALLS: &str = "LC_CRABCAN_CALLS";

/// Each call as `NUMBER,ARGUMENT…`; says the errno of each.
#[test]
fn caller() {
    let Some(calls) = std::env::var_os(CALLS) else {
        return;
    };
    for call in calls.to_str().unwrap().split(' ') {
        let words: Vec<i64> = call.split(',').map(|word| word.parse().unwrap()).collect();
        let arg = |index: usize| words.get(index).copied().unwrap_or(0);
        // SAFETY: all addresses among the arguments are zero, which the kernel refuses.
        let answer =
            unsafe { libc::syscall(arg(0), arg(1), arg(2), arg(3), arg(4), arg(5), arg(6)) };
        match answer {
            -1 => println!("errno {}", Errno::last_raw()),
            _ => println!("errno 0"),
        }
    }
}

/// The errno of each of these calls in a sandbox with these options.
#[track_caller]
fn errnos(options: &[&str], calls: &[&[i64]]) -> Vec<Errno> {
    let own = std::env::current_exe().unwrap();
    let mut command = crabcan(options);
    command
        .arg("--add")
        .arg(format!("{}:/tmp/caller", own.display()))
        .args(["--", "/tmp/caller", "--exact", "caller", "--nocapture"]);
    let words: Vec<String> = calls
        .iter()
        .map(|call| {
            call.iter()
                .map(i64::to_string)
                .collect::<Vec<_>>()
                .join(",")
        })
        .collect();
    command.env(CALLS, words.join(" ")).current_dir("/usr");
    let output = run(&mut command).success();
    let found: Vec<Errno> = output
        .lines()
        .filter_map(|line| line.strip_prefix("errno "))
        .map(|number| Errno::from_raw(number.parse().unwrap()))
        .collect();
    assert_eq!(found.len(), calls.len(), "{output}");
    found
}

const TIOCSTI: i64 = libc::TIOCSTI as i64;
const TIOCLINUX: i64 = libc::TIOCLINUX as i64;
/// The kernel looks at the lower half of an ioctl's request.
const UPPER: i64 = 1 << 32;
const NEW_USER: i64 = libc::CLONE_NEWUSER as i64;

#[test]
fn what_the_default_filter_refuses() {
    let _leaks = Leaks::watch();
    // Descriptor 99 is none: where the filter let them through, these would be EBADF.
    let mut refused: Vec<Vec<i64>> = Vec::new();
    for request in [TIOCSTI, TIOCLINUX] {
        for upper in [0, UPPER, -1 << 32] {
            refused.push(vec![libc::SYS_ioctl, 99, request | upper]);
        }
    }
    refused.push(vec![libc::SYS_unshare, NEW_USER]);
    refused.push(vec![libc::SYS_unshare, libc::CLONE_NEWNS.into()]);
    refused.push(vec![libc::SYS_clone, NEW_USER | 17]);
    refused.push(vec![libc::SYS_setns, 99]);
    // The mount API: open_tree … fspick, mount_setattr, and what there is of the old one.
    refused.extend((428..=433).chain([442]).map(|number| vec![number]));
    for number in [
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_bpf,
        libc::SYS_io_uring_setup,
        libc::SYS_userfaultfd,
        libc::SYS_perf_event_open,
        libc::SYS_ptrace,
    ] {
        refused.push(vec![number]);
    }
    let calls: Vec<&[i64]> = refused.iter().map(Vec::as_slice).collect();
    for (call, errno) in calls.iter().zip(errnos(&["--uid", "0"], &calls)) {
        assert_eq!(errno, Errno::EPERM, "{call:?}");
    }
    // clone3, and a call that there is not yet.
    let newer = errnos(&[], &[&[435], &[999]]);
    assert_eq!(newer, [Errno::ENOSYS; 2]);
}

#[test]
fn what_the_default_filter_lets_through() {
    let _leaks = Leaks::watch();
    let let_through = errnos(
        &[],
        &[
            // TIOCGWINSZ, FIONREAD: near TIOCSTI, which a mask of its bits would hit.
            &[libc::SYS_ioctl, 99, 0x5413],
            &[libc::SYS_ioctl, 99, 0x541b],
            &[libc::SYS_unshare, 0],
            &[libc::SYS_fchmod, 99, 0o4755],
        ],
    );
    let none = Errno::from_raw(0);
    assert_eq!(
        let_through,
        [Errno::EBADF, Errno::EBADF, none, Errno::EBADF]
    );
}

#[test]
fn without_a_filter_the_kernel_answers() {
    let _leaks = Leaks::watch();
    let answers = errnos(
        &["--seccomp", "none", "--uid", "1000"],
        &[
            &[libc::SYS_ioctl, 99, TIOCSTI],
            // clone3 with no arguments at all.
            &[435],
            // open_tree with flags that there are not.
            &[428, -1, 0, -1],
        ],
    );
    assert_eq!(answers, [Errno::EBADF, Errno::EINVAL, Errno::EINVAL]);
    let seccomp =
        run(shell(&["--seccomp", "none"], "grep ^Seccomp: /proc/self/status").current_dir("/usr"));
    let outer = fs::read_to_string("/proc/self/status").unwrap();
    let outer = outer.lines().find(|line| line.starts_with("Seccomp:"));
    assert_eq!(seccomp.success().trim(), outer.unwrap());
}

/// The tutorial's step 13, as it was meant (defects 18 and 19).
#[test]
fn the_tutorials_rules_are_what_they_were_meant_to_be() {
    let _leaks = Leaks::watch();
    let answers = errnos(
        &["--seccomp", "tutorial", "--uid", "0"],
        &[
            &[libc::SYS_fchmod, 99, 0o4755],
            &[libc::SYS_fchmod, 99, 0o2755],
            // fchmodat2 came later.
            &[452, -1, 0, 0o4755],
            &[libc::SYS_unshare, NEW_USER],
            &[libc::SYS_clone, NEW_USER | 17],
            &[libc::SYS_ioctl, 99, TIOCSTI],
            &[libc::SYS_ioctl, 99, TIOCSTI | UPPER],
            &[libc::SYS_keyctl],
            &[libc::SYS_mbind],
            &[libc::SYS_userfaultfd],
            &[libc::SYS_perf_event_open],
        ],
    );
    assert_eq!(answers, [Errno::EPERM; 11]);
    let others = errnos(
        &["--seccomp", "tutorial"],
        &[
            &[libc::SYS_fchmod, 99, 0o1777],
            &[libc::SYS_ioctl, 99, 0x5413],
            &[libc::SYS_ioctl, 99, 0x541b],
            &[435],
        ],
    );
    let through = Errno::EBADF;
    assert_eq!(others, [through, through, through, Errno::ENOSYS]);
}

/// The command as process 1 is filtered just so, and the reaper is not.
#[test]
fn the_command_is_filtered_and_init_is_not() {
    let _leaks = Leaks::watch();
    let status = |options: &[&str], process| {
        let script = format!("grep ^Seccomp: /proc/{process}/status");
        run(shell(options, &script).current_dir("/usr")).success()
    };
    assert_eq!(status(&[], "$$"), "Seccomp:\t2\n");
    assert_eq!(status(&["--as-pid-1"], "1"), "Seccomp:\t2\n");
    let outer = run(std::process::Command::new("grep").args(["^Seccomp:", "/proc/self/status"]));
    assert_eq!(status(&[], "1"), outer.success());
}

fn with_profile(directory: &TempDir, text: &str, script: &str) -> Outcome {
    let file = directory.file("profile.json", text.as_bytes(), 0o644);
    let mut command = shell(&["--seccomp", file.to_str().unwrap()], script);
    run(command.current_dir("/usr"))
}

#[test]
fn a_profile_of_ones_own() {
    let _leaks = Leaks::watch();
    let directory = TempDir::new("profile");
    // The errno of the rule, and one that is meant for who has a capability (nobody here).
    let text = r#"{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 18 },
        { "names": ["uname"], "action": "SCMP_ACT_ERRNO",
          "includes": { "caps": ["CAP_SYS_ADMIN"] } } ] }"#;
    let outcome = with_profile(&directory, text, "mkdir /tmp/x; uname -s");
    assert_eq!(outcome.stdout, "Linux\n", "{outcome:?}");
    assert!(outcome.stderr.contains("cross-device"), "{outcome:?}");
    let kills = r#"{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        { "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_KILL_PROCESS" } ] }"#;
    let outcome = with_profile(&directory, kills, "exec mkdir /tmp/x");
    assert_eq!(outcome.code(), 128 + libc::SIGSYS, "{outcome:?}");
    assert!(
        outcome.stderr.contains("filter of system calls"),
        "{outcome:?}"
    );
}

#[test]
fn what_is_wrong_with_a_profile_is_named() {
    let _leaks = Leaks::watch();
    let directory = TempDir::new("wrong");
    let rule = |fields: &str| {
        format!(r#"{{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [ {{ {fields} }} ] }}"#)
    };
    let cases = [
        ("{".to_owned(), "EOF"),
        (r#"{ "defaultAction": 7 }"#.to_owned(), "defaultAction"),
        (
            r#"{ "syscalls": [] }"#.to_owned(),
            "defaultAction: is missing",
        ),
        (
            rule(r#""names": ["read"], "action": "ALLOW""#),
            "syscalls[0].action",
        ),
        (
            rule(r#""names": [], "action": "SCMP_ACT_KILL""#),
            "syscalls[0].names",
        ),
        (
            rule(
                r#""names": ["read"], "action": "SCMP_ACT_KILL",
                   "args": [{ "index": 6, "value": 0, "op": "SCMP_CMP_EQ" }]"#,
            ),
            "syscalls[0].args[0].index",
        ),
        (
            rule(r#""names": ["raed"], "action": "SCMP_ACT_KILL""#),
            "syscalls[0].names[0]",
        ),
        (
            rule(r#""names": ["read"], "action": "SCMP_ACT_NOTIFY""#),
            "linux.seccomp.listenerPath",
        ),
        (
            rule(r#""names": ["execve"], "action": "SCMP_ACT_KILL_PROCESS""#),
            "execve",
        ),
        (
            r#"{ "defaultAction": "SCMP_ACT_KILL" }"#.to_owned(),
            "execve",
        ),
    ];
    for (text, wanted) in cases {
        let outcome = with_profile(&directory, &text, "echo executed");
        let message = outcome.failure(125);
        assert!(message.contains(wanted), "{text}: {message}");
    }
    let missing = run(&mut shell(&["--seccomp", "/no/such/profile"], "true"));
    let message = missing.failure(125);
    assert!(message.contains("/no/such/profile"), "{message}");
    assert!(message.contains("ENOENT"), "{message}");
}

/// The failure is told though the filter forbids every call that tells.
#[test]
fn a_missing_program_is_told_under_a_strict_filter() {
    let _leaks = Leaks::watch();
    let directory = TempDir::new("strict");
    let text = r#"{ "defaultAction": "SCMP_ACT_KILL_PROCESS",
        "syscalls": [{ "names": ["execve"], "action": "SCMP_ACT_ALLOW" }] }"#;
    let file = directory.file("profile.json", text.as_bytes(), 0o644);
    let mut command = crabcan([
        "--seccomp",
        file.to_str().unwrap(),
        "--",
        "/no/such/program",
    ]);
    let outcome = run(&mut command);
    let message = outcome.failure(127);
    assert!(message.starts_with("execute /no/such/program"), "{message}");
}

#[test]
fn profiles_are_explained_and_compiled() {
    let _leaks = Leaks::watch();
    let answer = |words: &[&str]| run(&mut crabcan(words)).success();
    let text = answer(&["seccomp", "explain", "default", "clone3", "clone"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("clone3 (435): errno 38"), "{text}");
    assert!(
        lines[1].contains("allow if arg0 & 0x7e020000 == 0x0, else errno 1"),
        "{text}"
    );
    let all = answer(&["seccomp", "explain", "tutorial"]);
    assert!(all.lines().count() > 250, "{all}");
    let text = answer(&["seccomp", "compile", "default"]);
    let count: usize = text.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(text.lines().count(), count + 1, "{text}");
    assert!(text.contains("return allow"), "{text}");
    let directory = TempDir::new("compiled");
    let file = directory.path().join("filter.bpf");
    answer(&[
        "seccomp",
        "compile",
        "default",
        "--output",
        file.to_str().unwrap(),
    ]);
    assert_eq!(fs::read(&file).unwrap().len(), 8 * count);
    // A link, since a name that is also a word needs a path.
    let profile = directory.file(
        "p",
        br#"{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        { "names": ["bpf"], "action": "SCMP_ACT_ERRNO", "excludes": { "caps": ["CAP_BPF"] } } ] }"#,
        0o644,
    );
    let link = directory.path().join("none");
    symlink(profile, &link).unwrap();
    let link = link.to_str().unwrap();
    let without = answer(&["seccomp", "explain", link, "bpf"]);
    assert!(without.ends_with("errno 1\n"), "{without}");
    let with = answer(&["seccomp", "explain", "--cap", "CAP_BPF", link, "bpf"]);
    assert!(with.ends_with("allow\n"), "{with}");
    let x86 = answer(&["seccomp", "explain", "--arch", "SCMP_ARCH_X86", link, "bpf"]);
    assert!(x86.starts_with("x86 bpf (357)"), "{x86}");
    for wrong in [
        ["explain", "default", "raed"],
        ["explain", "/no/such", "read"],
    ] {
        let outcome = run(crabcan(["seccomp"]).args(wrong));
        assert!(outcome.failure(125).contains(if wrong[1] == "default" {
            "raed"
        } else {
            "/no/such"
        }));
    }
}
