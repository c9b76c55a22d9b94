//! `mounts` and what else of `config.json` makes the container's file systems, looked at from
//! inside of containers that root makes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use serde_json::{Value, json};
use support::bundle::{Bundle, seen};
use support::{Leaks, run};

/// A bind of the bundle's directory `data`.
fn data(words: &[&str]) -> Value {
    json!({"destination": "/data", "type": "none", "source": "data", "options": words})
}

/// The container's root may do with mounts what it likes.
fn may_mount(bundle: &mut Bundle) {
    let all = json!(["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]);
    bundle.config["process"]["capabilities"] =
        json!({"bounding": all, "permitted": all, "effective": all});
}

/// The lines of mountinfo for `/data` and what is below it: place, attributes and propagation.
const TABLE: &str = "grep -E ' /data[^ ]* ' /proc/self/mountinfo | cut -d' ' -f5-7 \
    | sed -E 's/:[0-9]+//; s/ -$//'";

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_read_only_root_has_mounts_that_are_not() {
    let _leaks = Leaks::watch();
    let script = "touch /x 2>&1 | grep -o 'Read-only file system'; touch /tmp/y && echo open; \
        awk '$5 == \"/\" { print substr($6, 1, 2) }' /proc/self/mountinfo";
    let lines = seen("ro-root", script, |bundle| {
        bundle.config["root"]["readonly"] = json!(true);
    });
    assert_eq!(lines, ["Read-only file system", "open", "ro"]);
    let lines = seen("rw-root", "touch /x && echo open", |_| {});
    assert_eq!(lines, ["open"]);
}

/// The kernel's own words for how a mount spreads.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_root_spreads_as_asked_for() {
    let _leaks = Leaks::watch();
    let script = "awk '$5 == \"/\" { print $7 }' /proc/self/mountinfo";
    for (word, shown) in [
        (None, "-"),
        (Some("private"), "-"),
        (Some("rprivate"), "-"),
        (Some("slave"), "-"),
        (Some("shared"), "shared:"),
        (Some("rshared"), "shared:"),
        (Some("unbindable"), "unbindable"),
        (Some("runbindable"), "unbindable"),
    ] {
        let lines = seen("spread", script, |bundle| {
            if let Some(word) = word {
                bundle.config["linux"]["rootfsPropagation"] = json!(word);
            }
        });
        assert!(
            lines[0].starts_with(shown) && lines.len() == 1,
            "{word:?}: {lines:?}"
        );
    }
}

/// What the host mounts later below a mount, and what the container does.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn mounts_are_heard_of_as_asked_for() {
    let _leaks = Leaks::watch();
    for (word, root, heard, told) in [
        ("private", None, "0", "0"),
        ("rprivate", None, "0", "0"),
        ("slave", None, "1", "0"),
        ("rslave", None, "1", "0"),
        // Cut off from the host with the root, it is shared in the container alone.
        ("shared", None, "1", "0"),
        ("shared", Some("shared"), "1", "1"),
        ("rshared", Some("rshared"), "1", "1"),
        ("rslave", Some("private"), "0", "0"),
        ("unbindable", None, "0", "0"),
        ("", None, "0", "0"),
    ] {
        let mut bundle = Bundle::new("heard", "exec sleep 600");
        bundle.directory.directory("data");
        may_mount(&mut bundle);
        bundle.config["linux"]["rootfsPropagation"] = json!(root);
        let words = ["rbind", word];
        let words = words.into_iter().filter(|word| !word.is_empty());
        bundle.mount(data(&words.collect::<Vec<_>>()));
        assert_eq!(
            bundle.later_mounts(),
            [heard, told],
            "{word} in a root that is {root:?}"
        );
    }
}

