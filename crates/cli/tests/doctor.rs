//! What `crabcan doctor` says of hosts that were made to lack something.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it can't test"
)]

mod support;

use std::process::Command;

use support::{Leaks, Outcome, TempDir, crabcan, program, run};

/// The doctor on a host that a script has changed, with the rights of root over namespaces alone.
fn doctor_after(change: &str) -> Outcome {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "--pid", "--fork"]);
    command.args(["--mount-proc", "sh", "-c"]);
    command.arg(format!("{change}\nexec \"$0\" doctor"));
    run(command.arg(program()))
}

/// The line about something, and what is to be done.
fn about<'a>(outcome: &'a Outcome, subject: &str) -> (&'a str, Option<&'a str>) {
    let mut lines = outcome.stdout.lines();
    let line = lines
        .by_ref()
        .find(|line| line.contains(subject))
        .unwrap_or_else(|| panic!("nothing about {subject}: {outcome:?}"));
    let advice = lines
        .next()
        .and_then(|next| next.trim_start().strip_prefix("do: "));
    (line, advice)
}

#[test]
fn a_host_that_works_is_called_so() {
    let _leaks = Leaks::watch();
    let outcome = run(&mut crabcan(["doctor"]));
    assert_eq!(
        (outcome.code(), outcome.stderr.as_str()),
        (0, ""),
        "{outcome:?}"
    );
    assert_eq!(about(&outcome, "a sandbox").0, "ok       a sandbox: starts");
    assert!(about(&outcome, "kernel").0.starts_with("ok "));
    let help = run(&mut crabcan(["doctor", "--help"])).success();
    assert!(help.contains("Ends with 0"), "{help}");
    let wrong = run(&mut crabcan(["doctor", "--cure"]));
    assert!(wrong.failure(125).contains("--cure"), "{wrong:?}");
}

#[test]
fn switches_that_forbid_every_sandbox_are_named() {
    let _leaks = Leaks::watch();
    let without = doctor_after("echo 0 >/proc/sys/user/max_user_namespaces");
    assert_eq!(without.code(), 1, "{without:?}");
    let (line, advice) = about(&without, "a sandbox");
    assert!(line.starts_with("missing "), "{line}");
    let advice = advice.expect("an advice");
    assert!(
        advice.contains("sysctl user.max_user_namespaces is 0"),
        "{advice}"
    );

    // This one is root's, even in namespaces of one's own, and there since Linux 6.3.
    let is_there = std::path::Path::new("/proc/sys/vm/memfd_noexec").exists();
    if !is_there || !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let memory = doctor_after("echo 2 >/proc/sys/vm/memfd_noexec");
    assert_eq!(memory.code(), 1, "{memory:?}");
    let advice = about(&memory, "a sandbox").1.expect("an advice");
    assert!(
        advice.contains("vm.memfd_noexec must be 0 or 1"),
        "{advice}"
    );
}

/// Limits can be done without: that is no failure.
#[test]
fn a_host_without_cgroups_is_limited() {
    let _leaks = Leaks::watch();
    let outcome = doctor_after("umount -R /sys/fs/cgroup 2>/dev/null; mount -t tmpfs none /sys");
    let (line, _) = about(&outcome, "limits");
    assert!(line.starts_with("limited "), "{outcome:?}");
}

/// What can't be read is not the same as what is not there.
#[test]
fn a_file_that_can_not_be_read_is_named() {
    let _leaks = Leaks::watch();
    let outcome = doctor_after("mount -t tmpfs none /etc; mkdir /etc/subuid");
    let (line, advice) = about(&outcome, "subordinate uids");
    assert!(
        line.contains("/etc/subuid: Is a directory (EISDIR)"),
        "{outcome:?}"
    );
    assert_eq!(advice, Some("as root: chmod 644 /etc/subuid"));
}

