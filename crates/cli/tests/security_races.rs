//! Attackers who change a root file system while a container is made of it.
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
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::json;
use support::Leaks;
use support::attack::{Racer, assert_untouched, figure, outside, rounds};
use support::bundle::Bundle;

/// Runs the bundle again and again while two names are exchanged. Each run may fail, and may not
/// reach anything outside.
fn race(bundle: &Bundle, outside: &Path, names: (&Path, &Path), count: u32) {
    let racer = Racer::exchange(names.0.to_owned(), names.1.to_owned());
    let mut ran = 0;
    for round in 0..count {
        let outcome = bundle.run("run race");
        let seen = outcome.stdout.contains("SEEN");
        assert!(!seen, "round {round}: {outcome:?}");
        assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
        assert_untouched(outside, &format!("round {round}: {outcome:?}"));
        ran += u32::from(outcome.status.success());
    }
    figure(racer.stop(), "exchanges by racers");
    figure(count, "containers made in a race");
    figure(ran, "of these that could be made");
    assert!(ran > 0, "not one was made: what was raced?");
}

fn mount(bundle: &mut Bundle, mount: serde_json::Value) {
    bundle.config["mounts"].as_array_mut().unwrap().push(mount);
}

/// CVE-2021-30465, CVE-2019-19921, CVE-2024-45310, CVE-2018-15664: a component of a mount point in
/// a shared volume is a directory when it is looked at and a link when it is used.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn a_component_of_a_mount_point_becomes_a_link() {
    let _leaks = Leaks::watch();
    let script = "[ -e /volume/sub/host-marker ] || [ -e /volume/swap/host-marker ] \
        || [ -e /host-marker ] && echo SEEN; true";
    let mut bundle = Bundle::new("race-volume", script);
    let outside = outside(&bundle);
    let volume = bundle.directory.directory("volume");
    let (sub, swap) = (volume.join("sub"), volume.join("swap"));
    bundle.directory.directory("rootfs/volume");
    mount(
        &mut bundle,
        json!({"destination": "/volume", "type": "bind", "source": volume, "options": ["rbind"]}),
    );
    for destination in ["/volume/sub/one/two", "/volume/sub/three"] {
        mount(
            &mut bundle,
            json!({"destination": destination, "type": "tmpfs", "source": "tmpfs"}),
        );
    }
    for target in [outside.clone(), Path::new("../../outside").to_owned()] {
        fs::create_dir(&sub).unwrap();
        symlink(&target, &swap).unwrap();
        race(&bundle, &outside, (&sub, &swap), rounds(40, 500));
        for name in [&sub, &swap] {
            let _ = fs::remove_file(name);
            let _ = fs::remove_dir_all(name);
        }
    }
}

/// CVE-2019-19921, CVE-2023-27561, CVE-2025-54867: `/proc` of a shared root is a directory when it
/// is looked at and a link when procfs is mounted.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn proc_becomes_a_link() {
    let _leaks = Leaks::watch();
    // That a link is at the name afterwards is the racer's right, and a mount goes with the name that
    // it is on: where the link leads nothing may be mounted.
    let script = "[ -e /elsewhere/self/status ] && echo SEEN; true";
    let bundle = Bundle::new("race-proc", script);
    let outside = outside(&bundle);
    let root = bundle.directory.path().join("rootfs");
    bundle.directory.directory("rootfs/elsewhere");
    let (proc, swap) = (root.join("proc"), root.join("swap"));
    symlink("elsewhere", &swap).unwrap();
    race(&bundle, &outside, (&proc, &swap), rounds(40, 500));
}

/// CVE-2025-31133, CVE-2025-62161: the container's `/dev/null` is a link to a file of procfs when it
/// is taken to cover a masked path.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn dev_null_becomes_a_link_to_the_core_pattern() {
    const PATTERN: &str = "/proc/sys/kernel/core_pattern";
    let _leaks = Leaks::watch();
    let before = fs::read(PATTERN).unwrap();
    let script = "for f in /masked /proc/keys; do \
        [ \"$(cat $f 2>/dev/null)\" = '' ] || echo SEEN $f; \
        stat -f -c %T $f | grep -q proc && echo SEEN procfs $f; done; true";
    let mut bundle = Bundle::new("race-null", script);
    let outside = outside(&bundle);
    let root = bundle.directory.path().join("rootfs");
    fs::write(root.join("masked"), "secret").unwrap();
    bundle.config["linux"]["maskedPaths"] = json!(["/masked", "/proc/keys", "/proc/sched_debug"]);
    // Its `/dev` is a volume that others have too.
    let volume = bundle.directory.directory("volume");
    let (null, swap) = (volume.join("null"), volume.join("swap"));
    fs::write(&null, "").unwrap();
    symlink(PATTERN, &swap).unwrap();
    for mount in bundle.config["mounts"].as_array_mut().unwrap() {
        if mount["destination"] == "/dev" {
            *mount = json!({"destination": "/dev", "type": "bind", "source": volume,
                "options": ["rbind"]});
        }
    }
    bundle.directory.directory("volume/pts");
    race(&bundle, &outside, (&null, &swap), rounds(40, 500));
    assert_eq!(fs::read(PATTERN).unwrap(), before);
}

/// CVE-2025-52565, CVE-2026-41579: `/dev/pts` of a shared `/dev` is a link when it is mounted on, or
/// when something is made in it.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn dev_pts_becomes_a_link() {
    let _leaks = Leaks::watch();
    let script = "[ -e /dev/pts/host-marker ] && echo SEEN; true";
    let mut bundle = Bundle::new("race-pts", script);
    let outside = outside(&bundle);
    let volume = bundle.directory.directory("volume");
    let (pts, swap) = (volume.join("pts"), volume.join("swap"));
    fs::create_dir(&pts).unwrap();
    symlink(&outside, &swap).unwrap();
    for mount in bundle.config["mounts"].as_array_mut().unwrap() {
        if mount["destination"] == "/dev" {
            *mount = json!({"destination": "/dev", "type": "bind", "source": volume,
                "options": ["rbind"]});
        }
    }
    // A place that has to be made, before something is mounted over all of it.
    bundle.config["mounts"].as_array_mut().unwrap().insert(
        2,
        json!({"destination": "/dev/pts/made/below", "type": "tmpfs", "source": "tmpfs"}),
    );
    race(&bundle, &outside, (&pts, &swap), rounds(30, 500));
}
