//! Where mounts come from and go to: what was mounted in the root before them, links that lead
//! nowhere yet, and what hooks find there.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::{Value, json};
use support::Leaks;
use support::bundle::{Bundle, seen};

/// Ids from 100000 on, for a container and for a mount.
fn ids() -> Value {
    json!([{"containerID": 0, "hostID": 100_000, "size": 65536}])
}

/// A mount of the bundle's `data` on `/a/below`, and then one of `/a` in the root, by its path on the
/// host, on `/copy`.
fn copy_of_what_is_mounted(bundle: &mut Bundle, more: &Value) {
    for directory in ["data", "rootfs/a/below", "rootfs/copy"] {
        bundle.directory.directory(directory);
    }
    fs::write(bundle.directory.path().join("data/file"), "seen\n").unwrap();
    bundle.mount(
        json!({"destination": "/a/below", "type": "none", "source": "data", "options": ["bind"]}),
    );
    let source = bundle.directory.path().join("rootfs/a");
    let mut mount = json!({"destination": "/copy", "type": "none", "source": source,
        "options": ["rbind"]});
    for (key, value) in more.as_object().unwrap() {
        mount[key] = value.clone();
    }
    bundle.mount(mount);
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_source_below_the_root_has_what_was_mounted_before() {
    let _leaks = Leaks::watch();
    let maps = json!({"uidMappings": ids(), "gidMappings": ids()});
    for more in [json!({}), maps] {
        for user in [false, true] {
            let lines = seen(
                "order",
                "cat /copy/below/file; stat -c %u /copy",
                |bundle| {
                    copy_of_what_is_mounted(bundle, &more);
                    if user {
                        let linux = &mut bundle.config["linux"];
                        linux["uidMappings"] = ids();
                        linux["gidMappings"] = ids();
                        let namespaces = linux["namespaces"].as_array_mut().unwrap();
                        namespaces.push(json!({"type": "user"}));
                    }
                },
            );
            // Root's files are 100000's by the map, which is 0 where that is the container's too,
            // and nobody's where ids are the container's alone.
            let mapped = more.get("uidMappings").is_some();
            let owner = match (mapped, user) {
                (true, false) => "100000",
                (false, true) => "65534",
                _ => "0",
            };
            assert_eq!(lines, ["seen", owner], "{more} {user}");
        }
    }
}

/// The bundle's root is no way out of it.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_link_in_a_source_below_the_root_leads_to_the_root() {
    let _leaks = Leaks::watch();
    let lines = seen("link", "cat /copy", |bundle| {
        let root = bundle.directory.path().join("rootfs");
        fs::write(bundle.directory.path().join("secret"), "the host's\n").unwrap();
        fs::write(root.join("secret"), "the container's\n").unwrap();
        symlink("../secret", root.join("up")).unwrap();
        bundle.mount(
            json!({"destination": "/copy", "type": "none", "source": root.join("up"),
            "options": ["bind"]}),
        );
    });
    assert_eq!(lines, ["the container's"]);
}

/// As runc has it, a destination may be the host's path, too.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_destination_below_the_bundles_root_is_the_same_place() {
    let _leaks = Leaks::watch();
    let lines = seen("destination", "cat /in/file", |bundle| {
        bundle.directory.directory("data");
        fs::write(bundle.directory.path().join("data/file"), "seen\n").unwrap();
        let place = bundle.directory.path().join("rootfs/in");
        bundle.mount(
            json!({"destination": place, "type": "none", "source": "data", "options": ["bind"]}),
        );
    });
    assert_eq!(lines, ["seen"]);
}

