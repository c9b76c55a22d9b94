//! Root file systems that were made to deceive whoever makes a container of them.
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
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use serde_json::{Value, json};
use support::Leaks;
use support::attack::{assert_untouched, outside};
use support::bundle::Bundle;

fn mounts(bundle: &mut Bundle) -> &mut Vec<Value> {
    bundle.config["mounts"].as_array_mut().unwrap()
}

/// Replaces a directory of the root by a link.
fn plant(bundle: &Bundle, name: &str, target: &Path) {
    let path = bundle.directory.path().join("rootfs").join(name);
    let _ = fs::remove_dir_all(&path);
    let _ = fs::remove_file(&path);
    symlink(target, &path).unwrap();
}

/// CVE-2015-3629, CVE-2015-1335, CVE-2019-18837: links and chains of links in a mount point.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn links_in_mount_points_end_in_the_root() {
    let _leaks = Leaks::watch();
    let script = "grep -q ' /.*outside' /proc/self/mountinfo && echo inside; \
        [ -e /a/b/host-marker ] && echo SEEN; true";
    let mut bundle = Bundle::new("links", script);
    let outside = outside(&bundle);
    let above = outside.parent().unwrap().to_owned();
    mounts(&mut bundle).push(
        json!({"destination": "/a/b", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]}),
    );
    let chains: [&[(&str, &str)]; 5] = [
        &[("a", outside.to_str().unwrap())],
        &[("a", above.to_str().unwrap())],
        &[("a", "../outside")],
        &[("a", "c"), ("c", "/"), ("b", "../outside")],
        &[("a", "/proc/self/root")],
    ];
    for chain in chains {
        for (name, target) in chain {
            plant(&bundle, name, Path::new(target));
        }
        let outcome = bundle.run("run links");
        assert!(!outcome.stdout.contains("SEEN"), "{chain:?}: {outcome:?}");
        assert_untouched(&outside, &format!("{chain:?}: {outcome:?}"));
        for made in [above.join("b"), "/b".into()] {
            assert!(!made.exists(), "{chain:?}: {}", made.display());
        }
        for (name, _) in chain {
            let _ = fs::remove_file(bundle.directory.path().join("rootfs").join(name));
        }
    }
}

/// CVE-2023-27561, CVE-2023-28642, CVE-2025-54867: `/proc` and `/sys` are links.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn proc_and_sys_that_are_links_are_refused() {
    let _leaks = Leaks::watch();
    for (name, kind) in [("proc", "proc"), ("sys", "sysfs")] {
        for target in ["/tmp", "/outside", "../outside", "/etc"] {
            let mut bundle = Bundle::new("link", "true");
            let outside = outside(&bundle);
            bundle.directory.directory("rootfs/outside");
            mounts(&mut bundle).retain(|mount| mount["destination"] != "/proc");
            mounts(&mut bundle).insert(
                0,
                json!({"destination": format!("/{name}"), "type": kind, "source": kind}),
            );
            plant(&bundle, name, Path::new(target));
            let outcome = bundle.run("run link");
            assert_ne!(outcome.code(), 0, "{name} -> {target}: {outcome:?}");
            assert!(outcome.stderr.contains(name), "{outcome:?}");
            assert_untouched(&outside, "a link");
            assert_eq!(bundle.entries(), [""; 0]);
        }
    }
}

/// CVE-2026-41579, CVE-2026-47766: `/dev` is a link to a directory of the host's with a `ptmx`, and
/// things are to be made in it.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn a_dev_that_is_a_link_touches_nothing_outside() {
    let _leaks = Leaks::watch();
    for (keep_mounts, decoy) in [(true, false), (false, false), (false, true)] {
        for relative in [true, false] {
            let mut bundle = Bundle::new("dev", "true");
            let outside = outside(&bundle);
            let target = match relative {
                true => Path::new("../outside").to_owned(),
                false => outside.clone(),
            };
            if !keep_mounts {
                made_in_dev(&mut bundle);
            }
            plant(&bundle, "dev", &target);
            // The same path in the root: there it may be done.
            let inside = format!("rootfs/{}", target.display());
            let inside = inside.replace("../", "");
            if decoy {
                bundle.directory.directory(&inside);
            }
            for words in ["run dev", "create dev"] {
                let outcome = bundle.leave(words);
                assert_untouched(&outside, &format!("{words}: {outcome:?}"));
                if outcome.code() == 0 && words.starts_with("create") {
                    let _ = bundle.run("start dev");
                }
                bundle.run("delete --force dev").success();
                assert_untouched(&outside, &format!("{words}: {outcome:?}"));
                assert!(!decoy || outcome.code() == 0, "{words}: {outcome:?}");
            }
            let made = bundle.directory.path().join(inside).join("made");
            // Also where the link leads nowhere yet: what is missing is made, in the root.
            assert_eq!(made.exists(), !keep_mounts, "{target:?}");
        }
    }
}

/// A `/dev` that is the root's own, with a node and a mount point to be made in it. What its links
/// lead to is not covered either.
fn made_in_dev(bundle: &mut Bundle) {
    let is_covered = |path: &str| path == "/tmp" || path.starts_with("/dev");
    mounts(bundle).retain(|mount| !is_covered(mount["destination"].as_str().unwrap()));
    mounts(bundle).push(json!({"destination": "/dev/made", "type": "tmpfs", "source": "tmpfs"}));
    bundle.config["linux"]["devices"] =
        json!([{"path": "/dev/own", "type": "c", "major": 1, "minor": 3, "fileMode": 438}]);
}

