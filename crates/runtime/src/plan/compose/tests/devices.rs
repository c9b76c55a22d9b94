//! Devices, the root and the terminal, as `config.json` has them.

use crabcan_init::step::{TARGET_CREATE, TARGET_NO_SYMLINKS};

use super::mounts::mount;
use super::oci::{find, in_order, names};
use super::*;
use crate::spec::Device;

fn nodes(spec: &Spec, privileged: bool) -> Vec<String> {
    find(spec, privileged, |step| match *step {
        Step::MakeNode {
            target,
            mode,
            device,
            uid,
            gid,
        } => Some(format!("{target:?} {mode:o} {device:#x} {uid}:{gid}")),
        Step::Bind {
            target,
            flags,
            device,
            ..
        } => {
            assert_eq!(flags, TARGET_CREATE | TARGET_NO_SYMLINKS);
            Some(format!("bound {target:?} {device:#x}"))
        }
        Step::Symlink { text, target } => Some(format!("{target:?} -> {text:?}")),
        _ => None,
    })
}

#[test]
fn a_fresh_dev_has_the_default_devices() {
    let mut spec = rootful();
    assert_eq!(nodes(&spec, true), [""; 0]);
    spec.mounts = vec![mount("tmpfs", "/dev", &["mode=755"])];
    let made = nodes(&spec, true);
    assert_eq!(made.len(), 11, "{made:#?}");
    assert_eq!(made[0], "\"/dev/null\" 20666 0x103 0:0");
    assert_eq!(made[5], "\"/dev/tty\" 20666 0x500 0:0");
    assert_eq!(made[10], "\"/dev/ptmx\" -> \"pts/ptmx\"");
    in_order(&spec, true, &["Mount", "MakeNode", "Symlink", "Pivot"]);
    // A device of the configuration's takes the place of a link too.
    spec.linux.devices = vec![Device {
        path: "/dev/ptmx".into(),
        kind: "c".into(),
        major: Some(5),
        minor: Some(2),
        ..Device::default()
    }];
    let made = nodes(&spec, true);
    assert_eq!(made.len(), 11, "{made:#?}");
    assert_eq!(made[10], "\"/dev/ptmx\" 20666 0x502 0:0");
    spec.linux.devices.clear();
    // Nobody may make any in a user namespace, nor without the right to.
    spec.linux.namespaces = namespaces_of(&ALL);
    (spec.linux.uid_mappings, spec.linux.gid_mappings) = (single(0, 1000), single(0, 1000));
    assert_eq!(nodes(&spec, true)[0], "bound \"/dev/null\" 0x103");
    spec.mounts = vec![bind("/dev", &["rbind"])];
    spec.mounts[0].destination = "/dev".into();
    let received = find(&spec, true, |step| {
        matches!(step, Step::MakeNode { .. }).then_some(())
    });
    assert_eq!(received, []);
}

#[test]
fn devices_are_made_with_their_owners() {
    let device = |kind: &str, path: &str, numbers: Option<(i64, i64)>| Device {
        kind: kind.into(),
        path: path.into(),
        major: numbers.map(|(major, _)| major),
        minor: numbers.map(|(_, minor)| minor),
        file_mode: Some(0o640),
        uid: Some(1),
        gid: Some(2),
    };
    let mut spec = rootful();
    spec.mounts = vec![mount("tmpfs", "/dev", &[])];
    spec.linux.devices = vec![
        device("c", "/dev/fuse", Some((10, 229))),
        device("u", "/dev/null", Some((1, 3))),
        device("b", "/disk", Some((259, 300))),
        device("p", "/fifo", None),
    ];
    let made = nodes(&spec, true);
    let own = [
        "\"/dev/fuse\" 20640 0xae5 1:2",
        "\"/dev/null\" 20640 0x103 1:2",
        "\"/disk\" 60640 0x11032c 1:2",
        "\"/fifo\" 10640 0x0 1:2",
    ];
    assert_eq!(made[made.len() - 4..], own);
    // The configuration's own takes the place of the default one.
    assert_eq!(
        made.iter()
            .filter(|node| node.contains("/dev/null\""))
            .count(),
        1
    );
    let wrong = |field: &str, change: fn(&mut Device)| {
        let name = format!("linux.devices[1].{field}");
        refused_of(spec.clone(), true, &name, |spec| {
            change(&mut spec.linux.devices[1])
        });
    };
    wrong("type", |one| one.kind = "x".into());
    wrong("path", |one| one.path = "dev/x".into());
    wrong("major", |one| one.major = None);
    wrong("minor", |one| one.minor = Some(-1));
    wrong("major", |one| one.major = Some(1 << 12));
    wrong("fileMode", |one| one.file_mode = Some(0o40_666));
    refused("linux.devices[0].type", |spec| {
        spec.linux.devices = vec![device("b", "/disk", Some((8, 0)))];
    });
}

#[test]
fn the_root_is_entered_as_asked_for() {
    let mut spec = rootful();
    spec.extension.no_pivot = true;
    assert!(names(&spec, true).contains(&"Chroot") && !names(&spec, true).contains(&"Pivot"));
    spec.extension.no_pivot = false;
    for (word, flag) in [("shared", 1 << 20), ("unbindable", 1 << 17)] {
        spec.linux.rootfs_propagation = Some(word.into());
        in_order(
            &spec,
            true,
            &["Propagation", "Root", "Pivot", "Propagation", "Ready"],
        );
        let flags = find(&spec, true, |step| match *step {
            Step::Propagation { flags } => Some(flags),
            _ => None,
        });
        assert_eq!(flags[1], flag);
    }
}

#[test]
fn a_terminal_is_the_console_of_a_fresh_dev() {
    let mut spec = rootful();
    spec.process.terminal = true;
    spec.process.user.uid = 7;
    in_order(&spec, true, &["Pivot", "Capabilities", "Console", "Ready"]);
    spec.mounts = vec![mount("tmpfs", "/dev", &[])];
    in_order(
        &spec,
        true,
        &["Pivot", "Console", "ConsoleDevice", "SetIds", "Ready"],
    );
    let uids = find(&spec, true, |step| match *step {
        Step::ConsoleDevice { uid } => Some(uid),
        _ => None,
    });
    assert_eq!(uids, [7]);
}