/// Hooks before the pivot mount in the container: by the host's path of the root, in its mount
/// namespace, or from the root as their working directory.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn hooks_mount_at_the_roots_place() {
    let _leaks = Leaks::watch();
    let lines = seen("hooks", "cat /one/file /two/file; ls /", |bundle| {
        for directory in ["data", "rootfs/one", "rootfs/two"] {
            bundle.directory.directory(directory);
        }
        let path = bundle.directory.path().display().to_string();
        fs::write(bundle.directory.path().join("data/file"), "seen\n").unwrap();
        let hook = |script: String| {
            json!([{"path": "/bin/sh", "args": ["sh", "-c", script],
            "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}])
        };
        let pid = "$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/')";
        bundle.config["hooks"] = json!({
            "createRuntime": hook(format!(
                "nsenter -m -t {pid} mount --bind {path}/data {path}/rootfs/one"
            )),
            "createContainer": hook(format!("mount --bind {path}/data two")),
        });
    });
    assert_eq!(lines[..2], ["seen", "seen"], "{lines:?}");
    assert!(lines.contains(&"proc".to_owned()), "{lines:?}");
}

/// What is to be mounted at a link that leads nowhere yet is mounted where it would lead, in the
/// root.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_mount_point_is_made_behind_links_that_lead_nowhere() {
    let _leaks = Leaks::watch();
    let script = "cat /deep/down/here/file /up/file /etc2/name; readlink /one /up /etc2/name";
    let lines = seen("dangling", script, |bundle| {
        let root = bundle.directory.directory("rootfs");
        bundle.directory.directory("data");
        bundle.directory.directory("rootfs/etc2");
        fs::write(bundle.directory.path().join("data/file"), "seen\n").unwrap();
        symlink("/deep/down", root.join("one")).unwrap();
        symlink("one/here", root.join("two")).unwrap();
        symlink("../../../outside", root.join("up")).unwrap();
        symlink("../file", root.join("etc2/name")).unwrap();
        for (source, destination) in [
            ("data", "/two"),
            ("data", "/up"),
            ("data/file", "/etc2/name"),
        ] {
            bundle.mount(
                json!({"destination": destination, "type": "none", "source": source,
                "options": ["bind"]}),
            );
        }
    });
    let expected = [
        "seen",
        "seen",
        "seen",
        "/deep/down",
        "../../../outside",
        "../file",
    ];
    assert_eq!(lines, expected);
    let mut bundle = Bundle::new("loop", "true");
    symlink("/b", bundle.directory.path().join("rootfs/a")).unwrap();
    symlink("/a", bundle.directory.path().join("rootfs/b")).unwrap();
    bundle.mount(json!({"destination": "/a", "type": "tmpfs", "source": "tmpfs"}));
    let error = bundle.run("run c").stderr;
    assert!(error.contains("ELOOP"), "{error}");
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_tmpfs_has_the_mode_of_the_directory_that_it_covers() {
    let _leaks = Leaks::watch();
    let lines = seen("mode", "stat -c %a /closed /said /new", |bundle| {
        for name in ["closed", "said"] {
            let path = bundle.directory.directory(&format!("rootfs/{name}"));
            fs::set_permissions(path, fs::Permissions::from_mode(0o2710)).unwrap();
        }
        for (name, options) in [
            ("/closed", json!(["nosuid"])),
            ("/said", json!(["mode=1500"])),
            ("/new", json!([])),
        ] {
            bundle.mount(
                json!({"destination": name, "type": "tmpfs", "source": "tmpfs",
                "options": options}),
            );
        }
    });
    assert_eq!(lines, ["2710", "1500", "1777"]);
}

/// The host's procfs stays not where a user namespace in the container finds it, by which the kernel
/// decides whether one without masks may be mounted. The host's own is as it was.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_root_without_pivot_has_no_bare_procfs_below() {
    let _leaks = Leaks::watch();
    let mut bundle = Bundle::new(
        "bare",
        "unshare -mrpf mount -t proc none /proc 2>&1 && echo bare",
    );
    bundle.config["linux"]["maskedPaths"] = json!(["/proc/kcore"]);
    bundle.config["linux"]["readonlyPaths"] = json!(["/proc/sys"]);
    let map = json!(["CAP_SETFCAP", "CAP_DAC_OVERRIDE"]);
    bundle.config["process"]["capabilities"] =
        json!({"bounding": map, "permitted": map, "effective": map});
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    for propagation in ["private", "shared"] {
        bundle.config["linux"]["rootfsPropagation"] = json!(propagation);
        let outcome = bundle.run("run --no-pivot c");
        assert!(outcome.stdout.contains("permission denied"), "{outcome:?}");
        assert!(!outcome.stdout.contains("bare"), "{outcome:?}");
    }
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
}