/// With `rro` all mounts of a tree change, with `ro` its top alone.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn attributes_are_of_a_tree_or_of_its_top() {
    let _leaks = Leaks::watch();
    let prepare = "mount -t tmpfs t data; mkdir data/sub; mount -t tmpfs s data/sub; \
        c run --no-new-keyring one";
    let changed = "mount -t tmpfs -o ro,nosuid,nodev,noexec,noatime,nodiratime t data; \
        mount -o remount,rw data; mkdir data/sub; mount -o remount,ro data; \
        mount -t tmpfs -o ro,nosuid,nodev,noexec,noatime,nodiratime s data/sub; \
        c run --no-new-keyring one";
    for (words, prepare, top, below) in [
        (&["ro"][..], prepare, "ro,relatime", "rw,relatime"),
        (&["rro"], prepare, "ro,relatime", "ro,relatime"),
        (
            &["rnosuid"],
            prepare,
            "rw,nosuid,relatime",
            "rw,nosuid,relatime",
        ),
        (
            &["rnodev"],
            prepare,
            "rw,nodev,relatime",
            "rw,nodev,relatime",
        ),
        (
            &["rnoexec"],
            prepare,
            "rw,noexec,relatime",
            "rw,noexec,relatime",
        ),
        (&["rnoatime"], prepare, "rw,noatime", "rw,noatime"),
        (
            &["rnodiratime"],
            prepare,
            "rw,nodiratime,relatime",
            "rw,nodiratime,relatime",
        ),
        (&["rstrictatime"], prepare, "rw", "rw"),
        (
            &["rnosymfollow"],
            prepare,
            "rw,relatime,nosymfollow",
            "rw,relatime,nosymfollow",
        ),
        (&["rro", "rw"], prepare, "rw,relatime", "ro,relatime"),
        (
            &["rrw", "rsuid", "rdev", "rexec", "rrelatime", "rdiratime"],
            changed,
            "rw,relatime",
            "rw,relatime",
        ),
        (
            &["rw", "suid", "dev", "exec", "relatime", "diratime"],
            changed,
            "rw,relatime",
            "ro,nosuid,nodev,noexec,noatime,nodiratime",
        ),
        (
            &["ratime", "rsymfollow"],
            changed,
            "ro,nosuid,nodev,noexec,nodiratime,relatime",
            "ro,nosuid,nodev,noexec,nodiratime,relatime",
        ),
    ] {
        let mut bundle = Bundle::new("tree", TABLE);
        bundle.directory.directory("data");
        let words = [&["rbind"], words].concat();
        bundle.mount(data(&words));
        let output = run(&mut bundle.among_own_mounts(prepare)).success();
        let expected = format!("/data {top}\n/data/sub {below}\n");
        let seen = output.replace(",inode64", "");
        assert_eq!(seen, expected, "{words:?}");
    }
}

/// As with runc and crun: who says one word about a bind mount's attributes says all of them, where
/// there is no user namespace that locks what the source has.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn attributes_that_nobody_names_are_cleared_where_one_is_named() {
    let _leaks = Leaks::watch();
    let source = "ro,nosuid,nodev,noexec,noatime,nosymfollow";
    let prepare = format!("mount -t tmpfs t data; mount -o remount,bind,{source} data; c run one");
    const REFUSED: &str = "";
    for (words, plain, locked) in [
        (&[][..], source, source),
        (&["rprivate"], source, source),
        (&["dev"], "rw,noatime", REFUSED),
        (&["rw"], "rw,noatime", REFUSED),
        (&["noexec", "relatime"], "rw,noexec,relatime", REFUSED),
        (
            &["rnodiratime"],
            "ro,nosuid,nodev,noexec,noatime,nodiratime,nosymfollow",
            REFUSED,
        ),
        (
            &["noexec"],
            "rw,noexec,noatime",
            "ro,nosuid,nodev,noexec,noatime",
        ),
        (
            &["rnosuid", "ro"],
            "ro,nosuid,noatime",
            "ro,nosuid,nodev,noexec,noatime",
        ),
    ] {
        for (user_namespace, expected) in [(false, plain), (true, locked)] {
            let mut bundle = Bundle::new("unnamed", TABLE);
            if user_namespace {
                bundle.user_namespace([300_000; 2], 65536);
            }
            bundle.directory.directory("data");
            bundle.directory.directory("rootfs/data");
            bundle.mount(data(&[&["bind"], words].concat()));
            let index = bundle.config["mounts"].as_array().unwrap().len() - 1;
            let outcome = run(&mut bundle.among_own_mounts(&prepare));
            if expected == REFUSED {
                let error = outcome
                    .stderr
                    .replace(&format!("mounts[{index}]: "), "NAMED");
                let words_of = ["NAMED", "(EPERM)", "what the host has set on a mount"];
                let said = words_of.iter().all(|word| error.contains(word));
                assert!(outcome.code() == 1 && said, "{words:?}: {outcome:?}");
                continue;
            }
            let line = format!("/data {expected}\n");
            assert_eq!(outcome.success(), line, "{words:?}, {user_namespace}");
        }
    }
}

