//! What the host has set on its mounts, in containers whose root has every right over theirs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::process::Command;

use serde_json::{Value, json};
use support::bundle::Bundle;
use support::{Leaks, TempDir, program, run};

/// What the host has mounted there, and a mount in it that covers a file.
const HOSTS: &str = "mount -t tmpfs t data; mkdir data/sub; touch data/sub/covered; \
    mount -t tmpfs s data/sub; mount -o remount,bind,ro,nosuid,nodev,noexec,noatime data; ";

/// Tries to take each attribute back, and to look below what covers; what it says on standard output
/// is what it could do. The last try is one that it may.
const TRIES: &str = "set -- rw,nosuid,nodev,noexec,noatime ro,suid,nodev,noexec,noatime \
    ro,nosuid,dev,noexec,noatime ro,nosuid,nodev,exec,noatime ro,nosuid,nodev,noexec,strictatime; \
    exec 2>/dev/null; \
    for words; do mount -o remount,bind,$words /data && echo $words; done; \
    umount /data/sub && echo unmounted; umount -l /data/sub && echo detached; \
    umount -R /data && ls /data; \
    touch /data/new && echo written; \
    mount -o remount,bind,ro /tmp && echo done";

/// A container with a user namespace of its own, whose root may do with its mounts what it likes.
fn container(name: &str, script: &str) -> Bundle {
    let mut bundle = Bundle::new(name, script);
    bundle.directory.directory("data");
    bundle.directory.directory("rootfs/data");
    bundle.user_namespace([300_000; 2], 65536);
    let all = json!(["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_SYS_CHROOT"]);
    bundle.config["process"]["capabilities"] =
        json!({"bounding": all, "permitted": all, "effective": all});
    bundle
}

fn data(source: &str, words: &[&str]) -> Value {
    json!({"destination": "/data", "type": "none", "source": source, "options": words})
}

#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn what_the_host_has_set_on_a_mount_can_not_be_taken_back() {
    let _leaks = Leaks::watch();
    for (source, words) in [
        ("data", &["rbind"][..]),
        ("data", &["rbind", "rprivate", "nosuid", "nodev"]),
        ("data", &["rbind", "rslave"]),
        ("data", &["rbind", "ro"]),
        // What is below is left out, and covers nothing then.
        ("data", &["bind"]),
        ("data", &["rbind", "ridmap"]),
        // What only the caller's own mount namespace has.
        ("/proc/self/fd/9", &["rbind"]),
        ("/proc/self/cwd/data", &["rbind"]),
    ] {
        let mut bundle = container("set", TRIES);
        bundle.mount(data(source, words));
        let prepare = format!("{HOSTS} exec 9<data; c run --no-new-keyring one");
        let outcome = run(&mut bundle.among_own_mounts(&prepare));
        if words.contains(&"ridmap") && outcome.stderr.contains("support id-mapped mounts") {
            eprintln!("not seen: before Linux 6.3 no tmpfs is id-mapped");
            continue;
        }
        assert_eq!(outcome.success(), "done\n", "{source} {words:?}");
    }
}

/// Where the container's mount namespace is not made by the clone, and is not there in time.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn it_can_not_be_taken_back_beside_namespaces_that_are_joined() {
    let _leaks = Leaks::watch();
    let holder = container("holder", "exec sleep 600");
    let outcome = holder.leave("run -d holder");
    assert_eq!((outcome.code(), outcome.stderr.as_str()), (0, ""));
    let pid = holder.state("holder")["pid"].clone();
    for kind in ["user", "network"] {
        let mut bundle = container("joined", TRIES);
        let name = match kind {
            "user" => "user",
            _ => "net",
        };
        let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
        for request in namespaces.iter_mut().filter(|one| one["type"] == kind) {
            request["path"] = json!(format!("/proc/{pid}/ns/{name}"));
        }
        if kind == "user" {
            let linux = bundle.config["linux"].as_object_mut().unwrap();
            linux.remove("uidMappings");
            linux.remove("gidMappings");
        }
        bundle.mount(data("data", &["rbind"]));
        let prepare = format!("{HOSTS} c run --no-new-keyring one");
        let outcome = run(&mut bundle.among_own_mounts(&prepare));
        assert_eq!(outcome.success(), "done\n", "{kind} joined");
    }
}

