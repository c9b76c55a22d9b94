//! What is refused, and under which name.

use super::*;

/// The change makes the specification wrong, and the error's name is the field's.
pub(super) fn refused(field: &str, change: impl Fn(&mut Spec)) {
    refused_of(rootless(), false, field, change);
}

pub(super) fn refused_of(
    mut spec: Spec,
    privileged: bool,
    field: &str,
    change: impl Fn(&mut Spec),
) {
    change(&mut spec);
    match compose(&spec, &host(privileged)) {
        Err(Error::Invalid { field: named, .. }) => assert_eq!(named, field),
        other => panic!("{field}: {other:?}"),
    }
}

#[test]
fn what_is_wrong_with_the_process_is_named() {
    refused("process.args", |spec| spec.process.args.clear());
    refused("process.args", |spec| spec.process.args = vec!["".into()]);
    refused("process.args[1]", |spec| {
        spec.process.args.push("a\0b".into());
    });
    refused("process.env[0]", |spec| {
        spec.process.env = vec!["A=\0".into()];
    });
    refused("process.cwd", |spec| spec.process.cwd = "".into());
    refused("process.cwd", |spec| spec.process.cwd = "a/b".into());
    refused("process.cwd", |spec| spec.process.cwd = "/a/../b".into());
    refused("process.cwd", |spec| spec.process.cwd = "/a\0".into());
    refused("process.user.uid", |spec| spec.process.user.uid = 1);
    refused("process.user.gid", |spec| spec.process.user.gid = 1);
    refused("process.user.additionalGids", |spec| {
        spec.process.user.additional_gids = vec![0];
    });
    refused("the parent death signal", |spec| {
        spec.extension.parent_death_signal = Some(-1);
    });
}

#[test]
fn what_is_wrong_with_the_isolation_is_named() {
    refused("hostname", |spec| spec.hostname = Some("x".repeat(65)));
    refused("hostname", |spec| spec.hostname = Some("a\0b".into()));
    refused("hostname", |spec| {
        spec.hostname = Some("x".into());
        spec.linux.namespaces = namespaces_of(&[Namespace::Mount, Namespace::User]);
    });
    refused("linux.uidMappings", |spec| spec.linux.uid_mappings.clear());
    refused("linux.gidMappings", |spec| spec.linux.gid_mappings.clear());
    refused("linux.uidMappings", |spec| {
        spec.linux.namespaces = namespaces_of(&ALL[..6]);
    });
    refused("linux.gidMappings", |spec| {
        spec.linux.namespaces = namespaces_of(&ALL[..6]);
        spec.linux.uid_mappings.clear();
    });
    // Its mounts would be the caller's.
    refused("linux.namespaces", |spec| {
        spec.linux.namespaces = namespaces_of(&ALL[1..]);
    });
}

#[test]
fn what_is_wrong_with_the_mounts_is_named() {
    refused("root.path", |spec| spec.root.path = "/a\0".into());
    let mounts = |mount: Mount| move |spec: &mut Spec| spec.mounts = vec![mount.clone()];
    let to = |destination: &str| Mount {
        destination: destination.into(),
        ..bind("/x", &["bind"])
    };
    refused("mounts[0].destination", mounts(to("/a/../b")));
    refused("mounts[0]", mounts(to("/a\0")));
    refused("mounts[0]", mounts(bind("/x\0", &["bind"])));
    refused("mounts[1].destination", |spec| {
        spec.mounts = vec![to("/a"), to("b/..")];
    });
    refused("mounts[0].options", mounts(bind("/x", &["bind", "roo"])));
    for lost in ["sync", "lazytime", "tmpcopyup"] {
        refused("mounts[0].options", mounts(bind("/x", &["bind", lost])));
    }
    refused("linux.maskedPaths", |spec| {
        spec.linux.masked_paths = vec!["proc".into()];
    });
    refused("linux.readonlyPaths", |spec| {
        spec.linux.readonly_paths = vec!["proc".into()];
    });
}

#[test]
fn more_than_a_plan_can_hold_is_refused() {
    let mut spec = rootless();
    spec.process.args = vec!["x".repeat(1 << 20).into(); 17];
    let error = compose(&spec, &host(false)).unwrap_err();
    assert!(matches!(error, Error::PlanTooLong), "{error:?}");
}