/// What the runtime is asked to make in the root: nodes, and files to mount on.
const NODES: [&str; 9] = [
    "dev/null",
    "dev/zero",
    "dev/full",
    "dev/random",
    "dev/urandom",
    "dev/tty",
    "dev/console",
    "dev/ptmx",
    "dev/own",
];
const FILES: [&str; 3] = ["etc/hosts", "etc/resolv.conf", "etc/hostname"];

/// CVE-2025-24965, CVE-2015-3627: every name that a runtime makes in a root is a link to a file of
/// the host's already, or to one that is not there yet.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn names_that_are_made_in_the_root_are_links() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new("planted", "true");
    let outside = outside(&bundle);
    made_in_dev(&mut bundle);
    mounts(&mut bundle).retain(|mount| mount["destination"] != "/etc");
    let node = |name: &&str| json!({"path": format!("/{name}"), "type": "c", "major": 1, "minor": 3, "uid": 7});
    bundle.config["linux"]["devices"] = NODES.iter().map(node).collect();
    bundle.config["linux"]["maskedPaths"] = json!(["/masked"]);
    bundle.config["linux"]["readonlyPaths"] = json!(["/read-only"]);
    let file = bundle.directory.file("source", b"x", 0o644);
    for name in FILES {
        mounts(&mut bundle).push(json!({"destination": format!("/{name}"), "type": "bind",
            "source": file, "options": ["bind"]}));
    }
    bundle.directory.directory("rootfs/etc");
    let existing = outside.join("host-marker");
    let rights = || {
        let data = fs::metadata(&existing).unwrap();
        (data.mode(), data.uid(), data.gid())
    };
    let before = rights();
    for name in NODES.iter().chain(&FILES).chain(&["masked", "read-only"]) {
        for target in [&existing, &outside.join("missing")] {
            plant(&bundle, name, target);
            let outcome = bundle.run("run planted");
            assert_untouched(&outside, &format!("{name} -> {target:?}: {outcome:?}"));
            assert_eq!(rights(), before, "{name} -> {target:?}");
            // Without the link there is nothing to refuse: so it came to this name.
            fs::remove_file(bundle.directory.path().join("rootfs").join(name)).unwrap();
            bundle.run("run planted").success();
        }
    }
}

/// CVE-2026-40226: files beside and in the root are no configuration.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn configuration_in_the_image_has_no_effect() {
    let _leaks = Leaks::watch();
    let bundle = Bundle::new(
        "nspawn",
        "[ -e /host-marker ] && echo SEEN; id -u; cat /proc/1/comm",
    );
    let plain = bundle.run("run nspawn").success();
    let text = b"[Exec]\nBoot=no\nPivotRoot=/outside\n[Files]\nBind=/\nBindUser=root\n";
    for name in [
        "rootfs.nspawn",
        "nspawn.nspawn",
        "rootfs/config.json",
        "rootfs/.nspawn",
    ] {
        bundle.directory.file(name, text, 0o644);
    }
    bundle.directory.file(
        "rootfs/config.json",
        br#"{"process": {"user": {"uid": 1000}}}"#,
        0o644,
    );
    assert_eq!(bundle.run("run nspawn").success(), plain);
}

/// CVE-2025-52881, CVE-2019-16884, CVE-2015-1334: what is written to procfs goes to procfs and to
/// the very file that is meant, whatever lies at its path in the container.
#[test]
#[ignore = "needs root: cargo xtask test-security"]
fn a_false_proc_is_not_written_to() {
    let _leaks = Leaks::watch();
    const FILE: &str = "sys/net/ipv4/ip_unprivileged_port_start";
    let script = format!("cat /real/{FILE}");
    for whole in [true, false] {
        let mut bundle = Bundle::new("false-proc", &script);
        let fake = bundle.directory.directory("fake/sys/net/ipv4");
        let fake = fake.join("ip_unprivileged_port_start");
        fs::write(&fake, "untouched").unwrap();
        let fake_proc = bundle.directory.path().join("fake");
        bundle.directory.directory("rootfs/real");
        mounts(&mut bundle).push(json!({"destination": "/real", "type": "proc", "source": "proc"}));
        // A directory with the right names instead of procfs, or one file over that of procfs.
        let false_mount = match whole {
            true => json!({"destination": "/proc", "type": "bind", "source": fake_proc,
                "options": ["bind"]}),
            false => json!({"destination": format!("/proc/{FILE}"), "type": "bind",
                "source": fake, "options": ["bind"]}),
        };
        mounts(&mut bundle).push(false_mount);
        bundle.config["linux"]["sysctl"] = json!({"net.ipv4.ip_unprivileged_port_start": "81"});
        let outcome = bundle.run("run false-proc");
        let kept = fs::read_to_string(&fake).unwrap();
        assert_eq!(kept, "untouched", "{outcome:?}");
        // Refused, or done where it was meant.
        if outcome.code() == 0 {
            assert_eq!(outcome.stdout, "81\n", "{outcome:?}");
        }
    }
}