/// What is locked still hears of what the host mounts later, if it is to.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn later_mounts_of_the_hosts_are_heard_of() {
    let _leaks = Leaks::watch();
    for (words, heard) in [
        (&["rbind", "rslave"][..], "1"),
        (&["bind", "slave"], "1"),
        (&["rbind", "shared"], "1"),
        (&["rbind", "rprivate"], "0"),
        (&["rbind"], "0"),
    ] {
        let mut bundle = container("heard", "exec sleep 600");
        bundle.mount(data("data", words));
        assert_eq!(bundle.later_mounts(), [heard, "0"], "{words:?}");
    }
}

/// A sandbox is locked if its command gets the right to mount: nobody else comes in.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn a_sandbox_that_may_mount_takes_nothing_back() {
    let _leaks = Leaks::watch();
    let directory = TempDir::new("sandbox");
    directory.directory("data");
    let script = format!("set -e; {HOSTS} exec \"$@\"");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "/bin/sh", "-c"])
        .args([&script, "sh"])
        .arg(program())
        .args(["bwrap", "--unshare-user", "--tmpfs", "/", "--tmpfs", "/tmp"])
        .args([
            "--proc", "/proc", "--dev", "/dev", "--bind", "data", "/data",
        ])
        .args(["--cap-add", "CAP_SYS_ADMIN"])
        .current_dir(directory.path());
    for path in ["/bin", "/lib", "/lib64", "/usr"] {
        command.args(["--ro-bind-try", path, path]);
    }
    let outcome = run(command.args(["/bin/sh", "-c", TRIES]));
    assert_eq!(outcome.success(), "done\n");
}

/// What is unmounted once the mounts are locked is the way, and nothing of the host's.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn the_hosts_mounts_stay_where_they_are() {
    let _leaks = Leaks::watch();
    let script = "mount --make-rshared /; mount -t tmpfs t data; mount --make-shared data; \
        mkdir data/sub; mount -t tmpfs s data/sub; mount --make-shared data/sub; \
        cut -d' ' -f 5- /proc/self/mountinfo > before; c run one; \
        cut -d' ' -f 5- /proc/self/mountinfo | diff before - && grep -c data/sub before";
    for words in [
        &["rbind"][..],
        &["rbind", "rslave"],
        &["rbind", "rshared"],
        &["bind"],
    ] {
        let mut bundle = container("stay", "umount -R /data; umount -l /data; :");
        bundle.mount(data("data", words));
        let outcome = run(&mut bundle.among_own_mounts(script));
        assert_eq!(outcome.stdout, "1\n", "{words:?}: {outcome:?}");
    }
}

/// The caller may have fewer descriptors than there are mounts, and they come in their order.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn very_many_mounts_are_locked_too() {
    let _leaks = Leaks::watch();
    let script = "awk '$5 ~ /^.many/ { print substr($6, 1, 2), $4 == $5 }' /proc/self/mountinfo \
        | sort | uniq -c | tr -s ' '; cat /many/1999/name; \
        mount -o remount,bind,rw /many/1999 2>/dev/null && echo taken; :";
    let mut bundle = container("many", script);
    for number in 0..2000 {
        bundle.directory.directory(&format!("rootfs/many/{number}"));
        bundle.mount(
            json!({"destination": format!("/many/{number}"), "type": "none",
            "source": format!("data/many/{number}"), "options": ["bind"]}),
        );
    }
    let prepare = "mount -t tmpfs t data; mkdir data/many; \
        for i in $(seq 0 1999); do mkdir data/many/$i; done; echo last > data/many/1999/name; \
        mount -o remount,bind,ro data; ulimit -Sn 128; c run --no-new-keyring one";
    let output = run(&mut bundle.among_own_mounts(prepare));
    assert_eq!(output.success(), " 2000 ro 1\nlast\n");
}

/// Who may not go into the container's mount namespace makes the mounts all the same, and says so.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn a_caller_that_can_not_lock_says_so() {
    let _leaks = Leaks::watch();
    let mut bundle = container("weak", "mount -o remount,bind,rw /data && echo taken");
    bundle.mount(data("data", &["rbind"]));
    let prepare = format!("{HOSTS} c run --no-new-keyring one");
    let own = bundle.among_own_mounts(&prepare);
    let mut weak = Command::new("setpriv");
    weak.args(["--bounding-set", "-sys_ptrace"])
        .arg(own.get_program())
        .args(own.get_args())
        .current_dir(bundle.directory.path());
    let outcome = run(&mut weak);
    assert_eq!(outcome.stdout, "taken\n", "{outcome:?}");
    assert!(outcome.stderr.contains("CAP_SYS_PTRACE"), "{outcome:?}");
}