/// What engines say of binds by themselves takes nothing back, whatever the source's mount is like.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn the_words_of_engines_are_for_every_source() {
    let _leaks = Leaks::watch();
    for source in [
        "noatime",
        "relatime",
        "strictatime,nodiratime",
        "nosuid,nodev,noexec",
    ] {
        let prepare = format!("mount -t tmpfs -o {source} t data; c run one");
        for words in [
            &["rbind", "rprivate"][..],
            &["bind", "rprivate", "rw", "private"],
            &["rbind", "rw", "rprivate", "nosuid", "nodev"],
            &["rbind", "ro", "nosuid", "nodev", "noexec", "rslave"],
            &["bind", "rro", "nosuid"],
        ] {
            let mut bundle = Bundle::new("engines", "grep -c ' /data ' /proc/self/mountinfo");
            bundle.user_namespace([300_000; 2], 65536);
            bundle.directory.directory("data");
            bundle.directory.directory("rootfs/data");
            bundle.mount(data(words));
            let outcome = run(&mut bundle.among_own_mounts(&prepare));
            assert_eq!(outcome.success(), "1\n", "{source}: {words:?}");
        }
    }
}

/// Attributes of new mounts, each word alone, as the kernel shows them: of the mount, and of the
/// file system.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn every_word_of_a_new_mount_is_seen() {
    let _leaks = Leaks::watch();
    let words = [
        ("defaults", "rw,relatime", ""),
        ("ro", "ro,relatime", ""),
        ("nosuid", "rw,nosuid,relatime", ""),
        ("nodev", "rw,nodev,relatime", ""),
        ("noexec", "rw,noexec,relatime", ""),
        ("noatime", "rw,noatime", ""),
        ("nodiratime", "rw,nodiratime,relatime", ""),
        ("strictatime", "rw", ""),
        ("relatime", "rw,relatime", ""),
        ("nosymfollow", "rw,relatime,nosymfollow", ""),
        ("sync", "rw,relatime", "sync"),
        ("dirsync", "rw,relatime", "dirsync"),
        ("lazytime", "rw,relatime", "lazytime"),
        ("size=64k", "rw,relatime", "size=64k"),
        ("silent", "rw,relatime", ""),
        ("iversion", "rw,relatime", ""),
    ];
    let script = "for i in /w*; do grep \" $i \" /proc/self/mountinfo; done";
    let lines = seen("words", script, |bundle| {
        for (index, (word, ..)) in words.iter().enumerate() {
            bundle.mount(
                json!({"destination": format!("/w{index:02}"), "type": "tmpfs",
                "source": "tmpfs", "options": [word]}),
            );
        }
    });
    assert_eq!(lines.len(), words.len(), "{lines:#?}");
    for (line, (word, attributes, of_file_system)) in lines.iter().zip(words) {
        let fields: Vec<&str> = line.split(' ').collect();
        assert_eq!(fields[5], attributes, "{word}: {line}");
        let last = fields.last().unwrap();
        let shown = last.split(',').any(|one| one == of_file_system);
        assert!(shown || of_file_system.is_empty(), "{word}: {line}");
    }
}