/// Each of the other findings on a host that was made to give cause for it, with something to do.
#[test]
fn every_other_finding_was_provoked() {
    let _leaks = Leaks::watch();
    let actions = "/proc/sys/kernel/seccomp/actions_avail";
    let user = "exec unshare --user --map-user=1000 env PATH=/no \"$0\" doctor";
    for (change, subject, found, advice) in [
        (
            "mount --bind /bin/false /bin/true".to_owned(),
            "a sandbox",
            "missing  a sandbox: \"true\" exited with code 1",
            "--debug",
        ),
        (
            format!("mount -t tmpfs none /mnt; echo allow >/mnt/x; mount --bind /mnt/x {actions}"),
            "filters of",
            "limited  filters of system calls: this kernel has no listeners",
            "Linux 5.0",
        ),
        (
            "mount -t tmpfs none /proc/sys/kernel/seccomp".to_owned(),
            "filters of",
            "actions_avail: No such file or directory (ENOENT)",
            "CONFIG_SECCOMP_FILTER",
        ),
        (
            format!("mount -t tmpfs none /etc; {user}"),
            "subordinate gids",
            "limited  subordinate gids: none for 1000 in /etc/subgid",
            "usermod --add-subgids 100000-165535 1000",
        ),
        (
            format!("mount -t tmpfs none /etc; echo 1000:100000:65536 >/etc/subuid; {user}"),
            "subordinate uids",
            "1000:100000:65536, but there is no newuidmap",
            "uidmap",
        ),
        (
            "exec setarch --uname-2.6 \"$0\" doctor".to_owned(),
            "kernel",
            "is too old: crabcan needs 5.10 or newer",
            "a newer kernel",
        ),
        (
            "for place in $(cut -d ' ' -f 2 /proc/mounts | grep ^/sys/fs/cgroup); do
                mount -o remount,bind,ro $place; done"
                .to_owned(),
            "limits of memory",
            "limited  limits of memory: ",
            "cgroup",
        ),
    ] {
        let outcome = doctor_after(&change);
        let (line, told) = about(&outcome, subject);
        assert!(line.contains(found), "{change}: {outcome:?}");
        let told = told.unwrap_or_else(|| panic!("{change}: {outcome:?}"));
        assert!(told.contains(advice), "{change}: {told}");
    }
}

/// Inside a filter that answers as a kernel without it does.
#[test]
fn a_kernel_without_landlock_is_told() {
    let _leaks = Leaks::watch();
    let place = TempDir::new("doctor");
    let text = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"errnoRet": 38,
        "names": ["landlock_create_ruleset"], "action": "SCMP_ACT_ERRNO"}]}"#;
    let profile = place.file("profile.json", text.as_bytes(), 0o644);
    let mut outer = crabcan(["--ro-bind", "/", "/", "--seccomp"]);
    let outcome = run(outer.arg(profile).arg("--").arg(program()).arg("doctor"));
    let (line, advice) = about(&outcome, "Landlock");
    assert!(line.starts_with("limited  Landlock: "), "{outcome:?}");
    let advice = advice.expect("an advice");
    assert!(advice.contains("Linux 5.19 or later"), "{advice}");
}

#[test]
fn helpers_and_the_second_wall_are_looked_for_and_all_is_json_too() {
    let _leaks = Leaks::watch();
    let mut command = crabcan(["doctor", "--json"]);
    let outcome = run(command.env("PATH", "/usr/bin:/bin"));
    let findings: Vec<serde_json::Value> = serde_json::from_str(&outcome.stdout).unwrap();
    let of = |about: &str| findings.iter().find(|one| one["about"] == about).unwrap();
    assert_eq!(of("a sandbox")["verdict"], "ok");
    let wall = run(&mut crabcan(["--landlock", "required", "--", "true"])).code() == 0;
    let verdict = if wall { "ok" } else { "limited" };
    assert_eq!(of("Landlock")["verdict"], verdict);
    let mut command = crabcan(["doctor"]);
    let without = run(command.env("PATH", "/no/such"));
    let (line, advice) = about(&without, "--net user");
    assert!(
        line.starts_with("limited ") && advice.is_some(),
        "{without:?}"
    );
}
