//! Containers without a mount namespace: what they mount is mounted on the host, in the place of
//! their root, and is gone with them.
//!
//! Each test has a mount namespace of its own that stands for the host's.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use serde_json::json;
use support::bundle::Bundle;
use support::{Leaks, run};

/// Beside what all bundles have: a place of the host's that can be written, masks, and rights that
/// are needed to mount.
fn bundle(name: &str, script: &str) -> Bundle {
    let mut bundle = Bundle::new(name, script);
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut();
    namespaces.unwrap().retain(|it| it["type"] != "mount");
    bundle.directory.directory("data/inner");
    bundle.directory.directory("rootfs/data");
    let data = json!({"destination": "/data", "source": "data", "options": ["bind"]});
    bundle.mount(data);
    bundle.config["root"]["readonly"] = json!(true);
    bundle.config["linux"]["maskedPaths"] = json!(["/proc/keys", "/proc/irq"]);
    bundle.config["linux"]["readonlyPaths"] = json!(["/proc/sys"]);
    let rights = json!(["CAP_SYS_ADMIN", "CAP_KILL"]);
    bundle.config["process"]["capabilities"] =
        json!({"bounding": rights, "effective": rights, "permitted": rights});
    bundle
}

/// Runs a line of shell where all mounts are shared, as systemd has them. At its end, and where it
/// says `same`, they are those from before; `others` are those beside the container's.
#[track_caller]
fn on_the_host(bundle: &Bundle, script: &str) -> String {
    let script = format!(
        "mount --make-rshared /
         cat /proc/self/mountinfo >before
         same() {{ diff before /proc/self/mountinfo >&2; }}
         others() {{ grep -v {}/rootfs /proc/self/mountinfo | diff before - >&2; }}
         pid() {{ c state $1 | sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p'; }}
         is() {{ c state one | grep -q .status.:..$1; }}
         create() {{ c create $1 </dev/null >out 2>&1 || {{ cat out >&2; return 1; }}; }}
         {script}
         same",
        bundle.directory.text()
    );
    run(&mut bundle.among_own_mounts(&script)).success()
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn it_runs_among_the_callers_mounts() {
    let _leaks = Leaks::watch();
    let script = "readlink /proc/self/ns/mnt; echo *; stat -c %t:%T /proc/keys; echo /proc/irq/*
        for i in /file /proc/sys/kernel/panic; do echo 1 >$i || echo read-only; done
        echo written >/data/file; exec cat /proc/self/mountinfo";
    let bundle = bundle("run", script);
    let output = on_the_host(
        &bundle,
        "readlink /proc/self/ns/mnt; c run one 2>/dev/null; cat data/file",
    );
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], lines[1], "{output}");
    assert!(lines[2].starts_with("bin data dev etc"), "{output}");
    let as_configured = ["1:3", "/proc/irq/*", "read-only", "read-only"];
    assert_eq!(lines[3..7], as_configured, "{output}");
    // Of the host's mounts it sees none: one root, and what is in the configuration's places.
    let mounts = &lines[7..lines.len() - 1];
    let points = mounts.iter().filter_map(|line| line.split(' ').nth(4));
    let configured = bundle.config["mounts"].as_array().unwrap();
    let mut places = configured.iter().map(|mount| mount["destination"].as_str());
    let is_configured = |point: &str| {
        places
            .clone()
            .any(|place| point.starts_with(place.unwrap()))
    };
    let (roots, others): (Vec<_>, Vec<_>) = points.partition(|point| *point == "/");
    assert_eq!(roots.len(), 1, "{output}");
    assert!(others.iter().all(|point| is_configured(point)), "{output}");
    assert!(
        places.all(|place| others.contains(&place.unwrap())),
        "{output}"
    );
    assert!(
        !mounts.iter().any(|line| line.contains(" shared:")),
        "{output}"
    );
    assert_eq!(lines.last(), Some(&"written"), "{output}");
}

/// In a namespace that shares its mounts with the host's there is the root alone, with nothing in it,
/// and that goes as well. The host's own mounts are what they were.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn others_see_nothing_that_it_mounts() {
    let _leaks = Leaks::watch();
    let bundle = bundle("others", "exec sleep 600");
    for flow in ["unchanged", "slave"] {
        let script = format!(
            "mkfifo go went
             unshare --mount --propagation {flow} sh -c '
                : >went; : <go; grep -c $PWD/rootfs /proc/self/mountinfo
                : >went; : <go; grep -c $PWD/rootfs /proc/self/mountinfo || :' &
             : <went; create one; c start one; others; : >go
             : <went; c delete --force one; : >go
             wait; rm go went"
        );
        assert_eq!(on_the_host(&bundle, &script), "1\n0\n", "{flow}");
    }
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn however_it_ends_nothing_is_left() {
    let _leaks = Leaks::watch();
    let mut bundle = bundle("ends", "exec sleep 600");
    for script in [
        "create one; c delete --force one",
        "create one; c start one; c delete --force one",
        "create one; c kill one KILL; until is stopped; do :; done; c delete one",
        "create one; c start one; kill -KILL $(pid one)
         until is stopped; do :; done; c delete one",
        // Somebody was quicker, of whom there are such in suites.
        "create one; umount --lazy rootfs; same; c delete --force one",
    ] {
        on_the_host(&bundle, script);
    }
    // The hook's parent is who makes the container.
    bundle.config["hooks"] = json!({"createRuntime": [
        {"path": "/bin/sh", "args": ["sh", "-c", "kill -KILL $PPID"]}]});
    on_the_host(
        &bundle,
        "! create one 2>killed; grep -q $PWD/rootfs/proc /proc/self/mountinfo; c delete --force one",
    );
    bundle.config["hooks"] = json!({"createRuntime": [{"path": "/bin/false"}]});
    on_the_host(&bundle, "! create one 2>failed");
    bundle.config.as_object_mut().unwrap().remove("hooks");
    bundle.script("exit 3");
    on_the_host(&bundle, "c run one || test $? = 3");
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_step_that_fails_leaves_nothing() {
    let _leaks = Leaks::watch();
    let bundle = bundle("steps", "exit 0");
    let ends = |step: u32| {
        let script = format!(
            "CRABCAN_FAULT={step}:5 c run one >out 2>&1 && echo done ||
             grep -q EIO out || {{ cat out >&2; exit 1; }}"
        );
        on_the_host(&bundle, &script)
    };
    let steps = (0..).take_while(|step| ends(*step).is_empty()).count();
    assert!(steps > 30, "{steps}");
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_process_that_joins_is_in_its_root() {
    let _leaks = Leaks::watch();
    let bundle = bundle("exec", "exec sleep 600");
    let output = on_the_host(
        &bundle,
        "create one; c start one
         c exec one /bin/sh -c 'echo *; readlink /proc/self/ns/mnt; cd ../..; pwd; echo rootf*'
         readlink /proc/self/ns/mnt
         c delete --force one",
    );
    let lines: Vec<&str> = output.lines().collect();
    assert!(lines[0].starts_with("bin data dev etc"), "{output}");
    assert_eq!(lines[1..], [lines[4], "/", "rootf*", lines[4]], "{output}");
}

/// What somebody else has mounted over the root is never entered, and never unmounted.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn what_covers_its_root_is_left_alone() {
    let _leaks = Leaks::watch();
    let bundle = bundle("covered", "exec sleep 600");
    let output = on_the_host(
        &bundle,
        "create one; c start one; mount -t tmpfs theirs rootfs
         ! c exec one /bin/true 2>&1
         ! c delete --force one 2>&1
         grep -c theirs /proc/self/mountinfo
         umount rootfs; c delete --force one
         mount -t tmpfs theirs rootfs; create one; c delete --force one
         grep -c theirs /proc/self/mountinfo; umount rootfs",
    );
    for words in [
        "or is covered",
        "something else is mounted over",
        "\n1\n1\n",
    ] {
        assert!(output.contains(words), "{words}: {output}");
    }
}

/// The root is at its place, with everything in it, for hooks of the host; what they mount there is
/// the container's, and goes with it.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn hooks_find_the_root_in_its_place() {
    let _leaks = Leaks::watch();
    let mut bundle = bundle("hooks", "echo /dev/shm/*; readlink /proc/self/ns/mnt");
    let root = bundle.directory.path().join("rootfs");
    let script = format!(
        "cd {}; mkdir dev/shm; mount -t tmpfs by-hook dev/shm; : >dev/shm/made",
        root.display()
    );
    let hook = |script: &str| {
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script],
        "env": ["PATH=/usr/bin:/bin:/sbin"]}])
    };
    let look = format!("test -e {}/dev/shm/made", root.display());
    bundle.config["hooks"] =
        json!({"createRuntime": hook(&script), "createContainer": hook(&look)});
    let output = on_the_host(&bundle, "c run one; readlink /proc/self/ns/mnt");
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines, ["/dev/shm/made", lines[2], lines[2]]);
}