/// What is mounted below a read-only tmpfs finds its place, as with podman's `--read-only`.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_read_only_tmpfs_has_mounts_below_it() {
    let _leaks = Leaks::watch();
    let script = "ls -d /dev/pts/ptmx /dev/null; cat /dev/data; touch /dev/x 2>&1 \
        | grep -o 'Read-only'; awk '$5 == \"/dev\" { print substr($6, 1, 2) }' /proc/self/mountinfo";
    let lines = seen("ro-dev", script, |bundle| {
        bundle.directory.file("data", b"content\n", 0o644);
        bundle.mount(json!({"destination": "/dev/data", "source": "data", "options": ["bind"]}));
        let mounts = bundle.config["mounts"].as_array_mut().unwrap();
        let dev = mounts
            .iter_mut()
            .find(|mount| mount["destination"] == "/dev");
        dev.unwrap()["options"] = json!(["nosuid", "ro", "mode=755"]);
    });
    let expected = ["/dev/null", "/dev/pts/ptmx", "content", "Read-only", "ro"];
    assert_eq!(lines, expected);
}

/// A device that can't be written to has a file system, if that isn't written to either.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_disk_is_mounted_read_only() {
    let _leaks = Leaks::watch();
    let script = "awk '$5 == \"/disk\" { print $6, $8, substr($10, 1, 2) }' /proc/self/mountinfo; \
        touch /disk/x 2>&1 | grep -o 'Read-only'";
    let mut bundle = Bundle::new("disk", script);
    bundle.directory.file("image", &[], 0o600);
    bundle.mount(
        json!({"destination": "/disk", "type": "ext4", "source": "DEVICE",
        "options": ["ro", "noatime"]}),
    );
    // The module is loaded where the kernel has it as one.
    let prepare = "modprobe -q loop || :; truncate -s 2M image; mkfs.ext4 -q image; d=$(losetup -r -f --show image); \
        trap 'losetup -d $d' EXIT; sed -i \"s,DEVICE,$d,\" config.json; \
        c run --no-new-keyring one";
    let output = run(&mut bundle.among_own_mounts(prepare)).success();
    assert_eq!(output, "ro,noatime ext4 ro\nRead-only\n");
}

/// What a tmpfs covers is in it, links as links, and the file of the bundle is another one.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn a_tmpfs_takes_along_what_it_covers() {
    let _leaks = Leaks::watch();
    let script = "cd /seed; cat file deep/er/file; readlink link; stat -c '%a %u:%g' file deep; \
        grep ' /seed ' /proc/self/mountinfo | grep -o 'tmpfs t'; echo changed > file";
    let mut bundle = Bundle::new("copyup", script);
    let seed = bundle.directory.directory("rootfs/seed");
    fs::create_dir_all(seed.join("deep/er")).unwrap();
    fs::write(seed.join("file"), "one\n").unwrap();
    fs::write(seed.join("deep/er/file"), "two\n").unwrap();
    fs::set_permissions(seed.join("file"), fs::Permissions::from_mode(0o604)).unwrap();
    fs::set_permissions(seed.join("deep"), fs::Permissions::from_mode(0o750)).unwrap();
    std::os::unix::fs::chown(seed.join("file"), Some(3), Some(4)).unwrap();
    symlink("/etc/shadow", seed.join("link")).unwrap();
    bundle.mount(
        json!({"destination": "/seed", "type": "tmpfs", "source": "t",
        "options": ["tmpcopyup"]}),
    );
    // Root without capabilities writes to its own files only.
    bundle.config["process"]["user"] = json!({"uid": 3, "gid": 4});
    bundle.config["process"]["capabilities"] = json!({});
    fs::set_permissions(seed.join("deep"), fs::Permissions::from_mode(0o755)).unwrap();
    let expected = ["one", "two", "/etc/shadow", "604 3:4", "755 0:0", "tmpfs t"];
    assert_eq!(bundle.lines(), expected);
    assert_eq!(fs::read_to_string(seed.join("file")).unwrap(), "one\n");
    assert_eq!(fs::metadata(seed.join("file")).unwrap().uid(), 3);
}

/// The words of crun about links.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn links_are_followed_or_not() {
    let _leaks = Leaks::watch();
    let bind = |to: &str, words: &[&str]| {
        let words = [&["bind"], words].concat();
        json!({"destination": to, "source": "link", "options": words})
    };
    let script = "cat /followed; readlink /copied; stat -c %F /itself; cat /real; readlink /there";
    let lines = seen("links", script, |bundle| {
        let directory = bundle.directory.path().to_owned();
        fs::write(directory.join("target"), "content\n").unwrap();
        symlink("target", directory.join("link")).unwrap();
        fs::write(directory.join("rootfs/real"), "kept\n").unwrap();
        symlink("real", directory.join("rootfs/there")).unwrap();
        bundle.mount(bind("/followed", &[]));
        bundle.mount(bind("/copied", &["copy-symlink"]));
        bundle.mount(bind("/itself", &["src-nofollow"]));
        bundle.mount(bind("/there", &["src-nofollow", "dest-nofollow"]));
    });
    let expected = ["content", "target", "symbolic link", "kept", "target"];
    assert_eq!(lines, expected);
}

#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn what_is_masked_is_empty_and_what_is_read_only_is_that() {
    let _leaks = Leaks::watch();
    let script = "stat -c '%F %t:%T' /masked/file; ls -A /hidden | wc -l; \
        touch /hidden/x 2>&1 | grep -o 'Read-only'; cat /shown/file; \
        touch /shown/x 2>&1 | grep -o 'Read-only'; (echo x > /one) 2>/dev/null || echo closed; \
        touch /masked/other && echo open; stat -c '%F' /proc/uptime";
    let mut bundle = Bundle::new("covers", script);
    for place in ["masked", "hidden", "shown"] {
        let place = bundle.directory.directory(&format!("rootfs/{place}"));
        fs::write(place.join("file"), "secret\n").unwrap();
    }
    bundle.directory.file("rootfs/one", b"", 0o644);
    let linux = &mut bundle.config["linux"];
    linux["maskedPaths"] = json!(["/masked/file", "/hidden", "/proc/uptime", "/not/there"]);
    linux["readonlyPaths"] = json!(["/shown", "/one", "/proc/sys", "/not/there"]);
    let outcome = bundle.run("run --no-new-keyring c");
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    let device = "character special file";
    let expected = [
        "character special file 1:3",
        "0",
        "Read-only",
        "secret",
        "Read-only",
        "closed",
        "open",
        device,
    ];
    assert_eq!(lines, expected, "{outcome:?}");
}

/// What the type `cgroup` shows is the container's own cgroup where it has a namespace for it, in
/// whichever layout the machine has.
#[test]
#[ignore = "needs root: cargo xtask test-root"]
fn cgroups_are_shown_as_the_machine_has_them() {
    let _leaks = Leaks::watch();
    let script = "cd /sys/fs/cgroup; for i in . *; do test -e $i/cgroup.procs && \
        echo $i $(cat $i/cgroup.procs | grep -c '^1$'); done; \
        mkdir new 2>/dev/null || echo closed; cut -d: -f3 /proc/self/cgroup | sort -u";
    let mut bundle = Bundle::new("cgroups", script);
    bundle.directory.directory("rootfs/sys");
    bundle.mount(
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs",
        "options": ["ro"]}),
    );
    bundle.mount(
        json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
        "options": ["nosuid", "noexec", "nodev", "ro"]}),
    );
    let namespaces = bundle.config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.push(json!({"type": "cgroup"}));
    let lines = bundle.lines();
    let (shown, rest) = lines.split_at(lines.len() - 2);
    assert_eq!(rest, ["closed", "/"], "{lines:?}");
    // This very process is in each that is shown: 1 is its pid there.
    assert!(!shown.is_empty());
    let is_unified = std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    assert_eq!(shown[0] == ". 1", is_unified, "{lines:?}");
    assert!(shown.iter().all(|line| line.ends_with(" 1")), "{lines:?}");
    if !is_unified {
        assert!(shown.contains(&"pids 1".to_owned()), "{lines:?}");
    }
}