/// With the right to mount it mounts in its root alone: neither a bind nor a mask of its
/// configuration leads what it mounts back into a mount of the host's.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn what_it_mounts_stays_in_its_root() {
    let _leaks = Leaks::watch();
    let script = "set -e; mount -t tmpfs evil /data/inner; mount --bind /bin/sh /proc/keys
        mount -t tmpfs evil /tmp; mount --make-rshared /; mount -t tmpfs evil /data
        echo mounted; exec sleep 600";
    let bundle = bundle("hostile", script);
    let output = on_the_host(
        &bundle,
        "create one; c start one; while ! grep -q mounted out; do :; done
         stat -c %t:%T /dev/null; grep -c evil /proc/self/mountinfo; others
         c delete --force one",
    );
    assert_eq!(output, "1:3\n3\n");
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn what_can_not_be_done_without_a_mount_namespace_is_named() {
    let _leaks = Leaks::watch();
    let bundle = bundle("refused", "exec sleep 600");
    let output = on_the_host(
        &bundle,
        "mkdir rootfs/volume; mount -t tmpfs theirs rootfs/volume
         ! c create one 2>&1
         umount rootfs/volume; rmdir rootfs/volume
         create one; c start one
         ! c checkpoint one 2>&1; c delete --force one",
    );
    for words in [
        "root.path: ",
        "/rootfs/volume is mounted below it",
        "neither checkpointed nor restored",
    ] {
        assert!(output.contains(words), "{words}: {output}");
    }
}
